"""The networks of published recipes, layer by layer, against what their sources build, and how they start."""

import math
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from gan_research.config.build import build_game, make
from gan_research.config.compose import compose_train
from gan_research.data import MNIST, TensorSet
from gan_research.networks import MLPDiscriminator, MLPGenerator, ResNetGenerator
from gan_research.networks.dcgan_tf import SameConv2d, SameConvTranspose2d, same_padding
from gan_research.networks.layers import ConditionalBatchNorm2d, output_range
from gan_research.networks.residual import DownBlock
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec


def linear(inner, outer, bias=True):
    return [(outer, inner), (outer,)] if bias else [(outer, inner)]


def conv(inner, outer, kernel, bias=True):
    return [(outer, inner, kernel, kernel), *([(outer,)] if bias else [])]


def deconv(inner, outer, kernel, bias=True):
    return [(inner, outer, kernel, kernel), *([(outer,)] if bias else [])]


def norm(channels):
    return [(channels,), (channels,)]


def maxout(inner, outer, pieces=5):
    return linear(inner, pieces * outer)


PACGAN_G = [*linear(2, 400, False), *norm(400), *3 * [*linear(400, 400, False), *norm(400)], *linear(400, 2)]
TF_G = [*linear(100, 2048), *deconv(512, 256, 5), *deconv(256, 128, 5), *deconv(128, 64, 5), *deconv(64, 3, 5)]
TF_G += [*norm(512), *norm(256), *norm(128), *norm(64)]

DCGAN_G = [*deconv(100, 1024, 2, False), *norm(1024), *deconv(1024, 512, 4, False), *norm(512)]
DCGAN_G += [*deconv(512, 256, 4, False), *norm(256), *deconv(256, 128, 4, False), *norm(128), *deconv(128, 3, 4, False)]
DCGAN_D = [*conv(3, 64, 5, False), *conv(64, 128, 5, False), *norm(128), *conv(128, 256, 5, False), *norm(256)]
DCGAN_D += [*conv(256, 512, 5, False), *norm(512), *linear(2048, 1)]
CNN_G = [*linear(100, 8192), *norm(512), *deconv(512, 256, 4), *norm(256), *deconv(256, 128, 4), *norm(128)]
CNN_G += [*deconv(128, 64, 4), *norm(64), *conv(64, 3, 3)]
CNN_D = [*conv(3, 64, 3), *conv(64, 128, 4), *conv(128, 128, 3), *conv(128, 256, 4), *conv(256, 256, 3)]
CNN_D += [*conv(256, 512, 4), *conv(512, 512, 3), *linear(8192, 1)]
UP = [*norm(256), *conv(256, 256, 3), *norm(256), *conv(256, 256, 3), *conv(256, 256, 1)]
RESNET_G = [*linear(128, 4096), *3 * UP, *norm(256), *conv(256, 3, 3)]
RESNET_BODY = [*conv(3, 128, 3), *conv(128, 128, 3), *conv(3, 128, 1), *6 * conv(128, 128, 3), *conv(128, 128, 1)]
RESNET_D = [*RESNET_BODY, *linear(128, 1)]
CLASSES_UP = [*4 * [(10, 256)], *2 * conv(256, 256, 3), *conv(256, 256, 1)]
STUDIO_G = [*linear(128, 4096), *3 * CLASSES_UP, *norm(256), *conv(256, 3, 3)]
STUDIO_NORMS = [*norm(3), *norm(128), *3 * norm(128), *4 * norm(128)]  # of each block: shortcut first
STUDIO_PROJECTION = [*RESNET_D, (10, 128)]


def pacgan_d(packing):
    return [*maxout(2 * packing, 200), *maxout(200, 200), *maxout(200, 200), *linear(200, 1)]


def tf_d(packing):
    return [
        *conv(3 * packing, 64, 5),
        *(shape for i, o in ((64, 128), (128, 256), (256, 512)) for shape in (*conv(i, o, 5), *norm(o))),
        *linear(2048, 1),
    ]


PUBLISHED = {
    # recipe: (G's parameters, D's, the shapes of all of G's, of all of D's)
    "dcgan": (11_429_632, 4_309_441, DCGAN_G, DCGAN_D),
    "sngan": (3_584_003, 5_860_865, CNN_G, CNN_D),
    "wgan": (3_584_003, 5_860_865, CNN_G, CNN_D),
    "wgan_gp": (3_584_003, 5_860_865, CNN_G, CNN_D),
    "sngan_resnet": (4_276_739, 1_053_824, RESNET_G, [*RESNET_BODY, *linear(128, 1, False)]),
    "wgan_gp_resnet": (4_276_739, 1_053_825, RESNET_G, RESNET_D),
    "sngan_resnet_mimicry": (4_276_739, 1_053_825, RESNET_G, RESNET_D),
    "wgan_gp_resnet_mimicry": (4_276_739, 1_053_825, RESNET_G, RESNET_D),
    "sngan_studiogan": (4_304_387, 1_055_105, STUDIO_G, STUDIO_PROJECTION),
    "pd_gan": (4_304_387, 1_057_159, STUDIO_G, [*STUDIO_PROJECTION, *STUDIO_NORMS]),
    "acgan_mod": (4_304_387, 1_057_159, STUDIO_G, [*STUDIO_PROJECTION, *STUDIO_NORMS]),
    "goodfellow2014_mnist": (
        2_503_984, 1_231_441,
        [*linear(100, 1200), *linear(1200, 1200), *linear(1200, 784)],
        [*maxout(784, 240), *maxout(240, 240), *linear(240, 1)],
    ),
    "pacgan_ring": (484_802, 405_201, PACGAN_G, pacgan_d(1)),
    "pacgan_ring_pacgan4": (484_802, 411_201, PACGAN_G, pacgan_d(4)),
    "stacked_mnist_dcgan": (4_514_819, 4_310_401, TF_G, tf_d(1)),
    "stacked_mnist_pacdcgan2": (4_514_819, 4_315_201, TF_G, tf_d(2)),
    "unrolled_ring": (
        49_666, 17_025,
        [*linear(256, 128), *linear(128, 128), *linear(128, 2)],
        [*linear(2, 128), *linear(128, 128), *linear(128, 1)],
    ),
}  # fmt: skip


def players(recipe, *overrides):
    """Its game's networks, without MNIST's mean and CIFAR-10's classes, which would have to be read."""
    config = compose_train([f"experiment={recipe}", *overrides]).config
    config["generator"].pop("mean_of_data", None)
    with mock.patch("gan_research.config.build.require_images_of_classes"):
        gan = build_game(config, make(config["data"]))
    return gan.generator, gan.discriminator


def shapes(network):
    return sorted(tuple(parameter.shape) for parameter in network.parameters())


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_parameters_are_those_of_the_source(recipe):
    *counts, of_generator, of_discriminator = PUBLISHED[recipe]
    found = players(recipe)
    assert [sum(p.numel() for p in network.parameters()) for network in found] == counts
    assert shapes(found[0]) == sorted(of_generator)
    assert shapes(found[1]) == sorted(of_discriminator)


# --- how they start ----------------------------------------------------------------------------------------------


def weights_and_biases(network):
    linear = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    return [m.weight.detach() for m in linear], [m.bias.detach() for m in linear if m.bias is not None]


@pytest.mark.parametrize(("player", "bound"), [(0, 0.05), (1, 0.005)])
def test_goodfellows_weights_are_uniform_and_biases_0(player, bound):
    weights, biases = weights_and_biases(players("goodfellow2014_mnist")[player])
    for weight in weights:
        assert 0.9 * bound < weight.abs().max() <= bound
        if weight.numel() > 1e4:
            assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert all(not bias.any() for bias in biases)


@pytest.mark.parametrize("recipe", ["pacgan_ring", "stacked_mnist_dcgan"])
def test_pacgans_weights_are_normal_and_biases_0(recipe):
    found = players(recipe)
    for network in found:
        weights, biases = weights_and_biases(network)
        for weight in weights:
            if weight.numel() > 1e4:
                truncated = isinstance(network, type(found[1])) and weight.dim() == 4
                std = 0.02 * (0.8796 if truncated else 1)  # of a normal cut at two standard deviations
                assert weight.std().item() == pytest.approx(std, rel=0.02)
                assert (weight.abs().max() > 0.041) != truncated
        assert all(not bias.any() for bias in biases)
    for layer in (m for m in found[0].modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        assert torch.equal(layer.weight, torch.ones_like(layer.weight))
        assert (layer.eps, layer.momentum) == ((1e-4, 0.05) if recipe == "pacgan_ring" else (1e-5, 0.1))


def test_unrolled_gans_weights_are_orthogonal():
    for network in players("unrolled_ring"):
        weights, biases = weights_and_biases(network)
        for weight in weights:
            small = weight if weight.shape[0] <= weight.shape[1] else weight.T
            assert torch.allclose(small @ small.T, 1.4**2 * torch.eye(len(small)), atol=1e-5)
        assert all(not bias.any() for bias in biases)


@pytest.mark.parametrize("recipe", ["sngan_studiogan", "acgan_mod"])
def test_studiogans_weights_are_orthogonal_and_its_norms_have_its_eps(recipe):
    generator, discriminator = players(recipe)
    weights = [layer.weight for layer in generator.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    gains = [layer for layer in generator.modules() if isinstance(layer, ConditionalBatchNorm2d) and layer.conditional]
    weights += [tensor for layer in gains for tensor in (layer.gain - 1, layer.bias)]
    spectral = recipe == "sngan_studiogan"
    for layer in discriminator.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            weights.append(layer.parametrizations.weight.original if spectral else layer.weight)
            assert isinstance(layer, nn.Embedding) or layer.bias is None or not layer.bias.any()
    for weight in weights:
        rows = weight.detach().flatten(1)
        small = rows if len(rows) <= rows.shape[1] else rows.T
        torch.testing.assert_close(small @ small.T, torch.eye(len(small)), rtol=0, atol=1e-5)
    norms = [
        layer for net in (generator, discriminator) for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)
    ]
    assert [layer.eps for layer in norms] == [1e-4] * (7 if spectral else 16)
    if spectral:
        assert {layer.eps for layer in discriminator.modules() if isinstance(layer, _SpectralNorm)} == {1e-6}


def test_the_shortcuts_of_studiogans_critic_are_normalised_before_the_pool():
    """The block equals its formula in the order of StudioGAN, which pools after the convolution of the shortcut."""
    block = DownBlock(2, 3, downsample=True, batch_norm=True, norm_shortcut=True)
    images = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    hidden = block.conv2(F.relu(block.norm2(block.conv1(F.relu(block.norm1(images))))))
    expected = F.avg_pool2d(hidden, 2) + F.avg_pool2d(block.shortcut(block.shortcut_norm(images)), 2)
    torch.testing.assert_close(block(images), expected, rtol=0, atol=1e-5)
    assert block.shortcut_norm.num_batches_tracked == 2
    pooled_first = F.avg_pool2d(images, 2)
    other = F.avg_pool2d(hidden, 2) + block.shortcut(block.shortcut_norm(pooled_first))
    assert (other - expected).abs().max() > 0.1  # what a norm after the pool would give


@pytest.mark.parametrize("recipe", ["goodfellow2014_mnist", "pacgan_ring", "pacgan_ring_pacgan4"])
def test_discriminators_that_start_small_lose_2_log_2(recipe):
    discriminator = players(recipe)[1]
    torch.manual_seed(0)
    real, fake = (discriminator(torch.rand(40, *discriminator.samples.shape)).logits for _ in range(2))
    assert real.shape == (40 // discriminator.packing,)
    assert (F.softplus(-real) + F.softplus(fake)).mean().item() == pytest.approx(2 * math.log(2), abs=2e-3)


def test_dropout_of_inputs_and_of_hidden_units():
    body = players("goodfellow2014_mnist")[1].body
    assert [type(layer).__name__ for layer in body] == ["Dropout", "Maxout", "Dropout", "Maxout", "Dropout"]
    assert [layer.p for layer in body if isinstance(layer, nn.Dropout)] == [0.2, 0.5, 0.5]
    with pytest.raises(UserError, match=r"input_dropout is 1\.0"):
        MLPDiscriminator(SampleSpec(8, 1), input_dropout=1.0)


def test_an_unknown_initialisation_is_one_line():
    with pytest.raises(UserError, match=r"init 'norml' is unknown.*normal"):
        MLPGenerator(2, SampleSpec(None, 2), init="norml")


# --- the output's bias from the data's mean ----------------------------------------------------------------------


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 2.0), (-math.inf, math.inf)])
def test_a_generator_whose_last_bias_is_the_data_s_mean_makes_it_of_nothing(value_range):
    mean = torch.tensor([[[0.25, 0.5], [0.75, 0.9]]])
    generator = MLPGenerator(3, SampleSpec(2, 1, value_range=value_range), width=4, init="uniform", mean_of_data=True)
    generator.prepare(lambda: mean)
    assert torch.allclose(output_range(value_range)(generator.body[-2].bias), mean.flatten())
    plain = MLPGenerator(3, SampleSpec(2, 1, value_range=value_range), width=4, init="uniform")
    plain.prepare(lambda: pytest.fail("nobody has asked for the mean"))
    assert not plain.body[-2].bias.any()


def test_means_at_the_ends_are_clipped_as_in_pylearn2():
    generator = MLPGenerator(3, SampleSpec(2, 1, value_range=(0, 1)), width=4, mean_of_data=True)
    generator.prepare(lambda: torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]))
    end = math.log(1e-7 / (1 - 1e-7))
    assert generator.body[-2].bias.tolist() == pytest.approx([end, -end, 0, 0], rel=1e-6)


def test_the_game_starts_at_the_mean_of_its_training_images():
    words = ["data=digits", "data.value_range=[0.0,1.0]", "generator.width=8", "generator.mean_of_data=true"]
    config = compose_train(words).config
    data = make(config["data"])
    gan = build_game(config, data)
    pixels = data.train.take(len(data.train)).double() / 255
    assert torch.allclose(data.mean(), pixels.mean(0).float(), atol=1e-6)
    bias = gan.generator.body[-2].bias
    assert torch.allclose(bias.sigmoid(), pixels.mean(0).clamp(1e-7, 1 - 1e-7).float().flatten(), atol=1e-6)
    assert torch.equal(gan.state_dict()["generator.body.4.bias"], bias)


def test_the_first_training_digits(monkeypatch):
    images = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1).expand(12, 1, 28, 28)
    whole = TensorSet(images, torch.arange(12) % 10)
    monkeypatch.setattr(MNIST, "_part", lambda self, heldout, download: whole)
    data = MNIST(train_size=5, batch_size=2)
    assert (len(data.train), len(data.heldout)) == (5, 12)
    assert data.train.images[:, 0, 0, 0].tolist() == data.train.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.train.content_hash() != whole.content_hash()
    assert len(MNIST(batch_size=2).train) == 12
    with pytest.raises(UserError, match="train_size=0"):
        _ = MNIST(train_size=0).train


# --- TensorFlow's padding ----------------------------------------------------------------------------------------


def test_same_padding_puts_the_odd_zero_behind():
    assert [same_padding(size) for size in (28, 14, 7, 4)] == [(1, 2), (1, 2), (2, 2), (1, 2)]


@pytest.mark.parametrize(("size", "before"), [(28, 1), (14, 1), (7, 2), (4, 1)])
@pytest.mark.parametrize("tap", range(5))
def test_a_convolution_of_one_weight_picks_every_second_pixel(size, before, tap):
    """With padding="SAME", output i is the sum over k of w_k x_(2i + k - before)."""
    layer = SameConv2d(1, 1, size)
    layer.weight.data.zero_()
    layer.weight.data[0, 0, tap, tap] = 1
    image = torch.randn(1, 1, size, size)
    places = [2 * i + tap - before for i in range(math.ceil(size / 2))]
    inside = torch.tensor([0 <= place < size for place in places])
    picked = image[0, 0][torch.tensor(places).clamp(0, size - 1)][:, torch.tensor(places).clamp(0, size - 1)]
    assert torch.equal(layer(image)[0, 0], picked * inside[:, None] * inside)


@pytest.mark.parametrize("size", [28, 14, 7, 4])
def test_a_transposed_convolution_is_the_convolutions_adjoint(size):
    down, up = SameConv2d(3, 5, size).double(), SameConvTranspose2d(5, 3, size).double()
    up.weight.data.copy_(down.weight)
    x, y = torch.randn(2, 3, size, size).double(), torch.randn(2, 5, -(-size // 2), -(-size // 2)).double()
    assert down(x).shape == y.shape
    assert up(y).shape == x.shape
    assert ((down(x) * y).sum() / (x * up(y)).sum()).item() == pytest.approx(1, rel=1e-10)


def test_pacgans_dcgan_makes_a_tanh_of_images_in_0_1():
    generator = players("stacked_mnist_dcgan", "generator.width=4")[0]
    assert generator.value_range == (0, 1)
    assert generator(torch.randn(8, 100)).min() < 0
    assert players("stacked_mnist_dcgan", "generator.width=4", "generator.tanh=false")[0](torch.randn(8, 100)).min() > 0


def test_a_residual_generator_without_norms():
    generator = ResNetGenerator(4, SampleSpec(28, 3), width=4, max_width=8, norm="none")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in generator.modules())
    assert generator(torch.randn(2, 4)).shape == (2, 3, 28, 28)
    one, two = torch.randn(2, 1, 4)
    assert torch.allclose(generator(torch.cat([one, two]))[:1], generator(one), atol=1e-6)
    with pytest.raises(UserError, match=r"generator\.norm=batch"):
        ResNetGenerator(4, SampleSpec(28, 3, num_classes=2), norm="none")
