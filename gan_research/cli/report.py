"""`gan report`: a comparison of variants as a report in W&B."""

import argparse
import json
from inspect import signature
from typing import get_args

from gan_research.config.compose import groups
from gan_research.config.schema import train
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.renamed import renamed_argument


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    from gan_research.report.wandb_report import Layout, publish, request

    entity, _, project = options.wandb.rpartition("/")
    if not project or "/" in entity:
        raise UserError(f"--wandb {options.wandb}: give PROJECT or ENTITY/PROJECT")
    layout = Layout(
        entity=entity,
        project=project,
        by=config_key(options.by),
        title=options.title or f"{project} by {options.by}",
        metrics=[renamed_argument(name.removeprefix("metrics/")) for name in options.metrics],
        axis=options.axis,
        band=options.band,
        parameters=[config_key(key) for key in options.parameters],
    )
    if options.print:
        print(json.dumps(request(layout), indent=2))
        return 0
    address, new = publish(layout)
    print(f"{'created' if new else 'updated'} {layout.title!r}: {address}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    from gan_research.report.wandb_report import PARAMETERS, Axis, Band

    parser = argparse.ArgumentParser(
        prog="gan report",
        description="Compare variants in a report in W&B: curves with bands over seeds, samples, parallel coordinates. "
        "A report of the same title in that project is overwritten. Without an account: gan compare.",
    )
    parser.add_argument("--wandb", required=True, metavar="[ENTITY/]PROJECT", help="the project whose runs to compare")
    parser.add_argument(
        "--by", default="loss", metavar="KEY", help="the variants: a group of the config, or a key (%(default)s)"
    )
    parser.add_argument("--title", help="the report's title (PROJECT by KEY)")
    parser.add_argument(
        "--metrics", nargs="+", default=["fid", "inception_score"], metavar="NAME",
        help="the metrics (fid inception_score)",
    )  # fmt: skip
    parser.add_argument("--axis", choices=get_args(Axis), default="round", help="the x axis of curves (%(default)s)")
    parser.add_argument("--band", choices=get_args(Band), default="stderr", help="the band of the mean (%(default)s)")
    parser.add_argument(
        "--parameters", nargs="+", default=PARAMETERS, metavar="KEY",
        help=f"columns of the parallel coordinates: keys that all runs have ({' '.join(PARAMETERS)})",
    )  # fmt: skip
    parser.add_argument("--print", action="store_true", help="print the request without sending it; needs no key")
    return parser.parse_args(arguments)


def config_key(name: str) -> str:
    """Return the key in W&B's config of a run: a group's choice is under `choices`."""
    if name in (known := groups()):
        return f"choices.{name}"
    if (top := name.partition(".")[0]) not in (settings := signature(train).parameters):
        raise UserError(f"there is no {name} in the config: {did_you_mean(top, [*known, *settings])}")
    return name
