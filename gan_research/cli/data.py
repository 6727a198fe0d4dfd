"""`gan data`: what is in a set of images, and its conversion to StyleGAN's ZIP."""

import argparse
from pathlib import Path
from typing import Any

from gan_research.cli.arguments import slow_imports
from gan_research.utils.errors import UserError, require
from gan_research.utils.files import free_name, write_atomically
from gan_research.utils.paths import is_on_hub, require_path
from gan_research.utils.texts import bytes_text

RECIPES = ("stylegan_center_crop", "adm", "lsun_wide")


def main(arguments: list[str]) -> int:
    """Run `gan data` with these arguments and return its exit status."""
    options = parser().parse_args(arguments)
    if not is_on_hub(options.source):
        require_path(options.source)
    if options.output is None:
        for name in ("resolution", "channels", "recipe", "skip_corrupt"):
            if getattr(options, name):
                raise UserError(f"--{name.replace('_', '-')} is for a conversion: add -o FILE.zip")
    else:
        check_output(options)
    with slow_imports():
        from gan_research.data.formats.detect import open_images

    source = open_images(options.source, options.split, options.labels)
    if options.output is not None:
        write(source, options)
    else:
        show(source, options)
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gan data",
        description="Show what is in a set of images, with a contact sheet, or convert it to StyleGAN's ZIP. Training "
        "takes both by data=images data.path=SOURCE.",
    )
    add = parser.add_argument
    add(
        "source", metavar="SOURCE",
        help="a folder of images, StyleGAN's .zip, HDF5, LMDB, WebDataset's .tar or a folder of them, .npz, ImageNet, "
        "a data set saved by Hugging Face, or hf://USER/NAME",
    )  # fmt: skip
    add("-o", "--output", type=Path, metavar="FILE.zip", help="convert the images to a ZIP, which must be new")
    add("--sheet", type=Path, metavar="FILE.png", help="the contact sheet of up to 64 images (data.png)")
    add("--split", default="train", help="the part of a set that has several (train)")
    add("--labels", action="store_true", help="the first-level folders of a folder of images are classes")
    add("--resolution", type=int, metavar="R", help="crop and resize images to R x R (as they are)")
    add("--recipe", choices=RECIPES, help="how they are cropped and resized (stylegan_center_crop)")
    add("--channels", type=int, choices=(1, 3), help="convert images to grey or colour (as the first one)")
    add("--skip-corrupt", action="store_true", help="leave out images that can't be read")
    return parser


def check_output(options: argparse.Namespace) -> None:
    """Raise a UserError unless the output is a new .zip, and the options make sense."""
    if options.output.suffix.lower() != ".zip":
        raise UserError(f"-o {options.output}: give a name that ends in .zip")
    if options.output.exists():
        raise UserError(f"-o {options.output} exists: give a new file, or delete it")
    if options.resolution is not None:
        require(1, **{"--resolution": options.resolution})
    elif options.recipe or options.channels:
        raise UserError("--recipe and --channels need --resolution, the pixels a side")


def show(source: Any, options: argparse.Namespace) -> None:
    """Print the survey of a source, and write its contact sheet."""
    from gan_research.data.survey import Survey
    from gan_research.utils.images import png

    survey = Survey(source)
    print(f"{options.source}: {len(source):,} images, {type(source).__name__}")
    for title, text in survey.lines():
        print(f"  {title:<11}{text}")
    if (sheet := survey.sheet()) is not None:
        path = options.sheet or free_name(Path("data.png"))
        write_atomically(path, png(sheet))
        print(f"  {'sheet':<11}{path}")


def write(source: Any, options: argparse.Namespace) -> None:
    """Write the images of a source to a ZIP, and print what it has."""
    from gan_research.data.conversion import convert
    from gan_research.data.image_files import RECIPES, AsItIs, ImageDecoder

    shape = source.first_shape()
    decoder: ImageDecoder = AsItIs(shape)
    if options.resolution is not None:
        recipe = RECIPES[options.recipe or "stylegan_center_crop"]
        decoder = recipe(options.resolution, options.channels or shape[0])
    elif shape[1] != shape[2]:
        raise UserError(f"{options.source} has images of {shape[2]} x {shape[1]} pixels: add --resolution R")
    count, words = convert(source, decoder, options.output, options.skip_corrupt)
    numbered = f"; labels: {', '.join(f'{i} = {word}' for i, word in enumerate(words))}" if words else ""
    size = bytes_text(options.output.stat().st_size)
    shape_text = " x ".join(map(str, decoder.shape))
    print(f"{count:,} images of {shape_text} in {options.output}, {size}{numbered}")
