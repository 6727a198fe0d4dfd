"""The figures and the table of a comparison for a paper."""

import sys
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from pages import HOSTILE, many_groups, records_of

from gan_research.report.comparison import compare
from gan_research.report.paper import figures_of, write_paper

KINDS = ("curves_fid", "distribution_fid", "improvement_fid")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return many_groups(tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="module")
def drawn(many):
    return dict(figures_of(many))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def ticks(labels):
    return [label.get_text() for label in labels]


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """A table for LaTeX of its own."""
    module = SimpleNamespace(latex_table=lambda comparison: f"table of {', '.join(comparison.metrics)}")
    monkeypatch.setitem(sys.modules, "gan_research.report.latex", module)


def test_each_metric_has_its_figures_as_svg_and_pdf_and_there_is_a_table(many, tmp_path):
    assert write_paper(many, tmp_path) == list(KINDS)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(written) == {"table.tex", *(f"{kind}.{ending}" for kind in KINDS for ending in ("svg", "pdf"))}
    assert written["table.tex"] == b"table of fid"
    for kind in KINDS:
        assert ElementTree.fromstring(written[f"{kind}.svg"]).tag == "{http://www.w3.org/2000/svg}svg"
        assert written[f"{kind}.pdf"].startswith(b"%PDF")
        assert b"/Type3" not in written[f"{kind}.pdf"]  # fonts that journals refuse
        assert b"/CreationDate" not in written[f"{kind}.pdf"]


def test_the_curves_are_the_means_of_the_groups(many, drawn):
    (axes,) = drawn["curves_fid"].axes
    for line, curve in zip(axes.get_lines(), many.curves("metrics/fid", "round").values(), strict=True):
        assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == (curve.x, curve.mean)
    (legend,) = drawn["curves_fid"].legends
    assert ticks(legend.get_texts()) == list(many.groups)
    assert axes.get_ylabel() == "fid ↓"


def test_a_logarithmic_axis_has_whole_numbers():
    (axes,) = dict(figures_of(compare(records_of({"a": [2.0, 3.0, 4.0]}))))["curves_fid"].axes
    assert axes.get_yscale() == "log"
    shown = [axes.yaxis.get_major_formatter()(y) for y in axes.get_yticks() if 2 <= y <= 80]
    assert shown == ["2", "5", "10", "20", "50"]


def test_the_matrix_is_that_of_the_page(many, drawn):
    (axes,) = drawn["improvement_fid"].axes
    assert ticks(axes.get_yticklabels()) == ticks(axes.get_xticklabels()) == [f"loss_{i}" for i in range(6, -1, -1)]
    assert [text.rstrip("*") for text in texts(axes)[:7]] == ["", *["1.00"] * 6]
    assert [text.rstrip("*") for text in texts(axes)[-7:]] == [*["0.00"] * 6, ""]


def test_a_collapsed_run_is_a_cross(drawn):
    (axes,) = drawn["distribution_fid"].axes
    assert sum(line.get_marker() == "x" for line in axes.get_lines()) == 1


def test_a_published_number_is_a_labelled_line(many):
    (axes,) = dict(figures_of(replace(many, references={"fid": 12.5})))["curves_fid"].axes
    assert axes.get_lines()[-1].get_ydata() == [12.5, 12.5]
    assert texts(axes) == ["published: 12.5"]


def test_names_are_text(tmp_path):
    comparison = compare(records_of({"$x_{$": [1.0, 2.0, 3.0], HOSTILE: [2.0, 3.0, 4.0]}))
    metric = {"a/b $c": "min"}
    renamed = replace(comparison, metrics=metric, summaries={"a/b $c": comparison.summaries["fid"]}, pairs=[])
    assert write_paper(renamed, tmp_path) == ["distribution_a_b_c", "improvement_a_b_c"]
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_paper(renamed, tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}  # the same figure is the same file


def test_without_a_metric_there_is_only_the_table(tmp_path):
    (record,) = records_of({"a": [1.0]})
    assert write_paper(compare([replace(record, rows=[{"round": 5, "kimg": 1.0}])]), tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["table.tex"]
