"""Every recipe measures what it claims, and its smoke budget runs."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from quick import long_but

from gan_research.checkpoints.allowlist import require_allowed
from gan_research.checkpoints.io import saved_round
from gan_research.cli.reproduce import changes, claims
from gan_research.config.build import build_evaluation, make
from gan_research.config.compose import compose_train
from gan_research.reproduction import Published
from gan_research.runs import fit
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import read_history

CLAIMS = claims()
DATA = Path(__file__).parents[2] / "data"
FOLDERS = {"MNIST": "MNIST", "StackedMNIST": "MNIST", "CIFAR10": "cifar10"}
EXPECTED = {
    "goodfellow2014_mnist", "goodfellow2014_mnist_alternating", "goodfellow2014_mnist_minimax",
    "goodfellow2014_mnist_minimax_alternating", "pacgan_ring", "pacgan_ring_pacgan2", "pacgan_ring_pacgan3",
    "pacgan_ring_pacgan4", "pacgan_grid", "pacgan_grid_pacgan2", "pacgan_grid_pacgan3", "pacgan_grid_pacgan4",
    "unrolled_ring", "veegan_ring", "veegan_grid", "stacked_mnist_dcgan", "stacked_mnist_pacdcgan2",
    "stacked_mnist_r3gan_rpgan_r1_r2", "stacked_mnist_r3gan_gan_r1_r2", "stacked_mnist_r3gan_rpgan_r1",
    "stacked_mnist_r3gan_gan_r1", "dcgan", "wgan", "wgan_gp", "sngan", "sngan_resnet", "sngan_resnet_mimicry",
    "wgan_gp_resnet", "wgan_gp_resnet_mimicry", "sngan_studiogan", "pd_gan", "acgan_mod", "sagan", "biggan",
    "biggan_cr", "biggan_icr", "biggan_diffaug", "biggan_lecam", "mhgan", "adcgan", "contragan", "reacgan",
    "diracgan", "diracgan_non_saturating", "diracgan_wgan", "diracgan_wgan_gp", "diracgan_instance_noise",
    "diracgan_r1", "diracgan_consensus", "r3gan_cifar10", "r3gan_stacked_mnist", "stylegan2", "stylegan2_ada",
    "stylegan2_diffaug", "stylegan2_lecam", "stylegan2_ada_nvidia",
}  # fmt: skip
QUICK = {
    "goodfellow2014_mnist", "pacgan_grid_pacgan2", "unrolled_ring", "veegan_grid", "stacked_mnist_pacdcgan2", "sngan",
    "wgan_gp_resnet_mimicry", "biggan_diffaug", "reacgan", "diracgan_consensus", "r3gan_cifar10", "stylegan2_ada",
}  # fmt: skip
"""Those whose smoke budget `make test` plays: one of each kind of data, networks and method."""


@cache
def paper(recipe):
    """A recipe, composed to its whole budget."""
    return compose_train([f"experiment={recipe}"])


def test_which_recipes_there_are():
    assert set(CLAIMS) == EXPECTED


def measured_by(config):
    """The columns that a recipe measures, and its extractor's name, if its weights are here."""
    try:
        evaluation = build_evaluation(config, optional=False)
        return set(evaluation.columns), evaluation.extractor.name
    except UserError:
        return set(config["metrics"]["metrics"]), None


@pytest.mark.parametrize("recipe", sorted(EXPECTED))
def test_its_claim_is_about_what_it_measures(recipe):
    composition = paper(recipe)
    require_allowed(composition.config)
    published: Published = make(composition.published)
    published.check()
    assert vars(published) == vars(Published.of(CLAIMS[recipe][0]))
    assert composition.config["rounds"] == CLAIMS[recipe][1]
    config = composition.config
    measured, extractor = measured_by(config)
    assert set(published.columns) - set(published.tracked) <= measured
    for others in published.better_than.values():
        assert set(others) < set(CLAIMS) - {recipe}
    asked = published.evaluation
    assert asked["num_fake"] == config["metrics"]["num_samples"]
    assert asked["ema"] == (config["ema"] is not None)
    assert extractor is None or asked.get("extractor", extractor) == extractor


QUEUE = Path(__file__).parents[2] / "scripts/reproduce_cpu.sh"
QUEUED = re.findall(r"^ +\w+\) \"\$2\" \d+ (.+) ;;$", QUEUE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("recipe", " ".join(QUEUED).split())
def test_a_killed_queue_loses_at_most_five_minutes(recipe):
    cost = json.loads((QUEUE.parents[1] / "docs/results/costs" / f"{recipe}.json").read_text())
    assert cost["seconds_per_round"] * paper(recipe).config["checkpoint_every"] <= 300


@pytest.mark.long
@pytest.mark.parametrize("recipe", sorted(EXPECTED))
def test_a_pilot_is_the_same_game_but_shorter(recipe):
    whole = paper(recipe).config
    pilot = compose_train([f"experiment={recipe}", "budget=pilot"]).config
    assert pilot["rounds"] < whole["rounds"]
    changed = {line.partition(":")[0] for line in changes(whole, pilot)}
    assert {key for key in changed if not key.startswith("lr_schedule.")} == {"rounds"}


@pytest.mark.parametrize("recipe", long_but(sorted(EXPECTED), QUICK))
def test_its_smoke_budget(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_DATA", str(DATA))
    words = [f"experiment={recipe}", "budget=smoke", f"output={tmp_path}", "logger=none", "trainer=cpu"]
    composition = compose_train(words)
    kind = composition.config["data"]["_target_"].rpartition(".")[2]
    if kind in FOLDERS and not (DATA / FOLDERS[kind]).is_dir():
        pytest.skip(f"no {FOLDERS[kind]}")
    status, run = fit.start(composition, words, None)
    assert status == 0
    assert saved_round(run.folder) == composition.config["rounds"] < CLAIMS[recipe][1]
    if composition.config["metrics"] and measured_by(composition.config)[1]:  # the extractor's weights are here
        measured = [row for row in read_history(run.folder / "history.jsonl") if "protocol" in row]
        assert {f"metrics/{column}" for column in Published.of(CLAIMS[recipe][0]).columns} <= set(measured[-1])
