"""The processes of one host that train one run: they start, get signals and end together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy

from gan_research.config.build import build_trainer
from gan_research.distributed.group import TIMEOUT
from gan_research.utils.errors import RESUME, UserError
from gan_research.utils.ranks import ADVICE, require_port
from gan_research.utils.signals import on_stop_signals, terminate_with_parent

GRACE = 15.0  # seconds within which the other processes have to end when one has failed


def processes_to_start(node: dict[str, Any]) -> int:
    """Return how many processes a config's trainer needs; 0: this one is enough, or one of several already."""
    size = os.environ.get("WORLD_SIZE", "1")
    if int(size) > 1 and isinstance(build_trainer(node).strategy, SingleDeviceStrategy):
        raise UserError(f"WORLD_SIZE={size} is set, and the trainer is of one device: take trainer=ddp and {ADVICE}")
    if "RANK" in os.environ or "strategy" not in node:
        return 0
    trainer = build_trainer(node)
    if not isinstance(trainer.strategy, DDPStrategy) or trainer.world_size == 1:
        return 0
    if trainer.num_nodes > 1:
        raise UserError(
            f"trainer.num_nodes={trainer.num_nodes}: start gan train on each host by torchrun or srun, see "
            "docs/cluster.md, or set trainer.num_nodes=1"
        )
    return trainer.num_devices


def timeout_of(node: dict[str, Any]) -> float:
    """Return the seconds after which a process that doesn't answer counts as lost."""
    strategy = node.get("strategy")
    return strategy.get("timeout", TIMEOUT) if isinstance(strategy, dict) else TIMEOUT


def start(count: int, arguments: list[str]) -> int:
    """Run `gan` with these arguments in `count` processes on this host; return the exit status of the run.

    Ranks are set by the variables of torchrun. A signal to this process is forwarded once to each of them. If one
    fails, the others have `GRACE` seconds. All end when this process ends, for whatever reason.
    """
    command = [sys.executable, "-m", "gan_research", *arguments]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    if "OMP_NUM_THREADS" not in os.environ:  # else they compete for the cores
        shared["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    with on_stop_signals(forward), master_port() as port:
        shared["MASTER_PORT"], follow = str(port), terminate_with_parent()
        try:
            for rank in range(count):
                environment = os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                child = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=follow)
                children.append(child)
            return _wait(children)
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                    child.wait()


def _wait(children: list[subprocess.Popen[bytes]]) -> int:
    """Wait for all processes; return the status of the run."""
    deadline = None
    while running := [child for child in children if child.poll() is None]:
        if deadline is None and any(child.returncode for child in children):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            for child in running:
                child.kill()
                child.wait()
            return _status(children, killed={child.pid for child in running})
        time.sleep(0.02)
    return _status(children, killed=set())


def _status(children: list[subprocess.Popen[bytes]], killed: set[int]) -> int:
    """Return the first error that isn't the loss of another process; report each process that was killed."""
    statuses = [0 if child.pid in killed else child.returncode for child in children]
    for rank, (child, status) in enumerate(zip(children, statuses, strict=True)):
        if message := _failure_message(status, child.pid in killed):
            print(f"gan: process {rank} of {len(children)} {message}", file=sys.stderr)
    own = [status for status in statuses if status > 0 and status != RESUME]
    return own[0] if own else RESUME if any(statuses) else 0


def _failure_message(status: int, killed: bool) -> str | None:
    """Return how a process ended, if it hasn't reported that itself."""
    if killed:
        return f"didn't end within {GRACE:g} s of another's failure, and was killed"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}; the run can be resumed from its last checkpoint"
    return f"failed with exit status {status}" if status not in (0, UserError.status, RESUME) else None


@contextmanager
def master_port() -> Iterator[int]:
    """Reserve MASTER_PORT if it is set, else a free port; raise a UserError if it isn't free.

    The socket stays bound, so that no other program gets the port. Rank zero can listen there nevertheless: both
    sockets have SO_REUSEADDR, and this one doesn't listen.
    """
    setting = os.environ.get("MASTER_PORT") or "0"
    require_port(setting)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else one of a run that has just ended isn't free
        try:
            server.bind(("127.0.0.1", int(setting)))
        except OSError as error:
            raise UserError(
                f"MASTER_PORT={setting} isn't available: {error.strerror}; set another, or unset it"
            ) from error
        yield int(server.getsockname()[1])
