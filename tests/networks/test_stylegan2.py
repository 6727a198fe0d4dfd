"""StyleGAN2: sizes, NVIDIA's outputs, resampling as matrices, how it starts, and its layers' derivatives.

`golden_stylegan2.json` holds outputs of NVIDIA's networks, in float64, with the weights of `fill`:

    GAN_RESEARCH_REFERENCES=FOLDER python tests/networks/test_stylegan2.py

writes it, where FOLDER contains stylegan2-ada-pytorch, and PYTHONPATH the repository.
"""

import json
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from references import imported, reference
from torch import nn

from gan_research.networks import StyleGAN2Discriminator, StyleGAN2Generator
from gan_research.networks.equalized import EqualizedConv, EqualizedLinear, Mapping
from gan_research.networks.fir import Blur, Downsample, Upsample
from gan_research.networks.stylegan2 import LabelMappingHead, MinibatchStd, StyledConv, ToImage
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

GOLDEN = Path(__file__).with_name("golden_stylegan2.json")
CLASSES, N, GROUP = 3, 4, 2
CASES = [(classes, architecture) for classes in (0, CLASSES) for architecture in ("resnet", "orig", "skip")]


def size(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("resolution", "classes", "latent_dim", "of_g", "of_d", "g_size", "d_size"),
    [  # those of NVIDIA's networks, counted in their code
        (32, 0, 512, {"mapping_layers": 2}, {"architecture": "orig"}, 19_947_539, 20_720_641),
        (32, 10, 512, {"mapping_layers": 2}, {"architecture": "orig"}, 20_215_315, 23_089_664),
        (64, 0, 512, {"width": 256, "mapping_layers": 2}, {"width": 256}, 22_243_608, 23_407_361),
        (256, 0, 512, {"width": 64}, {"width": 64}, 24_767_458, 24_001_089),
        (1024, 0, 512, {}, {}, 30_370_060, 29_012_513),
        (
            *(32, 0, 64),
            {"width": 32, "max_width": 32, "w_dim": 64, "mapping_layers": 2},
            {"width": 32, "max_width": 32, "architecture": "orig"},
            *(96_851, 81_601),
        ),
    ],
    ids=["CIFAR-10", "CIFAR-10 classes", "64", "256", "1024", "tiny"],
)
def test_sizes_are_nvidias(resolution, classes, latent_dim, of_g, of_d, g_size, d_size):
    samples = SampleSpec(resolution, 3, classes)
    with torch.device("meta"):
        made = StyleGAN2Generator(latent_dim, samples, **of_g), StyleGAN2Discriminator(samples, **of_d)
    assert [size(network) for network in made] == [g_size, d_size]


# --- NVIDIA's networks, with the same weights --------------------------------------------------------------------


def tiny(classes=0, architecture="resnet", resolution=16, **of_g):
    torch.manual_seed(0)
    samples = SampleSpec(resolution, 3, classes)
    generator = StyleGAN2Generator(5, samples, **({"width": 4, "max_width": 8, "w_dim": 6, "mapping_layers": 2} | of_g))
    knobs = {"width": 4, "max_width": 8, "architecture": architecture, "minibatch_std_group": GROUP}
    return generator.double(), StyleGAN2Discriminator(samples, **knobs).double()


def fill(network):
    """Set all parameters to the same numbers in any version of torch, of about the size that they start with."""
    for i, (name, parameter) in enumerate(network.named_parameters()):
        numbers = torch.sin(1.7 * torch.arange(parameter.numel(), dtype=torch.float64) + i)
        parameter.data.copy_(numbers.view_as(parameter) * (100 if "mapping.layers" in name else 1))
    return network


def filled(classes, architecture):
    """Both networks, latents, images, labels and the layers' noise."""
    generator, discriminator = (fill(network) for network in tiny(classes, architecture))
    steps = torch.arange(N * 3 * 256, dtype=torch.float64)
    noise = torch.sin(0.3 * steps[: generator.noise_dim]).expand(N, -1)
    labels = torch.tensor([0, 2, 1, 2]) if classes else None
    latents, images = torch.cos(steps[: N * 5]).view(N, 5), torch.cos(steps).view(N, 3, 16, 16)
    return generator, discriminator, latents, images, labels, noise


def outputs(generator, discriminator, latents, images, labels, noise):
    """Fakes with and without noise, logits of reals, and their gradients in the images."""
    images = images.clone().requires_grad_()
    logits = discriminator(images, labels).logits
    fakes = generator(latents, labels), generator(latents, labels, noise)
    return *fakes, logits, *torch.autograd.grad(logits.square().sum(), images)


@pytest.mark.parametrize(("classes", "architecture"), CASES)
def test_outputs_are_those_of_nvidias_code(classes, architecture):
    golden = json.loads(GOLDEN.read_text())[f"{architecture} {classes}"]
    ours = filled(classes, architecture)
    for found, expected in zip(summaries(outputs(*ours)), golden, strict=True):
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)
    single = [part if part is None or not part.is_floating_point() else part.float() for part in ours[2:]]
    for found, expected in zip(summaries(outputs(ours[0].float(), ours[1].float(), *single)), golden, strict=True):
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def summaries(found):
    """A few of the numbers."""
    plain, noisy, logits, slopes = found
    return plain[1, :, ::9, ::9], noisy[2, :, ::9, ::9], logits, slopes[3, :, ::9, ::9]


@pytest.mark.parametrize(("classes", "architecture"), CASES)
@pytest.mark.parametrize("fused", [False, True])
def test_outputs_and_gradients_of_nvidias_code(classes, architecture, fused):
    ours = filled(classes, architecture)
    for conv in ours[0].convs:
        conv.fused = fused
    for found, expected in zip(outputs(*ours), reference_outputs(*ours), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def reference_outputs(generator, discriminator, latents, images, labels, noise):
    """The same of NVIDIA's networks, which get our weights; their groups are strided, and so the batch is permuted."""
    networks = imported_networks()
    classes, resolution = generator.num_classes, generator.resolution
    sizes = {"channel_base": 4 * resolution, "channel_max": 8}
    their_g = networks.Generator(5, classes, 6, resolution, 3, {"num_layers": 2}, sizes).double()
    architecture = "resnet" if discriminator.blocks[0].shortcut is not None else "orig"
    architecture = "skip" if discriminator.from_image is not None else architecture
    their_d = networks.Discriminator(
        classes, resolution, 3, architecture, **sizes, epilogue_kwargs={"mbstd_group_size": GROUP}
    ).double()
    copy_mapping(their_g.mapping, generator.mapping)
    blocks = [getattr(their_g.synthesis, f"b{r}") for r in (4, 8, 16)]
    load(blocks[0].const, generator.constant)
    theirs = [layer for b in blocks for layer in (getattr(b, "conv0", None), b.conv1) if layer is not None]
    parts = noise[0].split([side**2 for side in generator.sides])
    for their, our, part in zip(theirs, generator.convs, parts, strict=True):
        copy(their.affine, our.affine)
        copy(their, our)
        load(their.noise_strength, our.strength)
        their.noise_const.copy_(part.view_as(their.noise_const))
    for block, our in zip(blocks, generator.to_images, strict=True):
        copy(block.torgb.affine, our.affine)
        copy(block.torgb, our)
    pairs = [(getattr(their_d, f"b{r}"), block) for r, block in zip((16, 8), discriminator.blocks, strict=True)]
    for their, our in pairs:
        copy(their.conv0, our.conv1)
        copy(their.conv1, our.conv2)
        if our.shortcut is not None:
            copy(their.skip, our.shortcut[1])
    for their, our in [*pairs, (their_d.b4, discriminator)]:
        if our.from_image is not None:
            copy(their.fromrgb, our.from_image)
    copy(their_d.b4.conv, discriminator.conv)
    copy(their_d.b4.fc, discriminator.linear)
    copy(their_d.b4.out, discriminator.head.linear)
    codes = None
    if classes:
        copy_mapping(their_d.mapping, discriminator.head.mapping)
        codes = F.one_hot(labels, classes).double()
    images = images.clone().requires_grad_()
    order = torch.arange(N).view(N // GROUP, GROUP).T.flatten()  # theirs at i is ours at order[i]
    back = order.argsort()
    logits = their_d(images[order], None if codes is None else codes[order])[back, 0]
    fakes = [their_g(latents, codes, noise_mode=mode) for mode in ("none", "const")]
    return *fakes, logits, *torch.autograd.grad(logits.square().sum(), images)


def copy_mapping(theirs, ours):
    if ours.embed is not None:
        copy(theirs.embed, ours.embed)
    for i, layer in enumerate(ours.layers):
        copy(getattr(theirs, f"fc{i}"), layer)


def copy(their, our):
    load(their.weight, our.weight)
    if our.bias is not None:
        load(their.bias, our.bias)


def load(parameter, value):
    assert parameter.numel() == value.numel()
    parameter.data.copy_(value.detach().view_as(parameter))


class Double(ModuleType):
    """torch, with float64 for float32."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def imported_networks():
    """NVIDIA's module, which computes in float64."""
    names = "training.networks", *(f"torch_utils.ops.{name}" for name in ("conv2d_resample", "upfirdn2d"))
    stubs = {name: ModuleType(name) for name in ("requests", "torch_utils.persistence")}
    stubs["torch_utils.persistence"].persistent_class = lambda cls: cls
    modules = imported(reference("stylegan2-ada-pytorch"), *names, stubs=stubs)
    for module in modules:
        module.torch = Double("torch")
    return modules[0]


# --- resampling --------------------------------------------------------------------------------------------------


def operator(layer, channels, side):
    """The matrix of a layer that is linear, from what it does to each unit vector."""
    units = torch.eye(channels * side**2, dtype=torch.float64).view(-1, channels, side, side)
    with torch.no_grad():
        return layer(units).flatten(1).T


def filtering(side, before, after, stuff=1, take=1, gain=1.0):
    """The matrix along one axis: zeros between samples, zeros at both ends, the filter (1, 3, 3, 1) / 8, every n-th."""
    taps, length = np.array([1.0, 3.0, 3.0, 1.0]) / 8, side * stuff + before + after
    spread = np.zeros((length, side))
    spread[before + stuff * np.arange(side), np.arange(side)] = 1
    fir = np.zeros((length - 3, length))
    for row in range(length - 3):
        fir[row, row : row + 4] = gain * taps
    return (fir @ spread)[::take]


def planes(matrix, channels):
    """The operator of a matrix along both axes of each channel."""
    return np.kron(np.eye(channels), np.kron(matrix, matrix))


def correlation(weight, side, stride):
    """The matrix of the map out[o, y, x] = sum w[o, i, a, b] in[i, stride y + a, stride x + b]."""
    outer, inner, kernel, _ = weight.shape
    out = (side - kernel) // stride + 1
    matrix = np.zeros((outer, out, out, inner, side, side))
    for y in range(out):
        for x in range(out):
            part = slice(stride * y, stride * y + kernel), slice(stride * x, stride * x + kernel)
            matrix[:, y, x, :, part[0], part[1]] = weight
    return matrix.reshape(outer * out**2, inner * side**2)


def equal(found, expected):
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=1e-12)


def test_resampling_of_images_is_the_matrix():
    equal(operator(Upsample(5).double(), 2, 5), planes(filtering(5, 2, 1, stuff=2, gain=2.0), 2))
    equal(operator(Downsample(5).double(), 2, 10), planes(filtering(10, 1, 1, take=2), 2))
    equal(operator(Blur(1, 4.0).double(), 2, 7), planes(filtering(7, 1, 1, gain=2.0), 2))


@pytest.mark.parametrize("kernel", [1, 3])
def test_downsampling_convolutions_are_the_matrix(kernel):
    torch.manual_seed(0)
    if kernel == 3:
        layer = EqualizedConv(2, 3, 3, bias=None, activate=False, down=True).double()
        conv, padding = layer, 2
    else:  # of shortcuts
        conv, padding = EqualizedConv(2, 3, 1, bias=None, activate=False).double(), 1
        layer = nn.Sequential(Downsample(3).double(), conv)
    weight = conv.weight.detach().numpy() / np.sqrt(2 * kernel**2)
    blurred = planes(filtering(6, padding, padding), 2)
    equal(operator(layer, 2, 6), correlation(weight, 6 + 2 * padding - 3, 2) @ blurred)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("up", [False, True])
def test_styled_convolutions_are_the_matrix(up, fused):
    """Upsampling is the transpose of a strided correlation: its kernel isn't mirrored."""
    torch.manual_seed(0)
    layer = StyledConv(2, 3, 4, up, noisy=False, fused=fused, clamp=None).double()
    convolve = layer.convolve_each if fused else layer.convolve_all
    styles = torch.tensor([0.7, -1.3], dtype=torch.float64)
    found = operator(lambda units: layer.blur(convolve(units, styles.expand(len(units), -1))), 2, 4)
    weight = (layer.weight.detach() * styles[:, None, None]).numpy()
    weight = np.sqrt(2) * weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
    if up:
        stuffed = correlation(weight.transpose(1, 0, 2, 3), 9, 2).T
        equal(found, planes(filtering(9, 1, 1, gain=2.0), 3) @ stuffed)
    else:
        border = np.zeros((6, 4))
        border[1:5] = np.eye(4)
        equal(found, correlation(weight, 6, 1) @ planes(border, 2))


def test_the_filter_keeps_constants_and_removes_the_highest_frequency():
    ones, alternating = torch.ones(1, 1, 8, 8), (torch.arange(8) % 2 * 2.0 - 1).expand(1, 1, 8, 8)
    blur = Blur(0)
    assert torch.equal(blur(ones), torch.ones(1, 1, 5, 5))
    assert torch.equal(blur(alternating), torch.zeros(1, 1, 5, 5))
    assert torch.equal(Upsample(8)(ones)[..., 1:-1, 1:-1], torch.ones(1, 1, 14, 14))
    assert torch.equal(Downsample(4)(ones)[..., 1:-1, 1:-1], torch.ones(1, 1, 2, 2))
    assert torch.equal(Downsample(4)(alternating)[..., 1:-1, 1:-1], torch.zeros(1, 1, 2, 2))


# --- properties --------------------------------------------------------------------------------------------------


def drawn(**knobs):
    torch.manual_seed(0)
    return StyleGAN2Generator(64, SampleSpec(32, 3), width=32, max_width=32, w_dim=64, mapping_layers=2, **knobs)


def test_standard_deviations_at_the_start():
    generator, latents = drawn(), torch.randn(64, 64)
    ws = generator.map(latents)
    assert ws.shape == (64, 8, 64)
    assert 0.8 < ws.std() < 1.1
    assert 0.8 < generator(latents).std() < 1.6


def test_noise_has_no_effect_at_the_start_and_an_effect_for_each_strength():
    generator, latents = drawn(), torch.randn(2, 64)
    assert generator.noise_dim == 16 + 2 * (64 + 256 + 1024)
    noise, plain = torch.randn(2, generator.noise_dim), generator(latents)
    assert torch.equal(generator(latents, None, noise), plain)
    for conv in generator.convs:
        conv.strength.data.fill_(0.1)
        assert (generator(latents, None, noise) - plain).abs().max() > 1e-3
        assert torch.equal(generator(latents), plain)
        conv.strength.data.zero_()
    silent = drawn(layer_noise=False)
    assert silent.noise_dim == 0
    assert size(generator) - size(silent) == len(generator.convs)


def test_the_scale_of_latents_and_of_styles_has_no_effect():
    generator, latents = drawn(), torch.randn(8, 64)
    torch.testing.assert_close(generator.map(7 * latents), generator.map(latents), rtol=0, atol=1e-5)
    conv, maps, styles = StyledConv(16, 8, 4, False, True, False, None), torch.randn(3, 16, 6, 6), torch.randn(3, 16)
    torch.testing.assert_close(conv.convolve_all(maps, 5 * styles), conv.convolve_all(maps, styles), rtol=0, atol=1e-5)


def test_outputs_have_standard_deviation_one_before_the_activation():
    torch.manual_seed(0)
    conv, maps = StyledConv(64, 64, 4, False, False, False, None), torch.randn(8, 64, 16, 16)
    found = conv.convolve_all(maps, torch.randn(8, 64)) / 2**0.5
    assert found[..., 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.02)


def test_each_layer_reads_its_w_and_images_share_that_of_the_next_convolution():
    generator, noise = tiny()[0], None
    ws = torch.randn(1, generator.num_ws, 6, dtype=torch.float64).requires_grad_()
    parts = [torch.autograd.grad(to(conv_input(generator, i), ws[:, i + 1]).sum(), ws)[0][0].abs().sum(1) > 0
             for i, to in zip((0, 2, 4), generator.to_images, strict=True)]  # fmt: skip
    assert [part.nonzero().flatten().tolist() for part in parts] == [[1], [3], [5]]
    (slope,) = torch.autograd.grad(generator.synthesise(ws, noise).square().sum(), ws)
    assert (slope.abs().sum(2) > 0).all()
    affines = generator.first_affines()
    assert [tuple(a.shape) for a in affines] == [(8, 6), (8, 6), (8, 6), (8, 6), (4, 6), (4, 6)]
    move = torch.randn(6, dtype=torch.float64)
    layers = [*generator.convs, generator.to_images[-1]]
    for affine, layer in zip(affines, layers, strict=True):
        torch.testing.assert_close(affine @ move, layer.affine(move[None])[0] - layer.affine(0 * move[None])[0])


def conv_input(generator, i):
    side = generator.sides[i]
    return torch.ones(1, generator.convs[i].weight.shape[0], side, side, dtype=torch.float64)


# --- minibatch standard deviation --------------------------------------------------------------------------------


def test_the_standard_deviation_by_hand_and_of_equal_samples():
    images = torch.randn(6, 4, 2, 2, dtype=torch.float64)
    found = MinibatchStd(3, 2)(images)
    assert torch.equal(found[:, :4], images)
    for start in (0, 3):
        deviations = (images[start : start + 3].var(0, correction=0) + 1e-8).sqrt()
        for channel, part in enumerate((deviations[:2], deviations[2:])):
            appended = found[start : start + 3, 4 + channel]
            torch.testing.assert_close(appended, part.mean().expand_as(appended))
    same = MinibatchStd(3, 1)(images[:1].expand(3, -1, -1, -1))[:, 4:]
    torch.testing.assert_close(same, torch.full_like(same, 1e-4), rtol=1e-6, atol=0)


def test_parts_of_a_batch_have_the_same_logits():
    """Two ranks, or micro-batches, get what one gets; with NVIDIA's strided groups they differ."""
    _, discriminator = tiny()
    images = torch.randn(8, 3, 16, 16, dtype=torch.float64)
    whole, halves = discriminator(images).logits, [discriminator(part).logits for part in images.chunk(2)]
    torch.testing.assert_close(torch.cat(halves), whole, rtol=0, atol=1e-14)
    strided = torch.arange(8).view(GROUP, -1).T.flatten()
    assert (discriminator(images[strided]).logits - whole[strided]).abs().max() > 1e-6
    discriminator.minibatch_std.group = 4
    with pytest.raises(UserError, match="6 samples don't make groups of 4"):
        discriminator(images[:6])


# --- derivatives and precision -----------------------------------------------------------------------------------

LAYERS = {
    "linear": (partial(EqualizedLinear, 3, 4, multiplier=0.5, activate=True), [(2, 3)]),
    "conv": (partial(EqualizedConv, 2, 2, 3, clamp=0.9), [(1, 2, 3, 3)]),
    "down": (partial(EqualizedConv, 2, 2, 3, down=True), [(1, 2, 4, 4)]),
    "blur": (partial(Blur, 1), [(1, 2, 3, 3)]),
    "mapping": (partial(Mapping, 3, 0, 4, 2), [(2, 3)]),
    "std": (partial(MinibatchStd, 2, 1), [(2, 2, 2, 2)]),
    "styled": (partial(StyledConv, 2, 2, 3, False, True, False, None), [(2, 2, 3, 3), (2, 3), (2, 1, 3, 3)]),
    "styled, fused": (partial(StyledConv, 2, 2, 3, False, True, True, None), [(2, 2, 3, 3), (2, 3), (2, 1, 3, 3)]),
    "up": (partial(StyledConv, 2, 2, 3, True, True, False, None), [(2, 2, 2, 2), (2, 3), (2, 1, 4, 4)]),
    "up, fused": (partial(StyledConv, 2, 2, 3, True, True, True, None), [(2, 2, 2, 2), (2, 3), (2, 1, 4, 4)]),
    "image": (partial(ToImage, 3, 2, 3, None), [(2, 3, 2, 2), (2, 3)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives(name):
    torch.manual_seed(0)
    make, shapes = LAYERS[name]
    layer = make().double()
    if name not in ("mapping", "linear"):
        for parameter in layer.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    map_ = (lambda x: layer(x, None)) if name == "mapping" else layer
    inputs = tuple(torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes)
    assert torch.autograd.gradgradcheck(map_, inputs)


def test_second_derivatives_of_the_head():
    head = LabelMappingHead(4, CLASSES, layers=2).double()
    features, labels = torch.randn(3, 4, dtype=torch.float64).requires_grad_(), torch.tensor([0, 2, 0])
    assert torch.autograd.gradcheck(lambda h: head(h, labels), features)
    mapped = head.mapping(None, labels)
    assert torch.equal(mapped[0], mapped[2])
    by_hand = (head.linear(features) * mapped).sum(1) / 2
    torch.testing.assert_close(head(features, labels), by_hand)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_float32(dtype):
    generator, discriminator = (network.float() for network in tiny(CLASSES))
    latents, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    plain = generator(latents, labels)
    with torch.autocast("cpu", dtype):
        ws, images = generator.map(latents, labels), generator(latents, labels)
        logits = discriminator(plain, labels).logits
    assert ws.dtype == images.dtype == torch.float32
    assert torch.equal(ws, generator.map(latents, labels))
    assert 0 < (images - plain).abs().mean() < 0.02 * plain.std()
    assert (logits - discriminator(plain, labels).logits).abs().max() < 0.1


@pytest.mark.parametrize(
    ("network", "knobs", "message"),
    [
        ("g", {"w_dim": 0}, "w_dim is 0"),
        ("g", {"mapping_layers": 0}, "mapping_layers is 0"),
        ("g", {"width": 600}, "max_width 512 is below width 600"),
        ("g", {"conv_clamp": 0.0}, "conv_clamp is 0.0: it has to be a positive number"),
        ("d", {"architecture": "orgi"}, "architecture 'orgi' is unknown: did you mean 'orig'?"),
        ("d", {"minibatch_std_group": 0}, "minibatch_std_group is 0"),
        ("d", {"minibatch_std_channels": 3}, "minibatch_std_channels=3 doesn't divide 512 channels"),
        ("d", {"base": 5}, "resolution 32 is not 5 doubled"),
    ],
)
def test_senseless_arguments_are_user_errors(network, knobs, message):
    make = partial(StyleGAN2Generator, 4) if network == "g" else StyleGAN2Discriminator
    with torch.device("meta"), pytest.raises(UserError, match=message.replace("?", r"\?")):
        make(SampleSpec(32, 3), **knobs)


if __name__ == "__main__":
    found = {f"{a} {c}": [part.tolist() for part in summaries(reference_outputs(*filled(c, a)))] for c, a in CASES}
    GOLDEN.write_text(json.dumps(found) + "\n")
