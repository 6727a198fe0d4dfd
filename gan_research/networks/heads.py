"""Heads: what turns a discriminator's features, and labels, into logits."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Head(nn.Module, ABC):
    """Features (N, num_features), and labels (N,) int64 or None, to logits (N,)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    @abstractmethod
    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (N,)."""


class LinearHead(Head):
    """logit = <w, h> + c, or without c. Labels play no part."""

    def __init__(self, num_features: int, bias: bool = True) -> None:
        super().__init__(num_features)
        self.linear = nn.Linear(num_features, 1, bias)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(features).squeeze(1)


class ProjectionHead(Head):
    """logit = <w, h> + c + <embed(y), h> (Miyato & Koyama 2018, "cGANs with projection discriminator", section 3).

    The embedding starts Xavier uniform: with torch's N(0, 1) the label term would drown the rest.
    """

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features)
        self.linear = nn.Linear(num_features, 1, bias)
        self.embed = nn.Embedding(num_classes, num_features)
        nn.init.xavier_uniform_(self.embed.weight)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(features).squeeze(1) + (self.embed(labels) * features).sum(1)


def make_head(num_features: int, num_classes: int, bias: bool = True) -> Head:
    """The projection head if there are classes, else the linear one."""
    return ProjectionHead(num_features, num_classes, bias) if num_classes > 0 else LinearHead(num_features, bias)
