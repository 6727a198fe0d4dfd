"""Exports on the Hugging Face Hub, by their addresses: hf://USER/NAME, or hf://USER/NAME@REVISION."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gan_research.utils.errors import UserError, one_line
from gan_research.utils.paths import HUB
from gan_research.utils.reading import limited, read_json

REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
ADVICE = "check the spelling and the network; what isn't public needs `hf auth login` or HF_TOKEN"


def require_repository(address: str) -> None:
    """Raise a UserError unless an address is well-formed, and huggingface_hub is installed."""
    if not REPOSITORY.fullmatch(split(address)[0]):
        raise UserError(f"{address}: give {HUB}USER/NAME, as in {HUB}me/digits, or {HUB}USER/NAME@REVISION")
    if find_spec("huggingface_hub") is None:
        raise UserError(f"{address} needs huggingface_hub: pip install 'gan_research[hub]'")


def split(address: str) -> tuple[str, str | None]:
    """Return the repository of an address, USER/NAME, and its revision: a branch, tag or commit; None: the newest."""
    repository, _, revision = address.removeprefix(HUB).partition("@")
    return repository, revision or None


def fetch_export(address: str, mark: str, config: str, weights: tuple[str, ...]) -> tuple[Path, str]:
    """Download an export unless it is cached; return its folder, and its address by commit.

    Without a network, one that was downloaded before is used.

    mark: the key of the file `config` that an export has. weights: its other files, those that it lists in `files`.
    """
    require_repository(address)
    repository, revision = split(address)
    with asking_hub(address) as hub:
        path = Path(hub.hf_hub_download(repository, config, revision=revision))
        content = read_json(path, dict[str, Any])
        if mark not in content:
            raise UserError(f"{address} isn't an export of gan_research: its {config} has no {mark}")
        commit = path.parent.name
        for name in set(weights) & {*content.get("files", ())}:
            hub.hf_hub_download(repository, name, revision=commit)
    return path.parent, f"{HUB}{repository}@{commit}"


def require_pushable(address: str, mark: str, config: str) -> None:
    """Raise a UserError unless the user may push, to a repository without other files."""
    require_repository(address)
    repository, _ = split(address)
    with asking_hub(address) as hub:
        hub.whoami()  # its error tells how to log in
        if not hub.repo_exists(repository):
            return
        files = {*hub.list_repo_files(repository)} - {".gitattributes", "README.md"}
        if files and mark not in (
            read_json(Path(hub.hf_hub_download(repository, config)), dict[str, Any]) if config in files else {}
        ):
            raise UserError(f"{address} has files that aren't an export of gan_research: give another name")


def push_export(folder: Path, address: str, message: str, private: bool) -> str:
    """Upload the files of an export's folder in one commit; return its URL. Other files there are deleted."""
    repository, _ = split(address)
    with asking_hub(address) as hub:
        hub.create_repo(repository, private=private or None, exist_ok=True)
        others = ["*.safetensors", "*.pt2"]  # of a former export
        commit = hub.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=message, delete_patterns=others
        )
    return str(commit.commit_url)


@contextmanager
def asking_hub(address: str) -> Iterator[Any]:
    """Yield the client of the hub, without progress bars; turn its errors into a UserError of one line."""
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()
    try:
        yield huggingface_hub.HfApi()
    except UserError:
        raise
    except Exception as error:  # of HTTP, of the network, of a wrong name: it has no common class
        reason = limited(one_line(error)).partition(" (Request ID")[0].rstrip(".")
        raise UserError(f"{address}: the Hugging Face Hub: {reason}: {ADVICE}") from error
