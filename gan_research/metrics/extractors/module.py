"""Any network as an extractor."""

import contextlib
import copy
import hashlib
import inspect

import torch
from torch import Tensor, nn

from gan_research.metrics.extractors.base import Extractor, Features
from gan_research.metrics.extractors.resizing import Resize, resized, way
from gan_research.utils.errors import UserError


class ModuleExtractor(Extractor):
    """Any module that maps pictures (N, C, resolution, resolution) to features, or to a pair (features, logits).

    Both are flattened, to (N, F) and (N, K). A copy of the module is kept: yours isn't frozen, and what
    you train it to later doesn't change the numbers.

    Args:
        module: as it stands, with its weights.
        resolution: of the pictures that it is given, pixels a side: others are resized. It settles F.
        resize: one of `resizing.RESIZES`.
        mean, std: of each channel, in levels 0 to 255: the module is given (level - mean) / std; by default values in
            [-1, 1]. As many as the module takes channels; grey pictures are repeated over them.
        name: what the protocol calls it; None: the module's class. Its Fréchet distance is in the column fd_NAME.
        knows_data_classes: its logits are for the classes of the data, in their order.

    Raises a UserError where the module can't take such a picture, or returns something else.
    """

    choice = "module"
    cached = False  # two modules can have the same weights and do something else with them
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: nn.Module,
        resolution: int,
        resize: Resize = "clean",
        mean: tuple[float, ...] = (127.5, 127.5, 127.5),
        std: tuple[float, ...] = (127.5, 127.5, 127.5),
        name: str | None = None,
        knows_data_classes: bool = False,
    ) -> None:
        super().__init__()
        if len(mean) != len(std):
            raise UserError(f"mean has {len(mean)} channels and std has {len(std)}: give one number a channel in each")
        self.name = name or type(module).__name__
        self.frechet = f"fd_{self.name.lower()}"
        self.resolution, self.mode = resolution, resize
        self.resize = f"{resolution} x {resolution}, {way(resize).words}"
        self.knows_data_classes = knows_data_classes
        for key, values in (("mean", mean), ("std", std)):  # the fingerprint covers them
            self.register_buffer(key, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1))
        self.network = copy.deepcopy(module).cpu()
        self.freeze()
        self.num_features, self.num_classes = self._sizes()

    def extract(self, images: Tensor) -> Features:
        """Features (N, F), and logits (N, K) if the module has them, of pictures (N, 1 or C, H, W)."""
        if images.shape[1] not in (1, len(self.mean)):
            raise UserError(
                f"extractor '{self.name}' takes pictures of {len(self.mean)} channels, not {images.shape[1]}: give as "
                "many means and stds as the data has channels, or choose another extractor"
            )
        outputs = self.network((resized(images.float(), self.resolution, self.mode) - self.mean) / self.std)
        pair = outputs if isinstance(outputs, tuple) else (outputs,)
        if len(pair) > 2 or not all(isinstance(output, Tensor) for output in pair):
            raise UserError(
                f"{self.name} returns neither a tensor nor a pair of them (features, logits): wrap it in a module that "
                "does"
            )
        features, *logits = (output.reshape(len(images), -1) for output in pair)
        return Features(features, logits[0] if logits else None)

    def channels(self, samples: Tensor) -> str:
        repeated = samples.shape[-3] < len(self.mean)
        return f"grey, repeated over {len(self.mean)} channels" if repeated else "as they are"

    def fingerprint(self) -> str:
        """16 hex characters (blake2b) of the weights, the modules' settings, and their code where it can be had."""
        digest = hashlib.blake2b(super().fingerprint().encode(), digest_size=8)
        digest.update(repr(self.network).encode())
        for cls in sorted({type(module) for module in self.network.modules()}, key=repr):
            with contextlib.suppress(OSError, TypeError):
                digest.update(inspect.getsource(cls).encode())
        return digest.hexdigest()

    def _sizes(self) -> tuple[int, int]:
        """How many features and classes it has: seen from a black picture; the global RNG is untouched."""
        shape = (len(self.mean), self.resolution, self.resolution)
        try:
            with torch.random.fork_rng(devices=[]):
                features, logits = self(torch.zeros(1, *shape, dtype=torch.uint8))
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{self.name} can't take pictures of {' x '.join(map(str, shape))}: {reason}") from error
        return features.shape[1], 0 if logits is None else logits.shape[1]
