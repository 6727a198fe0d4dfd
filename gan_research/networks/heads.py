"""Heads: the last layer of a discriminator, from features and labels to logits and named extras."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import normalize

from gan_research.utils.codes import Codes
from gan_research.utils.errors import UserError, require


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
        self.linear: nn.Module = nn.Linear(num_features, 1, bias)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.linear(features)
        return logits.squeeze(1)


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


class BilinearHead(Head):
    """The head logit = <A h, E y>, without biases (R3GAN, Huang et al. 2024).

    A is square. It starts from N(0, 1 / num_features), and the rows of E from N(0, 1 / (num_classes num_features)).
    """

    needs_classes = True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.linear = nn.Linear(num_features, num_features, bias=False)
        self.embed = nn.Embedding(num_classes, num_features)
        nn.init.normal_(self.linear.weight, 0.0, num_features**-0.5)
        nn.init.normal_(self.embed.weight, 0.0, (num_classes * num_features) ** -0.5)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.linear(features) * self.embed(labels)).sum(1)


class ClassifierHead(LinearHead):
    """The linear head with a classifier A h + b (ACGAN, Odena et al. 2017).

    Its extra is "class_logits" (N, num_classes), for `AuxiliaryClassifier`. class_bias: use b.
    """

    provides: tuple[str, ...] = ("class_logits",)
    needs_classes = True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True, class_bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.classify = nn.Linear(num_features, num_classes, class_bias)

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        return {"class_logits": self.classify(features)}


class TwinClassifierHead(ClassifierHead):
    """The head with two classifiers, of reals and of fakes (TAC-GAN, Gong et al. 2019).

    Its extras are "class_logits" and "twin_logits" (N, num_classes), for `TwinAuxiliaryClassifier`.
    """

    provides = ("class_logits", "twin_logits")

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.classify_fakes = nn.Linear(num_features, num_classes)

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        return {**super().extras(features, labels), "twin_logits": self.classify_fakes(features)}


class DiscriminativeClassifierHead(LinearHead):
    """The linear head with a classifier of real and fake classes (ADC-GAN, Hou et al. 2022).

    Its extra is "joint_logits" (N, 2 num_classes), for `AuxiliaryDiscriminativeClassifier`: 2y is the real class y, and
    2y + 1 the fake one. class_bias: the classifier has a bias.
    """

    provides, needs_classes = ("joint_logits",), True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True, class_bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.classify = nn.Linear(num_features, 2 * num_classes, class_bias)

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        return {"joint_logits": self.classify(features)}


class EmbeddingHead(LinearHead):
    """The linear head with an embedding of the sample and a proxy of its class.

    ContraGAN, Kang & Park 2020; ReACGAN, Kang et al. 2021. Its extras are "embedding" and "proxy" (N, size), vectors of
    length 1, for `ConditionalContrastive` and `DataToDataCrossEntropy`.
    """

    provides, needs_classes = ("embedding", "proxy"), True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True, size: PositiveInt = 512) -> None:
        super().__init__(num_features, num_classes, bias)
        require(1, **{"head.size": size})
        self.embed, self.proxies = nn.Linear(num_features, size), nn.Embedding(num_classes, size)

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        return {"embedding": normalize(self.embed(features)), "proxy": normalize(self.proxies(labels))}


class MultiDimensionalHead(Head):
    """The head with a logit for each class: it returns the label's, <w_y, h> + c_y.

    Liu et al. 2019, "Few-shot unsupervised image-to-image translation" (FUNIT).
    """

    needs_classes = True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.linear = nn.Linear(num_features, num_classes, bias)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return self.linear(features).gather(1, labels[:, None]).squeeze(1)


class MultiHingeHead(Head):
    """The head with a logit for each class and for fakes (MHGAN, Kavalerov et al. 2021).

    Its extra is "hinge_logits" (N, num_classes + 1), fakes last, for the loss `MultiHinge`. The logit (N,) is the
    margin of the label's class over fakes.
    """

    provides, needs_classes = ("hinge_logits",), True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(num_features, num_classes, bias)
        self.linear = nn.Linear(num_features, num_classes + 1, bias)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        logits = self.linear(features)
        return logits.gather(1, labels[:, None]).squeeze(1) - logits[:, -1]

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        return {"hinge_logits": self.linear(features)}


class InfoGANHead(LinearHead):
    """The linear head with Q, which infers codes from features (InfoGAN, Chen et al. 2016).

    Its extras, for `MutualInformation`, are "q_logits" (N, categorical, categories), and "q_mean" and "q_log_var" (N,
    continuous). Labels are ignored. The generator's optimizer trains Q.

    categorical, categories, continuous: the numbers of codes, as in `CodedPrior`.
    hidden: the width of Q's own layer; 0: none. (The paper's has 128 and batch norm.)
    """

    provides = ("q_logits", "q_mean", "q_log_var")
    trained_by_generator = ("infer",)

    def __init__(
        self,
        num_features: int,
        num_classes: int = 0,
        bias: bool = True,
        categorical: NonNegativeInt = 1,
        categories: PositiveInt = 10,
        continuous: NonNegativeInt = 2,
        hidden: NonNegativeInt = 128,
    ) -> None:
        super().__init__(num_features, num_classes, bias)
        self.codes = Codes(categorical, categories, continuous)
        inner = hidden or num_features
        layers = [nn.Linear(num_features, hidden), nn.LeakyReLU(0.1)] if hidden else []
        self.infer = nn.Sequential(*layers, nn.Linear(inner, self.codes.size + continuous))

    def extras(self, features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        log_var, logits, mean = self.codes.split(self.infer(features))  # a log variance for each mean comes first
        return {"q_logits": logits, "q_mean": mean, "q_log_var": log_var}


def make_head(num_features: int, num_classes: int, bias: bool = True, head: HeadFactory | None = None) -> Head:
    """Build `head`; by default the projection head if there are classes, else the linear one."""
    default = ProjectionHead if num_classes > 0 else LinearHead
    return (head or default)(num_features=num_features, num_classes=num_classes, bias=bias)
