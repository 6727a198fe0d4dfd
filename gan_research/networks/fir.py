"""Changes of size by 2, and blurs, with the filter (1, 3, 3, 1) along each axis."""

import torch.nn.functional as F
from torch import Tensor, eye, nn, outer, tensor


class Resampling(nn.Module):
    """A change of size by 2 with the filter (1, 3, 3, 1) along each axis.

    It is U x U^T, or U^T x U / 4, with 0 outside of the image. size: the smaller one. U (2 size, size) interpolates
    linearly; as a matrix it is quicker than as a convolution.
    """

    matrix: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        taps = tensor([[[1.0, 3.0, 3.0, 1.0]]]) / 4
        rows = F.conv_transpose1d(eye(size)[:, None], taps, stride=2, padding=1)
        self.register_buffer("matrix", rows[:, 0].T.contiguous(), persistent=False)


class Upsample(Resampling):
    """Images (N, C, size, size) -> (N, C, 2 size, 2 size); the filter's sum is 4."""

    def forward(self, images: Tensor) -> Tensor:
        return self.matrix @ (images @ self.matrix.mT)


class Downsample(Resampling):
    """Images (N, C, 2 size, 2 size) -> (N, C, size, size); the filter's sum is 1."""

    def forward(self, images: Tensor) -> Tensor:
        return self.matrix.mT @ (images @ self.matrix) / 4


class Blur(nn.Module):
    """The filter (1, 3, 3, 1) / 8 along each axis, times `gain`, with `padding` zeros outside of the image.

    Images (N, C, H, W) -> (N, C, H + 2 padding - 3, W + 2 padding - 3).
    """

    kernel: Tensor

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        self.padding = padding
        taps = tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", gain * outer(taps, taps)[None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        return F.conv2d(images, self.kernel.expand(channels, -1, -1, -1), padding=self.padding, groups=channels)
