"""BigGAN and BigGAN-deep: their sizes, how the latents reach their blocks, how they start, and their training."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gan_research.networks import (
    BigGANDeepDiscriminator,
    BigGANDeepGenerator,
    BigGANDiscriminator,
    BigGANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from gan_research.networks.attention import SelfAttention
from gan_research.networks.batch_norm import SyncBatchNorm, convert_sync_batch_norm
from gan_research.networks.heads import DiscriminativeClassifierHead, EmbeddingHead, MultiHingeHead
from gan_research.networks.layers import VectorBatchNorm2d
from gan_research.regularizers import R1
from gan_research.sampling.priors import GaussianPrior
from gan_research.testing import checks
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

PLAIN, CIFAR10 = SampleSpec(32, 3), SampleSpec(32, 3, 10)
BABY, IMAGENET, LARGE = SampleSpec(64, 3, 100), SampleSpec(128, 3, 1000), SampleSpec(256, 3, 1000)
ADC = partial(DiscriminativeClassifierHead, class_bias=False)
SAGAN = {"spectral_norm": "all", "attention": (16,), "condition_last_norm": False}
BROCK = {"spectral_norm": "layers", "condition_last_norm": False}
FOUR = {"downsamples": 2, "plain_blocks": 2}

SIZES = {  # counted in the references: StudioGAN's unless said
    "SNGAN G": (4_304_387, lambda: ResNetGenerator(128, CIFAR10, condition_last_norm=False)),
    "SNGAN D": (1_055_105, lambda: ResNetDiscriminator(CIFAR10, **FOUR)),
    "WGAN-GP G": (4_276_739, lambda: ResNetGenerator(128, PLAIN)),
    "WGAN-GP D": (1_055_879, lambda: ResNetDiscriminator(PLAIN, norm="batch_all", **FOUR)),
    "SAGAN G": (4_386_308, lambda: ResNetGenerator(128, CIFAR10, **SAGAN)),
    "SAGAN D": (1_075_586, lambda: ResNetDiscriminator(CIFAR10, attention=(16,), **FOUR)),
    "BigGAN G": (9_416_196, lambda: BigGANGenerator(80, CIFAR10)),
    "BigGAN D": (2_415_170, lambda: BigGANDiscriminator(CIFAR10)),
    "BigGAN G, no classes": (8_825_092, lambda: BigGANGenerator(80, PLAIN)),
    "BigGAN D, no classes": (2_413_250, lambda: BigGANDiscriminator(PLAIN)),
    "ReACGAN D": (2_517_186, lambda: BigGANDiscriminator(CIFAR10, head=EmbeddingHead)),
    "ADC-GAN D": (2_417_090, lambda: BigGANDiscriminator(CIFAR10, head=ADC)),
    "MHGAN D": (2_415_180, lambda: BigGANDiscriminator(CIFAR10, head=MultiHingeHead)),
    "deep G": (9_338_884, lambda: BigGANDeepGenerator(128, CIFAR10, shortcuts="convolutions")),
    "deep D": (3_177_730, lambda: BigGANDeepDiscriminator(CIFAR10, 128, (1, 4, 4, 4), shortcuts="convolutions")),
    "deep G, legacy": (7_762_948, lambda: BigGANDeepGenerator(128, CIFAR10)),
    "deep D, legacy": (2_908_930, lambda: BigGANDeepDiscriminator(CIFAR10)),
    "Baby-ImageNet G": (17_322_404, lambda: BigGANGenerator(100, BABY, 80)),
    "Baby-ImageNet D": (30_668_722, lambda: BigGANDiscriminator(BABY, 80)),
    "BigGAN-128 G, Brock's too": (70_433_988, lambda: BigGANGenerator(120, IMAGENET)),
    "BigGAN-128 D, Brock's too": (87_982_370, lambda: BigGANDiscriminator(IMAGENET)),
    "Brock's SAGAN-128 G": (42_017_412, lambda: ResNetGenerator(128, IMAGENET, 64, 1024, attention=(64,), **BROCK)),
    "Brock's SAGAN-128 D": (
        39_448_258, lambda: ResNetDiscriminator(IMAGENET, 64, 1024, wide_blocks=True, attention=(64,))
    ),
    "Brock's CIFAR-10 G": (4_304_387, lambda: ResNetGenerator(128, CIFAR10, **BROCK)),
    "Brock's CIFAR-10 D": (4_207_361, lambda: ResNetDiscriminator(CIFAR10, 256, 256, wide_blocks=True, **FOUR)),
    "Brock's deep-128 G": (50_244_484, lambda: BigGANDeepGenerator(128, IMAGENET)),
    "Brock's deep-128 D": (34_590_210, lambda: BigGANDeepDiscriminator(IMAGENET)),
    "Brock's deep-256 G": (55_736_708, lambda: BigGANDeepGenerator(128, LARGE)),
    "Brock's deep-256 D": (38_247_426, lambda: BigGANDeepDiscriminator(LARGE)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_of_the_references(name):
    size, build = SIZES[name]
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == size


def test_channels_where_the_references_have_none():
    with torch.device("meta"):
        for resolution in (8, 12, 16, 28, 96, 512):
            chunks = len(BigGANGenerator(5040, SampleSpec(resolution, 1)).blocks) + 1
            BigGANDiscriminator(SampleSpec(resolution, 1))
            for network in (BigGANDeepGenerator(chunks, SampleSpec(resolution, 1)),
                            BigGANDeepDiscriminator(SampleSpec(resolution, 1))):  # fmt: skip
                assert sum(isinstance(m, SelfAttention) for m in network.modules()) == (resolution > 14)


# --- latents and classes -----------------------------------------------------------------------------------------


def chunks_that_move(generator, block):
    """The chunks of the latents on which the vector of a block's norms depends."""
    latents, labels = torch.randn(2, generator.latent_dim, requires_grad=True), torch.tensor([0, 2])
    _, conditions = generator.conditions(latents, labels)
    (slope,) = torch.autograd.grad(conditions[block].sum(), latents)
    return slope.view(2, -1, generator.chunk).abs().sum((0, 2)).nonzero().flatten().tolist()


def test_chunk_i_reaches_block_i_alone():
    generator = BigGANGenerator(12, SampleSpec(32, 3, 3), width=2, shared_dim=5)
    assert [chunks_that_move(generator, block) for block in range(3)] == [[1], [2], [3]]
    latents, labels = torch.randn(2, 12, requires_grad=True), torch.tensor([0, 2])
    seen = []
    for block in generator.blocks:  # what its norms get is [embedding, chunk]
        block.norm1.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[1]))
    generator(latents, labels)
    chunks = latents.split(3, 1)
    for vector, chunk in zip(seen, chunks[1:], strict=True):
        assert torch.equal(vector, torch.cat([generator.shared(labels), chunk], 1))
    (slope,) = torch.autograd.grad(generator.linear(chunks[0]).sum(), latents)
    assert slope[:, :3].abs().min() > 0
    assert not slope[:, 3:].any()


def test_all_latents_reach_all_blocks_of_the_deep_one():
    generator = BigGANDeepGenerator(7, SampleSpec(16, 3, 3), width=4, shared_dim=5)
    latents, labels = torch.randn(2, 7), torch.tensor([0, 2])
    first, conditions = generator.conditions(latents, labels)
    assert torch.equal(first, torch.cat([generator.shared(labels), latents], 1))
    assert len(conditions) == len(generator.blocks) == 4
    assert all(vector is first for vector in conditions)


@pytest.mark.parametrize(
    "build",
    [
        partial(BigGANGenerator, width=4, shared_dim=5),
        partial(BigGANDeepGenerator, width=4, shared_dim=5),
        partial(ResNetGenerator, width=8, max_width=8, spectral_norm="all", init="orthogonal"),
    ],
)
def test_a_mixture_of_one_class_is_that_class(build):
    generator = build(8, SampleSpec(8, 1, 3)).eval()
    latents, labels = torch.randn(4, 8), torch.tensor([0, 2, 1, 2])
    one_hot = torch.eye(3)[labels]
    assert torch.equal(generator(latents, one_hot), generator(latents, labels))
    half = generator(latents, 0.5 * one_hot + 0.5 * one_hot.roll(1, 1))
    assert (half - generator(latents, labels)).abs().amax((1, 2, 3)).min() > 1e-4


def test_a_norm_by_vectors_by_hand():
    norm, images, vectors = VectorBatchNorm2d(3, 5), torch.randn(4, 3, 2, 2), torch.randn(4, 5)
    normal = (images - images.mean((0, 2, 3), keepdim=True)) / (
        images.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    gain, bias = 1 + vectors @ norm.gain.weight.T, vectors @ norm.bias.weight.T
    expected = normal * gain[:, :, None, None] + bias[:, :, None, None]
    torch.testing.assert_close(norm(images, vectors), expected)
    convert_sync_batch_norm(norm)
    assert isinstance(norm.normalize, SyncBatchNorm)
    torch.testing.assert_close(norm(images, vectors), expected)


# --- how they start ----------------------------------------------------------------------------------------------

NETWORKS = {
    "G": lambda **start: BigGANGenerator(8, SampleSpec(8, 3, 3), 4, shared_dim=5, **start),
    "deep G": lambda **start: BigGANDeepGenerator(8, SampleSpec(8, 3, 3), 4, shared_dim=5, **start),
    "D": lambda **start: BigGANDiscriminator(SampleSpec(8, 3, 3), 4, **start),
    "deep D": lambda **start: BigGANDeepDiscriminator(SampleSpec(8, 3, 3), 4, **start),
}


def layers(network):
    return {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Embedding)}


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_start_orthogonal_and_biases_at_0_or_as_torchs(name):
    for torch_biases in (False, True):
        for layer in layers(NETWORKS[name](torch_biases=torch_biases)).values():
            weight = layer.parametrizations.weight.original if is_parametrized(layer) else layer.weight
            rows = weight.detach().flatten(1)
            small = rows if len(rows) <= rows.shape[1] else rows.T
            torch.testing.assert_close(small @ small.T, torch.eye(len(small)), rtol=0, atol=1e-5)
            if getattr(layer, "bias", None) is not None:
                assert bool(layer.bias.any()) == torch_biases
                assert layer.bias.abs().max() <= rows.shape[1] ** -0.5


@pytest.mark.parametrize("name", NETWORKS)
def test_all_but_the_shared_embedding_is_spectrally_normalised(name):
    without = [key for key, layer in layers(NETWORKS[name]()).items() if not is_parametrized(layer)]
    assert without == (["shared"] if name.endswith("G") else [])
    assert not any(map(is_parametrized, NETWORKS[name](spectral_norm=False).modules()))


def test_other_starts():
    weights = layers(BigGANGenerator(80, CIFAR10, 32, init="normal", spectral_norm=False))
    assert weights["linear"].weight.std().item() == pytest.approx(0.02, rel=0.03)
    uniform = layers(BigGANDiscriminator(CIFAR10, 32, init="xavier", spectral_norm=False))["body.1.conv1"].weight
    assert uniform.abs().max().item() == pytest.approx((6 / (2 * 64 * 9)) ** 0.5, rel=0.01)
    eps = {m.eps for m in BigGANGenerator(8, SampleSpec(8, 1), 4).modules() if isinstance(m, nn.BatchNorm2d)}
    assert eps == {1e-4}


# --- training ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [c for c in checks.CHECKS if c is not checks.check_accumulation])
def test_they_train_as_a_component_must(check, monkeypatch):
    """Resumed, captured and with the other player frozen; batch norm wants whole batches, so no micro-batches."""
    monkeypatch.setattr(checks, "RESOLUTION", 8)
    generator = lambda *a, **_: BigGANGenerator(*a, width=4, shared_dim=2, attention=(8,))  # noqa: E731
    discriminator = lambda *a, head=None, **_: BigGANDiscriminator(*a, width=4, attention=(4,), head=head)  # noqa: E731
    monkeypatch.setattr(checks, "MLPGenerator", generator)
    monkeypatch.setattr(checks, "MLPDiscriminator", discriminator)
    check(checks.Case((R1(0.1),), num_classes=3, prior=GaussianPrior(4)))


# --- what can't be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: BigGANGenerator(100, SampleSpec(28, 1)), r"3 chunks, .* prior\.latent_dim=99 or 102"),
        (lambda: BigGANGenerator(2, SampleSpec(32, 1)), r"4 chunks, .* prior\.latent_dim=4$"),
        (lambda: BigGANGenerator(80, CIFAR10, attention=(64,)), "attention at 64: .* 8, 16, 32:"),
        (lambda: BigGANGenerator(80, CIFAR10, multipliers=(4, 4)), r"generator\.multipliers=\[4, 4\]: set 4"),
        (lambda: BigGANGenerator(80, CIFAR10, multipliers=(4, 4, 4, 0)), r"multipliers is 0"),
        (lambda: BigGANGenerator(80, CIFAR10, init="torch"), "init 'torch' is unknown"),
        (lambda: BigGANGenerator(10, SampleSpec(1024, 3)), "set generator.multipliers"),
        (lambda: BigGANGenerator(80, CIFAR10, width=1), "8 channels and gets 4"),
        (lambda: BigGANDiscriminator(CIFAR10, multipliers=(1,)), r"discriminator\.multipliers=\[1\]: set at least 2"),
        (lambda: BigGANDiscriminator(CIFAR10, downsamples=6), "cannot be halved 6 times: take downsamples <= 5"),
        (lambda: BigGANDeepGenerator(8, SampleSpec(64, 3), width=3), r"raise generator\.width"),
        (lambda: BigGANDeepGenerator(8, CIFAR10, multipliers=(1, 2, 4, 4)), r"generator\.shortcuts=convolutions"),
        (lambda: BigGANDeepDiscriminator(CIFAR10, multipliers=(4, 2, 1)), r"discriminator\.shortcuts=convolutions"),
        (lambda: BigGANDeepDiscriminator(CIFAR10, shortcuts="none"), "shortcuts 'none' is unknown"),
    ],
)
def test_what_cannot_be_is_refused(build, key):
    with pytest.raises(UserError, match=key):
        build()
