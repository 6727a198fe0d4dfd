"""The progress of a run without a terminal."""

import io
import re

from rich.console import Console

from gan_research.callbacks import Blackboard, Evaluate, Log, ProgressBar


class Measured:
    """An evaluation whose FID is the round, and needs no features."""

    is_prepared, seed, columns, every = True, 0, {"fid": "min"}, None

    def __call__(self, source):
        return {"fid": 7.5}

    def protocol(self, **how):
        return type("Protocol", (), {"as_dict": lambda self: {}})()


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
