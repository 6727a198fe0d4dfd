"""Config E of R3GAN: sizes, how it starts, the authors' outputs, and its unbounded images."""

import json
import math
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from references import imported, reference
from torch import nn

from gan_research.networks import R3GANDiscriminator, R3GANGenerator
from gan_research.networks.fir import Downsample, Upsample
from gan_research.networks.heads import BilinearHead, ProjectionHead
from gan_research.networks.r3gan import Block
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

GOLDEN = Path(__file__).with_name("golden_r3gan.json")
CLASSES = 3


def size(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("resolution", "classes", "latent_dim", "knobs", "g_size", "d_size"),
    [  # those of the authors' networks, counted in their code
        (32, 10, 64, {}, 20_781_952, 21_280_512),
        (64, 0, 64, {"width": 384}, 22_429_824, 22_381_440),
        (256, 0, 64, {"width": 96}, 23_057_952, 23_009_568),
        (32, 1000, 64, {"width": 1536, "max_width": 1536, "group_width": 32}, 82_914_304, 86_548_992),
        (64, 1000, 64, {"width": 1536, "max_width": 1536, "group_width": 32}, 103_570_432, 107_205_120),
        (32, 10, 64, {"width": 192, "max_width": 192, "group_width": 32}, 2_099_392, 2_112_960),
        (32, 0, 16, {"width": 48, "max_width": 48}, 187_536, 186_816),
    ],
    ids=["CIFAR-10", "FFHQ-64", "FFHQ-256", "ImageNet-32", "ImageNet-64", "192", "48"],
)
def test_sizes_are_the_authors(resolution, classes, latent_dim, knobs, g_size, d_size):
    samples = SampleSpec(resolution, 3, classes)
    with torch.device("meta"):
        made = R3GANGenerator(latent_dim, samples, **knobs), R3GANDiscriminator(samples, **knobs)
    assert [size(network) for network in made] == [g_size, d_size]


def tiny(num_classes=0, resolution=8, channels=3, **knobs):
    """Both networks in float64, 16 channels at the lowest resolution and 8 at the highest."""
    torch.manual_seed(0)
    samples, knobs = (
        SampleSpec(resolution, channels, num_classes),
        {"width": 8, "max_width": 16, "group_width": 8} | knobs,
    )
    generator = R3GANGenerator(4, samples, **({"class_dim": 5} | knobs))
    return generator.double(), R3GANDiscriminator(samples, **knobs).double()


def gradients(discriminator, images, *labels):
    images = images.requires_grad_()
    return torch.autograd.grad(discriminator(images, *labels).logits.sum(), images)[0]


class TestStart:
    @pytest.mark.parametrize("resolution", [8, 16, 28, 48])
    def test_both_networks_are_linear(self, resolution):
        generator, discriminator = tiny(resolution=resolution)
        combined = lambda x, y: 0.7 * x - 1.3 * y  # noqa: E731
        latents = torch.randn(2, 6, 4).double().unbind()
        images = [generator(z) for z in latents]
        logits = [discriminator(x).logits for x in images]
        torch.testing.assert_close(generator(combined(*latents)), combined(*images))
        torch.testing.assert_close(discriminator(combined(*images)).logits, combined(*logits))
        assert torch.equal(generator(torch.zeros(1, 4).double()), torch.zeros_like(images[0][:1]))
        assert torch.cat(logits).std() > 1e-3

    def test_the_gradient_of_d_is_the_same_everywhere(self):
        """So R1 and R2 start as one constant."""
        generator, discriminator = tiny()
        reals = gradients(discriminator, torch.randn(4, 3, 8, 8).double())
        fakes = gradients(discriminator, generator(torch.randn(4, 4).double()).detach())
        assert torch.equal(reals, reals[:1].expand_as(reals))
        assert torch.equal(fakes, reals)
        assert reals.square().sum() > 1e-3

    def test_with_classes_it_is_the_same_for_all_images_of_a_class(self):
        _, discriminator = tiny(CLASSES)
        found = gradients(discriminator, torch.randn(6, 3, 8, 8).double(), torch.arange(6) % CLASSES)
        assert torch.equal(found[:CLASSES], found[CLASSES:])
        assert (found[0] - found[1]).abs().max() > 1e-4

    def test_standard_deviations(self):
        samples = SampleSpec(32, 3, 10)
        generator, discriminator = R3GANGenerator(64, samples, 192, 192), R3GANDiscriminator(samples, 192, 192)
        gain = math.sqrt(2 / 1.04) * 0.59460  # 8 blocks: 8^(-1/4)
        for network in (generator, discriminator):
            assert len(blocks(network)) == 8
            for block in blocks(network):
                assert block.expand.weight.std().item() == pytest.approx(gain / math.sqrt(192), rel=0.02)
                assert block.grouped.weight.std().item() == pytest.approx(gain / math.sqrt(9 * 16), rel=0.02)
                assert not block.project.weight.any()
                assert not torch.cat([block.expand.bias, block.grouped.bias]).any()
        head = discriminator.head
        for weight, expected in [
            (generator.basis, 1),
            (generator.linear.weight, 1 / math.sqrt(128)),
            (generator.embed.weight, 1 / math.sqrt(10)),
            (generator.to_image.weight, 1 / math.sqrt(192)),
            (discriminator.from_image.weight, 1 / math.sqrt(3)),
            (discriminator.basis, 1 / 4),
            (head.linear.weight, 1 / math.sqrt(192)),
            (head.embed.weight, 1 / math.sqrt(10 * 192)),
        ]:
            assert weight.std().item() == pytest.approx(expected, rel=4 / math.sqrt(2 * weight.numel()))


def blocks(network):
    return [layer for layer in network.modules() if isinstance(layer, Block)]


def fill(network):
    """Set all parameters to the same numbers in any version of torch."""
    for i, parameter in enumerate(network.parameters()):
        numbers = torch.arange(parameter.numel(), dtype=torch.float64)
        parameter.data.copy_(torch.sin(1.7 * numbers + i).view_as(parameter) * parameter[0].numel() ** -0.5)
    return network


def filled(num_classes):
    generator, discriminator = (fill(network) for network in tiny(num_classes))
    steps = torch.arange(2 * 3 * 64, dtype=torch.float64)
    labels = torch.tensor([0, 2]) if num_classes else None
    return generator, discriminator, torch.cos(steps[:8]).view(2, 4), torch.cos(steps).view(2, 3, 8, 8), labels


@pytest.mark.parametrize("num_classes", [0, CLASSES])
def test_outputs_are_those_of_the_authors_code(num_classes):
    """The golden file has the outputs of the authors' networks, in float64, with these weights: `reference_outputs`."""
    generator, discriminator, latents, images, labels = filled(num_classes)
    golden = json.loads(GOLDEN.read_text())["conditional" if num_classes else "unconditional"]
    made = generator(latents, labels)[1, :, ::3, ::2], discriminator(images, labels).logits
    for found, expected in zip(made, (golden["images"], golden["logits"]), strict=True):
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)
    generator, discriminator = generator.float(), discriminator.float()
    made = generator(latents.float(), labels)[1, :, ::3, ::2], discriminator(images.float(), labels).logits
    for found, expected in zip(made, (golden["images"], golden["logits"]), strict=True):
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_classes", [0, CLASSES])
def test_outputs_and_gradients_of_the_authors_code(num_classes):
    ours = filled(num_classes)
    for found, expected in zip(outputs(*ours), reference_outputs(*ours), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def outputs(generator, discriminator, latents, images, labels):
    """Fakes, logits of reals, and their gradients in the images."""
    images = images.clone().requires_grad_()
    labels = () if labels is None else (labels,)
    judged = discriminator(images, *labels)
    logits = judged if isinstance(judged, torch.Tensor) else judged.logits
    return generator(latents, *labels), logits, *torch.autograd.grad(logits.sum(), images)


def reference_outputs(generator, discriminator, latents, images, labels):
    """The same of the authors' networks, which get our weights."""
    networks = imported_networks()
    sizes = [16, 8], [4, 2], [2, 2], 2
    conditional = generator.num_classes > 0
    classes = (CLASSES, 5) if conditional else (None, 0)
    theirs = (
        networks.Generator(4, *sizes, *classes),
        networks.Discriminator(*(part[::-1] for part in sizes[:3]), 2, *((CLASSES, 16) if conditional else (None, 0))),
    )
    for network in theirs:
        for stage in network.double().MainLayers:
            stage.DataType = torch.float64
    load(theirs[0].MainLayers[0].Layers[0].Basis, generator.basis)
    load(theirs[0].MainLayers[0].Layers[0].LinearLayer.weight, generator.linear.weight)
    load(theirs[0].AggregationLayer.Layer.weight, generator.to_image.weight)
    load(theirs[1].ExtractionLayer.Layer.weight, discriminator.from_image.weight)
    last = theirs[1].MainLayers[-1].Layers[-1]
    load(last.Basis.weight, discriminator.basis[:, None])
    load(last.LinearLayer.weight, discriminator.head.linear.weight)
    if conditional:
        load(theirs[0].EmbeddingLayer.weight, generator.embed.weight.T)
        load(theirs[1].EmbeddingLayer.weight, discriminator.head.embed.weight.T)
        labels = F.one_hot(labels, CLASSES).double()
    for our, their in zip((generator, discriminator), theirs, strict=True):
        residual = [layer for layer in their.modules() if isinstance(layer, networks.ResidualBlock)]
        for mine, block in zip(blocks(our), residual, strict=True):
            load(block.LinearLayer1.Layer.weight, mine.expand.weight)
            load(block.LinearLayer2.Layer.weight, mine.grouped.weight)
            load(block.LinearLayer3.Layer.weight, mine.project.weight)
            load(block.NonLinearity1.Bias, mine.expand.bias)
            load(block.NonLinearity2.Bias, mine.grouped.bias)
        (change,) = (layer for layer in our.body if isinstance(layer, nn.Conv2d))
        resamplers = networks.UpsampleLayer, networks.DownsampleLayer
        (resampler,) = (layer for layer in their.modules() if isinstance(layer, resamplers))
        load(resampler.LinearLayer.Layer.weight, change.weight)
    return outputs(*theirs, latents, images, labels)


def load(parameter, value):
    assert parameter.shape == value.shape
    parameter.data.copy_(value)


def imported_networks():
    """The authors' module, with their plain operations in place of those in CUDA, which they don't import then."""
    operations = ModuleType("torch_utils.ops")
    operations.bias_act = operations.upfirdn2d = None
    stubs = {"torch_utils": ModuleType("torch_utils"), "torch_utils.ops": operations}
    names = (f"R3GAN.{name}" for name in ("FusedOperators", "Resamplers", "Networks"))
    operators, resamplers, networks = imported(reference("R3GAN"), *names, stubs=stubs)
    networks.BiasedActivation = operators.BiasedActivationReference
    networks.InterpolativeUpsampler = resamplers.InterpolativeUpsamplerReference
    networks.InterpolativeDownsampler = resamplers.InterpolativeDownsamplerReference
    return networks


def test_resampling_is_the_filter_1331():
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    kernel = torch.outer(taps, taps).expand(2, 1, 4, 4)
    small, large = torch.randn(3, 2, 5, 5).double(), torch.randn(3, 2, 10, 10).double()
    up, down = Upsample(5).double(), Downsample(5).double()
    torch.testing.assert_close(up(small), F.conv_transpose2d(small, 4 * kernel, stride=2, padding=1, groups=2))
    torch.testing.assert_close(down(large), F.conv2d(large, kernel, stride=2, padding=1, groups=2))
    inner = slice(1, -1)
    bilinear = F.interpolate(small, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(up(small)[..., inner, inner], bilinear[..., inner, inner])
    torch.testing.assert_close((up(small) * large).sum(), 4 * (small * down(large)).sum())  # adjoint
    assert up.state_dict() == down.state_dict() == {}


@pytest.mark.parametrize("num_classes", [0, CLASSES])
def test_second_derivatives(num_classes):
    generator, discriminator, latents, images, labels = filled(num_classes)
    labels = labels if labels is None else labels[:1]
    assert torch.autograd.gradgradcheck(lambda x: generator(x, labels).sum((1, 2)), latents[:1].requires_grad_())
    part = images[:1, :, :2, :2].clone().requires_grad_()
    judge = lambda x: discriminator(F.pad(x, (3, 3, 3, 3)), labels).logits  # noqa: E731
    assert torch.autograd.gradgradcheck(judge, part)


def test_widths_are_those_of_the_paper():
    with torch.device("meta"):
        generator = R3GANGenerator(64, SampleSpec(256, 3), width=96)
        discriminator = R3GANDiscriminator(SampleSpec(256, 3), width=96)
    widths = [block.project.out_channels for block in blocks(generator)]
    assert widths == [w for w in (768, 768, 768, 768, 384, 192, 96) for _ in range(2)]
    assert [block.project.out_channels for block in blocks(discriminator)] == widths[::-1]
    assert {block.grouped.in_channels // block.grouped.groups for block in blocks(generator)} == {16}


def test_packs_are_channels_and_other_heads_get_the_same_features():
    packed = R3GANDiscriminator(SampleSpec(8, 3), width=8, max_width=8, packing=2)
    images = torch.randn(4, 3, 8, 8)
    assert packed.from_image.in_channels == 6
    single = R3GANDiscriminator(SampleSpec(8, 6), width=8, max_width=8)
    single.load_state_dict(packed.state_dict())
    assert torch.equal(packed(images).logits, single(images.view(2, 6, 8, 8)).logits)
    projected = R3GANDiscriminator(SampleSpec(8, 3, CLASSES), width=8, max_width=8, head=ProjectionHead)
    assert projected.head.linear.bias is None
    assert projected(images, torch.arange(4) % CLASSES).features.shape == (4, 8)


def test_the_bilinear_head_by_hand():
    torch.manual_seed(0)
    head, features, labels = BilinearHead(5, CLASSES), torch.randn(4, 5), torch.tensor([0, 2, 2, 1])
    mapped = features @ head.linear.weight.T
    torch.testing.assert_close(head(features, labels), (mapped @ head.embed.weight.T).gather(1, labels[:, None])[:, 0])
    with pytest.raises(UserError, match="BilinearHead needs classes"):
        BilinearHead(5, 0)


def test_images_are_not_bounded_and_other_ranges_are_a_linear_map():
    latents = 10 * torch.randn(4, 4, dtype=torch.float64)
    generator, _ = tiny()
    images = generator(latents)
    assert images.abs().max() > 2
    torch.manual_seed(0)
    other = R3GANGenerator(4, SampleSpec(8, 3, value_range=(0, 255)), width=8, max_width=16, group_width=8).double()
    other.load_state_dict(generator.state_dict())
    torch.testing.assert_close(other(latents), 127.5 * (images + 1))


class Loud(R3GANGenerator):
    def generate(self, latents, labels):
        return 10 * super().generate(latents, labels)


class Watching(R3GANDiscriminator):
    def features(self, images):
        self.largest = max(getattr(self, "largest", 0), images.detach().abs().max().item())
        return super().features(images)


def test_d_gets_images_beyond_the_range_and_bytes_are_clamped(play):
    sizes = {"width": 8, "max_width": 8, "group_width": 8, "blocks": 1, "base": 2}
    gan = play(generator=partial(Loud, **sizes), discriminator=partial(Watching, **sizes))
    assert gan.discriminator.largest > 2
    images = gan.sampler().sample(16)
    assert images.abs().max() > 2
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(gan.sampler().sample_uint8(16), levels)
    assert torch.equal(gan.sampler().source(0)(0, 16), levels)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"width": 20, "max_width": 20}, "which groups of 16 don't divide: take widths that 8 divides"),
        ({"width": 16, "max_width": 8}, "max_width 8 is below width 16"),
        ({"blocks": 0}, "blocks is 0: it has to be at least 1"),
        ({"group_width": 0}, "group_width is 0: it has to be at least 1"),
        ({"base": 5}, "resolution 32 is not 5 doubled at least once: take 20 or 40"),
    ],
)
@pytest.mark.parametrize("network", [R3GANGenerator, R3GANDiscriminator])
def test_senseless_arguments_are_user_errors(network, knobs, message):
    first = (4,) if network is R3GANGenerator else ()
    with torch.device("meta"), pytest.raises(UserError, match=message):
        network(*first, SampleSpec(32, 3), **knobs)
