"""What came out of a recipe over some seeds: a small record that can be kept, and says if it was changed by hand."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from gan_research._version import __version__
from gan_research.report.page import figures
from gan_research.report.statistics import Interval, mean_interval
from gan_research.reproduction.published import Published
from gan_research.utils.errors import UserError
from gan_research.utils.files import as_json, write_atomically

State = Literal["finished", "diverged", "failed", "running", "stopped", "open"]

POINTS = 40
"""Of a curve that are kept, at most."""


@dataclass(frozen=True)
class Part:
    """The rounds of a training that one device, commit and version of torch contributed.

    rounds: from the one that it went on from to its last; None where a run of an older version doesn't say.
    """

    device: str
    commit: str | None
    torch: str
    rounds: list[int] | None


@dataclass(frozen=True)
class SeedResult:
    """One training. `values`: column -> the number after the last round, of one that finished, measured by `protocol`.

    seconds: by the clock, from the process's start to its end; of one that was resumed, of its rounds alone.
    device, commit, torch: of its last part. curves: column -> [round, number], by `protocol` alone.
    """

    seed: int
    state: State
    reason: str | None = None
    rounds: int = 0
    kimg: float = 0.0
    seconds: float = 0.0
    device: str = ""
    commit: str | None = None
    torch: str = ""
    parts: list[Part] = field(default_factory=list)
    """What trained it, in order; empty in older records."""
    values: dict[str, float] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    better: dict[str, str] = field(default_factory=dict)
    """column -> "min" or "max"."""
    curves: dict[str, list[list[float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A recipe, played at a budget over seeds, beside what was published.

    overrides: what was changed in it. changes: what of the game isn't as in the recipe, "rounds: 400000 -> 4000".
    rounds, paper_rounds: that are played here, and by the recipe.
    """

    recipe: str
    budget: str
    overrides: list[str]
    command: str
    published: dict[str, Any]
    rounds: int
    paper_rounds: int
    changes: list[str]
    seeds: list[SeedResult]
    version: str = __version__

    @property
    def claim(self) -> Published:
        """What was published."""
        return Published.of(self.published)

    @property
    def finished(self) -> list[SeedResult]:
        return [seed for seed in self.seeds if seed.state == "finished"]

    @property
    def unfinished(self) -> list[SeedResult]:
        """Those that have yet to be played, or played on."""
        return [seed for seed in self.seeds if seed.state not in ("finished", "diverged")]

    def with_kept(self, kept: "Result | None") -> "Result":
        """Return it with the seeds that are over in `kept` and not here, if that is a record of the same runs.

        So seeds may be trained on several machines, or on one that doesn't stay for all of them.
        """
        same = ("recipe", "budget", "overrides", "published", "rounds", "paper_rounds", "changes")
        if kept is None or any(as_json(getattr(kept, name)) != as_json(getattr(self, name)) for name in same):
            return self
        open_here = {seed.seed for seed in self.unfinished}
        over = {seed.seed: seed for seed in self.seeds if seed.seed not in open_here}
        over = {seed.seed: seed for seed in kept.seeds if seed not in kept.unfinished} | over
        seeds = {seed.seed: seed for seed in self.seeds} | over
        return replace(self, seeds=[seeds[number] for number in sorted(seeds)])

    @property
    def better(self) -> dict[str, str]:
        """column -> "min" or "max"."""
        return {column: best for seed in self.seeds for column, best in seed.better.items()}

    def values(self, column: str) -> list[float]:
        """A column over the seeds that finished with it."""
        return [seed.values[column] for seed in self.finished if column in seed.values]

    def interval(self, column: str) -> Interval | None:
        """95 % of its mean over training seeds; None of fewer than 2."""
        return mean_interval(self.values(column))

    @property
    def file(self) -> str:
        """The name of the file that it is kept in."""
        return f"{self.recipe}-{self.budget}.json"

    def write(self, path: Path) -> None:
        """Write it, with the hash of its content."""
        content = as_json(asdict(self))
        text = json.dumps(content | {"sha256": digest(content)}, indent=1)
        text = re.sub(r"\[\n\s+([^\s\[\]]+),\n\s+([^\s\[\]]+)\n\s+\]", r"[\1, \2]", text)  # a point of a curve
        write_atomically(path, (text + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "Result":
        """The record at `path`. UserError where it can't be read, or isn't what was written."""
        try:
            content = json.loads(path.read_text())
            found = content.pop("sha256")
            seeds = [
                SeedResult(**seed | {"parts": [Part(**part) for part in seed.get("parts", [])]})
                for seed in content["seeds"]
            ]
            result = cls(**content | {"seeds": seeds})
        except OSError as error:
            raise UserError(f"{path} can't be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path} is no record of a result: write it by gan reproduce ... --keep DIR") from error
        if digest(content) != found:
            raise UserError(
                f"{path} was changed after it was written (its SHA-256 isn't {found[:12]}...): "
                "records aren't edited, get the old one back or run its command again"
            )
        return result


def digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def thinned(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    """At most POINTS of a curve, with the first and the last; five digits."""
    xs, ys = figures.thinned([x for x, _ in points], [y for _, y in points], most=POINTS)
    return [[x, figures.rounded_to(y)] for x, y in zip(xs, ys, strict=True)]
