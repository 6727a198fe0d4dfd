"""The request of `gan train -m`: parsed, composed and checked without importing torch."""

from dataclasses import dataclass
from typing import Any

from gan_research.cli.arguments import Arguments
from gan_research.config.compose import Composition, compose_multirun, compose_train, of_sweep
from gan_research.sweeps.points import Axis, examples, split
from gan_research.sweeps.search import merge_axes
from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class SweepRequest:
    """The config of a sweep, its fixed overrides, its axes, and example points.

    own: the axes of the command line; axes: with those of the config.
    """

    config: dict[str, Any]
    fixed: list[str]
    own: list[Axis]
    axes: list[Axis]
    compositions: list[Composition]


def sweep_request(given: Arguments) -> SweepRequest:
    """Return the sweep of what the command line varies."""
    if any(o.startswith("resume=") for o in given.overrides):
        raise UserError("resume= is for one run: resume a sweep with gan sweep resume DIR")
    config = compose_multirun([o for o in given.overrides if of_sweep(o)], given.config_dir)
    fixed, own = split(o for o in given.overrides if not of_sweep(o))
    axes = merge_axes(config["sweep"].get("space"), own)
    if not axes:
        raise UserError("nothing is varied: give a key several values (loss=hinge,wasserstein), or leave -m out")
    compositions = [compose_train([*fixed, *point], given.config_dir) for point in examples(axes)]
    return SweepRequest(config, fixed, own, axes, compositions)
