"""Two hosts, each with its own network, name and torchrun: they play one game; one of them is lost, and comes back."""

import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from together import play_game, result
from two_hosts import TORCHRUN, made, reason_why_not

pytestmark = pytest.mark.skipif(bool(reason_why_not()), reason=reason_why_not())

GAME = (
    "data=digits", "batch_size=16", "precision=64", "logger=none", "metrics=none", "prior.latent_dim=4",
    "log_every=100", "sample_every=1000", "checkpoint_every=25",
)  # fmt: skip
TIMEOUT = 5
"""Seconds after which a process that is waited for is given up."""
TOLERANCE = 1e-6


@pytest.fixture
def hosts():
    yield from made()


@pytest.fixture
def two(hosts, tmp_path):
    """The hosts, and `gan train` on them."""
    first = hosts[0]

    def start(host, *words, restarts=0):
        """`gan train`, one process by torchrun, on this host."""
        torchrun = [
            TORCHRUN, "--nnodes=2", "--nproc-per-node=1", f"--max-restarts={restarts}", "--rdzv-backend=c10d",
            f"--rdzv-endpoint={first.name}:29500", "--rdzv-id=game",
        ]  # fmt: skip
        trainer = ["trainer=ddp_multinode", "trainer.accelerator=cpu", "trainer.devices=1"]
        waits = f"trainer.strategy.timeout={TIMEOUT}"
        command = ["-m", "gan_research", "train", f"output={tmp_path / 'runs'}", *GAME, *trainer, waits, "resume=auto"]
        # the store that torchrun's agents would share is unknown to an agent that joins later
        variables = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        return host.start([*torchrun, *command, *words], log_of(host), variables)

    def log_of(host):
        return tmp_path / f"{host.name}.log"

    def said(host):
        return log_of(host).read_text()

    return SimpleNamespace(hosts=hosts, start=start, said=said, run=lambda: only(tmp_path / "runs"))


def only(folder):
    (found,) = Path(folder).iterdir()
    return found


def until(holds, seconds, what):
    """Wait until `holds()`; how long that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, what()
        time.sleep(0.02)
    return time.monotonic() - began


def ended(two, processes, seconds=150):
    """Both torchruns end well."""
    logs = lambda: "\n\n".join(map(two.said, two.hosts))  # noqa: E731
    until(lambda: all(process.poll() is not None for process in processes), seconds, logs)
    assert [process.returncode for process in processes] == [0, 0], logs()


def check(run, rounds):
    """The run's last checkpoint holds what one process on one host makes of the game."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["gan_research"]["round"] == rounds
    alone = result(play_game([*GAME, f"rounds={rounds}"])[0])
    weights = checkpoint["state_dict"]
    assert weights.keys() == alone.keys() - {"counted"}
    apart = {name: (weights[name].double() - alone[name].double()).abs().max().item() for name in weights}
    assert max(apart.values()) < TOLERANCE, apart


@pytest.mark.long
def test_two_hosts_play_the_game_that_one_plays(two):
    ended(two, [two.start(host, "rounds=20") for host in two.hosts])
    check(two.run(), 20)
    assert two.said(two.hosts[0]).count("20/20") + two.said(two.hosts[1]).count("20/20") == 1


def under_way(two, restarts):
    """torchrun on each host, of a game of 300 rounds that has a checkpoint, and goes on."""
    processes = {host: two.start(host, "rounds=300", restarts=restarts) for host in two.hosts}
    began = lambda host: re.search(r"^round ([6-9]\d)/300", two.said(host), re.MULTILINE)  # noqa: E731
    until(lambda: any(map(began, two.hosts)), 150, lambda: "\n\n".join(map(two.said, two.hosts)))
    return processes


def lost(two, left, gone):
    """Wait until the process on the host that is left has said, in one line, whom it lost; how long that took."""
    line = re.compile(
        rf"gan: error: (?:process \d: )?process (\d) on {left.name} lost another process of this run "
        rf"\((\d) on {gone.name}\), in [a-z ]+: .+"
        r"; after round \d+, resume with: gan train"
    )
    took = until(lambda: line.search(two.said(left)), TIMEOUT + 10, lambda: two.said(left))
    assert set(line.search(two.said(left)).groups()) == {"0", "1"}
    return took


@pytest.mark.long
def test_a_host_that_is_killed_is_missed_at_once_and_may_come_back(two):
    first, second = two.hosts
    processes = under_way(two, restarts=1)
    second.kill()
    assert lost(two, first, second) < 3
    processes[second] = two.start(second, "rounds=300", restarts=1)  # the same line again, on this host alone
    ended(two, processes.values())
    check(two.run(), 300)


@pytest.mark.long
def test_where_the_host_that_all_meet_at_is_killed_all_are_started_again(two):
    first, second = two.hosts
    processes = under_way(two, restarts=1)
    first.kill()
    assert lost(two, second, first) < 3
    until(lambda: processes[second].poll() is not None, 90, lambda: two.said(second))
    assert processes[second].returncode != 0
    ended(two, [two.start(host, "rounds=300") for host in two.hosts])
    check(two.run(), 300)


@pytest.mark.long
def test_a_host_that_is_cut_off_is_given_up_after_the_timeout_and_comes_back_by_itself(two):
    first, second = two.hosts
    processes = under_way(two, restarts=3)
    second.cut_off()
    began = time.monotonic()
    lost(two, first, second)
    lost(two, second, first)  # it is as much cut off itself
    assert TIMEOUT - 1 < time.monotonic() - began < TIMEOUT + 3
    second.plug_in()
    ended(two, processes.values())
    check(two.run(), 300)
