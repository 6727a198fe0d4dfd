"""Models elsewhere, by their addresses: wandb://ENTITY/PROJECT/NAME:ALIAS of W&B, hf://USER/NAME of the hub."""

import filecmp
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from gan_research.utils.errors import UserError
from gan_research.utils.files import file_name, new_folder
from gan_research.utils.hub import fetch_export, require_repository
from gan_research.utils.paths import HUB, cache_folder, is_on_hub, require_path
from gan_research.utils.reading import read_json
from gan_research.utils.run_folder import CHECKPOINTS, CONFIG, HISTORY, LAST, PROTOCOLS, RUN, one_process_in

SCHEME = "wandb://"
FORM = f"{SCHEME}ENTITY/PROJECT/NAME:ALIAS"
EXPORT = ("config.json", "generator.safetensors")  # the files of a model artifact that make an export
FORMAT_KEY = "gan_research_export"  # the key of config.json that marks an export and holds its format
OF_RUN = {RUN: RUN, CONFIG: CONFIG, HISTORY: HISTORY, PROTOCOLS: PROTOCOLS, LAST: f"{CHECKPOINTS}/{LAST}"}
"""The files of a model artifact -> their names in the folder of a run."""
HERE = "give a checkpoint, run or export on this machine"


def is_address(source: str | Path) -> bool:
    """Return whether a source is an address of W&B or the hub, not a path."""
    return str(source).startswith((SCHEME, HUB))


def require_checkpoint(source: str | Path) -> None:
    """Raise a UserError unless a source is an existing path or a well-formed address."""
    if is_on_hub(source):
        require_repository(str(source))
    elif not is_address(source):
        require_path(source)
    elif not re.fullmatch(r"[^/:]+/[^/:]+/[^/:]+:[^/:]+", str(source).removeprefix(SCHEME)):
        raise UserError(f"{source}: give {FORM}, as in {SCHEME}me/gan_research/model-1a2b3c4d:best")


def local(source: str | Path, whole: bool = False) -> Path:
    """Return the path of a source, after a download if it is an address.

    whole: the folder of the run with its checkpoint, if the artifact contains one, instead of the export.
    """
    return fetch(str(source), whole)[0] if is_address(source) else Path(source).expanduser()


def fetch(address: str, whole: bool = False) -> tuple[Path, str]:
    """Download a model, unless it is in the cache folder; return its path, and its address by version.

    Raises a UserError of one line if W&B or the hub can't be reached, or has no such model.
    """
    if is_on_hub(address):
        return fetch_export(address, FORMAT_KEY, EXPORT[0], (EXPORT[1], "discriminator.safetensors"))
    require_checkpoint(address)
    if (mode := os.environ.get("WANDB_MODE", "online")) not in ("online", "shared"):
        raise UserError(f"{address}: WANDB_MODE={mode} keeps W&B offline: unset it, or {HERE}")
    advice = f"check the spelling, {FORM}, and log in to an account that can read it (`wandb login`), or {HERE}"
    with asking_wandb(address, advice, HERE), redirect_stderr(io.StringIO()):  # W&B prints the login
        import wandb

        artifact = wandb.Api().artifact(address.removeprefix(SCHEME))
        files = OF_RUN if whole and LAST in artifact.manifest.entries else {name: name for name in EXPORT}
        if missing := {*files} - {*artifact.manifest.entries, PROTOCOLS}:  # a run without metrics has no protocols
            raise UserError(f"{address} has no {min(missing)}: it isn't a model of gan train")
        name, _, version = artifact.name.partition(":")
        path = f"{artifact.entity}/{artifact.project}/{name}"
        kind = "export" if files is not OF_RUN else "run"
        folder = cache_folder() / "artifacts" / path / f"{version}-{artifact.digest[:8]}" / kind
        with one_process_in(folder.parent):
            if not folder.is_dir():
                with new_folder(folder) as partial:
                    for name in files.keys() & artifact.manifest.entries.keys():
                        artifact.get_entry(name).download(str(partial), skip_cache=True)
                        (partial / files[name]).parent.mkdir(exist_ok=True)
                        (partial / name).rename(partial / files[name])
        return folder, f"{SCHEME}{path}:{version}"


def place_run(address: str, output: Path) -> Path:
    """Return the folder of a run in W&B, after a download into `output`; one that was placed before is kept."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"resume={address} creates a folder: start it with gan train alone, or resume a folder")
    source = local(address, whole=True)
    if not (source / RUN).is_file():
        raise UserError(f"{address} has no {LAST}: it is an export, and init={address} starts a new run from it")
    run = read_json(source / RUN, dict[str, Any])
    folder = output / file_name(f"{run.get('name')}-{run.get('id')}")
    last = f"{CHECKPOINTS}/{LAST}"
    if not folder.exists():
        with new_folder(folder) as partial:
            shutil.copytree(source, partial, dirs_exist_ok=True)
    elif not ((folder / last).is_file() and filecmp.cmp(folder / last, source / last, shallow=False)):
        raise UserError(f"{folder} exists, with another last checkpoint: resume={folder} continues from that one")
    return folder


@contextmanager
def asking_wandb(subject: str, advice: str, offline: str) -> Iterator[None]:
    """Turn errors of W&B's public API into a UserError of one line.

    advice: if there is no such thing. offline: what needs no account.
    """
    import wandb

    try:
        yield
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise UserError(f"{subject}: {first_line(error)}: log in with `wandb login`, or {offline}") from error
    except (wandb.errors.Error, ValueError, OSError) as error:
        raise UserError(f"{subject} can't be read from W&B: {first_line(error)}: {advice}") from error


def first_line(error: Any) -> str:
    """Return the first line of an error's message, or else its type."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".:")
