"""`gan cost`: its table, its JSON file and its errors."""

import json
import re
from pathlib import Path

import pytest
import torch

from gan_research.cli.cost import options_of, overrides_of, si
from gan_research.config.compose import compose_train
from gan_research.runs.run import device_name
from gan_research.utils.texts import bytes_text, duration

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cost.md").read_text()

SMALL = (
    "trainer=cpu",
    "logger=none",
    "metrics=none",
    "generator.width=16",
    "discriminator.width=16",
    "--seconds",
    "0.2",
)


def test_the_cost_is_printed_as_a_table_and_written_as_json(gan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    result = gan("cost", "modes", *SMALL, "analysis=none", "rounds=300", "--json", "cost.json")
    assert result.status == 0, result.error
    device = " ".join(device_name(torch.device("cpu")).split())
    assert f"modes-mlp-non_saturating-generator.width=16-discriminator.width=16-s0, on {device}" in " ".join(
        result.output.split()
    )
    for row in ("rounds", "300 (76.8 kimg)", "parameters of generator", "FLOPs a round", "time of the run", "networks"):
        assert row in result.output
    written = json.loads((tmp_path / "cost.json").read_text())
    assert written["rounds"] == 300
    assert written["updates"] == {"discriminator": 300, "generator": 300}
    assert sum(written["shares"].values()) == pytest.approx(1)
    assert [path.name for path in tmp_path.iterdir()] == ["cost.json"]


def test_what_is_refused(gan, one_line, tmp_path):
    one_line(gan("cost", "mnist_dcgn"), "experiment=mnist_dcgn", "did you mean 'mnist_dcgan'?")
    one_line(gan("cost", "modes", "phases"), "one recipe", "modes and phases")
    one_line(gan("cost", "rounds=0"), "rounds=0")
    one_line(gan("cost", "--seconds", "0"), "seconds=0")
    one_line(gan("cost", "--rounds", "0"), "rounds=0")
    one_line(gan("cost", "--json", tmp_path / "no" / "cost.json"), "there is no folder")
    one_line(gan("cost", "data=image_folder", f"data.root={tmp_path / 'no'}", "data.resolution=8"), "data.root")
    one_line(gan("cost", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"), "add trainer.devices=1")


def test_arguments_are_a_recipe_and_overrides():
    assert overrides_of(["rounds=5", "modes", "~watch"]) == ["experiment=modes", "rounds=5", "~watch"]
    assert overrides_of(["loss=hinge"]) == ["loss=hinge"]


def test_numbers_are_written_with_three_digits():
    assert [si(x) for x in (0, 12, 999, 1000, 1234567, 999_600, 2.5e15)] == [
        "0", "12", "999", "1 k", "1.23 M", "1 M", "2.5 P",
    ]  # fmt: skip
    assert [bytes_text(x) for x in (0, 1000, 1024, 5 * 2**30)] == ["0 B", "1000 B", "1 KiB", "5 GiB"]
    assert [duration(x) for x in (0.0123, 12.34, 3599.6, 7 * 3600 + 90, 9 * 86400)] == [
        "12.3 ms", "12.3 s", "60 min", "7.03 h", "9 days",
    ]  # fmt: skip


@pytest.mark.parametrize("line", re.findall(r"^\$ gan cost ([^#\n]+)", PAGE, re.MULTILINE))
def test_commands_of_the_page_compose(line):
    assert compose_train(overrides_of(options_of(line.split()).argv)).config["rounds"] >= 1
