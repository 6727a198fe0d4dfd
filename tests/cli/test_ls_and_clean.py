"""`gan ls` and `gan clean`."""

import json
import os
import time

import pytest
from filelock import FileLock
from made import make_run

from gan_research.cli import main
from gan_research.utils.run_folder import LOCK, PLAYER


def run(folder, age=0.0, checkpoints=("last",), **options):
    """A run that was started, with checkpoints of 1,000 bytes, the last entry `age` days ago."""
    made = make_run(folder, **options)
    (made / LOCK).touch()
    (made / "checkpoints").mkdir()
    for name in checkpoints:
        (made / "checkpoints" / f"{name}.ckpt").write_bytes(bytes(1000))
    for path in (made / "run.json", made / "history.jsonl", made):
        os.utime(path, (time.time() - 86_400 * age,) * 2)
    return made


@pytest.fixture
def runs(tmp_path):
    """A finished, a stopped, a failed and an empty run, and folders of others."""
    root = tmp_path / "runs"
    run(root / "done", age=3, checkpoints=("last", "previous", "best_fid", "round_00000100"), every=100)
    run(root / "half", age=1, rounds=900)
    failed = run(root / "broken", rounds=900, fid=(80.0, 9.0), every=50)
    (failed / "crash").mkdir()
    (failed / "crash" / "round_51.json").write_text(json.dumps({"error": "OSError: no room"}))
    run(root / "empty", age=2, checkpoints=(), rounds=900, fid=(80.0,))
    (root / "mine").mkdir()
    (root / "mine" / "run.json").write_text('{"program": "another"}')
    (root / "mine" / LOCK).touch()
    return root


def lines(capsys, *words):
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    assert (status, captured.err) == (0, "")
    return captured.out.splitlines()


def entries(capsys, root):
    listed = json.loads("\n".join(lines(capsys, "ls", root, "--json")))
    return {os.path.basename(entry["folder"]): entry for entry in listed}


def test_runs_are_listed_with_their_state(runs, capsys):
    found = entries(capsys, runs)
    assert list(found)[2:] == ["half", "empty", "done"]  # the latest first
    states = {name: (entry["state"], entry["round"], entry["rounds"]) for name, entry in found.items()}
    assert states.pop("mine") == ("stopped", 0, None)
    assert states == {
        "broken": ("failed", 50, 900), "half": ("stopped", 200, 900), "empty": ("stopped", 0, 900),
        "done": ("finished", 200, 200),
    }  # fmt: skip
    assert (found["done"]["metric"], found["done"]["value"], found["done"]["measured"]) == ("fid", 5.0, 200)
    assert found["broken"]["reason"] == "OSError: no room"
    assert found["half"]["age"] == pytest.approx(86_400, abs=60)
    assert found["done"]["size"] == sum(path.stat().st_size for path in (runs / "done").rglob("*") if path.is_file())


def test_the_table_has_a_line_for_each_run_in_the_order_asked_for(runs, capsys):
    table = lines(capsys, "ls", runs, "--sort", "metric")
    rows = [line.split() for line in table if line.split()[0] in ("finished", "stopped", "failed")]
    assert [row[2:4] for row in rows[:4]] == [["fid", "5"], ["fid", "5"], ["fid", "9"], ["fid", "80"]]
    assert [row[1] for row in rows[2:4]] == ["50/900", "0/900"]
    assert rows[-1][-1].endswith("mine")
    assert lines(capsys, "ls", runs, "--sort", "name")[1].split()[-1].endswith("broken")


def test_a_linked_checkpoint_counts_once(runs, capsys):
    before = entries(capsys, runs)["half"]["size"]
    os.link(runs / "half" / "checkpoints" / "last.ckpt", runs / "half" / "checkpoints" / "best_fid.ckpt")
    assert entries(capsys, runs)["half"]["size"] == before


def test_nothing_is_deleted_unless_it_is_chosen_and_confirmed(runs, capsys, contents):
    before = contents(runs)
    for chosen, named in {
        "--failed": {"broken"}, "--stopped": {"half", "empty"}, "--empty": {"empty"}, "--finished": {"done"},
    }.items():  # fmt: skip
        listed = lines(capsys, "clean", runs, chosen)
        assert {os.path.basename(line.split()[2].rstrip(",")) for line in listed if line.startswith("would")} == named
        assert listed[-1].endswith("add --yes")
    assert contents(runs) == before
    assert main(["clean", str(runs)]) == 2
    assert "--failed" in capsys.readouterr().err
    (line, _) = lines(capsys, "clean", runs, "--stopped", "--older", "1.5")
    assert line.startswith(f"would delete: {runs / 'empty'}, stopped, 2 days old, ")


def test_what_was_chosen_is_deleted(runs, capsys):
    listed = lines(capsys, "clean", runs, "--failed", "--empty", "--yes")
    assert {path.name for path in runs.iterdir()} == {"done", "half", "mine"}
    assert sum(line.startswith("deleted: ") for line in listed) == 2
    assert any(line.startswith("note: ") and "mine" in line for line in listed)


def test_old_checkpoints_are_all_but_the_last_and_the_best(runs, capsys):
    folder = runs / "done" / "checkpoints"
    os.link(folder / "last.ckpt", folder / "round_00000200.ckpt")
    (line, total) = lines(capsys, "clean", runs, "--checkpoints", "--yes")
    assert {path.name for path in folder.iterdir()} == {"last.ckpt", "best_fid.ckpt"}
    assert line.startswith("deleted: 3 checkpoints of ")
    assert total == "1.95 KiB freed"  # of two: the third is another name of the last
    (folder / "last.ckpt").rename(folder / "round_00000100.ckpt")
    assert lines(capsys, "clean", runs, "--checkpoints", "--yes") == ["0 B freed"]


@pytest.mark.parametrize("case", ["locked", "another host", "own file", "sweep", "link"])
def test_runs_that_may_be_needed_are_kept(runs, capsys, case, tmp_path):
    target = runs / "half"
    lock = FileLock(target / LOCK)
    if case == "locked":
        lock.acquire()
    elif case == "another host":
        player = {"host": "elsewhere", "pid": 1, "since": "2026-01-01T00:00:00+0000"}
        (target / PLAYER).write_text(json.dumps(player))
        os.utime(target / PLAYER, (time.time() - 86_400,) * 2)
    elif case == "own file":
        (target / "notes.md").write_text("mine")
    elif case == "sweep":
        (tmp_path / "sweep" / "000" / "0").mkdir(parents=True)
        (tmp_path / "sweep" / "000" / "trial.json").write_text("{}")
        target = target.rename(tmp_path / "sweep" / "000" / "0" / "half")
    else:
        target = target.rename(tmp_path / "half")
        (runs / "half").symlink_to(target)
    main(["clean", str(tmp_path if case == "sweep" else runs), "--stopped", "--yes"])
    assert (target / "checkpoints" / "last.ckpt").is_file()
    assert not (runs / "empty").exists()
    out = capsys.readouterr().out
    assert case == "link" or ("half" in out and "kept" in out)
    lock.release()


def test_what_a_link_points_to_is_kept(runs, capsys, tmp_path):
    elsewhere = (runs / "half" / "checkpoints").rename(tmp_path / "disk")
    (runs / "half" / "checkpoints").symlink_to(elsewhere)
    assert any("deleted" in line for line in lines(capsys, "clean", runs / "half", "--stopped", "--yes"))
    assert not (runs / "half").exists()
    assert (elsewhere / "last.ckpt").is_file()


@pytest.mark.parametrize("command", ["ls", "clean"])
def test_a_folder_that_is_missing_is_one_line(command, tmp_path, capsys):
    words = ["--empty"] if command == "clean" else []
    assert main([command, str(tmp_path / "nowhere"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gan: error: ")
    assert error.count("\n") == 1
