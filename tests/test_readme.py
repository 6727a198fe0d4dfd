"""The commands and the code of the README work."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from gan_research.cli.arguments import parse
from gan_research.cli.sweep_request import sweep_request
from gan_research.config.compose import compose_train, groups

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
COMMANDS = [line.split("#")[0][2:].strip() for line in README.splitlines() if line.startswith("$ gan train")]
TABLE = [line.strip("|").split("|") for line in README.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("command", [c for c in COMMANDS if "resume=" not in c and "--help" not in c])
def test_every_training_command_composes(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    words = shlex.split(command)[2:]
    given = parse(words, "gan train", options=("--cfg", "-m"))
    compositions = sweep_request(given).compositions if "-m" in words else [compose_train(given.overrides)]
    assert all(composition.config["rounds"] >= 1 for composition in compositions)


@pytest.mark.parametrize(("names", "choices"), [row[:2] for row in TABLE], ids=[row[0].strip() for row in TABLE])
def test_the_table_of_groups_names_every_choice_and_no_other(names, choices):
    known = {
        choice
        for name in re.findall(r"`(\w+)`", names)
        for choice, line in groups()[name].items()
        if not line.startswith("deprecated:")
    }
    listed = set(re.findall(r"`(\w+)`", choices)) - {
        "discriminator_steps",
        "generator_steps",
        "generator_batch_multiple",
        "fake_labels",
        "generator_reals",
        "first",
    }
    assert listed == known - ({"none"} if "regularizer" in names else set())


def test_the_code_without_hydra_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "trainer.fit" in b)
    names: dict = {}
    exec(block, names)
    assert names["gan"].round == 200
    assert names["images"].shape == (64, 1, 8, 8)
    (table,) = tmp_path.glob("logs/**/metrics.csv")
    rows = list(csv.DictReader(table.open()))
    assert {int(row["step"]) for row in rows if row["loss/generator"]} == {50, 100, 150, 200}
    assert {int(row["step"]) for row in rows if row["metrics/fid"]} == {0, 100, 200}
    saved = {path.stem for path in (tmp_path / "checkpoints").iterdir()}
    assert saved == {"last", "previous", "best_fid"}
