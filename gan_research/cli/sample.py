"""`gan sample`: images or points from a checkpoint, a run or an export."""

import argparse
from pathlib import Path
from typing import Any

from gan_research.cli.arguments import add_style, add_weights, psi, slow_imports, threshold
from gan_research.cli.selection import add_sampler, selection
from gan_research.utils.artifacts import require_checkpoint
from gan_research.utils.errors import UserError, require, require_positive
from gan_research.utils.files import free_name, new_folder, require_new_folder, write_atomically, write_npz
from gan_research.utils.memory import enough_memory

FIGURES = {"codes": "codes", "interpolate": "interpolation", "directions": "directions"}  # by their options
NEEDS = {
    "keyframes": ("interpolate",),
    "steps": ("interpolate", "directions"),
    "shift": ("directions",),
    "cutoff": ("psi",),
    "psi_by_class": ("psi",),
}  # an option -> others; it needs one of them
FILMS = (".gif", ".apng", ".webp")  # suffixes
MILLISECONDS = 50  # of a frame
KEYFRAMES, STEPS = {True: 4, False: 2}, {True: 24, False: 10}  # of a film, and of a grid
IMAGES = {True: 16, False: 8}  # images in a frame of a film, and rows of a grid


def main(arguments: list[str]) -> int:
    """Run `gan sample` with these arguments and return its exit status."""
    options = parse(arguments)
    require_checkpoint(options.checkpoint)
    figure = next((name for name in FIGURES if getattr(options, name)), "")
    output = options.output or free_name(Path(f"{FIGURES.get(figure, 'samples')}.png"))
    check_output(output, figure)
    node = selection(options.sampler, options.settings)
    with slow_imports():
        from gan_research.config.build import make
        from gan_research.sampling.load import load

    weights = {"raw": options.raw, "allow": options.allow, "ema": options.ema}
    sampler = load(options.checkpoint, **weights, discriminator=bool(node))
    sampler = sampler.truncated(options.truncation)
    style = {"psi": options.psi, "cutoff": options.cutoff, "noise": options.noise, "by_class": options.psi_by_class}
    sampler = sampler.styled(**{name: value for name, value in style.items() if value is not None})
    sampler = sampler.selecting(make(node))
    replaced = " (replaced)" if output.exists() else ""
    if options.codes:
        from gan_research.sampling.code_figure import codes_png

        with enough_memory(f"-n {options.num}", "give a smaller one"):
            write_atomically(output, codes_png(sampler, options.seed, options.num, options.label))
        print(f"codes in {output}{replaced}")
    elif options.directions:
        print(f"{write_directions(sampler, options, output)} in {output}{replaced}")
    elif options.interpolate:
        print(f"{write_interpolation(sampler, options, output)} in {output}{replaced}")
    else:
        print(f"{write_samples(sampler, options.num or 64, options.seed, options.label, output)} in {output}{replaced}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the options, and check their numbers."""
    parser = argparse.ArgumentParser(
        prog="gan sample", description="Draw samples from a checkpoint; neither the data nor the config is needed."
    )
    add = parser.add_argument
    add("checkpoint", help="a .ckpt file, the folder of a run or export, wandb://... of W&B, or hf://USER/NAME")
    add(
        "-n", "--num", type=int,
        help="number of samples (64); with --codes of latents (10, or 500 points); with --interpolate of rows (8), or "
        "of images in a frame (16); with --directions of directions (8)",
    )  # fmt: skip
    add("--seed", type=int, default=0, help="sample i is a function of the seed and i (0)")
    add("--class", dest="label", type=int, help="one class for all; by default the classes in turn")
    add("--truncation", type=threshold, metavar="T", help="truncate latents to [-T, T], see docs/evaluation.md (inf)")
    add(
        "--psi", type=psi, metavar="P",
        help="scale the distance of w from its mean, for generators with a mapping, as StyleGAN (1)",
    )  # fmt: skip
    add_style(parser)
    add_figures(parser)
    add_weights(parser)
    add(
        "-o", "--output", type=Path,
        help="X.png: one grid, or a plot of points; X.npz: uint8 images NHWC (and labels), or points; a name without "
        "suffix: a new folder of PNGs (samples.png, codes.png, ...; samples-2.png, ... if that exists)",
    )  # fmt: skip
    add("--allow", action="append", default=[], metavar="PKG", help="a package whose generator may be built")
    add_sampler(parser, "all samples")
    add("settings", metavar="sampler.KEY=VALUE", nargs="*", help="settings of the sampler")
    options = parser.parse_intermixed_args(arguments)
    check_numbers(options)
    return options


def add_figures(parser: argparse.ArgumentParser) -> None:
    """Add the options of figures and films instead of samples."""
    add = parser.add_argument
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--codes", action="store_true", help="a figure in which each code of prior=coded takes its values"
    )
    kinds.add_argument(
        "--interpolate", nargs="?", const="latents", choices=("latents", "w", "classes", "both"),
        help="between samples: a grid of rows, X.png, or a film of a loop, X.gif, X.apng or X.webp",
    )  # fmt: skip
    kinds.add_argument(
        "--directions", action="store_true",
        help="a figure of one sample, moved along the directions of latents, or w, that change it most (SeFa)",
    )  # fmt: skip
    add("--keyframes", type=int, metavar="N", help="samples that an interpolation passes (2; in a film 4)")
    add(
        "--steps", type=int, metavar="N",
        help="images from a keyframe to the next (10; in a film 24); with --directions from end to end (7)",
    )  # fmt: skip
    add("--shift", type=float, metavar="X", help="the ends of --directions are moved by -X and X (3)")


def check_numbers(options: argparse.Namespace) -> None:
    """Raise a UserError if a number is too small, or an option lacks another one."""
    for option, least in (("num", 1), ("keyframes", 2), ("steps", 2)):
        value = getattr(options, option)
        require(least, **{"-n" if option == "num" else f"--{option}": least if value is None else value})
    if options.shift is not None:
        require_positive(**{"--shift": options.shift})
    given = {name for name, value in vars(options).items() if value is not None and value is not False}
    for option, others in NEEDS.items():
        if option in given and not given & {*others}:
            value = "" if getattr(options, option) is True else f" {getattr(options, option)}"
            raise UserError(f"--{option.replace('_', '-')}{value}: add --{' or --'.join(others)}, which it is for")


def check_output(output: Path, figure: str) -> None:
    """Raise a UserError unless samples, or a named figure, can be written to `output`."""
    suffixes = [".png", *(FILMS if figure == "interpolate" else ())]
    if figure and ending(output) not in suffixes:
        raise UserError(f"--output {output}: give a name that ends in {' or '.join(suffixes)} for {FIGURES[figure]}")
    if ending(output) == "":
        require_new_folder(output)


def write_interpolation(sampler: Any, options: argparse.Namespace, output: Path) -> str:
    """Write a grid or a film of an interpolation; return its description."""
    from gan_research.sampling.interpolation import Interpolation
    from gan_research.utils.images import film, png

    is_film = ending(output) in FILMS
    n, keyframes = options.num or IMAGES[is_film], options.keyframes or KEYFRAMES[is_film]
    steps = options.steps or STEPS[is_film]
    with enough_memory(f"-n {n}", "give a smaller one, or fewer --keyframes and --steps"):
        path = Interpolation(sampler, options.interpolate, n, keyframes, options.seed, options.label)
        if is_film:
            frames = path.film(steps)
            write_atomically(output, film(frames, output.suffix[1:], MILLISECONDS))
            return f"{len(frames)} frames of {n} images"
        write_atomically(output, png(path.grid(steps)))
    return f"{n} rows between {keyframes} samples each"


def write_directions(sampler: Any, options: argparse.Namespace, output: Path) -> str:
    """Write a figure of directions; return its description."""
    from gan_research.sampling.sefa import directions_png

    given = {"count": options.num, "steps": options.steps, "shift": options.shift}
    with enough_memory(f"-n {options.num}", "give a smaller one, or fewer --steps"):
        chosen = {name: value for name, value in given.items() if value is not None}
        write_atomically(output, directions_png(sampler, options.seed, label=options.label, **chosen))
    return "directions"


def write_samples(sampler: Any, num: int, seed: int, label: int | None, output: Path) -> str:
    """Write `num` samples; return their description, such as "64 images of 1x8x8"."""
    with enough_memory(f"-n {num}", "give a smaller one"):
        labels, one = sampler.labels(num, label), sampler.generate(sampler.latents(1, seed), sampler.labels(1))
        one.new_empty(num, one.numel() + sampler.prior.latent_dim)
    if points := sampler.generates_points:
        samples = sampler.sample(num, seed, labels)
        write_points(samples, labels, output)
    else:
        samples = sampler.sample_uint8(num, seed, labels)
        write_images(samples, labels, output)
    accepted = "" if (share := sampler.acceptance()) is None else f" ({share:.3%} of the candidates)"
    return f"{num} {'points' if points else 'images'} of {'x'.join(map(str, samples.shape[1:]))}{accepted}"


def ending(output: Path) -> str:
    """Return the suffix of a file's name; "" for a folder, whose name may have dots: runs/lr=0.001."""
    return "" if output.is_dir() else output.suffix


def write_points(points: Any, labels: Any, output: Path) -> None:
    """Write float points (N, dim) as a plot or an .npz, by the suffix of `output`."""
    if ending(output) == ".npz":
        write_archive({"points": points.cpu().numpy()}, labels, output)
    elif ending(output) == ".png":
        from gan_research.data.density_plots import points_png

        write_atomically(output, points_png(points.cpu()))
    else:
        raise UserError(f"--output {output}: give a name that ends in .npz or .png for points, not a folder")


def write_archive(arrays: dict[str, Any], labels: Any, output: Path) -> None:
    """Write `arrays`, and labels if there are any, as an .npz."""
    write_npz(output, arrays if labels is None else arrays | {"labels": labels.cpu().numpy()})


def write_images(images: Any, labels: Any, output: Path) -> None:
    """Write uint8 images (N, C, H, W) as a grid, an .npz or a folder of PNGs."""
    from gan_research.utils.images import grid, png

    if ending(output) == ".npz":
        write_archive({"images": images.permute(0, 2, 3, 1).cpu().numpy()}, labels, output)
    elif ending(output) not in ("", ".png"):
        raise UserError(f"--output {output}: give a name that ends in .png or .npz, or a folder")
    elif images.shape[1] not in (1, 3):
        raise UserError(f"images of {images.shape[1]} channels can't be PNGs: give an output that ends in .npz")
    elif ending(output) == ".png":
        write_atomically(output, png(grid(images)))
    else:
        with new_folder(output) as folder:
            for i, image in enumerate(images):
                (folder / f"{i:06d}.png").write_bytes(png(image))
