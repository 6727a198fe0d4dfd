"""Samplers that use the discriminator, chosen on the command line and in training."""

import json

import numpy as np
import pytest
import torch

from gan_research import load
from gan_research.sampling.selection import DDLS, Rejection

REJECTION = ("--sampler", "rejection", "sampler.burn_in=100")


@pytest.fixture(scope="module")
def selected(train, the_run, tmp_path_factory):
    """A run whose evaluations in training select samples."""
    output = tmp_path_factory.mktemp("selected")
    result = train(output, "sampler=rejection", "sampler.burn_in=100", "rounds=2", "head=linear")
    assert result.status == 0, result.error
    return the_run(output)


@pytest.fixture(scope="module")
def hinge(train, the_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("hinge")
    result = train(output, "loss=hinge", "metrics=none", "rounds=2")
    assert result.status == 0, result.error
    return the_run(output)


def test_samples_are_selected(finished, gan, tmp_path):
    both = load(finished, discriminator=True)
    assert not both.discriminator.training
    assert not any(p.requires_grad for p in both.discriminator.parameters())
    plain, options = both.sample_uint8(200), ("sample", finished, "-n", 200, "-o", tmp_path / "s.npz")
    for words, method in (
        (("--sampler", "ddls", "sampler.steps=3", "sampler.step_size=0.1"), DDLS(3, 0.1)),
        (REJECTION, Rejection(burn_in=100)),
    ):
        result = gan(*options, *words)
        assert result.status == 0, result.error
        expected = both.selecting(method).sample_uint8(200)
        found = torch.from_numpy(np.load(tmp_path / "s.npz")["images"]).permute(0, 3, 1, 2)
        assert torch.equal(found, expected)
        assert not torch.equal(found, plain)
        assert ("% of the candidates" in result.output) == (method.name == "rejection")


def test_evaluations_select_samples_and_say_so(finished, gan, tmp_path):
    last = finished / "checkpoints" / "last.ckpt"
    options = ("evaluate", last, "--num-samples", 100, "--json", tmp_path / "e.json")
    found = []
    for words in ((), REJECTION, (*REJECTION, "batch_size=7")):
        assert gan(*options, *words).status == 0
        found += json.loads((tmp_path / "e.json").read_text())["evaluations"]
    plain, chosen, in_small_batches = found
    assert chosen["protocol"]["sampling"] == "rejection(percentile=None, burn_in=100, max_tries=1000)"
    assert plain["protocol"]["sampling"] == "prior"
    assert chosen["metrics"]["fid"] != plain["metrics"]["fid"]
    assert in_small_batches["metrics"]["fid"] == pytest.approx(chosen["metrics"]["fid"], rel=1e-4)
    assert 0 < chosen["sampling"]["acceptance"] < 1
    assert "acceptance" not in plain["sampling"]


def test_evaluations_in_training_select_samples(selected, gan, rows, tmp_path):
    protocols = json.loads((selected / "protocols.json").read_text())
    assert {each["protocol"]["sampling"] for each in protocols.values()} == {Rejection(burn_in=100).description}
    measured = [row for row in rows(selected) if "metrics/fid" in row]
    assert all(0 < row["sampling/acceptance"] <= 1 for row in measured)
    options = ("evaluate", selected, "--num-samples", 100, "--json", tmp_path / "e.json")
    assert gan(*options).status == 0
    (again,) = json.loads((tmp_path / "e.json").read_text())["evaluations"]
    assert again["metrics"]["fid"] == pytest.approx(measured[-1]["metrics/fid"], rel=1e-6)
    assert again["sampling"]["acceptance"] == measured[-1]["sampling/acceptance"]
    assert gan(*options, "--sampler", "none").status == 0
    (plain,) = json.loads((tmp_path / "e.json").read_text())["evaluations"]
    assert plain["protocol"]["sampling"] == "prior"


def test_what_cannot_be_selected_is_one_line(finished, hinge, gan, train, one_line, tmp_path):
    out, line = ("-o", tmp_path / "s.png"), "needs logits that are log-odds"
    one_line(gan("sample", hinge, *out, "--sampler", "ddls"), "ddls", line)
    one_line(gan("evaluate", hinge, "--metrics", "digits", "--sampler", "rejection"), "rejection", line)
    one_line(train(tmp_path / "runs", "loss=hinge", "sampler=metropolis"), "metropolis", line)
    one_line(train(tmp_path / "runs", "sampler=ddls", "sampler.step=3"), "sampler.step", "sampler.steps")
    one_line(gan("sample", finished, *out, "--sampler", "dlls"), "sampler=dlls", "ddls")
    one_line(gan("sample", finished, *out, "sampler.steps=3"), "--sampler")
    one_line(gan("sample", finished, *out, "--sampler", "ddls", "steps=3"), "steps=3", "sampler.KEY=VALUE")
    one_line(gan("sample", finished, *out, "--sampler", "ddls", "sampler.steps=0"), "sampler.steps")
    one_line(gan("sample", finished, *out, "--sampler", "ddls", "--interpolate"), "ddls", "interpolation")
    one_line(gan("evaluate", finished, "--sampler", "ddls", "sampler.noise=-1"), "sampler.noise")
    one_line(gan("evaluate", finished, "sampler.steps=3"), "sampler", "--sampler")
    assert gan("export", finished, "-o", tmp_path / "plain").status == 0
    one_line(gan("sample", tmp_path / "plain", *out, "--sampler", "ddls"), "no discriminator", "--discriminator")
    one_line(gan("explore", tmp_path / "plain", "--sampler", "rejection"), "no discriminator", "--discriminator")
    one_line(gan("explore", hinge, "--sampler", "rejection"), "rejection", line)
    one_line(
        gan("evaluate", tmp_path / "plain", "digits", "--metrics", "digits", "--sampler", "ddls"), "no discriminator"
    )
    np.savez(tmp_path / "images.npz", images=np.zeros((20, 8, 8), np.uint8))
    one_line(gan("evaluate", tmp_path / "images.npz", "--sampler", "ddls"), "--sampler", "set of samples")
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "images.npz"}


def test_exports_and_older_checkpoints_tell_the_loss(selected, hinge, gan, one_line, tmp_path):
    method = Rejection(burn_in=50)
    expected = load(selected, discriminator=True).selecting(method).sample(5)
    assert gan("export", selected, "-o", tmp_path / "both", "--discriminator").status == 0
    assert torch.equal(load(tmp_path / "both", discriminator=True).selecting(method).sample(5), expected)
    for run, known in ((selected, True), (hinge, False)):
        saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        assert saved["gan_research"].pop("log_odds") is known  # as in earlier versions
        torch.save(saved, tmp_path / "old.ckpt")
        assert load(tmp_path / "old.ckpt", discriminator=True).discriminator.logits_are_log_odds is known
        del saved["config"]
        torch.save(saved, tmp_path / "old.ckpt")
        old = load(tmp_path / "old.ckpt", discriminator=True)
        assert old.discriminator.logits_are_log_odds is None
    one_line(gan("sample", tmp_path / "old.ckpt", "-o", tmp_path / "s.png", "--sampler", "ddls"), "isn't known")
