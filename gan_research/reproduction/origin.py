"""The origin of a result: the machines, commits and versions that trained it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from gan_research.reproduction.result import Part, Result, SeedResult

ORIGINS = {"commit": "commits", "torch": "versions of torch", "device": "devices"}
"""Field of a part -> its plural in notes."""


def training_parts(segments: Sequence[Mapping[str, Any]], rounds: int) -> list[Part]:
    """Return the part of each start of a run in its current `rounds`.

    segments: those of run.json, one for each start. Rounds that were trained again after a later start don't count;
    consecutive parts of one origin are merged.
    """
    starts = [segment.get("round", None if number else 0) for number, segment in enumerate(segments)]
    parts = [Part(s.get("device", ""), s.get("commit"), s.get("torch", ""), None) for s in segments]
    if None in starts:
        return merge(parts)
    end, kept = rounds, list[Part]()
    for start, part in zip(reversed(starts), reversed(parts), strict=True):
        if start < end or (start == 0 and not kept):
            kept.append(replace(part, rounds=[start, end]))
            end = start
    return merge(reversed(kept))


def merge(parts: Iterable[Part]) -> list[Part]:
    """Return the parts with consecutive ones of the same origin merged."""
    merged = []
    for origin, group in groupby(parts, key=lambda part: replace(part, rounds=None)):
        spans = [part.rounds for part in group]
        first, last = spans[0], spans[-1]
        merged.append(replace(origin, rounds=[first[0], last[1]] if first and last and None not in spans else None))
    return merged


def origins(seed: SeedResult, key: str) -> list[str]:
    """Return a seed's devices, commits (12 digits) or versions of torch, in order of training."""
    parts: Sequence[Part | SeedResult] = seed.parts or [seed]
    values = [(getattr(part, key) or "")[: 12 if key == "commit" else None] for part in parts]
    return list(dict.fromkeys(value or f"no known {key}" for value in values))


def origin_notes(result: Result) -> list[str]:
    """Return notes on seeds trained in several parts, and on seeds of different origins."""
    trained = [seed for seed in result.seeds if seed.is_over]
    several = [(seed.seed, "; ".join(map(format_part, seed.parts))) for seed in trained if len(seed.parts) > 1]
    notes = [f"{result.recipe}, seed {seed}: trained in parts: {parts}" for seed, parts in several]
    for key, name in ORIGINS.items():
        seeds: dict[str, list[str]] = {}
        for seed in trained:
            seeds.setdefault(" and ".join(origins(seed, key)), []).append(str(seed.seed))
        if len(seeds) > 1:
            groups = (f"{value} (seed{'s' * (len(of) > 1)} {', '.join(of)})" for value, of in seeds.items())
            notes.append(f"{result.recipe}: its seeds have different {name}: {'; '.join(groups)}")
    return notes


def format_part(part: Part) -> str:
    """Return a part as text: "rounds 0 to 4,000 on a CPU (commit 0123456789ab, torch 2.9)"."""
    rounds = f"rounds {part.rounds[0]:,} to {part.rounds[1]:,}" if part.rounds else "some rounds"
    commit = f"commit {part.commit[:12]}" if part.commit else "no known commit"
    return f"{rounds} on {part.device or 'an unknown device'} ({commit}, torch {part.torch})"


def comparison_notes(result: Result, other: Result) -> list[str]:
    """Return the notes of two results that are compared, and on their different origins."""
    notes = [*origin_notes(result), *origin_notes(other)]
    for key, name in ORIGINS.items():
        ours, theirs = ({value for seed in one.finished for value in origins(seed, key)} for one in (result, other))
        if ours and theirs and ours != theirs:
            values = f"{' and '.join(sorted(ours))}, {' and '.join(sorted(theirs))}"
            notes.append(f"{result.recipe} and {other.recipe} have different {name}: {values}")
    return notes
