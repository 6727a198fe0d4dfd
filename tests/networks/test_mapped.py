"""The contract of generators with a mapping: latents for each layer, and w in between."""

import pytest
import torch
from styled import SmallStyles

from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

N, LATENT_DIM = 5, 3


@pytest.fixture(params=[0, 4], ids=["no classes", "4 classes"])
def network(request):
    torch.manual_seed(0)
    return SmallStyles(LATENT_DIM, SampleSpec(8, 1, num_classes=request.param))


def inputs(network):
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(N) % 4 if network.num_classes else None
    return torch.randn(N, LATENT_DIM, generator=random), labels, torch.randn(N, network.noise_dim, generator=random)


def test_synthesis_of_mapped_latents_is_the_generator(network):
    latents, labels, noise = inputs(network)
    ws = network.map(latents, labels)
    assert ws.shape == (N, network.num_ws, network.w_dim)
    assert torch.equal(network.synthesise(ws, noise), network(latents, labels, noise))
    assert torch.equal(network.synthesise(ws), network(latents, labels))
    assert not torch.equal(network(latents, labels), network(latents, labels, noise))


def test_layers_may_have_latents_of_their_own(network):
    latents, labels, _ = inputs(network)
    other = latents.flip(0)
    mixed = torch.stack([latents, latents, other, other], 1)
    ws = network.map(mixed, labels)
    torch.testing.assert_close(ws[:, :2], network.map(latents, labels)[:, :2])
    torch.testing.assert_close(ws[:, 2:], network.map(other, labels)[:, 2:])
    same = latents[:, None].expand(-1, network.num_ws, -1)
    torch.testing.assert_close(network(same, labels), network(latents, labels))


def test_labels_are_checked(network):
    latents, labels, _ = inputs(network)
    with pytest.raises(UserError, match="conditional"):
        network.map(latents, None if labels is not None else torch.zeros(N, dtype=torch.int64))
