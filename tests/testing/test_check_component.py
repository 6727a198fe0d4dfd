"""Every component passes `check_component`, in one line; and one that breaks the contract in any way doesn't."""

from itertools import combinations

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from gan_research.augmentations import Augmentation, InstanceNoise
from gan_research.distributed import all_reduce_mean, gather_of_all, rank_and_world_size
from gan_research.losses import NonSaturating, Relativistic
from gan_research.networks.heads import ClassifierHead, LinearHead
from gan_research.regularizers import (
    DRAGAN,
    R1,
    R2,
    AuxiliaryClassifier,
    Consensus,
    GradientPenalty,
    LabelSmoothing,
    LeCam,
    Orthogonal,
    Regularizer,
    WeightClipping,
    ZeroCentered,
)
from gan_research.testing import check_component
from gan_research.testing.checks import CHECKS, Case, check_ranks
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError


class AdaptiveNoise(Augmentation):
    """Noise whose strength follows the share of reals that D takes for real (as ADA's does, Karras et al. 2020)."""

    def __init__(self, speed=0.05):
        super().__init__()
        self.speed = speed
        self.register_buffer("strength", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(2))

    def forward(self, images, side, context):
        return images + self.strength * context.noise.normal(f"adaptive_noise {context.call}", *images.shape[1:])

    def update(self, step):
        self.signs += torch.stack([step.real.out.logits.detach().sign().mean(), torch.ones(())])

    def after_step(self, player):
        if player == "discriminator":
            mean = all_reduce_mean(self.signs[0] / self.signs[1])
            self.strength.add_(self.speed * (mean + 1)).clamp_(0, 1)
            self.signs.zero_()


class EmbeddingHead(LinearHead):
    """A head that also embeds an image and its class on the unit sphere (ContraGAN, Kang & Park 2020)."""

    provides = ("embedding", "proxy")

    def __init__(self, num_features, num_classes, bias=True):
        super().__init__(num_features, num_classes, bias)
        self.embed, self.proxy = nn.Linear(num_features, 5), nn.Embedding(num_classes, 5)

    def extras(self, features, labels):
        return {"embedding": normalize(self.embed(features)), "proxy": normalize(self.proxy(labels))}


class Contrastive(Regularizer):
    """The conditional contrastive loss (ContraGAN, equation 8): each rank's anchors against all images."""

    players = ("discriminator", "generator")
    needs_extras = ("embedding", "proxy")
    couples_batch = True

    def penalty(self, step):
        side = step.own_side
        anchors, proxies = side.out.extras["embedding"], side.out.extras["proxy"]
        others, labels = gather_of_all(anchors), gather_of_all(side.condition)
        rank, _ = rank_and_world_size()
        own = torch.arange(len(others)) == rank * len(anchors) + torch.arange(len(anchors))[:, None]
        to_proxy = (anchors * proxies).sum(1).exp()
        pairs = (anchors @ others.T).exp().masked_fill(own, 0)
        same = pairs * (side.condition[:, None] == labels)
        return -((to_proxy + same.sum(1)) / (to_proxy + pairs.sum(1))).log()


class Ungathered(Contrastive):
    """The same with the images of other ranks left out, as if there were none."""

    def penalty(self, step):
        anchors, proxies = (step.own_side.out.extras[name] for name in self.needs_extras)
        to_proxy = (anchors * proxies).sum(1).exp()
        return -(to_proxy / (to_proxy + (anchors @ anchors.T).exp().sum(1))).log()


CLASSES = {"head": ClassifierHead, "num_classes": 3}

COMPONENTS = {
    "none": Case(),
    "r1": Case((R1(0.1),)),
    "lazy r1 and r2": Case((R1(0.1, every=2), R2(0.1, every=3))),
    "gradient penalty": Case((GradientPenalty(),)),
    "zero centered": Case((ZeroCentered(),)),
    "dragan": Case((DRAGAN(),)),
    "consensus": Case((Consensus(0.1),)),
    "lecam": Case((LeCam(),)),
    "label smoothing": Case((LabelSmoothing(),)),
    "orthogonal": Case((Orthogonal(0.01),)),
    "weight clipping": Case((WeightClipping(0.1),)),
    "instance noise": Case((InstanceNoise(0.3, anneal=8),)),
    "adaptive noise": Case((AdaptiveNoise(),)),
    "classifier": Case((AuxiliaryClassifier(),), **CLASSES),
    "classifier of reals": Case((AuxiliaryClassifier(fakes=False),), **CLASSES),
    "contrastive": Case((Contrastive(0.5),), head=EmbeddingHead, num_classes=3),
    "relativistic": Case((R1(0.1), R2(0.1)), loss=Relativistic(NonSaturating())),
    "projection": Case((R1(0.1),), num_classes=3),
    "simultaneous": Case((LeCam(), AdaptiveNoise()), schedule=Schedule(2, 2, "simultaneous")),
}


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_a_component_keeps_its_contract(check, name):
    check(COMPONENTS[name])


def test_two_ranks_train_as_one():
    check_ranks(list(COMPONENTS.values()))


SINGLE = [name for name, case in COMPONENTS.items() if len(case.components) == 1 and case.num_classes == 0]
PAIRS = list(combinations(SINGLE, 2))


def pair(first, second):
    return Case(COMPONENTS[first].components + COMPONENTS[second].components)


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_a_pair_of_components_keeps_one_of_the_checks(number):
    """Each pair meets one check in its turn: a covering array of (component, component) and (component, check)."""
    CHECKS[number % len(CHECKS)](pair(*PAIRS[number]))


@pytest.mark.long
@pytest.mark.parametrize("names", PAIRS, ids=" + ".join)
def test_a_pair_of_components_keeps_all_checks(names):
    for check in CHECKS:
        check(pair(*names))


# --- what is found -------------------------------------------------------------------------------------------------


class OnHost(Regularizer):
    """A penalty whose weight grows on the host."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def penalty(self, step):
        self.calls += 1
        return 0.1 * self.calls * step.real.out.logits


class Leaking(Regularizer):
    """A penalty that gives G a gradient in D's update, by freeing it."""

    def penalty(self, step):
        for parameter in step.networks["generator"].parameters():
            parameter.requires_grad_(True)
        return step.D(step.G(step.latents)).logits


class Squared(Regularizer):
    """A penalty that isn't a mean over samples, and doesn't say so."""

    def penalty(self, step):
        return step.real.out.logits.mean().square()


class NoisyHead(LinearHead):
    """A head with an extra from which its regularizer takes no gradient."""

    provides = ("noise",)

    def extras(self, features, labels):
        return {"noise": features.mean(1)}


class Ignoring(Regularizer):
    needs_extras = ("noise",)

    def penalty(self, step):
        return step.real.out.extras["noise"].detach()


@pytest.mark.parametrize(
    ("component", "head", "message"),
    [
        (OnHost(), None, "a resumed run differs from an uninterrupted one"),
        (Leaking(), None, "the discriminator's loss gives body.0.weight of its opponent a gradient"),
        (Squared(), None, "accumulation=2 differs from accumulation=1"),
        (Ignoring(), NoisyHead, "no loss gives its extra 'noise' a gradient"),
    ],
    ids=["on host", "leaking", "squared", "extra without gradient"],
)
def test_a_broken_contract_is_found(component, head, message):
    with pytest.raises(AssertionError, match=message):
        check_component(component, head=head, ranks=False)


def test_a_loss_that_forgets_the_other_ranks_is_found():
    with pytest.raises(AssertionError, match="rank 0 of 2 differs from one process"):
        check_ranks([Case((Ungathered(),), head=EmbeddingHead, num_classes=3)])


def test_a_component_that_cannot_be_used_says_why():
    with pytest.raises(UserError, match="needs a discriminator whose head provides 'class_logits'"):
        check_component(AuxiliaryClassifier(), ranks=False)
