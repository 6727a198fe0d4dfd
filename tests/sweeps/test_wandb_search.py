"""W&B's search, without its server."""

import random
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from gan_research.sweeps.wandb_search import WandbSearch, read_sweep_file
from gan_research.utils.errors import UserError

GRID = {"method": "grid", "parameters": {"loss": {"values": ["hinge", "minimax"]}, "seed": {"values": [0, 1]}}}
BAYES = {
    "method": "bayes",
    "metric": {"name": "metrics/fid", "goal": "minimize"},
    "parameters": {
        "optimizer.generator.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "loss": {"values": ["hinge", "minimax"]},
        "seed": {"value": 3},
    },
}


@dataclass
class Trial:
    number: int
    values: dict[str, Any]
    state: str = "finished"
    curve: list[tuple[int, float]] = field(default_factory=list)
    value: float | None = None


def all_of(search, value=None):
    """The trials of a search until there is none left."""
    trials = []
    while (point := search.ask(trials)) is not None:
        trials.append(Trial(len(trials), point, value=value and value(point)))
    return trials


def drawn():
    """The state of the global generators."""
    return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


def test_a_grid_is_played_once_and_then_exhausted():
    points = [trial.values for trial in all_of(WandbSearch(GRID))]
    assert points == [{"loss": loss, "seed": seed} for loss in ("hinge", "minimax") for seed in (0, 1)]


def test_a_point_of_a_grid_is_not_asked_again_whatever_came_of_it():
    states = ("failed", "running", "pruned")
    trials = [Trial(n, {"loss": "hinge", "seed": n}, state) for n, state in enumerate(states)]
    trials[2].values = {"loss": "minimax", "seed": 0}
    assert WandbSearch(GRID).ask(trials) == {"loss": "minimax", "seed": 1}


def test_a_run_cap_ends_a_search():
    assert len(all_of(WandbSearch(BAYES | {"method": "random", "run_cap": 3}))) == 3
    assert len(all_of(WandbSearch(GRID | {"run_cap": 9}))) == 4


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_points_are_a_function_of_the_file_and_the_trials(method):
    config = BAYES | {"method": method, "run_cap": 5}
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = drawn()
    first = all_of(WandbSearch(config), value=lambda point: 1.0)
    assert drawn() == before
    random.seed(6)
    np.random.seed(6)  # noqa: NPY002
    again = all_of(WandbSearch(config), value=lambda point: 1.0)
    assert [t.values for t in first] == [t.values for t in again]
    rates = [trial.values["optimizer.generator.lr"] for trial in first]
    assert len(set(rates)) == 5
    assert all(type(rate) is float and 1e-4 <= rate <= 1e-2 for rate in rates)
    assert all(trial.values["seed"] == 3 and trial.values["loss"] in ("hinge", "minimax") for trial in first)


def test_bayes_goes_where_it_was_good():
    """|log10(lr) + 3| is 0 at 1e-3, and up to 1 in [1e-4, 1e-2]: a random draw is 0.5 away on average."""
    config = {**BAYES, "parameters": {"lr": BAYES["parameters"]["optimizer.generator.lr"]}, "run_cap": 14}
    trials = all_of(WandbSearch(config), value=lambda point: abs(np.log10(point["lr"]) + 3))
    late = [trial.value for trial in trials[8:]]
    assert min(late) < 0.05
    assert np.mean(late) < 0.35


def test_hyperband_stops_what_is_not_among_the_better_third():
    """Of 6 trials with 3 values each, band 3's threshold is the third-best: int(6 / 3) = 2, counted from 0."""
    config = BAYES | {"early_terminate": {"type": "hyperband", "min_iter": 3, "eta": 3}}
    curves = [[(0, 80.0), (500, 20.0), (1000, float(value))] for value in (1, 2, 3, 4, 5, 6)]
    trials = [Trial(n, {}, "running", curve) for n, curve in enumerate(curves)]
    trials[0].state = "finished"
    trials[5].state = "failed"
    search = WandbSearch(config)
    assert search.hopeless(trials) == {3, 4}
    assert search.hopeless([Trial(n, {}, "running", curve[:2]) for n, curve in enumerate(curves)]) == set()
    assert WandbSearch(config | {"metric": {"name": "inception_score", "goal": "maximize"}}).hopeless(trials) == {1, 2}
    assert WandbSearch(BAYES).hopeless(trials) == set()


def test_a_value_that_is_not_finite_stops_nothing_and_breaks_nothing():
    config = BAYES | {"early_terminate": {"type": "hyperband", "min_iter": 1}}
    trials = [Trial(0, {}, "running", [(0, float("nan"))]), Trial(1, {}, "running", [])]
    assert WandbSearch(config).hopeless(trials) == set()
    trials = [Trial(n, {"optimizer.generator.lr": 1e-3, "loss": "hinge", "seed": 3}, "failed") for n in range(3)]
    trials[0].value = float("nan")
    assert WandbSearch(config).ask(trials) is not None


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
    config = GRID | {"program": "gan", "command": command}
    search = WandbSearch(config)
    assert search.overrides({"loss": "hinge", "seed": 0}) == overrides
    assert config["command"] is command
    assert "here" not in "".join(command)  # nothing is filled in for good


@pytest.mark.parametrize("command", [None, ["python", "train.py"], ["gan", "theory"], ["sh", "-c", "gan", "train"]])
def test_a_command_that_does_not_run_gan_train_is_refused(command):
    with pytest.raises(UserError, match="the sweep's command doesn't run gan train"):
        WandbSearch(GRID | {"command": command}).overrides({"loss": "hinge"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: [", "is not valid YAML"),
        ("", "isn't made of keys"),
        ("[1, 2]", "isn't made of keys"),
        ("method: grid", "`parameters` is required"),
        ("method: gird\nparameters: {a: {value: 1}}", "'gird' is not one of"),
        ("methods: grid\nparameters: {a: {value: 1}}", "'method' is a required property"),
        ("method: grid\nparameters: {a: 1}", "Invalid configuration for hyperparameter 'a'"),
        ("method: grid\nparameters: {a: {min: 2, max: 1}}", "min 2 is not less than max 1"),
        ("method: grid\nparameters: {a: {min: 0.5, max: 1.5}}", "a is a disallowed type with grid search"),
        ("method: bayes\nparameters: {a: {min: 0.5, max: 1.5}}", "method bayes needs a metric"),
        ("method: custom\nparameters: {a: {value: 1}}", "played by W&B's server alone: take grid, random, bayes"),
        (
            "method: random\nparameters: {a: {values: [1]}}\nearly_terminate: {type: hyperband, min_iter: 3}",
            "early_terminate needs a metric",
        ),
    ],
)
def test_a_bad_file_is_one_line(text, said, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_sweep_file(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.yaml can't be read: No such file"):
        read_sweep_file(tmp_path / "nothing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not text"):
        read_sweep_file(tmp_path / "binary.yaml")


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sweeps.run", None)
    with pytest.raises(UserError, match=r"pip install 'gan_research\[sweeps\]'"):
        WandbSearch(GRID).ask([])
