"""`gan train resume=auto`: resumes the run that the same command started before."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import PositiveInt
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from gan_research.checkpoints.io import has_checkpoint, saved_round
from gan_research.config.build import make
from gan_research.config.compose import Composition
from gan_research.config.keys import DATA_PLACES, GAME
from gan_research.config.upgrade import upgraded
from gan_research.distributed import is_rank_zero, on_rank_zero
from gan_research.runs.fit import begun, build, build_new, continue_run, fit, places_of, read_run_checkpoint
from gan_research.runs.history import History
from gan_research.runs.run import Run, job
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.reading import has_shape, reading
from gan_research.utils.run_folder import CONFIG, RUN, one_process_in, read_config, was_started

log = logging.getLogger(__name__)


def resume_or_start(composition: Composition, overrides: list[str], config_dir: Path | None) -> int:
    """Resume the command's own run, with the config composed now, or start a new one; return the exit status.

    Of processes that were started at once with one command, the first starts a run, which is the others' own.
    """
    config = composition.config
    found = on_rank_zero(lambda: list(same_games(config)))
    if (run := own_of(found, config)) is not None:
        with run.lock():
            return continue_from_last(run, composition)
    parts = build_new(config, optional_metrics=composition.auto_metrics)  # raises its errors before there is a folder

    def claim() -> tuple[Run, bool]:
        earlier = {run.folder for run in found}
        later = next((run for run in same_games(config) if run.folder not in earlier), None)
        return (later, False) if later else (begun(composition, overrides, config_dir, parts), True)

    with ExitStack() as held:
        with one_process_in(Path(config["output"])) if is_rank_zero() else nullcontext():
            run, new = on_rank_zero(claim)
            held.enter_context(run.lock())
        return fit(run, config, parts) if new else continue_from_last(run, composition)


def continue_from_last(run: Run, composition: Composition) -> int:
    """Resume a run from its last checkpoint, or from its beginning if there is none; return the exit status."""
    config, checkpoint, round = composition.config, None, 0
    if on_rank_zero(lambda: has_checkpoint(run.folder)):
        checkpoint, _, round = on_rank_zero(lambda: read_run_checkpoint(run, run.folder))
        if round >= config["rounds"]:
            if is_rank_zero():
                print(f"{run.folder} is trained for all its {config['rounds']} rounds")
            return 0
    parts = (build if checkpoint else build_new)(config, optional_metrics=composition.auto_metrics)
    if checkpoint is None and is_rank_zero():  # killed before its first
        History(run).cut(-1)
    return continue_run(run, config, parts, checkpoint, round)


def own_run(config: dict[str, Any]) -> Run | None:
    """Return this job's run of the game in `output`, else the newest with rounds left."""
    return own_of(list(same_games(config)), config)


def own_of(runs: list[Run], config: dict[str, Any]) -> Run | None:
    """Return this job's run of those of a game, else the first with rounds left."""
    own = (run for run in runs if run.job is not None and run.job == job())
    unfinished = (run for run in runs if saved_round(run.folder) < min(run.config["rounds"], config["rounds"]))
    return next(chain(own, unfinished), None)


def same_games(config: dict[str, Any]) -> Iterator[Run]:
    """Yield the runs in `output` whose configs describe the same game, the newest first.

    Their data may have moved: then the content has the same hash.
    """
    content = cache(lambda: make(config["data"]).train.content_hash())
    records = Path(config["output"]).glob(f"*/{RUN}")
    for record in sorted(records, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        folder = record.parent
        try:
            run = Run.open(folder)
            with reading(folder / CONFIG):
                run.config = upgraded(read_config(folder))
                has_shape(run.config, Bounded)
        except UserError as error:
            log.warning("%s is left out, as its record can't be read: %s", folder, one_line(error))
            continue
        if not was_started(folder) or game_of(run.config) != game_of(config):
            continue
        if places_of(run.config) == places_of(config) or run.data_hash == content():
            yield run


class Bounded(TypedDict):
    """The part of a config by which runs are compared."""

    rounds: PositiveInt
    data: dict[str, Any]


def game_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a resumed run can't change."""
    data = {key: value for key, value in config["data"].items() if key not in DATA_PLACES}
    return {key: value for key, value in config.items() if key in GAME} | {"data": data}
