"""`gan cost`: the time, memory and operations of a run on this machine."""

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_research.cli.arguments import slow_imports
from gan_research.config.compose import compose_train
from gan_research.utils.errors import UserError
from gan_research.utils.texts import bytes_text, duration, scaled

if TYPE_CHECKING:
    from rich.table import Table

EPILOG = """\
RECIPE     a recipe of experiment=; without one, the demo's
KEY=VALUE  what gan train takes

  gan cost pacgan_ring
  gan cost generator.width=512
  gan cost mnist_dcgan rounds=2000 --json cost.json

The first rounds are trained in a temporary folder, offline, which is removed afterwards.
"""
CAPTION = "FLOPs: matrix products and convolutions. Memory: computed; backward: the most that autograd keeps."
LABELS = {"Log": "rows", "SampleGrid": "grids", "Checkpoints": "checkpoints", "ends": "end of the run"}


def main(arguments: list[str]) -> int:
    options = options_of(arguments)
    from rich.console import Console

    composition = compose_train(overrides_of(options.argv), options.config_dir)
    with slow_imports():
        from gan_research.cost import estimate
        from gan_research.utils.files import write_atomically

    cost = estimate(composition, options.seconds, options.rounds)
    Console().print(table(cost))
    for note in cost["notes"]:
        print(f"note: {' '.join(note.split())}")
    if options.json is not None:
        write_atomically(options.json, (json.dumps(cost, indent=2) + "\n").encode())
    return 0


def options_of(arguments: list[str]) -> argparse.Namespace:
    """Return the options; `argv` are the recipe and the overrides."""
    parser = argparse.ArgumentParser(
        prog="gan cost",
        usage="gan cost [RECIPE] [KEY=VALUE ...] [options]",
        description="Estimate parameters, operations, memory and time of a run on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("argv", metavar="RECIPE, KEY=VALUE", nargs="*", help="the run")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="about how long to measure (10)")
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds to measure, however long that takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to FILE, with units in the keys")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder with groups and choices of your own")
    options = parser.parse_intermixed_args(arguments)
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise UserError(f"--json {options.json}: there is no folder {options.json.parent}")
    return options


def overrides_of(argv: list[str]) -> list[str]:
    """Return the overrides of the command line; an argument without "=" is the name of a recipe."""
    recipes = [argument for argument in argv if "=" not in argument and not argument.startswith("~")]
    if len(recipes) > 1:
        raise UserError(f"gan cost takes one recipe, not {' and '.join(recipes)}: settings are KEY=VALUE")
    return [f"experiment={recipe}" for recipe in recipes] + [argument for argument in argv if argument not in recipes]


def table(cost: dict[str, Any]) -> "Table":
    from rich.table import Table

    title = f"{cost['name']}, on {cost['device']}"
    table = Table(title=title, show_header=False, title_justify="left", caption=CAPTION, caption_justify="left")
    table.add_row("rounds", f"{cost['rounds']:,} ({cost['kimg']:,.1f} kimg); updates: {listed(cost['updates'], comma)}")
    for player, count in cost["parameters"].items():
        frozen = f" of {count['total']:,}" if count["total"] != count["trainable"] else ""
        table.add_row(f"parameters of {player}", f"{count['trainable']:,}{frozen}")
    rate = si(cost["flops_per_round"] / cost["seconds_per_round"])
    table.add_row("FLOPs a round", f"{si(cost['flops_per_round'])}: {listed(cost['flops_per_round_of'], si)}")
    table.add_row("FLOPs in all", f"{si(cost['flops_total'])}, at {rate}/s")
    table.add_row("memory", f"{bytes_text(cost['memory_bytes'])}: {listed(cost['memory_bytes_of'], bytes_text)}")
    if cost["memory_peak_bytes"] is not None:
        table.add_row("memory, peak of a round", bytes_text(cost["memory_peak_bytes"]))
    table.add_row(
        "disk", f"{bytes_text(cost['disk_bytes'])}: {listed(cost['disk_bytes_of'], bytes_text)}; without trackers"
    )
    for name, key in (("time of a round", "seconds_per_round"), ("time of the run", "seconds_total")):
        low, high = map(duration, cost[f"{key}_quartiles"])
        table.add_row(name, f"{duration(cost[key])} (quartiles {low} to {high})")
    logging = {LABELS[name]: seconds for name, seconds in cost["logging_seconds_of"].items()}
    details = {"logging": f": {listed(logging, duration)}"}
    startup = f"{duration(cost['startup_seconds'])} to the end of the first round"
    if e := cost["evaluation"]:
        part = "" if e["samples"] == e["samples_measured"] else f", scaled up from {e['samples_measured']:,} samples"
        details["evaluation"] = f": {e['count']:,} times {duration(e['seconds_each'])}{part}"
        startup += f"; statistics of the reals {duration(e['reference_seconds'])}"
    for part, share in cost["shares"].items():
        if share:
            table.add_row(f"  {part}", f"{share:6.1%}  {duration(cost['seconds_of'][part])}{details.get(part, '')}")
    table.add_row("start", startup)
    table.add_row("measured", f"{cost['rounds_measured']:,} rounds")
    return table


def listed(amounts: Mapping[str, float], formatted: Callable[[float], str]) -> str:
    """Return "generator 1.2 M, discriminator 3.4 M", without amounts of 0."""
    return ", ".join(f"{name} {formatted(amount)}" for name, amount in amounts.items() if amount)


comma = "{:,}".format
si = partial(scaled, base=1000, units=["", " k", " M", " G", " T", " P", " E"])
