"""Checkpoints: whole or not at all, read without running what they hold, and enough to sample from."""

import errno
import os
import random
import stat
from functools import partial
from io import BytesIO

import pytest
import pytorch_lightning as pl
import torch

from gan_research.checkpoints.io import AtomicCheckpointIO, DamagedCheckpoint, read_checkpoint
from gan_research.data import Digits
from gan_research.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from gan_research.sampling.load import load
from gan_research.training.ema import EMA
from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically

NETWORKS = {
    "mlp": (partial(MLPGenerator, width=8), partial(MLPDiscriminator, width=8)),
    "batch norm": (partial(DCGANGenerator, width=4), partial(DCGANDiscriminator, width=4)),
    "spectral norm": (partial(ResNetGenerator, width=4), partial(ResNetDiscriminator, width=4)),
}


class Save(pl.Callback):
    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, gan, *args):
        trainer.save_checkpoint(self.path)


@pytest.fixture
def saved(play, tmp_path):
    """The path of a checkpoint of a game of two rounds, and the game."""
    path = tmp_path / "last.ckpt"
    gan = play(rounds=2, resolution=8, ema=EMA(decay=0.5), data=Digits(batch_size=4), callbacks=[Save(path)])
    return path, gan


@pytest.mark.parametrize(("generator", "discriminator"), NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("ema", [None, EMA(decay=0.5)], ids=["raw", "ema"])
def test_a_checkpoint_can_be_sampled_from_by_itself(generator, discriminator, num_classes, ema, play, tmp_path):
    path = tmp_path / "last.ckpt"
    gan = play(
        rounds=2,
        resolution=8,
        num_classes=num_classes,
        data=Digits(batch_size=4),
        ema=ema,
        generator=generator,
        discriminator=discriminator,
        callbacks=[Save(path)],
    )
    sampler = load(path)
    drawn = sampler.sample(64, seed=0)
    assert drawn.shape == (64, 1, 8, 8)
    assert torch.equal(drawn, gan.sampler().sample(64, seed=0))
    assert torch.equal(sampler.sample(64, seed=0), drawn)
    raw = load(path, raw=True).sample(64, seed=0)
    assert torch.equal(raw, drawn) is (ema is None)
    assert not any(p.requires_grad for p in sampler.generator.parameters())
    assert not sampler.generator.training


@pytest.mark.parametrize(("start", "n", "batch_size"), [(0, 1, 500), (3, 40, 7), (250, 20, 500)])
def test_sample_i_does_not_depend_on_what_else_is_drawn(start, n, batch_size, saved):
    sampler = load(saved[0])
    part = sampler.sample(n, seed=0, start=start, batch_size=batch_size)
    assert (part - sampler.sample(300, seed=0)[start : start + n]).abs().max().item() < 1e-5


def test_a_runs_folder_stands_for_its_last_checkpoint(saved, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(UserError, match="no checkpoint at"):
        load(run)
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match=r"has no checkpoints/last.ckpt: give the folder of a run"):
        load(run)
    saved[0].rename(run / "checkpoints" / "last.ckpt")
    assert load(run).sample(2).shape == (2, 1, 8, 8)


BROKEN = {
    "empty": lambda whole: b"",
    "a few bytes": lambda whole: whole[:10],
    "half": lambda whole: whole[: len(whole) // 2],
    "all but the last byte": lambda whole: whole[:-1],
    "text": lambda whole: b"round,kimg\n1,2\n",
    "zeros": lambda whole: bytes(1000),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_truncated_checkpoint_is_one_clear_error(damage, saved):
    path = saved[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        UserError, match=r"last.ckpt can't be read as a checkpoint \(truncated, damaged, or not one\): \S"
    ) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


def same(a, b):
    """Whether two nests of plain containers and tensors are equal."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    return type(a) is type(b) and a == b


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(saved):
    path = saved[0]
    whole, content = path.read_bytes(), read_checkpoint(path)
    found = 0
    for at in random.sample(range(len(whole)), 1000):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :])
        try:
            assert same(read_checkpoint(path), content), at
        except UserError:
            found += 1
    assert found == 1000  # dates, padding and the archive's directory, too


def test_one_without_a_seal_is_held_against_the_checksums_of_its_parts(saved):
    """As torch.save itself writes it, and checkpoints from before were written."""
    path = saved[0]
    content = read_checkpoint(path)
    torch.save(content, path)
    assert same(read_checkpoint(path), content)
    whole = path.read_bytes()
    start = whole.index(content["state_dict"]["generator.body.0.weight"].numpy().tobytes())
    path.write_bytes(whole[:start] + bytes([whole[start] ^ 1]) + whole[start + 1 :])
    with pytest.raises(UserError, match="isn't what was written"):
        read_checkpoint(path)


def test_each_flipped_bit_of_a_tensor_is_found(saved):
    """Torch itself reads them without a word."""
    path = saved[0]
    whole, content = path.read_bytes(), read_checkpoint(path)
    numbers = content["state_dict"]["generator.body.0.weight"].numpy().tobytes()
    start = whole.index(numbers)
    silent = 0
    for at in random.sample(range(start, start + len(numbers)), 50):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :])
        silent += torch.load(path, weights_only=True).keys() == content.keys()
        with pytest.raises(DamagedCheckpoint, match=r"isn't what was written|Bad CRC"):
            read_checkpoint(path)
    assert silent == 50


def test_a_game_in_float64_is_sampled_from_in_float64(play, tmp_path):
    path = tmp_path / "last.ckpt"
    gan = play(rounds=1, precision="64", callbacks=[Save(path)])
    sampler = load(path)
    assert {p.dtype for p in sampler.generator.parameters()} == {torch.float64}
    assert torch.equal(sampler.sample(8), gan.sampler().sample(8))


FOREIGN = {
    "another program's": ({"state_dict": {}, "epoch": 3}, "another program: it has no 'gan_research' entry"),
    "a tensor": (torch.ones(3), "another program"),
    "a later version's": ({"gan_research": {"format": 99, "version": "9.9"}}, r"newer gan_research \(9.9\): update"),
}


@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_checkpoint_is_one_clear_error(content, message, tmp_path):
    torch.save(content, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "foreign.ckpt")


class Touch:
    """What a malicious checkpoint holds: unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    torch.save({"gan_research": {"format": 1, "payload": Touch(tmp_path / "executed")}}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match="can't be read as a checkpoint") as error:
        load(tmp_path / "evil.ckpt")
    assert "trust" not in str(error.value)  # torch's advice
    assert not (tmp_path / "executed").exists()


FORBIDDEN = ("os.system", "gan_research.networks_evil.Generator", "gan_research.cli.main", "builtins.eval", "eval")


@pytest.mark.parametrize("target", FORBIDDEN)
@pytest.mark.parametrize("part", ["generator", "prior"])
def test_a_checkpoint_builds_only_what_is_allowed(part, target, saved):
    path = saved[0]
    checkpoint = read_checkpoint(path)
    checkpoint["gan_research"][part]["_target_"] = target
    torch.save(checkpoint, path)
    with pytest.raises(UserError, match=rf"the checkpoint names .*{target}, which isn't allowed"):
        load(path)


class MyGenerator(MLPGenerator):
    """A generator of the user's own."""


def test_the_users_own_generator_is_built_if_allowed(play, tmp_path):
    path = tmp_path / "own.ckpt"
    play(rounds=1, generator=partial(MyGenerator, width=8), callbacks=[Save(path)])
    with pytest.raises(UserError, match=f"names {__name__}.MyGenerator, which isn't allowed: add --allow {__name__} "):
        load(path)
    assert type(load(path, allow=(__name__,)).generator) is MyGenerator


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"]
)
def test_a_failing_write_leaves_the_old_file_and_no_other(failing, error, tmp_path, monkeypatch):
    path = tmp_path / "deep" / "last.ckpt"
    write_atomically(path, b"old")

    def fail(*args):
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(type(error)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    monkeypatch.undo()
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_what_is_being_written_is_not_yet_there(tmp_path, monkeypatch):
    """At the moment of the sync the old file is whole, and the new one complete beside it."""
    path, seen, sync = tmp_path / "last.ckpt", [], os.fsync
    write_atomically(path, b"old")

    def look(handle):
        sync(handle)
        seen.append((path.read_bytes(), sorted(p.read_bytes() for p in tmp_path.iterdir())))

    monkeypatch.setattr(os, "fsync", look)
    write_atomically(path, b"newer")
    assert seen == [(b"old", [b"newer", b"old"])]


def test_a_checkpoint_is_readable_by_whom_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "last.ckpt", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "last.ckpt").stat().st_mode) == 0o644


def test_lightnings_writer_says_that_the_old_checkpoint_is_unharmed(tmp_path, monkeypatch):
    path, writer = tmp_path / "last.ckpt", AtomicCheckpointIO()
    writer.save_checkpoint({"round": 1}, path)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="was not written: No space left on device; the previous one is unharmed"):
        writer.save_checkpoint({"round": 2}, path)
    assert torch.load(path, weights_only=True) == {"round": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_holds_plain_containers_and_tensors_only(saved):
    def walk(value):
        if isinstance(value, dict):
            return set().union(*map(walk, value.values())) if value else set()
        if isinstance(value, list | tuple):
            return set().union(*map(walk, value)) if value else set()
        return {type(value)}

    checkpoint = read_checkpoint(saved[0])
    assert walk(checkpoint) <= {int, float, str, bool, type(None), torch.Tensor}
    game = checkpoint["gan_research"]
    assert (game["round"], game["images_seen"], game["updates"]) == (2, 8, {"discriminator": 2, "generator": 2})
    assert torch.load(BytesIO(saved[0].read_bytes()), weights_only=True).keys() == checkpoint.keys()
