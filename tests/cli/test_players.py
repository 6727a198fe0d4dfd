"""A run is played by one process at a time, and its lock dies with the process."""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from gan_research.tracking import Run

PLAYER = """
import sys, time
from pathlib import Path
from gan_research.tracking import Run

with Run.open(Path(sys.argv[1])).playing():
    print("playing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def player(finished):
    """Another process, which plays the run."""
    process = subprocess.Popen([sys.executable, "-c", PLAYER, finished], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "playing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_player_is_told_who_the_first_is_and_comes_in_once_it_is_dead(
    player, finished, gan, one_line, tmp_path, contents
):
    before = contents(finished)
    line = one_line(gan("train", f"resume={finished}", "rounds=30"), f"{finished} is being played by")
    assert f"process {player.pid} on {platform.node()}, since {time.strftime('%Y-%m-%d')}" in line
    for words in (("sample", finished, "-o", tmp_path / "s.png"), ("evaluate", finished)):
        assert gan(*words).status == 0  # who only reads needs no lock
    assert contents(finished) == before
    os.kill(player.pid, signal.SIGKILL)
    player.wait()
    one_line(gan("train", f"resume={finished}"), "has played all its 20 rounds")
    assert not (finished / ".player.json").exists()


def test_two_commands_at_once_play_once(train, gan, the_run, tmp_path, rows, state):
    assert train(tmp_path, "rounds=5", "metrics=none", "checkpoint_every=1").status == 0
    run = the_run(tmp_path)
    command = [sys.executable, "-m", "gan_research", "train", f"resume={run}", "rounds=400"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    refused = next(error for process, (_, error) in zip(both, outputs, strict=True) if process.returncode == 2)
    assert "is being played by" in refused or "has played all its 400 rounds" in refused
    assert [row["round"] for row in rows(run)] == list(range(5, 401, 5))
    assert state(run)["gan_research"]["round"] == 400


def test_a_folder_that_cannot_be_locked_is_played_in_with_a_warning(finished, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("gan_research.tracking.run.FileLock.acquire", refuse)
    with Run.open(finished).playing():
        assert "can't be locked" in caplog.text


def test_what_a_killed_player_has_forked_does_not_hold_its_lock(finished):
    """Workers that load pictures outlive it by seconds."""
    forking = PLAYER.replace("time.sleep(60)", "os.write(1, b'%d\\n' % os.fork()); time.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-c", "import os" + forking, finished], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "playing\n"
    child = max(int(process.stdout.readline()), int(process.stdout.readline()))  # it itself says 0
    process.kill()
    process.wait()
    process.stdout.close()
    with Run.open(finished).playing():
        os.kill(child, signal.SIGKILL)  # it was still there
