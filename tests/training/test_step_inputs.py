"""What an update gets: the classes of fakes, fresh reals, several logits, further arguments of D, ramps."""

from functools import partial

import pytest
import torch
from torch import nn

from gan_research.augmentations import Augmentation, Augmented
from gan_research.cli import main
from gan_research.losses import Hinge, NonSaturating, Relativistic
from gan_research.networks import MLPDiscriminator
from gan_research.networks.heads import LinearHead, ProjectionHead
from gan_research.regularizers import R1, R2, Regularizer
from gan_research.testing.checks import Case, check_accumulation, check_capture, check_ranks, check_resume
from gan_research.training.ema import EMA
from gan_research.training.fake_labels import FakeLabels
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import Ramp
from gan_research.utils.rng import Noise
from gan_research.utils.sample_spec import SampleSpec


class Records(Regularizer):
    """Keeps the steps, and asks for D's output for reals in G's updates."""

    players = ("discriminator", "generator")
    needs_real_output = True

    def __init__(self):
        super().__init__()
        self.steps = []

    def penalty(self, step):
        self.steps.append(step)
        return step.fake.out.logits.square()


# The classes of fakes


def test_classes_of_fakes_have_their_distribution():
    """Chi-squared over 6,000 draws: below 13.8 in 99.9 % of cases for 3 classes."""
    noise = Noise(7, 0, 6000, 0, 6000)
    paired = torch.zeros(6000, dtype=torch.int64)
    assert FakeLabels("paired", 3)(paired, noise) is paired
    for source, shares in (("uniform", [1 / 3, 1 / 3, 1 / 3]), ("data", [0.5, 0.3, 0.2])):
        labels = FakeLabels(source, 3, torch.tensor([50, 30, 20]))(paired, noise)
        expected = 6000 * torch.tensor(shares)
        assert labels.dtype == torch.int64
        assert ((labels.bincount(minlength=3) - expected).square() / expected).sum() < 13.8
    assert FakeLabels("uniform", 3)(None, noise) is None


@pytest.mark.parametrize("source", ["paired", "uniform", "data"])
def test_a_step_has_the_classes_of_its_fakes(source, play):
    records = Records()
    schedule = Schedule(2, fake_labels=source)
    play(rounds=4, batch_size=12, num_classes=3, regularizers={"it": records}, schedule=schedule)
    same = [torch.equal(step.real.condition, step.fake.condition) for step in records.steps]
    assert all(same) if source == "paired" else not any(same)


@pytest.mark.parametrize("source", ["uniform", "data"])
def test_classes_of_fakes_are_those_of_one_process(source):
    """Also on ranks and micro-batches, resumed and captured."""
    case = Case((R1(0.1), R2(0.1)), num_classes=3, schedule=Schedule(2, fake_labels=source))
    for check in (check_resume, check_accumulation, check_capture):
        check(case)
    check_ranks([case])


def test_classes_of_fakes_that_cannot_be_are_refused(game, caplog):
    with pytest.raises(UserError, match="fake_labels=uniform needs classes"):
        game(schedule=Schedule(fake_labels="uniform"))
    with pytest.raises(UserError, match="fake_labels=random"):
        Schedule(fake_labels="random")
    game(num_classes=3, loss=Relativistic(NonSaturating()), schedule=Schedule(fake_labels="uniform"))
    assert "compares each fake with a real of another class" in caplog.text


# Reals of G's updates


def test_fresh_reals_of_generator_updates(play):
    """Each minibatch of the order is used once; only those of D are counted."""
    records = Records()
    schedule = Schedule(2, 2, generator_reals="fresh")
    gan = play(rounds=3, batch_size=5, regularizers={"it": records}, schedule=schedule)
    first_pass = torch.cat([step.real.images for step in records.steps]).flatten(1)
    assert len(first_pass.unique(dim=0)) == len(first_pass) == 3 * 4 * 5  # 60 images, each of them once
    assert gan.images_seen == 3 * 2 * 5
    assert all(step.real.out is not None and not step.real.out.logits.requires_grad for step in records.steps[2:4])
    with pytest.raises(UserError, match="generator_reals=fresh"):
        Schedule(updates="simultaneous", generator_reals="fresh")


def test_fresh_reals_are_those_of_one_process():
    case = Case((Records2(),), loss=Relativistic(NonSaturating()), schedule=Schedule(2, 2, generator_reals="fresh"))
    for check in (check_resume, check_accumulation, check_capture):
        check(case)
    check_ranks([case])


class Records2(Regularizer):
    """The distance of D's mean features of reals and fakes, in G's loss."""

    players = ("generator",)
    needs_real_output = True

    def penalty(self, step):
        return step.fake.out.logits * step.real.out.logits


# D's output and input


class Patches(LinearHead):
    """Three logits for each image."""

    def __init__(self, num_features, num_classes=0, bias=True):
        super().__init__(num_features, num_classes, bias)
        self.linear = nn.Linear(num_features, 3)

    def forward(self, features, labels=None):
        return self.linear(features)


class Mean(Patches):
    """Their mean, as one logit."""

    def forward(self, features, labels=None):
        return super().forward(features).mean(1)


def test_losses_and_gradients_of_several_logits_are_means(play):
    """For a loss linear in logits, and the gradient of the mean, three logits play as their mean does."""
    arguments = {"rounds": 3, "loss": Hinge(), "regularizers": {"r1": R1(0.3)}}
    several, one = (play(discriminator=partial(MLPDiscriminator, head=head), **arguments) for head in (Patches, Mean))
    for a, b in zip(several.parameters(), one.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-6
    check_ranks([Case((R1(0.1), R2(0.2)), head=Patches)])


class Levels(Augmentation):
    """Noise whose level D is told."""

    provides = ("level",)

    def forward(self, images, side, context):
        level = context.noise.uniform(context.purpose("level", side), 1)
        return Augmented(images * (1 - level[..., None, None]), context.condition, {"level": level})


class KnowsLevel(MLPDiscriminator):
    accepts = ("level",)

    def features(self, images, level):
        return super().features(images * (1 + level[..., None, None]))


def test_an_augmentation_hands_arguments_to_d(game, play):
    told = play(rounds=2, augmentations={"it": Levels()}, discriminator=KnowsLevel)
    assert told.round == 2
    with pytest.raises(UserError, match="gives the discriminator 'level', and MLPDiscriminator accepts nothing"):
        game(augmentations={"it": Levels()})


class Relabels(Augmentation):
    """Class 0 for all images of the real side."""

    def forward(self, images, side, context):
        return Augmented(images, torch.zeros_like(context.condition)) if side == "real" else images


def test_a_step_has_the_condition_that_d_got(play):
    records, head = Records(), partial(MLPDiscriminator, head=ProjectionHead)
    play(rounds=1, num_classes=3, regularizers={"it": records}, augmentations={"it": Relabels()}, discriminator=head)
    step = records.steps[0]
    assert step.real.condition.sum() == 0
    assert step.fake.condition.sum() > 0


def test_synced_draws_are_those_of_both_sides():
    from gan_research.augmentations import AugmentationInput

    context = AugmentationInput(None, 3, None, None)
    assert context.purpose("x", "real", synced=True) == context.purpose("x", "fake", synced=True) == "x pair"
    assert context.purpose("x", "mixed", synced=True) == context.purpose("x", "real") == "x 3"


class Guesses(LinearHead):
    """A head with a part that G's optimizer updates."""

    provides, trained_by_generator = ("guess",), ("guess",)

    def __init__(self, num_features, num_classes=0, bias=True):
        super().__init__(num_features, num_classes, bias)
        self.guess = nn.Linear(num_features, 1)

    def extras(self, features, labels):
        return {"guess": self.guess(features).squeeze(1)}


class GuessesLatent(Regularizer):
    """The squared error of the first latent's guess, in both players' losses."""

    players = ("discriminator", "generator")
    needs_extras = ("guess",)

    def penalty(self, step):
        return (step.fake.out.extras["guess"] - step.latents[:, 0]).square()


def test_parts_of_the_head_are_trained_by_the_generator(game, play):
    """D's updates leave them; their moments are in G's optimizer."""
    make = partial(MLPDiscriminator, head=Guesses)
    arguments = {"discriminator": make, "regularizers": {"it": GuessesLatent()}}
    gan = game(**arguments)
    assert {id(p) for p in gan.discriminator.head.guess.parameters()} <= {
        id(p) for p in gan.objective.parameters["generator"]
    }
    still = partial(torch.optim.SGD, lr=0.0)
    before = gan.discriminator.head.guess.weight.clone()
    assert torch.equal(play(generator_optimizer=still, **arguments).discriminator.head.guess.weight, before)
    assert not torch.equal(play(discriminator_optimizer=still, **arguments).discriminator.head.guess.weight, before)
    case = Case((GuessesLatent(),), head=Guesses)
    for check in (check_resume, check_accumulation, check_capture):
        check(case)
    check_ranks([case])


def test_a_conditional_generator_beside_an_unconditional_discriminator(game):
    """D's logits don't depend on classes, by the head or by a D built without classes."""
    blind = MLPDiscriminator(SampleSpec(4, 1, 0), width=8, depth=1)
    gan = game(num_classes=3, discriminator=lambda samples: blind)
    labels = torch.tensor([0, 1, 2])
    images = gan.objective.generate(torch.randn(3, 3), labels)
    assert torch.equal(gan.objective.discriminate(images, labels).logits, blind(images).logits)
    with pytest.raises(UserError, match="the networks don't fit"):
        game(num_classes=0, discriminator=lambda samples: MLPDiscriminator(SampleSpec(4, 1, 3)))


def test_a_run_with_an_unconditional_discriminator(tmp_path, monkeypatch, pictures):
    monkeypatch.chdir(tmp_path)
    data = ["data=arrays", f"data.path={pictures.classes}", "conditional=true", "head=linear"]
    assert (
        main(["train", *data, "schedule.fake_labels=data", "rounds=2", "batch_size=4", "metrics=none", "logger=none"])
        == 0
    )


# Ramps


def test_ramps_are_followed_in_a_resumed_run(play, tmp_path):
    """Learning rate, betas, weight and the average's half-life change with the images, without state."""
    from pytorch_lightning import Trainer

    def arguments():
        optimizer = partial(torch.optim.Adam, lr=Ramp(1e-2, 1e-3, 16), betas=[0.0, Ramp(0.9, 0.99, 16)])
        return {
            "optimizer": optimizer,
            "regularizers": {"r1": R1(Ramp(1.0, 0.1, 12))},
            "ema": EMA(half_life_kimg=Ramp(0, 0.02, 16)),
        }

    whole = play(rounds=6, **arguments())
    group = whole.player_optimizers["generator"].optimizer.param_groups[0]
    assert (group["lr"], group["betas"]) == (pytest.approx(1e-3), [0.0, pytest.approx(0.99)])
    half = play(rounds=3, **arguments())
    trainer: Trainer = half.trainer
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed = play(rounds=6, checkpoint=tmp_path / "half.ckpt", **arguments())
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_ramped_weight_is_that_of_the_images_seen(play):
    """SGD with one ramped R1 alone: the first update has its first weight, later ones the last."""
    constant, ramped = (play(rounds=1, regularizers={"r1": R1(weight)}) for weight in (0.5, Ramp(0.5, 9.0, 4)))
    assert all(torch.equal(a, b) for a, b in zip(constant.parameters(), ramped.parameters(), strict=True))
    for check in (check_resume, check_capture, check_accumulation):
        check(Case((R1(Ramp(1.0, 0.1, 30)),)))


def test_the_average_of_a_ramp_from_zero_starts_as_a_copy():
    ema = EMA(half_life_kimg=Ramp(0, 1.0, 100))
    assert ema.decay_at(images=10, images_seen=10) == 0
    assert ema.decay_at(images=10, images_seen=110) == pytest.approx(0.5**0.01)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["optimizer.generator.lr={_target_:gan_research.utils.ramps.Ramp,base:1e-3,final:1e-4,images:16}"], 0),
        (["optimizer.generator.lr={_target_:gan_research.utils.ramps.Ramp,base:1e-3}"], 2),
        (["regularizer.r1.weight={_target_:gan_research.utils.ramps.Ramp,base:1,final:-1,images:16}"], 2),
        (["regularizer.r1.weight={_target_:gan_research.utils.ramps.Ramp,base:1,final:0.5,images:16}"], 0),
        (
            [
                "optimizer.generator.lr={_target_:gan_research.utils.ramps.Ramp,base:1,final:0,images:9}",
                "lr_schedule=linear",
            ],
            2,
        ),
    ],
)
def test_ramps_of_a_config(arguments, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = ["train", "rounds=2", "batch_size=8", "metrics=none", "logger=none"]
    assert main([*base, *arguments]) == status
