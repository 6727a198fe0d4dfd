"""Inception-v3 of the reference FID."""

import io
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from gan_research.metrics.extractors.base import Features, ImageNetwork, Precision, fingerprint
from gan_research.metrics.extractors.resizing import Resize
from gan_research.metrics.extractors.weights import Published, find, load, sha256_of, unreadable
from gan_research.utils.errors import UserError

MODEL = "Inception-v3"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
PUBLISHED = [  # torch-fidelity's and pytorch-fid's: the same file
    Published(file, f"https://github.com/{release}/{file}", SHA256)
    for file, release in (
        ("weights-inception-2015-12-05-6726825d.pth", "toshas/torch-fidelity/releases/download/v0.2.0"),
        ("pt_inception-2015-12-05-6726825d.pth", "mseitzer/pytorch-fid/releases/download/fid_weights"),
    )
]
KNOWN = "022a49c15311da8d"  # the fingerprint of that file's layers up to 768

LAYERS = {  # the modules that each layer adds to the layers before; features are means over its output
    64: ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1"),
    192: ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    768: tuple(f"Mixed_{block}" for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")),
    2048: ("Mixed_7a", "Mixed_7b", "Mixed_7c", "fc"),
}


class Inception(ImageNetwork):
    """Inception-v3 of the reference FID, converted from TensorFlow: torch-fidelity's modules and weights.

    Args:
        feature: the layer, named by its width. The published FID uses 2048, the only one with logits ("unbiased", as
            in the published inception score).
        weights: a file of torch-fidelity's or pytorch-fid's state dict; None: the one in torch's hub cache. Nothing
            is downloaded. If they aren't the published ones, the extractor's name ends in "(other weights)".
        resize: tf1 is the reference.
        sha256: the beginning of the file's SHA-256; None: it is only checked if `weights` is None.

    Sources: Heusel et al. 2017, arXiv 1706.08500; Salimans et al. 2016, arXiv 1606.03498.
    """

    choice = "inception"

    def __init__(
        self,
        feature: Literal[64, 192, 768, 2048] = 2048,
        weights: str | None = None,
        resize: Resize = "tf1",
        precision: Precision = "float32",
        sha256: str | None = None,
    ) -> None:
        super().__init__(299, resize, mean=(128.0, 128.0, 128.0), std=(128.0, 128.0, 128.0), precision=precision)
        if feature not in LAYERS:
            raise UserError(f"Inception-v3 has no feature layer {feature}: choose 64, 192, 768 or 2048")
        path = find(weights, PUBLISHED, MODEL)
        self.network = _network(feature, path, sha256 or (None if weights else SHA256))
        published = sha256_of(path) == SHA256  # the layers up to 768 are known, whatever file they are in
        published |= feature <= 768 and fingerprint(_part(self.network, (64, 192, 768))) == KNOWN
        _drop_layers(self.network, feature, path)
        self._trunk = [name for layer in LAYERS if layer <= feature for name in LAYERS[layer] if name != "fc"]
        self.name = f"inception-v3-{feature}" + ("" if published else " (other weights)")
        self.frechet = "fid" if published and feature == 2048 else f"{'fid' if published else 'fd_inception'}{feature}"
        self.num_features = int(feature)
        self.num_classes = 1008 if feature == 2048 else 0
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        """Return features (N, feature), and with 2048 logits (N, 1008), of images (N, 3, H, W)."""
        x = self.standardised(images)
        for name in self._trunk:
            x = self.network.get_submodule(name)(x)
        features = F.adaptive_avg_pool2d(x.float(), 1).flatten(1)
        return Features(features, F.linear(features, self.network.fc.weight) if self.num_classes else None)

    def oracle(self, images: Tensor) -> Features:
        """Extract with torch-fidelity's code. Raises a UserError if the resize isn't the reference's."""
        if self.mode != "tf1":
            raise UserError(f"resize '{self.mode}' has no reference: choose metrics.extractor.resize=tf1")
        outputs = self.network(images.expand(-1, 3, -1, -1))
        return Features(outputs[0], outputs[1] if self.num_classes else None)


def _network(feature: int, path: Path, sha256: str | None) -> FeatureExtractorInceptionV3:
    """Return torch-fidelity's Inception-v3 with the weights in `path`; the global RNG is untouched.

    torch-fidelity unpickles anything in its file: it gets a copy of the tensors instead.
    """
    copy = io.BytesIO()
    torch.save(load(path, MODEL, sha256), copy)
    copy.seek(0)
    outputs = [str(feature), "logits_unbiased"] if feature == 2048 else [str(feature)]
    try:
        with torch.random.fork_rng(devices=[]):  # its layers are initialised at random first
            return FeatureExtractorInceptionV3("inception-v3", outputs, feature_extractor_weights_path=copy)
    except RuntimeError as error:
        raise unreadable(path, MODEL, error) from error


def _part(network: nn.Module, layers: Iterable[int]) -> nn.ModuleDict:
    return nn.ModuleDict({name: network.get_submodule(name) for layer in layers for name in LAYERS[layer]})


def _drop_layers(network: nn.Module, feature: int, path: Path) -> None:
    """Drop the layers that aren't needed. Raises a UserError if the weights of the others aren't finite."""
    tensors = {layer: _part(network, [layer]).state_dict().values() for layer in LAYERS}
    finite = list(takewhile(lambda layer: all(bool(tensor.isfinite().all()) for tensor in tensors[layer]), LAYERS))
    if feature not in finite:
        instead = f"feature={finite[-1]} or " if finite else ""
        raise UserError(f"the {MODEL} weights at {path} lack layer {feature}: choose {instead}other weights")
    for layer in LAYERS:
        if layer > feature:
            for name in LAYERS[layer]:
                delattr(network, name)
