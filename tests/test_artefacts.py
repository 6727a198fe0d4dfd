"""What earlier versions wrote is read today: see the README beside the artefacts."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from gan_research import load
from gan_research.checkpoints.io import open_checkpoint
from gan_research.cli import main
from gan_research.config.build import make
from gan_research.config.upgrade import upgraded, upgraded_protocol
from gan_research.report.read import read
from gan_research.reproduction.result import Result
from gan_research.runs.auto_resume import own_run
from gan_research.sweeps.sweep import Sweep
from gan_research.utils.run_folder import comparable, read_history

VERSIONS = sorted(path for path in (Path(__file__).parent / "artefacts").iterdir() if path.is_dir())

TOLERANCE = {"rtol": 0.0, "atol": 1e-6}
"""Of float32: another CPU may add in another order."""


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def artefacts(request, tmp_path, monkeypatch):
    """A copy of a version's artefacts, from inside of which all is called."""
    shutil.copytree(request.param, tmp_path / "artefacts")
    monkeypatch.chdir(tmp_path / "artefacts")
    return tmp_path / "artefacts"


def close(a, b):
    assert torch.allclose(torch.as_tensor(a), torch.as_tensor(b), **TOLERANCE)


def test_a_run_and_an_export_are_sampled(artefacts):
    stored = np.load("samples.npz")
    close(load("run").sample(6, seed=0), stored["run"])
    close(load("run/checkpoints/last.ckpt", raw=True).sample(6, seed=0), stored["raw"])
    close(load("export").sample(6, seed=0), stored["run"])


def test_the_commands_sample_and_export_a_run(artefacts, capsys):
    assert main(["export", "run", "-o", "again"]) == 0
    close(load("again").sample(6, seed=0), np.load("samples.npz")["run"])
    assert main(["sample", "again", "-n", "6", "-o", "six.npz"]) == 0
    levels = (np.load("samples.npz")["run"].transpose(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(np.load("six.npz")["images"] - levels).max() <= 0.5 + 1e-3


def parted(row):
    """A row's floats, and the rest of it."""
    floats = {name: value for name, value in row.items() if isinstance(value, float)}
    return floats, {name: value for name, value in row.items() if name not in floats}


def the_whole_run(folder):
    """Assert that the run has gone on to its end as if it hadn't been interrupted."""
    close(load(folder).sample(6, seed=0), np.load("samples.npz")["whole"])
    paths = folder / "history.jsonl", Path("whole.jsonl")
    for now, then in zip(*([parted(comparable(row)) for row in read_history(path)] for path in paths), strict=True):
        for words in (now[1], then[1]):
            words["protocol"] = upgraded_protocol(words.get("protocol") or {})
        now[0].pop("health/explosion", None)  # which that version didn't log
        now[1].pop("ranges", None)
        assert now[1] == then[1]
        assert now[0] == pytest.approx(then[0], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("words", [[], ["keep_every=3"]], ids=["as it is", "with an override"])
def test_a_run_goes_on_to_its_end(words, artefacts, capsys):
    assert main(["train", "resume=run", *words]) == 0
    the_whole_run(artefacts / "run")


def test_a_run_is_found_again_by_its_game(artefacts, capsys):
    (artefacts / "runs").mkdir()
    (artefacts / "run").rename(artefacts / "runs" / "run")
    words = json.loads((artefacts / "runs" / "run" / "run.json").read_text())["overrides"]
    assert main(["train", *words, "resume=auto"]) == 0
    assert [path.name for path in (artefacts / "runs").iterdir()] == ["run"]
    the_whole_run(artefacts / "runs" / "run")


def test_a_run_is_not_found_by_another_game(artefacts):
    config = upgraded(open_checkpoint("run")[1]["config"]) | {"output": str(artefacts)}
    assert own_run(config).folder == artefacts / "run"
    assert own_run(config | {"seed": 1}) is None


def test_another_game_is_refused(artefacts, capsys):
    assert main(["train", "resume=run", "generator.width=5"]) == 2
    assert "generator.width: 4 -> 5" in capsys.readouterr().err


def test_a_sweep_is_read_and_compared(artefacts, capsys):
    sweep = Sweep.open(artefacts / "sweep")
    assert [trial.state for trial in sweep.snapshot()] == ["finished", "finished"]
    assert make(sweep.search, spec=sweep.spec).ask(sweep.snapshot()) is None
    assert main(["compare", "sweep", "--by", "loss", "--no-html", "--json", "now.json"]) == 0
    now, then = (json.loads(Path(name).read_text()) for name in ("now.json", "compare.json"))
    for key in ("groups", "metrics", "position", "summaries", "varied", "differences"):
        assert now[key] == then[key], key
    assert [pair | {"p_value": None, "p_holm": None} for pair in then["pairs"]] == now["pairs"]


def test_a_sweep_that_is_over_has_nothing_left_to_train(artefacts, capsys):
    before = sorted(artefacts.rglob("*"))
    assert main(["sweep", "resume", "sweep"]) == 0
    assert "2 finished" in capsys.readouterr().out
    assert sorted(artefacts.rglob("*")) == before


def test_configs_of_runs_are_read_with_todays_names(artefacts):
    records, _ = read(["run", "sweep"])
    assert len(records) == 3
    old = yaml.safe_load(Path("run/config.yaml").read_text())
    (record,) = (record for record in records if record.source == "run")
    assert record.config["data"] == {"train_size": None} | old["data"]
    assert record.config["ema"]["_target_"] == "gan_research.training.ema.EMA"


def test_a_record_is_read(artefacts):
    result = Result.read(Path("record.json"))
    stored = json.loads(Path("record.json").read_text())
    assert [seed.values for seed in result.seeds] == [seed["values"] for seed in stored["seeds"]]
    assert result.claim.numbers == stored["published"]["numbers"]


ABSOLUTE = re.compile(rb"(?<![\w./~$}<])/([A-Za-z][\w.-]*)/")
"""The first folder of an absolute path."""


def test_no_artefact_names_a_place_of_its_own():
    for path in (path for version in VERSIONS for path in version.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not any(place in content for place in (b"/home/", b"/root/", b"/Users/")), path
        assert set(ABSOLUTE.findall(content)) <= {b"tmp"}, path
