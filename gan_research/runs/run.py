"""The folder of a run, and what the run is called."""

import hashlib
import json
import logging
import os
import platform
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from gan_research._version import __version__
from gan_research.distributed import is_rank_zero, raise_on_all_ranks
from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.run_folder import CONFIG, LOCK, PLAYER, RUN

log = logging.getLogger(__name__)


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
    choices: dict[str, str] = field(default_factory=dict)
    """What was chosen in each group of the config, by name."""
    id: str = field(default_factory=lambda: new_id())
    job: str | None = None
    """The scheduler's job that it was made by."""
    segments: list[dict[str, Any]] = field(default_factory=list)
    """One entry each time that the run was started or resumed: when, by which command, on what."""

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        group: str,
        tags: list[str],
        overrides: list[str],
        config_dir: Path | None,
        choices: dict[str, str] | None = None,
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
            where = config_dir and config_dir.resolve()
            return cls(folder, name, group, tags, overrides, where, choices=choices or {}, job=job())
        raise UserError(f"no free folder name for {stem} in {root}")

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The run that lives in `folder`."""
        path = folder / RUN
        if not path.is_file():
            raise UserError(f"{folder} is not the folder of a run: it has no {RUN}")
        fields = json.loads(path.read_text())
        return cls(**fields | {"folder": folder, "config_dir": fields["config_dir"] and Path(fields["config_dir"])})

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Inside, no other process plays this run; a UserError that says who does where one does.

        The kernel frees the lock when the process dies, however. Of several processes that play together the first
        holds it.
        """
        with ExitStack() as held:
            with raise_on_all_ranks():
                if is_rank_zero():
                    self._lock(held)
            yield

    def _lock(self, held: ExitStack) -> None:
        try:
            held.enter_context(FileLock(self.folder / LOCK).acquire(blocking=False))
        except Timeout:
            raise UserError(f"{self.folder} is being played by {self._player()}: wait for it, or end it") from None
        except (OSError, NotImplementedError) as error:
            log.warning("%s can't be locked (%s): see that no other process plays it", self.folder, error)
        player = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_atomically(self.folder / PLAYER, json.dumps(player).encode())
        held.callback((self.folder / PLAYER).unlink, missing_ok=True)
        for partial in self.folder.rglob(".*.partial"):  # a kill left it behind
            partial.unlink()

    def _player(self) -> str:
        try:
            player = json.loads((self.folder / PLAYER).read_text())
            return f"process {player['pid']} on {player['host']}, since {player['since']}"
        except (OSError, ValueError, KeyError):  # it has only just begun
            return "another process"

    def begin(self, config: dict[str, Any], device: torch.device | None = None, round: int = 0) -> None:
        """Write to run.json and config.yaml that the run is started, or resumed after `round`, with this config."""
        self.config = config
        self.segments.append(
            {
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "round": round,
                "command": sys.argv,
                "commit": commit(),
                "gan_research": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "host": platform.node(),
                "device": device_name(device or torch.device("cpu")),
            }
        )
        fields = asdict(self)
        del fields["folder"], fields["config"]
        write_atomically(self.folder / CONFIG, yaml.safe_dump(config, sort_keys=False).encode())
        write_atomically(self.folder / RUN, json.dumps(fields, indent=2, default=str).encode())


def new_id() -> str:
    """W&B's own where its agent started this process, else a new one."""
    agents = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    return agents or secrets.token_hex(4)


def was_played(folder: Path) -> bool:
    """Whether a game was begun in the folder of a run: a study of the theory leaves one behind, too."""
    return (folder / LOCK).is_file()


SWEEPS_RUN = "GAN_SWEEPS_RUN"
"""The variable by which a sweep tells a process which of its runs it plays."""


def job() -> str | None:
    """The scheduler's name for this job, or the sweep's, the same when it is begun again; None outside of one."""
    if own := os.environ.get(SWEEPS_RUN):
        return f"sweep {own}"
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"slurm {array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    if single := os.environ.get("SLURM_JOB_ID"):
        return f"slurm {single}"
    elastic = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return f"torchelastic {elastic}" if elastic not in ("", "none") else None


def source_digest() -> str:
    """A hash of the package's source, by which processes tell whether they run the same code."""
    digest = hashlib.blake2b(digest_size=8)
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def device_name(device: torch.device) -> str:
    """What a GPU, or the CPU, is called; with the threads that torch uses of the latter."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = next(iter(models), platform.processor() or platform.machine())
    return f"{name}, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"


NO_DOCS = ":(exclude,top)docs"
"""The pages, among which a queue of reproductions keeps its records, don't change what is trained."""


def commit() -> str | None:
    """Return the commit of this source tree, with '+' where it has changes outside of docs; None without a checkout."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(source)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "--", ":/", NO_DOCS], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if dirty.strip() else "")
