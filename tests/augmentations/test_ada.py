"""The pipeline of ADA: exact where it can be, the law of each transform, and what leaks."""

import math

import pytest
import torch

from gan_research.augmentations import ADA
from gan_research.augmentations.ada import GROUPS, Draws, geometry
from gan_research.augmentations.resampling import SYM2, SYM6, filter_bank, filtered, resample
from gan_research.utils.errors import UserError

PRESETS = ("b", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")


def only(*transforms, p=1.0, **arguments):
    """An ADA of fixed p with these transforms and no others."""
    multipliers = {name: float(name in transforms) for group in GROUPS.values() for name in group}
    return ADA(p=p, target=None, **multipliers, **arguments)


def within(sample, scale=1.0):
    """Four standard errors of the sample's mean."""
    return 4 * scale * sample.std().item() / len(sample) ** 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_p_0_is_the_identity(preset, numbered, shown):
    """Bit for bit; the published code's resampler leaves rounding errors."""
    assert torch.equal(shown(ADA(preset), numbered), numbered)
    images = numbered.double() / numbered.max()
    assert (shown(ADA(preset, exact_blit=False), images) - images).abs().max().item() < 1e-10


@pytest.mark.parametrize("taps", [SYM2, SYM6])
def test_the_wavelets_are_orthogonal(taps):
    h = torch.tensor(taps, dtype=torch.float64)
    even_shifts = torch.stack([(h[k:] * h[: len(h) - k]).sum() for k in range(0, len(h), 2)])
    assert h.sum().item() == pytest.approx(math.sqrt(2), abs=1e-12)
    assert (even_shifts - torch.eye(len(even_shifts), dtype=torch.float64)[0]).abs().max().item() < 1e-11


def test_the_filter_bank_sums_to_a_delta():
    bank = filter_bank()
    assert bank.shape == (4, 43)
    assert (bank.sum(0) - torch.eye(43, dtype=torch.float64)[21]).abs().max().item() < 1e-12
    assert bank.sum(1).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-12)  # a constant is in the lowest band


def symmetries(image):
    return [turned.flip(-1) if flip else turned for flip in (0, 1) for turned in map(image.rot90, *TURNS)]


TURNS = (range(4), [(1, 2)] * 4)


def test_flips_and_quarter_turns_are_exact(shown):
    """All 8 symmetries come, each an eighth of the time; the published code's resampler blurs all but one."""
    image = torch.rand(3, 8, 8)
    images = image.expand(800, -1, -1, -1)
    seen = shown(only("xflip", "rotate90"), images)
    counts = [sum(torch.equal(one, each) for one in seen) for each in symmetries(image)]
    assert sum(counts) == 800
    assert sum((count - 100) ** 2 / 100 for count in counts) < 24.3  # chi-squared of 7 degrees, 0.1 %
    blurred = shown(only("xflip", "rotate90", exact_blit=False), images[:50])
    nearest = torch.stack([(blurred - each).abs().amax((1, 2, 3)) for each in symmetries(image)]).amin(0)
    assert nearest.max().item() > 0.1
    assert (nearest < 1e-4).float().mean().item() < 0.5


def test_shifts_are_exact_and_as_in_the_published_code(shown):
    images = torch.rand(200, 1, 16, 16)
    seen = shown(only("xint"), images)
    assert (shown(only("xint", exact_blit=False), images) - seen).abs().max().item() < 1e-5
    rows = torch.arange(16.0).view(-1, 1).expand(200, 1, 16, 16)
    shifts = rows[0, 0, 8, 0] - shown(only("xint"), rows)[:, 0, 8, 0]
    assert set(shifts.tolist()) == {-2, -1, 0, 1, 2}
    assert (shifts.abs() == 2).float().mean().item() == pytest.approx(1 / 4, abs=4 * (3 / 16 / 200) ** 0.5)


def test_only_images_with_other_geometry_are_resampled(shown):
    """The others stay bit for bit: of 4 transforms none, with probability (1 - p)^4."""
    images = torch.rand(2000, 1, 4, 4)
    seen = shown(only("scale", "rotate", "aniso", "xfrac", p=0.3), images)
    share = (seen == images).flatten(1).all(1).float()
    assert share.mean().item() == pytest.approx(0.7**4, abs=within(share))


def test_resampling_follows_the_affine_map(shown):
    """A smooth function of the position, at the mapped positions, about the center of the image."""
    place = torch.arange(32, dtype=torch.float64) - 15.5
    x, y = place.expand(32, 32), place[:, None].expand(32, 32)
    wave = lambda x, y: torch.cos(0.15 * x + 0.25 * y + 0.5)  # noqa: E731
    linear = torch.tensor([[[1.1, -0.4], [0.3, 0.8]]], dtype=torch.float64)
    offset = torch.tensor([[1.3, -2.6]], dtype=torch.float64)
    at_x, at_y = 1.1 * x - 0.4 * y + 1.3, 0.3 * x + 0.8 * y - 2.6
    seen = resample(wave(x, y)[None, None], linear, offset, torch.tensor(SYM6, dtype=torch.float64))[0, 0]
    inside = (at_x.abs() < 12) & (at_y.abs() < 12)
    assert inside.sum() > 300
    assert (seen - wave(at_x, at_y))[inside].abs().max().item() < 0.01


@pytest.fixture
def maps(noise):
    """maps(*transforms, p=1): the affine maps (N, 2, 2) and offsets (N, 2) of 4000 images at 32 pixels, in float64."""

    def maps(*transforms, p=1.0):
        class Context:
            noise = None

        Context.noise = noise(4000, dtype=torch.float64)
        return geometry(Draws(Context, "ada", p, only(*transforms).multipliers), 32)

    return maps


def is_normal(sample, std):
    assert sample.mean().item() == pytest.approx(0, abs=within(sample))
    assert sample.std().item() == pytest.approx(std, rel=0.05)  # 4.5 standard errors
    assert (sample.abs() < std).double().mean().item() == pytest.approx(0.6827, abs=0.03)


def test_the_laws_of_geometry(maps):
    scale, stretch, shift = maps("scale")[0], maps("aniso")[0], maps("xfrac")[1]
    is_normal(scale[:, 0, 0].log2(), 0.2)
    is_normal(stretch[:, 0, 0].log2(), 0.2)
    is_normal(shift.flatten(), 4.0)
    assert torch.allclose(scale[:, 0, 0], scale[:, 1, 1])
    assert torch.allclose(stretch[:, 0, 0] * stretch[:, 1, 1], torch.ones(4000, dtype=torch.float64))


@pytest.mark.parametrize("p", [0.36, 1.0])
def test_a_share_p_is_rotated(p, maps):
    """By two rotations, with 1 - sqrt(1 - p) each; the angle is uniform."""
    linear, _ = maps("rotate", p=p)
    assert torch.allclose(linear @ linear.mT, torch.eye(2, dtype=torch.float64).expand(4000, 2, 2))
    angles = torch.atan2(linear[:, 1, 0], linear[:, 0, 0])
    rotated = (angles != 0).double()
    assert rotated.mean().item() == pytest.approx(p, abs=within(rotated) + 1e-9)
    turned = angles[angles != 0]
    for k in (1, 2):  # the circular moments are 0
        assert torch.polar(torch.ones_like(turned), k * turned).mean().abs().item() < 4 / len(turned) ** 0.5


def recolored(transform, shown, channels=3):
    """What a color transform makes of 4000 images of one random color pixel: (before, after), (4000, C) each."""
    colors = torch.rand(4000, channels, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    images = colors.expand(-1, -1, 2, 2)
    return colors.flatten(1), shown(only(transform), images)[:, :, 0, 0]


def test_the_laws_of_color(shown):
    x, y = recolored("brightness", shown)
    is_normal((y - x)[:, 0], 0.2)
    assert torch.allclose((y - x)[:, 0], (y - x)[:, 2])
    x, y = recolored("contrast", shown)
    is_normal((y / x)[:, 0].log2(), 0.5)
    assert torch.allclose(y / x, (y / x)[:, :1].expand(-1, 3))
    x, y = recolored("saturation", shown)
    chroma = lambda colors: colors - colors.mean(1, keepdim=True)  # noqa: E731
    is_normal((chroma(y) / chroma(x))[:, 0].log2(), 1.0)
    assert torch.allclose(y.mean(1), x.mean(1))


def test_the_luma_flip_is_a_householder_reflection(shown):
    x, y = recolored("lumaflip", shown)
    v = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    flipped = x - 2 * torch.outer(x @ v, v)
    is_flipped = torch.isclose(y, flipped).all(1)
    assert torch.allclose(y[~is_flipped], x[~is_flipped])
    assert is_flipped.double().mean().item() == pytest.approx(0.5, abs=0.032)


def test_hue_is_a_rotation_about_the_luma_axis(shown):
    """Uniform, as scipy has it: luma and length stay."""
    x, y = recolored("hue", shown)
    v = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    assert torch.allclose(y @ v, x @ v)
    assert torch.allclose(y.norm(dim=1), x.norm(dim=1))
    a, b = x - torch.outer(x @ v, v), y - torch.outer(y @ v, v)
    angle = torch.atan2(torch.linalg.cross(a, b) @ v, (a * b).sum(1))
    assert torch.polar(torch.ones_like(angle), angle).mean().abs().item() < 4 / 4000**0.5
    from_matrix = torch.linalg.matrix_exp(angle[0] * torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0.0]]) / 3**0.5)
    assert torch.allclose(from_matrix.double() @ x[0], y[0], atol=1e-6)


def test_grey_images_get_the_luma_of_color(shown):
    grey, color = torch.rand(50, 1, 4, 4), ADA("bgc", p=0.7, target=None, **dict.fromkeys(GROUPS["blit"], 0.0))
    expected = shown(color, grey.expand(-1, 3, -1, -1)).mean(1, keepdim=True)
    assert torch.allclose(shown(color, grey), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_get_no_color(channels, shown):
    images = torch.rand(8, channels, 4, 4)
    assert torch.equal(shown(only("brightness", "hue"), images), images)
    assert not torch.equal(shown(only("brightness", "xflip"), images), images)


def test_the_filter_changes_a_share_and_keeps_the_expected_power(shown):
    """Of the power (10, 1, 1, 1) / 13 of images, whatever the gain of one band; constants show the lowest one."""
    images = torch.ones(4000, 1, 4, 4, dtype=torch.float64)
    seen = shown(only("imgfilter", p=0.5), images)
    untouched = (seen == 1).flatten(1).all(1).double()
    assert untouched.mean().item() == pytest.approx(0.5**4, abs=within(untouched))
    assert torch.allclose(seen, seen[:, :, :1, :1].expand_as(seen))
    gains = torch.tensor([[3.0, 1, 1, 1], [1, 3, 1, 1], [1, 1, 3, 1], [1, 1, 1, 1]], dtype=torch.float64)
    lowest = ADA()._filtered(images[:4], gains)[:, 0, 0, 0]  # filtered along both axes: gain^2
    assert (10 / 13 * lowest[0]).item() == pytest.approx(90 / 93)  # 10 * 9 / (10 * 9 + 3)
    assert lowest[1:].tolist() == pytest.approx([13 / 21, 13 / 21, 1])


def test_filters_are_convolutions_with_reflection():
    images, taps = torch.rand(2, 3, 6, 5, dtype=torch.float64), torch.rand(2, 5, dtype=torch.float64)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    kernel = torch.einsum("ni,nj->nij", taps.flip(1), taps.flip(1))
    expected = torch.einsum("ncyxij,nij->ncyx", padded.unfold(2, 5, 1).unfold(3, 5, 1), kernel)
    assert torch.allclose(filtered(images, taps), expected)


def test_noise_and_cutout(shown):
    noisy = shown(only("noise"), torch.zeros(2000, 1, 8, 8))
    power = noisy.square().mean((1, 2, 3))
    assert power.mean().item() == pytest.approx(0.01, abs=within(power))
    assert noisy.pow(4).mean().item() == pytest.approx(9e-4, rel=0.2)  # 3 sigma^4, 3 times the square of 0.1^2
    kept = shown(only("cutout"), torch.ones(4000, 1, 32, 32)).mean((1, 2, 3))
    assert kept.mean().item() == pytest.approx(0.8086, abs=within(kept))  # 1 - (7/16)^2, up to pixels
    assert (kept.min().item(), kept.max().item()) == (0.75, pytest.approx(0.9375, abs=2e-3))


@pytest.mark.parametrize(("p", "smallest"), [(0.8, 0.2), (0.5, 0.5), (1.0, 0.0)])
def test_quarter_turns_leak_only_at_p_1(p, smallest, shown):
    """On four orientations, (1 - p) I + p / 4 has singular values 1 and 1 - p: it is invertible unless p = 1."""
    shape = torch.tensor([[1.0, 1, 1], [1, 0, 0], [1, 0, 0]])
    states = torch.stack([shape.rot90(k) for k in range(4)])
    seen = shown(only("rotate90", p=p), states.repeat_interleave(40000, 0)[:, None])[:, 0]
    which = (seen[:, None] == states).flatten(2).all(2).view(4, 40000, 4).double().mean(1)
    values = torch.linalg.svdvals(which)
    assert which.sum(1).tolist() == pytest.approx([1] * 4)
    assert values.tolist() == pytest.approx([1, smallest, smallest, smallest], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"preset": "bgx"}, ("preset", "bgx", "bg")),
        ({"p": 1.5}, ("p=1.5",)),
        ({"p": float("nan")}, ("p=nan",)),
        ({"target": 2}, ("target=2",)),
        ({"kimg": 0}, ("kimg=0",)),
        ({"every": 0}, ("every=0",)),
        ({"hue": -1}, ("hue=-1",)),
        ({"huge": 1}, ("huge", "hue")),
    ],
)
def test_senseless_settings_are_refused(arguments, names):
    with pytest.raises(UserError) as error:
        ADA(**arguments)
    assert all(name in str(error.value) for name in names)
