"""The sweep files: W&B finds no fault with them, and what its agent would run is a run of that sweep."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from wandb import wandb_agent

from gan_research.cli import main
from gan_research.config.compose import choice, compose_train
from gan_research.sweeps.wandb_search import SweepFile, read_sweep_file

FILES = sorted((Path(__file__).resolve().parents[2] / "sweeps").glob("*.yaml"))
SMALL = [
    "generator.width=16",
    "discriminator.width=16",
    "rounds=4",
    "log_every=2",
    "sample_every=4",
    "evaluate_every=2",
    "checkpoint_every=4",
    "metrics.num_samples=100",
]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_the_sweeps_that_people_start_with_are_there():
    assert [path.stem for path in FILES] == ["loss_comparison", "regularizer_strength", "schedule", "ttur"]


def test_a_number_that_yaml_takes_for_text_is_a_number(tmp_path):
    """1e-5 without a point is text in YAML 1.1."""
    path = tmp_path / "sweep.yaml"
    settings = "distribution: log_uniform_values, min: 1e-5, max: 1e-2"
    path.write_text(f"method: random\nparameters:\n  optimizer.generator.lr: {{{settings}}}\ncommand: [gan, train]\n")
    parameter = read_sweep_file(path).parameters["optimizer.generator.lr"]
    assert (parameter.min, parameter.max) == (1e-5, 1e-2)


@each_file
def test_a_file_describes_itself(path):
    config = yaml.safe_load(path.read_text())
    assert read_sweep_file(path).model_dump(exclude_unset=True, exclude={"parameters"}) == {
        key: value for key, value in config.items() if key != "parameters"
    }
    assert config["metric"] == {"name": "metrics/fid", "goal": "minimize"}
    assert config["name"] == path.stem
    assert config["description"]
    assert f"output=runs/{path.stem}" in config["command"]
    if config["method"] != "grid":
        assert config["run_cap"] >= 20


GRIDS = {
    "loss_comparison": {
        "variant": set(choice("variants", "losses_published")),
        "seed": {0, 1, 2, 3, 4},
    },
    "schedule": {"schedule.discriminator_steps": {1, 2, 4}, "regularizer.r1.every": {1, 4, 16}, "seed": {0, 1, 2}},
}
SPANS = {
    "ttur": {"optimizer.generator.lr": (1e-4, 1e-2), "optimizer.discriminator.lr": (1e-4, 1e-2)},
    "regularizer_strength": {"regularizer.r1.weight": (1e-3, 1e2)},
}


def test_what_the_files_search():
    for path in FILES:
        parameters = yaml.safe_load(path.read_text())["parameters"]
        listed = {key: set(node["values"]) for key, node in parameters.items() if "values" in node}
        spans = {key: node for key, node in parameters.items() if "min" in node}
        assert all(node["distribution"] == "log_uniform_values" for node in spans.values())
        assert {key: (node["min"], node["max"]) for key, node in spans.items()} == SPANS.get(path.stem, {})
        if path.stem in GRIDS:
            assert listed == GRIDS[path.stem]
        else:
            assert set(listed) <= {"loss"}


class Issued:
    """Stands in for the process that an agent starts."""

    def __init__(self, command, env, **more):
        self.command, self.env = command, env


def agent_of(sweep, folder, monkeypatch):
    """W&B's own agent, with the environment that it has set by the time of its first run."""
    monkeypatch.setenv("WANDB_DIR", str(folder))
    monkeypatch.setenv("WANDB_SWEEP_ID", sweep)
    monkeypatch.setenv("WANDB_PROJECT", "of-the-sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "")  # set by the agent, and taken back after the test
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    return wandb_agent.Agent(api=None, queue=None, sweep_id=sweep)


def issued(config, point, folder, monkeypatch):
    """The command and the environment with which W&B's own agent would start a run of this point."""
    monkeypatch.setattr(wandb_agent, "AgentProcess", Issued)
    agent = agent_of("sw33pid0", folder, monkeypatch)
    agent._sweep_command = list(config["command"])
    arguments = {key: {"value": value} for key, value in point.items()}
    agent._command_run({"run_id": "ag3nts1d", "program": config["program"], "args": arguments})
    return agent._run_processes["ag3nts1d"]


@pytest.fixture
def fresh_wandb(monkeypatch, tmp_path):
    """W&B without a server, its settings not read yet, as in a process that an agent has just started."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_SILENT", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()
    yield
    wandb.teardown()


def inspect(folder):
    """The run as W&B's own program reads it out of its files."""
    program = Path(sys.executable).with_name("wandb")
    command = [str(program), "leet", "inspect", "--json", str(folder)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    summary = subprocess.run([*command, "--summary"], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in lines], json.loads(summary)["config"]


@pytest.mark.parametrize(
    "path", [FILES[0], *(pytest.param(path, marks=pytest.mark.long) for path in FILES[1:])], ids=lambda path: path.stem
)
def test_what_an_agent_would_run_is_a_run_of_the_sweep(path, tmp_path, monkeypatch, fresh_wandb, capfd):
    search = read_sweep_file(path)
    point = search.next_point([])
    process = issued(yaml.safe_load(path.read_text()), point, tmp_path, monkeypatch)
    assert process.command[:3] == ["/usr/bin/env", "gan", "train"]
    assert search.overrides(point) == process.command[3:]
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, process.env[name])

    assert main([*process.command[2:], f"output={tmp_path / 'runs'}", *SMALL]) == 0
    told = capfd.readouterr()
    assert "warn" not in (told.out + told.err).lower()
    assert "gnoring" not in told.out + told.err
    (run,) = (tmp_path / "runs").iterdir()
    (folder,) = (run / "wandb").glob("offline-run-*")
    records, logged = inspect(folder)
    (begun,) = (record["run"] for record in records if record["type"] == "run")
    assert (begun["run_id"], begun["sweep_id"], begun["project"]) == ("ag3nts1d", "sw33pid0", "of-the-sweep")
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [row["round"] for row in rows if "metrics/fid" in row] == [0, 2, 4]

    played = yaml.safe_load((run / "config.yaml").read_text())
    choices, composed = logged.pop("choices"), logged.pop("composed", {})
    assert {key: logged[key] for key in point} == point  # by which the server knows what was drawn
    assert choices == json.loads((run / "run.json").read_text())["choices"]
    assert set(composed) == {"loss"} & set(point)
    assert logged.items() >= {key: value for key, value in played.items() if key not in composed}.items()
    assert composed.items() <= played.items()
    for key, value in point.items():
        assert choices.get(key, at(played, key)) == value


def at(config, key):
    """The value of a full name."""
    for part in key.split("."):
        config = config[part]
    return config


@pytest.mark.long
def test_a_run_that_an_agent_stops_ends_after_its_round_with_a_checkpoint(tmp_path, monkeypatch):
    """Early termination: W&B's agent sends SIGTERM to what it has started."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    agent = agent_of("sw33pid0", tmp_path, monkeypatch)
    small = [word for word in SMALL if not word.startswith("rounds=")]
    agent._sweep_command = ["${env}", "gan", "train", f"output={tmp_path / 'runs'}", *small, "${args_no_hyphens}"]
    agent._command_run({"run_id": "ag3nts1d", "program": "gan", "args": {"rounds": {"value": 10**9}}})
    process = agent._run_processes["ag3nts1d"]
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "runs").glob("*/checkpoints/last.ckpt")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        agent._command_stop({"run_id": "ag3nts1d"})
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
    (run,) = (tmp_path / "runs").iterdir()
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert 4 <= checkpoint["gan_research"]["round"] < 10**9
    assert [folder.name[-8:] for folder in (run / "wandb").glob("offline-run-*")] == ["ag3nts1d"]


def test_values_reach_the_config_as_they_are():
    command = ["gan", "train", "${args_no_hyphens}"]
    search = SweepFile(method="random", parameters={"rounds": {"value": 3}}, command=command)
    point = {"optimizer.generator.lr": 1e-05, "optimizer.discriminator.lr": 9.3e-05, "regularizer.r1.every": 16}
    point |= {"optimizer.generator.betas": [0.5, 0.9], "regularizer": ["r1", "weight_clipping"], "compile": True}
    point |= {"max_gradient_norm": "null", "loss": "hinge", "name": "a name", "rounds": 3}
    config = compose_train(search.overrides(point)).config
    assert search.overrides(point)[0] == "optimizer.generator.lr=1e-05"
    assert config["optimizer"]["generator"]["lr"] == 1e-05
    assert config["optimizer"]["discriminator"]["lr"] == 9.3e-05
    assert config["optimizer"]["generator"]["betas"] == [0.5, 0.9]
    assert list(config["regularizer"]) == ["r1", "weight_clipping"]
    assert config["regularizer"]["r1"]["every"] == 16
    assert config["loss"]["_target_"].endswith(".Hinge")
    assert [config[key] for key in ("compile", "max_gradient_norm", "name", "rounds")] == [True, None, "a name", 3]
