"""Sweep files of W&B, searched without its server."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gan_research.config.build import make
from gan_research.sweeps.sweep import Sweep
from gan_research.sweeps.wandb_search import Parameter, SweepFile, read_sweep_file
from gan_research.utils.errors import UserError

GRID = {"method": "grid", "parameters": {"loss": {"values": ["hinge", "minimax"]}, "seed": {"values": [0, 1]}}}
LR = {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}
BAYES = {
    "method": "bayes",
    "metric": {"name": "metrics/fid", "goal": "minimize"},
    "parameters": {"lr": LR, "loss": {"values": ["hinge", "minimax"]}, "seed": {"value": 3}},
}


@dataclass
class Trial:
    number: int
    values: dict[str, Any]
    state: str = "finished"
    curve: list[tuple[int, float]] = field(default_factory=list)
    value: float | None = None


def all_of(config, value=None):
    """The trials of a search until there is none left."""
    file, trials = SweepFile(**config), []
    while (point := file.next_point(trials)) is not None:
        trials.append(Trial(len(trials), point, value=value and value(point)))
    return trials


def pruned(config, trials):
    file = SweepFile(**config)
    return {trial.number for trial in trials if trial.state == "running" and file.should_prune(trial, trials)}


def test_a_grid_has_each_point_once():
    points = [trial.values for trial in all_of(GRID)]
    assert points == [{"loss": loss, "seed": seed} for loss in ("hinge", "minimax") for seed in (0, 1)]
    quantized = {"k": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, "n": {"min": 1, "max": 2}}
    points = [trial.values for trial in all_of({"method": "grid", "parameters": quantized})]
    assert points == [{"k": k, "n": n} for k in (0, 0.25, 0.5, 0.75) for n in (1, 2)]


def test_a_point_of_a_grid_is_not_asked_again_whatever_its_state():
    states = ("failed", "running", "pruned")
    trials = [Trial(n, {"loss": "hinge", "seed": n}, state) for n, state in enumerate(states)]
    trials[2].values = {"loss": "minimax", "seed": 0}
    assert SweepFile(**GRID).next_point(trials) == {"loss": "minimax", "seed": 1}


def test_a_run_cap_ends_a_search():
    assert len(all_of(BAYES | {"method": "random", "run_cap": 3})) == 3
    assert len(all_of(GRID | {"run_cap": 9})) == 4


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_points_are_a_function_of_the_file_and_the_trials(method):
    config = BAYES | {"method": method, "run_cap": 5}
    first, again = (all_of(config, value=lambda point: 1.0) for _ in range(2))
    assert [trial.values for trial in first] == [trial.values for trial in again]
    rates = [trial.values["lr"] for trial in first]
    assert len(set(rates)) == 5
    assert all(type(rate) is float and 1e-4 <= rate <= 1e-2 for rate in rates)
    assert all(trial.values["seed"] == 3 and trial.values["loss"] in ("hinge", "minimax") for trial in first)
    json.dumps([trial.values for trial in first])


@pytest.mark.parametrize(("goal", "sign"), [("minimize", 1), ("maximize", -1)])
def test_bayes_samples_where_the_metric_is_good(goal, sign):
    """|log10(lr) + 3| is 0 at 1e-3, and up to 1 in [1e-4, 1e-2]: a random draw is 0.5 away on average."""
    config = {**BAYES, "metric": {"name": "fid", "goal": goal}, "parameters": {"lr": LR}, "run_cap": 40}
    distances = [sign * t.value for t in all_of(config, value=lambda point: sign * abs(np.log10(point["lr"]) + 3))]
    assert min(distances) < 0.05
    assert np.median(distances[20:]) < 0.3


E = np.e
# kind, keys -> a distribution of the documented definition, its ends, the quantum
DRAWS = [
    ("uniform", {"min": -1, "max": 3}, stats.uniform(-1, 4), None),
    ("log_uniform_values", {"min": 1e-4, "max": 1e-2}, stats.loguniform(1e-4, 1e-2), None),
    ("log_uniform", {"min": -2, "max": 1}, stats.loguniform(E**-2, E), None),
    # log(1/X) is uniform between log(1/max) and log(1/min); with exponents, between min and max
    ("inv_log_uniform_values", {"min": 1e-4, "max": 1e-2}, stats.loguniform(1e-4, 1e-2), None),
    ("inv_log_uniform", {"min": -2, "max": 1}, stats.loguniform(E**-1, E**2), None),
    ("normal", {"mu": 5, "sigma": 0.5}, stats.norm(5, 0.5), None),
    ("normal", {}, stats.norm(0, 1), None),
    ("log_normal", {"mu": -1, "sigma": 2}, stats.lognorm(2, scale=np.exp(-1)), None),
    ("beta", {"a": 2, "b": 5}, stats.beta(2, 5), None),
    ("q_uniform", {"min": 0, "max": 20}, stats.uniform(0, 20), 1),
    ("q_uniform", {"min": 0, "max": 1, "q": 0.25}, stats.uniform(0, 1), 0.25),
    ("q_log_uniform_values", {"min": 8, "max": 256, "q": 8}, stats.loguniform(8, 256), 8),
    ("q_log_uniform", {"min": 0, "max": 3, "q": 2}, stats.loguniform(1, E**3), 2),
    ("q_normal", {"mu": 1, "sigma": 4, "q": 2}, stats.norm(1, 4), 2),
    ("q_log_normal", {"mu": 1, "sigma": 1, "q": 0.5}, stats.lognorm(1, scale=E), 0.5),
    ("q_beta", {"a": 2, "b": 2, "q": 0.1}, stats.beta(2, 2), 0.1),
]


@pytest.mark.parametrize(("kind", "keys", "expected", "q"), DRAWS, ids=lambda value: str(value)[:30])
def test_draws_have_the_documented_distribution(kind, keys, expected, q):
    """Values at evenly spaced quantiles, against round(X / q) * q of that distribution's draws."""
    parameter = Parameter(distribution=kind, **keys)
    values = np.array([parameter.value_of(u) for u in (np.arange(2000) + 0.5) / 2000])
    if q is None:
        assert stats.kstest(values, expected.cdf).statistic < 1e-3
    else:
        assert np.allclose(values / q, np.round(values / q))
        assert type(parameter.value_of(0.5)) is type(q)
        for value in np.unique(values):  # P(value) is that of the interval that is rounded to it
            share = expected.cdf(value + q / 2) - expected.cdf(value - q / 2)
            assert np.mean(np.isclose(values, value)) == pytest.approx(share, abs=2e-3)
    for value in values[::100]:
        assert parameter.value_of(parameter.drawn_for(value)) == pytest.approx(value, rel=1e-6, abs=q or 1e-6)


def test_random_draws_have_their_probabilities():
    parameters = {
        "even": {"values": ["a", "b"]},
        "weighted": {"distribution": "categorical", "values": ["a", "b", "c"], "probabilities": [0.7, 0.3, 0.0]},
        "integer": {"min": 1, "max": 4},
        "real": {"min": 0, "max": 1.0},
        "list": {"values": [[0.5, 0.9]]},
    }
    files = [SweepFile(method="random", parameters=parameters, name=str(number)) for number in range(400)]
    trials = [file.next_point([]) for file in files]
    shares = {key: [np.mean([t[key] == v for t in trials]) for v in "abc"] for key in ("even", "weighted")}
    assert shares["even"] == pytest.approx([0.5, 0.5, 0], abs=0.1)
    assert shares["weighted"] == pytest.approx([0.7, 0.3, 0], abs=0.1)
    assert {t["integer"] for t in trials} == {1, 2, 3, 4}
    assert all(type(t["integer"]) is int and type(t["real"]) is float and 0 <= t["real"] <= 1 for t in trials)
    assert stats.kstest([t["real"] for t in trials], "uniform").pvalue > 1e-3
    assert trials[0]["list"] == [0.5, 0.9]


def test_hyperband_stops_what_is_not_among_the_better_third():
    """Of 6 trials with 3 values each, band 3's threshold is the third-best: int(6 / 3) = 2, counted from 0."""
    config = BAYES | {"early_terminate": {"type": "hyperband", "min_iter": 3, "eta": 3}}
    curves = [[(0, 80.0), (500, 20.0), (1000, float(value))] for value in (1, 2, 3, 4, 5, 6)]
    trials = [Trial(n, {}, "running", curve) for n, curve in enumerate(curves)]
    trials[0].state = "finished"
    trials[5].state = "failed"
    assert pruned(config, trials) == {3, 4}
    assert pruned(config, [Trial(n, {}, "running", curve[:2]) for n, curve in enumerate(curves)]) == set()
    assert pruned(config | {"metric": {"name": "inception_score", "goal": "maximize"}}, trials) == {1, 2}
    assert pruned(BAYES, trials) == set()
    downwards = {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3}  # bands 9 and 3
    assert pruned(config | {"early_terminate": downwards}, trials) == {3, 4}
    trials[4].curve[0] = (0, 0.0)
    assert pruned(config | {"early_terminate": downwards | {"strict": False}}, trials) == {3}


def test_a_value_that_is_not_finite_stops_nothing_and_breaks_nothing():
    config = BAYES | {"early_terminate": {"type": "hyperband", "min_iter": 1}}
    nan = float("nan")
    assert pruned(config, [Trial(0, {}, "running", [(0, nan)]), Trial(1, {}, "running", [])]) == set()
    values = {"lr": 1e-3, "loss": "hinge", "seed": 3}
    trials = [Trial(n, values, state) for n, state in enumerate(("failed", "finished", "pruned", "running", "open"))]
    trials[1].value = nan
    trials[2].curve = [(0, nan), (5, 3.0), (10, nan)]
    assert SweepFile(**config).next_point(trials) is not None


@pytest.mark.parametrize(
    ("command", "overrides"),
    [
        (["${env}", "gan", "train", "data=digits", "${args_no_hyphens}"], ["data=digits", "loss=hinge", "seed=0"]),
        (["${env}", "${program}", "train", "${args_no_hyphens}", "rounds=7"], ["loss=hinge", "seed=0", "rounds=7"]),
        (
            ["${env}", "${interpreter}", "-m", "gan_research", "train", "${args_append_hydra}"],
            ["+loss=hinge", "+seed=0"],
        ),
        ([".venv/bin/gan", "train", "${args_override_hydra}"], ["++loss=hinge", "++seed=0"]),
        (["gan", "train", "output=${envvar:GAN_TEST_OUTPUT}"], ["output=here"]),
    ],
)
def test_the_overrides_are_those_of_the_agents_command(command, overrides, monkeypatch):
    monkeypatch.setenv("GAN_TEST_OUTPUT", "here")
    file = SweepFile(**GRID, program="gan", command=command)
    assert file.overrides({"loss": "hinge", "seed": 0}) == overrides
    assert "here" not in "".join(file.command)  # nothing is filled in for good


@pytest.mark.parametrize("command", [None, ["python", "train.py"], ["gan", "theory"], ["sh", "-c", "gan", "train"]])
def test_a_command_that_does_not_run_gan_train_is_refused(command):
    with pytest.raises(UserError, match="the sweep's command doesn't run gan train"):
        SweepFile(**GRID, command=command).overrides({"loss": "hinge"})


RANDOM = "method: random\nparameters: {a: {%s}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: [", "can't be read: while parsing"),
        ("", "a valid dictionary"),
        ("[1, 2]", "a valid dictionary"),
        ("method: grid", "parameters: Field required"),
        ("method: gird\nparameters: {a: {value: 1}}", "method: Input should be 'grid', 'random' or 'bayes'"),
        ("method: custom\nparameters: {a: {value: 1}}", "method: Input should be 'grid', 'random' or 'bayes'"),
        ("methods: grid\nparameters: {a: {value: 1}}", "method: Field required; methods: key not supported"),
        ("method: grid\nscheduler: {engine: ax}\nparameters: {a: {value: 1}}", "scheduler: key not supported"),
        ("method: grid\nmetric: {name: f, impute: best}\nparameters: {a: {value: 1}}", "metric.impute: key not supp"),
        ("method: grid\nparameters: {a: 1}", "parameters.a: "),
        ("method: grid\nparameters: {a: {min: 2, max: 1}}", "parameters.a: min 2 is not less than max 1"),
        ("method: grid\nparameters: {a: {min: 0.5, max: 1.5}}", "a: method grid needs value, values, int_uniform or q"),
        (RANDOM % "parameters: {b: {value: 1}}", "parameters.a.parameters: key not supported"),
        (RANDOM % "distribution: gamma", "parameters.a: there is no distribution gamma: "),
        (RANDOM % "distribution: normal, min: 1", "parameters.a: distribution normal takes mu sigma, not min"),
        (RANDOM % "distribution: uniform, min: 1", "distribution uniform takes max min, not min"),
        (RANDOM % "distribution: log_uniform_values, min: 0, max: 1", "parameters.a: min 0 is not positive"),
        (RANDOM % "distribution: int_uniform, min: 0, max: 1.5", "int_uniform needs integers"),
        (RANDOM % "distribution: q_normal, q: 0", "parameters.a.q"),
        (RANDOM % "values: []", "parameters.a.values: "),
        (RANDOM % "values: [1, 2], probabilities: [0.5, 0.6]", "give a probability for each value; their sum is 1"),
        ("method: bayes\nparameters: {a: {min: 0.5, max: 1.5}}", "method bayes needs a metric"),
        (
            RANDOM % "values: [1]" + "\nearly_terminate: {type: hyperband, min_iter: 3}",
            "early_terminate needs a metric",
        ),
        (
            RANDOM % "values: [1]" + "\nmetric: {name: f}\nearly_terminate: {type: hyperband}",
            "give min_iter, or max_iter",
        ),
    ],
)
def test_a_bad_file_is_one_line(text, message, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_sweep_file(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.yaml can't be read: .*No such file"):
        read_sweep_file(tmp_path / "nothing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.yaml can't be read"):
        read_sweep_file(tmp_path / "binary.yaml")


def test_a_sweep_that_wandbs_own_search_began_is_continued(tmp_path):
    sweep = Sweep.open(Path(__file__).parents[1] / "artefacts" / "v1" / "wandb_sweep")
    trials = sweep.snapshot()
    assert [trial.state for trial in trials] == ["finished"] * 2
    assert make(sweep.search, spec=sweep.spec).ask(trials) is None
    proposal = make(sweep.search | {"count": 3}, spec=sweep.spec).ask(trials)
    assert proposal.values.keys() == trials[0].values.keys()
    assert proposal.runs[0][:-3] == trials[0].trial.runs[0].overrides[:-3]
    assert proposal.runs[0][-1] == "logger=none"
