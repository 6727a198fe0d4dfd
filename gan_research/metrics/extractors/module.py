"""The extractor that wraps a module of the user's."""

import contextlib
import copy
import hashlib
import inspect

import torch
from torch import Tensor, nn

from gan_research.metrics.extractors.base import Extractor, Features
from gan_research.metrics.extractors.resizing import Resize, described, resized
from gan_research.utils.errors import UserError


class ModuleExtractor(Extractor):
    """A module that maps images (N, C, resolution, resolution) to features, or to a pair (features, logits).

    Both are flattened, to (N, F) and (N, K). The module is copied: yours isn't frozen, and training it later doesn't
    change the numbers.

    Args:
        module: with its weights.
        resolution: of its input, pixels a side: other images are resized. It determines F.
        resize: one of `resizing.RESIZES`.
        mean, std: of each channel, in levels 0 to 255: the module's input is (level - mean) / std; by default values in
            [-1, 1]. One for each channel of the module; grey images are repeated over them.
        name: its name in the protocol; None: the module's class. Its Fréchet distance is in the column fd_NAME.
        knows_data_classes: whether its logits are for the classes of the data, in their order.

    Raises a UserError if the module can't take such an image, or returns something else.
    """

    choice = "module"
    cached = False  # two modules can use the same weights differently
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
        self.resize = described(resolution, resize)
        self.knows_data_classes = knows_data_classes
        for key, values in (("mean", mean), ("std", std)):  # the fingerprint covers them
            self.register_buffer(key, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1))
        self.network = copy.deepcopy(module).cpu()
        self.freeze()
        self.num_features, self.num_classes = self._sizes()

    def extract(self, images: Tensor) -> Features:
        if images.shape[1] not in (1, len(self.mean)):
            self.refuse(f"images of {len(self.mean)} channels (as many as means and stds)", images.shape[1])
        outputs = self.network((resized(images.float(), self.resolution, self.mode) - self.mean) / self.std)
        pair = outputs if isinstance(outputs, tuple) else (outputs,)
        if len(pair) > 2 or not all(isinstance(output, Tensor) for output in pair):
            raise UserError(f"{self.name} must return a tensor or a pair (features, logits): wrap it in a module")
        features, *logits = (output.reshape(len(images), -1) for output in pair)
        return Features(features, logits[0] if logits else None)

    def channels(self, samples: Tensor) -> str:
        repeated = samples.shape[-3] < len(self.mean)
        return f"grey, repeated over {len(self.mean)} channels" if repeated else "as they are"

    def fingerprint(self) -> str:
        """Return 16 hex characters (blake2b) of the weights, the modules' settings and their code."""
        digest = hashlib.blake2b(super().fingerprint().encode(), digest_size=8)
        digest.update(repr(self.network).encode())
        for cls in sorted({type(module) for module in self.network.modules()}, key=repr):
            with contextlib.suppress(OSError, TypeError):
                digest.update(inspect.getsource(cls).encode())
        return digest.hexdigest()

    def _sizes(self) -> tuple[int, int]:
        """Return the numbers of features and classes, from a black image; the global RNG is untouched."""
        shape = (len(self.mean), self.resolution, self.resolution)
        try:
            with torch.random.fork_rng(devices=[]):
                features, logits = self(torch.zeros(1, *shape, dtype=torch.uint8))
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{self.name} can't take images of {' x '.join(map(str, shape))}: {reason}") from error
        return features.shape[1], 0 if logits is None else logits.shape[1]
