"""MLflow holds what is logged, in one run for each of ours."""

import logging
import sys

import pytest
from mlflow import MlflowClient
from PIL import Image

from gan_research.runs.loggers import MLFlowLogger
from gan_research.runs.run import Run
from gan_research.utils.errors import UserError

CONFIG = {"rounds": 20, "loss": {"_target_": "Hinge"}, "optimizer": {"generator": {"lr": 1e-05, "betas": [0.0, 0.9]}}}
ROWS = [
    {"round": 0, "kimg": 0.0, "metrics/fid": 84.5, "protocol": {"seed": 0}, "better": {"fid": "min"}},
    {"round": 5, "kimg": 0.32, "loss/generator": 0.7, "health/collapse": 0},
    {"round": 10, "kimg": 0.64, "loss/generator": float("nan")},
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Without a server of its own, MLflow writes pictures into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A tracking server's address; making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('server') / 'mlflow.db'}"


@pytest.fixture
def run(tmp_path):
    choices = {"loss": "hinge", "regularizer": "r1+weight_clipping"}
    run = Run.create(tmp_path / "runs", "a name", "group", ["tag"], ["loss=hinge"], None, choices)
    run.begin(CONFIG)
    return run


def mirror(run, rows, database):
    """A logger that has seen the rows, and a picture at the first of them."""
    path = run.folder / "round.png"
    Image.new("L", (8, 8), 77).save(path)
    logger = MLFlowLogger(run, project="ours", uri=database)
    for row in rows:
        logger.log_metrics(row, step=row["round"])
    logger.log_picture("samples", path, rows[0]["round"])
    logger.finalize("success")
    return logger


def test_numbers_pictures_and_config_are_read_back(run, database):
    logger = mirror(run, ROWS, database)
    client = MlflowClient(database)
    there = client.get_run(logger.version)
    assert there.info.run_name == "a name"
    assert there.info.status == "FINISHED"
    assert there.data.params == {
        "rounds": "20",
        "loss._target_": "Hinge",
        "optimizer.generator.lr": "1e-05",
        "optimizer.generator.betas": "[0.0, 0.9]",
    }
    expected = {"choices.loss": "hinge", "choices.regularizer": "r1+weight_clipping", "tag": "true", "group": "group"}
    assert expected.items() <= there.data.tags.items()
    steps = {
        name: [(point.step, point.value) for point in client.get_metric_history(logger.version, name)]
        for name in there.data.metrics
    }
    (bad_step, bad) = steps["loss/generator"].pop()
    assert (bad_step, bad != bad) == (10, True)
    assert steps == {
        "kimg": [(0, 0.0), (5, 0.32), (10, 0.64)],
        "metrics/fid": [(0, 84.5)],
        "loss/generator": [(5, 0.7)],
        "health/collapse": [(5, 0.0)],
    }
    pictures = [file.path for file in client.list_artifacts(logger.version, "images")]
    assert any(path.startswith("images/samples+step+0+") and path.endswith(".png") for path in pictures)


def test_a_resumed_run_goes_on_in_the_same_one(run, database):
    first = mirror(run, ROWS[:2], database)
    again = Run.open(run.folder)
    again.begin(CONFIG | {"rounds": 40, "name": "new"})
    second = mirror(again, ROWS[2:], database)
    assert second.version == first.version
    client = MlflowClient(database)
    there = client.get_run(first.version)
    assert [point.step for point in client.get_metric_history(first.version, "kimg")] == [0, 5, 10]
    assert (there.data.params["rounds"], there.data.tags["rounds"], there.data.params["name"]) == ("20", "40", "new")
    found = client.search_runs([there.info.experiment_id], f"tags.`gan_research.id` = '{run.id}'")
    assert len(found) == 1


def test_more_settings_than_go_into_one_message(run, database):
    run.begin({f"key_{i}": i for i in range(230)} | {"long": "x" * 9000})
    there = MlflowClient(database).get_run(mirror(run, ROWS[:1], database).version)
    assert {f"key_{i}" for i in range(230)} <= set(there.data.params)
    assert len(there.data.params["long"]) == 6000


def test_a_run_that_ends_by_an_error_has_failed(run, database):
    logger = MLFlowLogger(run, uri=database)
    logger.log_metrics(ROWS[0])
    logger.finalize("failed")
    assert MlflowClient(database).get_run(logger.version).info.status == "FAILED"


def test_a_server_that_cannot_be_reached_does_not_stop_the_run(run, monkeypatch, caplog, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    logger = MLFlowLogger(run)
    with caplog.at_level(logging.WARNING):
        logger.log_metrics(ROWS[1])
        logger.finalize("success")
    (warning,) = (record.getMessage() for record in caplog.records if record.name.startswith("gan_research"))
    assert warning.startswith("MLflow can't be reached, the run is logged in its own folder")
    assert "\n" not in warning
    client = MlflowClient(f"sqlite:///{run.folder / 'mlflow.db'}")
    assert client.get_run(logger.version).data.metrics["loss/generator"] == 0.7
    assert "INFO" not in capfd.readouterr().err


def test_without_the_package_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"pip install 'gan_research\[mlflow\]'"):
        MLFlowLogger(run)
