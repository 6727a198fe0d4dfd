"""Extractors without a network: the samples' own values, and the modes of a known mixture."""

from typing import Any

import torch
from torch import Tensor

from gan_research.metrics.extractors.base import Extractor, Features
from gan_research.utils.errors import UserError


class Values(Extractor):
    """The samples themselves: images as numbers in [0, 1], (N, C * H * W), and points as they are."""

    choice = "values"
    cached = False
    frechet = "fd_values"
    accepts = ("images", "points")
    name = "values"
    num_features = 0

    def extract(self, samples: Tensor) -> Features:
        return Features(samples.flatten(1).float() / (255 if samples.dtype == torch.uint8 else 1), None)


class MixtureModes(Extractor):
    """The modes of a Gaussian mixture: features are the points, logits (N, K) their closeness to each mode.

    A logit is minus half the squared Mahalanobis distance (diagonal) to a mode, so that the nearest mode has the
    largest. High quality is within 3 standard deviations of it: -9/2 or more. In a mixture of modes far apart the
    share of high quality is P(chi^2 < 9), with dim degrees of freedom: 0.98889 in 2-D. Lin et al. 2018, PacGAN,
    section 4.1.

    Args:
        density: has `means` and `stds`, (K, dim), and `weights` (K,), such as `gan_research.data.GaussianMixture`.
    """

    choice = "mixture_modes"
    cached = False
    frechet = "fd_points"
    accepts = ("points",)
    name = "mixture-modes"
    knows_data_classes = True
    min_logit = -4.5
    means: Tensor
    stds: Tensor

    def __init__(self, density: Any) -> None:
        super().__init__()
        if not all(hasattr(density, part) for part in ("means", "stds", "weights")):
            raise UserError(f"{type(density).__name__} has no modes: choose metrics=points, or a mixture of Gaussians")
        self.register_buffer("means", density.means.detach().clone().float())
        self.register_buffer("stds", density.stds.detach().clone().float())
        weights = density.weights.detach().double()
        self.class_weights = weights / weights.sum()
        self.num_classes, self.num_features = self.means.shape
        half = torch.tensor([self.num_features / 2, 9 / 2], dtype=torch.float64)
        self.perfect_quality = torch.special.gammainc(*half).item()
        self.freeze()

    def extract(self, samples: Tensor) -> Features:
        if samples.shape[1] != self.num_features:
            self.refuse(f"points of {self.num_features} numbers", samples.shape[1])
        points = samples.float()
        distances = ((points[:, None] - self.means) / self.stds).square().sum(2)
        return Features(points, (-distances / 2).clamp(min=torch.finfo(torch.float32).min))  # finite even far away
