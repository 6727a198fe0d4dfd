"""Runs are read from whatever folders there are, as far as they can be."""

import json
import os
import platform

import pytest
import torch
from filelock import FileLock
from made import end_trial, make_run

from gan_research.report.read import read
from gan_research.utils.errors import UserError


def only(path):
    (record,), notes = read([path])
    return record, [*notes, *record.notes]


def player(run, host=None, pid=None):
    (run / ".player.json").write_text(
        json.dumps({"host": host or platform.node(), "pid": pid or os.getpid(), "since": "now"})
    )


def test_a_run_is_read_whole(tmp_path):
    run = make_run(tmp_path / "run", loss="wasserstein", seed=3)
    record, notes = only(run)
    assert notes == []
    assert (record.name, record.seed, record.state, record.source) == (
        "digits-mlp-wasserstein-s3",
        3,
        "finished",
        str(run),
    )
    assert record.command == "gan train loss=wasserstein seed=3"
    assert record.facts.get("loss") == "wasserstein"
    assert record.facts.get("optimizer.generator.lr") == 0.001
    assert record.facts.get("no.such") is None
    assert record.series("metrics/fid", "round") == ([0, 100, 200], [80, 10, 5])
    assert record.series("metrics/fid", "kimg") == ([0, 6.4, 12.8], [80, 10, 5])
    assert record.series("loss/r1", "seconds") == (pytest.approx([0.5, 1, 1.5, 2]), [0.5] * 4)
    assert {round: path.name for round, path in record.samples.items()} == {
        0: "round_00000000.png",
        100: "round_00000100.png",
        200: "round_00000200.png",
    }


def test_what_a_shell_would_split_is_quoted_in_the_command(tmp_path):
    run = make_run(tmp_path / "run")
    fields = json.loads((run / "run.json").read_text())
    fields["segments"][0]["command"] = ["/x/gan", "train", "regularizer=[r1,r2]", "name=a b"]
    (run / "run.json").write_text(json.dumps(fields))
    assert only(run)[0].command == "gan train 'regularizer=[r1,r2]' 'name=a b'"


def test_an_evaluations_seconds_are_interpolated_and_go_on_after_the_last_entry_of_the_log(tmp_path):
    run = make_run(tmp_path / "run", fid=[80, 10, 5, 4])
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    kept = [row for row in rows if "speed/seconds" not in row or row["round"] in (150, 250)]
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert only(run)[0].series("metrics/fid", "seconds") == (pytest.approx([0, 1, 2, 3]), [80, 10, 5, 4])


def test_an_old_run_tells_no_seconds(tmp_path):
    record, _ = only(make_run(tmp_path / "run", seconds=None))
    assert record.series("metrics/fid", "seconds") == ([], [])


@pytest.mark.parametrize(
    ("loss", "overrides", "choice"),
    [
        ("non_saturating", [], "non_saturating"),
        ("least_squares", ["seed=1", "loss=ra_hinge"], "ra_hinge"),
    ],
)
def test_an_old_runs_choices_are_those_of_its_overrides_or_its_classes(tmp_path, loss, overrides, choice):
    run = make_run(tmp_path / "run", loss=loss, choices=False)
    fields = json.loads((run / "run.json").read_text()) | {"overrides": overrides}
    (run / "run.json").write_text(json.dumps(fields))
    record, _ = only(run)
    assert record.facts.get("loss") == choice
    assert record.facts.get("regularizer") == "r1"
    assert record.facts.get("optimizer") == "adam"


def test_the_last_rounds_may_leave_no_row(tmp_path):
    run = make_run(tmp_path / "run", rounds=230, log_every=50)
    assert only(run)[0].state == "stopped"
    (run / "checkpoints").mkdir()
    for trained, state in ((229, "stopped"), (230, "finished")):
        torch.save({"gan_research": {"format": 1, "round": trained}}, run / "checkpoints" / "last.ckpt")
        assert only(run)[0].state == state


def test_runs_whose_records_have_no_id_are_distinguished_by_their_folders(tmp_path):
    for parent in ("a", "b"):
        (make_run(tmp_path / parent / "run") / "run.json").write_text("{}")
    records, notes = read([tmp_path, tmp_path / "a"])
    assert (len(records), notes) == (2, [])


def test_nans_and_nulls_are_no_part_of_a_series(tmp_path):
    record, _ = only(make_run(tmp_path / "run", fid=[80, float("nan"), None, 5]))
    assert record.series("metrics/fid", "round") == ([0, 300], [80, 5])


def test_a_half_written_line_is_left_out(tmp_path):
    run = make_run(tmp_path / "run", rounds=900)
    with (run / "history.jsonl").open("a") as file:
        file.write('{"round": 300, "metrics/fid": 1.')
    record, notes = only(run)
    assert record.series("metrics/fid", "round")[0] == [0, 100, 200]
    assert (record.state, notes) == ("stopped", [])


def test_a_run_without_history_is_said(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "history.jsonl").unlink()
    record, notes = only(run)
    assert (record.rows, record.state) == ([], "stopped")
    assert notes == [f"{run} has no history yet"]


def test_a_process_that_holds_the_lock_trains_the_run(tmp_path):
    run = make_run(tmp_path / "run", rounds=900)
    (run / ".lock").touch()
    player(run)
    assert only(run)[0].state == "stopped"  # a number of a process that trains something else
    with FileLock(run / ".lock"):
        assert only(run)[0].state == "running"
    player(run, pid=2**22 + 1)
    assert only(run)[0].state == "stopped"
    assert (run / ".lock").exists()


def test_a_run_that_no_process_trains_isnt_asked_for_its_lock(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", rounds=900)
    (run / ".lock").touch()
    monkeypatch.setattr("gan_research.report.folders.is_locked", lambda path: pytest.fail("asked"))
    assert only(run)[0].state == "stopped"


def test_on_another_host_a_run_that_writes_is_running(tmp_path):
    run = make_run(tmp_path / "run", rounds=900)
    player(run, host="elsewhere")
    assert only(run)[0].state == "running"
    for path in (run / ".player.json", run / "history.jsonl"):
        os.utime(path, (0, 0))
    assert only(run)[0].state == "stopped"


def test_a_crash_is_why_a_run_failed_unless_it_was_started_again(tmp_path):
    run = make_run(tmp_path / "run", rounds=900)
    record = run / "crash" / "round_250.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"error": "Diverged: loss/generator is\nnan in round 250"}))
    found, _ = only(run)
    assert (found.state, found.reason) == ("failed", "Diverged: loss/generator is nan in round 250")
    os.utime(record, (0, 0))
    assert only(run)[0].state == "stopped"


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ({"name": 3}, "finished"),
        ({"id": "x", "name": "n", "overrides": 5, "segments": {}, "choices": [], "later": 1}, "finished"),
        ({"id": "x", "name": "n", "segments": [{"command": None, "started": "once"}]}, "finished"),
    ],
)
def test_the_record_of_another_version_is_read_as_far_as_it_goes(tmp_path, content, state):
    run = make_run(tmp_path / "run")
    (run / "run.json").write_text(json.dumps(content))
    record, notes = only(run)
    assert (record.state, record.seed, record.facts.get("loss"), notes) == (state, 0, "hinge", [])
    assert record.command.startswith("gan train")


@pytest.mark.parametrize("content", ["{", "[]", "", "!!python/object:os.system x", "a: [", "just text"])
def test_what_cant_be_read_is_noted(tmp_path, content):
    run = make_run(tmp_path / "run")
    (run / "config.yaml").write_text(content)
    record, notes = only(run)
    assert record.facts.get("loss") == "hinge"  # the record of choices is whole
    assert record.state == "stopped"
    (note,) = notes
    assert note.startswith(f"{run / 'config.yaml'} can't be read: ")
    assert "settings aren't known" in note
    assert "\n" not in note
    (run / "run.json").write_text(content)
    record, notes = only(run)
    assert record.name == "run"
    assert len(notes) == 2
    assert notes[0].startswith(f"{run / 'run.json'} can't be read: ")


def test_runs_are_found_at_any_depth_and_once(tmp_path):
    runs = [make_run(tmp_path / "a" / "b" / f"run{seed}", seed=seed) for seed in range(2)]
    (runs[0] / "wandb" / "inner").mkdir(parents=True)
    (runs[0] / "wandb" / "inner" / "run.json").write_text("{}")
    records, notes = read([tmp_path, runs[0], str(tmp_path / "a" / ".." / "a")])
    assert [record.seed for record in records] == [0, 1]
    assert notes == []


def test_a_copy_of_a_run_is_left_out(tmp_path):
    run = make_run(tmp_path / "run")
    copy = make_run(tmp_path / "copy")
    (copy / "run.json").write_text((run / "run.json").read_text())
    records, notes = read([run, copy])
    assert [record.source for record in records] == [str(run)]
    assert notes == [f"{copy} is left out: it is a copy of {run}"]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_where_there_are_no_runs_one_line_says_so(tmp_path, make):
    make(tmp_path / "empty")
    with pytest.raises(UserError, match=r"there (are no runs in|is no folder) .*empty"):
        read([tmp_path / "empty"])


def make_trial(sweep, number, loss, runs=1):
    folder = sweep / f"{number:03d}"
    folder.mkdir(parents=True)
    overrides = [[f"loss={loss}", f"seed={seed}", "optimizer.generator.lr=0.01"] for seed in range(runs)]
    content = {"number": number, "values": {"loss": loss}, "runs": overrides}
    (folder / "trial.json").write_text(json.dumps(content))
    return folder


def test_a_sweep_is_read_with_what_failed_before_there_was_a_run(tmp_path):
    first = make_trial(tmp_path, 0, "hinge", runs=2)
    for seed in range(2):
        make_run(first / str(seed) / "run", seed=seed)
        end_trial(first / str(seed), "finished")
    second = make_trial(tmp_path, 1, "minimax")
    make_run(second / "0" / "run", loss="minimax", rounds=900)
    end_trial(second / "0", "killed", "by signal 9")
    third = make_trial(tmp_path, 2, "wasserstein")
    end_trial(third / "0", "failed", "no room")
    make_trial(tmp_path, 3, "minimax")  # not begun
    pruned = make_trial(tmp_path, 4, "minimax")
    make_run(pruned / "0" / "run", loss="minimax", rounds=900)
    end_trial(pruned / "0", "pruned")
    records, notes = read([tmp_path])
    found = {(r.trial, r.seed): (r.facts.get("loss"), r.state, r.reason) for r in records}
    assert found == {
        (0, 0): ("hinge", "finished", None),
        (0, 1): ("hinge", "finished", None),
        (1, 0): ("minimax", "failed", "by signal 9"),
        (2, 0): ("wasserstein", "failed", "no room"),
        (4, 0): ("minimax", "stopped", "pruned"),
    }
    assert notes == []
    (unbegun,) = (record for record in records if record.trial == 2)
    assert unbegun.command == "gan train loss=wasserstein seed=0 optimizer.generator.lr=0.01"
    assert unbegun.facts.get("optimizer.generator.lr") == 0.01


def test_what_a_sweep_began_anew_counts_once(tmp_path):
    trial = make_trial(tmp_path, 0, "hinge")
    old, new = (make_run(trial / "0" / name) for name in ("first", "second"))
    os.utime(old / "run.json", (0, 0))
    records, notes = read([tmp_path])
    assert [record.source for record in records] == [str(new)]
    assert notes == [f"{old} is left out: the sweep has started it again"]
