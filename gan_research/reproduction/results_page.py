"""The page of all results that are kept: generated from records, never typed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_research.errors import UserError
from gan_research.reproduction.published import Published
from gan_research.reproduction.result import Result
from gan_research.reproduction.table import duration, markdown_table, results_table
from gan_research.reproduction.trajectory import bound, subject
from gan_research.reproduction.verdict import RULE

HEAD = """\
# Results

Published numbers beside ours, written by `gan reproduce --keep docs/results` from the records in `records/`; a test
holds the page to them, and each record to its hash.

"""

BUDGETS = ("paper", "pilot", "smoke")
"""In the order in which they are shown; others follow."""


def results_page(folder: Path, claims: Mapping[str, tuple[dict[str, Any], int]]) -> str:
    """The Markdown of all records in `folder`/records, and of what of the recipes hasn't been run.

    claims: recipe -> its published block, and the rounds of its whole budget.
    """
    results = [Result.read(path) for path in sorted((folder / "records").glob("*.json"))]
    budgets = sorted({r.budget for r in results}, key=lambda b: BUDGETS.index(b) if b in BUDGETS else len(BUDGETS))
    parts = [HEAD + RULE]
    for budget in budgets:
        parts.append(f"## Budget: {budget}\n\n{results_table([r for r in results if r.budget == budget])}")
    run = {result.recipe for result in results if result.budget == "paper" and result.finished}
    if left := [name for name in claims if name not in run]:
        parts.append(not_run(left, claims, folder / "costs"))
    published = {name: Published.of(node) for name, (node, _) in claims.items()}
    parts.append("## Recipes")
    parts += [recipe(name, claim, [r for r in results if r.recipe == name]) for name, claim in published.items()]
    return "\n\n".join(parts) + "\n"


def not_run(names: Sequence[str], claims: Mapping[str, tuple[dict[str, Any], int]], costs: Path) -> str:
    """What hasn't been run to its whole budget, and what that is estimated to cost."""
    lines = []
    for name in names:
        node, rounds = claims[name]
        lines.append((f"`{name}`", node["claim"], f"{rounds:,}", *estimate(costs / f"{name}.json")))
    head = (
        "## Not run\n\nNot yet played to the whole budget. What one seed would take is estimated by `gan cost RECIPE`, "
        "from a short run on the device that is named.\n\n"
    )
    return head + markdown_table(("recipe", "claim", "rounds", "PFLOP", "a seed takes", "on"), lines)


def estimate(path: Path) -> tuple[str, str, str]:
    """FLOPs, time and device of a recipe's whole budget, as `gan cost` has written them."""
    try:
        cost = json.loads(path.read_text())
        flops = f"{cost['flops_per_round'] * cost['rounds'] / 1e15:.3g}"
        return flops, duration(cost["seconds_total"]), str(cost["device"])
    except FileNotFoundError:
        return "", "not estimated", ""
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no estimate: write it by gan cost {path.stem} --json {path}") from error


def recipe(name: str, claim: Published, results: Sequence[Result]) -> str:
    """All that is to be known of one recipe."""
    sentence = f"{claim.claim[0].upper()}{claim.claim[1:]}."
    return f"### {name}\n\n{sentence}\n\n" + "\n".join(f"- {line}" for line in facts(claim, results))


def facts(claim: Published, results: Sequence[Result]) -> Iterator[str]:
    yield f"source: {claim.cited}; {claim.seeds} training{'s' if claim.seeds > 1 else ''}; networks: {claim.network}"
    yield f"protocol: {claim.protocol}"
    if claim.spread:
        yield f"±: {claim.spread}"
    if claim.tolerance:
        widths = ", ".join(f"{name} {n['tolerance']:g}" for name, n in claim.numbers.items() if "tolerance" in n)
        yield f"tolerance: {widths}: {claim.tolerance}"
    for rule in claim.trajectory:
        yield f"rule: {subject(rule)}: {bound(rule)}: {rule['why']}"
    if claim.differences:
        yield f"differs from the source: {'; '.join(claim.differences)}"
    for result in results:
        commits = ", ".join(dict.fromkeys((seed.commit or "no commit")[:12] for seed in result.finished))
        torch = ", ".join(dict.fromkeys(seed.torch for seed in result.finished))
        yield f"{result.budget}: `{result.command}` (commit {commits}; torch {torch})"
