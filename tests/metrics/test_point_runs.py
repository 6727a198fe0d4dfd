"""Points from end to end: an evaluation of them, its protocol, and a small run evaluated and sampled by command."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from gan_research.cli import main
from gan_research.cli.evaluation.measurement import Measurement
from gan_research.data import Grid, Points, Ring
from gan_research.metrics import Evaluation, MixtureModes, Values
from gan_research.metrics.protocol import fingerprint
from gan_research.networks import MLPGenerator
from gan_research.sampling.load import load
from gan_research.sampling.priors import GaussianPrior
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import read_history
from gan_research.utils.sample_spec import SampleSpec

CONF = Path(__file__).parents[2] / "conf" / "metrics"
TINY = ("generator.width=8", "discriminator.width=8", "rounds=2", "evaluate_every=2", "metrics.num_samples=200")


@pytest.fixture
def sampler():
    torch.manual_seed(0)
    return Sampler(
        MLPGenerator(3, SampleSpec(None, 2, value_range=(-math.inf, math.inf)), width=8),
        GaussianPrior(3),
        0,
        (-math.inf, math.inf),
    )


def command(*arguments):
    """`gan` with these arguments: its status, and what it wrote to stderr."""
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        return main([str(a) for a in arguments]), error.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of 2 rounds on a ring. Don't change it."""
    output = tmp_path_factory.mktemp("runs")
    assert command("train", "data=ring", "metrics=modes", "logger=none", f"output={output}", *TINY) == (0, "")
    (folder,) = output.iterdir()
    return folder


def prepared(extractor, density, metrics, n=300, **arguments):
    data = Points(density, reference=2000)
    evaluation = Evaluation(extractor, metrics, num_samples=n, **arguments)
    evaluation.prepare(data.train, heldout=data.heldout)
    return evaluation


@pytest.mark.parametrize(
    ("extractor", "metrics"),
    [
        (MixtureModes(Ring()), ["reverse_kl", "modes", "high_quality", "rarest_class", "inception_score", "fid"]),
        (Values(), ["sliced_wasserstein", "fid", "parzen"]),
    ],
)
def test_numbers_do_not_depend_on_the_batch_size(extractor, metrics, sampler):
    whole = prepared(extractor, Ring(), metrics, batch_size=2000)(sampler.source(1))
    parts = prepared(extractor, Ring(), metrics, batch_size=77)(sampler.source(1))
    assert parts == pytest.approx(whole, rel=1e-5, abs=1e-7)
    assert all(type(value) is float for value in whole.values())


def test_a_perfect_generator_of_points_scores_well():
    density = Ring()
    points = density.sample(300, torch.Generator().manual_seed(3))
    evaluation = prepared(Values(), density, ["sliced_wasserstein", "fid"])
    good, bad = evaluation(lambda a, b: points[a:b]), evaluation(lambda a, b: points[a:b] * 0.5)
    assert good["sliced_wasserstein"] < 3 * good["sliced_wasserstein_perfect"] < bad["sliced_wasserstein"]
    assert good["fd_values"] < 0.1 < bad["fd_values"]


def test_fingerprints_differ_with_the_density():
    protocols = [
        prepared(extractor, density, metrics).protocol()
        for density in (Ring(), Ring(std=0.03), Grid())
        for extractor, metrics in ((MixtureModes(density), ["modes"]), (Values(), ["sliced_wasserstein"]))
    ]
    assert len({fingerprint(protocol.as_dict()) for protocol in protocols}) == len(protocols)
    assert {protocol.quantisation for protocol in protocols} == {"none"}
    again = prepared(MixtureModes(Ring()), Ring(), ["modes"]).protocol()
    assert fingerprint(again.as_dict()) == fingerprint(protocols[0].as_dict())


def test_points_that_are_not_finite_are_refused():
    evaluation = prepared(MixtureModes(Ring()), Ring(), ["modes"])
    with pytest.raises(UserError, match="the generated points are not finite"):
        evaluation(lambda a, b: torch.full((b - a, 2), math.nan))


@pytest.mark.parametrize("name", ["modes", "points", "parzen", "stacked_mnist"])
def test_choices_in_conf_compose(name):
    density = {"_target_": "gan_research.data.Ring"}
    config = OmegaConf.create({"data": {"density": density}, "metrics": OmegaConf.load(CONF / f"{name}.yaml")})
    evaluation = instantiate(config.metrics)
    published = {"modes": 2500, "points": 5000, "parzen": 10_000, "stacked_mnist": 26_000}
    assert evaluation.num_samples == published[name]
    if name == "modes":
        assert torch.equal(evaluation.extractor.means, Ring().means.float())


# The commands


def evaluated(run, folder, *options):
    assert command("evaluate", run, "--device", "cpu", "--json", folder / "n.json", *options) == (0, "")
    return json.loads((folder / "n.json").read_text())["evaluations"][-1]  # of the last checkpoint


def test_evaluate(run, tmp_path):
    logged = read_history(run / "history.jsonl")
    (row,) = (row for row in logged if row["round"] == 2 and "metrics/modes" in row)
    measured = evaluated(run, tmp_path)
    assert measured["metrics"] == pytest.approx({name: row[f"metrics/{name}"] for name in measured["metrics"]})
    assert measured["protocol"] == row["protocol"]
    again = evaluated(run, tmp_path, "--metrics", "modes", "--num-samples", "200")  # the density is that of the run
    assert again == measured
    other = evaluated(run, tmp_path, "--metrics", "points", "--num-samples", "100")
    assert set(other["metrics"]) == {"sliced_wasserstein", "sliced_wasserstein_perfect"}
    heldout = evaluated(run, tmp_path, "--metrics", "parzen", "--num-samples", "50")
    assert heldout["protocol"]["num_heldout"] == 20_000


def test_no_mean_is_taken_of_the_number_of_a_mode():
    protocol = prepared(MixtureModes(Ring()), Ring(), ["largest_mode"]).protocol()
    numbers = [{"largest_mode": 0.0, "largest_share": 0.25}, {"largest_mode": 6.0, "largest_share": 0.75}]
    one, two = Measurement(numbers[:1], protocol, {}), Measurement(numbers, protocol, {})
    assert (one.mean, one.std) == (numbers[0], {})
    assert (two.mean, two.std) == ({"largest_share": 0.5}, {"largest_share": pytest.approx(0.5**1.5)})


def refused(*arguments):
    status, error = command(*arguments)
    assert status == 2
    assert error.startswith("gan: error: ")
    assert error.count("\n") == 1
    return error


def test_evaluate_with_what_does_not_suit(run):
    assert "takes 8-bit images" in refused("evaluate", run, "--metrics", "mnist")
    assert "measures nothing" in refused("evaluate", run, "--metrics", "none")
    assert "did you mean 'modes'?" in refused("evaluate", run, "--metrics", "mode")


@pytest.mark.parametrize(
    ("density", "what"),
    [
        ({"_target_": "os.mkdir", "path": "made"}, "os.mkdir, which isn't allowed"),
        ({"_target_": "gan_research.data.sets.os.mkdir", "path": "made"}, "mkdir, which isn't allowed"),
        ("${oc.create:{_target_:os.mkdir,path:made}}", "which isn't allowed"),
        ([{"_target_": "os.mkdir", "path": "made"}], "os.mkdir, which isn't allowed"),
    ],
)
@pytest.mark.parametrize("options", [("--metrics", "points"), ("--metrics", "modes")])
def test_nothing_is_built_that_is_not_allowed_however_deep(run, density, what, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["config"]["data"]["density"] = density
    torch.save(checkpoint, "evil.ckpt")
    assert what in refused("evaluate", "evil.ckpt", *options)
    assert not Path("made").exists()


def test_sample(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("sample", run, "-n", "9", "-o", "deep/er/points.npz") == (0, "")
    content = np.load("deep/er/points.npz")
    assert content.files == ["points"]
    np.testing.assert_array_equal(content["points"], load(run).sample(9, seed=0).numpy())
    assert command("sample", run, "-n", "9") == (0, "")
    assert min(Image.open("samples.png").size) > 100
    for output in ("folder", "points.jpg"):
        assert "ends in .npz or .png" in refused("sample", run, "-o", output)
        assert not Path(output).exists()
