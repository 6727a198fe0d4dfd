"""The command line of commands that take Hydra overrides: options and KEY=VALUE."""

import argparse
import gc
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gan_research.config.other_tools import setting_of
from gan_research.config.overrides import literal
from gan_research.utils.addresses import LOOPBACK, PORT, is_loopback
from gan_research.utils.errors import UserError


@dataclass
class Arguments:
    """The parsed options, the user's config folder and allowed packages, and the overrides."""

    options: set[str] = field(default_factory=set)
    config_dir: Path | None = None
    allow: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)

    @property
    def help(self) -> bool:
        return bool(self.options & {"-h", "--help"})

    def sets(self, key: str) -> bool:
        """Return whether an override sets exactly this key."""
        return any(override.lstrip("+").partition("=")[0] == key for override in self.overrides)


@contextmanager
def slow_imports() -> Iterator[None]:
    """Announce imports that take seconds, and suspend garbage collection, a tenth of their time."""
    if sys.stderr.isatty():
        print("gan: importing torch and Lightning ...", file=sys.stderr)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def parse(arguments: list[str], command: str, options: tuple[str, ...] = (), foreign: bool = False) -> Arguments:
    """Parse the arguments of `gan COMMAND`, with these options and --help and --config-dir.

    foreign: the command reads files that may be someone else's, and has the option --allow.
    """
    parsed, asked = Arguments(), not {"-h", "--help"}.isdisjoint(arguments)
    rest = iter(arguments)
    for argument in rest:
        option = argument.partition("=")[0]
        if argument in ("-h", "--help", *options):
            parsed.options.add(argument)
        elif option == "--config-dir":
            parsed.config_dir = Path(_value(argument, rest, "a folder"))
        elif option == "--allow" and foreign:
            parsed.allow.append(_value(argument, rest, "a package"))
        elif argument.startswith("-"):
            setting = setting_of(argument.lstrip("-").replace("-", "_"))
            advice = f"did you mean the setting {setting}?" if setting else f"see {command} --help"
            raise UserError(f"'{argument}' is no option of {command}: {advice}")
        elif asked:  # GROUP=CHOICE or KEY, that the help is of
            parsed.overrides.append(argument)
        elif "=" not in argument and not argument.startswith("~"):
            raise UserError(f"'{argument}' is neither KEY=VALUE nor an option of {command}: see {command} --help")
        else:
            parsed.overrides.append(literal(argument))
    return parsed


def number(text: str) -> float:
    """Return a number, or NaN if the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def threshold(text: str) -> float:
    """Return a threshold of latents as a number, positive or infinite."""
    value = number(text)
    if not value > 0:
        raise UserError(f"--truncation {text}: give a positive number, such as 0.5, or inf for the whole prior")
    return value


def psi(text: str) -> float:
    """Return a factor psi as a finite number."""
    value = number(text)
    if not math.isfinite(value):
        raise UserError(f"--psi {text}: give a finite number, such as 0.7; 1 changes nothing")
    return value


def add_style(parser: argparse.ArgumentParser) -> None:
    """Add the options of w and of the noise inside layers, but --psi itself."""
    add = parser.add_argument
    add("--cutoff", type=int, metavar="N", help="psi applies to the first N layers only (all)")
    add("--psi-by-class", action="store_true", help="psi moves w towards the mean of its class, not of all")
    add(
        "--noise", choices=("random", "constant", "none"),
        help="noise inside layers: of each sample, of sample 0 for all, or none (random)",
    )  # fmt: skip


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the generator's weights: --raw or --ema SIGMA."""
    add = parser.add_argument
    add("--raw", action="store_true", help="the generator itself instead of its average")
    add(
        "--ema", type=_profile, metavar="SIGMA",
        help="of a run with ema=power: the average with this relative standard deviation, such as 0.07, kept or "
        "reconstructed from the run's snapshots (the run's first)",
    )  # fmt: skip


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that serves a page: --host and --port."""
    parser.add_argument("--port", type=int, metavar="N", help=f"a port ({PORT}, or the next free one)")
    parser.add_argument(
        "--host", default=LOOPBACK, metavar="ADDRESS",
        help="the address to listen on (%(default)s: only this machine); 0.0.0.0: reachable from other machines",
    )  # fmt: skip


def announce(what: str, host: str, others_can: str) -> None:
    """Print what is served, with a warning if other machines reach it."""
    print(f"{what} (press Ctrl-C to stop)", flush=True)
    if not is_loopback(host):
        print(f"gan: warning: anyone who can reach this address can {others_can}", file=sys.stderr, flush=True)


def _profile(text: str) -> float:
    from gan_research.utils.power_functions import require_profile  # NumPy takes time to import

    try:
        sigma = float(text)
    except ValueError:
        raise UserError(f"--ema {text}: give a number, such as 0.07") from None
    require_profile(sigma, "--ema")
    return sigma


def _value(argument: str, rest: Iterator[str], what: str) -> str:
    """Return the value of --OPTION=VALUE or --OPTION VALUE."""
    option, _, value = argument.partition("=")
    value = value or next(rest, "")
    if not value:
        raise UserError(f"{option}: give {what}")
    return value
