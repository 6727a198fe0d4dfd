"""Two processes on one host: told what is wrong before anything begins, stopped together, lost, and resumed."""

import json
import os
import re
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from gan_research.launchers import local_processes as processes
from gan_research.utils.errors import RESUME

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked at in /proc")

GAME = (
    "rounds=24", "batch_size=16", "precision=64", "logger=none", "metrics=none", "generator.width=16",
    "discriminator.width=16", "log_every=5", "checkpoint_every=6", "sample_every=9",
)  # fmt: skip
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")

AT_ROUND = """
import os, signal, time
from gan_research.training.gan import GAN
play = GAN.training_step

def step(self, *arguments):
    if self.round == {at}:
        {action}
    play(self, *arguments)

if os.environ.get("RANK") == "{rank}":
    GAN.training_step = step
"""


def in_rank(rank, *lines):
    """Python that only the process of this rank executes."""
    return "\n".join(["import os, signal", f"if os.environ.get('RANK') == '{rank}':", *(f"    {x}" for x in lines)])


def at_round(at, action, rank=1):
    """Python by which a process does something in the round after the `at`-th."""
    return AT_ROUND.format(at=at, action=action, rank=rank)


@pytest.fixture
def two(server, tmp_path):
    """two(*words): `gan train` on two processes, at its end."""
    return lambda *words, **more: server("train", f"output={tmp_path}", *GAME, *TWO, *words, **more)


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory, the_run):
    """The folder of an uninterrupted run on two processes."""
    output = tmp_path_factory.mktemp("whole")
    assert server("train", f"output={output}", *GAME, *TWO).status == 0
    return the_run(output)


@pytest.fixture
def same_end(server, whole, state, rows, identical):
    """Asserts that a run goes on, on two processes, to the very end of the uninterrupted one."""

    def check(run):
        ended = server("train", f"resume={run}")
        assert (ended.status, ended.error) == (0, "")
        assert rows(run) == rows(whole)
        assert identical(state(run), state(whole))

    return check


def one_line(ended, *parts, status=2):
    """It failed with one line, of these parts."""
    assert ended.status == status, ended
    assert ended.error.count("\n") == 1, ended.error
    for part in parts:
        assert part in ended.error
    assert ended.output == ""


def no_folder(output):
    return list(Path(output).iterdir()) == []


# ------------------------------------------------------------------------------------------ before anything begins


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trainer.accelerator=gpu", "trainer.devices=9"], ["trainer: No supported gpu backend", "Take trainer=cpu"]),
        (["trainer.devices=[0,1]"], ["trainer: `devices`", "should be an int > 0"]),
        (["trainer.devices=0"], ["trainer: `Trainer(devices=0)`"]),
        (["trainer.devices=two"], ["trainer: `devices`", "should be an int > 0"]),
        (["trainer.accelerator=abacus"], ["invalid accelerator name", "cpu"]),
        (["trainer.strategy=deepspeed"], ["DeepSpeed takes one optimizer, and a game has two; take trainer=ddp"]),
        (["trainer.strategy=fsdp"], ["trainer=fsdp is ours; take trainer=ddp"]),
        (["trainer.strategy=ddp"], ["Lightning's DDP reduces both players in each backward", "take trainer=ddp"]),
        (["trainer.strategy=ddp_spawn"], ["Lightning's DDP reduces both players", "take trainer=ddp"]),
        (["trainer.strategy=auto"], ["Lightning's DDP reduces both players", "take trainer=ddp"]),
        (["trainer.strategy=dp"], ["invalid strategy name", "dp"]),
        (["trainer.strategy.timeout=0"], ["trainer.strategy.timeout=0", "greater than 0"]),
        (["+trainer.precision=16-mixed"], ["trainer.precision=16-mixed", "set precision=bf16"]),
        (["+trainer.num_nodes=2"], ["trainer.num_nodes=2: start gan train on each host by torchrun or srun"]),
        (["trainer=ddp_multinode", "trainer.devices=1"], ["trainer.num_nodes=2: start", "docs/cluster.md"]),
    ],
    ids=lambda value: value[-1].lstrip("+") if "=" in value[0] and " " not in value[0] else "",
)
def test_a_trainer_that_cannot_be(words, parts, gan, tmp_path, capfd):
    result = gan("train", f"output={tmp_path}", *GAME, *TWO, *words)
    assert result.status == 2
    assert result.error.count("\n") == 1
    assert all(part in result.error for part in parts), result.error
    assert no_folder(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("port", ["notaport", "70000", "-1"])
def test_a_port_that_is_none(port, gan, tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER_PORT", port)
    result = gan("train", f"output={tmp_path}", *GAME, *TWO)
    assert result.error == f"gan: error: MASTER_PORT={port} is no port: give a number below 65536, or unset it\n"
    assert no_folder(tmp_path)


def test_a_port_in_use(gan, tmp_path, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("MASTER_PORT", str(other.getsockname()[1]))
        result = gan("train", f"output={tmp_path}", *GAME, *TWO)
    assert result.status == 2
    assert re.fullmatch(r"gan: error: MASTER_PORT=\d+ isn't available: Address already in use.*\n", result.error)
    assert no_folder(tmp_path)


def test_a_port_of_a_run_that_has_just_ended_can_be_had(monkeypatch):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torch's store does
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()  # the server's end closes first, and keeps the port for a minute
            client.recv(1)
    monkeypatch.setenv("MASTER_PORT", str(port))
    with processes.master_port() as had:
        assert had == port


def test_a_port_is_held_until_the_run_has_it(monkeypatch):
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with processes.master_port() as port:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        store = torch.distributed.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
        store.set("here", "1")
        assert torch.distributed.TCPStore("127.0.0.1", port).get("here") == b"1"


def variables(rank, port):
    """The variables of one of two processes that are started by hand."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return group | {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def test_variables_of_another_program_are_named(gan, tmp_path, monkeypatch):
    for name, value in variables(0, 29500).items():
        monkeypatch.setenv(name, value)
    one_line(
        gan("train", f"output={tmp_path}", *GAME, "trainer=cpu"), "WORLD_SIZE=2 is set", "trainer is of one device"
    )
    monkeypatch.setenv("RANK", "two")
    one_line(gan("train", f"output={tmp_path}", *GAME, *TWO), "RANK=two is set")
    assert no_folder(tmp_path)


def test_a_program_that_accepts_and_is_silent_is_given_up_after_the_timeout(server, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        words = ["train", f"output={tmp_path}", *GAME, *TWO, "trainer.strategy.timeout=2"]
        patch = "from gan_research.distributed import group; group.PATIENCE = 1.0"
        ended = server(*words, patch=patch, **variables(1, other.getsockname()[1]))
    assert ended.status == RESUME
    waiting, lost = ended.error.splitlines()
    assert "RANK=1 WORLD_SIZE=2 are set" in waiting
    assert "didn't come together" in lost
    assert ended.seconds < 2 + 15
    assert no_folder(tmp_path)


@pytest.mark.parametrize("other", [["seed=4"], ["resume=auto"], ["evaluate", "digits", "digits", "--raw"]])
def test_processes_that_are_started_unlike_each_other(other, server, tmp_path):
    words = ["train", f"output={tmp_path}", *GAME, *TWO]
    others = other if other[0] == "evaluate" else [*words, *other]
    with processes.master_port() as port:
        started = [server.start(*w, **variables(rank, port)) for rank, w in enumerate((words, others))]
        first, second = [process.ended() for process in started]
    one_line(first, "process 1 on", f"another command than the first on {os.uname().nodename}", other[-1])
    assert (second.status, second.error) == (2, "")
    assert no_folder(tmp_path)


DIVIDE = "make it a multiple of 6"
OTHER_WIDTH = in_rank(
    1,
    "from gan_research.cli import train",
    "compose = train.compose_train",
    "train.compose_train = lambda words, folder: compose([*words, 'discriminator.width=32'], folder)",
)
OTHER_CODE = in_rank(1, "from gan_research.runs import fit", "fit.source_digest = lambda: 'edited'")


@pytest.mark.parametrize(
    ("words", "patch", "parts"),
    [
        (["accumulation=3"], "", ["batch_size=16 can't be divided into 6 parts", DIVIDE]),
        ([], OTHER_WIDTH, ["process 1 on {host} has another discriminator.width than the first on {host}: 32, not 16"]),
        ([], OTHER_CODE, ["process 1 on {host} has another gan_research than the first on {host}: edited, not "]),
    ],
    ids=["a batch that doesn't divide", "another config", "other code"],
)
def test_what_all_processes_see_is_said_once_and_leaves_no_folder(words, patch, parts, two, tmp_path):
    one_line(two(*words, patch=patch), *(part.format(host=os.uname().nodename) for part in parts))
    assert no_folder(tmp_path)


# ------------------------------------------------------------------------------------------------ a failing process

SHORT_GRACE = "from gan_research.launchers import local_processes as processes; processes.GRACE = 2.0\n"
KILLED_WHILE_JOINING = (
    "from gan_research.distributed import group",
    "group._join = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)",
)


def test_a_process_that_cannot_start_ends_the_other(two, tmp_path):
    ended = two(patch=SHORT_GRACE + in_rank(1, "raise ImportError('no such module')"))
    assert ended.status == 1
    assert ended.error.count("Traceback") == 1
    *_, cause, first, second = ended.error.splitlines()
    assert cause == "ImportError: no such module"
    assert first == "gan: process 0 of 2 didn't end within 2 s of another's failure, and was killed"
    assert second == "gan: process 1 of 2 failed with exit status 1"
    assert ended.seconds < 2 + 15
    assert no_folder(tmp_path)


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_process_that_is_killed_while_they_come_together(rank, two, tmp_path):
    ended = two(patch=SHORT_GRACE + in_rank(rank, *KILLED_WHILE_JOINING))
    assert ended.status == RESUME
    assert f"gan: process {rank} of 2 was ended by SIGKILL; the run can be resumed" in ended.error
    assert "Traceback" not in ended.error
    assert ended.seconds < 2 + 15
    assert no_folder(tmp_path)


@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_killed_process_ends_the_run_which_can_go_on(rank, two, tmp_path, the_run, same_end):
    ended = two(patch=at_round(15, "os.kill(os.getpid(), signal.SIGKILL)", rank))
    run, host = the_run(tmp_path), os.uname().nodename
    assert ended.status == RESUME
    said, killed = ended.error.splitlines()
    assert killed == f"gan: process {rank} of 2 was ended by SIGKILL; the run can be resumed from its last checkpoint"
    lost = f"process {1 - rank} on {host} lost another process of this run ({rank} on {host}), in "
    assert lost in said
    assert said.endswith(f"after round 15, resume with: gan train resume={run}")
    assert ended.seconds < 20
    same_end(run)


@pytest.mark.long
def test_a_process_that_hangs_is_given_up_after_the_timeout(two, tmp_path, the_run, same_end):
    ended = two("trainer.strategy.timeout=3", patch=SHORT_GRACE + at_round(15, "time.sleep(1000)"))
    assert ended.status == RESUME
    said, killed = ended.error.splitlines()
    assert "in the gradients of the discriminator: Timed out waiting 3000ms" in said
    assert killed == "gan: process 1 of 2 didn't end within 2 s of another's failure, and was killed"
    assert ended.seconds < 3 + 2 + 15
    same_end(the_run(tmp_path))


def test_an_evaluation_that_fails_in_one_process(server, tmp_path, the_run):
    fail = in_rank(
        1,
        "from gan_research.callbacks import Evaluate",
        "from gan_research.utils.errors import UserError",
        "act = Evaluate.act",
        "def failing(self, trainer, gan):",
        "    if gan.round == 12: raise UserError('no memory for the features')",
        "    act(self, trainer, gan)",
        "Evaluate.act = failing",
    )
    measured = ["metrics=digits", "metrics.num_samples=100", "evaluate_every=12"]
    words = ["train", f"output={tmp_path}", *(word for word in GAME if word != "metrics=none"), *TWO, *measured]
    ended = server(*words, patch=fail)
    assert ended.status == 2
    assert "gan: error: process 1: no memory for the features\n" in ended.error
    assert "Traceback" not in ended.error
    assert ended.seconds < 30
    run = the_run(tmp_path)
    assert server("train", f"resume={run}").status == 0
    assert [row["round"] for row in metrics(run) if any(name.endswith("fid") for name in row)] == [0, 12, 24]


# ---------------------------------------------------------------------------------------------------- being stopped


def metrics(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


SLOW = "import time\nfrom gan_research.training.gan import GAN\nplay = GAN.training_step\n" + (
    "GAN.training_step = lambda self, *arguments: (time.sleep(0.1), play(self, *arguments))[1]\n"
)


@pytest.fixture
def under_way(server, tmp_path):
    """under_way(): a run on two processes, in its 8th round or a later one; a round takes a tenth of a second."""

    def start():
        started = server.start("train", f"output={tmp_path}", *GAME, *TWO, "progress_seconds=0.05", patch=SLOW)
        started.until(lambda: re.search(r"^round ([89]|1\d)/24", started.output, re.MULTILINE))
        return started

    return start


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.long) for n in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)),
    ],
)
def test_a_signal_to_the_parent_stops_all_after_the_same_round(number, under_way, tmp_path, the_run, state, same_end):
    started = under_way()
    assert len(started.ranks()) == 2
    os.kill(started.pid, number)
    ended = started.ended()
    run = the_run(tmp_path)
    stopped = state(run)["gan_research"]["round"]
    assert (ended.status, ended.error) == (RESUME, "")
    assert 8 <= stopped < 24
    assert f"stopped after round {stopped}; resume with: gan train resume={run}" in ended.output
    same_end(run)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_one_process_stops_all_after_the_same_round(number, under_way, tmp_path, the_run, state, same_end):
    started = under_way()
    os.kill(started.ranks()[1], number)
    ended = started.ended()
    assert (ended.status, ended.error) == (RESUME, "")
    assert 8 <= state(the_run(tmp_path))["gan_research"]["round"] < 24
    same_end(the_run(tmp_path))


def test_when_the_parent_is_killed_its_processes_stop_and_the_run_can_go_on(
    under_way, tmp_path, the_run, state, same_end
):
    started = under_way()
    ranks = started.ranks()
    os.kill(started.pid, signal.SIGKILL)
    ended = started.ended(seconds=30)  # which includes that nothing is left of it
    assert ended.status == -signal.SIGKILL
    assert not any(is_running(rank) for rank in ranks)
    run = the_run(tmp_path)
    assert 8 <= state(run)["gan_research"]["round"] < 24
    same_end(run)


def is_running(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


# ------------------------------------------------------------------------------------------------------ one history


def test_two_processes_write_one_history_and_one_run_of_wandb(two, whole, tmp_path, the_run, rows):
    assert two("logger=wandb").status == 0
    run = the_run(tmp_path)
    assert rows(run) == rows(whole)
    rounds = [row["round"] for row in metrics(run)]
    assert rounds == sorted(set(rounds))
    assert len(list((run / "wandb").glob("offline-run-*"))) == 1
    assert [len(json.loads((run / "run.json").read_text())["segments"])] == [1]
    assert not list(run.glob("*rank*"))
