"""`gan export`: a generator as plain weights and JSON."""

import argparse
from pathlib import Path

from gan_research.cli.arguments import add_weights, slow_imports
from gan_research.utils.artifacts import local, require_checkpoint
from gan_research.utils.reading import reading


def main(arguments: list[str]) -> int:
    """Run `gan export` with these arguments and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="gan export",
        description="Write a trained generator as generator.safetensors and config.json, without training state; "
        "gan sample, gan evaluate and gan_research.load read it.",
    )
    add = parser.add_argument
    add("checkpoint", help="a .ckpt file, the folder of a run (its last checkpoint), or wandb://... of W&B")
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="a new folder, or an export to replace")
    add_weights(parser)
    add("--discriminator", action="store_true", help="write discriminator.safetensors, too")
    add("--allow", action="append", default=[], metavar="PKG", help="a package whose generator may be built")
    options = parser.parse_args(arguments)

    require_checkpoint(options.checkpoint)
    with slow_imports():
        from gan_research.checkpoints.io import MARK, open_checkpoint, weights_of
        from gan_research.sampling.averages import sampled_weights
        from gan_research.sampling.export import describe_export, make_sampler, require_export_folder, write_export

    require_export_folder(options.output)
    path, checkpoint = open_checkpoint(local(options.checkpoint, whole=True))
    game = checkpoint[MARK]
    averaged = bool(game["ema"]) and not options.raw
    networks = {"generator": sampled_weights(path, checkpoint, options.raw, options.ema, options.allow)}
    with reading(path):
        sampler = make_sampler(game, networks["generator"], options.allow)  # checks that it can be loaded
    if options.discriminator:
        networks["discriminator"] = weights_of(checkpoint, "discriminator")
    config = describe_export(game, averaged, sampler.num_classes, sampler.value_range, options.ema)
    write_export(options.output, config, networks)
    print(f"{' and '.join(networks)} of round {game['round']:,} ({path}) in {options.output}")
    return 0
