"""Instance noise: what it adds, when, and that it depends on nothing but where the game is."""

import pytest
import torch

from gan_research.augmentations import AugmentationInput, InstanceNoise
from gan_research.regularizers import GradientPenalty, Progress
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise


def draws(position=0, start=0, stop=1000, total=1000):
    return Noise(seed=0, position=position, total=total, start=start, stop=stop)


def noisy(noise, images, drawn, call):
    """What D sees of images in its forward pass of that number."""
    return noise(images, "view", AugmentationInput(drawn, call, images, Progress.zeros()))


def test_it_is_gaussian_of_that_deviation():
    images = torch.linspace(-1, 1, 1000).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    noise = (noisy(InstanceNoise(0.3), images, draws(), 0) - images) / 0.3
    within = 4 / noise.numel() ** 0.5  # 4 standard errors of the mean
    assert noise.shape == (1000, 3, 4, 4)
    assert abs(noise.mean().item()) < within
    assert noise.square().mean().item() == pytest.approx(1, abs=1.5 * within)
    assert noise.pow(4).mean().item() == pytest.approx(3, abs=10 * within)


def test_each_call_and_each_update_has_its_own():
    images = torch.zeros(1000, 1, 4, 4)
    seen = [noisy(InstanceNoise(), images, draws(position), call) for position in (0, 1) for call in (0, 1, 2)]
    correlations = torch.corrcoef(torch.stack(seen).flatten(1))
    assert (correlations - torch.eye(6)).abs().max().item() < 5 / 16000**0.5
    assert torch.equal(seen[4], noisy(InstanceNoise(), images, draws(1), 1))


def test_micro_batches_take_their_rows():
    images = torch.zeros(8, 1, 4, 4)
    whole = noisy(InstanceNoise(), images, draws(total=8, stop=8), 1)
    parts = [noisy(InstanceNoise(), images[:4], draws(total=8, start=s, stop=s + 4), 1) for s in (0, 4)]
    assert torch.equal(whole, torch.cat(parts))


def test_it_falls_linearly_over_updates_of_the_discriminator():
    images, noise, constant = torch.zeros(4, 2), InstanceNoise(0.4, anneal=8), InstanceNoise(0.4)
    at = draws(total=4, stop=4)
    first = noisy(noise, images, at, 0)
    assert first.abs().max().item() > 0.1
    for update in range(10):
        now = noisy(noise, images, at, 0)
        expected = first * max(0, 1 - update / 8)
        assert (now - expected).abs().max().item() < 1e-6
        for player in ("discriminator", "generator"):
            noise.after_step(player)
            constant.after_step(player)
    assert torch.equal(noisy(noise, images, at, 0), images)
    assert torch.equal(noisy(constant, images, at, 0), first)


class Watch(InstanceNoise):
    """Notes which calls it was asked about, and what the discriminator should be shown."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.calls, self.expected, self.added = [], [], []

    def forward(self, images, side, context):
        noisy = super().forward(images, side, context)
        self.calls.append(context.call)
        self.added.append((noisy - images).detach())
        self.expected.append(noisy.detach())
        return noisy


@pytest.mark.parametrize(
    ("updates", "calls"), [("alternating", [0, 1, 2] * 2 + [0] * 2), ("simultaneous", [0, 1, 2, 3] * 2)]
)
def test_every_call_of_the_discriminator_is_noisy_that_of_a_penalty_too(updates, calls, game, play):
    watch = Watch(0.5)
    parts = {"augmentations": {"noise": watch}, "regularizers": {"gradient_penalty": GradientPenalty()}}
    gan = game(rounds=2, accumulation=2, schedule=Schedule(updates=updates), **parts)
    shown = []
    gan.discriminator.register_forward_pre_hook(lambda network, inputs: shown.append(inputs[0].detach()))
    play(gan=gan)
    assert watch.calls == 2 * calls
    assert all(torch.equal(*pair) for pair in zip(shown, watch.expected, strict=True))
    assert min((a - b).abs().min().item() for i, a in enumerate(watch.added) for b in watch.added[:i]) > 0


def test_none_is_no_noise_and_probes_have_none(game, play):
    silent = play(rounds=2, augmentations={"noise": InstanceNoise(0.0)})
    plain = play(rounds=2)
    for name, value in plain.discriminator.state_dict().items():
        assert torch.equal(value, silent.discriminator.state_dict()[name])
    gan = game(augmentations={"noise": InstanceNoise(0.5)})
    images = torch.randn(6, 1, 4, 4)
    assert torch.equal(gan.objective.forward.probe(images, None), gan.discriminator(images).logits.detach())


@pytest.mark.parametrize(
    ("arguments", "message"), [((-0.1,), "std=-0.1: set it to at"), ((0.1, 0), "anneal=0: set it to at least 1 update")]
)
def test_senseless_noise_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        InstanceNoise(*arguments)
