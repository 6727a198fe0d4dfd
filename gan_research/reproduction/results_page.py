"""The page of all results that are kept: generated from records and notes, never typed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_research.reproduction.published import Published
from gan_research.reproduction.result import Result
from gan_research.reproduction.table import Row, duration, markdown_table, results_table, rows
from gan_research.reproduction.trajectory import bound, subject
from gan_research.reproduction.verdict import RULE
from gan_research.utils.errors import UserError

Claims = Mapping[str, tuple[dict[str, Any], int]]
"""recipe -> its published block, and the rounds of its whole budget."""

HEAD = """\
# Results

Published numbers beside ours, written by `gan reproduce --keep docs/results` from the records in `records/` and the
notes in `notes/`; a test holds the page to them, and each record to its hash.

"""

PAPER = "paper"
"""The budget by which claims are judged; the others follow, folded."""

SHORTER = ("pilot", "smoke")
"""In the order in which they are shown; others follow."""

WORDS = ("reproduced", "better", "not reproduced", "not comparable")


def results_page(folder: Path, claims: Claims) -> str:
    """Return the Markdown of all records in `folder`/records, and of what of the recipes hasn't been run."""
    results = read_records(folder)
    whole = [result for result in results if result.budget == PAPER and is_run(result)]
    lines = rows(whole)
    judged = [line for line in lines if line[1].word != "not comparable"]
    shown = [line for line in lines if line[1].word == "not comparable"]
    run = {result.recipe for result in whole}
    left = [name for name in claims if name not in run]
    parts = [HEAD + summary(lines, [(name, Published.of(claims[name][0]).count) for name in left])]
    if judged:
        parts.append(f"## Judged\n\n{results_table(judged)}")
    parts += explanations(judged, folder / "notes")
    if shown:
        parts.append(f"## Run to the whole budget, and not comparable\n\n{results_table(shown)}")
    parts.append(f"## The rule\n\n{RULE}")
    if left:
        parts.append(not_run(left, claims, folder / "costs"))
    published = {name: Published.of(node) for name, (node, _) in claims.items()}
    parts.append("## Recipes")
    parts += [
        recipe(name, claim, claims[name], [r for r in results if r.recipe == name]) for name, claim in published.items()
    ]
    others = [result for result in results if result not in whole]
    budgets = sorted({r.budget for r in others}, key=lambda b: SHORTER.index(b) if b in SHORTER else len(SHORTER))
    parts += [folded(budget, [r for r in others if r.budget == budget]) for budget in budgets]
    return "\n\n".join(parts) + "\n"


def read_records(folder: Path) -> list[Result]:
    """Return the records in `folder`/records, by their names. UserError where one can't be read, or was edited."""
    return [Result.read(path) for path in sorted((folder / "records").glob("*.json"))]


def is_run(result: Result) -> bool:
    """Return True if at least one seed is over."""
    return any(seed.state in ("finished", "diverged") for seed in result.seeds)


def summary(lines: Sequence[Row], left: Sequence[tuple[str, int]]) -> str:
    """Return how many claims came to which verdict, with the recipes that they are of.

    lines: verdicts on what was run to the whole budget. left: recipes that weren't, with the number of their claims.
    """
    found: dict[str, dict[str, int]] = {word: {} for word in WORDS}
    for result, verdict in lines:
        found[verdict.word][result.recipe] = found[verdict.word].get(result.recipe, 0) + 1
    counts = {word: sum(of.values()) for word, of in found.items()} | {"not run": sum(count for _, count in left)}
    recipes = len({result.recipe for result, _ in lines}) + len(left)
    told = ", ".join(f"**{count} {word}**" for word, count in counts.items())
    head = f"Of {sum(counts.values())} claims of {recipes} recipes, by runs of the whole budget: {told}."
    names = {word: ", ".join(f"{name} ({count})" for name, count in of.items()) for word, of in found.items()}
    names["not run"] = f"{len(left)} recipes, see below" if left else ""
    table = ((word, str(count), names[word]) for word, count in counts.items())
    return f"{head}\n\n{markdown_table(('verdict', 'claims', 'of recipes'), table)}"


def explanations(judged: Sequence[Row], notes: Path) -> list[str]:
    """Return the section on what was tried where a claim wasn't reproduced: a note of each such recipe."""
    missed = dict.fromkeys(result.recipe for result, verdict in judged if verdict.word == "not reproduced")
    if not missed:
        return []
    texts = [f"### {name}: not reproduced\n\n{explanation(notes / f'{name}.md')}" for name in missed]
    return ["## What was tried where a claim was not reproduced", *texts]


def explanation(path: Path) -> str:
    """Return a recipe's note, or that there is none."""
    try:
        return path.read_text().strip() or f"The note `notes/{path.name}` is empty."
    except FileNotFoundError:
        return f"Not explained yet: write what was tried, with figures, to `notes/{path.name}`."
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as text: {error}") from None


def folded(budget: str, results: Sequence[Result]) -> str:
    """Return the table of a shorter budget, or of one that isn't over, behind a line that unfolds it."""
    lines = rows(results)
    head = f"Budget {budget}: {len(lines)} numbers of {len(results)} recipes, not judged"
    return f"<details>\n<summary>{head}</summary>\n\n{results_table(lines)}\n\n</details>"


def not_run(names: Sequence[str], claims: Claims, costs: Path) -> str:
    """What hasn't been run to its whole budget, and what that is estimated to cost."""
    lines = []
    for name in names:
        node, rounds = claims[name]
        lines.append((f"`{name}`", node["claim"], f"{rounds:,}", *estimate(costs / f"{name}.json")))
    head = (
        "## Not run\n\nNot yet trained to the whole budget. What one seed would take is estimated by `gan cost "
        "RECIPE`, from a short run on the device that is named.\n\n"
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


def recipe(name: str, claim: Published, stated: tuple[dict[str, Any], int], results: Sequence[Result]) -> str:
    """Return all that is to be known of one recipe. stated: its claim as a node, and its rounds, as they are now."""
    sentence = f"{claim.claim[0].upper()}{claim.claim[1:]}."
    lines = [*facts(claim), *(line for result in results for line in trained(result, stated))]
    return f"### {name}\n\n{sentence}\n\n" + "\n".join(f"- {line}" for line in lines)


def facts(claim: Published) -> Iterator[str]:
    """Yield what is published, how it is judged, and what is known to differ."""
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


def trained(result: Result, stated: tuple[dict[str, Any], int]) -> Iterator[str]:
    """Yield how a record was made, and whether its recipe has been changed since."""
    commits = ", ".join(dict.fromkeys((seed.commit or "no commit")[:12] for seed in result.finished))
    torch = ", ".join(dict.fromkeys(seed.torch for seed in result.finished))
    yield f"{result.budget}: `{result.command}` (commit {commits}; torch {torch})"
    changed = [key for key in JUDGING if result.published.get(key) != stated[0].get(key)]
    changed += ["rounds"] if result.paper_rounds != stated[1] else []
    if changed:
        yield f"{result.budget}: judged by the recipe as it was then; changed since: {', '.join(changed)}"


JUDGING = ("numbers", "trajectory", "evaluation", "better_than", "diverges")
"""The fields of a claim that a verdict depends on."""
