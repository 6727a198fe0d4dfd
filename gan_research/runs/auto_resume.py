"""`gan train resume=auto`: a command that was started before goes on with the run that it made then."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gan_research.checkpoints.io import has_checkpoint, saved_round
from gan_research.config.compose import Composition
from gan_research.config.keys import GAME
from gan_research.config.upgrade import upgraded
from gan_research.distributed import is_rank_zero, on_rank_zero
from gan_research.runs.fit import build, fit, opened, start
from gan_research.runs.history import History
from gan_research.runs.run import Run, job, was_played
from gan_research.utils.run_folder import CONFIG, RUN

log = logging.getLogger(__name__)


def go_on_or_start(composition: Composition, overrides: list[str], config_dir: Path | None) -> int:
    """The command's own run from where it is, by the config that was composed now; where there is none, a new one."""
    config = composition.config
    run = on_rank_zero(lambda: own_run(config))
    if run is None:
        return start(composition, overrides, config_dir)[0]
    with run.playing():
        if not on_rank_zero(lambda: has_checkpoint(run.folder)):  # killed before its first
            parts = build(config, optional_metrics=composition.auto_metrics)
            if is_rank_zero():
                History(run).cut(-1)
            return fit(run, config, parts)
        checkpoint, _, played = on_rank_zero(lambda: opened(run.folder))
        if played >= config["rounds"]:
            if is_rank_zero():
                print(f"{run.folder} has played all its {config['rounds']} rounds")
            return 0
        return fit(run, config, build(config, optional_metrics=composition.auto_metrics), checkpoint, played=played)


def own_run(config: dict[str, Any]) -> Run | None:
    """Of the runs in `output` that play this very game: this job's own, else the newest that has rounds left."""
    runs = list(same_games(config))
    this = job()
    for run in runs:
        if this is not None and run.job == this:
            return run
    for run in runs:
        if saved_round(run.folder) < min(run.config["rounds"], config["rounds"]):
            return run
    return None


def same_games(config: dict[str, Any]) -> Iterator[Run]:
    """The runs in `output` whose configs differ from this one in nothing that is the game; the newest first."""
    records = Path(config["output"]).glob(f"*/{RUN}")
    for record in sorted(records, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        folder = record.parent
        try:
            run = Run.open(folder)
            run.config = upgraded(yaml.safe_load((folder / CONFIG).read_text()))
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
            log.warning("%s is left out, as its record can't be read: %s", folder, " ".join(str(error).split()))
            continue
        if was_played(folder) and game_of(run.config) == game_of(config):
            yield run


def game_of(config: dict[str, Any]) -> dict[str, Any]:
    """What may not differ when a run is resumed."""
    return {key: value for key, value in config.items() if key in GAME}
