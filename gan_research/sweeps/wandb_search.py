"""The search of a W&B sweep file, without W&B's server."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from itertools import count, takewhile
from math import exp, isclose, isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError, model_validator
from scipy import stats

from gan_research.sweeps.optuna_search import intermediate_values, sampler_seed
from gan_research.sweeps.points import combinations
from gan_research.sweeps.search import Proposal, Search, SearchSpec
from gan_research.sweeps.trials import TrialSnapshot
from gan_research.utils.errors import UserError, did_you_mean, one_line
from gan_research.utils.lightning_compat import sweep_command

FILE = "wandb.yaml"  # the sweep file, in the folder of its sweep

BEFORE_TRAIN = {"/usr/bin/env", "python", "-m", "gan", "gan_research"}
"""The words that may precede `train` in the command of a sweep."""

EDGE = 1e-9  # the distance of quantiles from 0 and 1, where values may be infinite

DISTRIBUTIONS: dict[str, tuple[str, Callable[["Parameter"], Any]]] = {
    "constant": ("value", lambda p: None),
    "categorical": ("values", lambda p: None),
    "categorical_w_probabilities": (
        "values probabilities",
        lambda p: stats.rv_discrete(values=(range(len(p.choices)), p.probabilities)),
    ),
    "int_uniform": ("min max", lambda p: stats.randint(p.min, p.max + 1)),
    "uniform": ("min max", lambda p: stats.uniform(p.min, p.max - p.min)),
    "log_uniform": ("min max", lambda p: stats.loguniform(exp(p.min), exp(p.max))),
    "log_uniform_values": ("min max", lambda p: stats.loguniform(p.min, p.max)),
    "inv_log_uniform": ("min max", lambda p: stats.loguniform(exp(-p.max), exp(-p.min))),
    "inv_log_uniform_values": ("min max", lambda p: stats.loguniform(p.min, p.max)),
    "normal": ("mu sigma", lambda p: stats.norm(p.mu, p.sigma)),
    "log_normal": ("mu sigma", lambda p: stats.lognorm(p.sigma, scale=exp(p.mu))),
    "beta": ("a b", lambda p: stats.beta(p.a, p.b)),
}
"""Name -> keys, and the distribution, of https://docs.wandb.ai/guides/sweeps/sweep-config-keys.

That of choices is over their indices; None if they are equally likely.
"""
for _name in ("uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta"):
    DISTRIBUTIONS[f"q_{_name}"] = f"{DISTRIBUTIONS[_name][0]} q", DISTRIBUTIONS[_name][1]


class Parameter(BaseModel, extra="forbid"):
    """A parameter of a sweep file. Optuna searches an index of choices, or the quantile of a value."""

    distribution: str = ""
    value: Any = None
    values: list[Any] = Field([], min_length=1)
    probabilities: list[NonNegativeFloat] = []
    min: int | float = 0
    max: int | float = 0
    mu: float = 0
    sigma: PositiveFloat = 1
    a: PositiveFloat = 1
    b: PositiveFloat = 1
    q: PositiveInt | PositiveFloat = 1

    @model_validator(mode="after")
    def _check(self) -> "Parameter":
        keys = self.model_fields_set - {"distribution"}
        whole = isinstance(self.min, int) and isinstance(self.max, int)
        implied = {"value": "constant", "probabilities": "categorical_w_probabilities", "values": "categorical"}
        implied |= {"min": "int_uniform" if whole else "uniform"}
        if self.distribution in ("", "categorical"):
            self.distribution = next((implied[key] for key in implied if key in keys), "uniform")
        name = self.distribution
        if name not in DISTRIBUTIONS:
            raise ValueError(f"there is no distribution {name}: {did_you_mean(name, DISTRIBUTIONS)}")
        known = set(DISTRIBUTIONS[name][0].split())
        if not known - {"mu", "sigma", "a", "b", "q"} <= keys <= known:
            raise ValueError(f"distribution {name} takes {' '.join(sorted(known))}, not {' '.join(sorted(keys))}")
        if "min" in known and not self.min < self.max:
            raise ValueError(f"min {self.min} is not less than max {self.max}")
        if name == "int_uniform" and not whole:
            raise ValueError("int_uniform needs integers as min and max")
        if name.endswith("_values") and self.min <= 0:
            raise ValueError(f"min {self.min} is not positive")
        chances = self.probabilities
        if chances and (len(chances) != len(self.values) or not isclose(sum(chances), 1, rel_tol=1e-6)):
            raise ValueError("give a probability for each value; their sum is 1")
        return self

    @property
    def choices(self) -> list[Any]:
        return [self.value] if self.distribution == "constant" else self.values

    @property
    def grid(self) -> list[Any]:
        """The values for method grid; none if it can't list them."""
        if self.distribution in ("int_uniform", "q_uniform"):
            return np.arange(self.min, self.max + (self.distribution == "int_uniform"), self.q).tolist()
        return [] if self.probabilities else self.choices

    @cached_property
    def of(self) -> Any:
        """The distribution, as one of scipy."""
        return DISTRIBUTIONS[self.distribution][1](self)

    @property
    def space(self) -> BaseDistribution:
        return FloatDistribution(EDGE, 1 - EDGE) if self.of else CategoricalDistribution(range(len(self.choices)))

    def value_of(self, drawn: float) -> Any:
        """Return the value for what Optuna draws from `space`."""
        number = float(self.of.ppf(drawn)) if self.of else drawn
        if self.choices:
            return self.choices[int(number)]
        quantized = self.distribution == "int_uniform" or self.distribution.startswith("q_")
        return round(number / self.q) * self.q if quantized else number

    def drawn_for(self, value: Any) -> float:
        """Return the inverse of `value_of`."""
        number = self.choices.index(value) if self.choices else value
        return float(np.clip(self.of.cdf(number), EDGE, 1 - EDGE)) if self.of else number


class Metric(BaseModel, extra="forbid"):
    """The metric of a sweep file."""

    name: str
    goal: Literal["minimize", "maximize"] = "minimize"


class Hyperband(BaseModel, extra="forbid"):
    """W&B's early termination: after some evaluations only the best 1/eta of trials continue."""

    type: Literal["hyperband"]
    min_iter: PositiveInt | None = None
    max_iter: PositiveInt = 1
    s: PositiveInt = 1
    eta: float = Field(3.0, gt=1)
    strict: bool = True

    @model_validator(mode="after")
    def _check(self) -> "Hyperband":
        if self.min_iter is None and not {"max_iter", "s"} <= self.model_fields_set:
            raise ValueError("give min_iter, or max_iter and s")
        return self

    def stops(self, values: list[float], everyone: list[list[float]]) -> bool:
        """Return whether a trial with these values, the less the better, is stopped."""
        if "max_iter" in self.model_fields_set:
            brackets = [int(self.max_iter / self.eta**n) for n in range(1, self.s + 1)]
        else:
            growing = (int((self.min_iter or 1) * self.eta**n) for n in count())
            brackets = list(takewhile(lambda bracket: bracket <= len(values), growing))
        last = max((bracket for bracket in brackets if 1 <= bracket <= len(values)), default=None)
        if last is None:
            return False
        reached = sorted(other[last - 1] for other in everyone if len(other) >= last)
        return (values[last - 1] if self.strict else min(values)) > reached[int(len(reached) / self.eta)]


class SweepFile(BaseModel, extra="forbid"):
    """The content of a sweep file of W&B, and the search that it describes."""

    method: Literal["grid", "random", "bayes"]
    parameters: dict[str, Parameter] = Field(min_length=1)
    metric: Metric | None = None
    run_cap: PositiveInt | None = None
    early_terminate: Hyperband | None = None
    command: list[Any] | None = None
    program: str = ""
    name: str | None = None
    description: str | None = None
    project: str | None = None
    entity: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "SweepFile":
        if self.metric is None and (self.method == "bayes" or self.early_terminate is not None):
            needing = "early_terminate" if self.early_terminate is not None else "method bayes"
            raise ValueError(f"{needing} needs a metric: add metric, with its name and goal")
        if self.method == "grid" and (unlisted := [name for name, one in self.parameters.items() if not one.grid]):
            raise ValueError(f"{unlisted[0]}: method grid needs value, values, int_uniform or q_uniform")
        return self

    def grid(self) -> list[dict[str, Any]]:
        """Return every combination of the parameters' values, in W&B's order."""
        return combinations({name: tuple(self.parameters[name].grid) for name in sorted(self.parameters)})

    def next_point(self, trials: Sequence[TrialSnapshot]) -> dict[str, Any] | None:
        """Return the next point, a function of the file and the trials so far; None if there is none left."""
        if self.run_cap is not None and len(trials) >= self.run_cap:
            return None
        if self.method == "grid":
            known = [trial.values for trial in trials]
            return next((point for point in self.grid() if point not in known), None)
        seed = sampler_seed(zlib.crc32(self.model_dump_json().encode()), len(trials))
        random = optuna.samplers.RandomSampler(seed=seed)
        tpe = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        goal = self.metric.goal if self.metric else None
        study = optuna.create_study(direction=goal, sampler=tpe if self.method == "bayes" else random)
        study.add_trials([self._frozen(trial) for trial in trials])
        drawn = study.ask({name: parameter.space for name, parameter in self.parameters.items()}).params
        return {name: parameter.value_of(drawn[name]) for name, parameter in self.parameters.items()}

    def _frozen(self, trial: TrialSnapshot) -> FrozenTrial:
        """Return a trial as Optuna's samplers read it."""
        value = trial.value if trial.value is not None and isfinite(trial.value) else None
        states = {"running": TrialState.RUNNING, "open": TrialState.RUNNING, "pruned": TrialState.PRUNED}
        return create_trial(
            state=states.get(trial.state, TrialState.FAIL if value is None else TrialState.COMPLETE),
            value=value,
            params={name: parameter.drawn_for(trial.values[name]) for name, parameter in self.parameters.items()},
            distributions={name: parameter.space for name, parameter in self.parameters.items()},
            intermediate_values=intermediate_values(trial),
        )

    def should_prune(self, trial: TrialSnapshot, trials: Sequence[TrialSnapshot]) -> bool:
        """Return whether early_terminate stops a running trial."""
        if self.early_terminate is None or self.metric is None:
            return False
        sign = 1 if self.metric.goal == "minimize" else -1
        values = {one.number: [sign * value for _, value in one.curve if isfinite(value)] for one in trials}
        return self.early_terminate.stops(values[trial.number], list(values.values()))

    def overrides(self, point: Mapping[str, Any]) -> list[str]:
        """Return the arguments of `gan train` in the command that W&B's agent issues for a point."""
        create_command, create_arguments = sweep_command()
        macros = create_arguments({"args": {key: {"value": value} for key, value in point.items()}})
        macros |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [self.program]}
        argv: list[str] = []
        for word in map(str, create_command(deepcopy(self.command))):
            argv += macros.get(word[2:-1], []) if word.startswith("${") and word.endswith("}") else [word]
        index = argv.index("train") if "train" in argv else 0
        before = [word if word == "/usr/bin/env" else Path(word).name for word in argv[:index]]
        if before[-1:] not in (["gan"], ["gan_research"]) or not BEFORE_TRAIN.issuperset(before):
            raise UserError(f"the sweep's command doesn't run gan train: {' '.join(argv)}")
        return argv[index + 1 :]


def read_sweep_file(path: str | Path) -> SweepFile:
    """Return the content of a sweep file; raise a UserError that names what isn't supported."""
    try:
        return SweepFile.model_validate(yaml.safe_load(Path(path).read_bytes()))
    except ValidationError as error:
        faults = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
        reason = "; ".join(f"{key}: {message}" if key else message for key, message in faults)
        reason = reason.replace("Value error, ", "").replace("Extra inputs are not permitted", "key not supported")
        raise UserError(f"the sweep file {path}: {reason}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"the sweep file {path} can't be read: {one_line(error)}") from None


class WandbFile(Search):
    """The search of the sweep file `wandb.yaml` in the sweep's folder.

    count: the largest number of trials. overrides: added to the command of each run.
    """

    def __init__(self, spec: SearchSpec, count: PositiveInt | None = None, overrides: list[str] | None = None):
        self._file = read_sweep_file(spec.folder / FILE)
        self._overrides = overrides or []
        limits = [count, self._file.run_cap, len(self._file.grid()) if self._file.method == "grid" else None]
        self.total = min((number for number in limits if number is not None), default=None)

    def ask(self, trials: Sequence[TrialSnapshot]) -> Proposal | None:
        if self.total is not None and len(trials) >= self.total:
            return None
        point = self._file.next_point(trials)
        return None if point is None else Proposal(point, [[*self._file.overrides(point), *self._overrides]])

    def should_prune(self, trial: TrialSnapshot, trials: Sequence[TrialSnapshot]) -> bool:
        return self._file.should_prune(trial, trials)
