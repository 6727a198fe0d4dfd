"""The list of recipes: claim, published numbers, budgets, how long a seed takes on which machine, verdicts so far."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from gan_research.reproduction.published import Published
from gan_research.reproduction.result import Result
from gan_research.reproduction.results_page import PAPER, WORDS, estimate, is_run, read_records
from gan_research.reproduction.table import duration, rows, seeds_told
from gan_research.reproduction.trajectory import bound, subject
from gan_research.reproduction.verdict import spread_told


def listing(files: Mapping[str, dict[str, Any]], kept: Path | None) -> Iterator[str]:
    """Yield the lines on each recipe.

    files: recipe -> its settings, as in conf/experiment. kept: a folder with records and costs; None: nothing is known.
    """
    results = read_records(kept) if kept is not None else []
    whole = {result.recipe: result for result in results if result.budget == PAPER and is_run(result)}
    words: dict[str, Counter[str]] = {name: Counter() for name in whole}
    for judged, verdict in rows(list(whole.values())):
        words[judged.recipe][verdict.word] += 1
    for name, file in files.items():
        claim = Published.of(file["published"])
        result = whole.get(name)
        yield f"{name}: {claim.claim}"
        yield f"  published: {'; '.join(stated(claim))} ({claim.cited})"
        yield f"  budgets: {', '.join(budgets(file))}"
        yield f"  a seed takes: {time(name, result, kept)}"
        yield f"  verdict: {so_far(result, words.get(name, Counter()))}"


def stated(claim: Published) -> list[str]:
    """Return what is published, or judged of it, each in a few words."""
    found = [f"{name} {number['value']:g}{spread_told(number)}" for name, number in claim.numbers.items()]
    found += [f"{subject(rule)}: {bound(rule)}" for rule in claim.trajectory]
    found += ["diverges"] if claim.diverges else []
    return found + [f"better {name} than {', '.join(others)}" for name, others in claim.better_than.items()]


def budgets(file: Mapping[str, Any]) -> list[str]:
    """Return each budget with its rounds: "paper 25,000 rounds", "pilot 16,000"."""
    found = [f"{PAPER} {int(file['rounds']):,} rounds"]
    for name, overrides in (file.get("budgets") or {}).items():
        rounds = [word.partition("=")[2] for word in overrides if word.startswith("rounds=")]
        found.append(f"{name} {int(rounds[-1]) if rounds else int(file['rounds']):,}")
    return found


def time(name: str, result: Result | None, kept: Path | None) -> str:
    """Return how long a seed of the whole budget took, or is estimated to take, and on which machine."""
    timed = [seed for seed in result.finished if seed.seconds] if result else []
    if timed:
        devices = " and ".join(dict.fromkeys(seed.device for seed in timed))
        return f"{duration(median(seed.seconds for seed in timed))}, measured on {devices}"
    _, seconds, device = estimate(kept / "costs" / f"{name}.json") if kept is not None else ("", "not estimated", "")
    return f"{seconds}, estimated on {device}" if device else f"unknown: estimate it here by gan cost {name}"


def so_far(result: Result | None, words: Mapping[str, int]) -> str:
    """Return how the claims of a recipe stand, and after how many seeds."""
    if result is None:
        return "not run"
    told: Sequence[str] = [f"{words[word]} {word}" for word in WORDS if words.get(word)]
    return f"{', '.join(told)}; seeds: {seeds_told(result)}"
