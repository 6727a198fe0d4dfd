"""The progress of a run without a terminal."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from gan_research.callbacks import Blackboard, Evaluate, Log, ProgressBar


class Measured:
    """An evaluation whose FID is the round, and needs no features."""

    is_prepared, seed, columns, ranges, every = True, 0, {"fid": "min"}, {"fid": (0, None)}, None

    def __call__(self, source):
        return {"fid": 7.5}

    def adapt(self, sampler):
        return sampler

    def protocol(self, **how):
        return type("Protocol", (), {"as_dict": lambda self: {}})()


def test_forced_colours_in_a_pipe_are_no_terminal(play, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = io.StringIO()
    play(rounds=2, callbacks=[ProgressBar(Blackboard(), Console(file=shown), 0.0)])
    assert [line.split("  ")[0] for line in shown.getvalue().splitlines()] == ["round 1/2", "round 2/2"]


def test_values_of_an_earlier_round_are_followed_by_it(play):
    board, shown = Blackboard(), io.StringIO()
    callbacks = [Log(board), Evaluate(Measured(), every=3, board=board), ProgressBar(board, Console(file=shown), 0.0)]
    play(rounds=7, log_every=2, callbacks=callbacks)
    number = r"-?[\d.e+-]+"
    for round, line in enumerate(shown.getvalue().splitlines(), start=1):
        assert line.startswith(f"round {round}/7  ")
        row, measured = (7, 7) if round == 7 else (round // 2 * 2, round // 3 * 3)
        losses = re.search(rf"generator {number}( \(round (\d+)\))?", line)
        fid = re.search(r"fid 7\.5( \(round (\d+)\))?", line)
        assert (losses is None) == (row == 0)
        assert losses is None or losses[2] == (None if row == round else str(row))
        assert fid[2] == (None if measured == round else str(measured))
    assert round == 7
    assert (board.row_round, board.measured) == (7, {"fid": 7})


@pytest.mark.parametrize(
    ("seconds", "rounds"), [(3.0, [2, 8, 14, 20]), (100.0, [2, 20]), (0.0, range(1, 21)), (None, [])]
)
def test_lines_are_printed_by_the_clock_the_first_soon(play, monkeypatch, seconds, rounds):
    ticks = (0.5 * i for i in range(1000))  # each round takes half a second
    monkeypatch.setattr("gan_research.callbacks.progress.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    shown = io.StringIO()
    play(rounds=20, callbacks=[ProgressBar(Blackboard(), Console(file=shown), seconds)])
    lines = shown.getvalue().splitlines()
    left = {round: f"  0:00:{(20 - round) // 2:02} left" if round < 20 else "" for round in rounds}
    assert lines == [f"round {round}/20  2.0 rounds/s{text}" for round, text in left.items()]
