"""DINOv2 against its forward pass written out, CLIP against torch-fidelity's network, with random weights."""

import hashlib
import math
import sys

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP, build_model

from gan_research.metrics.extractors import vision_transformers
from gan_research.metrics.extractors.vision_transformers import CLIP, CLIPS, DINOv2
from gan_research.utils.errors import UserError

WIDTH, BLOCKS, HEADS = 384, 12, 6  # of DINOv2's small network


def drawer(seed: int):
    """draw(SHAPE) -> random weights that keep the size of a signal."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        scale = 0.1 if len(shape) == 1 else math.prod(shape[1:]) ** -0.5
        if len(shape) != 2:
            return scale * torch.randn(shape, generator=generator)
        rows, columns = shape  # a matrix repeats a few numbers, so that its file is small
        return (scale * torch.randn(rows + 2 * columns, generator=generator)).as_strided(shape, (1, 2))

    return draw


def random_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def meta_weights() -> dict[str, Tensor]:
    """A state dict of DINOv2's small network as Meta publishes it."""
    draw = drawer(0)
    tensors = {
        "cls_token": 10 * draw(1, 1, WIDTH),
        "pos_embed": 10 * draw(1, 1 + 37 * 37, WIDTH),
        "mask_token": draw(1, WIDTH),
        "patch_embed.proj.weight": draw(WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": draw(WIDTH),
        "norm.weight": 1 + draw(WIDTH),
        "norm.bias": draw(WIDTH),
    }
    for i in range(BLOCKS):
        layers = {"attn.qkv": 3 * WIDTH, "attn.proj": WIDTH, "mlp.fc1": 4 * WIDTH, "mlp.fc2": WIDTH}
        for layer, width in layers.items():
            tensors[f"blocks.{i}.{layer}.weight"] = draw(width, 4 * WIDTH if layer == "mlp.fc2" else WIDTH)
            tensors[f"blocks.{i}.{layer}.bias"] = draw(width)
        for layer in ("1", "2"):
            tensors[f"blocks.{i}.norm{layer}.weight"] = 1 + draw(WIDTH)
            tensors[f"blocks.{i}.norm{layer}.bias"] = draw(WIDTH)
            tensors[f"blocks.{i}.ls{layer}.gamma"] = 0.5 + draw(WIDTH)
    return tensors


@pytest.fixture(scope="module")
def meta(tmp_path_factory) -> tuple[str, dict[str, Tensor]]:
    """Its file, and its state dict."""
    path = tmp_path_factory.mktemp("dinov2") / "dinov2.pth"
    torch.save(meta_weights(), path)
    return str(path), meta_weights()


def bicubic_matrix() -> Tensor:
    """(16, 37): what each of 16 places takes of 37, by Keys' cubic of a = -0.75, at a scale of 16.1 / 37."""
    a, matrix = -0.75, torch.zeros(16, 37, dtype=torch.float64)
    for place in range(16):
        at = (place + 0.5) * 37 / 16.1 - 0.5
        for source in range(math.floor(at) - 1, math.floor(at) + 3):
            d = abs(at - source)
            near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
            matrix[place, min(max(source, 0), 36)] += near if d <= 1 else far
    return matrix


def position_embedding(tensors: dict[str, Tensor]) -> Tensor:
    """(1, 1 + 16 * 16, F), in float64."""
    embedding, matrix = tensors["pos_embed"].double(), bicubic_matrix()
    grid = torch.einsum("ai,bj,nijf->nabf", matrix, matrix, embedding[:, 1:].unflatten(1, (37, 37)))
    return torch.cat([embedding[:, :1], grid.flatten(1, 2)], dim=1)


def class_token(tensors: dict[str, Tensor], images: Tensor) -> Tensor:
    """DINOv2's output for images (N, 3, 224, 224), in float64."""
    tensors = {name: tensor.double() for name, tensor in tensors.items()}
    mean, std = (torch.tensor(c).double().view(3, 1, 1) for c in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], eps=1e-6)

    patches = ((images.double() / 255 - mean) / std).unfold(2, 14, 14).unfold(3, 14, 14)
    tokens = torch.einsum("nchwij,fcij->nhwf", patches, tensors["patch_embed.proj.weight"]).flatten(1, 2)
    tokens = tokens + tensors["patch_embed.proj.bias"]
    x = torch.cat([tensors["cls_token"].expand(len(images), -1, -1), tokens], dim=1) + position_embedding(tensors)
    for i in range(BLOCKS):
        block = f"blocks.{i}"
        q, k, v = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x)).unflatten(2, (3, HEADS, -1)).unbind(2)
        attention = (torch.einsum("nqhf,nkhf->nhqk", q, k) / math.sqrt(WIDTH / HEADS)).softmax(3)
        mixed = torch.einsum("nhqk,nkhf->nqhf", attention, v).flatten(2)
        x = x + tensors[f"{block}.ls1.gamma"] * linear(f"{block}.attn.proj", mixed)
        hidden = F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        x = x + tensors[f"{block}.ls2.gamma"] * linear(f"{block}.mlp.fc2", hidden)
    return norm("norm", x)[:, 0]


class TestDINOv2:
    def test_features_are_those_of_the_forward_pass_written_out(self, meta):
        path, tensors = meta
        extractor, images = DINOv2("s", path), random_images(2, 3, 224, 224)
        wanted = class_token(tensors, images)
        features, logits = extractor(images)
        assert features.shape == (2, extractor.num_features) == (2, 384)
        assert logits is None
        assert (wanted[0] - wanted[1]).norm() > 0.01 * wanted[0].norm()  # 1000 times what follows
        assert (features - wanted).norm() < 1e-5 * wanted.norm()

    def test_position_embedding_is_interpolated_as_in_metas_hub(self, meta):
        path, tensors = meta
        found, wanted = DINOv2("s", path).network.pos_embed, position_embedding(tensors)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())
        plain = F.interpolate(tensors["pos_embed"][:, 1:].mT.unflatten(2, (37, 37)), (16, 16), mode="bicubic")
        assert (found[:, 1:] - plain.flatten(2).mT).norm() > 0.01 * plain.norm()  # so that the 0.1 is seen

    def test_other_images_are_resized_bicubically_and_grey_ones_repeated(self, meta):
        extractor, grey = DINOv2("s", meta[0]), random_images(1, 1, 300, 250)
        resized = F.interpolate(grey.float(), (224, 224), mode="bicubic", antialias=True).clamp(0, 255)
        wanted = class_token(meta[1], resized.expand(-1, 3, -1, -1))
        assert (extractor(grey).features - wanted).norm() < 1e-5 * wanted.norm()

    def test_draws_nothing(self, meta):
        torch.manual_seed(0)
        state = torch.random.get_rng_state()
        extractor = DINOv2("s", meta[0])
        assert torch.equal(torch.random.get_rng_state(), state)
        assert (extractor.name, extractor.frechet) == ("dinov2-vit-s14", "fd_dinov2")
        assert not any(p.requires_grad for p in extractor.parameters())

    def test_weights_of_another_size(self, meta):
        with pytest.raises(UserError, match=r"isn't a file of DINOv2 weights"):
            DINOv2("b", meta[0])

    def test_weights_of_another_hash(self, meta):
        with pytest.raises(UserError, match=r"isn't the expected file of DINOv2 weights"):
            DINOv2("s", meta[0], sha256="b938bf1b")

    def test_weights_that_are_not_there(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(UserError, match=r"dinov2_vitl14_pretrain.pth from https://dl.fbaipublicfiles.com/dinov2/"):
            DINOv2()

    def test_a_size_that_is_not_there(self):
        with pytest.raises(UserError, match=r"no DINOv2 of size 'g': valid: b, l, s"):
            DINOv2("g")

    def test_without_timm(self, meta, monkeypatch):
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(UserError, match=r"pip install 'gan_research\[vit\]'"):
            DINOv2("s", meta[0])


def openai_weights(width: int = 768, blocks: int = 12, patch: int = 32, embedding: int = 512) -> dict[str, Tensor]:
    """A state dict of CLIP as OpenAI publishes it, all in half precision, and some of its text encoder."""
    draw = drawer(1)
    tensors = {
        "visual.class_embedding": 10 * draw(width),
        "visual.positional_embedding": 10 * draw((224 // patch) ** 2 + 1, width),
        "visual.proj": draw(width, embedding),
        "visual.conv1.weight": draw(width, 3, patch, patch),
        "text_projection": draw(512, embedding),
        "transformer.resblocks.0.attn.in_proj_bias": draw(3),
        "ln_final.bias": draw(3),
    }
    for layer in ("ln_pre", "ln_post"):
        tensors |= {f"visual.{layer}.weight": 1 + draw(width), f"visual.{layer}.bias": draw(width)}
    for i in range(blocks):
        block = f"visual.transformer.resblocks.{i}"
        tensors |= {
            f"{block}.attn.in_proj_weight": draw(3 * width, width),
            f"{block}.attn.in_proj_bias": draw(3 * width),
        }
        layers = {"attn.out_proj": (width, width), "mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}
        for layer, shape in layers.items():
            tensors |= {f"{block}.{layer}.weight": draw(*shape), f"{block}.{layer}.bias": draw(shape[0])}
        for layer in ("ln_1", "ln_2"):
            tensors |= {f"{block}.{layer}.weight": 1 + draw(width), f"{block}.{layer}.bias": draw(width)}
    return {name: tensor.half() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def openai(tmp_path_factory) -> tuple[str, dict[str, Tensor]]:
    """A file of it, and its state dict."""
    path = tmp_path_factory.mktemp("clip") / "clip.pth"
    torch.save(openai_weights(), path)
    return str(path), openai_weights()


class Witness(nn.Module):
    """Says when it is loaded from a TorchScript archive."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("x", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.x, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        print("executed")
        self.x, self.training = state[0], state[1]


@pytest.fixture
def archive(tmp_path) -> str:
    path = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.script(Witness()), path)
    return str(path)


class TestCLIP:
    def test_features_are_those_of_torch_fidelitys_network(self, openai):
        path, tensors = openai
        extractor, images = CLIP("b32", path), random_images(2, 3, 224, 224)
        theirs = FeatureExtractorCLIP.__new__(FeatureExtractorCLIP)  # its constructor wants TorchScript
        nn.Module.__init__(theirs)
        theirs.features_list, theirs.feature_extractor_internal_dtype, theirs.resolution = ["clip"], torch.float32, 224
        theirs.model = build_model(dict(tensors), torch.float32)
        with torch.no_grad():
            wanted = theirs(images)[0]
        features, logits = extractor(images)
        assert features.shape == (2, extractor.num_features) == (2, 512)
        assert logits is None
        assert (wanted[0] - wanted[1]).norm() > 0.01 * wanted[0].norm()  # 1000 times what follows
        assert (features - wanted).norm() < 1e-5 * wanted.norm()
        assert (extractor.name, extractor.frechet) == ("clip-vit-b32", "fd_clip")

    def test_a_state_dict_of_timms_is_taken_as_it_is(self, monkeypatch, tmp_path):
        tiny = timm.create_model("vit_base_patch32_clip_quickgelu_224.openai", pretrained=False, embed_dim=48, depth=1)
        monkeypatch.setattr(vision_transformers, "_network", lambda _: tiny)
        wanted = {name: torch.full_like(tensor, 0.5) for name, tensor in tiny.state_dict().items()}
        torch.save(wanted, tmp_path / "timm.pth")
        found = CLIP("b32", str(tmp_path / "timm.pth")).network.state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())

    @pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
    def test_an_archive_of_another_hash_is_not_executed(self, archive, capfd):
        with pytest.raises(UserError, match=r"could run anything, and not OpenAI's.*its SHA-256 is .*, not 40d36571"):
            CLIP("b32", archive)
        assert "executed" not in capfd.readouterr().out

    @pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
    def test_an_archive_of_the_published_hash_is(self, archive, capfd, monkeypatch):
        with open(archive, "rb") as file:
            published = hashlib.file_digest(file, "sha256").hexdigest()
        monkeypatch.setitem(CLIPS, "b32", (*CLIPS["b32"][:2], published))
        with pytest.raises(UserError, match=r"isn't a file of CLIP weights"):  # it has other names
            CLIP("b32", archive)
        assert "executed" in capfd.readouterr().out

    def test_weights_of_another_network(self, meta):
        with pytest.raises(UserError, match=r"isn't a file of CLIP weights"):
            CLIP("b32", meta[0])

    @pytest.mark.parametrize("file", [".cache/clip/ViT-L-14.pt", f"hub/checkpoints/clip-vit-l-14-{CLIPS['l14'][2]}.pt"])
    def test_where_it_looks(self, monkeypatch, tmp_path, file):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(UserError, match=r"no CLIP weights at .*/.cache/clip/ViT-L-14.pt: download ViT-L-14.pt"):
            CLIP("l14")
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("not weights")
        with pytest.raises(UserError, match=rf"{file} isn't a file of CLIP weights"):
            CLIP("l14")

    def test_a_size_that_is_not_there(self):
        with pytest.raises(UserError, match=r"no CLIP of size 'b16': valid: b32, l14"):
            CLIP("b16")
