"""Data that moved: a run resumes if their content is the same, wherever they are."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image


@pytest.fixture
def moved(train, the_run, tmp_path, monkeypatch):
    """(run, its last folder of images): the run has finished 4 rounds, and the images are in `there` now."""
    monkeypatch.setenv("GAN_SWEEPS_RUN", "own")  # its own run is resumed by resume=auto, also a finished one
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)):
        Image.fromarray(pixels).save(here / f"{i}.png")
    (here / "notes.txt").write_text("no image")
    result = train(tmp_path / "runs", *settings(here), "rounds=4")
    assert result.status == 0, result.error
    line = next(line for line in result.output.splitlines() if line.startswith("data "))
    assert line == "data here: 8 samples of 3 x 8 x 8; 8 image files of 8 x 8; 8 RGB; left out: 1 .txt"
    run = the_run(tmp_path / "runs")
    assert json.loads((run / "run.json").read_text())["segments"][0]["data"]["summary"] == line.removeprefix("data ")
    here.rename(there)
    return run, there


def settings(root):
    return "data=image_folder", f"data.root={root}", "data.resolution=8", "batch_size=4", "metrics=none"


def test_a_run_resumes_where_its_data_are_now(moved, gan, train, one_line, contents, the_run, tmp_path):
    run, there = moved
    before = contents(run)
    one_line(gan("train", f"resume={run}", "rounds=6"), str(tmp_path / "here"), "add data.root=PATH")
    changed = gan("train", f"resume={run}", "rounds=6", f"data.root={there}", "data.flip=true")
    one_line(changed, "data.flip: False -> True")
    assert contents(run) == before
    one_line(gan("evaluate", run, "--metrics", "fid", "--extractor", "values"), str(tmp_path / "here"), "--data-root")
    assert gan("train", f"resume={run}", "rounds=6", f"data.root={there}").status == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["data"]["root"], config["rounds"]) == (str(there), 6)
    assert gan("train", f"resume={run}", "rounds=8", "trainer=cpu").status == 0  # the new place is kept

    (tmp_path / "link").symlink_to(there)
    again = train(tmp_path / "runs", *settings(tmp_path / "link"), "rounds=10", "resume=auto")
    assert again.status == 0, again.error
    assert the_run(tmp_path / "runs") == run
    assert [segment["round"] for segment in json.loads((run / "run.json").read_text())["segments"]] == [0, 4, 6, 8]


@pytest.mark.parametrize("how", ["elsewhere", "in place", "added", "removed"])
def test_other_data_are_refused(how, moved, gan, one_line, contents, tmp_path):
    run, there = moved
    if how in ("elsewhere", "in place"):
        Image.new("RGB", (8, 8)).save(there / "3.png")
    elif how == "added":
        Image.new("RGB", (8, 8)).save(there / "9.png")
    else:
        (there / "3.png").unlink()
    place = (f"data.root={there}",)
    if how == "in place":
        there.rename(tmp_path / "here")
        place = ()
    before = contents(run)
    one_line(gan("train", f"resume={run}", "rounds=6", *place), "aren't those", str(run))
    assert contents(run) == before


def test_a_run_without_a_hash_is_resumed_in_its_old_place_only(moved, gan, one_line, tmp_path):
    run, there = moved
    record = json.loads((run / "run.json").read_text())
    del record["segments"][0]["data"]  # as earlier versions wrote it
    (run / "run.json").write_text(json.dumps(record))
    one_line(gan("train", f"resume={run}", "rounds=6", f"data.root={there}"), "earlier version", "hash")
    there.rename(tmp_path / "here")
    assert gan("train", f"resume={run}", "rounds=6").status == 0


def test_the_same_command_on_other_data_starts_another_run(moved, train, tmp_path):
    _, there = moved
    Image.new("RGB", (8, 8)).save(there / "3.png")
    assert train(tmp_path / "runs", *settings(there), "rounds=6", "resume=auto").status == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2
