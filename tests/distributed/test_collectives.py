"""What processes compute together: gradients that are averaged, means that keep theirs, batch norm over all samples."""

import platform

import pytest
import torch
from together import TINY, play_game
from torch import distributed, nn
from torch.distributed import ReduceOp

from gan_research.distributed import (
    AnyRankFlag,
    GradientAverage,
    all_reduce_mean,
    all_reduce_means,
    rank_and_world_size,
    require_same,
)
from gan_research.distributed.group import all_gather_object, on_rank_zero, raise_on_all_ranks, shard
from gan_research.losses import NonSaturating, RelativisticAverage
from gan_research.networks.batch_norm import convert_sync_batch_norm, synchronize_buffers
from gan_research.regularizers.gradient import standard_deviation
from gan_research.utils.errors import UserError

N = 12
"""Samples over all processes."""


def mine(values):
    """This process's rows."""
    return values[shard(len(values)).start : shard(len(values)).stop]


def rows(*shape, seed=0):
    return torch.randn(N, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def averaged_loss(network, loss):
    """The gradients of the loss of a network, averaged; flat."""
    loss(network).backward()
    GradientAverage(list(network.parameters()), of="network")()
    return torch.cat([p.grad.flatten() for p in network.parameters()])


def relativistic(network):
    real, fake = (network(mine(rows(3, seed=seed))).squeeze(1) for seed in (1, 2))
    return RelativisticAverage(NonSaturating()).discriminator(real, fake).mean()


def second_order(network):
    """A penalty on input gradients through batch statistics of all processes."""
    points = mine(rows(3)).requires_grad_()
    slope = torch.autograd.grad(network(points).sigmoid().sum(), points, create_graph=True)[0]
    return slope.square().sum(1).mean() + network(mine(rows(3))).square().mean()


def network_of(*layers):
    torch.manual_seed(0)
    network = nn.Sequential(*[layer() for layer in layers]).double()
    if rank_and_world_size()[1] > 1:
        convert_sync_batch_norm(network)
    return network


LINEAR = lambda: nn.Linear(3, 1)  # noqa: E731
NORM = lambda: nn.BatchNorm1d(3)  # noqa: E731


def measured():
    """The same numbers, however many processes there are."""
    normed = network_of(NORM, LINEAR)
    found = {
        "relativistic average": averaged_loss(network_of(LINEAR), relativistic),
        "first order through batch norm": averaged_loss(normed, lambda n: n(mine(rows(3))).exp().mean()),
        "second order through batch norm": averaged_loss(network_of(NORM, LINEAR), second_order),
        "deviation": standard_deviation(mine(rows(3))),
        "mean": all_reduce_mean(mine(rows(3)).mean()),
    }
    normed(mine(rows(3, seed=5)))
    found |= {f"buffer {name}": buffer.double() for name, buffer in normed.named_buffers()}
    pictures = network_of(lambda: nn.BatchNorm2d(3, momentum=None), lambda: nn.BatchNorm2d(3, affine=False))
    found["pictures"] = torch.stack(all_gather_object(pictures(mine(rows(3, 2, 2))))).flatten(0, 1)
    found |= {f"picture buffer {name}": buffer.double() for name, buffer in pictures.named_buffers()}
    pictures.eval()
    found["evaluated"] = pictures(rows(3, 2, 2))
    return found


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.long)])
def test_the_numbers_do_not_depend_on_the_number_of_processes(size, together):
    alone = measured()
    ranks = together(size, measured)
    for name, value in alone.items():
        for rank in ranks:
            assert (rank[name] - value).abs().max().item() < 1e-12, name
            assert rank[name].norm().item() == pytest.approx(value.norm().item(), rel=1e-12), name
    assert alone["second order through batch norm"].norm() > 0.1


def missing_gradients():
    rank, _ = rank_and_world_size()
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(4)]
    parameters[0].grad = torch.full((2,), float(rank))
    parameters[1].grad = torch.full((2,), 4.0) if rank == 1 else None  # of one process only
    parameters[3].requires_grad_(False)
    GradientAverage(parameters, of="player")()
    return {str(i): p.grad if p.grad is not None else torch.zeros(0) for i, p in enumerate(parameters)}


def test_parameters_without_gradients(together):
    for rank in together(2, missing_gradients):
        assert rank["0"].tolist() == [0.5, 0.5]
        assert rank["1"].tolist() == [2.0, 2.0]
        assert rank["2"].numel() == rank["3"].numel() == 0


def agreements():
    rank, _ = rank_and_world_size()
    flag, heard = AnyRankFlag(), []
    for call in range(5):
        heard.append(flag(raised=rank == 1 and call == 2))
    flag.settle()
    found = {"heard": torch.tensor(heard), "first": torch.tensor(on_rank_zero(lambda: 7 + rank))}
    found["means"] = torch.tensor(list(all_reduce_means({"a": float(rank), "b": 1.0}).values()))
    errors = []

    def note(action):
        try:
            action()
        except UserError as error:
            errors.append(str(error) + (" (common)" if error.common else ""))

    def nested():
        with raise_on_all_ranks(), raise_on_all_ranks():
            if rank == 1:
                raise UserError("no room")

    def outer_and_inner():
        with raise_on_all_ranks():
            if rank == 0:
                raise UserError("no data")
            with raise_on_all_ranks():
                pass

    def first():
        raise UserError("no folder")

    note(nested)
    note(outer_and_inner)
    note(lambda: on_rank_zero(first))
    note(lambda: require_same({"seed": "0", "width": str(16 * (1 + rank // 2))}))
    note(lambda: require_same({"torch": "2"} | ({"extra": "1"} if rank == 1 else {})))
    require_same({"seed": "0"})
    found["errors"] = torch.tensor(list(" | ".join(errors).encode()))
    return found


def test_what_all_agree_on(together):
    ranks = together(3, agreements)
    on, alike = f"on {platform.node()} has another", "start all of them alike (common)"
    first = f"than the first on {platform.node()}"
    for rank in ranks:
        assert rank["heard"].tolist() == [False, False, False, True, False]
        assert rank["first"].item() == 7
        assert rank["means"].tolist() == [1.0, 1.0]
        assert bytes(rank["errors"].tolist()).decode().split(" | ") == [
            "no room (common)", "no data (common)", "no folder (common)",
            f"process 2 {on} width {first}: 32, not 16; {alike}", f"process 1 {on} extra {first}: 1, not None; {alike}",
        ]  # fmt: skip


def drifted():
    rank, _ = rank_and_world_size()
    network = nn.ModuleDict({"norm": nn.BatchNorm1d(2), "own": nn.Linear(1, 1)})
    network["own"].register_buffer("count", torch.tensor(rank))
    network["norm"].running_mean.fill_(rank)
    network["norm"].running_var.fill_(1 + 2 * rank)
    synchronize_buffers(network)
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


def test_buffers_become_the_same(together):
    for rank in together(2, drifted):
        assert rank["norm.running_mean"].tolist() == [0.5, 0.5]
        assert rank["norm.running_var"].tolist() == [2.0, 2.0]
        assert rank["own.count"].item() == 0


def wire(overrides):
    """Bytes of gradients that each update reduces, and those that the player has."""
    seen, reduce = [], distributed.all_reduce

    def noted(tensor, op=ReduceOp.SUM, *args, **kwargs):
        if not kwargs.get("async_op"):
            seen.append(tensor.numel() * tensor.element_size())
        return reduce(tensor, op, *args, **kwargs)

    distributed.all_reduce = noted
    try:
        gan, _ = play_game(overrides)
    finally:
        distributed.all_reduce = reduce
    own = [sum(p.numel() * 4 for p in player.parameters()) for player in (gan.discriminator, gan.generator)]
    return {"seen": torch.tensor(seen), "own": torch.tensor(own)}


PENALISED = ["regularizer=[r1,gradient_penalty]", "regularizer.r1.every=2", "schedule.discriminator_steps=2"]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_update_sends_the_gradients_of_its_player_and_little_else(accumulation, together):
    """Whatever the number of backwards, penalties and micro-batches: D, D, G in each round."""
    words = [*PENALISED, "rounds=3", "precision=32", f"accumulation={accumulation}"]
    for rank in together(2, wire, words):
        d, g = rank["own"].tolist()
        assert len(rank["seen"]) == 9
        for sent, own in zip(rank["seen"].tolist(), 3 * [d, d, g], strict=True):
            assert own <= sent <= 1.02 * own


def counters():
    gan, trainer = play_game(["schedule.discriminator_steps=3", "rounds=4"])
    average = [p.flatten() for p in gan.generator_ema.parameters()]
    counted = [gan.round, gan.images_seen, *gan.updates.values(), trainer.world_size]
    return {"counted": torch.tensor(counted), "average": torch.cat(average)}


def test_counters_and_the_average_are_the_same_everywhere(together):
    first, second = together(2, counters)
    assert first["counted"].tolist() == second["counted"].tolist() == [4, 4 * 3 * 16, 12, 4, 2]
    assert torch.equal(first["average"], second["average"])
    assert "batch_size=16" in TINY
