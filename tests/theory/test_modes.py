"""Mode coverage of a game in the plane: its numbers against samplers made by hand, and its frames."""

import json
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.data import Checkerboard, Gaussian, GaussianMixture, Points, Ring
from gan_research.losses import NonSaturating
from gan_research.networks import Generator, MLPDiscriminator, MLPGenerator
from gan_research.sampling.priors import GaussianPrior
from gan_research.theory import Modes
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

BOUNDLESS = (-math.inf, math.inf)
ADAM = partial(torch.optim.Adam, lr=5e-3, betas=(0.0, 0.99))


class Made(Generator):
    """A sampler made by hand: the angle of the latent chooses one of `points` (K, 2), with equal shares."""

    def __init__(self, points, latent_dim=2):
        super().__init__(latent_dim, SampleSpec(None, 2, value_range=BOUNDLESS))
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.points = torch.as_tensor(points).float()

    def chosen(self, latents):
        turn = torch.atan2(latents[:, 1], latents[:, 0]) / (2 * math.pi) + 0.5
        return (turn * len(self.points)).long().clamp(max=len(self.points) - 1)

    def generate(self, latents, labels):
        return self.points[self.chosen(latents)] + self.weight


def make_gan(generator=None, dim=2, rounds=8):
    torch.manual_seed(0)
    generator = generator or MLPGenerator(2, SampleSpec(None, dim, value_range=BOUNDLESS), width=8, depth=1)
    discriminator = MLPDiscriminator(SampleSpec(None, dim), width=8, depth=1)
    players = {"generator_optimizer": ADAM, "discriminator_optimizer": ADAM}
    return GAN(generator, discriminator, NonSaturating(), GaussianPrior(2), rounds=rounds, **players)


def watching(gan, density, folder=".", **arguments):
    """Modes that have been introduced to the game, without a training, and its trainer."""
    modes = Modes(folder, **arguments)
    trainer = SimpleNamespace(datamodule=data_of(density), loggers=[], is_global_zero=True)
    modes.setup(trainer, gan, "fit")
    return modes, trainer


def data_of(density):
    data = Points(density, reference=100, batch_size=8)
    data.prepare_data()
    data.setup("fit")
    return data


def numbers_of(points, density=None, n=400):
    """The numbers of the sampler of these points, and how often it chose each of them in n samples."""
    gan = make_gan(Made(points))
    modes, trainer = watching(gan, density or Ring(), num_samples=n)
    modes.act(trainer, gan)
    latents = gan.sampler().latents(n, seed=0)
    return modes.frames[0].numbers, np.bincount(gan.generator.chosen(latents), minlength=len(points))


def kl_to(shares, weights):
    shares, weights = np.asarray(shares), np.asarray(weights)
    seen = shares > 0
    return float((shares[seen] * np.log(shares[seen] / weights[seen])).sum())


MEANS = Ring().means
OFF = MEANS * (2 + 5 * 0.02) / 2  # five standard deviations outside of each mode


def test_a_sampler_of_all_modes():
    numbers, counts = numbers_of(MEANS)
    assert counts.min() > 20
    assert (numbers["modes"], numbers["high_quality"]) == (8, 1)
    assert numbers["reverse_kl"] == pytest.approx(kl_to(counts / 400, [1 / 8] * 8), abs=1e-6)


def test_a_sampler_that_collapsed_to_three_modes():
    numbers, counts = numbers_of(MEANS[:3])
    assert (numbers["modes"], numbers["high_quality"]) == (3, 1)
    assert numbers["reverse_kl"] == pytest.approx(kl_to(counts / 400, [1 / 8] * 3), abs=1e-6)
    assert numbers["reverse_kl"] > math.log(8 / 3) - 1e-6


def test_a_sampler_of_which_every_other_sample_misses():
    """Four modes are hit; what lies five standard deviations off counts for none."""
    numbers, counts = numbers_of(torch.stack([MEANS[:4], OFF[4:]], 1).flatten(0, 1))
    good = counts[::2]
    assert numbers["modes"] == 4
    assert numbers["high_quality"] == pytest.approx(good.sum() / 400, abs=1e-6)
    assert numbers["reverse_kl"] == pytest.approx(kl_to(good / good.sum(), [1 / 8] * 4), abs=1e-6)


def test_a_sampler_that_misses_all():
    numbers, _ = numbers_of(OFF)
    assert (numbers["modes"], numbers["high_quality"]) == (0, 0)


def test_a_mixture_of_unequal_weights():
    density = GaussianMixture([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]], 0.1, [1.0, 1.0, 2.0])
    numbers, counts = numbers_of(density.means, density)
    assert numbers["modes"] == 3
    assert numbers["reverse_kl"] == pytest.approx(kl_to(counts / 400, [0.25, 0.25, 0.5]), abs=1e-6)
    assert 0.01 < numbers["reverse_kl"] < 0.2


def test_each_number_stands_beside_that_of_a_perfect_sampler():
    numbers, _ = numbers_of(MEANS)
    assert numbers["modes_perfect"] == pytest.approx(8, abs=1e-6)
    assert numbers["high_quality_perfect"] == pytest.approx(1 - math.exp(-4.5), abs=1e-6)
    assert numbers["reverse_kl_perfect"] == pytest.approx(7 / (2 * 400), rel=0.1)
    for name in ("modes", "high_quality", "reverse_kl"):
        assert {name, f"{name}_perfect"} <= numbers.keys()


# --- in a training ---------------------------------------------------------------------------------------------------


def weights(gan):
    return torch.cat([p.detach().flatten() for p in gan.parameters()])


@pytest.fixture(scope="module")
def files():
    return {f"modes.{kind}" for kind in ("json", "png", "svg", "gif")}


def test_frames_are_even_and_watching_changes_nothing(play, files, tmp_path):
    modes = Modes(tmp_path, frames=4, num_samples=100)
    watched = play(gan=make_gan(rounds=12), data=data_of(Ring()), callbacks=[modes])
    unwatched = play(gan=make_gan(rounds=12), data=data_of(Ring()))
    assert torch.equal(weights(watched), weights(unwatched))
    assert {path.name for path in tmp_path.iterdir()} == files
    numbers = json.loads((tmp_path / "modes.json").read_text())
    assert numbers["title"] == "ring, NonSaturating"
    assert numbers["round"] == [0, 4, 8, 12]
    assert numbers["final"] == {name: numbers[name][-1] for name in numbers["final"]}
    film = Image.open(tmp_path / "modes.gif")
    assert film.n_frames == 4
    # The samples of the last frame are those of the generator as it is now, for latents that are always the same.
    last = modes.frames[-1].samples
    assert torch.equal(last, watched.sampler().sample(len(last), seed=0).cpu())
    assert not torch.equal(last, modes.frames[0].samples)


def test_frames_survive_a_checkpoint_of_plain_values(tmp_path):
    gan = make_gan()
    modes, trainer = watching(gan, Ring(), num_samples=50)
    modes.act(trainer, gan)
    torch.save(modes.state_dict(), tmp_path / "state.pt")
    other, _ = watching(gan, Ring(), num_samples=50)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    (frame,), (expected,) = other.frames, modes.frames
    assert (frame.round, frame.numbers) == (expected.round, expected.numbers)
    assert torch.equal(frame.samples, expected.samples)


def test_a_density_that_is_no_mixture_has_pictures_and_no_modes(files, tmp_path):
    gan = make_gan()
    modes, trainer = watching(gan, Checkerboard(), tmp_path)
    for gan.round in (0, 8):
        modes.act(trainer, gan)
    modes.publish()
    assert {path.name for path in tmp_path.iterdir()} == files
    numbers = json.loads((tmp_path / "modes.json").read_text())
    assert not {"modes", "high_quality", "reverse_kl"} & numbers["final"].keys()
    assert numbers["round"] == [0, 8]


def test_samples_that_are_not_finite_are_an_error_that_names_the_round():
    gan = make_gan()
    modes, trainer = watching(gan, Ring())
    gan.round = 5
    for parameter in gan.generator.parameters():
        parameter.data.fill_(math.nan)
    with pytest.raises(UserError, match=r"round 5: .*finite .samples 0 to"):
        modes.act(trainer, gan)
    assert modes.frames == []


def test_a_density_of_another_dimension_is_refused_with_advice():
    with pytest.raises(UserError, match=r"data=ring.*gan theory phases"):
        watching(make_gan(dim=1), Gaussian())


def test_too_few_frames_are_refused():
    with pytest.raises(UserError, match="frames=3: set at least 4"):
        Modes(".", frames=3)
