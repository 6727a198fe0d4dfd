"""`gan compare`: a table, CSV, JSON and a page, from trained runs."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from made import PROTOCOL, make_run

from gan_research.cli.compare import page_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train):
    """Two losses, two seeds each. Don't change it."""
    output = tmp_path_factory.mktemp("trained")
    for loss in ("hinge", "least_squares"):
        for seed in (0, 1):
            result = train(output, f"loss={loss}", f"seed={seed}")
            assert result.status == 0, result.error
    return output


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_in_a_folder_are_compared_by_their_loss(gan, trained, here):
    shutil.copytree(trained, "runs", ignore=shutil.ignore_patterns("checkpoints"))
    result = gan("compare", "runs")
    assert result.status == 0, result.error
    assert result.error == ""
    assert "at round 20, by loss" in result.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    groups = [row for row in rows if row[0] == "fid ↓"]
    assert [row[1:3] for row in groups] == [["hinge", "2"], ["least_squares", "2"]]
    assert all(re.fullmatch(r"[\d.]+ \([\d.]+, [\d.]+\) \*", row[3]) for row in groups)  # two seeds, and no test
    (pair,) = (row for row in rows if row[:3] == ["fid", "hinge", "least_squares"])
    assert (pair[5:], "[" in pair[4]) == (["-", "-"], False)
    assert result.output.endswith("written: runs/compare.html\n")
    assert (here / "runs" / "compare.html").read_text().startswith("<!")
    assert gan("compare", "runs").output.endswith("written: runs/compare-2.html\n")
    assert gan("compare", "runs", "--html", "runs/compare.html").output.endswith("replaced: runs/compare.html\n")


def test_numbers_are_those_of_the_histories(gan, trained, here, rows):
    assert gan("compare", trained, "--no-html", "--json", "all.json", "--csv", "all.csv").status == 0
    assert not (here / "compare.html").exists()
    content = json.loads((here / "all.json").read_text())
    table = list(csv.DictReader((here / "all.csv").open()))
    for source in trained.iterdir():
        last = [row for row in rows(source) if "metrics/fid" in row][-1]
        (id,) = (id for id, run in content["runs"].items() if run["source"] == str(source))
        run = content["runs"][id]
        group = run["choices"]["loss"]
        assert last["round"] == content["position"] == 20
        assert content["summaries"]["fid"][group]["values"][id] == last["metrics/fid"]
        (line,) = (row for row in table if row["source"] == str(source) and row["metric"] == "fid")
        assert (line["kind"], line["group"], line["seed"]) == ("run", group, str(run["seed"]))
        assert float(line["value"]) == last["metrics/fid"]
        assert line["state"] == "finished"


def test_each_number_has_the_command_that_made_it(gan, trained, here):
    gan("compare", trained, "--no-html", "--csv", "a b.csv", "--json", "all.json", "--metric", "fid")
    lines = list(csv.DictReader((here / "a b.csv").open()))
    command = f"gan compare {trained} --no-html --csv 'a b.csv' --json all.json --metric fid"
    assert [row["command"] for row in lines if row["kind"] == "summary"] == [command] * 2
    assert json.loads((here / "all.json").read_text())["command"] == command
    assert len([row for row in lines if row["kind"] == "run"]) == 4


def test_equal_time_is_an_axis_and_seeds_can_be_left_out(gan, trained, here):
    result = gan("compare", trained, "--axis", "seconds", "--where", "seed=0", "--no-html")
    assert result.status == 0, result.error
    assert " seconds, by loss" in result.output
    assert (
        "note: one seed: no interval or test can be given for hinge (fid, inception_score, rarest_class)"
        in result.output
    )


def test_groups_of_several_settings(gan, trained, here):
    result = gan("compare", trained, "--by", "loss,seed", "--no-html", "--metric", "fid,inception_score")
    assert "hinge, seed=0" in result.output
    assert "rarest_class" not in result.output


def test_a_failed_run_is_counted_and_its_reason_printed(gan, here):
    for seed in range(3):
        run = make_run(here / f"run{seed}", seed=seed, fid=[80, 10, 5 + seed] if seed else [80, 10], rounds=200)
        if seed == 0:
            (run / "crash").mkdir()
            (run / "crash" / "round_150.json").write_text(json.dumps({"error": "Diverged: [bold]NaN[/bold]"}))
    result = gan("compare", here, "--no-html", "--csv", "all.csv")
    assert "2 of 3 (1 failed)" in result.output
    assert f"failed: {here / 'run0'}: Diverged: [bold]NaN[/bold]" in result.output
    lines = list(csv.DictReader((here / "all.csv").open()))
    assert [row["value"] for row in lines if row["kind"] == "run"] == ["", "6.0", "7.0"]
    assert [row["runs"] for row in lines if row["kind"] == "summary"] == ["2 of 3 (1 failed)"]
    assert f"note: {here / 'run0'}" not in result.output


def test_notes_are_of_the_runs_that_were_selected(gan, here):
    for seed in range(3):
        make_run(here / f"run{seed}", seed=seed)
    for name, seed in (("cut", 3), ("other", 4)):
        with (make_run(here / name, seed=seed) / "history.jsonl").open("a") as file:
            file.write("{\n{}")
    (make_run(here / "unknown", seed=5) / "config.yaml").write_text("[")
    result = gan("compare", here, "--no-html", "--where", "seed=3")
    assert f"note: {here / 'cut' / 'history.jsonl'}, line " in result.output
    assert f"note: {here / 'unknown' / 'config.yaml'} can't be read" in result.output  # it may have that seed
    assert str(here / "other") not in result.output


def test_p_values_are_printed_and_written(gan, here):
    for i in range(12):
        run = make_run(here / str(i), seed=i % 3, fid=[80, 10, 5 + (i % 4) ** 2 + 0.1 * i], lr=0.1 + i % 4)
        with (run / "history.jsonl").open("a") as file:
            file.write(json.dumps({"round": 200, "health/collapse": float(i == 0)}) + "\n")
    arguments = ("--by", "optimizer.generator.lr", "--no-html", "--json", "all.json", "--csv", "all.csv")
    result = gan("compare", here, *arguments)
    content = json.loads((here / "all.json").read_text())
    lines = [row for row in csv.DictReader((here / "all.csv").open()) if row["metric"] == "fid"]
    pairs = [row for row in lines if row["kind"] == "pair"]
    assert len(pairs) == len(content["pairs"]) == 6
    for row, pair in zip(pairs, content["pairs"], strict=True):
        assert (row["group"], row["other"]) == (pair["a"], pair["b"])
        numbers = [pair[key] for key in ("p_value", "p_holm", "difference", "probability")]
        assert [float(row[key]) for key in ("p", "p_holm", "difference", "probability")] == numbers
        assert [float(row["low"]), float(row["high"])] == pair["difference_interval"]
        assert 0 < pair["p_value"] <= pair["p_holm"] <= 1
    assert [row["warning"] for row in lines if row["kind"] == "run"].count("collapsed") == 1
    assert content["ranges"] == {"fid": [0, None]}
    assert "3, 1 collapsed" in result.output
    assert "Student-t on the log scale" in result.output


def test_names_are_text_wherever_they_go(gan, here):
    name = "[red]<script>alert(1)</script>[/]"
    make_run(here / "run", name=name)
    result = gan("compare", "run", "--json", "all.json", "--by", "name")
    assert result.status == 0, result.error
    assert "[red]<script>" in result.output
    assert "<script>alert(1)</script>" not in (here / "run" / "compare.html").read_text()
    (run,) = json.loads((here / "all.json").read_text())["runs"].values()
    assert run["name"] == name


@pytest.mark.parametrize(
    ("paths", "page"),
    [
        (["runs/a"], "runs/a/compare.html"),
        (["runs"], "runs/compare.html"),
        (["."], "compare.html"),
        (["runs/a", "runs/b"], "runs/compare.html"),
        (["runs/a", "other/c"], "compare.html"),
        (["wandb:project"], "compare.html"),
        (["wandb:project", "runs/a"], "runs/a/compare.html"),
        (["/"], "compare.html"),
        (["/usr", "/etc"], "compare.html"),
    ],
)
def test_the_page_is_written_into_the_folder_of_the_runs(here, paths, page):
    for folder in ("runs/a", "runs/b", "other/c"):
        (here / folder).mkdir(parents=True)
    assert page_path(paths) == Path(page)


def test_a_folder_that_is_not_writable_gets_no_page(here, monkeypatch):
    (here / "runs").mkdir()
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != Path("runs"))
    assert page_path(["runs"]) == Path("compare.html")


def test_figures_and_a_table_are_written_for_a_paper(gan, here, monkeypatch):
    module = SimpleNamespace(latex_table=lambda comparison: f"table by {comparison.by}")
    monkeypatch.setitem(sys.modules, "gan_research.report.latex", module)
    make_run(here / "run")
    result = gan("compare", "run", "--no-html", "--figures", "paper", "--metric", "fid")
    assert result.status == 0, result.error
    figures = "curves_fid, distribution_fid"
    assert result.output.endswith(f"written: paper: table.tex, and as SVG and PDF: {figures}\n")
    assert len(list((here / "paper").iterdir())) == 5
    assert (here / "paper" / "table.tex").read_text() == "table by loss"


def test_many_pairs_are_printed_for_the_best_group_only(gan, here):
    for i in range(6):
        make_run(here / str(i), fid=[80, 10, 5 + i], lr=0.1 + i)
    result = gan("compare", here, "--by", "optimizer.generator.lr", "--no-html", "--json", "all.json")
    assert "10 more pairs are in --json" in result.output
    assert "fid: P(a run of the row is better)" in result.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    assert ["1 lr=0.1", "", *["1.00"] * 5] in rows
    assert ["6 lr=5.1", *["0.00"] * 5, ""] in rows
    assert len(json.loads((here / "all.json").read_text())["pairs"]) == 15


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["give run folders, sweep folders, folders of runs, or wandb:"]),
        (["empty"], ["there are no runs in empty"]),
        (["nowhere"], ["there is no file or folder"]),
        (["run", "--by", "los"], ["no setting 'los'", "did you mean 'loss'?"]),
        (["run", "--metric", "fud"], ["no run has a metric 'fud'", "did you mean 'fid'?"]),
        (["run", "--axis", "rounds"], ["--axis rounds", "did you mean 'round'?"]),
        (["run", "--at", "999"], ["--at 999: give a position from 0 to round 200"]),
        (["run", "--where", "loss=wasserstein"], ["no run has loss=wasserstein"]),
        (["run", "--csv", "empty"], ["empty: Is a directory"]),
        (["run", "--figures", "run/run.json"], ["--figures run/run.json is a file", "give a folder"]),
        (["run", "other"], ["run and other differ in num_fake: 100 and 7", "--where KEY=VALUE"]),
        (["wandb:a/b/c"], ["give wandb:PROJECT or wandb:ENTITY/PROJECT"]),
        (["wandb:project"], ["log in with `wandb login`, or give the runs' folders"]),
    ],
)
def test_what_is_wrong_is_one_line(gan, one_line, here, monkeypatch, arguments, parts):
    monkeypatch.setenv("HOME", str(here))
    (here / "empty").mkdir()
    make_run(here / "run")
    make_run(here / "other", loss="minimax", protocol=PROTOCOL | {"num_fake": 7})
    one_line(gan("compare", *arguments), *parts)
