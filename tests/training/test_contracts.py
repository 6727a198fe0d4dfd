"""The view of components, and the errors of wrong ones."""

import importlib
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gan_research.augmentations import Augmentation
from gan_research.cli import main
from gan_research.losses import NonSaturating
from gan_research.networks.heads import ClassifierHead, LinearHead
from gan_research.regularizers import Regularizer
from gan_research.sampling.priors import GaussianPrior
from gan_research.training.loss_log import LossLog
from gan_research.training.optimization import PlayerOptimizers
from gan_research.training.reduction import Mean, Reduction
from gan_research.training.saved_state import load_game, save_game
from gan_research.utils.errors import UserError

# Wrong components

SOURCE = '''
import torch
from torch import nn

from gan_research.augmentations import Augmentation
from gan_research.losses import AdversarialLoss, NonSaturating
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.networks.heads import LinearHead
from gan_research.regularizers import Regularizer
from gan_research.training.reduction import Reduction


class Plain(nn.Module):
    """No component at all."""

    def __init__(self, **arguments):
        super().__init__()


class ScalarLoss(NonSaturating):
    def discriminator(self, real_logits, fake_logits):
        return super().discriminator(real_logits, fake_logits).mean()


class FlatGenerator(MLPGenerator):
    def generate(self, latents, labels):
        return super().generate(latents, labels).flatten(1)


class TwoLogits(LinearHead):
    def forward(self, features, labels=None):
        return super().forward(features).repeat(2)


class UnusedExtra(LinearHead):
    provides = ("codes",)

    def extras(self, features, labels):
        return {"codes": features}


class ForgetsExtra(LinearHead):
    provides = ("class_logits",)


class NeedsExtra(Regularizer):
    needs_extras = ("codes",)

    def penalty(self, step):
        return step.real.out.extras["codes"].square().mean()


class Halves(Augmentation):
    def forward(self, images, side, context):
        return images[::2]


class NoReduction(Reduction):
    def __call__(self, losses, step):
        return losses
'''

WRONG = {
    "loss": ("Plain", "loss", "give a subclass of gan_research.losses.AdversarialLoss"),
    "generator": ("Plain", "generator", "give a subclass of gan_research.networks.Generator"),
    "discriminator": (
        "Plain",
        "discriminator",
        "give a subclass of gan_research.networks.Discriminator",
    ),
    "head": ("Plain", "head", "give a subclass of gan_research.networks.heads.Head"),
    "prior": ("Plain", "prior", "give a subclass of gan_research.sampling.priors.Prior"),
    "regularizer": (
        "Plain",
        "regularizer",
        "give a subclass of gan_research.regularizers.Regularizer",
    ),
    "augment": ("Plain", "augment", "give a subclass of gan_research.augmentations.Augmentation"),
    "reduction": (
        "Plain",
        "reduction",
        "give a subclass of gan_research.training.reduction.Reduction",
    ),
    "refinement": (
        "Plain",
        "refinement",
        "give a subclass of gan_research.training.refinement.LatentRefinement",
    ),
    "a scalar loss": ("ScalarLoss", "loss", "ScalarLoss.discriminator returned a loss of shape () for logits"),
    "no images": ("FlatGenerator", "generator", "FlatGenerator.generate returned samples of shape (64, 64) for"),
    "logits (2N,)": ("TwoLogits", "head", "TwoLogits returned logits of shape (16,) for features of shape"),
    "an unused extra": ("UnusedExtra", "head", "UnusedExtra provides 'codes', and no regularizer or loss uses it: add"),
    "an extra that isn't there": ("ForgetsExtra", "head", "ForgetsExtra provides 'class_logits', and its extras are"),
    "an extra that no head has": ("NeedsExtra", "regularizer", "wrong (NeedsExtra) needs a discriminator"),
    "half a batch": ("Halves", "augment", "Halves turned images of shape (8, 1, 8, 8) into (4, 1, 8, 8): an augment"),
    "no scalar": ("NoReduction", "reduction", "NoReduction returned losses of shape (8,): a reduction returns a"),
}

MORE = {"an extra that isn't there": ["conditional=true", "regularizer=[auxiliary_classifier]"]}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_component_is_an_error_of_one_line(case, tmp_path, monkeypatch, capsys):
    kind, group, message = WRONG[case]
    several = group in ("regularizer", "augment")
    package = f"# @package {group}.wrong\n" if several else ""
    (tmp_path / group).mkdir()
    (tmp_path / group / "wrong.yaml").write_text(
        f"{package}# of no use\n_target_: wrong.{kind}\n" + ("_partial_: true\n" if group == "head" else "")
    )
    (tmp_path / "wrong.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "wrong", raising=False)
    importlib.invalidate_caches()
    words = [f"{group}=[wrong]" if several else f"{group}=wrong", *MORE.get(case, [])]
    words += ["batch_size=8", "metrics=none", "logger=none", "trainer=cpu", "rounds=2", "log_every=1"]
    assert main(["train", "--config-dir", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert message in error[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": nn.Module()}, "^loss: torch.nn.modules.module.Module is not an AdversarialLoss: subclass"),
        ({"regularizers": {"it": nn.Module()}}, "^regularizer.it: .* is not a Regularizer: subclass"),
        ({"augmentations": {"it": nn.Module()}}, "^augment.it: .* is not an Augmentation: subclass"),
        ({"reduction": torch.mean}, "^reduction: .* is not a Reduction: subclass"),
        ({"refinement": torch.mean}, "^refinement: .* is not a LatentRefinement: subclass"),
    ],
)
def test_a_wrong_component_is_an_error_in_a_notebook(game, arguments, message):
    with pytest.raises(UserError, match=message):
        game(**arguments)


# The view of components


class Records(Regularizer):
    players = ("discriminator", "generator")

    def __init__(self):
        super().__init__()
        self.steps = []

    def penalty(self, step):
        self.steps.append(step)
        step.log("mine", step.latents.square().mean())
        return step.fake.out.logits.square()


class Sides(Augmentation):
    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, images, side, context):
        self.calls.append((side, context.call, context.progress.round.item(), len(context.fakes)))
        return images


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_a_step_shows_both_sides(play, updates):
    from gan_research.training.schedule import Schedule

    records = Records()
    gan = play(rounds=2, num_classes=3, regularizers={"it": records}, schedule=Schedule(updates=updates))
    assert [step.player for step in records.steps] == ["discriminator", "generator"] * 2
    for step in records.steps:
        assert step.real.images.shape == step.fake.images.shape == (4, 1, 4, 4)
        assert step.latents.shape == (4, 3)
        assert step.fake.out.logits.shape == step.fake.condition.shape == (4,)
        assert (step.real.out is None) == (step.player == "generator")  # the loss doesn't take D(real) there
        assert step.own_side is (step.real if step.player == "discriminator" else step.fake)
        assert step.loss is gan.loss
        assert step.packing == 1
    first, last = records.steps[0], records.steps[-1]
    assert first.progress is last.progress
    assert [scalar.item() for scalar in last.progress] == [1.0, 4.0, 0.5]


def test_terms_are_logged_by_the_players_they_are_of(play):
    from gan_research.callbacks import Log

    log = Log()
    play(rounds=2, log_every=1, regularizers={"it": Records()}, callbacks=[log])
    assert {name for name in log.board.row if name.startswith("loss/")} == {
        "loss/discriminator", "loss/generator", "loss/it/discriminator", "loss/it/generator",
    }  # fmt: skip
    assert log.board.row["mine"] > 0


class Elsewhere(Regularizer):
    """Judges images of its own."""

    def penalty(self, step):
        mixed = step.D(step.real.images.lerp(step.fake.images, 0.5), side="mixed").logits
        return mixed.square() + step.D(step.G(step.latents).detach()).logits.square()


def test_an_augmentation_gets_the_side_of_its_images(play):
    sides = Sides()
    play(rounds=2, augmentations={"it": sides}, regularizers={"it": Elsewhere()})
    of_d = [("real", 0), ("fake", 1), ("mixed", 2), ("view", 3)]
    assert sides.calls == [(*call, round, 4) for round in (0, 1) for call in [*of_d, ("fake", 0)]]


class Positive(Reduction):
    def __call__(self, losses, step):
        return 2 * losses.mean()


def test_a_reduction_is_used_by_both_players(play):
    from gan_research.callbacks import Log

    log, twice = Log(), Log()
    play(rounds=1, log_every=1, reduction=Mean(), callbacks=[log])
    play(rounds=1, log_every=1, reduction=Positive(), callbacks=[twice])
    loss = "loss/discriminator"
    assert twice.board.row[loss] == pytest.approx(2 * log.board.row[loss], rel=1e-6)


def test_a_head_of_classes_needs_them():
    with pytest.raises(UserError, match=r"^ClassifierHead needs classes: set conditional=true"):
        ClassifierHead(4, 0)
    assert LinearHead(4).extras(torch.zeros(2, 4), None) == {}


def test_latents_that_do_not_fit_are_refused(game):
    from functools import partial

    from gan_research.networks import MLPGenerator

    with pytest.raises(UserError, match="the generator takes latents of 5, the prior gives 3"):
        game(generator=lambda latent_dim, **shape: partial(MLPGenerator, width=8)(latent_dim=5, **shape))
    assert GaussianPrior(3).latent_dim == 3


# Older spellings


def test_instance_noise_among_the_regularizers_is_understood(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "regularizer=[instance_noise,r1]", "regularizer.instance_noise.std=0.3", "--cfg"]) == 0
    old = capsys.readouterr().out
    assert (
        main(["train", "augment=[instance_noise]", "regularizer=[r1]", "augment.instance_noise.std=0.3", "--cfg"]) == 0
    )
    assert old == capsys.readouterr().out
    assert [record.getMessage() for record in caplog.records] == [
        "regularizer=[instance_noise] is deprecated: use augment=[instance_noise]",
        "regularizer.instance_noise is deprecated: use augment.instance_noise",
    ]


def test_its_state_is_found_where_it_was():
    before = {"regularizers.instance_noise.updates": torch.tensor(5), "generator.weight": torch.zeros(1)}
    game = SimpleNamespace(
        **dict.fromkeys(("generator", "discriminator", "prior"), GaussianPrior(3)),
        ema=None,
        updates={},
        loss_log=LossLog(1),
        player_optimizers=PlayerOptimizers(dict.fromkeys(("discriminator", "generator"), (None, None))),
        recompute_statistics=lambda: None,
        batch_size=4,
        loss=NonSaturating(),
    )
    checkpoint = {"state_dict": before}
    save_game(SimpleNamespace(**vars(game), round=1, images_seen=4, roll_backs=0), checkpoint)
    load_game(game, checkpoint)
    assert checkpoint["state_dict"].keys() == {"augmentations.instance_noise.updates", "generator.weight"}
    assert game.round == 1
