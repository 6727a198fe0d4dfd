"""Errors that a user can fix: one clear line with what to do, no traceback."""

import difflib
import importlib
import math
from collections.abc import Iterable
from typing import Any

RESUME = 75  # the exit status of a run that was stopped and can be resumed (EX_TEMPFAIL)
DIVERGED = 3  # the exit status of a run whose loss isn't finite any more


class UserError(Exception):
    """An error that the user can fix; commands print its message as one line."""

    status = 2  # the exit status of the command
    common = False  # true if all ranks raise it: then rank zero reports it


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return the end of an error line: the valid name closest to `name`, or all of them."""
    valid = sorted(valid)
    if close := difflib.get_close_matches(name, valid, n=1, cutoff=0.5):
        return f"did you mean '{close[0]}'?"
    return f"valid: {', '.join(valid)}" if valid else "it takes no settings"


def require(least: int, **values: float) -> None:
    """Raise a UserError naming the first of `values` that is below `least`."""
    for name, value in values.items():
        if not value >= least:  # also NaN
            raise UserError(f"{name} is {value}: it has to be at least {least}")


def require_positive(**values: float) -> None:
    """Raise a UserError naming the first of `values` that isn't positive and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise UserError(f"{name} is {value}: it has to be a positive number")


def import_problem(error: BaseException) -> str:
    """Return why an import failed, and what to do if the module isn't found."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ModuleNotFoundError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return one_line(error)
    advice = "install it, or put the folder that contains it on PYTHONPATH, as in PYTHONPATH=. gan ..."
    return f"there is no module {cause.name}: {advice}"


def import_extra(module: str, extra: str, subject: str) -> Any:
    """Import a module of an optional dependency; a UserError with the extra to install if there is none."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(f"{subject} needs {package}: pip install 'gan_research[{extra}]'") from None


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line, or else its type."""
    return " ".join(str(error).split()) or type(error).__name__
