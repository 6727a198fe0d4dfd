"""Runs are read from a project of W&B as from their folders; without a key or a project, one line says what to do."""

import json
from types import SimpleNamespace

import pytest
import wandb
import yaml
from made import make_run

from gan_research.report.read import read
from gan_research.report.wandb_runs import read_project, read_rows
from gan_research.runs.loggers import WandbLogger
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import read_history


class Api:
    """As wandb.Api, of these runs by project."""

    def __init__(self, **projects):
        self.projects = projects

    def runs(self, path):
        if path.rpartition("/")[2] not in self.projects:
            raise ValueError(f"Could not find project {path}")
        return iter(self.projects[path.rpartition("/")[2]])


def as_wandb_has_it(folder, state="finished"):
    """The run of a folder as our logger sends it and W&B's public API gives it back."""
    rows = list(read_history(folder / "history.jsonl"))
    fields = json.loads((folder / "run.json").read_text())
    sent = [
        {"_step": i, "_runtime": 1.5 * i, "samples": {"_type": "image-file"}, "lr/generator": None}
        | {key: value for key, value in row.items() if isinstance(value, int | float)}
        for i, row in enumerate(rows)
    ]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    return SimpleNamespace(
        id=fields["id"],
        name=fields["name"],
        url=f"https://wandb.ai/me/project/runs/{fields['id']}",
        state=state,
        config=config | {"choices": fields["choices"], "protocol": rows[-1]["protocol"], "better": rows[-1]["better"]},
        metadata={"args": ["train", "loss=hinge"]},
        scan_history=lambda: iter(sent),
    )


def test_a_run_is_what_its_folder_says(tmp_path):
    folder = make_run(tmp_path / "run", seed=2)
    (local,), _ = read([folder])
    (record,) = read_project("wandb:me/project", Api(project=[as_wandb_has_it(folder)]))
    assert record.notes == []
    assert record.rows == local.rows
    assert (record.id, record.name, record.seed, record.state) == (local.id, local.name, 2, "finished")
    assert (record.config, record.choices) == (local.config, local.choices)
    assert record.command == "gan train loss=hinge"
    assert record.source == f"https://wandb.ai/me/project/runs/{local.id}"


@pytest.mark.parametrize(
    ("theirs", "ours"), [("running", "running"), ("crashed", "failed"), ("killed", "stopped"), ("finished", "stopped")]
)
def test_the_state_of_what_wasnt_trained_for_all_rounds(tmp_path, theirs, ours):
    run = as_wandb_has_it(make_run(tmp_path / "run", rounds=900), theirs)
    (record,) = read_project("wandb:project", Api(project=[run]))
    assert record.state == ours
    assert record.reason == ("its state in W&B is crashed" if ours == "failed" else None)


def test_rows_that_were_logged_again_count_once(tmp_path):
    run = as_wandb_has_it(make_run(tmp_path / "run"))
    rows = [{"round": r, "metrics/fid": float(y)} for r, y in ((0, 80), (100, 10), (200, 9), (100, 8), (200, 7))]
    run.scan_history = lambda: iter([*rows, {"round": 300, "metrics/fid": "NaN"}, {"round": 300, "kimg": 2.0}])
    (record,) = read_project("wandb:project", Api(project=[run]))
    assert record.series("metrics/fid", "round") == ([0, 100, 200], [80, 8, 7])
    assert len(record.rows) == 4
    assert record.points("metrics/fid", "round")[-1][0] == 300


def test_a_project_that_isnt_there_is_one_line():
    with pytest.raises(UserError, match=r"wandb:me/nowhere can't be read from W&B: Could not find project me/nowhere:"):
        read_project("wandb:me/nowhere", Api())
    with pytest.raises(UserError, match=r"wandb:me/empty has no runs"):
        read_project("wandb:me/empty", Api(empty=[]))
    for path in ("wandb:", "wandb:a/b/c"):
        with pytest.raises(UserError, match=r"give wandb:PROJECT or wandb:ENTITY/PROJECT"):
            read_project(path)


def test_no_key_is_one_line_that_says_how_to_log_in_or_stay_offline(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb.teardown()
    with pytest.raises(UserError, match=r"log in with `wandb login`, or give the runs' folders") as caught:
        read(["wandb:me/project"])
    assert "\n" not in str(caught.value)


def test_no_server_is_one_line():
    class Unreachable:
        def runs(self, path):
            raise wandb.errors.CommError("Failed to connect\nat length")

    with pytest.raises(UserError, match=r"can't be read from W&B: Failed to connect: check the spelling") as caught:
        read_project("wandb:project", Unreachable())
    assert "\n" not in str(caught.value)


def test_each_of_several_evaluations_is_logged_and_read_with_its_protocol(tmp_path):
    class Logger(WandbLogger):
        def __init__(self):
            self._evaluations, self.fake = {}, SimpleNamespace(config={}, rows=[])
            self.fake.summary, self._best, self._folder = {}, {}, tmp_path
            (tmp_path / "history.jsonl").touch()
            self.fake.config, self.fake.log = Config(), self.fake.rows.append

        experiment = property(lambda self: self.fake)

    class Config(dict):
        def update(self, values, allow_val_change):
            super().update(json.loads(json.dumps(values)))

    ours = {"fid": {"protocol": {"extractor": "a"}, "better": {"fid": "min"}}}
    ours["parzen"] = {"protocol": {"extractor": "b"}, "better": {"parzen": "max"}}
    logger = Logger()
    for round, names in enumerate((["fid"], ["fid", "parzen"], ["parzen"])):
        logger.log_metrics({"round": round, "loss/generator": 1.0})
        for name in names:
            logger.log_metrics({"round": round, f"metrics/{name}": 1.0, **ours[name]})
        if round == 0:
            assert "protocols" not in logger.fake.config  # of one evaluation, as ever
    rows = read_rows(logger.fake.rows, logger.fake.config)
    assert len(rows) == 7
    for row in rows:
        name = next((name for name in ours if f"metrics/{name}" in row), None)
        assert {key: row[key] for key in ("protocol", "better") if key in row} == ours.get(name, {})
