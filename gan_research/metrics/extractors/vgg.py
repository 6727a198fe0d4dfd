"""VGG16, trained on ImageNet: its features, and LPIPS, the perceptual distance between images."""

from pathlib import Path

import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torchvision.models import VGG
from torchvision.models import vgg16 as build_vgg16

from gan_research.metrics.extractors.base import Extractor, Features, ImageNetwork, Precision
from gan_research.metrics.extractors.resizing import Resize
from gan_research.metrics.extractors.weights import Published, load_published

PUBLISHED = Published(
    "vgg16-397923af.pth",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
LINEAR = Published(
    "vgg.pth",
    "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
    "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    str(Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"),
)
COMPARED = {3: 64, 8: 128, 15: 256, 22: 512, 29: 512}
"""The layers of VGG16 that LPIPS compares (the last ReLU of each block), and their channels."""


class VGG16(ImageNetwork):
    """VGG16's second fully connected layer, after its ReLU: (N, 4096), the features of precision and recall.

    Args:
        weights: a file of torchvision's state dict; None: the one in torch's hub cache. Nothing is downloaded.
        resize: tf1 is torch-fidelity's.
        sha256: the beginning of the file's SHA-256; None: it is only checked if `weights` is None.

    Sources: Simonyan & Zisserman 2015, arXiv 1409.1556; Kynkäänniemi et al. 2019, arXiv 1904.06991.
    """

    choice = "vgg16"
    name = "vgg16-fc2"
    frechet = "fd_vgg16"
    num_features = 4096

    def __init__(
        self,
        weights: str | None = None,
        resize: Resize = "tf1",
        precision: Precision = "float32",
        sha256: str | None = None,
    ) -> None:
        mean, std = (255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225)
        super().__init__(224, resize, mean, std, precision)
        self.network = _vgg16(weights, sha256)
        self.network.classifier = self.network.classifier[:5]  # up to the ReLU of fc2
        self.freeze()

    def oracle(self, images: Tensor) -> Features:
        """Extract with torch-fidelity's resize and standardisation; the network is torchvision's in both."""
        theirs = FeatureExtractorVGG16.__new__(FeatureExtractorVGG16)  # its constructor would download the weights
        FeatureExtractorBase.__init__(theirs, "vgg16", ["fc2_relu"])
        theirs.feature_extractor_internal_dtype, theirs.model = torch.float32, self.network
        with torch.no_grad():
            return Features(theirs(images.expand(-1, 3, -1, -1))[0], None)  # its second ReLU changes nothing


class LPIPS(Extractor):
    """The perceptual distance of two images: LPIPS v0.1 with VGG16, as in torch-fidelity's path length.

        d(x, y) = sum over layers l of the mean over h, w of w_l . (f_l(x) - f_l(y))^2

    where f_l is the layer's output, of length 1 at each pixel. The features are distances (N, 1) of pairs
    (N, 2, 3, H, W), levels 0 to 255. Zhang et al. 2018, arXiv 1801.03924, equation 1.

    Args:
        weights: a file of torchvision's VGG16; None: the one in torch's hub cache. Nothing is downloaded.
        linear: a file of the w_l, such as torch-fidelity's weights-vgg16-lpips.pth; None: the authors' vgg.pth, which
            is part of torchmetrics.
        resolution: other images are resized to it: averaged over areas if both sides are longer, else bilinearly;
            None: compared as they are.
    """

    choice = "lpips"
    accepts = ("paths",)
    needs_rgb = True
    name = "lpips-vgg16"
    num_features = 1
    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | None = None, linear: str | None = None, resolution: int | None = 64) -> None:
        super().__init__()
        self.resolution = resolution
        if resolution:
            self.resize = f"{resolution} x {resolution}, averaged over areas if larger, else bilinear (torch-fidelity)"
        for name, values in (("mean", (-0.030, -0.088, -0.188)), ("std", (0.458, 0.448, 0.450))):  # of [-1, 1]
            self.register_buffer(name, 127.5 * torch.tensor(values).view(3, 1, 1), persistent=False)
        self.layers = _vgg16(weights).features[: max(COMPARED) + 1]
        with torch.device("meta"):  # w_l, as a 1 x 1 convolution for each compared layer
            self.linear = nn.ModuleList(nn.Conv2d(width, 1, kernel_size=1, bias=False) for width in COMPARED.values())
        names = {f"lin{i}.model.1.weight": f"{i}.weight" for i in range(len(COMPARED))}
        load_published(
            self.linear, linear, LINEAR, "linear LPIPS", convert=lambda x: {names.get(k, k): v for k, v in x.items()}
        )
        self.freeze()

    def extract(self, paths: Tensor) -> Features:
        x = self._standardised(paths.flatten(0, 1))
        distances = x.new_zeros(len(paths), 1)
        weights = iter(self.linear)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in COMPARED:
                unit = x / (x.norm(dim=1, keepdim=True) + 1e-10)
                distances += next(weights)((unit[0::2] - unit[1::2]).square()).mean((2, 3))
        return Features(distances, None)

    def _standardised(self, images: Tensor) -> Tensor:
        images = (images.float() - self.mean - 127.5) / self.std
        size, sides = self.resolution, images.shape[-2:]
        if size:
            return F.interpolate(images, (size, size), mode="area" if min(sides) > size else "bilinear")
        if min(sides) < 16:
            self.refuse("images of 16 x 16 or more (or give a resolution, such as 64)", f"{sides[0]} x {sides[1]}")
        return images


def _vgg16(weights: str | None, sha256: str | None = None) -> VGG:
    """Return torchvision's VGG16 with these weights; the global RNG is untouched."""
    with torch.device("meta"):
        network = build_vgg16(init_weights=False)
    load_published(network, weights, PUBLISHED, "VGG16", sha256)
    return network
