"""Vision transformers DINOv2 and CLIP: timm's modules with the authors' weights."""

import hashlib
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_research.metrics.extractors.base import ImageNetwork, Precision
from gan_research.metrics.extractors.resizing import Resize
from gan_research.metrics.extractors.weights import Published, fill, find, load, load_published
from gan_research.utils.errors import UserError, did_you_mean, import_extra

RESOLUTION = 224

DINOV2 = {  # timm's name, SHA-256
    "s": ("vit_small_patch14_dinov2.lvd142m", "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    "b": ("vit_base_patch14_dinov2.lvd142m", "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    "l": ("vit_large_patch14_dinov2.lvd142m", "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
}
CLIPS = {  # OpenAI's name, the beginning of timm's, SHA-256
    "b32": ("ViT-B-32", "vit_base_patch32_clip", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    "l14": ("ViT-L-14", "vit_large_patch14_clip", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
}
OPENAI_TO_TIMM = {  # parts of names, replaced in this order
    "visual.": "",
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
    "conv1.": "patch_embed.proj.",
    "transformer.resblocks.": "blocks.",
    "ln_pre.": "norm_pre.",
    "ln_post.": "norm.",
    "ln_": "norm",
    "in_proj_": "qkv.",
    "out_proj.": "proj.",
    "c_fc.": "fc1.",
    "c_proj.": "fc2.",
}


class DINOv2(ImageNetwork):
    """DINOv2's class token after the last norm, (N, 384), (N, 768) or (N, 1024): the features of FD-DINOv2.

    Args:
        size: ViT-S/14, B/14 or L/14; the published FD-DINOv2 uses l.
        weights: a file of Meta's state dict; None: the one in torch's hub cache. Nothing is downloaded.
        resize: clean is dgm-eval's except for its rounding, tf1 torch-fidelity's.
        sha256: the beginning of the file's SHA-256; None: it is only checked if `weights` is None.

    Sources: Oquab et al. 2023, arXiv 2304.07193; Stein et al. 2023, arXiv 2306.04675 (dgm-eval).
    """

    choice = "dinov2"
    frechet = "fd_dinov2"

    def __init__(
        self,
        size: Literal["s", "b", "l"] = "l",
        weights: str | None = None,
        resize: Resize = "clean",
        precision: Precision = "float32",
        sha256: str | None = None,
    ) -> None:
        mean, std = (255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225)
        super().__init__(RESOLUTION, resize, mean, std, precision)
        if size not in DINOV2:
            raise UserError(f"there is no DINOv2 of size '{size}': {did_you_mean(size, DINOV2)}")
        architecture, published = DINOV2[size]
        self.network = _network(architecture, num_classes=0, img_size=RESOLUTION)
        model = f"dinov2_vit{size}14"
        file = f"{model}_pretrain.pth"
        url = f"https://dl.fbaipublicfiles.com/dinov2/{model}/{file}"
        load_published(self.network, weights, Published(file, url, published), "DINOv2", sha256, _converted)
        self.name = f"dinov2-vit-{size}14"
        self.num_features = self.network.num_features
        self.freeze()


class CLIP(ImageNetwork):
    """OpenAI's CLIP: the image embedding after the projection, not normalised, (N, 512) or (N, 768).

    Args:
        size: ViT-B/32 or ViT-L/14.
        weights: a state dict with OpenAI's names (visual.*; the text encoder's are left out) or timm's; or OpenAI's
            own file, a TorchScript archive. None: that file, in the folder of OpenAI's package or of torch-fidelity.
            An archive is a program: it is opened only if its SHA-256 is the published one. Nothing is downloaded.
        resize: clean is CLIP's own except for its rounding, tf1 torch-fidelity's.

    Sources: Radford et al. 2021, arXiv 2103.00020; Kynkäänniemi et al. 2023, arXiv 2203.06026 (its Fréchet distance).
    """

    choice = "clip"
    frechet = "fd_clip"

    def __init__(
        self,
        size: Literal["b32", "l14"] = "b32",
        weights: str | None = None,
        resize: Resize = "clean",
        precision: Precision = "float32",
    ) -> None:
        mean = (255 * 0.48145466, 255 * 0.4578275, 255 * 0.40821073)
        std = (255 * 0.26862954, 255 * 0.26130258, 255 * 0.27577711)
        super().__init__(RESOLUTION, resize, mean, std, precision)
        if size not in CLIPS:
            raise UserError(f"there is no CLIP of size '{size}': {did_you_mean(size, CLIPS)}")
        model, architecture, sha256 = CLIPS[size]
        self.network = _network(f"{architecture}_quickgelu_224.openai")
        url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{model}.pt"
        published = [
            Published(f"{model}.pt", url, sha256, folder="~/.cache/clip"),
            Published(f"clip-{model.lower()}-{sha256}.pt", url, sha256),  # torch-fidelity's name for it
        ]
        path = find(weights, published, "CLIP")
        tensors = _run_archive(path, sha256) if _is_torchscript(path) else load(path, "CLIP")
        fill(self.network, _image_encoder(tensors), path, "CLIP")
        self.name = f"clip-vit-{size}"
        self.num_features = self.network.num_classes
        self.freeze()


def _network(architecture: str, **arguments: Any) -> Any:
    """Build one of timm's networks without weights; the global RNG is untouched."""
    timm = import_extra("timm", "vit", "an extractor dinov2 or clip")
    with torch.device("meta"):
        return timm.create_model(architecture, pretrained=False, **arguments)


def _converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert Meta's state dict of DINOv2 to timm's at 224 pixels.

    The position embedding for 518 pixels, (1, 1 + 37 * 37, F), is interpolated to (1, 1 + 16 * 16, F) as in Meta's
    hub model: bicubic, not antialiased, at a scale slightly above 16 / 37.
    """
    tensors.pop("mask_token", None)  # replaces hidden patches in training
    if "pos_embed" in tensors and tensors["pos_embed"].shape[1:2] == (1 + 37 * 37,):  # else it fits, or is refused
        of_class, of_patches = tensors["pos_embed"].split([1, 37 * 37], dim=1)
        grid = of_patches.mT.unflatten(2, (37, 37))
        grid = F.interpolate(grid, scale_factor=(16 + 0.1) / 37, mode="bicubic")
        tensors["pos_embed"] = torch.cat([of_class, grid.flatten(2).mT], dim=1)
    return tensors


def _image_encoder(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return CLIP's image encoder in float32 with timm's names, from OpenAI's names or timm's."""
    if not {"visual.class_embedding", "visual.positional_embedding", "visual.proj"} <= tensors.keys():
        return tensors
    encoder = {}
    for name, tensor in tensors.items():
        if name.startswith("visual."):
            for theirs, timms in OPENAI_TO_TIMM.items():
                name = name.replace(theirs, timms)
            encoder[name] = tensor.float()
    encoder["cls_token"] = encoder["cls_token"].view(1, 1, -1)
    encoder["pos_embed"] = encoder["pos_embed"].unsqueeze(0)
    encoder["head.weight"] = encoder.pop("proj").T
    encoder["head.bias"] = encoder["head.weight"].new_zeros(len(encoder["head.weight"]))  # OpenAI's has none
    return encoder


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _run_archive(path: Path, sha256: str) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript archive, which is executed: so its SHA-256 is checked first."""
    content = path.read_bytes()  # the bytes that are checked are those that are executed
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise UserError(
            f"{path} is a TorchScript archive, which could run anything, and not OpenAI's: fetch it again, or give a "
            f"plain state dict (its SHA-256 is {found}, not {sha256})"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated
        return torch.jit.load(io.BytesIO(content), map_location="cpu").state_dict()
