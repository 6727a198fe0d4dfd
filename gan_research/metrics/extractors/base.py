"""The base classes of extractors, which turn 8-bit images, or points, into features and logits."""

import hashlib
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, get_args

import torch
from torch import Tensor, nn

from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors.resizing import Resize, described, resized
from gan_research.utils.errors import UserError

EXTRACTORS: dict[str, type["Extractor"]] = {}  # the extractors that can be chosen by name

Precision = Literal["float32", "bfloat16"]

KINDS = {  # the kinds of samples that an extractor can accept
    "images": "8-bit images (uint8 (N, C, H, W), rounded and clamped)",
    "points": "points (float (N, dim))",
    "paths": "pairs of images, a small step of the latents apart (float (N, 2, C, H, W), levels 0 to 255)",
}


class Features(NamedTuple):
    """Features (N, F) float32 of N samples, and logits (N, K) float32 or None."""

    features: Tensor
    logits: Tensor | None

    def take(self, rows: Tensor | slice) -> "Features":
        """Return the samples at indices (n,), or in a slice."""
        return Features(self.features[rows], None if self.logits is None else self.logits[rows])


class Extractor(nn.Module):
    """A frozen network over images or points: always in eval mode, never with gradient.

    A subclass implements `extract`, and calls `freeze` when its network is complete. With a `choice` it is in
    `EXTRACTORS`. If torch-fidelity has the same network, `oracle` is `forward` by its network and resize, with the
    same weights.
    """

    choice: ClassVar[str]
    accepts: ClassVar[tuple[str, ...]] = ("images",)
    needs_rgb: ClassVar[bool] = False  # grey images are repeated over three channels
    cached: ClassVar[bool] = True  # whether the features of real samples are cached on disk
    frechet: str = "fid"  # the column of its Fréchet distance: "fid" of Inception's 2048 and the data's classifiers
    name: str
    num_features: int  # 0: the number of values in a sample
    num_classes: int = 0  # 0: no logits
    resize: str = "none"  # for the protocol: how images are brought to the network's resolution
    precision: Precision = "float32"
    knows_data_classes: bool = False  # whether its classes are the data's, so that one can be missing
    min_logit: float | None = None  # a sample whose largest logit is less is of low quality; None: none is
    perfect_quality: float = 1.0  # the share of the data that is of high quality
    class_weights: Tensor | None  # (K,) float64: each class's share of the data; None: all the same

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "choice" in cls.__dict__:
            EXTRACTORS[cls.choice] = cls

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights", None)

    def extract(self, samples: Tensor) -> Features:
        """Return the features of samples of a kind that it accepts."""
        raise NotImplementedError

    def forward(self, samples: Tensor) -> Features:
        """Return the features of samples, in float32. Raises a UserError if it doesn't accept them."""
        if not isinstance(samples, Tensor):
            self.refuse("a tensor", f"a {type(samples).__name__}")
        kinds = {(4, True, False): "images", (2, False, True): "points", (5, False, True): "paths"}
        kind = kinds.get((samples.ndim, samples.dtype == torch.uint8, samples.is_floating_point()))
        if kind not in self.accepts:
            dtype = str(samples.dtype).removeprefix("torch.")
            self.refuse(" or ".join(KINDS[kind] for kind in self.accepts), f"{dtype} of shape {tuple(samples.shape)}")
        if self.needs_rgb:
            if samples.shape[-3] not in (1, 3):
                self.refuse("images of 1 or 3 channels", samples.shape[-3])
            samples = samples.expand(*samples.shape[:-3], 3, -1, -1)
        device = samples.device
        with exactly(device), torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features, logits = self.extract(samples)
        return Features(features.float(), None if logits is None else logits.float())

    def refuse(self, accepted: str, found: object) -> NoReturn:
        """Raise a UserError: the samples aren't as the extractor needs them."""
        raise UserError(f"extractor '{self.name}' takes {accepted}, not {found}: choose metrics that suit the data")

    def channels(self, samples: Tensor) -> str:
        """Describe for the protocol how images are brought to the network's channels."""
        repeated = self.needs_rgb and samples.shape[-3] == 1
        return "grey, repeated over 3 channels" if repeated else "as they are"

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def freeze(self) -> None:
        """Disable gradients and switch to eval mode."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Extractor":
        """Keep eval mode, whatever `mode` a parent module sets."""
        return super().train(False)

    def fingerprint(self) -> str:
        """Return 16 hex characters (blake2b) of all weights and buffers."""
        return fingerprint(self)


class ImageNetwork(Extractor):
    """An extractor whose network takes RGB images of one resolution: resized, then standardised, channels last.

    Args:
        resolution: of the network, pixels a side.
        resize: one of `resizing.RESIZES`.
        mean, std: of each channel, in levels 0 to 255: the network's input is (level - mean) / std.
        precision: float32 is the reference; bfloat16 is faster on a GPU, with the network under autocast and the resize
            in float32. The numbers change a little.
    """

    needs_rgb = True
    network: Any
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        resolution: int,
        resize: Resize,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        precision: Precision,
    ) -> None:
        super().__init__()
        if precision not in get_args(Precision):
            raise UserError(f"there is no precision '{precision}': choose {' or '.join(get_args(Precision))}")
        self.resolution, self.mode, self.precision = resolution, resize, precision
        self.resize = described(resolution, resize)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def extract(self, images: Tensor) -> Features:
        return Features(self.network(self.standardised(images)), None)

    def standardised(self, images: Tensor) -> Tensor:
        """Return the network's input: uint8 (or float levels) (N, 3, H, W) -> (N, 3, resolution, resolution)."""
        levels = resized(images.float(), self.resolution, self.mode)
        return ((levels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def freeze(self) -> None:
        self.to(memory_format=torch.channels_last)
        super().freeze()


def fingerprint(module: nn.Module) -> str:
    """Return 16 hex characters (blake2b) of all weights and buffers: their names, shapes, types and bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}/{tuple(tensor.shape)}/{tensor.dtype}/".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
