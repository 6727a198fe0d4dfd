"""The unrolled GAN: closed forms, gradients by differences, and that D stays as it is."""

import copy
from functools import partial

import pytest
import torch
from test_refinement import gradient_and_differences, smooth

from gan_research.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from gan_research.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator
from gan_research.regularizers import R1, Consensus, Regularizer
from gan_research.testing.checks import losses_of, state_of
from gan_research.training.minibatch import Minibatch
from gan_research.training.unrolling import Unrolling, is_zero_sum
from gan_research.utils.errors import UserError


def test_the_bilinear_game():
    """f = theta phi, phi ascending K steps of eta: d/dtheta f(theta, phi^K) = phi + 2 K eta theta, not phi^K alone."""
    theta, phi = torch.tensor(0.7, requires_grad=True), torch.tensor(0.3)
    unrolled = Unrolling(steps=5, optimizer="sgd", lr=0.1)(lambda d: -theta * d["phi"], {"phi": phi})["phi"]
    assert unrolled.item() == pytest.approx(0.65, rel=1e-6)
    assert torch.autograd.grad(theta * unrolled, theta)[0].item() == pytest.approx(0.3 + 2 * 5 * 0.1 * 0.7, rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_steps_are_those_of_torch(optimizer):
    """The same parameters after 4 steps, of which one never has a gradient, and a derivative that is a number."""
    weights = {"a": torch.tensor([1.0, -2.0]).double(), "dead": torch.tensor([0.5]).double()}
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def loss(d, scale=scale):
        return (scale * d["a"].square() * torch.tensor([1.0, 0.2])).sum() + (0 * d["dead"]).sum()

    unrolling = Unrolling(4, optimizer, lr=0.1, betas=(0.5, 0.9))
    unrolled = unrolling(loss, weights)
    copies = {name: w.clone().requires_grad_() for name, w in weights.items()}
    torch_s = torch.optim.SGD if optimizer == "sgd" else partial(torch.optim.Adam, betas=(0.5, 0.9))
    reference = torch_s(copies.values(), lr=0.1)
    for _ in range(4):
        reference.zero_grad()
        loss(copies, 1.5).backward()
        reference.step()
    for name, value in unrolled.items():
        torch.testing.assert_close(value, copies[name].detach(), rtol=1e-6, atol=1e-9)
    (slope,) = torch.autograd.grad(unrolled["a"].sum() + unrolled["dead"].sum(), scale)
    moved = [unrolling(partial(loss, scale=1.5 + h), weights) for h in (1e-5, -1e-5)]
    ends = [sum(value.sum().item() for value in d.values()) for d in moved]
    assert slope.item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_generators_gradient_is_that_of_the_value_after_the_steps(optimizer, game):
    """By differences, through D's steps on fakes and reals; G's loss at the unrolled D alone has another one."""
    gan = smooth(game, loss=Minimax(), unrolling=Unrolling(3, optimizer, lr=0.05))
    gradients, differences = gradient_and_differences(gan, "generator")
    assert gradients == pytest.approx(differences, rel=1e-4, abs=1e-8)
    of_loss = smooth(game, loss=Minimax(), unrolling=Unrolling(3, optimizer, lr=0.05, descends="loss"))
    without_reals, differences = gradient_and_differences(of_loss, "generator")
    assert without_reals == pytest.approx(differences, rel=1e-4, abs=1e-8)
    assert without_reals != pytest.approx(gradients, rel=1e-3, abs=1e-6)


class Watch(Regularizer):
    """Notes the loss of D that G's update sees."""

    players = ("generator",)

    def penalty(self, step):
        self.seen = step.loss.of_discriminator(step.real, step.fake).mean()
        self.again = step.D(step.fake.images, side="fake", repeat=True).logits - step.fake.out.logits
        return 0 * step.fake.out.logits


def test_in_the_generators_update_d_is_that_after_its_own_steps(game):
    """As torch's SGD steps a copy of D on the same fakes and reals; penalties of G see that D, too."""
    watch = Watch()
    gan = smooth(game, loss=Minimax(), unrolling=Unrolling(4, "sgd", lr=0.1), regularizers={"it": watch})
    ((_, loss),) = losses_of(gan, ("generator",))
    plain, steps = smooth(game, loss=Minimax()), []
    plain.objective.collect = lambda step, due, own_step: steps.append(step)
    list(losses_of(plain, ("generator",)))
    ((step,), discriminator) = steps, copy.deepcopy(gan.discriminator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)

    def value():
        return (
            Minimax().discriminator(*(discriminator(s.images.detach()).logits for s in (step.real, step.fake))).mean()
        )

    for _ in range(4):
        optimizer.zero_grad()
        value().backward()
        optimizer.step()
    assert loss.item() == pytest.approx(-value().item(), rel=1e-9)
    assert watch.seen.item() == pytest.approx(value().item(), rel=1e-9)
    assert watch.again.abs().max().item() < 1e-12


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_d_and_its_buffers_stay_as_they_are(norm, game):
    networks = {
        "generator": partial(DCGANGenerator, width=4),
        "discriminator": partial(DCGANDiscriminator, width=4, norm=norm),
    }
    gan = game(resolution=8, loss=Minimax(), unrolling=Unrolling(2), **networks)
    before = {name: value.clone() for name, value in gan.discriminator.state_dict().items()}
    reals = torch.rand(8, 1, 8, 8)
    noise = gan._noise("generator", 0, 8)
    ((_, loss),) = gan.objective.losses(("generator",), Minibatch(reals, None), noise, gan.updates, gan.progress)
    loss.backward()
    after = gan.discriminator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(p.grad is None for p in gan.discriminator.parameters())
    assert all(p.grad.isfinite().all() for p in gan.generator.parameters())


def test_no_steps_are_the_plain_game_bit_for_bit(play):
    plain, none, some = (
        state_of(play(rounds=3, loss=Minimax(), regularizers={"r1": R1(0.1)}, unrolling=unrolling))
        for unrolling in (None, Unrolling(steps=0), Unrolling(steps=2))
    )
    assert all(torch.equal(value, none[name]) for name, value in plain.items())
    assert not all(torch.equal(value, some[name]) for name, value in plain.items())


def test_d_steps_from_its_own_parameters(play):
    """Before G's first step has an effect, D is that of the plain game."""
    first, second = (play(rounds=1, loss=Minimax(), unrolling=u).discriminator for u in (None, Unrolling(steps=3)))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_unrolled_d_runs_in_full_precision(play):
    dtypes = set()

    class Dtype(MLPDiscriminator):
        def features(self, images):
            dtypes.add((torch.is_autocast_enabled("cpu"), images.requires_grad))
            return super().features(images)

    networks = {"discriminator": partial(Dtype, width=8)}
    gan = play(rounds=1, loss=Minimax(), precision="bf16", unrolling=Unrolling(2), **networks)
    assert dtypes == {(True, False), (False, False), (False, True)}  # D's update; reals and fakes of G's
    assert all(p.isfinite().all() for p in gan.parameters())


def test_losses_whose_generator_descends_the_value():
    assert [is_zero_sum(loss()) for loss in (Minimax, Wasserstein, NonSaturating, Hinge, LeastSquares)] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": NonSaturating()}, r"unrolling.descends=value: the generator's NonSaturating isn't minus"),
        ({"accumulation": 2}, r"Unrolling needs the whole minibatch, which accumulation=2 splits"),
        ({"regularizers": {"it": Consensus()}}, r"Consensus differentiates D's own parameters"),
    ],
)
def test_games_that_cannot_be_unrolled_are_refused(arguments, message, game):
    with pytest.raises(UserError, match=message):
        game(**{"loss": Minimax(), "unrolling": Unrolling(), **arguments})
    game(**{"loss": Minimax(), "unrolling": Unrolling(0), **arguments})


@pytest.mark.parametrize(
    "wrong",
    [{"steps": -1}, {"optimizer": "rmsprop"}, {"lr": 0.0}, {"betas": (0.5, 1.0)}, {"descends": "both"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=rf"unrolling: {next(iter(wrong))}=.*: set"):
        Unrolling(**wrong)
