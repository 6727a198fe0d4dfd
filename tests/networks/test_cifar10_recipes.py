"""How the networks of the CIFAR-10 recipes start, and in what mimicry's residual blocks are ones of their own."""

import math

import pytest
import torch
from torch import nn

from gan_research.config.build import build_game, make
from gan_research.config.compose import compose_train
from gan_research.utils.sample_spec import SampleSpec

RECIPES = [
    "dcgan", "sngan", "wgan", "wgan_gp", "sngan_resnet", "wgan_gp_resnet", "sngan_resnet_mimicry",
    "wgan_gp_resnet_mimicry",
]  # fmt: skip
WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def game(recipe):
    config = compose_train([f"experiment={recipe}"]).config
    return build_game(config, make(config["data"]))


def layers(network):
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, WEIGHTED)}


def starting_weight(layer):
    """The weight as it was drawn, before spectral norm."""
    return layer.parametrizations.weight.original if hasattr(layer, "parametrizations") else layer.weight


def fan_in(layer):
    """As torch and Xavier count it: of a transposed convolution, the channels that it makes."""
    return layer.weight[0].numel()


def expected_deviation(recipe, name, layer):
    """Of the weights of a layer, as its source starts them."""
    torchs = 1 / math.sqrt(3 * fan_in(layer))  # uniform within +-1 / sqrt(fan in)
    if recipe == "dcgan":
        return torchs
    if "resnet" not in recipe:
        return 0.02
    if recipe == "wgan_gp_resnet_mimicry" and name.endswith(("shortcut", "to_image")):
        return torchs
    fan_out = layer.weight.shape[0] * layer.weight[0, 0].numel()
    return math.sqrt((2 if ".conv" in name else 1) * 2 / (fan_in(layer) + fan_out))


@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_and_biases_start_as_the_sources_have_them(recipe):
    gan = game(recipe)
    for network in (gan.generator, gan.discriminator):
        for name, layer in layers(network).items():
            weight = starting_weight(layer)
            five = 5 / math.sqrt(2 * weight.numel())  # standard deviations of a standard deviation, relative
            assert weight.std().item() == pytest.approx(expected_deviation(recipe, name, layer), rel=max(five, 0.01))
            if layer.bias is not None:
                assert bool(layer.bias.any()) == (recipe == "dcgan" or recipe.endswith("mimicry")), name
                assert layer.bias.abs().max() <= 1 / math.sqrt(fan_in(layer))


@pytest.mark.parametrize("recipe", RECIPES)
def test_only_sngan_has_spectral_norm_and_in_d_only(recipe):
    gan = game(recipe)
    normalised = [hasattr(layer, "parametrizations") for layer in layers(gan.discriminator).values()]
    assert normalised == [recipe.startswith("sngan")] * len(normalised)
    assert not any(hasattr(layer, "parametrizations") for layer in layers(gan.generator).values())


def test_mimicrys_shortcuts_in_d_are_rectified():
    discriminator = game("wgan_gp_resnet_mimicry").discriminator
    images = torch.randn(2, 128, 8, 8)
    for block, shortcut in [(discriminator.body[2], nn.Identity()), (discriminator.body[1], nn.AvgPool2d(2))]:
        nn.init.zeros_(block.conv2.weight)
        nn.init.zeros_(block.conv2.bias)
        expected = shortcut(block.shortcut(images.relu()))
        torch.testing.assert_close(block(images), expected, rtol=0, atol=1e-5)


def test_mimicrys_critic_is_the_mean_over_positions_and_its_generator_bilinear():
    gan = game("wgan_gp_resnet_mimicry")
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(gan.discriminator.features(images), gan.discriminator.body(images).mean((2, 3)))
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    assert gan.generator.blocks[0].upsample(ramp)[0, 0, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


CIFAR10 = SampleSpec(32, 3, 10)
COUNTS = {
    "sngan_studiogan": (4_304_387, 1_055_105),
    "sagan": (4_386_308, 1_075_586),
    "biggan": (9_416_196, 2_415_170),
    "mhgan": (9_416_196, 2_415_180),
    "adcgan": (9_416_196, 2_417_090),
    "contragan": (9_416_196, 2_517_186),
    "reacgan": (9_416_196, 2_517_186),
    "stylegan2": (20_215_315, 23_089_664),
}
"""recipe -> parameters of G and D in StudioGAN, counted by its own networks."""


@pytest.mark.parametrize("recipe", COUNTS)
def test_networks_have_as_many_parameters_as_studiogans(recipe):
    config = compose_train([f"experiment={recipe}"]).config
    with torch.device("meta"):
        prior = make(config["prior"])
        generator = make(config["generator"], latent_dim=prior.latent_dim, samples=CIFAR10)
        discriminator = make(config["discriminator"], samples=CIFAR10, head=make(config["head"]))
    assert (
        tuple(sum(p.numel() for p in network.parameters()) for network in (generator, discriminator)) == COUNTS[recipe]
    )


STUDIOGAN = ["biggan_cr", "biggan_icr", "biggan_diffaug", "biggan_lecam", "biggan_ada", *COUNTS.keys() - {"stylegan2"}]


@pytest.mark.parametrize("recipe", sorted(STUDIOGAN))
def test_networks_are_those_of_studiogan(recipe):
    """In-place ReLU rectifies the shortcuts of D; batch norm and spectral norm have their own eps."""
    config = compose_train([f"experiment={recipe}"]).config
    assert config["discriminator"]["rectified_shortcuts"]
    assert config["generator"]["norm_eps"] == 1e-4
    assert config["optimizer"]["generator"]["eps"] == config["optimizer"]["discriminator"]["eps"] == 1e-6
    assert config["schedule"]["fake_labels"] == "uniform"
    if not config["discriminator"]["_target_"].endswith("ResNetDiscriminator"):
        assert config["ema"]["start"] == 1000
        assert config["ema"]["buffers"] == "average"


@pytest.mark.parametrize(
    ("recipe", "labels", "flip", "images"),
    [
        ("stylegan2", "uniform", True, 12.8e6),
        ("stylegan2_ada", "uniform", True, 64e6),
        ("stylegan2_diffaug", "uniform", True, 64e6),
        ("stylegan2_lecam", "uniform", True, 12.8e6),
        ("stylegan2_ada_nvidia", "data", False, 100e6),
    ],
)
def test_stylegan2_is_trained_as_its_sources_do(recipe, labels, flip, images):
    """G goes first, and the optimizers are corrected as for lazy penalties: D by `own_step`, G without a penalty."""
    config = compose_train([f"experiment={recipe}"]).config
    assert (config["schedule"]["fake_labels"], config["data"]["flip"]) == (labels, flip)
    assert config["rounds"] * config["batch_size"] == images
    assert config["schedule"]["first"] == "generator"
    generator, discriminator = config["optimizer"]["generator"], config["optimizer"]["discriminator"]
    assert generator["lr"] == pytest.approx(discriminator["lr"] * 4 / 5)
    assert generator["betas"] == pytest.approx([beta**0.8 for beta in discriminator["betas"]], abs=1e-6)
    penalty = config["regularizer"]["r1"]
    assert (penalty["weight"], penalty["every"], penalty["own_step"]) == (0.01, 16, True)
