"""What the watchers of a game share: when they look, what they keep, and what they leave behind."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytorch_lightning as pl
from matplotlib.figure import Figure

from gan_research.callbacks.base import Periodic, log_metrics
from gan_research.data import Data
from gan_research.theory.publishing import publish
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError


class Moment(Protocol):
    """What a watcher keeps of one moment; a frame of its film."""

    @property
    def round(self) -> int:
        """Rounds played."""

    @property
    def numbers(self) -> dict[str, float]:
        """What is logged as theory/*; an infinite one is null in the JSON and a gap in the picture."""


Frame = TypeVar("Frame", bound=Moment)


class Analysis(Periodic, Generic[Frame]):
    """Looks at a game in `frames` moments, and publishes numbers, a figure and a film when it ends.

    A subclass names itself, and implements `check`, `begin`, `look`, `figure` and `film`; the game isn't changed.

    folder: where the files go; whoever makes the run's folder may set it later.
    power: of the moments' spacing: 1, even; 2, the i-th of n at (i / n)^2, as most happens in the beginning.
    """

    name: str
    frame_type: type[Frame]

    def __init__(self, folder: Path | None, frames: int, power: int, film: bool):
        super().__init__(1)
        if frames < 4:
            raise UserError(f"watch.{self.name}: frames={frames}: give at least 4")
        self.folder = None if folder is None else Path(folder)
        self.filmed = film
        self.frames: list[Frame] = []
        self._shares = [(i / (frames - 1)) ** power for i in range(frames)]
        self._rounds: set[int] = set()

    @abstractmethod
    def check(self, gan: GAN, data: Data) -> None:
        """Raise a UserError where this can't be watched: it says what can."""

    @abstractmethod
    def begin(self, gan: GAN, data: Data) -> None:
        """Prepare for looking at this game."""

    @abstractmethod
    def look(self, gan: GAN) -> Frame:
        """The game as it stands. Raises a UserError that names what isn't a number."""

    @abstractmethod
    def figure(self) -> Figure:
        """All frames in one picture."""

    @abstractmethod
    def film(self) -> Iterator[Figure]:
        """One figure a frame, all of one size."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, GAN)
        data = trainer.datamodule  # type: ignore[attr-defined]
        self.check(pl_module, data)
        self.title = f"{data.name}, {type(pl_module.loss).__name__}"
        self._rounds = {round(pl_module.rounds * share) for share in self._shares}
        self.begin(pl_module, data)

    def due(self, gan: GAN) -> bool:
        return gan.round in self._rounds or gan.round == gan.rounds

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        try:
            frame = self.look(gan)
        except UserError as error:
            raise UserError(f"round {gan.round}: {error}") from error
        self.frames.append(frame)
        finite = {f"theory/{name}": value for name, value in frame.numbers.items() if math.isfinite(value)}
        log_metrics(trainer, gan, finite)
        if gan.round == gan.rounds and trainer.is_global_zero:
            self.publish(trainer.loggers)  # before the last checkpoint: a run killed here publishes when it goes on

    def publish(self, loggers: Any = ()) -> list[Path]:
        """Write the numbers, the figure and the film of the frames seen so far."""
        assert self.folder is not None, "a watcher without a folder has nowhere to publish"
        film = self.film() if self.filmed else None
        return publish(
            self.folder, self.name, self.numbers(), self.figure(), film, loggers, round=self.frames[-1].round
        )

    def numbers(self) -> dict[str, Any]:
        """Every frame's numbers by name, and those of the last one."""
        series = {name: [plain(frame.numbers[name]) for frame in self.frames] for name in self.frames[0].numbers}
        final = {name: values[-1] for name, values in series.items()}
        return {"title": self.title, "final": final, "round": [frame.round for frame in self.frames], **series}

    def state_dict(self) -> dict[str, Any]:
        return {"frames": [vars(frame) for frame in self.frames]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.frames = [self.frame_type(**frame) for frame in state_dict["frames"]]


def plain(value: float) -> float | None:
    """A number as JSON has it: None where it is infinite."""
    return value if math.isfinite(value) else None
