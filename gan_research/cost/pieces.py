"""From the blocks that were measured to what a round is made of."""

from collections.abc import Callable
from statistics import median, quantiles
from typing import NamedTuple

from gan_research.cost.costs import Estimate
from gan_research.cost.meter import Block, Meter


class Pieces(NamedTuple):
    """A round, on average over its kinds, and the seconds of its parts, which add up to it."""

    round: Estimate
    parts: dict[str, float]


def pieces_of(meter: Meter) -> Pieces:
    """What regularisers take is what a round takes more than one without them, turn by turn: a machine's pace varies.

    The rest is shared as in a round without them.
    """
    kinds, bare = meter.kinds, meter.kinds[-1]
    turns = list(zip(*([k.share * s for s in each(meter.as_played(k), whole)] for k in kinds if k.share), strict=True))
    rounds = [sum(turn) for turn in turns]
    round = Estimate(median(rounds), *quartiles(rounds))
    ratios = [b / r for b, r in zip(each(meter.as_played(bare), whole), rounds, strict=True)]
    without = round.seconds * min(1.0, median(ratios))
    taken = meter.taken_apart(bare)
    parts = {
        "networks": median(each(taken, lambda b: b.step)),
        "data": median(each(taken, lambda b: b.data)),
        "loop": median(each(taken, lambda b: max(0.0, b.wall - b.step - b.data))),
    }
    scale = without / sum(parts.values())
    networks, data, loop = (seconds * scale for seconds in parts.values())
    return Pieces(round, {"networks": networks, "regularizers": round.seconds - without, "data": data, "loop": loop})


def whole(block: Block) -> float:
    """All seconds of a block."""
    return block.wall


def each(blocks: list[Block], seconds: Callable[[Block], float]) -> list[float]:
    """A round's seconds, of each block."""
    return [seconds(block) / block.rounds for block in blocks]


def quartiles(values: list[float]) -> tuple[float, float]:
    """The lower and the upper one; the value itself where there is only one."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, method="inclusive")
    return low, high
