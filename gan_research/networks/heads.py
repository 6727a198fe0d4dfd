"""Heads: what turns a discriminator's features, and labels, into logits and named extras."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from gan_research.utils.errors import UserError


class Head(nn.Module, ABC):
    """Maps features (N, num_features), and labels (N,) int64 or None, to logits (N,).

    A subclass implements `forward`. One that also says something else of an image names it in `provides` and returns
    it from `extras`; a regularizer that `needs_extras` of that name turns it into a loss.
    """

    provides: tuple[str, ...] = ()
    """The keys of `extras`."""

    def __init__(self, num_features: int, num_classes: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.num_features, self.num_classes = num_features, num_classes

    @abstractmethod
    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits (N,)."""

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        """Return the extras by name, each (N, ...)."""
        return {}


HeadFactory = Callable[..., Head]
"""(num_features, num_classes, bias) -> head."""


class LinearHead(Head):
    """logit = <w, h> + c, or without c. Labels play no part."""

    def __init__(self, num_features: int, num_classes: int = 0, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.linear = nn.Linear(num_features, 1, bias)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(features).squeeze(1)


class ProjectionHead(LinearHead):
    """logit = <w, h> + c + <embed(y), h> (Miyato & Koyama 2018, "cGANs with projection discriminator", section 3).

    The embedding starts Xavier uniform: with torch's N(0, 1) the label term would drown the rest.
    """

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        require_classes(self)
        self.embed = nn.Embedding(num_classes, num_features)
        nn.init.xavier_uniform_(self.embed.weight)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features) + (self.embed(labels) * features).sum(1)


class ClassifierHead(LinearHead):
    """logit = <w, h> + c, and as an extra the classifier's logits A h + b (ACGAN, Odena et al. 2017).

    "class_logits": (N, num_classes), for `AuxiliaryClassifier`.
    """

    provides = ("class_logits",)

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        require_classes(self)
        self.classify = nn.Linear(num_features, num_classes)

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        return {"class_logits": self.classify(features)}


def require_classes(head: Head) -> None:
    """Raise a UserError if the head, which needs classes, has none."""
    if head.num_classes < 1:
        raise UserError(f"{type(head).__name__} needs classes: set conditional=true, with data that have labels")


def make_head(num_features: int, num_classes: int, bias: bool = True, head: HeadFactory | None = None) -> Head:
    """Return a head made by `head`; by default the projection head if there are classes, else the linear one."""
    default = ProjectionHead if num_classes > 0 else LinearHead
    return (head or default)(num_features=num_features, num_classes=num_classes, bias=bias)
