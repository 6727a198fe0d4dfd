"""The short way through a round is Lightning's way, and isn't taken where others take part."""

from copy import deepcopy

import pytest
import pytorch_lightning as pl
import torch

from gan_research.callbacks import Log, Preemption, SampleGrid
from gan_research.training import fast_loop


class Notes(pl.Callback):
    """What is called, in order, and Lightning's own counters."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, gan, batch, number):
        self.seen.append(("start", gan.round, batch.round, number))

    def on_train_batch_end(self, trainer, gan, outputs, batch, number):
        loop = trainer.fit_loop.epoch_loop
        self.seen.append(("end", gan.round, number, deepcopy(loop.batch_progress.state_dict()), trainer.current_epoch))

    def on_train_end(self, trainer, gan):
        self.fast = isinstance(trainer.fit_loop.epoch_loop.advance, fast_loop.FastBatchLoop)
        self.seen.append(trainer.fit_loop.state_dict())


def own(monkeypatch):
    monkeypatch.setattr(Notes, "__module__", "gan_research.tests")


def test_the_fast_loop_equals_lightnings_loop(play, monkeypatch, tmp_path):
    played = []
    for ours in (False, True):
        if ours:
            own(monkeypatch)
        notes, log = Notes(), Log()
        gan = play(rounds=7, log_every=2, callbacks=[log, notes, SampleGrid(tmp_path, 3, count=4), Preemption()])
        assert notes.fast == ours
        played.append((gan.state_dict(), notes.seen, log.board.row))
    (first, seen, row), (second, seen_too, row_too) = played
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert seen == seen_too
    assert row.keys() == row_too.keys()


@pytest.mark.parametrize("cut", [1, 3])
def test_a_game_is_resumed_from_one_loop_in_the_other(cut, play, monkeypatch, tmp_path):
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, gan, *args):
            if gan.round == cut:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")
                trainer.should_stop = True

    whole = play(rounds=6)
    play(rounds=6, callbacks=[Stop()])  # by Lightning
    own(monkeypatch)
    notes = Notes()
    resumed = play(rounds=6, callbacks=[notes], checkpoint=tmp_path / "cut.ckpt")
    assert notes.fast
    assert resumed.round == 6
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("what", ["callback", "profiler", "nothing"])
def test_other_components_use_lightnings_loop(what, play, monkeypatch):
    own(monkeypatch)
    notes = Notes()
    theirs = [pl.callbacks.LambdaCallback()] if what == "callback" else []
    play(rounds=1, callbacks=[notes, *theirs], trainer={"profiler": "simple"} if what == "profiler" else None)
    assert notes.fast == (what == "nothing")
