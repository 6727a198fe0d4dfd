"""The processes of one host that play one game: started together, told the same signals, ended together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning.strategies import DDPStrategy

from gan_research.config.build import build_trainer
from gan_research.distributed.group import TIMEOUT
from gan_research.utils.errors import RESUME, UserError
from gan_research.utils.signals import end_with_parent, when_asked

GRACE = 15.0
"""Seconds that the others have to end by themselves when one of the processes has failed."""


def wanted(node: dict[str, Any]) -> int:
    """How many processes this one has to start for a config's trainer; 0: it is one of several already, or alone."""
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
    """Seconds after which a process that the others wait for is given up, by a config's trainer."""
    strategy = node.get("strategy")
    return strategy.get("timeout", TIMEOUT) if isinstance(strategy, dict) else TIMEOUT


def start(count: int, arguments: list[str]) -> int:
    """`gan` with these arguments in `count` processes on this host; the exit status of the run.

    Each is told its place by the variables that torchrun uses, too. A signal to this process reaches each of them
    once. Where one fails the others have `GRACE` seconds; all end when this process ends, however it does.
    """
    command = [sys.executable, "-m", "gan_research", *arguments]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    if "OMP_NUM_THREADS" not in os.environ:  # else they would fight for the cores
        shared["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    with when_asked(forward), master_port() as port:
        shared["MASTER_PORT"] = str(port)
        try:
            for rank in range(count):
                place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                environment = os.environ | shared | place
                children.append(
                    subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=end_with_parent())
                )
            return _waited_for(children)
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                    child.wait()


def _waited_for(children: list[subprocess.Popen[bytes]]) -> int:
    """The status of the run, when all of its processes have ended."""
    deadline = None
    while running := [child for child in children if child.poll() is None]:
        if deadline is None and any(child.returncode for child in children):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            for child in running:
                child.kill()
                child.wait()
            return _status(children, given_up={child.pid for child in running})
        time.sleep(0.02)
    return _status(children, given_up=set())


def _status(children: list[subprocess.Popen[bytes]], given_up: set[int]) -> int:
    """The first error that isn't the loss of another process; a process that was killed is said, and can go on."""
    statuses = [0 if child.pid in given_up else child.returncode for child in children]
    for rank, (child, status) in enumerate(zip(children, statuses, strict=True)):
        if end := _end(status, child.pid in given_up):
            print(f"gan: process {rank} of {len(children)} {end}", file=sys.stderr)
    own = [status for status in statuses if status > 0 and status != RESUME]
    return own[0] if own else RESUME if any(statuses) else 0


def _end(status: int, given_up: bool) -> str | None:
    """What a process came to, where it can't have said so itself, or without its rank."""
    if given_up:
        return f"didn't end within {GRACE:g} s of another's failure, and was killed"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}; the run can go on from its last checkpoint"
    return f"failed with exit status {status}" if status not in (0, UserError.status, RESUME) else None


@contextmanager
def master_port() -> Iterator[int]:
    """MASTER_PORT where it is set, else one that is free; a UserError where the given one isn't.

    Inside, no other program is given it: the socket stays bound. The first process can listen there all the same, as
    both sockets have SO_REUSEADDR, and this one doesn't listen.
    """
    given = os.environ.get("MASTER_PORT") or "0"
    if not (given.isdecimal() and int(given) < 2**16):
        raise UserError(f"MASTER_PORT={given} is no port: give a number below {2**16}, or unset it")
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else one of a run that has just ended isn't free
        try:
            server.bind(("127.0.0.1", int(given)))
        except OSError as error:
            raise UserError(f"MASTER_PORT={given} can't be had: {error.strerror}; set another, or unset it") from error
        yield int(server.getsockname()[1])
