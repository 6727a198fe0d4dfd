"""`gan explore`: a page on this machine to look around in a generator."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gan_research.cli.arguments import add_address, add_weights, announce, slow_imports
from gan_research.cli.selection import add_sampler, selection
from gan_research.utils.artifacts import local, require_checkpoint
from gan_research.utils.errors import UserError, require


def main(arguments: list[str]) -> int:
    """Run `gan explore` with these arguments until Ctrl-C; return the exit status."""
    options = parser().parse_intermixed_args(arguments)
    require_checkpoint(options.checkpoint)
    if options.num_real is not None:
        require(2, **{"--num-real": options.num_real})
    if find_spec("nicegui") is None:
        raise UserError("gan explore needs NiceGUI: pip install 'gan_research[explore]'")
    node = selection(options.sampler, options.settings)
    with slow_imports():
        from gan_research.cli.evaluation.command import device_of
        from gan_research.config.build import make
        from gan_research.explore.explorer import Explorer
        from gan_research.explore.server import Server
        from gan_research.sampling.load import load

    device = device_of(options)
    weights = {"raw": options.raw, "allow": options.allow, "ema": options.ema}
    sampler = load(options.checkpoint, **weights, discriminator=bool(node)).to(device)
    explorer = Explorer(sampler.selecting(make(node)))
    neighbours = neighbours_of(options, device)
    with Server(explorer, neighbours, Path(options.checkpoint).name, options.host, options.port) as server:
        announce(f"{options.checkpoint} at {server.url}", options.host, "look around in this generator and its data")
        server.run()
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gan explore",
        description="Serve a page to look around in a generator with the mouse: seeds, classes, truncation, "
        "interpolation, directions of SeFa, and the nearest real images of a sample.",
    )
    add = parser.add_argument
    add("checkpoint", help="a .ckpt file, the folder of a run or export, wandb://... of W&B, or hf://USER/NAME")
    add_weights(parser)
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1 (a GPU if there is one)")
    add("--reference", metavar="REAL", help="a folder of images, an .npz file or data: real images (those of the run)")
    add("--data-root", metavar="PATH", help="the folder of the data, if they were moved")
    add("--extractor", metavar="NAME", help="the features in which real images are near (those of the run's metrics)")
    add("--num-real", type=int, metavar="N", help="real images to compare with, drawn at random (all)")
    add("--allow", action="append", default=[], metavar="PKG", help="a package whose classes may be built")
    add_sampler(parser, "all samples")
    add_address(parser)
    add("settings", metavar="sampler.KEY=VALUE", nargs="*", help="settings of the sampler")
    return parser


def neighbours_of(options: argparse.Namespace, device: str) -> Any:
    """Return the `Neighbours` among the images of --reference, or else of the run's data."""
    from gan_research.checkpoints.allowlist import require_allowed, resolve_allowed
    from gan_research.checkpoints.io import open_checkpoint
    from gan_research.cli.evaluation.blocks import blocks
    from gan_research.cli.evaluation.samples import open_data, open_samples
    from gan_research.config.build import make
    from gan_research.config.schema import check_nodes
    from gan_research.data.sets import ImageSet
    from gan_research.explore.neighbours import Neighbours, Reals
    from gan_research.metrics import Evaluation
    from gan_research.sampling.export import is_export, read_config

    path = local(options.checkpoint, whole=options.raw or options.ema is not None)
    config: dict[str, Any] = (read_config(path) if is_export(path) else open_checkpoint(path)[1]).get("config") or {}

    def open_reals() -> Reals:
        if options.reference is not None:
            samples = open_samples(options.reference, None, options.data_root, skip_corrupt=False)
        elif "data" in config:
            require_allowed(config["data"], options.allow)
            check_nodes(config["data"], "data")
            samples = open_data(config["data"], None, options.data_root)
        else:
            raise UserError(f"{options.checkpoint} doesn't specify its training data: name images with --reference")
        if not isinstance(samples.samples, ImageSet):
            raise UserError(f"--reference {options.reference} contains no images")
        heldout = samples.heldout if isinstance(samples.heldout, ImageSet) else None
        return Reals(samples.name, samples.samples, heldout, samples.classes)

    def evaluation() -> Evaluation:
        own = bool(config.get("metrics")) or "data" not in config
        names = [] if own else [resolve_allowed(config["data"]["_target_"], options.allow).metrics]
        nodes = blocks(names, options.extractor, {}, (), options.allow, config if own else None)
        extractors = (make(node["extractor"]) for node in nodes.values())
        extractor = next((one for one in extractors if "images" in one.accepts), None)
        if extractor is None:
            raise UserError("no metric of this run has features of images: name some with --extractor")
        return Evaluation(extractor, ["precision_recall"])

    return Neighbours(open_reals, evaluation, device, options.num_real)
