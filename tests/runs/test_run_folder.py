"""The folder of a run, and its record."""

import json
import subprocess
from pathlib import Path

import pytest

from gan_research.runs import run as run_module
from gan_research.runs.history import History
from gan_research.runs.loggers import CSVLogger
from gan_research.runs.run import Run
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import comparable, read_config, read_history, read_protocols


@pytest.fixture
def run(tmp_path):
    """A run that has begun."""
    run = Run.create(tmp_path / "runs", "a name", "group", ["tag"], ["loss=hinge"], Path("mine"))
    run.begin({"seed": 0})
    return run


def test_a_run_is_read_back_as_it_was(run):
    again = Run.open(run.folder)
    assert (again.name, again.group, again.tags, again.id) == ("a name", "group", ["tag"], run.id)
    assert again.overrides == ["loss=hinge"]
    assert again.config_dir == Path("mine").resolve()
    assert len(again.segments) == 1
    again.begin({"seed": 1}, round=40)
    assert [segment["round"] for segment in Run.open(run.folder).segments] == [0, 40]
    assert (run.folder / "config.yaml").read_text() == f"# run {run.id}\nseed: 1\n"
    assert read_config(run.folder) == {"seed": 1}
    assert Run.open(run.folder).id == run.id


def test_folder_names_are_plain(tmp_path):
    for name in ("../up", "a b/c", "ünï-ö", "loss=hinge+r1,s0"):
        folder = Run.create(tmp_path, name, "group", [], [], None).folder
        assert folder.parent == tmp_path
        assert "/" not in folder.name
        assert " " not in folder.name
    assert len(list(tmp_path.iterdir())) == 4


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"not the folder of a run: it has no run\.json"):
        Run.open(tmp_path)


def test_the_history_is_cut_past_a_round_and_a_torn_row_is_left_out(run):
    history = History(run)
    history.cut(0)  # there is none yet
    rows = [{"round": r, "kimg": r / 10, "loss/generator": 0.1 * r, "speed/x": 1.0} for r in (0, 5, 10, 10, 15)]
    for row in rows:
        history.log_metrics(row, step=row["round"])
    assert list(read_history(history.path)) == rows
    with history.path.open("a") as file:
        file.write('{"round": 20')
    assert list(read_history(history.path)) == rows
    history.cut(10)
    assert history.path.read_text() == "".join(json.dumps({"run": run.id, **row}) + "\n" for row in rows[:4])
    assert comparable(rows[1]) == {"round": 5, "kimg": 0.5, "loss/generator": 0.5}


def test_a_protocol_is_written_once_and_read_in_every_row(run):
    history, about = History(run), {"better": {"fid": "min"}, "ranges": {"fid": (0, None)}}
    rows = [
        {"round": r, "kimg": 1.0, "metrics/fid": 2.0, "protocol": {"num_fake": n}, **about}
        for r, n in ((0, 100), (5, 100), (10, 200))
    ]
    for row in rows:
        history.log_metrics(row, step=row["round"])
    assert list(read_history(history.path)) == rows
    expected = [{"protocol": {"num_fake": n}, **about} for n in (100, 200)]
    assert list(read_protocols(run.folder).values()) == expected
    marks = [json.loads(line)["protocol"] for line in history.path.read_text().splitlines()]
    assert marks[0] == marks[1] != marks[2]
    history.cut(5)
    assert list(read_history(history.path)) == rows[:2]
    (run.folder / "protocols.json").unlink()
    assert list(read_history(history.path)) == [{"round": r, "kimg": 1.0, "metrics/fid": 2.0} for r in (0, 5)]


def test_rows_of_earlier_versions_hold_their_protocol(run):
    row = {"round": 0, "kimg": 0.0, "metrics/fid": 2.0, "protocol": {"num_fake": 100}, "better": {"fid": "min"}}
    (run.folder / "history.jsonl").write_text(json.dumps(row) + "\n")
    assert list(read_history(run.folder / "history.jsonl")) == [row]


def test_rows_of_earlier_versions_have_todays_names_of_metrics(run):
    protocols = {"0a": {"protocol": {"settings": {"is": {"splits": 10}}}, "better": {"is": "max"}}}
    (run.folder / "protocols.json").write_text(json.dumps(protocols))
    old = {"round": 0, "kimg": 0.0, "metrics/is": 2.0, "metrics/is_std": 0.5, "protocol": "0a"}
    (run.folder / "history.jsonl").write_text(json.dumps(old) + "\n")
    new = {"round": 0, "kimg": 0.0, "metrics/inception_score": 2.0, "metrics/inception_score_std": 0.5}
    how = {"protocol": {"settings": {"inception_score": {"splits": 10}}}, "better": {"inception_score": "max"}}
    history = History(run)
    assert list(read_history(history.path)) == [new | how]
    history.log_metrics(new | how | {"round": 5})  # a run that is resumed
    assert list(read_history(history.path)) == [new | how, new | how | {"round": 5}]
    history.cut(0)
    assert json.loads(history.path.read_text()) == new | {"protocol": "0a"}


def test_the_csv_has_one_row_a_round_and_gaps_where_nothing_was_logged(run):
    CSVLogger(run).finalize("success")  # nothing was logged
    assert not (run.folder / "metrics.csv").exists()
    history = History(run)
    for row in ({"round": 0, "metrics/fid": 3.0, "protocol": {"seed": 0}}, {"round": 5, "a": 1}, {"round": 5, "b": 2}):
        history.log_metrics(row)
    CSVLogger(run).finalize("success")
    assert (run.folder / "metrics.csv").read_text().split() == ["round,metrics/fid,a,b", "0,3.0,,", "5,,1,2"]


def test_pages_do_not_make_a_commit_another_one(tmp_path, monkeypatch):
    def git(*words):
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", "-C", str(tmp_path), *author, *words], check=True, capture_output=True, text=True)

    (tmp_path / "package/tracking").mkdir(parents=True)
    (tmp_path / "docs/results").mkdir(parents=True)
    for name in ("package/tracking/run.py", "docs/results/README.md"):
        (tmp_path / name).write_text("before")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    monkeypatch.setattr(run_module, "__file__", str(tmp_path / "package/tracking/run.py"))
    head = git("rev-parse", "HEAD").stdout.strip()
    (tmp_path / "docs/results/README.md").write_text("after")
    (tmp_path / "docs/results/ring-paper.json").write_text("{}")
    assert run_module.commit() == head  # a queue's own records
    (tmp_path / "new.py").write_text("1")
    assert run_module.commit() == f"{head}+"
