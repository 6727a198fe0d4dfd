"""A comparison as a table for LaTeX, with the package booktabs."""

from collections.abc import Sequence
from typing import Any

from gan_research.report.comparison import RULE, Comparison, Summary
from gan_research.report.protocols import protocols_of
from gan_research.report.records import format_x
from gan_research.report.rounding import rounded
from gan_research.report.table import methods_text

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"{{{character}}}" for character in "[]*"},  # after a line, they are its argument
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
ARROWS = {"min": r"$\downarrow$", "max": r"$\uparrow$"}
FIELDS = {"extractor": "{}", "num_fake": "{:,} generated samples", "num_real": "{:,} real samples", "real_split": "{}"}
"""Fields of a protocol that the caption gives, and how."""


def escaped(text: Any) -> str:
    """Return any text on one line, as LaTeX prints it."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(str(text).split()))


def latex_table(comparison: Comparison) -> str:
    r"""Return a table of means and intervals: a row for each group, a column for each metric.

    Leaders are bold. It needs \usepackage{booktabs}.
    """
    metrics = list(comparison.metrics)
    head = [escaped(comparison.by), "runs", *(f"{escaped(m)} {ARROWS[comparison.metrics[m]]}" for m in metrics)]
    rows = [[escaped(group), counts(comparison, group), *cells(comparison, group)] for group in comparison.groups]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption(comparison)}}}",
        rf"\begin{{tabular}}{{ll{'r' * len(metrics)}}}",
        r"\toprule",
        row(head),
        r"\midrule",
        *map(row, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def counts(comparison: Comparison, group: str) -> str:
    """Return how many runs of a group are counted, once if all metrics agree."""
    return escaped("; ".join(dict.fromkeys(comparison.counted(metric, group) for metric in comparison.metrics)))


def cells(comparison: Comparison, group: str) -> list[str]:
    """Return the means of a group with their intervals, one for each metric."""
    found = []
    for metric, summaries in comparison.summaries.items():
        bold = len(summaries) > 1 and group in comparison.leaders(metric)
        found.append(cell(summaries[group], bold) if group in summaries else "--")
    return found


def cell(summary: Summary, bold: bool) -> str:
    r"""Return "$20.5 \pm 4.1$", or "$20.5^{+4.9}_{-4.0}$" for an interval that isn't symmetric."""
    mean, ends = summary.mean, summary.interval
    text = number(mean, ends or summary.std)
    text = rf"\mathbf{{{text}}}" if bold else text
    if ends is None:
        return f"${text}$"
    below, above = number(mean - ends[0], ends), number(ends[1] - mean, ends)
    return rf"${text} \pm {above}$" if below == above else f"${text}^{{+{above}}}_{{-{below}}}$"


def number(value: float, uncertainty: Any) -> str:
    r"""Return a rounded number in math mode: 1.2e-05 is 1.2 \times 10^{-5}, and commas take no space."""
    mantissa, _, power = rounded(value, uncertainty).partition("e")
    return mantissa.replace(",", "{,}") + (rf" \times 10^{{{int(power)}}}" if power else "")


def caption(comparison: Comparison) -> str:
    """Return budget, seeds, method of the intervals, rule of bold numbers, and protocols."""
    seeds = sorted({record.seed for record in comparison.counted_records if record.seed is not None})
    over = f"training seeds {', '.join(map(str, seeds))}" if seeds else "training seeds"
    position, methods = format_x(comparison.position, comparison.axis), methods_text(comparison)
    sentences = [
        f"Comparison by {comparison.by} at {position}: means over {over}"
        + (", with 95 % intervals" if methods else ""),
        *([f"Intervals: {methods}"] if methods else []),
        f"Bold: {RULE}",
        *protocol_texts(comparison),
    ]
    return escaped(". ".join(sentences) + ".")


def protocol_texts(comparison: Comparison) -> list[str]:
    """Return the protocol of each metric, once for metrics that share it."""
    found: dict[str, list[str]] = {}
    for metric in comparison.metrics:
        of = (protocol for record in comparison.counted_records for protocol in protocols_of(record, metric))
        if protocol := next(of, None):
            known = {key: protocol[key] for key in FIELDS if protocol.get(key) not in (None, "", "none")}
            text = ", ".join(FIELDS[key].format(value) for key, value in known.items())
            found.setdefault(text, []).append(metric)
    return [f"{', '.join(metrics)}: {text}" for text, metrics in found.items() if text]
