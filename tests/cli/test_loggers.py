"""Every logger holds what the history holds."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
import yaml
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_research.runs.loggers.wandb_logger import logged_in
from gan_research.utils.run_folder import read_history


def numbers(run):
    """round -> term -> number, of the history."""
    table = {}
    for row in read_history(run / "history.jsonl"):
        table.setdefault(row["round"], {}).update({k: v for k, v in row.items() if isinstance(v, int | float)})
    return table


def inspect(folder, *options):
    """What the W&B program reads out of its files in `folder`."""
    program = Path(sys.executable).with_name("wandb")
    command = [str(program), "leet", "inspect", "--json", *options, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_csv_holds_the_numbers_of_the_history(finished):
    with (finished / "metrics.csv").open() as file:
        table = {int(row["round"]): {k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)}
    assert table == numbers(finished)
    assert list(table) == [0, 5, 10, 15, 20]


def test_tensorboard_holds_the_numbers_of_the_history_at_their_rounds(finished):
    events = EventAccumulator(str(finished / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()
    table = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            table.setdefault(event.step, {})[name] = event.value
    for values in table.values():
        values.pop("epoch", None)
    expected = {
        round: {k: pytest.approx(v, rel=1e-6) for k, v in values.items() if k != "round"}
        for round, values in numbers(finished).items()
    }
    assert table == expected
    assert [image.step for image in events.Images("samples")] == [0, 10, 20]


@pytest.fixture(scope="module")
def mirrored(train, the_run, tmp_path_factory):
    """A run with W&B (offline), CSV and TensorBoard together."""
    output = tmp_path_factory.mktemp("mirrored")
    result = train(output, "logger=[wandb,csv,tensorboard]", "logger.wandb.project=ours", "tags=[one,two]", "seed=3")
    assert result.status == 0, result.error
    return the_run(output)


def test_wandb_holds_config_group_tags_and_every_number_on_the_axis_of_rounds(mirrored):
    assert (mirrored / "metrics.csv").is_file()
    assert list((mirrored / "tensorboard").glob("events.*"))
    run = json.loads((mirrored / "run.json").read_text())
    (folder,) = (mirrored / "wandb").glob("offline-run-*")
    assert folder.name.endswith(run["id"])
    records = [json.loads(line) for line in inspect(folder).splitlines()]
    (begun,) = (record["run"] for record in records if record["type"] == "run")
    assert begun["run_id"] == run["id"]
    stem = "digits-mlp-non_saturating+r1-generator.width=16-discriminator.width=16"
    assert begun["display_name"] == run["name"] == f"{stem}-s3"
    assert begun["run_group"] == run["group"]
    assert begun["job_type"] == "train"
    assert begun["tags"] == ["one", "two"]
    assert begun["project"] == "ours"

    axes = [record["metric"] for record in records if record["type"] == "metric"]
    assert [axis.get("name") for axis in axes[:2]] == ["round", "kimg"]
    assert {"glob_name": "*", "step_metric": "round"}.items() <= axes[2].items()

    table = {}
    for record in records:
        if record["type"] == "history":
            item = record["history"]["item"]
            known = {k: v for k, v in item.items() if not k.startswith(("_", "samples.", "real.", "sample_table."))}
            table.setdefault(item["round"], {}).update(known)
    assert table == numbers(mirrored)
    for picture in ("samples.path", "sample_table.path"):
        assert sum(picture in r["history"]["item"] for r in records if r["type"] == "history") == 3

    config = json.loads(inspect(folder, "--summary"))["config"]
    assert config.pop("protocol")["extractor"] == "classifier-digits"
    assert config.pop("better") == {"fid": "min", "inception_score": "max", "rarest_class": "max"}
    assert config.pop("ranges") == {"fid": [0, None], "inception_score": [1, 10], "rarest_class": [0, 0.1]}
    assert config.pop("choices") == run["choices"]
    assert run["choices"]["loss"] == "non_saturating"
    assert config == yaml.safe_load((mirrored / "config.yaml").read_text())


def test_a_resumed_run_is_a_second_segment_of_the_same_id(mirrored, gan, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(mirrored, run, symlinks=True)
    (first,) = (run / "wandb").glob("offline-run-*")
    result = gan("train", f"resume={run}", "rounds=30")
    assert result.status == 0, result.error
    (second,) = set((run / "wandb").glob("offline-run-*")) - {first}
    before, now = (json.loads((folder / "run.json").read_text()) for folder in (mirrored, run))
    assert second.name.endswith(before["id"])
    assert now["id"] == before["id"]
    assert len(now["segments"]) == 2
    rounds = {
        record["history"]["item"]["round"]
        for record in map(json.loads, inspect(second).splitlines())
        if record["type"] == "history"
    }
    assert rounds == {25, 30}
    assert list(numbers(run)) == [0, 5, 10, 15, 20, 25, 30]
    with (run / "metrics.csv").open() as file:
        assert [int(row["round"]) for row in csv.DictReader(file)] == [0, 5, 10, 15, 20, 25, 30]


@pytest.mark.long
def test_mlflow_holds_the_numbers_of_the_history_over_a_resume(train, gan, the_run, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert train(tmp_path, "logger=mlflow", "rounds=10").status == 0
    run = the_run(tmp_path)
    assert gan("train", f"resume={run}", "rounds=20").status == 0
    client = MlflowClient(f"sqlite:///{run / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name == "gan_research")
    (there,) = client.search_runs([experiment.experiment_id])
    table = {}
    for name in there.data.metrics:
        for point in client.get_metric_history(there.info.run_id, name):
            table.setdefault(point.step, {})[name] = point.value
    assert table == {round: {k: v for k, v in row.items() if k != "round"} for round, row in numbers(run).items()}
    assert sorted(table) == [0, 5, 10, 15, 20]
    assert there.data.tags["choices.loss"] == "non_saturating"
    pictures = (run / "mlruns").rglob("samples+step+*.png")
    assert sorted(int(path.name.split("+")[2]) for path in pictures) == [0, 10, 20]


FILES = {"config.yaml", "run.json", "history.jsonl", "samples", "checkpoints", ".lock"}


def test_without_loggers_there_is_the_history_still(train, the_run, tmp_path):
    assert train(tmp_path, "logger=none", "metrics=none").status == 0
    run = the_run(tmp_path)
    assert {p.name for p in run.iterdir()} == FILES
    assert list(numbers(run)) == [5, 10, 15, 20]


def test_a_server_that_cannot_be_reached_does_not_stop_the_run(train, the_run, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    result = train(tmp_path, "logger=wandb", "logger.wandb.timeout=3", "metrics=none")
    assert result.status == 0, result.error
    run = the_run(tmp_path)
    (folder,) = (run / "wandb").glob("offline-run-*")
    records = map(json.loads, inspect(folder).splitlines())
    rounds = {r["history"]["item"]["round"] for r in records if r["type"] == "history"}
    assert rounds == {0, 5, 10, 15, 20}
    assert (run / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("key", ["abc", f" {'0123456789' * 4}"])
def test_what_cannot_be_a_key_is_a_warning_and_the_run_is_offline(key, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()
    assert not logged_in()
    assert "offline" in caplog.text


@pytest.mark.parametrize("home", ["home", "/proc"])  # the second can't be written to
def test_without_a_key_wandb_is_offline_without_a_question(home, train, the_run, tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("WANDB_MODE")
    for name in ("WANDB_SILENT", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / home))
    wandb.teardown()
    result = train(tmp_path / "runs", "logger=wandb", "metrics=none", "rounds=1")
    assert result.status == 0, result.error
    printed = result.output + result.error + "".join(capfd.readouterr())
    assert [line for line in printed.splitlines() if " INFO " in line or " ERROR " in line] == []  # W&B's own log
    assert len(list((the_run(tmp_path / "runs") / "wandb").glob("offline-run-*"))) == 1
    wandb.teardown()  # it would print in later tests
