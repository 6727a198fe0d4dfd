"""The base of callbacks that analyze a game, and the output of a study."""

import json
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytorch_lightning as pl
from matplotlib.figure import Figure

from gan_research.callbacks.base import Periodic, log_metrics, log_picture
from gan_research.data import Data
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.plotting import write_figure, write_film


@dataclass(frozen=True)
class Moment:
    """The data that an analysis keeps of one round: a frame of its film."""

    round: int  # completed rounds
    numbers: dict[str, float]
    """The numbers logged as theory/*; infinite ones are null in the JSON and a gap in the figure."""


Frame = TypeVar("Frame", bound=Moment)


class Analysis(Periodic, Generic[Frame]):
    """The base of analyses, which publish numbers, a figure and a film of `frames` rounds.

    A subclass defines `name` and `frame_type`, and implements `check`, `begin`, `measure`, `figure` and `film`. It
    doesn't change the game.

    folder: the folder of the files; it may be set later.
    power: the exponent of the rounds' spacing: 1 is even; 2 puts the i-th of n at (i / n)^2, denser in the beginning.
    """

    name: str
    frame_type: type[Frame]

    def __init__(self, folder: Path | None, frames: int, power: int, film: bool):
        super().__init__(1)
        if frames < 4:
            raise UserError(f"analysis.{self.name}: frames={frames}: set at least 4")
        self.folder = None if folder is None else Path(folder)
        self.filmed = film
        self.frames: list[Frame] = []
        self._shares = [(i / (frames - 1)) ** power for i in range(frames)]

    @abstractmethod
    def check(self, gan: GAN, data: Data) -> None:
        """Raise a UserError if the game isn't supported, which names what is."""

    @abstractmethod
    def begin(self, gan: GAN, data: Data) -> None:
        """Prepare the measurements of a game."""

    @abstractmethod
    def measure(self, gan: GAN) -> Frame:
        """Measure the game in its current round; raise a UserError if a value isn't finite."""

    @abstractmethod
    def figure(self) -> Figure:
        """Draw all frames in one figure."""

    @abstractmethod
    def film(self) -> Iterator[Figure]:
        """Yield a figure for each frame, all of one size."""

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
            frame = self.measure(gan)
        except UserError as error:
            raise UserError(f"round {gan.round}: {error}") from error
        self.frames.append(frame)
        finite = {f"theory/{name}": value for name, value in frame.numbers.items() if math.isfinite(value)}
        log_metrics(trainer, gan, finite)
        if gan.round == gan.rounds and trainer.is_global_zero:
            self.publish(trainer.loggers)  # before the last checkpoint: a run killed here publishes when it is resumed

    def publish(self, loggers: Any = ()) -> list[Path]:
        """Write the numbers, the figure and the film of the frames so far."""
        assert self.folder is not None, "an analysis needs a folder to publish"
        film = self.film() if self.filmed else None
        return publish(self.folder, self.name, self.numbers(), self.figure(), film, loggers, self.frames[-1].round)

    def numbers(self) -> dict[str, Any]:
        """Return the series of each number, and the final values; None where a number is infinite."""
        series = {
            name: [value if math.isfinite(value := frame.numbers[name]) else None for frame in self.frames]
            for name in self.frames[0].numbers
        }
        final = {name: values[-1] for name, values in series.items()}
        return {"title": self.title, "final": final, "round": [frame.round for frame in self.frames], **series}

    def state_dict(self) -> dict[str, Any]:
        return {"frames": [vars(frame) for frame in self.frames]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.frames = [self.frame_type(**frame) for frame in state_dict["frames"]]


def publish(
    folder: Path, name: str, numbers: dict, figure: Figure, film: Iterable[Figure] | None, loggers: Any, round: int
) -> list[Path]:
    """Write NAME.json, NAME.png and .svg, and NAME.gif if there is a film; log the figure and the film.

    The numbers must be finite. Returns the paths of the files.
    """
    numbers_path = folder / f"{name}.json"
    write_atomically(numbers_path, json.dumps(numbers, indent=1, allow_nan=False).encode())
    image = write_figure(figure, folder / name)
    film_path = None if film is None else write_film(film, folder / f"{name}.gif")
    log_picture(loggers, f"theory/{name}", image, round)
    for logger in loggers:
        if film_path is not None and hasattr(logger, "log_film"):
            logger.log_film(f"theory/{name}_film", film_path, round)
    return [path for path in (numbers_path, image, film_path) if path is not None]
