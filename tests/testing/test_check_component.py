"""Every component passes `check_component`, in one line; and one that breaks the contract in any way doesn't."""

from functools import partial
from itertools import combinations

import pytest
import torch
from styled import SmallStyles

from gan_research.augmentations import ADA, APA, Augmentation, Cutout, DiffAugment, InstanceNoise
from gan_research.distributed import all_reduce_mean
from gan_research.losses import Minimax, MultiHinge, NonSaturating, Relativistic
from gan_research.networks.heads import (
    BilinearHead,
    ClassifierHead,
    DiscriminativeClassifierHead,
    EmbeddingHead,
    InfoGANHead,
    LinearHead,
    MultiDimensionalHead,
    MultiHingeHead,
    TwinClassifierHead,
)
from gan_research.networks.stylegan2 import LabelMappingHead
from gan_research.regularizers import (
    CR,
    DRAGAN,
    R1,
    R2,
    ZCR,
    ApproximateR1,
    ApproximateR2,
    AuxiliaryClassifier,
    AuxiliaryDiscriminativeClassifier,
    ConditionalContrastive,
    Consensus,
    DataToDataCrossEntropy,
    Drift,
    FeatureMatching,
    GradientPenalty,
    LabelSmoothing,
    LeCam,
    MaxGP,
    MutualInformation,
    Orthogonal,
    PathLength,
    Regularizer,
    TwinAuxiliaryClassifier,
    WeightClipping,
    ZeroCentered,
)
from gan_research.sampling.priors import CodedPrior
from gan_research.testing import check_component
from gan_research.testing.checks import CHECKS, Case, check_ranks
from gan_research.training.reduction import TopK
from gan_research.training.refinement import LOGAN, StyleMixing
from gan_research.training.schedule import Schedule
from gan_research.training.unrolling import Unrolling
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


class Ungathered(ConditionalContrastive):
    """The contrastive loss with the images of other ranks left out, as if there were none."""

    def penalty(self, step):
        anchors, proxies = (step.own_side.out.extras[name] for name in self.needs_extras)
        to_proxy = (anchors * proxies).sum(1).exp()
        return -(to_proxy / (to_proxy + (anchors @ anchors.T).exp().sum(1))).log()


SIMULTANEOUS = Schedule(2, 2, "simultaneous")

CLASSES = {"head": ClassifierHead, "num_classes": 3}
EMBEDDING = partial(EmbeddingHead, size=5)
CODES = {"head": partial(InfoGANHead, categories=3, continuous=1, hidden=4), "prior": CodedPrior(6, 1, 3, 1)}

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
    "orthogonal embeddings": Case((Orthogonal(0.01, embeddings=True),), num_classes=3),
    "weight clipping": Case((WeightClipping(0.1),)),
    "cr": Case((CR(shift=0.5),)),
    "bcr": Case((CR(fakes=0.5, shift=0.5, every=2),)),
    "zcr": Case((ZCR(),)),
    "cr of classes": Case((CR(shift=0.5, extras=("class_logits",)), ZCR(extras=("class_logits",))), **CLASSES),
    "max gp": Case((MaxGP(),)),
    "drift": Case((Drift(),)),
    "approximate r1 and r2": Case((ApproximateR1(0.1, sigma=0.1), ApproximateR2(0.1, sigma=0.1, share=0.5))),
    "feature matching": Case((FeatureMatching(),)),
    "feature matching of fresh reals": Case(
        (FeatureMatching(norm="l2", every=2),), schedule=Schedule(generator_reals="fresh")
    ),
    "lecam of the code": Case((LeCam(clip=True, start=3, debias=True),)),
    "instance noise": Case((InstanceNoise(0.3, anneal=8),)),
    "adaptive noise": Case((AdaptiveNoise(),)),
    "diffaugment": Case((DiffAugment(),)),
    "diffaugment, synced": Case((DiffAugment(synced=True), R1(0.1)), loss=Relativistic(NonSaturating())),
    "cutout": Case((Cutout(p=0.5), R1(0.1))),
    "ada": Case((ADA("bgcfnc", p=0.4, kimg=0.05, every=2), R1(0.1))),
    "apa": Case((APA(p=0.4, kimg=0.05, every=2), R1(0.1)), num_classes=3),
    "classifier": Case((AuxiliaryClassifier(),), **CLASSES),
    "classifier of reals": Case((AuxiliaryClassifier(fakes=False),), **CLASSES),
    "twin classifier": Case((TwinAuxiliaryClassifier(),), head=TwinClassifierHead, num_classes=3),
    "discriminative classifier": Case(
        (AuxiliaryDiscriminativeClassifier(),), head=DiscriminativeClassifierHead, num_classes=3
    ),
    "contrastive": Case((ConditionalContrastive(0.5),), head=EMBEDDING, num_classes=3),
    "data to data": Case((DataToDataCrossEntropy(),), head=EMBEDDING, num_classes=3),
    "multi hinge": Case((), head=MultiHingeHead, num_classes=3, loss=MultiHinge()),
    "multi dimensional": Case((R1(0.1),), head=MultiDimensionalHead, num_classes=3),
    "codes": Case((MutualInformation(),), **CODES),
    "codes, trunk too": Case((MutualInformation(trunk=True),), **CODES),
    "relativistic": Case((R1(0.1), R2(0.1)), loss=Relativistic(NonSaturating())),
    "top-k": Case((TopK(gamma=0.5, nu=0.3, epoch_images=16),)),
    "logan": Case((LOGAN(),)),
    "logan of samples": Case((LOGAN(beta=5.0, mask="samples"), R1(0.1), R2(0.1), ZCR()), schedule=SIMULTANEOUS),
    "logan of constants": Case((LOGAN(weight=0.0, differentiable=False), InstanceNoise()), schedule=SIMULTANEOUS),
    "unrolled": Case((Unrolling(steps=2, lr=0.01),), loss=Minimax()),
    "unrolled, G's own loss": Case(
        (Unrolling(2, "sgd", 0.1, descends="loss"), LOGAN(), InstanceNoise(), FeatureMatching(), TopK()),
        schedule=SIMULTANEOUS,
    ),
    "path length": Case((PathLength(every=2),), generator=SmallStyles),
    "path length in its own step, of mixed styles": Case(
        (PathLength(every=2, own_step=True), StyleMixing()), generator=SmallStyles, num_classes=3
    ),
    "style mixing": Case((StyleMixing(), R1(0.1), ZCR()), generator=SmallStyles, num_classes=3),
    "r1 in its own step": Case((R1(0.1, every=2, own_step=True),), schedule=Schedule(2, first="generator")),
    "projection": Case((R1(0.1),), num_classes=3),
    "bilinear": Case((R1(0.1), R2(0.1)), head=BilinearHead, num_classes=3, loss=Relativistic(NonSaturating())),
    "label mapping": Case((R1(0.1),), head=partial(LabelMappingHead, layers=2), num_classes=3),
    "simultaneous": Case((LeCam(), AdaptiveNoise()), schedule=SIMULTANEOUS),
}


@pytest.mark.parametrize("name", COMPONENTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_a_component_keeps_its_contract(check, name):
    check(COMPONENTS[name])


def test_two_ranks_train_as_one():
    check_ranks(list(COMPONENTS.values()))


ALONE = {name for name, case in COMPONENTS.items() if len(case.components) == 1}
SINGLE = sorted(name for name in ALONE if not (COMPONENTS[name].head or COMPONENTS[name].num_classes))


def together(names):
    return Case(tuple(COMPONENTS[name].components[0] for name in names))


def fits(names):
    """Return whether a game has these components; it refuses some, such as two reductions."""
    try:
        together(names).game()
    except UserError:
        return False
    return True


def covering_array(names, size=4):
    """Return cells of up to `size` of the sorted names, such that all pairs that go together are in a cell."""
    pairs = {pair for pair in combinations(names, 2) if fits(pair)}
    left, cells = set(pairs), []
    while left:
        cell = min(left)
        while len(cell) < size:
            new = {name: {tuple(sorted((name, n))) for n in cell} for name in names if name not in cell}
            gains = {name: len(among & left) for name, among in new.items() if among <= pairs}
            name = max(gains, key=gains.__getitem__, default=None)
            if name is None or not gains[name]:
                break
            cell = (*cell, name)
        left -= set(combinations(sorted(cell), 2))
        cells.append(cell)
    return cells


CELLS = covering_array(SINGLE)


@pytest.mark.parametrize("number", range(len(CELLS)), ids=lambda number: " + ".join(CELLS[number]))
def test_several_components_keep_one_of_the_checks(number):
    """Each pair is in a cell, and each cell meets one check in its turn."""
    CHECKS[number % len(CHECKS)](together(CELLS[number]))


@pytest.mark.long
@pytest.mark.parametrize("names", CELLS, ids=" + ".join)
def test_several_components_keep_all_checks(names):
    for check in CHECKS:
        check(together(names))


@pytest.mark.long
def test_four_ranks_train_as_one():
    check_ranks(list(COMPONENTS.values()), world_size=4)


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
        check_ranks([Case((Ungathered(),), head=EMBEDDING, num_classes=3)])


def test_a_component_that_cannot_be_used_says_why():
    with pytest.raises(UserError, match="needs a discriminator whose head provides 'class_logits'"):
        check_component(AuxiliaryClassifier(), ranks=False)
