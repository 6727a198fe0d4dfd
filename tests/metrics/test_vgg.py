"""VGG16 and LPIPS against torch-fidelity's own, with the same random weights."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor
from torch_fidelity import sample_similarity_lpips
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torch_fidelity.sample_similarity_lpips import SampleSimilarityLPIPS

from gan_research.metrics.extractors.vgg import LINEAR, LPIPS, VGG16
from gan_research.utils.errors import UserError

CHANNELS = (64, 128, 256, 512, 512)


def empty_vgg16() -> torchvision.models.VGG:
    with torch.device("meta"):
        return torchvision.models.vgg16(init_weights=False)


def random_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Random weights that keep the size of a signal. A matrix repeats a few numbers, so that its file is small."""
    if tensor.ndim == 1:
        return 0.1 * torch.randn(tensor.shape, generator=generator)
    scale = (2 / tensor[0].numel()) ** 0.5
    if tensor.ndim == 2:
        rows, columns = tensor.shape
        return (scale * torch.randn(rows + 2 * columns, generator=generator)).as_strided(tensor.shape, (1, 2))
    return scale * torch.randn(tensor.shape, generator=generator)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """A file like torchvision's."""
    generator = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.pth"
    torch.save({name: random_like(tensor, generator) for name, tensor in empty_vgg16().state_dict().items()}, path)
    return str(path)


@pytest.fixture(scope="module")
def linear(tmp_path_factory) -> str:
    """A file like torch-fidelity's weights-vgg16-lpips.pth."""
    generator = torch.Generator().manual_seed(1)
    path = tmp_path_factory.mktemp("lpips") / "linear.pth"
    shapes = {f"lin{i}.model.1.weight": (1, channels, 1, 1) for i, channels in enumerate(CHANNELS)}
    torch.save({name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}, path)
    return str(path)


@pytest.fixture(scope="module")
def vgg16(weights) -> VGG16:
    return VGG16(weights)


def random_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


class TestVGG16:
    def test_features_are_torch_fidelitys(self, vgg16, weights):
        theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=weights)
        images = random_images(2, 3, 40, 48)
        wanted = theirs(images)[0]
        features, logits = vgg16(images)
        assert features.shape == (2, vgg16.num_features) == (2, 4096)
        assert logits is None
        assert 0.1 < (wanted > 0).float().mean() < 0.9
        assert (wanted[0] - wanted[1]).norm() > 0.01 * wanted[0].norm()  # 1000 times what follows
        assert (features - wanted).norm() < 1e-5 * wanted.norm()

    def test_oracle_and_grey_images(self, vgg16):
        grey = random_images(1, 1, 20, 20)
        features, wanted = vgg16(grey).features, vgg16.oracle(grey.expand(-1, 3, -1, -1)).features
        assert (features - wanted).norm() < 1e-5 * wanted.norm()

    def test_keeps_only_what_it_needs_and_draws_nothing(self, weights):
        torch.manual_seed(0)
        state = torch.random.get_rng_state()
        extractor = VGG16(weights)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert sum(p.numel() for p in extractor.parameters()) == 138_357_544 - 4097 * 1000  # torchvision's, without fc3
        assert not any(p.requires_grad for p in extractor.parameters())
        assert extractor.frechet == "fd_vgg16"

    def test_weights_that_are_not_there(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(UserError, match=r"no VGG16 weights at .*: download vgg16-397923af.pth from https"):
            VGG16()

    def test_weights_of_another_network(self, linear):
        with pytest.raises(UserError, match=r"isn't a file of VGG16 weights"):
            VGG16(linear)

    def test_weights_of_another_hash(self, weights, monkeypatch, tmp_path):
        with pytest.raises(UserError, match=r"isn't the expected file of VGG16 weights"):
            VGG16(weights, sha256="397923af")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        cached = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
        cached.parent.mkdir(parents=True)
        cached.symlink_to(weights)
        with pytest.raises(UserError, match=r"isn't the expected file of VGG16 weights"):
            VGG16()


class TestLPIPS:
    @pytest.mark.parametrize(
        ("resolution", "height", "width"),
        [(32, 70, 50), (32, 32, 32), (32, 20, 24), (32, 50, 20), (None, 40, 36)],
        ids=["larger", "the same", "smaller", "larger one way", "as they are"],
    )
    def test_distances_are_torch_fidelitys(self, weights, linear, monkeypatch, resolution, height, width):
        network = empty_vgg16()
        network.load_state_dict(torch.load(weights, weights_only=True), assign=True)
        monkeypatch.setattr(sample_similarity_lpips, "torchvision_load_pretrained_vgg16", lambda: network)
        monkeypatch.setattr(sample_similarity_lpips, "load_state_dict_from_url", lambda *_, **__: torch.load(linear))
        theirs = SampleSimilarityLPIPS("lpips-vgg16", sample_similarity_resize=resolution)
        extractor = LPIPS(weights, linear, resolution)
        paths = random_images(3, 2, 3, height, width).float()
        paths[:, 1] = paths[:, 0].lerp(paths[:, 1], torch.tensor([0.0, 0.1, 1.0]).view(3, 1, 1, 1))
        features, logits = extractor(paths)
        wanted = theirs(paths[:, 0], paths[:, 1])
        assert features.shape == (3, extractor.num_features) == (3, 1)
        assert logits is None
        assert 0 == wanted[0] < wanted[1] < wanted[2]
        torch.testing.assert_close(features.flatten(), wanted, rtol=1e-5, atol=1e-7)

    def test_the_authors_linear_weights_are_the_default(self, weights):
        extractor = LPIPS(weights)
        published = torch.load(LINEAR.path, map_location="cpu", weights_only=True)
        assert len(extractor.linear) == len(published) == 5
        for i, layer in enumerate(extractor.linear):
            assert torch.equal(layer.weight, published[f"lin{i}.model.1.weight"])
            assert layer.weight.min() > 0
        assert extractor.resolution == 64

    def test_fingerprint_covers_both_files(self, weights, linear, tmp_path):
        changed = torch.load(weights, weights_only=True)
        changed["features.28.bias"][0] += 1
        torch.save(changed, tmp_path / "other.pth")
        prints = [LPIPS(*files).fingerprint() for files in ((weights, linear), (weights, None))]
        prints.append(LPIPS(str(tmp_path / "other.pth"), linear).fingerprint())
        assert len(set(prints)) == 3
        assert prints[0] == LPIPS(weights, linear).fingerprint()

    def test_grey_paths_are_repeated(self, weights, linear):
        extractor = LPIPS(weights, linear, 32)
        grey = random_images(1, 2, 1, 24, 24).float()
        assert torch.equal(extractor(grey).features, extractor(grey.expand(-1, -1, 3, -1, -1)).features)

    def test_takes_paths_only(self, weights, linear):
        with pytest.raises(UserError, match=r"takes pairs of images"):
            LPIPS(weights, linear)(random_images(2, 3, 32, 32))

    def test_images_too_small_to_be_compared_as_they_are(self, weights, linear):
        with pytest.raises(UserError, match=r"16 x 16 or more .*, not 15 x 20"):
            LPIPS(weights, linear, resolution=None)(random_images(1, 2, 3, 15, 20).float())

    @pytest.mark.parametrize("name", ["absent.pth", "vgg16"])
    def test_linear_weights_that_are_not(self, weights, name):
        with pytest.raises(UserError, match=r"linear LPIPS"):
            LPIPS(weights, weights if name == "vgg16" else str(Path(weights).with_name(name)))
