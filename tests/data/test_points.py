"""Points of a known density as data: endless, fresh, the same for any number of ranks; and the game plays on them."""

import math
from functools import partial
from itertools import islice

import pytest
import pytorch_lightning as pl
import torch

from gan_research.callbacks import Log
from gan_research.config.build import make
from gan_research.data import Batch, Checkerboard, Data, Gaussian, Points, PointSet, Ring
from gan_research.losses import NonSaturating
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.sampling.priors import GaussianPrior
from gan_research.training.ema import EMA
from gan_research.training.gan import GAN
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.rng import generator_for
from gan_research.utils.sample_spec import SampleSpec


def test_what_points_are():
    data = Points(Ring(), batch_size=16)
    assert isinstance(data, Data)
    assert (data.name, data.channels, data.resolution, data.num_classes) == ("ring", 2, None, 0)
    assert data.value_range == (-math.inf, math.inf)
    assert data.sample_spec.shape == data.train.sample_shape == data.heldout.sample_shape == (2,)
    assert data.describe() == {
        "name": "ring",
        "shape": [2],
        "train": 20000,
        "heldout": 20000,
        "num_classes": 0,
        "density": {"_target_": "gan_research.data.densities.Ring", "modes": 8, "radius": 2.0, "std": 0.02},
    }


def test_a_round_is_fresh_and_a_function_of_seed_and_round():
    data = Points(Ring(), batch_size=16, seed=3)
    batches = list(islice(data.rounds(minibatches=2), 4))
    assert all(isinstance(b, Batch) and b.labels is None for b in batches)
    assert [b.round for b in batches] == [0, 1, 2, 3]
    assert torch.equal(batches[2].images, Ring().sample(32, generator_for(3, "points", 2)))
    assert torch.equal(next(iter(data.rounds(minibatches=2, start=3))).images, batches[3].images)
    drawn = torch.cat([b.images for b in batches])
    assert drawn.dtype == torch.float32
    assert len(drawn.unique(dim=0)) == 128
    assert not torch.equal(next(iter(Points(Ring(), batch_size=16, seed=4).rounds(2))).images, batches[0].images)
    ready = data.ready(batches[0])
    assert ready.images is batches[0].images


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("world_size", [2, 4])
def test_the_ranks_blocks_together_are_the_one_ranks_minibatches(k, world_size):
    data, b = Points(Checkerboard(), batch_size=8), 8 // world_size
    alone = next(iter(data.rounds(k, start=5))).images
    ranks = [next(iter(data.rounds(k, 5, r, world_size))).images for r in range(world_size)]
    assert torch.equal(torch.cat([r[u * b : (u + 1) * b] for u in range(k) for r in ranks]), alone)
    with pytest.raises(UserError, match="batch_size=8 can't be divided into 3 parts"):
        data.rounds(world_size=3)


def test_the_reference_sets_are_two_fixed_draws():
    data, other = Points(Ring(), reference=300, seed=0), Points(Ring(), reference=300, seed=1)
    assert torch.equal(data.train.points, other.train.points)
    assert not torch.equal(data.train.points, data.heldout.points)
    assert len(data.train) == len(data.heldout) == 300
    batches = list(data.train.batches(128))
    assert [len(points) for points, _ in batches] == [128, 128, 44]
    assert all(labels is None for _, labels in batches)
    assert torch.equal(torch.cat([points for points, _ in batches]), data.train.points)
    assert torch.equal(data.train.take(7), data.train.points[:7])
    assert data.train.density is data.density
    assert data.to_float(data.train.take(2)).dtype == torch.float32


def test_the_hash_is_of_the_density_and_the_draw():
    same = [PointSet(Ring(), 10, "train").content_hash(), PointSet(Ring(8, 2.0), 10, "train").content_hash()]
    others = [PointSet(Ring(9), 10, "train"), PointSet(Ring(), 11, "train"), PointSet(Ring(), 10, "held-out")]
    hashes = {s.content_hash() for s in others}
    assert len(hashes) == 3
    assert same[0] == same[1]
    assert same[0] not in hashes


def test_what_cannot_be_asked_for():
    with pytest.raises(UserError, match=r"data.reference is 1: it has to be at least 2"):
        Points(Ring(), reference=1)
    with pytest.raises(UserError, match="batch_size is 0: it has to be at least 1"):
        Points(Ring(), batch_size=0)
    assert len(next(iter(Points(Ring(), reference=10, batch_size=50).rounds())).images) == 50


def node(name, **arguments):
    return {"_target_": f"gan_research.data.{name}", **arguments}


def test_a_wrong_density_in_a_config_is_one_line():
    with pytest.raises(UserError, match=r"std=-1.0: give one above 0"):
        make(node("Points", density=node("Ring", std=-1.0)))


# --- the game -----------------------------------------------------------------------------------------------------


def game(dim, rounds=5, k=1):
    torch.manual_seed(0)
    samples = SampleSpec(None, dim, value_range=(-math.inf, math.inf))
    optimizer = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))
    return GAN(
        MLPGenerator(3, samples, width=8, depth=1),
        MLPDiscriminator(samples, width=8, depth=1),
        NonSaturating(),
        GaussianPrior(3),
        optimizer,
        optimizer,
        schedule=Schedule(discriminator_steps=k),
        ema=EMA(0.9),
        rounds=rounds,
        log_every=1,
    )


class Save(pl.Callback):
    def __init__(self, path, round):
        self.path, self.round, self.real = path, round, []

    def on_train_batch_start(self, trainer, gan, batch, batch_idx):
        self.real.append(batch.images)

    def on_train_batch_end(self, trainer, gan, *_):
        if gan.round == self.round:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(("density", "k"), [(Ring(), 1), (Gaussian(), 3)], ids=["ring", "gaussian"])
def test_a_game_on_points_goes_on_bit_for_bit_where_it_stopped(density, k, play, tmp_path):
    data = partial(Points, density, reference=100, batch_size=16)
    whole, save, log = game(density.dim, k=k), Save(tmp_path / "cut.ckpt", 3), Log()
    play(gan=whole, data=data(), callbacks=[save, log])
    assert whole.round == 5
    assert whole.images_seen == 5 * 16 * k
    expected = list(islice(data().rounds(k), 5))
    assert all(torch.equal(real, b.images) for real, b in zip(save.real, expected, strict=True))
    assert {"logits/heldout", "logits/train"} <= set(log.board.row)
    resumed = play(gan=game(density.dim, k=k), data=data(), checkpoint=tmp_path / "cut.ckpt")
    assert resumed.resumed
    first, second = whole.state_dict(), resumed.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert whole.sampler().sample(4).shape == (4, density.dim)


def test_a_fixed_set_is_seen_once_an_epoch_and_is_a_function_of_the_seed():
    data = Points(Ring(), batch_size=6, seed=3, train_size=24)
    epochs = [torch.cat([b.images for b in islice(data.rounds(start=start), 4)]) for start in (0, 4)]
    points = Ring().sample(24, generator_for(3, "training points"))
    for epoch in epochs:
        assert torch.equal(epoch.sort(0).values, points.sort(0).values)
    assert not torch.equal(*epochs)
    again = Points(Ring(), batch_size=6, seed=3, train_size=24)
    assert torch.equal(next(iter(again.rounds(start=5))).images, epochs[1][6:12])
    other = list(islice(Points(Ring(), batch_size=6, seed=4, train_size=24).rounds(), 4))
    assert not torch.equal(torch.cat([b.images for b in other]).sort(0).values, points.sort(0).values)
    assert again.train.content_hash() == Points(Ring(), seed=4).train.content_hash()  # evaluation knows nothing of it
    with pytest.raises(UserError, match="train_size=5 is less than batch_size=6"):
        Points(Ring(), batch_size=6, train_size=5)


def test_ranks_share_the_rounds_of_a_fixed_set():
    data = Points(Ring(), batch_size=8, seed=1, train_size=20)
    alone = list(islice(data.rounds(minibatches=2), 6))  # over the end of a pass
    ranks = [list(islice(data.rounds(minibatches=2, rank=rank, world_size=2), 6)) for rank in range(2)]
    for whole, parts in zip(alone, zip(*ranks, strict=True), strict=True):
        steps = [part.images.split(4) for part in parts]
        assert torch.equal(whole.images, torch.cat([steps[0][0], steps[1][0], steps[0][1], steps[1][1]]))
