"""Self-attention: its formula, its symmetry, its derivatives, and its place."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_research.networks import ResNetDiscriminator, ResNetGenerator
from gan_research.networks.attention import SelfAttention, attention_places
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def attending(channels=16, gain=0.7):
    layer = SelfAttention(channels).double()
    nn.init.constant_(layer.gain, gain)
    return layer


def test_it_starts_as_the_identity():
    images = torch.randn(2, 16, 8, 8)
    assert torch.equal(SelfAttention(16)(images), images)


def test_it_is_torchs_attention_of_pooled_keys_without_a_scale():
    layer, images = attending(), torch.randn(2, 16, 6, 8, dtype=torch.float64)
    query = layer.query(images).flatten(2).mT
    key, value = (F.max_pool2d(conv(images), 2).flatten(2).mT for conv in (layer.key, layer.value))
    attended = F.scaled_dot_product_attention(query, key, value, scale=1.0).mT.unflatten(2, (6, 8))
    torch.testing.assert_close(layer(images), images + 0.7 * layer.out(attended), rtol=0, atol=1e-12)
    scaled = F.scaled_dot_product_attention(query, key, value).mT.unflatten(2, (6, 8))
    assert (layer(images) - images - 0.7 * layer.out(scaled)).abs().max() > 1e-3  # by 1 / sqrt(d)


@pytest.mark.parametrize(("pixels", "rolls"), [(2, True), (1, False)])
def test_it_rolls_with_its_input_by_whole_pools(pixels, rolls):
    layer, images = attending(), torch.randn(2, 16, 8, 8, dtype=torch.float64)
    rolled = lambda tensor: tensor.roll((pixels, pixels), (2, 3))  # noqa: E731
    difference = (layer(rolled(images)) - rolled(layer(images))).abs().max()
    assert (difference < 1e-12) == rolls
    assert rolls or difference > 1e-2


def test_its_second_derivative():
    layer = attending(8)
    assert torch.autograd.gradgradcheck(layer, torch.randn(1, 8, 4, 4, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("channels", "size"), [(96, 11_521), (128, 20_481), (192, 46_081), (256, 81_921), (384, 184_321)]
)
def test_its_size(channels, size):
    layer = SelfAttention(channels)
    assert sum(p.numel() for p in layer.parameters()) == 5 * channels**2 // 4 + 1 == size
    assert all(conv.bias is None for conv in layer.modules() if isinstance(conv, nn.Conv2d))


def test_it_follows_the_first_stage_of_its_size():
    assert attention_places([8], [16, 8, 8, 8]) == [False, True, False, False]
    assert attention_places([16, 8], [16, 8, 8]) == [True, True, False]
    generator = ResNetGenerator(2, SampleSpec(32, 3), width=8, max_width=8, attention=(16, 32))
    assert [isinstance(block.attention, SelfAttention) for block in generator.blocks] == [False, True, True]
    discriminator = ResNetDiscriminator(SampleSpec(32, 3), 8, 8, downsamples=2, plain_blocks=2, attention=(8,))
    assert [isinstance(block.attention, SelfAttention) for block in discriminator.body[:-1]] == [
        False,
        True,
        *2 * [False],
    ]


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: ResNetGenerator(2, SampleSpec(32, 3), attention=(4,)), "attention at 4: .* 8, 16, 32:"),
        (lambda: ResNetDiscriminator(SampleSpec(28, 1), attention=(14, 28)), "attention at 28: .* 14, 7:"),
        (lambda: ResNetDiscriminator(SampleSpec(8, 1), downsamples=3, attention=(1,)), "attention at 1: .* 4, 2:"),
        (lambda: ResNetGenerator(2, SampleSpec(8, 3), 4, 4, attention=(8,)), "8 channels and gets 4"),
        (lambda: ResNetGenerator(2, SampleSpec(8, 3), spectral_norm="some"), "spectral_norm 'some' is unknown"),
    ],
)
def test_what_cannot_be_is_refused(build, key):
    with pytest.raises(UserError, match=key):
        build()
