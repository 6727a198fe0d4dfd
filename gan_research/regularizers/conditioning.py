"""Classification terms of class-conditional games: AC, TAC and ADC."""

from pydantic import PositiveInt
from torch import Tensor
from torch.nn.functional import cross_entropy

from gan_research.losses.base import Player
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Side, Step
from gan_research.utils.ramps import NonNegative


def class_loss(side: Side, extra: str, labels: Tensor | None = None) -> Tensor:
    """Return the cross-entropy (N,) of an extra's logits and the side's labels, or others."""
    assert side.out is not None
    return cross_entropy(side.out.extras[extra], side.condition if labels is None else labels, reduction="none")


class AuxiliaryClassifier(Regularizer):
    """weight * cross-entropy of the classifier's logits and the labels (ACGAN, Odena et al. 2017, section 3).

    D is trained on reals and, as in the paper, on fakes; G is trained to make fakes that are classified as their
    labels. Requires a head that provides "class_logits" (N, num_classes), such as `ClassifierHead`.

    fakes: train D to classify fakes too; public code mostly uses reals only.
    """

    players: tuple[Player, ...] = ("discriminator", "generator")
    needs_extras = ("class_logits",)

    def __init__(self, weight: NonNegative = 1.0, every: PositiveInt = 1, own_step: bool = False, fakes: bool = True):
        super().__init__(weight, every, own_step)
        self.fakes = fakes

    def penalty(self, step: Step) -> Tensor:
        loss = class_loss(step.own_side, "class_logits")
        both = step.player == "discriminator" and self.fakes
        return loss + class_loss(step.fake, "class_logits") if both else loss


class TwinAuxiliaryClassifier(Regularizer):
    """weight * the terms of TAC-GAN (Gong et al. 2019), with a classifier T of fakes.

    D: CE(C(x), y) + CE(T(G(z)), y); G: CE(C(G(z)), y) - CE(T(G(z)), y), which is KL(q(y|x) || p(y|x)) at the best C and
    T. Requires "class_logits" and "twin_logits", as `TwinClassifierHead` provides them.
    """

    players: tuple[Player, ...] = ("discriminator", "generator")
    needs_extras = ("class_logits", "twin_logits")

    def penalty(self, step: Step) -> Tensor:
        classes, twin = class_loss(step.own_side, "class_logits"), class_loss(step.fake, "twin_logits")
        return classes + twin if step.player == "discriminator" else classes - twin


class AuxiliaryDiscriminativeClassifier(Regularizer):
    """weight * the terms of ADC-GAN, whose classifier C has 2K classes (Hou et al. 2022).

    Class 2y is real and 2y + 1 fake. D: CE(C(x), 2y) + CE(C(G(z)), 2y + 1); G: CE(C(G(z)), 2y) - CE(C(G(z)), 2y + 1),
    which is KL(q(x, y) || p(x, y)) at the best C. Requires "joint_logits", as `DiscriminativeClassifierHead` provides
    them.
    """

    players: tuple[Player, ...] = ("discriminator", "generator")
    needs_extras = ("joint_logits",)

    def penalty(self, step: Step) -> Tensor:
        as_real, as_fake = 2 * step.own_side.condition, 2 * step.fake.condition + 1
        classes, fake = (
            class_loss(step.own_side, "joint_logits", as_real),
            class_loss(step.fake, "joint_logits", as_fake),
        )
        return classes + fake if step.player == "discriminator" else classes - fake
