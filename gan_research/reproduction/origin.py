"""The machines, commits and versions that trained a result, and what has to be said where they are several."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from gan_research.reproduction.result import Part, Result, SeedResult

WHAT = {"commit": "commits", "torch": "versions of torch", "device": "devices"}


def parts_of(segments: Sequence[dict[str, Any]], rounds: int) -> list[Part]:
    """Return what each start of a run contributed to the rounds that it has now.

    segments: those of run.json, one for each start. rounds: how many the run has trained. Rounds that a later start
    went back behind, and starts of which nothing is left, don't count; neighbours of one origin are one part.
    """
    starts = [segment.get("round", None if number else 0) for number, segment in enumerate(segments)]
    if None in starts:
        return joined(part(segment, None) for segment in segments)
    end, kept = rounds, list[Part]()
    for start, segment in zip(reversed(starts), reversed(segments), strict=True):
        if start < end or (start == 0 and not kept):
            kept.append(part(segment, [start, end]))
            end = start
    return joined(reversed(kept))


def part(segment: dict[str, Any], rounds: list[int] | None) -> Part:
    """Return the part of a run that a segment of run.json stands for."""
    return Part(segment.get("device", ""), segment.get("commit"), segment.get("torch", ""), rounds)


def joined(parts: Iterable[Part]) -> list[Part]:
    """Return the parts with neighbours of the same origin made one."""
    found: list[Part] = []
    for one in parts:
        if found and replace(found[-1], rounds=None) == replace(one, rounds=None):
            before = found.pop().rounds
            one = replace(one, rounds=None if before is None or one.rounds is None else [before[0], one.rounds[1]])
        found.append(one)
    return found


def origins(seed: SeedResult, key: str) -> list[str]:
    """Return a seed's devices, commits (12 digits) or versions of torch, in the order in which they trained it."""
    trained: Sequence[Part | SeedResult] = seed.parts or [seed]
    values = [getattr(one, key) for one in trained]
    values = [value[:12] if value and key == "commit" else value for value in values]
    return list(dict.fromkeys(value or f"no known {key}" for value in values))


def remarks(result: Result) -> list[str]:
    """Return what has to be said of a result: seeds trained in parts, and seeds of different origins."""
    over = [seed for seed in result.seeds if seed.state in ("finished", "diverged")]
    lines = [in_parts(result.recipe, seed) for seed in over if len(seed.parts) > 1]
    for key, name in WHAT.items():
        seeds: dict[str, list[str]] = {}
        for seed in over:
            seeds.setdefault(" and ".join(origins(seed, key)), []).append(str(seed.seed))
        if len(seeds) > 1:
            told = "; ".join(f"{value} (seed{'s' * (len(of) > 1)} {', '.join(of)})" for value, of in seeds.items())
            lines.append(f"{result.recipe}: its seeds are of different {name}: {told}")
    return lines


def in_parts(recipe: str, seed: SeedResult) -> str:
    """Return the sentence on a seed that was begun by one origin and finished by another."""
    told = []
    for one in seed.parts:
        rounds = f"rounds {one.rounds[0]:,} to {one.rounds[1]:,}" if one.rounds else "some rounds"
        commit = f"commit {one.commit[:12]}" if one.commit else "no known commit"
        told.append(f"{rounds} on {one.device or 'an unknown device'} ({commit}, torch {one.torch})")
    return f"{recipe}, seed {seed.seed}: trained in parts: {'; '.join(told)}"


def remarks_between(result: Result, other: Result) -> list[str]:
    """Return what has to be said where two results that are compared are of different origins."""
    lines = [*remarks(result), *remarks(other)]
    for key, name in WHAT.items():
        mine, theirs = ({value for seed in one.finished for value in origins(seed, key)} for one in (result, other))
        if mine and theirs and mine != theirs:
            told = f"{' and '.join(sorted(mine))}, {' and '.join(sorted(theirs))}"
            lines.append(f"{result.recipe} and {other.recipe} are of different {name}: {told}")
    return lines
