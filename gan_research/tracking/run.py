"""The folder of a run, and what the run is called."""

import json
import platform
import re
import secrets
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from gan_research import __version__
from gan_research.errors import UserError
from gan_research.files import write_atomically


@dataclass
class Run:
    """A run: one folder that holds all of it, a name that a person can read, a group shared by its other seeds."""

    folder: Path
    name: str
    group: str
    tags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    """What the config was composed of, with `config_dir` beside the project's own."""
    config_dir: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    segments: list[dict[str, Any]] = field(default_factory=list)
    """One entry each time that the run was started or resumed: when, by which command, on what."""

    @classmethod
    def create(
        cls, root: Path, name: str, group: str, tags: list[str], overrides: list[str], config_dir: Path | None
    ) -> "Run":
        """A run in a new folder root/name-time; two runs of the same second get two folders."""
        stem = re.sub(r"[^\w.+=-]+", "_", f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")
        for attempt in range(1, 1000):
            folder = root / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                folder.mkdir(parents=True, exist_ok=False)
            except FileExistsError:
                if root.exists() and not root.is_dir():
                    raise UserError(f"output={root} is a file: give a folder") from None
                continue
            except OSError as error:
                raise UserError(f"the run's folder {folder} can't be made: {error.strerror}") from None
            return cls(folder, name, group, tags, overrides, config_dir and config_dir.resolve())
        raise UserError(f"no free folder name for {stem} in {root}")

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run that lives in `folder`."""
        path = folder / "run.json"
        if not path.is_file():
            raise UserError(f"{folder} is not the folder of a run: it has no run.json")
        fields = json.loads(path.read_text())
        return cls(**fields | {"folder": folder, "config_dir": fields["config_dir"] and Path(fields["config_dir"])})

    def begin(self, config: dict[str, Any]) -> None:
        """Note that the run is started, or resumed, now, with this config; writes run.json and config.yaml."""
        self.config = config
        self.segments.append(
            {
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "command": sys.argv,
                "commit": commit(),
                "gan_research": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "host": platform.node(),
            }
        )
        fields = asdict(self)
        del fields["folder"], fields["config"]
        write_atomically(self.folder / "config.yaml", yaml.safe_dump(config, sort_keys=False).encode())
        write_atomically(self.folder / "run.json", json.dumps(fields, indent=2, default=str).encode())


def commit() -> str | None:
    """The commit of this source tree, with '+' where it has changes; None outside a checkout."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(source)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if dirty.strip() else "")
