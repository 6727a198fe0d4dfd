"""The cache of decoded images: made once, whole or absent, by one of several processes."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from written import IMAGES, stylegan_folder, stylegan_zip

from gan_research.data import ImageFolder, Images, MappedSet, TensorSet, cache
from gan_research.data.formats.files import Folder
from gan_research.data.image_files import ADMDecoder, Decoder
from gan_research.utils.errors import UserError

DECODER = Decoder(8, 3)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder of caches."""
    monkeypatch.setenv("GAN_RESEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def folder(tmp_path):
    return stylegan_folder(tmp_path / "set")


@pytest.fixture
def decoded(monkeypatch):
    """The indices that are decoded from now on."""
    indices, decode = [], Folder.decode

    def count(self, index, *decoder):
        indices.append(index)
        return decode(self, index, *decoder)

    monkeypatch.setattr(Folder, "decode", count)
    return indices


def opened(folder, decoder=DECODER, skip=False):
    return cache.cached(Folder(folder), decoder, skip)


def test_images_are_decoded_once(folder, place, decoded, caplog):
    first = opened(folder)
    assert "decoding 12 images once into " in caplog.text
    assert "2.25 KiB" in caplog.text
    assert sorted(decoded) == list(range(12))
    decoded.clear()
    second = opened(folder)
    assert not decoded
    assert torch.equal(first.images, torch.from_numpy(IMAGES))
    assert torch.equal(second.images, first.images)
    assert second.facts == first.facts
    moved = folder.rename(folder.with_name("moved"))
    assert torch.equal(opened(moved).images, first.images)
    assert not decoded
    assert len(list(place.iterdir())) == 1


def test_a_change_of_files_or_recipe_makes_another(folder, place, decoded):
    opened(folder)
    for change in (
        lambda: os.utime(folder / "00000" / "img00000000.png", ns=(1, 1)),
        lambda: (folder / "00000" / "img00000000.png").unlink(),
    ):
        change()
        decoded.clear()
        opened(folder)
        assert decoded
    for decoder, skip in ((ADMDecoder(8, 3), False), (Decoder(8, 1), False), (Decoder(4, 3), False), (DECODER, True)):
        decoded.clear()
        opened(folder, decoder, skip)
        assert decoded
    assert len(list(place.iterdir())) == 7


def test_facts_and_unreadable_images_are_kept(folder):
    (folder / "00001" / "img00000007.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="1 of 12 images cannot be read: 00001/img00000007"):
        opened(folder)
    for _ in range(2):
        data = ImageFolder(str(folder), 8, skip_corrupt=True, cache=True, batch_size=1)
        assert torch.equal(data.train.take(99), torch.from_numpy(np.delete(IMAGES, 7, 0)))
        assert "11 image files of 8 x 8; 11 RGB; left out: 1 unreadable" in data.summary()


@pytest.mark.parametrize("harm", ["version", "cut", "no record", "other numbers"])
def test_a_damaged_one_or_of_another_version_is_made_again(harm, folder, place, decoded, caplog):
    opened(folder)
    (whole,) = place.glob("*/whole")
    if harm == "cut":
        (whole / cache.PIXELS).write_bytes((whole / cache.PIXELS).read_bytes()[:-1])
    elif harm == "no record":
        (whole / cache.RECORD).unlink()
    elif harm == "other numbers":
        np.save(whole / cache.PIXELS, np.zeros((12, 3, 8, 8)))
    else:
        record = json.loads((whole / cache.RECORD).read_text())
        (whole / cache.RECORD).write_text(json.dumps(record | {"version": 0}))
    decoded.clear()
    assert torch.equal(opened(folder).images, torch.from_numpy(IMAGES))
    assert sorted(decoded) == list(range(12))
    assert "is damaged or of another version: it is made again" in caplog.text


@pytest.mark.parametrize("how", ["before", "in the middle"])
def test_a_full_disk_is_one_line_and_leaves_nothing(how, folder, place, monkeypatch):
    if how == "before":
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    else:
        monkeypatch.setattr(cache.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "disk full")))
    with pytest.raises(UserError) as caught:
        opened(folder)
    message = str(caught.value)
    assert all(part in message for part in ("2.25 KiB", "GAN_RESEARCH_CACHE", "data.cache=false", str(place)))
    assert ("100 B" if how == "before" else "disk full") in message
    assert not [file for file in place.rglob("*") if file.is_file()]


def test_files_that_change_while_they_are_decoded_are_noticed(folder, place, monkeypatch):
    source, decode_into = Folder(folder), Folder.decode_into

    def late(self, *args):
        os.utime(folder / "00000" / "img00000000.png", ns=(1, 1))
        monkeypatch.setattr(Folder, "decode", lambda self, i, decoder: decoder.read(self.stored(i)))
        return decode_into(self, *args)

    _ = source.stamps
    monkeypatch.setattr(Folder, "decode_into", late)
    with pytest.raises(UserError, match="was changed while it was read"):
        cache.cached(source, DECODER, False)
    assert not list(place.glob("*/whole"))


def killed(folder):
    """Kill this process when it has decoded the images."""
    cache.refuse = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    opened(folder)


def made(folder):
    """The images of the cache, and whether this process made it."""
    calls, make = [], cache._make
    cache._make = lambda *args: (calls.append(1), make(*args))
    return opened(folder).images.numpy().copy(), len(calls)


def test_one_that_was_killed_is_made_again_by_one_of_several_processes(folder, place):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=killed, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(place.glob("*/.whole.*.partial"))) == 1
    with ProcessPoolExecutor(3, context) as pool:
        results = list(pool.map(made, [folder] * 3))
    assert sum(calls for _, calls in results) == 1
    assert all(np.array_equal(images, IMAGES) for images, _ in results)
    assert [path.name for path in place.glob("*/*")] == ["whole"]


def test_large_sets_are_cached_and_small_ones_and_pixels_are_not(folder, tmp_path, place, monkeypatch):
    def kind(path, **options):
        shutil.rmtree(place, ignore_errors=True)
        train = Images(str(path), batch_size=1, **options).train
        return type(train), place.exists()

    assert kind(folder) == (TensorSet, False)
    monkeypatch.setattr("gan_research.data.folder.LARGE", IMAGES.size)
    assert kind(folder) == (TensorSet, True)
    assert kind(folder, resident=False) == (MappedSet, True)
    assert kind(stylegan_zip(tmp_path), resident=False) == (MappedSet, True)
    assert kind(folder, cache=False) == (TensorSet, False)
    np.savez(tmp_path / "set.npz", images=IMAGES)
    assert kind(tmp_path / "set.npz") == (TensorSet, False)
