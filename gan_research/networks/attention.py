"""Self-attention over positions, and where networks have it."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn, zeros

from gan_research.networks.layers import convolution
from gan_research.utils.errors import UserError


class SelfAttention(nn.Module):
    """The layer x_i + gain * W_o sum_j softmax_j(<q_i, k_j>) v_j of positions i.

    (N, C, H, W) -> the same. Zhang et al. 2019, "Self-attention generative adversarial networks", section 3, as in
    their code: q = W_q x with C/8 channels; k and v, W_k x and W_v x with C/8 and C/2 channels, are maxima over 2 x 2
    positions; there are no biases, and no 1/sqrt(C/8). `gain` starts at 0. UserError if C is below 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 8:
            raise UserError(f"self-attention needs 8 channels and gets {channels}: raise width, or set attention=[]")
        self.query, self.key = (convolution(channels, channels // 8, 1, bias=False) for _ in range(2))
        self.value = convolution(channels, channels // 2, 1, bias=False)
        self.out = convolution(channels // 2, channels, 1, bias=False)
        self.gain = nn.Parameter(zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        queries = self.query(images).flatten(2)
        keys, values = (F.max_pool2d(layer(images), 2).flatten(2) for layer in (self.key, self.value))
        # torch's fused attention has no second derivative on the CPU, which gradient penalties take
        weights = (queries.transpose(1, 2) @ keys).softmax(2)
        attended = (values @ weights.transpose(1, 2)).unflatten(2, images.shape[2:])
        return images + self.gain * self.out(attended)


def attention_places(attention: Sequence[int], sizes: Sequence[int]) -> list[bool]:
    """Return for each stage of a network whether self-attention follows it.

    sizes: the side of the maps after each stage. It follows the first one of each size in `attention`; UserError if a
    size isn't there.
    """
    if missing := [size for size in attention if size not in sizes or size < 2]:
        present = ", ".join(str(size) for size in dict.fromkeys(sizes) if size > 1)
        raise UserError(f"attention at {missing[0]}: this network has maps of {present}: take some of these, or []")
    return [size in attention and size not in sizes[:i] for i, size in enumerate(sizes)]
