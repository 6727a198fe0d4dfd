"""Heads: their sizes, formulas and extras, for every discriminator, and the classes that they need."""

from functools import partial

import pytest
import torch

from gan_research.cli import main
from gan_research.losses import MultiHinge
from gan_research.networks import (
    BigGANDeepDiscriminator,
    BigGANDiscriminator,
    CNNDiscriminator,
    DCGANDiscriminator,
    MLPDiscriminator,
    R3GANDiscriminator,
    ResNetDiscriminator,
    StyleGAN2Discriminator,
    TFDCGANDiscriminator,
)
from gan_research.networks.heads import (
    BilinearHead,
    ClassifierHead,
    DiscriminativeClassifierHead,
    EmbeddingHead,
    InfoGANHead,
    LinearHead,
    MultiDimensionalHead,
    MultiHingeHead,
    ProjectionHead,
    TwinClassifierHead,
)
from gan_research.networks.stylegan2 import LabelMappingHead
from gan_research.regularizers import AuxiliaryClassifier
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

N, CLASSES = 6, 3
LABELS = torch.arange(N) % CLASSES
SHAPES = {
    ProjectionHead: {},
    BilinearHead: {},
    LabelMappingHead: {},
    ClassifierHead: {"class_logits": (N, 3)},
    TwinClassifierHead: {"class_logits": (N, 3), "twin_logits": (N, 3)},
    DiscriminativeClassifierHead: {"joint_logits": (N, 6)},
    EmbeddingHead: {"embedding": (N, 512), "proxy": (N, 512)},
    MultiDimensionalHead: {},
    MultiHingeHead: {"hinge_logits": (N, 4)},
    InfoGANHead: {"q_logits": (N, 1, 10), "q_mean": (N, 2), "q_log_var": (N, 2)},
}
DISCRIMINATORS = (
    MLPDiscriminator, CNNDiscriminator, DCGANDiscriminator, TFDCGANDiscriminator, ResNetDiscriminator,
    BigGANDiscriminator, BigGANDeepDiscriminator,
    partial(R3GANDiscriminator, group_width=8), partial(StyleGAN2Discriminator, minibatch_std_group=3),
)  # fmt: skip


@pytest.mark.parametrize("head", SHAPES, ids=lambda head: head.__name__)
@pytest.mark.parametrize("network", DISCRIMINATORS, ids=lambda network: getattr(network, "func", network).__name__)
def test_every_head_is_for_every_discriminator(network, head):
    torch.manual_seed(0)
    discriminator = network(SampleSpec(8, 1, CLASSES), width=4, head=head)
    logits, _, extras = discriminator(torch.randn(N, 1, 8, 8), LABELS)
    assert logits.shape == (N,)
    assert {name: tuple(extra.shape) for name, extra in extras.items()} == SHAPES[head]
    assert tuple(extras) == head.provides
    (logits.sum() + sum(extra.square().sum() for extra in extras.values() if extra.requires_grad)).backward()
    untouched = {name for name, p in discriminator.named_parameters() if p.grad is None}
    assert untouched == set()


@pytest.mark.parametrize(
    ("head", "extra"),
    [  # as many as in StudioGAN's BigGAN-32, whose head gets 192 features of 10 classes
        (ProjectionHead, 1_920),
        (partial(DiscriminativeClassifierHead, class_bias=False), 3_840),
        (EmbeddingHead, 103_936),
        (MultiHingeHead, 1_930),
    ],
)
def test_sizes_are_those_of_the_reference(head, extra):
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(head(192, 10)) - count(LinearHead(192)) == extra


def test_heads_are_their_formulas():
    torch.manual_seed(0)
    features = torch.randn(N, 5)
    dimensional, hinge, embedding = (head(5, CLASSES) for head in (MultiDimensionalHead, MultiHingeHead, EmbeddingHead))
    by_hand = (features * dimensional.linear.weight[LABELS]).sum(1) + dimensional.linear.bias[LABELS]
    torch.testing.assert_close(dimensional(features, LABELS), by_hand)
    scores = hinge.extras(features, LABELS)["hinge_logits"]
    torch.testing.assert_close(hinge(features, LABELS), scores[torch.arange(N), LABELS] - scores[:, 3])
    extras = embedding.extras(features, LABELS)
    for vectors in extras.values():
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(N))
    same = LABELS[:, None] == LABELS
    assert (extras["proxy"] @ extras["proxy"].T)[same].min() > 0.999
    assert (extras["proxy"] @ extras["proxy"].T)[~same].abs().max() < 0.3
    twin = TwinClassifierHead(5, CLASSES).extras(features, LABELS)
    assert (twin["class_logits"] - twin["twin_logits"]).abs().min() > 1e-4  # another layer


@pytest.mark.parametrize("head", [head for head in SHAPES if head is not InfoGANHead], ids=lambda head: head.__name__)
def test_a_head_of_classes_needs_them(head):
    with pytest.raises(UserError, match=f"^{head.__name__} needs classes: set conditional=true"):
        head(4, 0)


@pytest.mark.parametrize(
    ("codes", "shapes"),
    [
        ((2, 5, 1, 0), ((N, 2, 5), (N, 1), (N, 1))),
        ((0, 5, 3, 4), ((N, 0, 5), (N, 3), (N, 3))),
        ((1, 2, 0, 0), ((N, 1, 2), (N, 0), (N, 0))),
    ],
)
def test_q_infers_any_number_of_codes(codes, shapes):
    head = InfoGANHead(4, 0, True, *codes)
    extras = head.extras(torch.randn(N, 4), None)
    assert tuple(tuple(extra.shape) for extra in extras.values()) == shapes
    with pytest.raises(UserError, match="make no codes"):
        InfoGANHead(4, categorical=0, continuous=0)


@pytest.mark.parametrize(
    ("head", "arguments", "message"),
    [
        (LinearHead, {"loss": MultiHinge()}, r"'hinge_logits', .* choose head= \(MultiHingeHead\)"),
        (MultiHingeHead, {}, r"'hinge_logits', and no regularizer or loss uses it: .* \(MultiHinge\)"),
        (EmbeddingHead, {}, r"\(ConditionalContrastive, DataToDataCrossEntropy\)"),
        (
            EmbeddingHead,
            {"regularizers": {"it": AuxiliaryClassifier()}},
            r"'class_logits', .* \(ClassifierHead, TwinClassifierHead\)",
        ),
    ],
)
def test_a_head_and_its_term_name_each_other(head, arguments, message, game):
    network = partial(MLPDiscriminator, width=8, depth=1, head=head)
    with pytest.raises(UserError, match=message):
        game(num_classes=CLASSES, discriminator=network, **arguments)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["head=twin_classifier"], "conditional=true"),
        (["head=embedding", "conditional=true", "regularizer=[conditional_contrastive]", "accumulation=2"], "=2"),
        (["prior=coded"], "head=infogan"),
        (
            ["generator=stylegan2", "discriminator=stylegan2", "discriminator.minibatch_std_group=5"],
            "minibatch_std_group",
        ),
        (["head=infogan", "regularizer=[mutual_information]"], "prior=coded"),
        (["prior=coded", "head=infogan", "head.categories=5", "regularizer=[mutual_information]"], "1 x 5"),
    ],
)
def test_a_command_that_lacks_something_makes_nothing(words, key, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words, "metrics=none", "logger=none", "trainer=cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gan: error: ")
    assert key in line
    assert list(tmp_path.glob("runs/*")) == []
