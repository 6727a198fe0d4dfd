"""`gan export`: a generator as plain weights and JSON."""

import argparse
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Run `gan export` with these arguments; the exit status."""
    parser = argparse.ArgumentParser(
        prog="gan export",
        description="Write a trained generator as generator.safetensors and config.json, without all that only the "
        "training needs; gan sample, gan evaluate and gan_research.load read it back.",
    )
    parser.add_argument("checkpoint", type=Path, help="a .ckpt file, or the folder of a run (its last checkpoint)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="a new folder, or an export")
    parser.add_argument("--raw", action="store_true", help="the generator itself instead of its average")
    parser.add_argument("--discriminator", action="store_true", help="write discriminator.safetensors, too")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PKG", help="a package of yours whose generator may be built"
    )
    options = parser.parse_args(arguments)

    from gan_research.checkpoints.io import MARK, open_checkpoint, weights_of
    from gan_research.sampling.export import make_sampler, require_own, write_export

    require_own(options.output)
    path, checkpoint = open_checkpoint(options.checkpoint)
    game = checkpoint[MARK]
    averaged = bool(game["ema"]) and not options.raw
    networks = {"generator": weights_of(checkpoint, "generator_ema" if averaged else "generator")}
    sampler = make_sampler(game, networks["generator"], options.allow)  # it can be read back
    if options.discriminator:
        networks["discriminator"] = weights_of(checkpoint, "discriminator")
    config: dict[str, Any] = {key: game[key] for key in ("version", "generator", "discriminator", "prior")}
    config |= {
        "averaged": averaged,
        "value_range": sampler.value_range,
        "num_classes": sampler.num_classes,
        "round": game["round"],
        "images_seen": game["images_seen"],
        "kimg": game["images_seen"] / 1000,
    }
    write_export(options.output, config, networks)
    print(f"{' and '.join(networks)} of round {game['round']:,} ({path}) in {options.output}")
    return 0
