"""The result of a recipe over seeds, and its record in a file."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from gan_research._version import __version__
from gan_research.report.columns import known_range
from gan_research.report.page import figures
from gan_research.report.statistics import Interval, mean_interval
from gan_research.reproduction.published import Published
from gan_research.utils.errors import UserError
from gan_research.utils.files import as_json, write_atomically
from gan_research.utils.reading import has_shape, reading, shaped
from gan_research.utils.renamed import renamed_targets

State = Literal["finished", "diverged", "failed", "running", "stopped", "open"]
POINTS = 40  # the largest number of points of a thinned curve


@dataclass(frozen=True)
class Part:
    """A part of a run, trained by one device, commit and version of torch.

    rounds: [first, last]; None if unknown, in runs of older versions.
    """

    device: str
    commit: str | None
    torch: str
    rounds: list[int] | None


@dataclass(frozen=True)
class SeedResult:
    """The result of one seed.

    seconds: wall-clock time of the process; of a resumed run, of its rounds only.
    device, commit, torch: those of its last part.
    parts: all parts, in order; empty in older records.
    values: column -> number after the last round; empty unless the run finished.
    protocol: of all columns, or of those that aren't in `protocols`, where there are several evaluations.
    better: column -> "min" or "max".
    curves: column -> [round, number], measured by the column's protocol.
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
    values: dict[str, float] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    better: dict[str, str] = field(default_factory=dict)
    curves: dict[str, list[list[int | float]]] = field(default_factory=dict)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)

    def protocol_of(self, column: str) -> dict[str, Any]:
        """Return the protocol by which a column was measured."""
        return self.protocols.get(column, self.protocol)

    @property
    def is_over(self) -> bool:
        """True if the seed finished or diverged."""
        return self.state in ("finished", "diverged")


@dataclass(frozen=True)
class Result:
    """The result of a recipe at a budget over seeds, with its claim.

    overrides: those of the command line. changes: settings that differ from the recipe, "rounds: 400000 -> 4000".
    rounds, paper_rounds: the rounds of these runs, and of the recipe.
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
        return Published.of(self.published)

    @property
    def finished(self) -> list[SeedResult]:
        return [seed for seed in self.seeds if seed.state == "finished"]

    def with_kept(self, kept: "Result | None") -> "Result":
        """Return the result with the finished seeds of a kept record of the same runs."""
        same = ("recipe", "budget", "overrides", "published", "rounds", "paper_rounds", "changes")
        if kept is None or any(as_json(getattr(kept, name)) != as_json(getattr(self, name)) for name in same):
            return self
        seeds = {seed.seed: seed for seed in self.seeds}
        seeds |= {seed.seed: seed for seed in [*kept.seeds, *self.seeds] if seed.is_over}
        return replace(self, seeds=[seeds[number] for number in sorted(seeds)])

    @property
    def better(self) -> dict[str, str]:
        """The better direction of each column, "min" or "max"."""
        return {column: best for seed in self.seeds for column, best in seed.better.items()}

    def values(self, column: str) -> list[float]:
        """Return the values of a column over the finished seeds."""
        return [seed.values[column] for seed in self.finished if column in seed.values]

    def interval(self, column: str) -> Interval | None:
        """Return the 95 % interval of the mean over seeds, within the metric's range; None for fewer than 3."""
        return mean_interval(self.values(column), known_range(column))

    @property
    def file(self) -> str:
        return f"{self.recipe}-{self.budget}.json"

    def write(self, path: Path) -> None:
        """Write the record, with the hash of its content."""
        content = as_json(asdict(self))
        text = json.dumps(content | {"sha256": digest(content)}, indent=1)
        text = re.sub(r"\[\n\s+([^\s\[\]]+),\n\s+([^\s\[\]]+)\n\s+\]", r"[\1, \2]", text)  # a point of a curve
        write_atomically(path, (text + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Return the record at `path`; UserError if it can't be read or was edited."""
        with reading(path, ": write it by gan reproduce ... --keep DIR", "is no record of a result"):
            content = shaped(json.loads(path.read_bytes()), dict[str, Any])
            sha256, actual = content.pop("sha256"), digest(content)
            result = has_shape(renamed_targets(content), cls)
        if actual != sha256:
            changed = f"{path} was changed after it was written (its SHA-256 isn't {sha256!s:.12}...)"
            raise UserError(f"{changed}: restore it, or run its command again")
        return result


def digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def thin(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    """Return at most POINTS of a curve, including both ends, to five digits."""
    xs, ys = figures.thinned([x for x, _ in points], [y for _, y in points], most=POINTS)
    return [[x, figures.rounded_to(y)] for x, y in zip(xs, ys, strict=True)]
