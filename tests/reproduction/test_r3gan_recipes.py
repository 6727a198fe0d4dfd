"""The settings of R3GAN's recipes over the images seen, against the paper's table 9 and the authors' train.py."""

import math

import pytest
import torch

from gan_research.config.build import make
from gan_research.config.compose import compose_train
from gan_research.utils.ramps import resolved, value_at
from gan_research.utils.sample_spec import SampleSpec

CIFAR10 = {
    "total": 250e6, "batch": 512, "T": 20e6, "lr": (2e-4, 5e-5), "beta2": (0.9, 0.99), "gamma": (0.05, 0.005),
    "half-life": (0, 5e6), "p": (0, 0.55),
}  # fmt: skip
STACKED_MNIST = CIFAR10 | {
    "total": 10e6, "T": 2e6, "gamma": (1, 0.1), "half-life": (0, 0.5e6), "p": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "paper"),
    [("r3gan_cifar10", CIFAR10), ("r3gan_stacked_mnist", STACKED_MNIST)],
    ids=["CIFAR-10", "stacked"],
)
def test_all_schedules_are_the_papers(recipe, paper):
    config = compose_train([f"experiment={recipe}"]).config
    assert config["batch_size"] == paper["batch"]
    assert 0 <= config["rounds"] * config["batch_size"] - paper["total"] < paper["batch"]
    assert config["schedule"]["generator_reals"], config["schedule"]["fake_labels"] == ("fresh", "paired")
    augment = config["augment"] or {}
    for seen, share in [(0, 0), (paper["T"] / 4, 0.5 - math.sqrt(0.125)), (paper["T"], 1), (3 * paper["T"], 1)]:
        at = lambda name: pytest.approx(paper[name][0] + share * (paper[name][1] - paper[name][0]))  # noqa: B023, E731
        for player in ("generator", "discriminator"):
            settings = make(config["optimizer"][player]).keywords
            assert (resolved(settings["lr"], seen), *resolved(settings["betas"], seen)) == (at("lr"), 0, at("beta2"))
        assert [value_at(make(r).weight, seen) for r in config["regularizer"].values()] == [at("gamma")] * 2
        half_life = 1000 * float(value_at(make(config["ema"]).half_life_kimg, seen))
        assert half_life == at("half-life")
        assert [float(value_at(make(a["p"]), seen)) for a in augment.values()] == ([at("p")] if paper["p"] else [])


def test_the_augmentation_is_the_authors():
    (augmentation,) = (make(part) for part in compose_train(["experiment=r3gan_cifar10"]).config["augment"].values())
    geometry = dict.fromkeys(("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac"), 1.0)
    color = dict.fromkeys(("brightness", "contrast", "lumaflip", "hue", "saturation"), 0.5)
    assert augmentation.multipliers == geometry | color | {"imgfilter": 0.0, "noise": 0.0, "cutout": 1.0}
    assert augmentation.target is None


def test_the_networks_are_the_papers():
    config = compose_train(["experiment=r3gan_cifar10"]).config
    samples = SampleSpec(32, 3, 10)
    with torch.device("meta"):
        made = make(config["generator"], latent_dim=64, samples=samples), make(config["discriminator"], samples=samples)
    assert [sum(p.numel() for p in network.parameters()) for network in made] == [20_781_952, 21_280_512]
