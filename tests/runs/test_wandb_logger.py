"""The W&B logger with a session that stands in for W&B's: uploads don't delay training, the best values are kept."""

import json
import threading
from types import SimpleNamespace

import pytest
import torch

from gan_research.runs.loggers import WandbLogger, wandb_logger
from gan_research.runs.run import Run


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path, "ours", "group", id="1a2b3c4d")


def session(**more):
    known = {"disabled": False, "offline": True, "finish": lambda exit_code: None, "log": lambda row: None}
    return SimpleNamespace(**known | {"summary": {}, "config": {}} | more)


def logger_of(run, experiment, **settings):
    logger = WandbLogger(run, **settings)
    logger._experiment = experiment
    return logger


@pytest.fixture
def checkpoints(run):
    """Files of two checkpoints."""
    files = {name: run.folder / f"{name}.ckpt" for name in ("best", "last")}
    for name, path in files.items():
        path.write_text(name)
    return files


def test_an_upload_that_hangs_doesnt_delay_training_and_an_error_is_a_warning(run, checkpoints, monkeypatch, caplog):
    served, sent = threading.Event(), []

    def log_artifact(content, aliases):
        assert served.wait(30)
        sent.append((content, aliases))
        raise OSError("no server")

    def model_artifact(run, checkpoint, sampler, aliases):
        return checkpoint.read_text(), aliases

    monkeypatch.setattr(wandb_logger, "model_artifact", model_artifact)
    logger = logger_of(run, session(log_artifact=log_artifact), log_model="all")
    logger.log_checkpoints(checkpoints, None)
    (new := run.folder / "new.ckpt").write_text("the next one")
    new.replace(checkpoints["last"])
    logger.log_checkpoints({"best": checkpoints["last"], "last": checkpoints["last"]}, None)
    assert sent == []
    served.set()
    logger.finalize("success")
    assert sent == [("last", ["last"]), ("the next one", ["best", "last"])]
    assert caplog.messages == ["W&B: a checkpoint isn't uploaded: no server"] * 2


@pytest.mark.parametrize(("log_model", "count"), [("best", 2), (False, 0)])
def test_the_best_and_the_last_are_uploaded_at_the_end(run, checkpoints, monkeypatch, log_model, count):
    sent = []
    monkeypatch.setattr(wandb_logger, "model_artifact", lambda run, path, sampler, aliases: (path.read_text(), aliases))
    logger = logger_of(run, session(log_artifact=lambda content, aliases: sent.append((content, aliases))))
    logger.log_model = log_model
    for _ in range(3):
        logger.log_checkpoints(checkpoints, None)
    assert sent == []
    logger.finalize("failed")
    assert sent == [("best", ["best"]), ("last", ["last"])][:count]


def test_a_removed_folder_is_a_warning_at_the_end(run, checkpoints, caplog):
    logger = logger_of(run, session(), log_model="best")
    logger.log_checkpoints(checkpoints, None)
    checkpoints["best"].unlink()
    logger.finalize("failed")
    assert [message.partition(": [")[0] for message in caplog.messages] == ["W&B: a checkpoint isn't uploaded"]


def test_the_best_values_are_of_the_whole_run(run):
    """Its rows before a resume, too; NaN is no best value."""
    rows = [{"round": 0, "metrics/fid": 9.0, "metrics/recall": 0.2}, {"round": 10, "metrics/fid": 4.0}]
    (run.folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    logger = logger_of(run, experiment := session())
    how = {"protocol": {}, "better": {"fid": "min", "recall": "max"}}
    found = []
    for fid, recall in ((6.0, 0.1), (float("nan"), 0.5), (3.0, 0.4)):
        logger.log_metrics({"round": 20, "metrics/fid": fid, "metrics/recall": recall} | how)
        found.append(dict(experiment.summary))
    assert found == [{"best/fid": fid, "best/recall": recall} for fid, recall in ((4.0, 0.2), (4.0, 0.5), (3.0, 0.5))]


def test_a_table_has_a_row_for_each_sample(run):
    logged = []
    logger = logger_of(run, session(log=logged.append))
    logger.log_samples({"sample": torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "logit of D": [0.5, -1.0]}, 30)
    ((row),) = logged
    assert row["round"] == 30
    table = row["sample_table"]
    assert table.columns == ["round", "sample", "logit of D"]
    assert [(r[0], r[1].image.size, r[2]) for r in table.data] == [(30, (32, 32), 0.5), (30, (32, 32), -1.0)]
