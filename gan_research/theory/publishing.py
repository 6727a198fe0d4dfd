"""The output of a study: numbers, a figure and a film, in a folder and in the loggers."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gan_research.callbacks.base import log_picture
from gan_research.utils.files import write_atomically
from gan_research.utils.plotting import write_figure, write_film


def publish(
    folder: Path,
    name: str,
    numbers: dict[str, Any],
    figure: Figure,
    film: Iterable[Figure] | None = None,
    loggers: Sequence[Any] = (),
    round: int = 0,
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
