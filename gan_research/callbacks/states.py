"""The states of the callbacks in a checkpoint."""

from typing import NotRequired

from pydantic import NonNegativeFloat, NonNegativeInt
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12


class LogState(TypedDict):
    """The state of `Log`."""

    seconds: NonNegativeFloat


class CheckpointsState(TypedDict):
    """The state of `Checkpoints`."""

    best: str | None
    best_value: float | None
    best_round: NonNegativeInt | None


class EvaluateState(TypedDict):
    """The state of `Evaluate`: columns, and the rounds of the latest; earlier versions have one `round` of all."""

    rounds: NotRequired[dict[str, NonNegativeInt]]
    round: NotRequired[NonNegativeInt | None]
    latest: dict[str, float]
    first: dict[str, float]


class HealthState(TypedDict):
    """The state of `Health`; earlier versions have another name for `saturated_since`."""

    saturated_since: NotRequired[int | None]
    told_since: NotRequired[int | None]
    warnings: dict[str, str]


class States(TypedDict):
    """The states of all callbacks by their classes; a run without metrics isn't evaluated."""

    Log: LogState
    Checkpoints: CheckpointsState
    Evaluate: NotRequired[EvaluateState]
    Health: NotRequired[HealthState]
