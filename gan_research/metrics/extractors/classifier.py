"""Small classifiers of digits that the project trained, as extractors."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gan_research.metrics.extractors.base import Extractor, Features
from gan_research.utils.errors import UserError, did_you_mean

WEIGHTS = Path(__file__).parents[1] / "weights"


class SmallCNN(nn.Module):
    """Blocks of (3 x 3 convolution, halving max-pool, batch norm, ReLU), a linear layer, and a linear classifier.

    The features are the linear layer's output *before* its ReLU, standardised: each has mean 0 and variance 1 over the
    training images. So they have a full-rank, near-Gaussian spread (after a ReLU many are 0 most of the time), and the
    unit of a Fréchet distance is the squared standard deviation of a feature, whatever the training run.
    """

    def __init__(
        self, channels: int, resolution: int, widths: list[int], num_classes: int = 10, num_features: int = 64
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            convolution = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
            blocks += [convolution, nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks, nn.Flatten())
        side = resolution >> len(widths)
        self.project = nn.Linear(widths[-1] * side * side, num_features, bias=False)
        self.standardise = nn.BatchNorm1d(num_features, affine=False)
        self.classify = nn.Linear(num_features, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, num_features) and logits (N, num_classes) of uint8 images (N, channels, H, W)."""
        features = self.standardise(self.project(self.blocks(images.float() / 127.5 - 1)))
        return features, self.classify(features.relu())


class Classifier(Extractor):
    """A small classifier trained by `scripts/train_classifier.py`: features (N, 64) and logits (N, 10).

    Args:
        weights: "digits" (1 x 8 x 8, scikit-learn's), "mnist" (1 x 28 x 28), or the path of a .safetensors file from
            that script.

    `metadata` is read from the file: data set, architecture, training command and seed, numbers of images, and the
    test accuracy.
    """

    choice = "classifier"
    knows_data_classes = True

    def __init__(self, weights: str = "digits") -> None:
        super().__init__()
        shipped = {path.stem: path for path in WEIGHTS.glob("*.safetensors")}
        path = shipped.get(weights, Path(weights).expanduser())
        if not path.is_file():
            raise UserError(
                f"there is no classifier '{weights}': {did_you_mean(weights, shipped)} (or give a .safetensors file)"
            )
        self.metadata, tensors = _read(path)
        architecture = self.metadata["architecture"]
        with torch.device("meta"):  # without a draw from the global RNG
            self.network = SmallCNN(**architecture)
        self.network.load_state_dict(tensors, assign=True)
        self.name = f"classifier-{path.stem}"
        self.num_features = self.network.project.out_features
        self.num_classes = self.network.classify.out_features
        self.shape = (architecture["channels"], architecture["resolution"], architecture["resolution"])
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        if images.shape[1:] != self.shape:
            wanted, found = (" x ".join(map(str, shape)) for shape in (self.shape, images.shape[1:]))
            self.refuse(f"images of {wanted} (channels x height x width)", found)
        return Features(*self.network(images))


class StackedClassifier(Extractor):
    """A classifier of three digits that are stacked as channels (Metz et al. 2017), each classified separately.

    The class is 100 a + 10 b + c; its logit is log p(a) + log p(b) + log p(c). Features are (N, 3 * 64), one channel
    after the other, logits (N, 1000).

    Args:
        weights: of the `Classifier` for one channel.
    """

    choice = "stacked_classifier"
    knows_data_classes = True

    def __init__(self, weights: str = "mnist") -> None:
        super().__init__()
        self.classifier = Classifier(weights)
        if self.classifier.shape[0] != 1:
            raise UserError(f"'{weights}' classifies images of {self.classifier.shape[0]} channels, not single ones")
        self.name = f"stacked-{self.classifier.name}"
        self.num_features = 3 * self.classifier.num_features
        self.num_classes = self.classifier.num_classes**3
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        if images.shape[1] != 3:
            self.refuse("images of 3 channels", images.shape[1])
        features, logits = self.classifier(images.flatten(0, 1).unsqueeze(1))
        a, b, c = logits.log_softmax(1).unflatten(0, (-1, 3)).unbind(1)
        logits = a[:, :, None, None] + b[:, None, :, None] + c[:, None, None, :]
        return Features(features.unflatten(0, (-1, 3)).flatten(1), logits.flatten(1))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the metadata and tensors of a file that `scripts/train_classifier.py` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            # One JSON text: safetensors writes several keys in an order that changes from run to run.
            metadata = json.loads((file.metadata() or {})["classifier"])
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} isn't a classifier of this project: write one with scripts/train_classifier.py"
        ) from error
