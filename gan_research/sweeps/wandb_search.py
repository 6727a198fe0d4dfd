"""W&B's own search over a sweep file, without its server."""

import hashlib
import json
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import PositiveInt

from gan_research.sweeps.search import Proposal, Search, Task
from gan_research.sweeps.trials import Seen
from gan_research.utils.errors import UserError

FILE = "wandb.yaml"
"""The sweep file, in the folder of its sweep."""

METHODS = ("grid", "random", "bayes")

STATES = {"open": "running", "running": "running", "finished": "finished", "pruned": "finished", "failed": "failed"}
"""Ours, and W&B's: what hyperband stops has ended well there."""


LEADING = {"/usr/bin/env", "python", "-m", "gan", "gan_research"}
"""What may come before `train` in the command of a sweep."""


def read_sweep_file(path: str | Path) -> dict[str, Any]:
    """A sweep file that W&B's own schema finds no fault with, and that can be searched without its server."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise UserError(f"the sweep file {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"the sweep file {path} is not text") from None
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"the sweep file {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise UserError(f"the sweep file {path} isn't made of keys: name its method, metric and parameters")
    try:
        violations = _sweeps().schema_violations_from_proposed_config(config)
    except (ValueError, AssertionError, TypeError, AttributeError) as error:
        violations = [str(error)]
    if violations:
        raise UserError(f"the sweep file {path} isn't W&B's: {'; '.join(' '.join(v.split()) for v in violations)}")
    _require_search(config, path)
    return config


def _require_search(config: dict[str, Any], path: str | Path) -> None:
    """That the method is one that W&B's package has, with what it needs."""
    method = config["method"]
    if method not in METHODS:
        raise UserError(f"{path}: method {method} is played by W&B's server alone: take {', '.join(METHODS)}")
    needing = [key for key in ("early_terminate",) if key in config] + ["method bayes"] * (method == "bayes")
    if needing and not config.get("metric", {}).get("name"):
        raise UserError(f"{path}: {needing[0]} needs a metric: add metric, with its name and goal")
    try:
        search = WandbSearch(config)
        search.ask([])
        search.hopeless([])
    except Exception as error:  # whatever W&B's search finds wrong with it
        raise UserError(f"{path} can't be searched: {' '.join(str(error).split())}") from error


class WandbSearch:
    """The points that W&B would try, one after the other, and the runs that it would stop.

    config: what `read_sweep_file` gives.
    """

    def __init__(self, config: dict[str, Any]):
        self.config = config
        self.metric: str | None = config.get("metric", {}).get("name")

    def ask(self, trials: Sequence[Seen]) -> dict[str, Any] | None:
        """The next point, a function of the file and of the trials so far; None where there is none left."""
        if len(trials) >= self.config.get("run_cap", float("inf")):
            return None
        with drawing_from(json.dumps(self.config, sort_keys=True, default=str), len(trials)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how well its Gaussian process fits
            found = _sweeps().next_run(self.config, [self._run(trial) for trial in trials])
        return None if found is None else {key: plain(node["value"]) for key, node in found.config.items()}

    def hopeless(self, trials: Sequence[Seen]) -> set[int]:
        """The numbers of the running trials that early_terminate would stop."""
        if "early_terminate" not in self.config:
            return set()
        stopped = _sweeps().stop_runs(self.config, [self._run(trial) for trial in trials])
        return {int(run.name) for run in stopped}

    def points(self) -> int | None:
        """How many points a grid has; None where there is no end."""
        if self.config["method"] != "grid":
            return None
        listed = [node["values"] for node in self.config["parameters"].values() if "values" in node]
        return prod(map(len, listed))

    def overrides(self, point: Mapping[str, Any]) -> list[str]:
        """What the command that W&B's agent would issue for a point gives to `gan train`."""
        words = agent_command(self.config, point)
        place = words.index("train") if "train" in words else 0
        before = [word if word == "/usr/bin/env" else Path(word).name for word in words[:place]]
        if before[-1:] not in (["gan"], ["gan_research"]) or not LEADING.issuperset(before):
            raise UserError(f"the sweep's command doesn't run gan train: {' '.join(words)}")
        return words[place + 1 :]

    def _run(self, trial: Seen) -> Any:
        """A trial as W&B's search sees it."""
        name = self.metric or ""
        return _sweeps().SweepRun(
            name=str(trial.number),
            state=STATES[trial.state],
            config={key: {"value": value} for key, value in trial.values.items()},
            history=[{name: value} for _, value in trial.curve],
            summary_metrics={} if trial.value is None else {name: trial.value},
        )


class WandbFile(Search):
    """The search of a W&B sweep file, which lies in the sweep's folder as `wandb.yaml`.

    count: trials at most. overrides: what each run gets beside what the file's command says.
    """

    def __init__(self, task: Task, count: PositiveInt | None = None, overrides: list[str] | None = None):
        self._search = WandbSearch(read_sweep_file(task.folder / FILE))
        self._overrides = overrides or []
        known = [count, self._search.config.get("run_cap"), self._search.points()]
        self.total = min((number for number in known if number is not None), default=None)

    def ask(self, trials: Sequence[Seen]) -> Proposal | None:
        if self.total is not None and len(trials) >= self.total:
            return None
        point = self._search.ask(trials)
        return None if point is None else Proposal(point, [[*self._search.overrides(point), *self._overrides]])

    def hopeless(self, trial: Seen, trials: Sequence[Seen]) -> bool:
        return trial.number in self._search.hopeless(trials)


def agent_command(config: dict[str, Any], point: Mapping[str, Any]) -> list[str]:
    """The command line that `wandb agent` runs for a point."""
    from gan_research.utils.lightning_compat import sweep_command

    create_sweep_command, create_sweep_command_args = sweep_command()

    macros = create_sweep_command_args({"args": {key: {"value": value} for key, value in point.items()}})
    macros |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [config.get("program", "")]}
    words: list[str] = []
    for word in map(str, create_sweep_command(deepcopy(config.get("command")))):
        words += macros.get(word[2:-1], []) if word.startswith("${") and word.endswith("}") else [word]
    return words


@contextmanager
def drawing_from(*key: Any) -> Iterator[None]:
    """Inside, Python's and NumPy's global generators are a function of `key`; after it, what they were."""
    ours = random.getstate(), np.random.get_state()  # noqa: NPY002
    seed = int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(ours[0])
        np.random.set_state(ours[1])  # noqa: NPY002


def plain(value: Any) -> Any:
    """A value of Python's own types instead of NumPy's."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _sweeps() -> Any:
    """W&B's search."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it configures pydantic as version 1 did
            import sweeps.run  # not sweeps alone: any folder of that name can be imported
    except ImportError:
        raise UserError("W&B's search isn't installed: pip install 'gan_research[sweeps]'") from None
    return sweeps
