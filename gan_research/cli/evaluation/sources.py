"""The names of samples on the command line, checked without importing torch."""

from pathlib import Path
from typing import Any

from gan_research.config.compose import choice, compose_train, groups
from gan_research.config.overrides import quoted
from gan_research.config.schema import missing_values
from gan_research.utils.artifacts import is_address, require_checkpoint
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.paths import DATA_SETS, refuse_archive


def require_source(name: str) -> None:
    """Raise a UserError unless `name` is a path, an address or a choice of `data`.

    Archives are refused.
    """
    if is_address(name):
        return require_checkpoint(name)
    path = Path(name).expanduser()
    if path.suffix.lower() not in DATA_SETS:
        refuse_archive(path, "give the folder of images")
    if not path.exists() and name not in groups()["data"]:
        raise UserError(
            f"there is no {path.absolute()}, and no data of that name: give a checkpoint, the folder of a run, a "
            f"folder of images, a file of them, or data of the config tree: {did_you_mean(name, groups()['data'])}"
        )


def data_node(name: str) -> dict[str, Any]:
    """Return the checked config of a choice of the group `data`."""
    if missing_values(choice("data", name, within={"batch_size": 1, "seed": 0})):
        raise UserError(f"data '{name}' are your own: give the path of the images itself")
    return _composed(f"data={name}")


def images_node(path: Path, skip_corrupt: bool) -> dict[str, Any]:
    """Return the checked config of images in a format of their own."""
    return _composed("data=images", f"data.path={quoted(path)}", f"data.skip_corrupt={skip_corrupt}")


def _composed(*overrides: str) -> dict[str, Any]:
    data: dict[str, Any] = compose_train([*overrides, "metrics=none"]).config["data"]
    return data
