"""The table for LaTeX: its numbers are those of the comparison, and its texts are text."""

import re

import pytest
from made import make_run
from matplotlib.mathtext import MathTextParser

from gan_research.report.comparison import Summary, compare
from gan_research.report.latex import cell, escaped, latex_table, number
from gan_research.report.read import read

HOSTILE = r"50% of a_b & c#d $x$ {y} \end{table} ~^<>|[*]"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for loss, fids in {"hinge": [5.0, 6.0, 5.5], "minimax": [58.0, 59.5, 57.0], HOSTILE: [5.7]}.items():
        for seed, fid in enumerate(fids):
            run = make_run(root / f"{len(list(root.iterdir()))}", seed=seed, fid=[80, 10, fid], loss=loss)
            with (run / "history.jsonl").open("a") as file:
                file.write(f'{{"round": 200, "health/collapse": {float(fid == 58)}}}\n')
    return latex_table(compare(read([root])[0]))


def test_a_row_is_a_group_with_its_leaders_bold(table):
    lines = table.splitlines()
    assert lines[0] == r"\begin{table}"
    assert lines[-1] == r"\end{table}"
    start, stop = lines.index(r"\midrule"), lines.index(r"\bottomrule")
    rows = {row.split(" & ")[0]: row for row in lines[start + 1 : stop]}
    assert lines[start - 1] == r"loss & runs & fid $\downarrow$ \\"
    assert rows["hinge"] == r"hinge & 3 & $\mathbf{5.5}^{+1.4}_{-1.1}$ \\"
    assert rows["minimax"] == r"minimax & 3, 1 collapsed & $58.2^{+3.2}_{-3.0}$ \\"
    (other,) = (row for name, row in rows.items() if name not in ("hinge", "minimax"))
    assert other.endswith(r" & 1 & $\mathbf{5.7}$ \\")  # one run may be as good


def test_the_caption_tells_budget_seeds_intervals_rule_and_protocol(table):
    (caption,) = re.findall(r"\\caption\{(.*)\}", table)
    assert caption == (
        r"Comparison by loss at round 200: means over training seeds 0, 1, 2, with 95 \% intervals. Intervals: "
        r"Student-t on the log scale. Bold: no other group is better by more than seed noise: p \textless{} 0.05 "
        "(Holm) of a paired or Welch's t-test. fid: classifier-digits, 100 generated samples, 1,597 real samples."
    )


def test_texts_are_escaped(table):
    assert escaped(HOSTILE) in table
    assert escaped(HOSTILE) == (
        r"50\% of a\_b \& c\#d \$x\$ \{y\} \textbackslash{}end\{table\} "
        r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}{[}{*}{]}"
    )
    bare = re.sub(r"\\[&%$#_{}]", "", table)
    assert bare.count("{") == bare.count("}")
    assert escaped("a\nb") == "a b"


@pytest.mark.parametrize(
    ("ends", "std", "bold", "text"),
    [
        ((4.1, 6.9), 1.0, False, r"$5.5 \pm 1.4$"),
        ((4.1, 6.9), 1.0, True, r"$\mathbf{5.5} \pm 1.4$"),
        ((4.5, 6.9), 1.0, True, r"$\mathbf{5.5}^{+1.4}_{-1.0}$"),
        (None, 0.1, False, "$5.50$"),
        (None, None, True, r"$\mathbf{5.5}$"),
    ],
)
def test_cells_are_math(ends, std, bold, text):
    found = cell(Summary({"a": 5.5}, 5.5, 5.5, std, ends, None), bold)
    assert found == text
    MathTextParser("path").parse(found)


def test_large_and_small_numbers():
    assert number(1.2345e-5, 3.1e-6) == r"1.23 \times 10^{-5}"
    assert number(5789.4, 99.6) == "5{,}790"
    MathTextParser("path").parse(f"${number(1.2345e-5, 3.1e-6)}$")


def test_a_group_without_a_number_has_a_dash(tmp_path):
    make_run(tmp_path / "a", fid=[80, 5])
    make_run(tmp_path / "b", loss="minimax", fid=[float("nan")] * 2)
    table = latex_table(compare(read([tmp_path])[0]))
    assert r"minimax & 0 of 1 (1 without it) & -- \\" in table
