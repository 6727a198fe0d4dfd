"""The notebook is executed, with figures inside and without warnings."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from gan_research.cli.arguments import parse
from gan_research.cli.sweep_request import sweep_request
from gan_research.config.compose import compose_train

nbformat = pytest.importorskip("nbformat", reason="the extra notebook isn't installed")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
FIGURES = 6  # samples over training, curves, samples, an interpolation, the comparison, the theory


def test_its_cells_and_commands_are_understood():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for source in code:
        if not source.startswith("%%"):
            compile(source, "cell", "exec")
    lines = re.findall(r"^gan train ([^|\\\n]+)", "\n".join(code), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        given = parse(shlex.split(line), "gan train", options=("-m",))
        several = "-m" in given.options
        compositions = sweep_request(given).compositions if several else [compose_train(given.overrides)]
        assert len(compositions) == (2 if several else 1)  # of each loss, with its first seed
    for link in re.findall(r"\]\(([^)]+)\)", "\n".join(cell.source for cell in notebook.cells)):
        assert (NOTEBOOK.parent / link).is_file(), link
    assert not re.search(r"/(home|root|tmp|Users)/", NOTEBOOK.read_text())


@pytest.mark.long
def test_it_runs_with_figures_and_without_warnings(tmp_path):
    spec = importlib.util.spec_from_file_location("run_notebook", ROOT / "scripts" / "run_notebook.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    notebook = module.run_notebook(tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert [output for output in outputs if output.get("name") == "stderr" or output.output_type == "error"] == []
    text = "".join(output.get("text", "") for output in outputs)
    assert "fid" in text
    assert "warning" not in text.lower()
    assert len([output for output in outputs if {"image/png", "image/svg+xml"} & {*output.get("data", ())}]) >= FIGURES
