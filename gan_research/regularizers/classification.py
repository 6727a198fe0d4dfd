"""Classification terms: the discriminator also says which class an image is of."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Step


class AuxiliaryClassifier(Regularizer):
    """weight * cross-entropy of the classifier's logits and the labels (ACGAN, Odena et al. 2017, section 3).

    D learns it on reals and, as in the paper, on fakes; G makes fakes that are classified as their labels. Needs a head
    that provides "class_logits" (N, num_classes), such as `ClassifierHead`.

    fakes: whether D learns to classify fakes too; public code mostly takes reals alone.
    """

    players = ("discriminator", "generator")
    needs_extras = ("class_logits",)

    def __init__(self, weight: float = 1.0, every: int = 1, fakes: bool = True):
        super().__init__(weight, every)
        self.fakes = fakes

    def penalty(self, step: Step) -> Tensor:
        sides = (step.real, step.fake) if step.player == "discriminator" and self.fakes else (step.own_side,)
        losses = [
            cross_entropy(side.out.extras["class_logits"], side.condition, reduction="none")  # type: ignore[union-attr]
            for side in sides
        ]
        return sum(losses[1:], losses[0])
