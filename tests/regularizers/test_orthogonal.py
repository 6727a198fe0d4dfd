"""Orthogonal regularisation by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gan_research.networks import ResNetDiscriminator
from gan_research.regularizers import Orthogonal
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec


def penalty(network, player="discriminator", **arguments):
    return Orthogonal(**arguments).penalty(SimpleNamespace(player=player, networks={player: network}))


def with_weight(layer, values):
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(values).reshape(layer.weight.shape))
    return layer


def test_the_products_of_different_rows_squared():
    # rows (1, 2, 0), (3, -1, 1), (0, 1, 4): products 1, 2 and 3, each counted twice; the lengths play no part
    matrix = [[1.0, 2, 0], [3, -1, 1], [0, 1, 4]]
    assert penalty(with_weight(nn.Linear(3, 3), matrix)).item() == 2 * (1 + 4 + 9)
    assert penalty(with_weight(nn.Linear(2, 2), [[3.0, 4], [-8, 6]])).item() == 0


def test_a_row_is_an_output_of_every_kind_of_layer():
    # two output channels of 2x1 inputs: (1, 2) and (3, 4), product 11
    assert penalty(with_weight(nn.Conv2d(1, 2, (2, 1)), [1.0, 2, 3, 4])).item() == 2 * 11**2
    # the same filters, transposed: weight (in 1, out 2, 2, 1)
    assert penalty(with_weight(nn.ConvTranspose2d(1, 2, (2, 1)), [1.0, 2, 3, 4])).item() == 2 * 11**2
    # weight (in 2, out 1, 2, 1): one output, nothing to be orthogonal to
    assert penalty(with_weight(nn.ConvTranspose2d(2, 1, (2, 1)), [1.0, 2, 3, 4])).item() == 0


def test_layers_add_up_and_other_parameters_are_left_alone():
    linear = with_weight(nn.Linear(2, 2), [[1.0, 2], [3, 4]])
    network = nn.Sequential(linear, nn.BatchNorm1d(2), nn.Sequential(with_weight(nn.Linear(2, 2), [[1.0, 1], [1, 1]])))
    network.append(nn.Embedding(3, 2))
    assert penalty(network).item() == 2 * 11**2 + 2 * 2**2


def test_its_gradient():
    """4 (W W^T * (1 - I)) W."""
    linear = nn.Linear(5, 4)
    penalty(linear).backward()
    w = linear.weight.detach().double()
    expected = 4 * (w @ w.T * (1 - torch.eye(4))) @ w
    assert (linear.weight.grad - expected).abs().max().item() < 1e-5
    assert linear.bias.grad is None


def test_the_authors_code_takes_half_of_its_gradient():
    """BigGAN-PyTorch adds 2 strength (W W^T * (1 - I)) W to the gradient."""
    linear, strength = nn.Linear(5, 4).double(), 1e-4
    (strength / 2 * penalty(linear)).backward()
    w = linear.weight.detach()
    theirs = 2 * strength * (w @ w.T * (1 - torch.eye(4, dtype=w.dtype))) @ w
    torch.testing.assert_close(linear.weight.grad, theirs, rtol=1e-10, atol=1e-16)


def test_embeddings_count_if_asked_and_only_in_d():
    embedding = with_weight(nn.Embedding(2, 2), [[1.0, 2], [3, 4]])
    assert penalty(embedding, embeddings=True).item() == 2 * 11**2
    network = nn.Sequential(embedding, with_weight(nn.Linear(2, 2), [[1.0, 1], [1, 1]]))
    assert penalty(network).item() == penalty(network, "generator", embeddings=True).item() == 2 * 2**2


def test_spectrally_normalised_weights_count_as_they_are_before():
    network = ResNetDiscriminator(SampleSpec(8, 1), width=4)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    value = penalty(network)
    originals = [w.flatten(1) for name, w in network.named_parameters() if name.endswith("original")]
    expected = sum((w @ w.T).square().sum() - w.square().sum(1).square().sum() for w in originals)
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    value.backward()
    assert all(torch.equal(state[name], new) for name, new in network.state_dict().items())  # no power iteration


@pytest.mark.parametrize("players", [["discriminator"], ["generator"], ["generator", "discriminator"]])
def test_it_is_of_the_named_players_alone(players, play):
    gan = play(rounds=2, regularizers={"orthogonal": Orthogonal(weight=1.0, players=players)}, log_every=100)
    values = gan.loss_log.flush()
    names = ["loss/orthogonal"] if len(players) == 1 else [f"loss/orthogonal/{player}" for player in players]
    assert [len(values[name]) for name in names] == [2] * len(players)


def test_its_default_and_what_is_refused():
    assert Orthogonal().weight == 1e-4
    for players in (["critic"], []):
        with pytest.raises(UserError, match=r"orthogonal: players=.*: set discriminator, generator or both"):
            Orthogonal(players=players)
