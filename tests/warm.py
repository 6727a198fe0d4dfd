"""`gan` in processes of its own, each forked from a server that has imported what takes seconds to import."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PATCH = "GAN_TEST_PATCH"
"""The variable with Python that each process of a run executes before its command."""


KILLED = """
import os, signal
from gan_research.training.gan import GAN

play = GAN.training_step


def until(self, *args):
    if self.round == {round}:
        os.kill(os.getpid(), signal.SIGKILL)
    play(self, *args)


GAN.training_step = until
"""
"""A patch that kills a process in that round."""


class Ended(NamedTuple):
    status: int
    output: str
    error: str
    seconds: float


class Server:
    """Starts `gan`; when it is closed, or the tests are killed, all that it started is killed."""

    def __init__(self, folder, **variables):
        self.folder, self.count = folder, 0
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        )
        assert self.ask(alive=True) == {}

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.ask(close=True)  # the end of the pipe would be seen only once all that this process forked is gone
        self.process.wait(60)
        self.process.stdin.close()

    def start(self, *arguments, patch="", **variables):
        """`gan` with these arguments, environment variables, and a `patch` of it."""
        self.count += 1
        log = self.folder / str(self.count)
        words = [str(word) for word in arguments]
        for end in (".out", ".err"):
            log.with_suffix(end).touch()
        pid = self.ask(arguments=words, variables=variables | {PATCH: patch}, log=str(log))["pid"]
        return Started(self, pid, log)

    def __call__(self, *arguments, **more):
        """`gan`, at its end."""
        return self.start(*arguments, **more).ended()


class Started:
    """One `gan`, and the processes that it starts in turn."""

    def __init__(self, server, pid, log):
        self.server, self.pid, self.log = server, pid, log
        self.began = time.monotonic()

    @property
    def output(self):
        return self.log.with_suffix(".out").read_text()

    @property
    def error(self):
        return self.log.with_suffix(".err").read_text()

    def ranks(self):
        """The processes that it started, in the order of their ranks."""
        return children(self.pid)

    def until(self, holds, seconds=120):
        """Wait until `holds()`, and give what it gives."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, (self.output, self.error)
            assert self.server.ask(poll=self.pid)["status"] is None, (self.output, self.error)
            time.sleep(0.02)
        return found

    def ended(self, seconds=120):
        """What came of it. Whatever it started must be gone, too."""
        deadline = time.monotonic() + seconds
        while (status := self.server.ask(poll=self.pid)["status"]) is None:
            assert time.monotonic() < deadline, ("it hangs", self.output, self.error)
            time.sleep(0.02)
        took = time.monotonic() - self.began
        while left := self.server.ask(left=True)["pids"]:
            assert time.monotonic() < deadline, (f"{left} are left", self.output, self.error)
            time.sleep(0.02)
        return Ended(status, self.output, self.error, took)


def children(pid):
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Forked:
    """subprocess.Popen of `python -m gan_research ...`, as far as `gan` uses it."""

    def __init__(self, command, env, start_new_session, preexec_fn, stdin=None, stdout=None, stderr=None):
        self.returncode = None
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            if stdout is not None:
                for stream in (1, 2):
                    os.dup2(stdout.fileno(), stream)
            preexec_fn()
            run(command[3:], env)

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self):
        while self.poll() is None:
            time.sleep(0.01)

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def run(arguments, environment):
    """`gan`, in a child."""
    from gan_research import cli

    status = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        exec(environment[PATCH], {})
        status = cli.main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve():
    import sklearn.datasets  # noqa: F401
    import torch

    from gan_research.cli import export, multirun, sample, sweep, train  # noqa: F401
    from gan_research.launchers import local_processes, submission  # noqa: F401
    from gan_research.runs import auto_resume, fit  # noqa: F401
    from gan_research.sweeps import optuna_search, run_process  # noqa: F401

    torch.set_num_threads(1)
    set_child_subreaper = 36
    ctypes.CDLL(None).prctl(set_child_subreaper, 1)
    run_process.Forked = run_process.spawn
    local_processes.subprocess = run_process.subprocess = type("subprocess", (), {"Popen": Forked, "DEVNULL": None})
    statuses = {}
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answer(request, statuses)), flush=True)
        if "close" in request:
            break
    while left := children(os.getpid()):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def answer(request, statuses):
    reap(statuses)
    if "arguments" in request:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            redirect(request["log"])
            run(request["arguments"], os.environ | request["variables"])
        return {"pid": pid}
    if "poll" in request:
        return {"status": statuses.get(request["poll"])}
    return {"pids": children(os.getpid())} if "left" in request else {}


def reap(statuses):
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            statuses[found[0]] = os.waitstatus_to_exitcode(found[1])


def redirect(log):
    create = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for target, (path, how) in enumerate([(os.devnull, os.O_RDONLY), (f"{log}.out", create), (f"{log}.err", create)]):
        source = os.open(path, how, 0o644)
        os.dup2(source, target)
        os.close(source)


if __name__ == "__main__":
    serve()
