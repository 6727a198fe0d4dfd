"""A process that is stuck says where, and nothing holds it up."""

import os
import subprocess
import sys
import time

import pytest

from gan_research.callbacks.watchdog import Watchdog, heartbeat, stacks
from gan_research.distributed import group


@pytest.fixture
def watch(tmp_path):
    """watch(stuck_after): a watchdog that has begun."""
    watchdogs = []

    def watch(stuck_after=0.2, folder=tmp_path / "stuck"):
        heartbeat("the start")
        watchdogs.append(Watchdog(folder, stuck_after))
        watchdogs[-1].start()
        return watchdogs[-1]

    yield watch
    for watchdog in watchdogs:
        watchdog.stop()


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_stuck_process_says_once_where_it_is_and_then_that_it_goes_on(watch, capfd, monkeypatch):
    monkeypatch.setattr(group, "waiting_for", "the gradients of the generator")
    watchdog = watch()
    heartbeat("round 7")
    time.sleep(0.7)
    heartbeat("round 8")
    until(lambda: watchdog.path.is_file() and "continues" in watchdog.path.read_text())
    watchdog.stop()
    text = watchdog.path.read_text()
    assert watchdog.path.name == "rank_0.txt"
    assert capfd.readouterr().err == text
    first, *stack, last = text.splitlines()
    assert "rank 0 of 1 (" in first
    assert f"process {os.getpid()}) is stuck: 0.2 s in round 7" in first
    assert first.endswith("; it waits for the other ranks: the gradients of the generator")
    assert any("test_a_stuck_process_says_once" in line for line in stack)
    assert text.count("is stuck") == text.count("continues") == 1
    assert last.endswith(" s, with round 8")
    assert 0.6 < float(last.split("continues after ")[1].split()[0]) < 5


def test_each_time_that_it_is_stuck_is_a_report_of_its_own(watch):
    watchdog = watch()
    for n in (1, 2):
        heartbeat(f"round {n}")
        until(lambda n=n: watchdog.path.is_file() and watchdog.path.read_text().count("is stuck") == n)
    assert "the other ranks" not in watchdog.path.read_text()


def test_signs_of_life_keep_it_quiet(watch, capfd):
    watchdog = watch(0.5)
    for n in range(20):
        heartbeat(f"round {n}")
        time.sleep(0.05)
    watchdog.stop()
    time.sleep(0.6)  # and it says nothing after its end
    assert not watchdog.path.exists()
    assert capfd.readouterr().err == ""
    assert not watchdog._thread.is_alive()


def test_it_says_what_it_can_where_the_folder_or_the_console_is_gone(watch, capfd, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    watch(folder=tmp_path / "file" / "stuck")
    heard = []
    until(lambda: heard.append(capfd.readouterr().err) or "is stuck" in "".join(heard))
    monkeypatch.setattr(sys, "stderr", None)
    watchdog = watch()
    until(lambda: watchdog.path.is_file() and "Thread" in watchdog.path.read_text())


def test_no_stacks_are_better_than_no_report(monkeypatch):
    full = lambda *_, **__: open("/dev/full/no", "w")  # noqa: E731, SIM115
    monkeypatch.setattr("gan_research.callbacks.watchdog.tempfile.TemporaryFile", full)
    assert stacks().startswith("its stacks are not available: ")


STUCK = """
import os, sys, time
from pathlib import Path
from gan_research.callbacks.watchdog import Watchdog

folder = Path(sys.argv[1])
watchdog = Watchdog(folder, 0.05)
os.mkfifo(watchdog.path)  # to open it waits for a reader that never comes, as a file server that is gone
watchdog.start()
time.sleep(0.5)
assert watchdog._thread.is_alive()
began = time.monotonic()
watchdog.stop()
print(time.monotonic() - began)
"""


@pytest.mark.long
def test_it_never_keeps_a_process_from_ending(tmp_path):
    result = subprocess.run([sys.executable, "-c", STUCK, tmp_path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert "is stuck" in result.stderr
    assert 0.9 < float(result.stdout) < 3
