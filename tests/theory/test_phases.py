"""The phases of a game on the line: their numbers against quadrature, their frames; and watching changes nothing."""

import json
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from gan_research.data import Arrays, Gaussian, Mixture1D, Points, Ring
from gan_research.losses import (
    KL,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
)
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.sampling.priors import GaussianPrior
from gan_research.theory import Phases
from gan_research.theory.phases import Frame, game_numbers, optimal_logit
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

BOUNDLESS = (-math.inf, math.inf)
ADAM = partial(torch.optim.Adam, lr=5e-3, betas=(0.0, 0.99))


def set_affine(linear, slope, offset):
    with torch.no_grad():
        linear.weight.fill_(slope)
        linear.bias.fill_(offset)


def make_gan(loss=None, rounds=8, mapping=None, logit=None, dim=1, latent_dim=1, packing=1, dropout=0.0, **arguments):
    """A game on points; G(z) = a z + b for mapping = (a, b) and the logit of D at x is w x + c for logit = (w, c)."""
    torch.manual_seed(0)
    small = {"width": 8, "depth": 1}
    generator = MLPGenerator(
        latent_dim,
        SampleSpec(None, dim, value_range=BOUNDLESS),
        **{"depth": 0} if mapping else {"activation": "silu", **small},
    )
    discriminator = MLPDiscriminator(
        SampleSpec(None, dim), packing=packing, **{"depth": 0} if logit else {"dropout": dropout, **small}
    )
    if mapping:
        set_affine(generator.body[0], *mapping)
    if logit:
        set_affine(discriminator.head.linear, *logit)
    players = {"generator_optimizer": ADAM, "discriminator_optimizer": ADAM}
    prior = GaussianPrior(latent_dim)
    return GAN(generator, discriminator, loss or Minimax(), prior, rounds=rounds, **players | arguments)


def watching(gan, density, folder=".", **arguments):
    """Phases that have been introduced to the game, without a training."""
    phases = Phases(folder, **arguments)
    phases.setup(SimpleNamespace(datamodule=Points(density, reference=2)), gan, "fit")
    return phases


def normal(x, mean, std):
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


X = np.linspace(-12, 14, 400_001)


def integral(values):
    return float(np.trapezoid(values, X))


def softplus(x):
    return np.logaddexp(0, x)


# --- the numbers of a known game -------------------------------------------------------------------------------------

GAMES = {
    "one mode": (Gaussian(1.0, 0.5), normal(X, 1.0, 0.5), (0.8, -0.5), (1.3, -0.4)),
    "two modes": (
        Mixture1D((-1.0, 1.0), 0.5),
        (normal(X, -1, 0.5) + normal(X, 1, 0.5)) / 2,
        (-1.1, 0.3),
        (-0.7, 0.2),
    ),
    "far apart": (Gaussian(1.0, 0.5), normal(X, 1.0, 0.5), (0.4, -1.2), (5.0, -1.0)),
}


@pytest.mark.parametrize("name", GAMES)
def test_the_numbers_are_those_of_quadrature(name):
    density, p, (a, b), (w, c) = GAMES[name]
    gan = make_gan(mapping=(a, b), logit=(w, c))
    numbers = watching(gan, density).measure(gan).numbers
    q, logit = normal(X, b, abs(a)), w * X + c
    d = 1 / (1 + np.exp(-logit))
    tiny = 1e-300
    m = (p + q) / 2 + tiny
    jsd = integral(p * np.log((p + tiny) / m) + q * np.log((q + tiny) / m)) / 2
    value = -integral(p * softplus(-logit) + q * softplus(logit))
    expected = {
        "value": value,
        "jsd": jsd,
        "value_optimal": 2 * jsd - math.log(4),
        "regret": 2 * jsd - math.log(4) - value,
        "real": integral(p * d),
        "fake": integral(q * d),
        "deviation": integral((p + q) / 2 * np.abs(d - 0.5)),
        "atoms": 0.0,
    }
    assert numbers == pytest.approx(expected, rel=0, abs=3e-4)
    assert numbers.keys() == expected.keys()


def test_a_generator_that_ignores_its_latent_is_one_atom():
    gan = make_gan(mapping=(0.0, 1.0), logit=(0.0, 0.0))
    assert watching(gan, Gaussian(1.0, 0.5)).measure(gan).numbers["atoms"] == pytest.approx(1, abs=1e-6)


def test_at_the_exact_optimum_there_is_no_regret():
    """Of N(1, s^2) and N(0, s^2) the best logit is linear: (x - 1/2) / s^2."""
    gan = make_gan(mapping=(0.5, 0.0), logit=(4.0, -2.0))
    phases = watching(gan, Gaussian(1.0, 0.5))
    frame = phases.measure(gan)
    assert 0 <= frame.numbers["regret"] < 1e-4
    inside = torch.minimum(phases.real, frame.fake) > 1e-6
    best = optimal_logit(gan.loss, phases.real, frame.fake)
    torch.testing.assert_close(best[inside], frame.logits[inside], rtol=0, atol=0.1)


def test_at_equilibrium_the_value_is_minus_log_4_and_d_is_a_half():
    gan = make_gan(mapping=(-0.5, 1.0), logit=(0.0, 0.0))
    numbers = watching(gan, Gaussian(1.0, 0.5)).measure(gan).numbers
    expected = {"value": -math.log(4), "value_optimal": -math.log(4), "real": 0.5, "fake": 0.5}
    zero = dict.fromkeys(("jsd", "regret", "deviation", "atoms"), 0)
    assert numbers == pytest.approx(expected | zero, rel=0, abs=1e-6)


def test_the_masses_hold_all_and_the_mapping_is_that_of_g():
    gan = make_gan(mapping=(0.8, -0.5), logit=(1.0, 0.0))
    phases = watching(gan, Gaussian(1.0, 0.5), bins=50)
    frame = phases.measure(gan)
    assert frame.round == 0
    assert len(frame.fake) == len(frame.logits) == len(phases.points) == len(phases.real) == 52
    assert frame.fake.sum().item() == pytest.approx(1, abs=1e-12)
    assert phases.real.sum().item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(frame.logits, phases.points, rtol=0, atol=1e-6)
    torch.testing.assert_close(frame.mapped, 0.8 * phases.latents - 0.5, rtol=0, atol=1e-6)
    torch.testing.assert_close(phases.latents, -phases.latents.flip(0), rtol=0, atol=1e-9)


LOSSES = [Minimax(), NonSaturating(), Hinge(), LeastSquares(), Relativistic(NonSaturating())]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_no_discriminator_is_better_than_the_best(loss):
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        p, q = (torch.rand(30, generator=random, dtype=torch.float64) for _ in range(2))
        p, q = p / p.sum(), q / q.sum()
        logits = 3 * torch.randn(30, generator=random, dtype=torch.float64)
        numbers = game_numbers(loss, logits, p, q)
        assert numbers["regret"] >= -1e-12
        assert numbers["regret"] == numbers["value_optimal"] - numbers["value"]
        assert numbers["value_optimal"] == pytest.approx(loss.theory().value(p, q).item(), abs=1e-12)
        best = game_numbers(loss, loss.theory().optimal_logit(p, q), p, q)
        assert best["regret"] == pytest.approx(0, abs=1e-12)
        assert best["jsd"] == numbers["jsd"] > 0


def test_without_log_odds_logits_are_averaged_as_they_are():
    p, q = torch.tensor([[0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
    numbers = game_numbers(Hinge(), torch.tensor([3.0, -0.5]).double(), p, q)
    value = -(0.7 * 0 + 0.3 * 1.5 + 0.2 * 4 + 0.8 * 0.5)
    jsd = sum(a * math.log(a / m) for a, m in ((0.7, 0.45), (0.3, 0.55), (0.2, 0.45), (0.8, 0.55))) / 2
    expected = {"value": value, "value_optimal": 2 * 0.5 - 2, "real": 1.95, "fake": 0.2, "regret": -1 - value}
    assert numbers.pop("jsd") == pytest.approx(jsd, abs=1e-12)
    assert numbers == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("loss", [RelativisticAverage(NonSaturating()), Wasserstein(), Relativistic(Hinge())])
def test_a_loss_without_a_closed_form_has_no_best_value(loss):
    p, q = torch.tensor([[0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
    logits = torch.tensor([3.0, -0.5]).double()
    numbers = game_numbers(loss, logits, p, q)
    assert numbers.keys() == {"value", "jsd", "real", "fake"}
    assert numbers["value"] == pytest.approx(-loss.expected("discriminator", logits, p, q).item())
    assert optimal_logit(loss, p, q) is None


def test_a_best_logit_is_drawn_only_where_it_is_unique():
    p, q = torch.tensor([[0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
    assert optimal_logit(Hinge(), p, q) is None
    torch.testing.assert_close(optimal_logit(Minimax(), p, q), (p / q).log())


# --- in a training ---------------------------------------------------------------------------------------------------


class Save(pl.Callback):
    """Saves a checkpoint after one round."""

    def __init__(self, path, after):
        self.path, self.after = path, after

    def on_train_batch_end(self, trainer, gan, *args):
        if gan.round == self.after:
            trainer.save_checkpoint(self.path)


@pytest.fixture(scope="module")
def data():
    return lambda: Points(Gaussian(1.0, 0.5), reference=2, batch_size=8)


def rounds_of(phases):
    return [frame.round for frame in phases.frames]


def weights(gan):
    return torch.cat([p.detach().flatten() for p in gan.parameters()])


def test_frames_are_denser_at_the_beginning_survive_a_resume_and_watching_changes_nothing(data, play, tmp_path):
    def phases(name):
        return Phases(tmp_path / name, frames=6, bins=40)

    def played(*callbacks, checkpoint=None):
        gan = make_gan(rounds=20, dropout=0.3)
        return play(gan=gan, data=data(), callbacks=callbacks, checkpoint=checkpoint)

    whole = phases("whole")
    watched = played(whole, Save(tmp_path / "at7.ckpt", 7))
    assert rounds_of(whole) == [0, 1, 3, 7, 13, 20]
    assert torch.equal(weights(watched), weights(played()))

    state = torch.load(tmp_path / "at7.ckpt", weights_only=True)["callbacks"]
    assert [frame["round"] for frame in next(iter(state.values()))["frames"]] == [0, 1, 3, 7]
    resumed = phases("resumed")
    resumed.publish = lambda loggers: None
    again = played(resumed, checkpoint=tmp_path / "at7.ckpt")
    assert torch.equal(weights(watched), weights(again))
    assert resumed.numbers() == whole.numbers()
    for frame, expected in zip(resumed.frames, whole.frames, strict=True):
        assert all(torch.equal(getattr(frame, name), getattr(expected, name)) for name in ("fake", "logits", "mapped"))

    folder = tmp_path / "whole"
    assert {path.name for path in folder.iterdir()} == {f"phases.{kind}" for kind in ("json", "png", "svg", "gif")}
    with Image.open(folder / "phases.gif") as film:
        assert film.n_frames == 6
    numbers = json.loads((folder / "phases.json").read_text())
    assert numbers == whole.numbers()
    assert numbers["title"] == "gaussian, Minimax"
    assert numbers["round"] == rounds_of(whole)
    assert numbers["final"] == {name: numbers[name][-1] for name in numbers["final"]}
    for i, value in enumerate(numbers["value_optimal"]):
        assert value == pytest.approx(2 * numbers["jsd"][i] - math.log(4), abs=1e-12)
        assert numbers["regret"][i] >= 0


def test_the_frames_travel_through_a_checkpoint_that_holds_plain_values_only(tmp_path):
    gan = make_gan()
    phases = watching(gan, Gaussian(1.0, 0.5), bins=20)
    phases.frames = [phases.measure(gan)]
    torch.save(phases.state_dict(), tmp_path / "state.pt")
    other = watching(gan, Gaussian(1.0, 0.5), bins=20)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    (frame,), (expected,) = other.frames, phases.frames
    assert (frame.round, frame.numbers) == (expected.round, expected.numbers)
    for name in ("fake", "logits", "mapped"):
        assert torch.equal(getattr(frame, name), getattr(expected, name))


@pytest.mark.parametrize(("rounds", "frames"), [(2000, 80), (1, 4), (3, 80)])
def test_the_first_frame_is_of_round_0_and_the_last_of_the_last_round(rounds, frames):
    gan = make_gan(rounds=rounds)
    phases = watching(gan, Gaussian(1.0, 0.5), frames=frames, bins=10)
    looked = []
    for gan.round in range(rounds + 1):
        if phases.due(gan):
            looked.append(gan.round)
    assert looked[0] == 0
    assert looked[-1] == rounds
    assert len(looked) <= frames
    gaps = np.diff(looked)
    assert (np.diff(gaps) >= -1).all()  # but for rounding, each gap is as large as the one before
    if rounds == 2000:
        assert len(looked) > 60
        assert gaps[0] == 1
        assert gaps[-1] > 40


def frame_of(round, jsd):
    return Frame(round, {"jsd": jsd}, torch.ones(3), torch.ones(3), torch.ones(3))


@pytest.mark.parametrize(
    ("jsds", "picked"),
    [
        ([0.6, 0.5, 0.31, 0.3, 0.1, 0.06, 0.04, 0.05], [0, 2, 4, 7]),  # below 0.6, 0.325, 0.105; the last
        ([0.6, 0.01, 0.4, 0.02], [0, 1, 2, 3]),
        ([0.6, 0.6, 0.6, 0.6, 0.6, 0.1], [0, 3, 4, 5]),  # never the same one twice
        ([0.1, 0.2, 0.3, 0.6], [0, 1, 2, 3]),
        ([0.6, 0.4], [0, 1]),
        ([0.6], [0]),
    ],
)
def test_phases_are_different_frames_by_shares_of_the_fall_of_the_jsd(jsds, picked):
    phases = Phases(".")
    phases.frames = [frame_of(i, jsd) for i, jsd in enumerate(jsds)]
    assert [frame.round for frame in phases.phases()] == picked


class Spoil(pl.Callback):
    """Makes one player's weights NaN after a round: what a divergence leaves where it isn't looked for each round."""

    def __init__(self, player, after):
        self.player, self.after = player, after

    def on_train_batch_end(self, trainer, gan, *args):
        if gan.round == self.after:
            for parameter in gan.objective.networks[self.player].parameters():
                parameter.data.fill_(math.nan)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_what_is_not_finite_is_an_error_that_names_the_round_and_not_an_empty_plot(player, data, play, tmp_path):
    phases = Phases(tmp_path / "theory", frames=6, bins=20)
    with pytest.raises(UserError, match=r"round 3: .*finite"):
        play(gan=make_gan(rounds=20), data=data(), callbacks=[Spoil(player, 3), phases])
    assert rounds_of(phases) == [0, 1]
    assert not (tmp_path / "theory").exists()


@pytest.mark.parametrize(
    ("density", "game", "advice"),
    [
        (Ring(), {"dim": 2}, "data=gaussian_1d.*gan theory modes"),
        (Gaussian(), {"latent_dim": 2}, "prior.latent_dim=1"),
        (Gaussian(), {"packing": 2}, "packing=1"),
    ],
)
def test_a_game_that_has_no_such_phases_is_refused_with_advice(density, game, advice):
    with pytest.raises(UserError, match=advice) as refusal:
        watching(make_gan(**game), density)
    assert "\n" not in str(refusal.value)


def test_phases_of_pictures_are_refused(game, pictures):
    trainer = SimpleNamespace(datamodule=Arrays(pictures.plain, batch_size=4))
    with pytest.raises(UserError, match="data=gaussian_1d"):
        Phases(".").setup(trainer, game(), "fit")


@pytest.mark.parametrize(("arguments", "advice"), [({"frames": 3}, "at least 4"), ({"bins": 9}, "at least 10")])
def test_too_few_frames_or_bins_are_refused(arguments, advice):
    (name,) = arguments
    with pytest.raises(UserError, match=f"{name}={arguments[name]}.*{advice}"):
        Phases(".", **arguments)


@pytest.mark.parametrize("loss", [KL(), Hinge(), RelativisticAverage(NonSaturating())])
def test_what_is_infinite_or_has_no_closed_form_is_a_gap_in_the_picture(loss, tmp_path):
    """KL(p_data || p_g) is infinite as long as p_g has no mass in some bin."""
    gan = make_gan(loss, mapping=(0.3, 0.0), logit=(1.0, 0.0))
    phases = watching(gan, Gaussian(1.0, 0.5), tmp_path, bins=40, film=False)
    for gan.round in (0, 8):
        phases.frames.append(phases.measure(gan))
    phases.publish()
    assert {path.name for path in tmp_path.iterdir()} == {"phases.json", "phases.png", "phases.svg"}
    numbers = json.loads((tmp_path / "phases.json").read_text())
    assert numbers["round"] == [0, 8]
    for name in ("value", "jsd", "real", "fake"):
        assert all(math.isfinite(value) for value in numbers[name])
    if isinstance(loss, KL):
        assert numbers["value_optimal"] == numbers["regret"] == [None, None]
        assert numbers["final"]["regret"] is None
    else:
        assert ("regret" in numbers) == isinstance(loss, Hinge)
