"""`gan export`: a generator as plain weights and JSON, with a model card."""

import argparse
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gan_research._version import __version__
from gan_research.cli.arguments import add_weights, slow_imports
from gan_research.utils.artifacts import EXPORT, FORMAT_KEY, local, require_checkpoint
from gan_research.utils.errors import UserError
from gan_research.utils.hub import push_export, require_pushable, require_repository, split
from gan_research.utils.paths import HUB
from gan_research.utils.reading import reading


def main(arguments: list[str]) -> int:
    """Run `gan export` with these arguments and return its exit status."""
    options = parse(arguments)
    with slow_imports():
        from gan_research.sampling.export import is_export, require_export_folder

    if options.output:
        require_export_folder(options.output)
    if options.push:
        require_pushable(options.push, FORMAT_KEY, EXPORT[0])
    source = local(options.checkpoint, whole=True)
    with ExitStack() as stack:
        folder = options.output or Path(stack.enter_context(TemporaryDirectory()), "export")
        if options.push and is_export(source) and not options.output:
            folder = source
        else:
            what = write(options, source, folder)
            print(f"{what} in {options.output}" if options.output else what)
        if options.push:
            message = f"gan export of gan_research {__version__}"
            print(f"pushed: {push_export(folder, options.push, message, options.private)}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the options, and check their addresses and paths."""
    parser = argparse.ArgumentParser(
        prog="gan export",
        description="Write a trained generator as generator.safetensors, config.json and a model card, README.md, "
        "without training state; gan sample, gan evaluate and gan_research.load read it.",
    )
    add = parser.add_argument
    add(
        "checkpoint", help="a .ckpt file, the folder of a run (its last checkpoint), or wandb://...; to push: an export"
    )
    add("-o", "--output", type=Path, metavar="FOLDER", help="a new folder, or an export to replace")
    add("--push", metavar="USER/NAME", help="upload it to the Hugging Face Hub, for load('hf://USER/NAME')")
    add("--private", action="store_true", help="push to a private repository, if it is new")
    add("--program", action="store_true", help="write generator.pt2, too: a program of torch.export")
    add_weights(parser)
    add("--discriminator", action="store_true", help="write discriminator.safetensors, too")
    add("--allow", action="append", default=[], metavar="PKG", help="a package whose generator may be built")
    options = parser.parse_args(arguments)
    if not (options.output or options.push):
        raise UserError(
            "where to? give a new folder, -o FOLDER, or a repository of the Hugging Face Hub, --push USER/NAME"
        )
    if options.private and not options.push:
        raise UserError("--private: add --push, which it is for")
    require_checkpoint(options.checkpoint)
    if options.push:
        options.push = f"{HUB}{options.push.removeprefix(HUB)}"
        require_repository(options.push)
        if split(options.push)[1]:
            raise UserError(f"--push {options.push}: leave out the revision, a push makes a new one")
    return options


def write(options: argparse.Namespace, source: Path, folder: Path) -> str:
    """Write the export into a folder, and return what it is."""
    from gan_research.checkpoints.io import MARK, open_checkpoint, weights_of
    from gan_research.sampling.averages import sampled_weights
    from gan_research.sampling.card import model_card
    from gan_research.sampling.export import CARD, PROGRAM, describe_export, make_sampler, write_export
    from gan_research.sampling.program import example, export_program

    path, checkpoint = open_checkpoint(source)
    game = checkpoint[MARK]
    averaged = bool(game["ema"]) and not options.raw
    networks = {"generator": sampled_weights(path, checkpoint, options.raw, options.ema, options.allow)}
    with reading(path):
        sampler = make_sampler(game, networks["generator"], options.allow)  # checks that it can be loaded
    if options.discriminator:
        networks["discriminator"] = weights_of(checkpoint, "discriminator")
    config = describe_export(game, averaged, sampler.num_classes, sampler.value_range, options.ema)
    others: dict[str, Any] = {PROGRAM: export_program(sampler)} if options.program else {}
    address = options.push or options.output.resolve().name
    inputs = example(sampler, 1) if options.program else None
    card = model_card(address, sampler, config, checkpoint, path, options.allow, inputs)
    write_export(folder, config, networks, others | {CARD: card.encode()})
    return f"{' and '.join(networks)} of round {game['round']:,} ({path})"
