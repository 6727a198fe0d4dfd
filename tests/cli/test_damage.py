"""A run survives that its last checkpoint is damaged; what can't be used is one line."""

import errno
import os
import random
import shutil
import signal
from contextlib import suppress
from io import BytesIO

import pytest
import torch

from gan_research import load
from gan_research.callbacks import checkpoint as callback
from gan_research.checkpoints.io import open_checkpoint, read_checkpoint
from gan_research.training.gan import GAN


class Killed(BaseException):
    """Raised where the process is as good as dead."""


def flipped(whole):
    """One bit of the generator's weights is another one."""
    weights = torch.load(BytesIO(whole), weights_only=True)["state_dict"]["generator.body.0.weight"].numpy().tobytes()
    at = whole.index(weights) + random.randrange(len(weights))
    return whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :]


DAMAGE = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "one bit flipped": flipped,
    "empty": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "missing": None,
}


def damage(path, how):
    """Damage a checkpoint; its file alone, not those that are linked to it."""
    whole = path.read_bytes()
    path.unlink()
    if DAMAGE[how] is not None:
        path.write_bytes(DAMAGE[how](whole))


@pytest.fixture(scope="module")
def short(tmp_path_factory, train, the_run):
    """A run of 12 rounds, with checkpoints of rounds 12 and 10. Don't change it."""
    output = tmp_path_factory.mktemp("short")
    assert train(output, "rounds=12").status == 0
    return the_run(output)


@pytest.fixture
def run(short, tmp_path):
    """A copy of it."""
    return shutil.copytree(short, tmp_path / "run")


def test_the_last_two_are_kept(short, state):
    assert state(short)["gan_research"]["round"] == 12
    assert state(short, "previous")["gan_research"]["round"] == 10
    assert not list((short / "checkpoints").glob(".*"))


@pytest.mark.parametrize(
    "how", [how if how == "one bit flipped" else pytest.param(how, marks=pytest.mark.long) for how in DAMAGE]
)
def test_a_run_goes_on_from_the_one_before_to_the_very_same_end(
    how, run, finished, train, gan, tmp_path, the_run, state, rows, identical, caplog
):
    last, previous = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "previous.ckpt"
    damage(last, how)
    result = gan("train", f"resume={run}", "rounds=20")
    assert (result.status, result.error) == (0, "")
    (warning,) = caplog.messages
    assert str(last) in warning
    assert f"the previous one is used, {previous}, of round 10" in warning
    assert "\n" not in warning
    assert train(tmp_path / "whole").status == 0
    whole = the_run(tmp_path / "whole")
    assert rows(run) == rows(whole)
    for name in ("last", "previous", "best_fid"):
        assert identical(state(run, name), state(whole, name))
        assert read_checkpoint(run / "checkpoints" / f"{name}.ckpt")


@pytest.mark.parametrize("how", DAMAGE)
def test_samples_and_numbers_are_those_of_the_one_before(how, run, gan, tmp_path, caplog, contents):
    expected = load(run / "checkpoints" / "previous.ckpt").sample(4)
    damage(run / "checkpoints" / "last.ckpt", how)
    before = contents(run)
    assert load(run).sample(4).equal(expected)
    assert gan("sample", run, "-n", "4", "-o", tmp_path / "s.png").status == 0
    result = gan("evaluate", run, "--seeds", "1")
    assert result.status == 0, result.error
    assert len(caplog.messages) == 3  # one an opening
    assert contents(run) == before


def test_a_run_is_measured_without_the_one_before(run, gan, tmp_path):
    found = gan("evaluate", run, "--seeds", "1", "--json", tmp_path / "n.json")
    assert found.status == 0
    assert '"round": 12' in (tmp_path / "n.json").read_text()
    assert "previous.ckpt" not in (tmp_path / "n.json").read_text()


@pytest.mark.parametrize("how", [how for how in DAMAGE if how != "missing"])
def test_one_that_was_named_is_not_replaced(how, run, gan, one_line, tmp_path, contents):
    last = run / "checkpoints" / "last.ckpt"
    damage(last, how)
    before = contents(run)
    for words in (("train", f"resume={last}"), ("sample", last), ("evaluate", last)):
        one_line(gan(*words), f"{last} can't be read as a checkpoint")
    assert contents(run) == before


def test_two_damaged_ones_are_one_error(run, gan, one_line, contents):
    last, previous = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "previous.ckpt"
    damage(last, "one bit flipped")
    damage(previous, "truncated")
    before = contents(run)
    for words in (("train", f"resume={run}"), ("sample", run), ("evaluate", run)):
        one_line(gan(*words), "both damaged", str(last), str(previous))
    assert contents(run) == before


@pytest.mark.parametrize(
    "at", [at if at in (1, 6, 11) else pytest.param(at, marks=pytest.mark.long) for at in range(1, 12)]
)
def test_last_is_whole_at_each_instant_of_a_write(at, run, gan, tmp_path, monkeypatch):
    """Killed before each change of a name, link or content: what is there resumes, and is no older than before."""
    calls = 0

    def counted(function):
        def call(*args, **kwargs):
            nonlocal calls
            if (run / "checkpoints").as_posix() in str(args[0]):
                calls += 1
                if calls >= at:
                    raise Killed
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("link", "replace"):
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(callback.Path, "unlink", counted(callback.Path.unlink))
        with suppress(Killed):
            gan("train", f"resume={run}", "rounds=14", "checkpoint_every=1")
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["gan_research"]["round"] >= 12
    assert read_checkpoint(run / "checkpoints" / "previous.ckpt")["gan_research"]["round"] >= 10
    assert not (run / "checkpoints" / "last.ckpt").samefile(run / "checkpoints" / "previous.ckpt")
    assert gan("train", f"resume={run}", "rounds=16").status == 0
    assert not list((run / "checkpoints").glob(".*"))


def test_one_that_is_kept_for_good_is_there_though_a_kill_came_between_it_and_the_last(
    train, gan, the_run, tmp_path, monkeypatch
):
    def killed(source, target):
        if target.name == "round_00000010.ckpt":
            raise Killed
        link(source, target)

    link = callback.link
    with monkeypatch.context() as patch:
        patch.setattr(callback, "link", killed)
        with pytest.raises(Killed):
            train(tmp_path, "keep_every=10")
    checkpoints = the_run(tmp_path) / "checkpoints"
    assert read_checkpoint(checkpoints / "last.ckpt")["gan_research"]["round"] == 10
    assert not (checkpoints / "round_00000010.ckpt").exists()
    assert gan("train", f"resume={the_run(tmp_path)}").status == 0
    assert read_checkpoint(checkpoints / "round_00000010.ckpt")["gan_research"]["round"] == 10


def test_going_back_leaves_no_later_checkpoint_to_fall_back_on(train, gan, the_run, tmp_path, state, monkeypatch):
    assert train(tmp_path, "keep_every=10", "metrics=none").status == 0
    run = the_run(tmp_path)
    monkeypatch.setattr(GAN, "training_step", lambda *_: os.kill(os.getpid(), signal.SIGINT) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gan("train", f"resume={run / 'checkpoints' / 'round_00000010.ckpt'}")
    assert state(run)["gan_research"]["round"] == 10
    assert state(run, "previous")["gan_research"]["round"] == 10
    assert not (run / "checkpoints" / "last.ckpt").samefile(run / "checkpoints" / "previous.ckpt")


def test_a_full_disk_leaves_two_checkpoints_of_which_one_may_be_damaged(run, gan, one_line, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    def step(gan, *args):
        patch.setattr(os, "fsync", full)
        return training_step(gan, *args)

    training_step = GAN.training_step
    last, previous = (run / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous"))
    with monkeypatch.context() as patch:
        patch.setattr(GAN, "training_step", step)
        one_line(gan("train", f"resume={run}", "rounds=14", "metrics=none"), "No space left")
    assert not last.samefile(previous)
    whole = last.read_bytes()
    last.write_bytes(flipped(whole))  # in place, so that links to it are damaged too
    assert open_checkpoint(run)[1]["gan_research"]["round"] == 10
