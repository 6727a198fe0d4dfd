"""Heads: the last layer of a discriminator, from features and labels to logits and named extras."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import Tensor, nn

from gan_research.utils.errors import UserError


class Head(nn.Module, ABC):
    """Maps features (N, num_features), and labels (N,) int64 or None, to logits (N,).

    A subclass implements `forward`. One with further outputs names them in `provides` and returns them from `extras`; a
    regularizer, or a loss, that `needs_extras` of that name turns them into a loss. Logits may be (N, K): the losses of
    a sample's logits are averaged.
    """

    provides: tuple[str, ...] = ()  # the keys of `extras`
    trained_by_generator: tuple[str, ...] = ()  # submodules whose parameters the generator's optimizer updates
    needs_classes: ClassVar[bool] = False

    def __init__(self, num_features: int, num_classes: int = 0, bias: bool = True) -> None:
        super().__init__()
        if self.needs_classes and num_classes < 1:
            raise UserError(f"{type(self).__name__} needs classes: set conditional=true, with data that have labels")
        self.num_features, self.num_classes = num_features, num_classes

    @abstractmethod
    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits (N,)."""

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        """Return the extras by name, each (N, ...)."""
        return {}


HeadFactory = Callable[..., Head]  # (num_features, num_classes, bias) -> head


class LinearHead(Head):
    """The head logit = <w, h> + c, or without c. Labels are ignored."""

    def __init__(self, num_features: int, num_classes: int = 0, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.linear = nn.Linear(num_features, 1, bias)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(features).squeeze(1)


class ProjectionHead(LinearHead):
    """The head logit = <w, h> + c + <embed(y), h>.

    Miyato & Koyama 2018, "cGANs with projection discriminator", section 3. The embedding is initialized Xavier uniform:
    with torch's N(0, 1) the label term would dominate.
    """

    needs_classes = True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.embed = nn.Embedding(num_classes, num_features)
        nn.init.xavier_uniform_(self.embed.weight)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features) + (self.embed(labels) * features).sum(1)


class ClassifierHead(LinearHead):
    """The linear head with a classifier A h + b (ACGAN, Odena et al. 2017).

    Its extra is "class_logits" (N, num_classes), for `AuxiliaryClassifier`.
    """

    provides, needs_classes = ("class_logits",), True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.classify = nn.Linear(num_features, num_classes)

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        return {"class_logits": self.classify(features)}


def make_head(num_features: int, num_classes: int, bias: bool = True, head: HeadFactory | None = None) -> Head:
    """Build `head`; by default the projection head if there are classes, else the linear one."""
    default = ProjectionHead if num_classes > 0 else LinearHead
    return (head or default)(num_features=num_features, num_classes=num_classes, bias=bias)
