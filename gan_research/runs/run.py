"""The folder of a run, its record, and its lock."""

import errno
import hashlib
import json
import logging
import os
import platform
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
from filelock import FileLock, Timeout
from pydantic import ConfigDict, NonNegativeInt
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from gan_research._version import __version__
from gan_research.distributed import is_rank_zero, raise_on_all_ranks
from gan_research.utils.errors import UserError
from gan_research.utils.files import file_name, write_atomically
from gan_research.utils.reading import has_shape, read_json, reading
from gan_research.utils.run_folder import CONFIG, LOCK, PLAYER, RUN, Player, config_text

log = logging.getLogger(__name__)


class DataRecord(TypedDict):
    """The description of a run's training samples, and the hash of their content."""

    summary: str
    hash: str


class FirstWeights(TypedDict):
    """The source of a new run's first weights, and its round.

    A model in W&B is named by its version.
    """

    source: str
    round: NonNegativeInt


class Segment(TypedDict, total=False):
    """A start or resume of a run, after `round`; fields that earlier versions didn't write are missing."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    started: str
    round: NonNegativeInt
    command: list[str]
    commit: str | None
    gan_research: str
    python: str
    torch: str
    host: str
    device: str
    data: DataRecord
    init: FirstWeights


@dataclass
class Run:
    """A run: a folder with all of its files, a readable name, a group shared by its other seeds.

    overrides, config_dir: from which the config is composed. choices: the name chosen in each group of the config.
    job: of a scheduler or sweep, that started it. segments: one entry for each start or resume.
    """

    folder: Path
    name: str
    group: str
    tags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    config_dir: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: new_id())
    job: str | None = None
    segments: list[Segment] = field(default_factory=list)

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
        """Create the folder root/name-time, or root/name-time-N if it exists."""
        stem = file_name(f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")
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
        """Read the run in `folder`; fields of a newer version are left as they are in the file."""
        path = folder / RUN
        if not path.is_file():
            raise UserError(f"{folder} is not the folder of a run: it has no {RUN}")
        fields = read_json(path, dict[str, Any])
        with reading(path):
            return has_shape(fields | {"folder": folder, "config": {}}, cls)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run's lock, on rank zero; raise a UserError if another process has it.

        The kernel frees the lock with the process.
        """
        with ExitStack() as stack:
            with raise_on_all_ranks():
                if is_rank_zero():
                    self._acquire(stack)
            yield

    def _acquire(self, stack: ExitStack) -> None:
        try:
            stack.enter_context(FileLock(self.folder / LOCK).acquire(blocking=False))
        except Timeout:
            raise UserError(f"{self.folder} is being trained by {self._owner()}: wait for it, or end it") from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
                raise UserError(f"{self.folder} can't be written to: {error.strerror}") from error
            log.warning("%s can't be locked (%s): check that no other process trains it", self.folder, error)
        owner = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_atomically(self.folder / PLAYER, json.dumps(owner).encode())
        stack.callback((self.folder / PLAYER).unlink, missing_ok=True)
        for partial in self.folder.rglob(".*.partial"):  # left by a killed process
            partial.unlink()

    def _owner(self) -> str:
        try:
            owner = read_json(self.folder / PLAYER, Player)
            return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
        except UserError:  # not written yet
            return "another process"

    @property
    def data_hash(self) -> str | None:
        """The hash of the data that the run was trained on; None before its start, and in runs of earlier versions."""
        return next((segment["data"]["hash"] for segment in reversed(self.segments) if "data" in segment), None)

    def begin(
        self,
        config: dict[str, Any],
        device: torch.device | None = None,
        round: int = 0,
        data: DataRecord | None = None,
        init: FirstWeights | None = None,
    ) -> None:
        """Record in run.json and config.yaml that the run is started, or resumed after `round`.

        data: the description of the training samples, and the hash of their content. init: the source of the first
        weights.
        """
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
                **({"data": data} if data else {}),
                **({"init": init} if init else {}),
            }
        )
        fields = (read_json(self.folder / RUN, dict[str, Any]) if (self.folder / RUN).is_file() else {}) | asdict(self)
        del fields["folder"], fields["config"]
        write_atomically(self.folder / CONFIG, config_text(config, self.id).encode())
        write_atomically(self.folder / RUN, json.dumps(fields, indent=2, default=str).encode())


def new_id() -> str:
    """Return the id that W&B's agent gave to this process, else a new one."""
    agents = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    return agents or secrets.token_hex(4)


SWEEPS_RUN = "GAN_SWEEPS_RUN"  # the environment variable with the trial and run of a sweep's process


def job() -> str | None:
    """Return the scheduler's or sweep's name of this job, which restarts keep."""
    if own := os.environ.get(SWEEPS_RUN):
        return f"sweep {own}"
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"slurm {array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    if single := os.environ.get("SLURM_JOB_ID"):
        return f"slurm {single}"
    elastic = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return f"torchelastic {elastic}" if elastic not in ("", "none") else None


def source_digest() -> str:
    """Return a hash of the package's source, equal on ranks that run the same code."""
    digest = hashlib.blake2b(digest_size=8)
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or of the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = next(iter(models), platform.processor() or platform.machine())
    return f"{name}, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"


NO_DOCS = ":(exclude,top)docs"  # the pages, with records of reproductions, don't change what is trained


def commit() -> str | None:
    """Return the commit of this checkout, with "+" if it has changes outside of docs; None without one."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.check_output(
                ["git", "-C", str(source), *command], encoding="utf-8", stderr=subprocess.DEVNULL
            ).strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", ":/", NO_DOCS])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changes else "")
