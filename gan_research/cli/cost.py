"""`gan cost`: what a run will take on this machine."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gan_research.utils.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from gan_research.cost import Cost

EPILOG = """\
RECIPE     a recipe of experiment=; without one, the demo's
KEY=VALUE  what gan train takes

  gan cost pacgan_ring
  gan cost generator.width=512
  gan cost mnist_dcgan rounds=2000 --json cost.json

The beginning of the run is played in a temporary folder, offline; it leaves nothing behind.
"""


CAPTION = (
    "FLOPs are those of matrix products and convolutions; memory is computed, backward what autograd keeps at most."
)


def main(arguments: list[str]) -> int:
    """Run `gan cost` with these arguments; the exit status."""
    options = options_of(arguments)

    from rich.console import Console

    from gan_research.config.compose import compose_train
    from gan_research.cost import estimate
    from gan_research.utils.files import write_atomically

    composition = compose_train(overrides_of(options.words), options.config_dir)
    cost = estimate(composition, options.seconds, options.rounds)
    Console().print(table(cost))
    for note in cost.notes:
        print(f"note: {' '.join(note.split())}")
    if options.json is not None:
        write_atomically(options.json, (json.dumps(cost.as_dict(), indent=2) + "\n").encode())
    return 0


def options_of(arguments: list[str]) -> argparse.Namespace:
    """The options; `words` are the recipe and the overrides."""
    parser = argparse.ArgumentParser(
        prog="gan cost",
        usage="gan cost [RECIPE] [KEY=VALUE ...] [options]",
        description="What a run takes on this machine: parameters, operations, memory, time and its shares.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", metavar="RECIPE, KEY=VALUE", nargs="*", help="what is to be run")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="about how long to measure (10)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds to measure, however long that takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, with units in the keys")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder with groups and choices of your own")
    options = parser.parse_intermixed_args(arguments)
    for name, value in (("seconds", options.seconds), ("rounds", options.rounds)):
        if value is not None and not value > 0:
            raise UserError(f"--{name} {value:g}: give more than 0")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise UserError(f"--json {options.json}: there is no folder {options.json.parent}")
    return options


def overrides_of(words: list[str]) -> list[str]:
    """The overrides that the words of the command line are: a name without '=' is that of a recipe."""
    recipes = [word for word in words if "=" not in word and not word.startswith("~")]
    if len(recipes) > 1:
        raise UserError(f"gan cost takes one recipe, not {' and '.join(recipes)}: settings are KEY=VALUE")
    return [f"experiment={recipe}" for recipe in recipes] + [word for word in words if word not in recipes]


def table(cost: "Cost") -> "Table":
    """All of it, to be read."""
    from rich.table import Table

    whole, evaluating = cost.whole, cost.evaluating
    title = f"{cost.name}, on {cost.device}"
    table = Table(title=title, show_header=False, title_justify="left", caption=CAPTION, caption_justify="left")
    updates = ", ".join(f"{player} {count:,}" for player, count in cost.updates.items())
    table.add_row("rounds", f"{cost.rounds:,} ({cost.kimg:,.1f} kimg); updates: {updates}")
    for player, count in cost.parameters.items():
        frozen = f" of {count['total']:,}" if count["total"] != count["trainable"] else ""
        table.add_row(f"parameters of {player}", f"{count['trainable']:,}{frozen}")
    table.add_row("FLOPs a round", f"{si(cost.flops_per_round)}: " + listed(cost.flops, si))
    rate = si(cost.flops_per_round / cost.seconds_per_round)
    table.add_row("FLOPs in all", f"{si(cost.flops_per_round * cost.rounds)}, at {rate}/s")
    table.add_row("memory", f"{binary(cost.memory_bytes)}: " + listed(cost.bytes, binary))
    if cost.peak_bytes is not None:
        table.add_row("memory, peak of a round", binary(cost.peak_bytes))
    low, high = (f"{seconds * 1e3:.3g}" for seconds in (cost.round.low, cost.round.high))
    table.add_row("time of a round", f"{cost.round.seconds * 1e3:.3g} ms (quartiles {low} to {high})")
    table.add_section()
    table.add_row("time of the run", f"{clock(whole.seconds)} (quartiles {clock(whole.low)} to {clock(whole.high)})")
    for part, share in cost.shares.items():
        if share:
            table.add_row(f"  {part}", f"{100 * share:5.1f} %  {clock(cost.seconds[part])}{detail(cost, part)}")
    reference = f"; statistics of the reals {clock(evaluating.reference_seconds)}" if evaluating else ""
    table.add_row("before it starts", f"{clock(cost.startup_seconds)}{reference}")
    table.add_row("measured", f"{cost.rounds_measured:,} rounds")
    return table


def detail(cost: "Cost", part: str) -> str:
    """What there is to say of a part of the time."""
    if part == "logging":
        return ": " + ", ".join(f"{NAMES[who]} {clock(seconds)}" for who, seconds in cost.logging.items())
    if part == "evaluation" and (e := cost.evaluating):
        scaled = "" if e.samples == e.samples_measured else f", scaled up from {e.samples_measured:,} samples"
        return f": {e.count:,} times {clock(e.seconds)}{scaled}"
    return ""


NAMES = {"Log": "rows", "SampleGrid": "grids", "Checkpoints": "checkpoints", "ends": "loggers' end"}


def listed(amounts: Mapping[str, float], written: Callable[[float], str]) -> str:
    """'generator 1.2 M, discriminator 3.4 M', without what is 0."""
    return ", ".join(f"{name} {written(amount)}" for name, amount in amounts.items() if amount)


def si(amount: float) -> str:
    """1234567 -> '1.23 M'."""
    return scaled(amount, 1000, ["", " k", " M", " G", " T", " P", " E"])


def binary(amount: float) -> str:
    """1234567 -> '1.18 MiB'."""
    return scaled(amount, 1024, [" B", " KiB", " MiB", " GiB", " TiB"])


def scaled(amount: float, base: int, units: list[str]) -> str:
    """With three digits, in the largest unit of which it is at least one."""
    for unit in units[:-1]:
        if amount < base * 0.9995:
            return f"{amount:.3g}{unit}" if amount < 1000 else f"{amount:.0f}{unit}"
        amount /= base
    return f"{amount:.3g}{units[-1]}"


def clock(seconds: float) -> str:
    """12.3 s, 4 min 5 s, 6 h 7 min, 8 d 9 h."""
    if seconds < 0.1:
        return f"{1e3 * seconds:.2g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
