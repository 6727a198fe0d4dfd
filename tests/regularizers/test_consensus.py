"""Consensus optimization against a Jacobian by hand, and that it moves nobody it shouldn't."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.func import functional_call, grad, jacrev
from torch.nn.functional import softplus

from gan_research.data import Order
from gan_research.losses import NonSaturating
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.regularizers import Consensus
from gan_research.training.schedule import Schedule
from gan_research.utils.rng import Noise, stream_seed

NETWORKS = {
    "generator": partial(MLPGenerator, width=4, depth=1),
    "discriminator": partial(MLPDiscriminator, width=4, depth=1, activation="maxout", maxout_pieces=2),
}


class Paired(NonSaturating):
    """L_G = softplus(D(x) - D(G(z))), which wants real logits."""

    needs_real = True

    def generator(self, fake_logits, real_logits=None):
        return softplus(real_logits - fake_logits)


class Field:
    """v(theta) and its Jacobian, theta all parameters of D and then of G in one float64 vector."""

    def __init__(self, gan):
        self.gan, self.networks = gan, {p: gan.objective.networks[p] for p in ("discriminator", "generator")}
        self.size = sum(p.numel() for p in gan.discriminator.parameters())
        self.theta = torch.cat([p.detach().double().flatten() for n in self.networks.values() for p in n.parameters()])

    def call(self, player, theta, inputs):
        part = theta[: self.size] if player == "discriminator" else theta[self.size :]
        named = dict(self.networks[player].named_parameters())
        values = [v.view(p.shape) for v, p in zip(part.split([p.numel() for p in named.values()]), named.values())]  # noqa: B905
        out = functional_call(self.networks[player], dict(zip(named, values, strict=True)), (inputs,))
        return out.logits if player == "discriminator" else out

    def loss(self, player, theta, real, latents):
        logits = [self.call("discriminator", theta, x) for x in (real, self.call("generator", theta, latents))]
        loss = self.gan.loss
        return (loss.discriminator(*logits) if player == "discriminator" else loss.generator(*logits[::-1])).mean()

    def v(self, theta, real, latents):
        d, g = (grad(partial(self.loss, player))(theta, real, latents) for player in self.networks)
        return torch.cat([d[: self.size], g[self.size :]])

    def force(self, weight, real, latents):
        """v + weight * J^T v: what each player descends, by its rows."""
        v, jacobian = self.v(self.theta, real, latents), jacrev(self.v)(self.theta, real, latents)
        return v + weight * jacobian.T @ v


def by_hand(gan, images, weight, updates, rounds, size, rate):
    """The parameters after rounds of one D and one G update."""
    field, order = Field(gan), Order(60, seed=0).indices(0, rounds * size)
    own = {"discriminator": slice(field.size), "generator": slice(field.size, None)}
    for update in range(rounds):
        real = images[order[update * size : (update + 1) * size]].double()

        def force_on(player, real=real, update=update):
            draws = Noise(stream_seed(gan.seed, player), update, size, 0, size)
            return field.force(weight, real, draws.sample("latents", gan.prior.sample).double())

        force = force_on("discriminator")
        field.theta[own["discriminator"]] -= rate * force[own["discriminator"]]
        if updates == "alternating":
            force = force_on("generator")
        field.theta[own["generator"]] -= rate * force[own["generator"]]
    return field.theta


@pytest.mark.parametrize("loss", [NonSaturating, Paired])
@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_both_players_descend_the_squared_field(loss, updates, game, play, pictures):
    arguments = {"loss": loss(), "schedule": Schedule(updates=updates), **NETWORKS}
    rate = partial(torch.optim.SGD, lr=0.1)
    gan = game(rounds=2, optimizer=rate, regularizers={"consensus": Consensus(weight=2.0)}, **arguments)
    play(gan=gan)
    images = pictures.images[:, None].double() / 127.5 - 1
    with_it, without = (by_hand(game(**arguments), images, w, updates, 2, 4, 0.1) for w in (2.0, 0.0))
    got = torch.cat([p.detach().double().flatten() for n in (gan.discriminator, gan.generator) for p in n.parameters()])
    assert (got - with_it).abs().max().item() < 1e-5
    moved = (got - without).abs().split([Field(gan).size, got.numel() - Field(gan).size])
    assert min(part.max().item() for part in moved) > 1e-3  # it did something to either player


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@pytest.mark.parametrize("every", [1, 2])
def test_no_gradient_leaks_to_the_other_player(updates, every, game, play):
    gan = game(rounds=2, schedule=Schedule(2, 1, updates), regularizers={"consensus": Consensus(every=every)})
    frozen = gan.discriminator.body[0].bias.requires_grad_(False)
    gathered = Counter()
    for player in gan.updates:
        for name, parameter in gan.objective.networks[player].named_parameters():
            if parameter.requires_grad:
                count = lambda p, key=(player, name): gathered.update([key])  # noqa: E731
                parameter.register_post_accumulate_grad_hook(count)
    play(gan=gan)
    assert {(player, times) for (player, _), times in gathered.items()} == {("discriminator", 4), ("generator", 2)}
    assert frozen.grad is None
    assert not frozen.requires_grad
    assert all(p.requires_grad for n in (gan.discriminator, gan.generator) for p in n.parameters() if p is not frozen)


class Judge(Consensus):
    """Holds the penalty against the same one of the plain networks, float32."""

    def __init__(self):
        super().__init__()
        self.errors = []

    def penalty(self, step):
        value = super().penalty(step)
        d = step.networks["discriminator"]
        expected = super().penalty(replace(step, G=step.networks["generator"], D=lambda images, side: d(images)))
        assert value.dtype == torch.float32
        self.errors.append((value / expected - 1).abs().item())
        return value


def test_under_bf16_it_is_float32(play):
    judge = Judge()
    play(rounds=3, precision="bf16", regularizers={"consensus": judge})
    assert len(judge.errors) == 6
    assert max(judge.errors) < 1e-5


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_half_the_squared_norm_is_is_logged_in_both_updates(updates, game, play, pictures):
    still = {"optimizer": partial(torch.optim.SGD, lr=0.0), "schedule": Schedule(updates=updates)}
    gan = play(rounds=1, regularizers={"consensus": Consensus()}, **NETWORKS, **still)
    field, real = Field(game(**NETWORKS)), pictures.images[Order(60, seed=0).indices(0, 4), None].double() / 127.5 - 1
    last = "discriminator" if updates == "simultaneous" else "generator"  # whose latents G's update is made of
    expected = []
    for player in ("discriminator", last):
        latents = Noise(stream_seed(gan.seed, player), 0, 4, 0, 4).sample("latents", gan.prior.sample)
        expected.append(field.v(field.theta, real, latents.double()).square().sum().item() / 2)
    assert gan.regularizers["consensus"].weight == 10
    recorded = gan.loss_log.flush()
    recorded = [recorded[f"loss/consensus/{player}"].item() for player in ("discriminator", "generator")]
    assert recorded == pytest.approx(expected, rel=1e-5)
