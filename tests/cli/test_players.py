"""A run is played by one process at a time, and its lock dies with the process."""

import os
import platform
import signal
import time
from contextlib import suppress

import pytest

from gan_research.runs.run import Run


class Player:
    """Another process, forked from this one, which plays a run; `forking`: with a child of its own."""

    def __init__(self, folder, forking=False):
        said, say = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                with Run.open(folder).lock():
                    if not forking or os.fork() == 0:
                        os.write(say, b"%d" % os.getpid())
                    time.sleep(60)
            finally:
                os._exit(1)
        self.child = int(os.read(said, 16))
        os.close(said)
        os.close(say)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def player(finished):
    player = Player(finished)
    yield player
    with suppress(ProcessLookupError):
        player.kill()


def test_a_second_player_is_told_who_the_first_is_and_comes_in_once_it_is_dead(
    player, finished, gan, one_line, tmp_path, contents
):
    before = contents(finished)
    line = one_line(gan("train", f"resume={finished}", "rounds=30"), f"{finished} is being trained by")
    assert f"process {player.pid} on {platform.node()}, since {time.strftime('%Y-%m-%d')}" in line
    for words in (("sample", finished, "-o", tmp_path / "s.png"), ("evaluate", finished)):
        assert gan(*words).status == 0  # who only reads needs no lock
    assert contents(finished) == before
    player.kill()
    one_line(gan("train", f"resume={finished}"), "is trained for all its 20 rounds")
    assert not (finished / ".player.json").exists()


def test_two_commands_at_once_play_once(server, train, the_run, tmp_path, rows, state):
    assert train(tmp_path, "rounds=5", "metrics=none", "checkpoint_every=1").status == 0
    run = the_run(tmp_path)
    started = [server.start("train", f"resume={run}", "rounds=400") for _ in range(2)]
    ended = sorted(process.ended() for process in started)
    assert [end.status for end in ended] == [0, 2], ended
    refused = ended[1].error
    assert "is being trained by" in refused or "is trained for all its 400 rounds" in refused
    assert [row["round"] for row in rows(run)] == list(range(5, 401, 5))
    assert state(run)["gan_research"]["round"] == 400


def test_a_folder_that_cannot_be_locked_is_played_in_with_a_warning(finished, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("gan_research.runs.run.FileLock.acquire", refuse)
    with Run.open(finished).lock():
        assert "can't be locked" in caplog.text


def test_what_a_killed_player_has_forked_does_not_hold_its_lock(finished):
    """Workers that load pictures outlive it by seconds."""
    player = Player(finished, forking=True)
    player.kill()
    with Run.open(finished).lock():
        os.kill(player.child, signal.SIGKILL)  # it was still there
