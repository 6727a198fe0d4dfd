"""The order of real images is a function of (seed, position) only."""

from itertools import islice

import pytest
import torch

from gan_research.data import Digits, ImageRounds, Order, TensorSet
from gan_research.data.layout import RoundLayout
from gan_research.utils.errors import UserError


def numbered(count):
    """A set whose image i holds i in two pixels, so that a batch tells which samples it is made of."""
    numbers = torch.arange(count)
    images = torch.stack([numbers // 256, numbers % 256], dim=1).to(torch.uint8).view(count, 1, 1, 2)
    return TensorSet(images, numbers)


def samples(batch):
    high, low = batch.images.view(-1, 2).long().unbind(1)
    assert torch.equal(high * 256 + low, batch.labels)
    return batch.labels.tolist()


@pytest.mark.parametrize("size", [1, 7, 300])
def test_each_pass_is_a_permutation_and_no_two_are_alike(size):
    order = Order(size, seed=3)
    passes = [order.indices(p * size, (p + 1) * size) for p in range(3)]
    for indices in passes:
        assert indices.dtype == torch.int64
        assert sorted(indices.tolist()) == list(range(size))
    assert size < 7 or not torch.equal(passes[0], passes[1])
    assert size < 7 or not torch.equal(passes[0], Order(size, seed=4).indices(0, size))


def test_any_slice_of_the_stream_is_the_same_however_it_is_asked_for():
    whole = Order(7, seed=0).indices(0, 40)
    order = Order(7, seed=0)
    for start, stop in [(0, 3), (5, 9), (33, 40), (0, 40), (6, 7), (7, 14), (3, 3), (1, 25)]:
        assert torch.equal(order.indices(start, stop), whole[start:stop])


def test_an_order_needs_samples():
    with pytest.raises(ValueError, match="at least one sample, not 0"):
        Order(0, 0)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_blocks_together_are_the_one_ranks_minibatches(k, world_size):
    images, size = numbered(30), 8
    alone = list(islice(ImageRounds(images, 5, size, RoundLayout(k)), 9))
    ranks = [list(islice(ImageRounds(images, 5, size, RoundLayout(k, 1, r, world_size)), 9)) for r in range(world_size)]
    for round, whole in enumerate(alone):
        assert whole.round == round
        for u in range(k):
            b = size // world_size
            joined = [s for r in ranks for s in samples(r[round])[u * b : (u + 1) * b]]
            assert joined == samples(whole)[u * size : (u + 1) * size]


def test_positions_do_not_depend_on_the_number_of_discriminator_steps():
    images = numbered(30)
    by_one = [s for b in list(islice(ImageRounds(images, 5, 8), 12)) for s in samples(b)]
    by_three = [s for b in list(islice(ImageRounds(images, 5, 8, RoundLayout(3)), 4)) for s in samples(b)]
    assert by_one == by_three == Order(30, 5).indices(0, 96).tolist()


@pytest.mark.parametrize("start", [1, 4, 11])
@pytest.mark.parametrize(("k", "world_size"), [(1, 1), (3, 2)])
def test_starting_late_is_skipping_rounds(start, k, world_size):
    images = numbered(30)  # 8 a minibatch: rounds cross the ends of passes
    skipped = list(islice(ImageRounds(images, 5, 8, RoundLayout(k, 1, world_size - 1, world_size)), start + 4))[start:]
    late = list(islice(ImageRounds(images, 5, 8, RoundLayout(k, 1, world_size - 1, world_size), start), 4))
    assert [b.round for b in late] == [start, start + 1, start + 2, start + 3]
    assert [samples(b) for b in late] == [samples(b) for b in skipped]


def test_the_start_is_asked_for_at_each_iteration():
    at = [2]
    rounds = ImageRounds(numbered(30), 5, 8, start=lambda: at[0])
    assert next(iter(rounds)).round == 2
    at[0] = 7
    assert next(iter(rounds)).round == 7


@pytest.mark.parametrize("k", [1, 3])
def test_all_minibatches_of_an_epoch_are_disjoint(k):
    batches = list(islice(ImageRounds(numbered(48), 0, 8, RoundLayout(k)), 6 // k))
    seen = [s for b in batches for s in samples(b)]
    assert sorted(seen) == list(range(48))


def test_seeds_differ_and_zero_is_one_of_them():
    orders = [Order(50, seed).indices(0, 50).tolist() for seed in (0, 1, 2)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders[0] == Order(50, 0).indices(0, 50).tolist()


def test_a_rank_holds_a_block_of_each_minibatch():
    assert RoundLayout(2, 1, 1, 2).shard(torch.arange(8)).tolist() == [2, 3, 6, 7]
    assert RoundLayout(2).shard(torch.arange(8)).tolist() == list(range(8))
    points = torch.arange(8.0).view(8, 1).expand(8, 3)
    assert torch.equal(RoundLayout(2, 1, 1, 2).shard(points), points[[2, 3, 6, 7]])


def test_a_minibatch_must_divide_among_the_ranks():
    with pytest.raises(UserError, match=r"can't be divided into 3 parts, .* on 3 devices: make it a multiple of 3"):
        Digits().rounds(world_size=3)
