"""What the package states about itself is so, in each file that states it."""

import tomllib
from pathlib import Path

import yaml

from gan_research import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_and_license_are_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert __version__ == PROJECT["version"] == citation["version"]
    assert f"## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert PROJECT["license"] == citation["license"] == (ROOT / "LICENSE").read_text().split()[0] == "MIT"


def test_each_dependency_has_a_reason_and_a_version():
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    versions = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]:
        name = line.partition("[")[0].partition(">")[0].partition("=")[0].lower()
        name = name.replace("_", "-")
        if name not in ("gan-research", "types-pyyaml"):
            assert name in reasons, name
            assert name in versions, name


def test_the_hooks_run_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == ["make lint"]
    assert "\nlint:" in (ROOT / "Makefile").read_text()
