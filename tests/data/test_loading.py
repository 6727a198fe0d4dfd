"""From the set to what the players see: range, flips, dequantisation, streaming, Lightning."""

from itertools import islice

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from gan_research.data import Batch, Digits, ImageFolder
from gan_research.data.layout import RoundLayout
from gan_research.utils.errors import UserError
from gan_research.utils.images import to_uint8


@pytest.fixture
def folder(tmp_path):
    """25 random PNGs of 12x16 pixels in nested folders."""
    generator = np.random.default_rng(0)
    for i in range(25):
        place = tmp_path / "images" / f"class{i % 2}" / f"part{i % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(place / f"{i:03}.png")
    return tmp_path / "images"


def same(first, second):
    labels = (first.labels is None and second.labels is None) or torch.equal(first.labels, second.labels)
    return first.round == second.round and labels and torch.equal(first.images, second.images)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0), (-0.5, 2.0)])
def test_levels_map_linearly_into_the_range_and_back_exactly(value_range):
    data = Digits(value_range=value_range)
    levels = torch.arange(256, dtype=torch.uint8)
    floats = data.to_float(levels)
    low, high = value_range
    expected = torch.arange(256, dtype=torch.float64) / 255 * (high - low) + low
    assert floats.dtype == torch.float32
    assert floats[0] == low
    assert floats[255] == high
    assert (floats.double() - expected).abs().max() < 3e-7
    assert torch.equal(to_uint8(floats, data.value_range), levels)


def test_to_uint8_rounds_clamps_and_leaves_its_input_alone():
    data = Digits(value_range=(0.0, 1.0))
    floats = torch.tensor([-0.1, 0.4 / 255, 0.6 / 255, 99.6 / 255, 1.2])
    before = floats.clone()
    assert to_uint8(floats, data.value_range).tolist() == [0, 0, 1, 100, 255]
    assert torch.equal(floats, before)


def test_an_empty_range_and_no_images_are_refused():
    with pytest.raises(UserError, match=r"data.value_range=\[1.0, -1.0\] is empty: give the lower end first"):
        Digits(value_range=(1.0, -1.0))
    with pytest.raises(UserError, match="batch_size is 0: it has to be at least 1"):
        Digits(batch_size=0)


def test_batches_are_uint8_until_they_are_made_ready():
    data = Digits(batch_size=10)
    batch = next(iter(data.rounds(minibatches=2)))
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (20, 1, 8, 8)
    assert batch.labels.dtype == torch.int64
    ready = data.ready(batch)
    assert ready.images.dtype == torch.float32
    assert ready.round == 0
    assert torch.equal(to_uint8(ready.images, data.value_range), batch.images)
    assert torch.equal(ready.labels, batch.labels)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("world_size", "accumulation"), [(2, 1), (4, 1), (1, 2), (2, 4)])
def test_what_is_drawn_does_not_depend_on_ranks_and_accumulation(k, world_size, accumulation):
    data, size = Digits(batch_size=16, flip=True, dequantise=True), 16
    b = size // world_size // accumulation
    for start in (0, 120):
        alone = data.ready(next(iter(data.rounds(k, start)))).images
        layouts = [RoundLayout(k, accumulation, r, world_size) for r in range(world_size)]
        ranks = [
            data.ready(next(iter(data.rounds(k, start, own.rank, world_size, accumulation=accumulation))), own).images
            for own in layouts
        ]
        joined = torch.cat([r[u * b : (u + 1) * b] for u in range(k * accumulation) for r in ranks])
        assert torch.equal(joined, alone)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_dequantisation_is_uniform_noise_below_a_level(value_range):
    data = Digits(batch_size=1000, value_range=value_range, dequantise=True)
    low, high = value_range
    batch = next(iter(data.rounds()))
    noise = [
        (data.ready(batch._replace(round=round)).images - data.to_float(batch.images)) / (high - low) * 256
        for round in (0, 0, 1)
    ]
    assert -1e-4 < noise[0].min() < 1e-3
    assert 1 - 1e-3 < noise[0].max() < 1 + 1e-4
    assert noise[0].mean().item() == pytest.approx(1 / 2, abs=5e-3)  # 64 000 values: 4.4 standard deviations
    assert noise[0].std().item() == pytest.approx(12**-0.5, abs=3e-3)
    assert torch.equal(noise[0], noise[1])
    assert abs(torch.corrcoef(torch.stack([noise[0].flatten(), noise[2].flatten()]))[0, 1]) < 0.02
    levels = to_uint8(data.ready(batch).images - (high - low) / 512, value_range)
    assert torch.equal(levels, batch.images)


def test_nothing_is_dequantised_unless_it_is_asked_for():
    data = Digits()
    batch = next(iter(data.rounds()))
    assert not data.dequantise
    assert torch.equal(data.ready(batch).images, data.to_float(batch.images))


def test_flips_mirror_half_of_the_images_and_change_with_round_and_seed():
    data = Digits(batch_size=1000, flip=True)
    images = torch.arange(4, dtype=torch.uint8).view(1, 1, 1, 4).expand(1000, 1, 1, 4)
    masks = []
    for seed, round in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        data.seed = seed
        rows = to_uint8(data.ready(Batch(images, None, round)).images, data.value_range).view(1000, 4)
        flipped = rows[:, 0] == 3
        assert torch.equal(rows, torch.where(flipped[:, None], images[0].view(4).flip(0), images[0].view(4)))
        masks.append(flipped)
    assert 430 < int(masks[0].sum()) < 570  # 500 +- 4.4 standard deviations
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    assert torch.equal(masks[0], masks[3])


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_yields_what_resident_does(folder, workers):
    def rounds(resident):
        data = ImageFolder(
            str(folder), 8, labels=True, heldout=0.2, resident=resident, num_workers=workers, batch_size=6, seed=2
        )
        return list(islice(data.rounds(minibatches=2, start=3, rank=1, world_size=2), 6))  # crosses passes

    for streamed, resident in zip(rounds(False), rounds(True), strict=True):
        assert same(streamed, resident)
        assert streamed.images.shape == (6, 3, 8, 8)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_image_truncated_after_its_header_is_named_when_it_is_read(folder, workers):
    bad = folder / "class0" / "part0" / "000.png"
    bad.write_bytes(bad.read_bytes()[:200])
    data = ImageFolder(str(folder), 8, resident=False, num_workers=workers, batch_size=25)
    with pytest.raises(
        UserError, match=r"the image .*class0/part0/000.png cannot be read \(image file is truncated\): repair it"
    ) as e:
        next(iter(data.rounds()))
    assert "\n" not in str(e.value)


class Analysis(pl.LightningModule):
    """Stands in for the game: notes what reaches a training step."""

    def __init__(self, round=0):
        super().__init__()
        self.automatic_optimization = False
        self.round, self.seen = round, []
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def setup(self, stage):
        data = self.trainer.datamodule
        data.layout, data.completed_rounds = RoundLayout(minibatches=2), lambda: self.round

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        self.round += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module, data, **arguments):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **arguments,
    )
    trainer.fit(module, datamodule=data)
    return module.seen


def test_lightning_gets_the_rounds_from_where_the_module_stands(tmp_path):
    data = Digits(batch_size=32, flip=True)
    expected = [data.ready(b) for b in list(islice(data.rounds(2, start=5), 6))]
    # two epochs: the second goes on where the first ended
    seen = fit(Analysis(5), Digits(batch_size=32, flip=True), max_epochs=2, limit_train_batches=3)
    assert len(seen) == 6
    assert all(isinstance(b, Batch) for b in seen)
    assert all(same(a, b) for a, b in zip(seen, expected, strict=True))


def test_lightning_trains_on_streamed_images(folder):
    data = ImageFolder(str(folder), 8, resident=False, num_workers=0, batch_size=5)
    seen = fit(Analysis(), data, max_epochs=1, limit_train_batches=2)
    assert [b.round for b in seen] == [0, 1]
    assert seen[0].images.shape == (10, 3, 8, 8)
    assert seen[0].images.dtype == torch.float32


def test_transfer_leaves_a_batch_that_is_there_already(folder):
    batch = next(iter(Digits().rounds()))
    moved = Digits().transfer_batch_to_device(batch, torch.device("cpu"), 0)
    assert moved.images is batch.images
    assert moved.labels is batch.labels
