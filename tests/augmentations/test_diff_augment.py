"""DiffAugment and cutout: the laws of the published code, and exact moves."""

import pytest
import torch

from gan_research.augmentations import Cutout, DiffAugment
from gan_research.utils.errors import UserError


@pytest.fixture
def of_many(shown):
    """of_many(augmentation): what 4000 images of 1 at 32 pixels become."""
    return lambda augmentation: shown(augmentation, torch.ones(4000, 1, 32, 32))


@pytest.mark.parametrize(
    ("augmentation", "share", "least", "most"),
    [
        (DiffAugment(["translation"]), ((32 - 20 / 9) / 32) ** 2, (28 / 32) ** 2, 1),  # 0.86593
        (DiffAugment(["cutout"]), 1 - (456 / 33 / 32) ** 2, 0.75, 0.9375),  # 0.81354: sides of 8 to 16 pixels
        (Cutout(), 1 - (456 / 33 / 32) ** 2, 0.75, 0.9375),
        (Cutout(p=0.5), 1 - (456 / 33 / 32) ** 2 / 2, 0.75, 1),
        (Cutout(p=0.0), 1, 1, 1),
        (Cutout(side=0.0), 1, 1, 1),
    ],
)
def test_the_share_of_pixels_that_are_kept(augmentation, share, least, most, of_many):
    """At 32 pixels: translations by -4 to 4, and squares of 16 pixels with one of 33 centers along each axis."""
    kept = of_many(augmentation).mean((1, 2, 3))
    within = 4 * kept.std().item() / len(kept) ** 0.5  # 4 standard errors
    assert kept.mean().item() == pytest.approx(share, abs=within + 1e-6)
    assert (kept.min().item(), kept.max().item()) == (least, most)


def test_the_factors_of_color(shown):
    """Brightness is uniform on +-0.5, contrast on (0.5, 1.5), saturation on (0, 2); each about its own mean."""
    image = torch.tensor([[0.3, 0.4], [0, 0.1], [0, 0.1]]).view(3, 1, 2)
    seen = shown(DiffAugment(["color"]), image.expand(4000, -1, -1, -1))
    brightness = (seen - image).mean((1, 2, 3))
    contrast = (seen[..., 1] - seen[..., 0]).mean((1, 2)) / 0.1
    saturation = (seen[:, 0] - seen[:, 1]).mean((1, 2)) / 0.3 / contrast
    for factor, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5), (saturation, 0, 2)):
        width = high - low
        assert factor.min().item() == pytest.approx(low, abs=2e-3 * width)
        assert factor.max().item() == pytest.approx(high, abs=2e-3 * width)
        assert factor.mean().item() == pytest.approx((low + high) / 2, abs=4 * width / 12**0.5 / 4000**0.5)
        assert factor.var().item() == pytest.approx(width**2 / 12, rel=0.06)
    correlations = torch.corrcoef(torch.stack([brightness, contrast, saturation])) - torch.eye(3)
    assert correlations.abs().max().item() < 4 / 4000**0.5


def test_values_are_not_clamped(shown):
    assert shown(DiffAugment(["color"]), torch.ones(200, 3, 2, 2)).max().item() > 1.45


def test_a_translation_moves_pixels_without_wrapping_around(numbered, shown):
    """No pixel is interpolated, appears twice, or enters on the other side, as in a roll."""
    for image, seen in zip(numbered, shown(DiffAugment(["translation"]), numbered), strict=True):
        places = torch.nonzero(seen)
        values = seen[tuple(places.T)]
        assert torch.equal(values.unique(), values.sort().values)
        sources = torch.stack([torch.nonzero(image == value)[0] for value in values])
        assert len((places - sources).unique(dim=0)) == 1


def test_the_policy_is_a_sequence(numbered, shown):
    """Squares are 0 after the last transform of the order, unless color follows."""
    assert (shown(DiffAugment(["color", "cutout"]), numbered) == 0).sum() > 100
    assert (shown(DiffAugment(["cutout", "color"]), numbered) == 0).sum() == 0


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: DiffAugment(["colour"]), ("policy", "colour", "color")),
        (lambda: DiffAugment(translation=1.5), ("translation", "1.5")),
        (lambda: Cutout(p=-0.1), ("p", "-0.1")),
        (lambda: Cutout(side=float("nan")), ("side", "nan")),
    ],
)
def test_senseless_settings_are_refused(make, names):
    with pytest.raises(UserError) as error:
        make()
    assert all(name in str(error.value) for name in names)
