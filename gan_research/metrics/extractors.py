"""Feature extractors: what turns 8-bit pictures, or points, into the features and logits that metrics compare."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gan_research.errors import UserError


class Features(NamedTuple):
    """What an extractor sees in N samples: features (N, F) float32, and logits (N, K) float32 where it has classes."""

    features: Tensor
    logits: Tensor | None

    def first(self, count: int) -> "Features":
        """Those of the first `count` samples, or of all where there are fewer."""
        return Features(self.features[:count], None if self.logits is None else self.logits[:count])


KINDS = {
    "pictures": "8-bit pictures (uint8 (N, C, H, W), rounded and clamped)",
    "points": "points (float (N, dim))",
}
"""What an extractor can take."""


class Extractor(nn.Module):
    """A frozen network over pictures or points: always in eval mode, never with gradient or autocast.

    A subclass implements `extract`, and calls `freeze` when its network stands.
    """

    takes: ClassVar[tuple[str, ...]] = ("pictures",)
    name: str
    num_features: int  # 0: as many as a sample has numbers
    num_classes: int = 0  # 0: no logits
    resize: str = "none"  # for the protocol: how pictures are brought to the network's resolution
    knows_data_classes: bool = False  # its classes are those of the data, so that one of them can be found missing
    min_logit: float | None = None  # a sample whose largest logit is less is of low quality; None: none is
    perfect_quality: float = 1.0  # the share of the data that is of high quality
    class_weights: Tensor | None  # (K,) float64: the share that each class has of the data; None: all the same

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights", None)

    def extract(self, samples: Tensor) -> Features:
        """The features of uint8 pictures (N, C, H, W), or of float points (N, dim)."""
        raise NotImplementedError

    def forward(self, samples: Tensor) -> Features:
        """The features of pictures or points, in float32. Raises a UserError where `extract` can't take them."""
        is_picture, is_point = samples.dtype == torch.uint8, samples.is_floating_point()
        kind = {(4, True, False): "pictures", (2, False, True): "points"}.get((samples.ndim, is_picture, is_point))
        if kind not in self.takes:
            raise UserError(
                f"extractor '{self.name}' takes {' or '.join(KINDS[kind] for kind in self.takes)}, not "
                f"{str(samples.dtype).removeprefix('torch.')} of shape {tuple(samples.shape)}: choose metrics that "
                "suit the data"
            )
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            return self.extract(samples)

    def freeze(self) -> None:
        """No gradient and eval mode, from now on."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Extractor":
        """Stays in eval mode, whatever `mode` a parent module asks for."""
        return super().train(False)

    def fingerprint(self) -> str:
        """16 hex characters (blake2b) of all weights and buffers: their names, shapes, types and bytes."""
        digest = hashlib.blake2b(digest_size=8)
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name}/{tuple(tensor.shape)}/{tensor.dtype}/".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


class Inception(Extractor):
    """Inception-v3 of the reference FID, converted from TensorFlow: torch-fidelity's network and its resize.

    Args:
        feature: the layer, named by its width. 2048 is that of the published FID; only it comes with logits
            ("unbiased", those of the published inception score).
        weights: a file of torch-fidelity's state dict; None: the one in torch's hub cache. Nothing is downloaded.

    Grey pictures are repeated over three channels. Source: Heusel et al. 2017, arXiv 1706.08500; Salimans et al. 2016,
    arXiv 1606.03498.
    """

    FILE = "weights-inception-2015-12-05-6726825d.pth"
    URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"

    resize = "299 x 299, bilinear as in TensorFlow 1: no half-pixel offset, no antialiasing"

    def __init__(self, feature: Literal[64, 192, 768, 2048] = 2048, weights: str | None = None) -> None:
        super().__init__()
        if feature not in (64, 192, 768, 2048):
            raise UserError(f"Inception-v3 has no feature layer {feature}: choose 64, 192, 768 or 2048")
        self.name = f"inception-v3-{feature}"
        self.num_features = int(feature)
        self.num_classes = 1008 if feature == 2048 else 0
        layers = ["2048", "logits_unbiased"] if feature == 2048 else [str(feature)]
        self.network = _inception(layers, self._weights_file(weights))
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        """Features (N, feature) of pictures with 1 or 3 channels, of any resolution."""
        if images.shape[1] not in (1, 3):
            raise UserError(f"extractor '{self.name}' takes pictures of 1 or 3 channels, not {images.shape[1]}")
        outputs = self.network(images.expand(-1, 3, -1, -1))
        return Features(outputs[0], outputs[1] if self.num_classes else None)

    @classmethod
    def _weights_file(cls, weights: str | None) -> Path:
        """The file to load, which exists."""
        path = Path(weights).expanduser() if weights else Path(torch.hub.get_dir(), "checkpoints", cls.FILE)
        if not path.is_file():
            raise UserError(
                f"there are no Inception-v3 weights at {path}: download {cls.FILE} from {cls.URL} and put it there"
                + ("" if weights else ", or name another place with metrics.extractor.weights=PATH")
            )
        return path


def _inception(layers: list[str], path: Path) -> nn.Module:
    """torch-fidelity's Inception-v3 with the weights in `path`, loaded as tensors only; the global RNG is untouched.

    torch-fidelity unpickles whatever is in its file, so it's given a fresh copy of the tensors instead of the file.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    tensors = io.BytesIO()
    try:
        torch.save(torch.load(path, map_location="cpu", weights_only=True), tensors)
        tensors.seek(0)
        with torch.random.fork_rng(devices=[]):  # its layers are initialised at random first
            return FeatureExtractorInceptionV3("inception-v3", layers, feature_extractor_weights_path=tensors)
    except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{path} isn't a file of torch-fidelity's Inception-v3 weights; fetch it again ({reason})"
        ) from error
