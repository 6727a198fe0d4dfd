"""What an extractor is: what turns 8-bit pictures, or points, into the features and logits that metrics compare."""

import hashlib
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors.resizing import Resize, resized, way
from gan_research.utils.errors import UserError

EXTRACTORS: dict[str, type["Extractor"]] = {}
"""The extractors that can be chosen by name."""

Precision = Literal["float32", "bfloat16"]


class Features(NamedTuple):
    """What an extractor sees in N samples: features (N, F) float32, and logits (N, K) float32 where it has classes."""

    features: Tensor
    logits: Tensor | None

    def take(self, rows: Tensor | slice) -> "Features":
        """Those of some samples: indices (n,) into them, or a slice."""
        return Features(self.features[rows], None if self.logits is None else self.logits[rows])


KINDS = {
    "pictures": "8-bit pictures (uint8 (N, C, H, W), rounded and clamped)",
    "points": "points (float (N, dim))",
    "paths": "pairs of pictures, a small step of the latents apart (float (N, 2, C, H, W), levels 0 to 255)",
}
"""What an extractor can take."""


class Extractor(nn.Module):
    """A frozen network over pictures or points: always in eval mode, never with gradient.

    A subclass implements `extract`, and calls `freeze` when its network stands. With a `choice` it is in `EXTRACTORS`.
    Where torch-fidelity has the same network, `oracle` is `forward` by its network and resize, with the same weights.
    """

    choice: ClassVar[str]
    takes: ClassVar[tuple[str, ...]] = ("pictures",)
    wants_rgb: ClassVar[bool] = False  # grey pictures are repeated over three channels
    cached: ClassVar[bool] = True  # the features of real samples are kept for the next time
    frechet: str = "fid"  # the column of its Fréchet distance: "fid" of Inception's 2048, and of the data's classifiers
    name: str
    num_features: int  # 0: as many as a sample has numbers
    num_classes: int = 0  # 0: no logits
    resize: str = "none"  # for the protocol: how pictures are brought to the network's resolution
    precision: Precision = "float32"
    knows_data_classes: bool = False  # its classes are those of the data, so that one of them can be found missing
    min_logit: float | None = None  # a sample whose largest logit is less is of low quality; None: none is
    perfect_quality: float = 1.0  # the share of the data that is of high quality
    class_weights: Tensor | None  # (K,) float64: the share that each class has of the data; None: all the same

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "choice" in cls.__dict__:
            EXTRACTORS[cls.choice] = cls

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights", None)

    def extract(self, samples: Tensor) -> Features:
        """The features of uint8 pictures (N, C, H, W), of float points (N, dim), or of paths: what it takes."""
        raise NotImplementedError

    def forward(self, samples: Tensor) -> Features:
        """The features of samples, in float32. Raises a UserError where they aren't what `extract` takes."""
        is_picture, is_float = samples.dtype == torch.uint8, samples.is_floating_point()
        kinds = {(4, True, False): "pictures", (2, False, True): "points", (5, False, True): "paths"}
        if kinds.get((samples.ndim, is_picture, is_float)) not in self.takes:
            raise UserError(
                f"extractor '{self.name}' takes {' or '.join(KINDS[kind] for kind in self.takes)}, not "
                f"{str(samples.dtype).removeprefix('torch.')} of shape {tuple(samples.shape)}: choose metrics that "
                "suit the data"
            )
        if self.wants_rgb:
            if samples.shape[-3] not in (1, 3):
                raise UserError(
                    f"extractor '{self.name}' takes pictures of 1 or 3 channels, not {samples.shape[-3]}: choose "
                    "metrics that suit the data"
                )
            samples = samples.expand(*samples.shape[:-3], 3, -1, -1)
        device = samples.device
        with exactly(device), torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features, logits = self.extract(samples)
        return Features(features.float(), None if logits is None else logits.float())

    def channels(self, samples: Tensor) -> str:
        """For the protocol: how pictures are brought to the network's channels."""
        repeated = self.wants_rgb and samples.shape[-3] == 1
        return "grey, repeated over 3 channels" if repeated else "as they are"

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def freeze(self) -> None:
        """No gradient and eval mode, from now on."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Extractor":
        """Stays in eval mode, whatever `mode` a parent module asks for."""
        return super().train(False)

    def fingerprint(self) -> str:
        """16 hex characters (blake2b) of all weights and buffers."""
        return fingerprint(self)


class ImageNetwork(Extractor):
    """An extractor whose network takes RGB pictures of one resolution: resized, then standardised, channels last.

    Args:
        resolution: of the network, pixels a side.
        resize: one of `resizing.RESIZES`.
        mean, std: of each channel, in levels 0 to 255: the network is given (level - mean) / std.
        precision: bfloat16 runs the network under autocast (the resize stays in float32); the numbers change a little.
    """

    wants_rgb = True
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
        self.resize = f"{resolution} x {resolution}, {way(resize).words}"
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def standardised(self, images: Tensor) -> Tensor:
        """uint8 (or float levels) (N, 3, H, W) -> what the network is given: (N, 3, resolution, resolution)."""
        levels = resized(images.float(), self.resolution, self.mode)
        return ((levels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def freeze(self) -> None:
        self.to(memory_format=torch.channels_last)
        super().freeze()


def fingerprint(module: nn.Module) -> str:
    """16 hex characters (blake2b) of all weights and buffers: their names, shapes, types and bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}/{tuple(tensor.shape)}/{tensor.dtype}/".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
