"""Inception-v3 against torch-fidelity's own, torchmetrics' published numbers, and files that aren't its weights."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance

from gan_research.metrics import FID, Inception
from gan_research.metrics.extractors import inception
from gan_research.metrics.extractors.inception import LAYERS, PUBLISHED
from gan_research.metrics.extractors.weights import sha256_of
from gan_research.utils.errors import UserError

PARTIAL = Path(__file__).parents[2] / "data" / "inception" / "tf_inception_partial_768.pth"
needs_partial = pytest.mark.skipif(not PARTIAL.exists(), reason="no Inception weights")


def random_images(count: int = 2, channels: int = 3, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A file of random weights for every layer, of a size that lets the images' signal through."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.save({}, nothing := io.BytesIO())
        nothing.seek(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, tensors: None)
        shapes = FeatureExtractorInceptionV3("shapes", ["2048"], feature_extractor_weights_path=nothing).state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, tensor in shapes.items():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            tensors[name] = noise * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            tensors[name] = 1 + 0.1 * noise.tanh()
        else:
            tensors[name] = (0.1 * noise).to(tensor.dtype)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(tensors, path)
    return str(path)


@pytest.fixture(scope="module")
def full(weights) -> Inception:
    """The whole network, with random weights."""
    return Inception(2048, weights)


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    """Equal but for the rounding of other convolutions."""
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())


# Numbers


def test_features_and_logits_are_torch_fidelitys(full, weights):
    layers = ["64", "192", "768", "2048", "logits_unbiased"]
    theirs = FeatureExtractorInceptionV3("oracle", layers, feature_extractor_weights_path=weights)(random_images())
    *features, logits = theirs
    for feature, expected in zip(LAYERS, features, strict=True):
        extractor = full if feature == 2048 else Inception(feature, weights)
        seen = extractor(random_images())
        assert seen.features.shape == (2, feature)
        assert_same(seen.features, expected)
    assert seen.logits.shape == (2, 1008)
    assert_same(seen.logits, logits)


@needs_partial
@pytest.mark.parametrize("feature", [64, 192, 768])
def test_features_are_torch_fidelitys_with_the_published_weights(feature):
    theirs = FeatureExtractorInceptionV3("oracle", [str(feature)], feature_extractor_weights_path=str(PARTIAL))
    extractor = Inception(feature, str(PARTIAL))
    assert_same(extractor(random_images()).features, theirs(random_images())[0])
    assert extractor.name == f"inception-v3-{feature}"


def test_the_oracle_is_torch_fidelitys_forward(full):
    ours, theirs = full(random_images()), full.oracle(random_images())
    assert_same(ours.features, theirs.features)
    assert_same(ours.logits, theirs.logits)


def test_grey_images_are_repeated_over_the_channels(weights):
    extractor = Inception(64, weights)
    grey = random_images(channels=1)
    expected = extractor(grey.repeat(1, 3, 1, 1)).features
    assert torch.equal(extractor(grey).features, expected)
    assert_same(extractor.oracle(grey).features, expected)
    with pytest.raises(UserError, match="takes images of 1 or 3 channels, not 2"):
        extractor(random_images(channels=2))


def test_every_resize_has_features_of_its_own(weights):
    tf1, clean, torchmetrics = (
        Inception(192, weights, resize=mode)(random_images()).features for mode in ("tf1", "clean", "torchmetrics")
    )
    for one, other in ((tf1, clean), (tf1, torchmetrics), (clean, torchmetrics)):
        assert 1e-3 < (one - other).norm() / one.norm() < 1


def test_bfloat16_is_near_and_another_number(full, weights):
    reduced = Inception(2048, weights, precision="bfloat16")
    levels = reduced.standardised(random_images())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(reduced.standardised(random_images()), levels)  # the resize stays exact
    exact, seen = full(random_images()), reduced(random_images())
    for one, other in zip(exact, seen, strict=True):
        assert other.dtype == torch.float32
        assert 1e-4 < (one - other).norm() / one.norm() < 0.05


@needs_partial
@pytest.mark.long
@pytest.mark.parametrize(("seed", "published"), [(42, 12.6388), (123, 12.7202)])
def test_fid_of_torchmetrics_example(seed, published):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        FrechetInceptionDistance(64, feature_extractor_weights_path=str(PARTIAL))  # draws weights, then come images
        real = torch.randint(0, 200, (100, 3, 299, 299), dtype=torch.uint8)
        fake = torch.randint(100, 255, (100, 3, 299, 299), dtype=torch.uint8)
    fid = FID(Inception(64, str(PARTIAL)))
    for part in real.split(20):
        fid.update(part, of="train")
    for part in fake.split(20):
        fid.update(part)
    assert fid.compute()["fid64"] == pytest.approx(published, abs=1e-4)


# What it is


def test_it_says_what_it_is(full, weights):
    assert (full.frechet, full.num_features, full.num_classes) == ("fd_inception2048", 2048, 1008)  # other weights
    assert (
        full.resize == "299 x 299, bilinear as in TensorFlow 1: no half-pixel offset, no antialiasing (the reference)"
    )
    small = Inception(192, weights, resize="clean")
    assert (small.frechet, small.num_features, small.num_classes) == ("fd_inception192", 192, 0)
    assert small.resize == "299 x 299, bicubic with antialiasing, as PIL has it, clamped (clean-fid)"
    assert small(random_images(1)).logits is None


def test_layers_that_are_not_needed_are_dropped(weights):
    network = Inception(64, weights).network
    assert {name.partition(".")[0] for name in network.state_dict()} == {name for name in LAYERS[64] if "Conv" in name}


def test_it_is_frozen_and_leaves_the_global_generator_alone(weights):
    before = torch.get_rng_state()
    extractor = Inception(64, weights)
    assert torch.equal(torch.get_rng_state(), before)
    assert not extractor.train().network.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert not extractor(random_images(1)).features.requires_grad


def test_other_weights_are_told_by_the_name(weights, full):
    assert full.name == "inception-v3-2048 (other weights)"


@needs_partial
def test_one_changed_weight_makes_them_others(tmp_path):
    tensors = torch.load(PARTIAL, weights_only=True)
    tensors["Mixed_6e.branch_pool.conv.weight"][0, 0] += 1e-6
    torch.save(tensors, tmp_path / "changed.pth")
    assert Inception(768, str(tmp_path / "changed.pth")).name == "inception-v3-768 (other weights)"


@needs_partial
def test_layers_that_the_weights_lack_are_an_error(tmp_path):
    with pytest.raises(UserError, match=r"partial_768\.pth lack layer 2048: choose feature=768 or other weights"):
        Inception(2048, str(PARTIAL))
    tensors = torch.load(PARTIAL, weights_only=True)
    tensors["Conv2d_1a_3x3.conv.weight"][0, 0] = torch.inf
    torch.save(tensors, tmp_path / "none.pth")
    with pytest.raises(UserError, match="lack layer 64: choose other weights"):
        Inception(64, str(tmp_path / "none.pth"))


# Files


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.file)
def test_the_published_file_is_taken_from_the_hub_cache(hub, weights, monkeypatch, published):
    (hub / published.file).symlink_to(weights)
    with pytest.raises(UserError, match=rf"{published.file} isn't the expected file of Inception-v3 weights"):
        Inception(64)
    monkeypatch.setattr(inception, "SHA256", sha256_of(Path(weights)))
    assert Inception(2048).name == "inception-v3-2048"


def test_missing_weights_name_the_file_and_its_place(hub):
    with pytest.raises(UserError, match=r"download weights-inception-2015-12-05-6726825d\.pth from https") as error:
        Inception()
    assert str(hub / "weights-inception-2015-12-05-6726825d.pth") in str(error.value)


def test_a_hash_can_be_asked_for(weights):
    assert Inception(64, weights, sha256=sha256_of(Path(weights))[:12]).num_features == 64
    with pytest.raises(UserError, match=r"isn't the expected file of Inception-v3 weights; .*, not 00000000\)"):
        Inception(64, weights, sha256="00000000")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="isn't a file of Inception-v3 weights; fetch it again"):
        Inception(64, str(path))
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(
        UserError, match=r"isn't a file of Inception-v3 weights; fetch it again \(Error\(s\) in loading"
    ):
        Inception(64, str(path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature": 1024}, "no feature layer 1024: choose 64, 192, 768 or 2048"),
        ({"resize": "tf"}, "no resize 'tf': did you mean 'tf1'"),
        ({"precision": "float16"}, "no precision 'float16': choose float32 or bfloat16"),
    ],
)
def test_unknown_settings(settings, message):
    with pytest.raises(UserError, match=message):
        Inception(**settings)


def test_only_the_references_resize_has_an_oracle(weights):
    with pytest.raises(UserError, match=r"'clean' has no reference: choose metrics\.extractor\.resize=tf1"):
        Inception(64, weights, resize="clean").oracle(random_images())
