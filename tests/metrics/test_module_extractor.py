"""Any module as an extractor: what it is given, what it returns, and errors that say what to do."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from gan_research.config.build import make
from gan_research.metrics.extractors.module import ModuleExtractor
from gan_research.metrics.frechet import FID
from gan_research.utils.errors import UserError


class Pair(nn.Module):
    """Features (N, C, 2, 2), and logits (N, 5), of images; draws noise, which must not be noticed."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.pool, self.classify = nn.AdaptiveAvgPool2d(2), nn.Linear(4 * channels, 5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        torch.rand(3)
        features = self.pool(images)
        return features, self.classify(features.flatten(1))


class Returns(nn.Module):
    """Returns the same, whatever it is given."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: Tensor) -> object:
        return self.output


def random_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_features_and_logits_are_the_modules():
    module, images = Pair(), random_images(4, 3, 8, 8)
    extractor = ModuleExtractor(module, 8, knows_data_classes=True)
    features, logits = module(images / 127.5 - 1)
    found = extractor(images)
    torch.testing.assert_close(found.features, features.flatten(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.logits, logits, rtol=1e-6, atol=1e-6)
    assert not found.features.requires_grad
    assert (extractor.num_features, extractor.num_classes) == (12, 5)
    assert (extractor.name, extractor.frechet, extractor.knows_data_classes) == ("Pair", "fd_pair", True)


@pytest.mark.parametrize("output", [torch.ones(1), torch.ones(1, 1), torch.ones(1, 1, 1, 1)], ids=lambda x: x.ndim)
def test_features_of_any_shape_are_flattened(output):
    extractor = ModuleExtractor(Returns(output), 4)
    assert extractor(random_images(1, 3, 4, 4)).features.shape == (1, 1)
    assert (extractor.num_features, extractor.num_classes) == (1, 0)


def test_each_channel_is_standardised():
    extractor = ModuleExtractor(nn.Identity(), 4, mean=(10.0, 20.0), std=(2.0, 5.0))
    images = random_images(3, 2, 4, 4)
    wanted = torch.stack([(images[:, 0] - 10.0) / 2, (images[:, 1] - 20.0) / 5], dim=1)
    assert torch.equal(extractor(images).features, wanted.flatten(1))


def test_grey_images_are_repeated_unless_the_module_takes_them():
    grey = random_images(2, 1, 4, 4)
    rgb, single = ModuleExtractor(nn.Identity(), 4), ModuleExtractor(nn.Identity(), 4, mean=(127.5,), std=(127.5,))
    assert torch.equal(rgb(grey).features, rgb(grey.expand(-1, 3, -1, -1)).features)
    assert torch.equal(rgb(grey).features, single(grey).features.repeat(1, 3))
    assert rgb.channels(grey) == "grey, repeated over 3 channels"
    assert rgb.channels(grey.expand(-1, 3, -1, -1)) == single.channels(grey) == "as they are"
    with pytest.raises(UserError, match=r"'Identity' takes images of 1 channels .*, not 3"):
        single(random_images(2, 3, 4, 4))


def test_other_resolutions_are_resized():
    images = random_images(2, 3, 4, 4)
    extractor = ModuleExtractor(nn.Identity(), 8, resize="torchmetrics", mean=(0.0,) * 3, std=(1.0,) * 3)
    wanted = nn.functional.interpolate(images.float(), (8, 8), mode="bilinear", antialias=True)
    torch.testing.assert_close(extractor(images).features, wanted.flatten(1), rtol=1e-6, atol=1e-4)
    assert extractor.num_features == 3 * 8 * 8
    assert extractor.resize.startswith("8 x 8, bilinear")


def test_the_module_given_stays_free():
    module, images = Pair().train(), random_images(2, 3, 8, 8)
    extractor = ModuleExtractor(module, 8)
    before = extractor(images).logits
    with torch.no_grad():
        module.classify.bias += 1
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert torch.equal(extractor(images).logits, before)
    assert not any(p.requires_grad for p in extractor.parameters())


def test_building_draws_nothing():
    module = Pair()
    state = torch.random.get_rng_state()
    ModuleExtractor(module, 8)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_fingerprint_covers_weights_and_standardisation():
    module = nn.Linear(4, 2)
    standard = ModuleExtractor(module, 4).fingerprint()
    assert ModuleExtractor(module, 4).fingerprint() == standard
    assert ModuleExtractor(module, 4, std=(255.0,) * 3).fingerprint() != standard
    assert ModuleExtractor(nn.Linear(4, 2), 4).fingerprint() != standard


def test_from_a_config():
    node = {
        "_target_": "gan_research.metrics.extractors.module.ModuleExtractor",
        "module": {"_target_": "torchvision.models.resnet18", "num_classes": 7},
        "resolution": 32,
        "mean": [127.5, 127.5, 127.5],
    }
    extractor = make(node)
    assert isinstance(extractor.network, torchvision.models.ResNet)
    assert extractor(random_images(2, 3, 32, 32)).features.shape == (2, 7)
    assert extractor.name == "ResNet"


def test_frechet_distance_alone():
    fid = FID(ModuleExtractor(nn.AdaptiveAvgPool2d(1), 8, mean=(0.0,) * 3, std=(1.0,) * 3, name="means"))
    black, grey = (torch.full((4, 3, 8, 8), level, dtype=torch.uint8) for level in (0, 10))
    fid.update(black, of="train")
    fid.update(grey)
    assert fid.compute() == pytest.approx({"fd_means": 3 * 10**2}, rel=1e-6)


@pytest.mark.parametrize("output", [None, {"features": 1}, (torch.ones(1, 1), None), (torch.ones(1, 1),) * 3])
def test_other_outputs_are_refused(output):
    with pytest.raises(UserError, match=r"Returns must return a tensor or a pair"):
        ModuleExtractor(Returns(output), 4)


def test_a_module_of_other_images_is_refused():
    with pytest.raises(UserError, match=r"Conv2d can't take images of 3 x 8 x 8: .*expected input.*"):
        ModuleExtractor(nn.Conv2d(1, 2, 3), 8)


def test_mean_and_std_have_the_same_channels():
    with pytest.raises(UserError, match=r"mean has 1 channels and std has 3"):
        ModuleExtractor(nn.Identity(), 8, mean=(127.5,))


def test_a_resize_that_is_not_there():
    with pytest.raises(UserError, match=r"no resize 'cleen': did you mean 'clean'"):
        ModuleExtractor(nn.Identity(), 8, resize="cleen")
