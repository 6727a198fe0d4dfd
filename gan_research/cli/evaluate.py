"""`gan evaluate`: the metrics of a checkpoint or a run."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_research.errors import UserError


def main(arguments: list[str]) -> int:
    """Run `gan evaluate` with these arguments; the exit status."""
    parser = argparse.ArgumentParser(
        prog="gan evaluate", description="Measure a checkpoint's samples, most often against the real ones of its run."
    )
    parser.add_argument("checkpoint", type=Path, help="a .ckpt file, or the folder of a run (then its last checkpoint)")
    parser.add_argument("--metrics", help="a choice of metrics=, such as mnist, inception or modes (as in the run)")
    parser.add_argument("--num-samples", type=int, help="how many samples to draw (as in the run)")
    parser.add_argument("--seed", type=int, help="of the samples, not of training (as in the run)")
    parser.add_argument("--raw", action="store_true", help="the generator itself instead of its average")
    parser.add_argument("--data-root", help="where the data are now, if they moved")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: a GPU where there is one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers and their protocol there as well")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="MODULE", help="a module that may be built from"
    )
    options = parser.parse_args(arguments)

    from gan_research.checkpoints import MARK, find_checkpoint, load, read_checkpoint
    from gan_research.files import write_atomically

    path = find_checkpoint(options.checkpoint)
    checkpoint = read_checkpoint(path)
    if "config" not in checkpoint:
        raise UserError(f"{path} doesn't say what it was trained on: it wasn't written by gan train")
    numbers, protocol = measure(checkpoint["config"], load(path, options.raw, options.trust), options)
    result = {
        "checkpoint": str(path),
        "round": checkpoint[MARK]["round"],
        "metrics": numbers,
        "protocol": protocol.as_dict(),
    }
    show(result)
    if options.json is not None:
        write_atomically(options.json, json.dumps(result, indent=2).encode())
    return 0


def measure(config: dict[str, Any], sampler: Any, options: argparse.Namespace) -> tuple[dict[str, float], Any]:
    """The numbers and the protocol that they were made by."""
    import torch

    from gan_research.cli.build import build_data, make
    from gan_research.cli.compose import choice

    node = choice("metrics", options.metrics, within=config) if options.metrics else config.get("metrics")
    if not node:
        raise UserError("that measures nothing: say what to measure, such as --metrics digits, inception or modes")
    given = {"seed": options.seed, "num_samples": options.num_samples}
    node = node | {key: value for key, value in given.items() if value is not None}
    if options.data_root is not None:
        key = "root" if "root" in config["data"] else "path"
        if key not in config["data"]:
            raise UserError("--data-root: these data have no folder: they are drawn, or part of the installation")
        config["data"][key] = options.data_root
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    require_trusted_parts([config["data"], node], ("gan_research.data", "gan_research.metrics", *options.trust))
    data = build_data(config)
    evaluation = make(node)
    evaluation.prepare(data.train, device, heldout=data.heldout)
    sampler.generator.to(device)
    numbers = evaluation(sampler.drawing(evaluation.seed))
    return numbers, evaluation.protocol(ema=not options.raw and config.get("ema") is not None)


def require_trusted_parts(part: Any, trust: Sequence[str]) -> None:
    """Raise unless all that a checkpoint's config names, however deep, is defined in one of the modules in `trust`."""
    from gan_research.checkpoints import require_trusted
    from gan_research.cli.schema import target_of

    if isinstance(part, str) and "${" in part:  # Hydra would resolve it, to any component
        raise UserError(f"the checkpoint's config holds '{part}', which isn't trusted: a run's config is all resolved")
    if isinstance(part, dict) and "_target_" in part:
        require_trusted(part["_target_"], trust)
        found = target_of(part, "the checkpoint's config")  # of a trusted module, which may have it from another
        require_trusted(f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}", trust)
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            require_trusted_parts(inner, trust)


def show(result: dict[str, Any]) -> None:
    """The numbers and their protocol, as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['checkpoint']}, round {result['round']:,}", show_header=False, title_justify="left")
    for name, value in result["metrics"].items():
        table.add_row(name, f"{value:.6g}")
    table.add_section()
    for name, value in result["protocol"].items():
        table.add_row(name, str(value))
    Console().print(table)
