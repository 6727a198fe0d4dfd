"""The request of `gan train -m`: parsed, composed and checked without importing torch."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gan_research.cli.arguments import Arguments
from gan_research.config.compose import Composition, choice, compose_multirun, compose_train
from gan_research.config.overrides import concerns, key_of, of_sweep, value_of
from gan_research.config.variants import Variants, as_override, split_variants
from gan_research.sweeps.points import Axis, examples, split
from gan_research.sweeps.search import merge_axes
from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class SweepRequest:
    """The config of a sweep, its fixed overrides, its axes, and example points.

    own: the axes of the command line; axes: with those of the config. points: the overrides of each example.
    """

    config: dict[str, Any]
    fixed: list[str]
    own: list[Axis]
    axes: list[Axis]
    points: list[list[str]]
    compositions: list[Composition]


def sweep_request(given: Arguments) -> SweepRequest:
    """Return the sweep of what the command line varies."""
    if any(o.startswith("resume=") for o in given.overrides):
        raise UserError("resume= is for one run: resume a sweep with gan sweep resume DIR")
    config = compose_multirun([o for o in given.overrides if of_sweep(o)], given.config_dir)
    overrides = [o for o in given.overrides if not of_sweep(o)]
    if (listed := config.pop("variants")) is not None and not given.sets("variants"):
        overrides.insert(0, as_override(listed))
    variants, others = split_variants(overrides, partial(choice, "variants", config_dir=given.config_dir))
    fixed, own = split(others)
    space = config["sweep"].get("space")
    if variants and not any(axis.name == "variant" for axis in merge_axes(space, own)) and not given.sets("variant"):
        own.insert(0, Axis("variant", tuple(variants)))
    axes = merge_axes(space, own)
    if not axes:
        raise UserError("nothing is varied: give a key several values (loss=hinge,wasserstein), or leave -m out")
    fixed = [*(o for o in overrides if o not in others), *fixed]
    points = examples(axes)
    compositions = [composed(fixed, point, variants, given.config_dir) for point in points]
    return SweepRequest(config, fixed, own, axes, points, compositions)


def composed(fixed: list[str], point: list[str], variants: Variants, config_dir: Path | None) -> Composition:
    """Return the composition of a point; an error of its variant names it."""
    name = next((value_of(o) for o in [*fixed, *point] if concerns(o, "variant")), None)
    varied = set(map(key_of, point))
    for key in map(key_of, variants.get(name or "", [])):
        if key in varied:
            raise UserError(f"variant {name} sets {key}, which the sweep varies: leave one of them out")
    try:
        return compose_train([*fixed, *point], config_dir)
    except UserError as error:
        if name not in variants:
            raise
        raise UserError(f"variant {name}: {error}") from error
