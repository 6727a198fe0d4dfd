"""What the pages say is so."""

import re
import shlex
from pathlib import Path

import pytest

from gan_research.cli import arguments
from gan_research.cli.compare import parser
from gan_research.cli.evaluate import parse
from gan_research.cli.sweep_request import sweep_request
from gan_research.cli.theory import STUDIES
from gan_research.config.build import make
from gan_research.config.compose import choice, compose_multirun, compose_train, groups
from gan_research.metrics import EXTRACTORS, METRICS

ROOT = Path(__file__).resolve().parents[1]
THEORY = (ROOT / "docs" / "theory.md").read_text()
EVALUATION = (ROOT / "docs" / "evaluation.md").read_text()
ROWS = {
    row[0].strip(" `"): row[1:] for row in (re.split(r"(?<!\\)\|", line)[1:-1] for line in THEORY.splitlines()) if row
}
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", groups()["loss"])
def test_the_table_of_losses_is_what_they_declare(name):
    theory = make(choice("loss", name)).theory()
    stated = [cell.strip().replace("\\|", "|") for cell in ROWS[name]]
    assert stated == [theory.divergence.name or "", f"{theory.at_equality:.6g}", theory.descends.name or ""]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", page.read_text())
    missing = [
        link for pair in links for link in pair if link and "://" not in link and not (page.parent / link).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("command", re.findall(r"^\$ gan theory (.+)$", THEORY, re.MULTILINE))
def test_commands_of_the_theory_page_compose(command):
    study, *words = command.split()
    overrides = [f"experiment={STUDIES[study][0]}", *(word for word in words if word != "--all")]
    assert compose_train(overrides).config["rounds"] >= 1


@pytest.mark.parametrize("command", re.findall(r"^\$ gan evaluate ([^#\n]+)", EVALUATION, re.MULTILINE))
def test_commands_of_the_evaluation_page_are_understood(command):
    options = parse(shlex.split(command))
    known = {*groups()["metrics"], *METRICS}
    assert options.samples
    assert set(options.metrics) <= known


def test_the_evaluation_page_names_every_metric_extractor_and_choice():
    named = set(re.findall(r"`(\w+)`", EVALUATION))
    inner = {"stacked_classifier", "values", "mixture_modes"}  # what some choices of metrics are made of
    assert set(METRICS) | set(EXTRACTORS) - inner | set(groups()["metrics"]) - {"auto", "none"} <= named


COMPARING = (ROOT / "docs" / "compare.md").read_text() + (ROOT / "docs" / "sweeps.md").read_text()


@pytest.mark.parametrize("words", re.findall(r"^\$ gan compare ([^#\n]+)", COMPARING, re.MULTILINE))
def test_commands_of_comparisons_are_understood(words):
    assert parser().parse_args(shlex.split(words)).paths


@pytest.mark.parametrize("words", re.findall(r"^\$ gan train -m ([^#\n]+)", COMPARING, re.MULTILINE))
def test_commands_of_sweeps_compose(words):
    request = sweep_request(arguments.parse(shlex.split(words), "gan train", options=("--cfg",)))
    assert all(composition.config["rounds"] >= 1 for composition in request.compositions)


def test_the_page_of_sweeps_names_all_of_the_pool_and_of_optuna():
    for node in (compose_multirun([])["pool"], compose_multirun(["sweep=optuna"])["sweep"]):
        for key in set(node) - {"_target_"}:
            assert f"`pool.{key}`" in COMPARING or f"`sweep.{key}`" in COMPARING or f"`sweep/{key}`" in COMPARING
