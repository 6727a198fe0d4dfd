"""Every file and command of docs/extend.md works as it stands, in a folder outside of the checkout."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch

from gan_research.cli import main
from gan_research.config.build import component
from gan_research.config.compose import choice
from gan_research.testing import check_component
from gan_research.utils.run_folder import read_history

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extend.md").read_text()
FILES = dict(re.findall(r"```(?:python|yaml) title=(\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^\$ PYTHONPATH=mine gan (.+)$", PAGE, re.MULTILINE)
TINY = ("generator.width=8", "discriminator.width=8", "batch_size=8", "log_every=1", "metrics=none", "trainer=cpu")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A fresh folder with the page's files, from which the commands are run."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    importlib.invalidate_caches()
    return tmp_path / "mine"


def test_the_page_has_what_it_promises():
    assert len(COMMANDS) == 5
    assert {Path(name).parent.name for name in FILES if name.endswith(".yaml")} == {
        "head", "regularizer", "loss", "augment", "generator", "discriminator", "data",
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: shlex.split(command)[3])
def test_a_command_trains_and_its_run_resumes(command, mine, capsys):
    assert main([*shlex.split(command), *TINY]) == 0
    (run,) = (mine.parent / "runs").iterdir()
    allow = [
        word
        for module in ("brightness", "squared_hinge", "random_flip", "small", "stripes")
        for word in ("--allow", module)
    ]
    assert main(["train", f"resume={run}", "rounds=8", *allow]) == 0
    assert [row["round"] for row in read_history(run / "history.jsonl")][-1] == 8
    capsys.readouterr()


def test_its_regularizer_is_logged_and_learns(mine, capsys):
    assert (
        main([*shlex.split(COMMANDS[0].replace("rounds=6", "rounds=200")), *TINY[:-3], "log_every=20", "metrics=none"])
        == 0
    )
    (run,) = (mine.parent / "runs").iterdir()
    losses = [row["loss/brightness"] for row in read_history(run / "history.jsonl")]
    assert 0 < losses[-1] < 0.5 * losses[0]


def test_its_tests_pass(mine):
    tests = importlib.import_module("test_mine")
    assert [name for name in dir(tests) if name.startswith("test_")] == ["test_brightness", "test_random_flip"]
    brightness, flip = importlib.import_module("brightness"), importlib.import_module("random_flip")
    check_component(brightness.BrightnessPenalty(weight=0.1), head=brightness.BrightnessHead, ranks=False)
    check_component(flip.RandomFlip(), ranks=False)


def test_the_theory_of_its_loss(mine):
    """What it states is what minimizing D's expected loss gives."""
    loss = component(choice("loss", "squared_hinge", mine), "loss")
    p, q = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    theory = loss.theory()
    logits = theory.optimal_logit(p, q).requires_grad_()
    expected = loss.expected("discriminator", logits, p, q)
    assert theory.value(p, q).item() == pytest.approx(-expected.item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(expected, logits)
    assert gradient.abs().max().item() < 1e-12
    q = q.requires_grad_()
    (slope,) = torch.autograd.grad(theory.descends(p, q), q)
    assert torch.allclose(slope, -theory.optimal_logit(p, q), atol=1e-12)
