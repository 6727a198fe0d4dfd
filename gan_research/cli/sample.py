"""`gan sample`: images or points from a checkpoint, a run or an export."""

import argparse
from pathlib import Path
from typing import Any

from gan_research.cli.arguments import add_weights, slow_imports
from gan_research.utils.artifacts import require_checkpoint
from gan_research.utils.errors import UserError, require
from gan_research.utils.files import free_name, new_folder, require_new_folder, write_atomically, write_npz
from gan_research.utils.memory import enough_memory


def main(arguments: list[str]) -> int:
    """Run `gan sample` with these arguments and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="gan sample", description="Draw samples from a checkpoint; neither the data nor the config is needed."
    )
    add = parser.add_argument
    add("checkpoint", help="a .ckpt file, the folder of a run (its last checkpoint) or export, or wandb://... of W&B")
    add("-n", "--num", type=int, help="number of samples (64); with --codes of latents (10, or 500 points)")
    add("--seed", type=int, default=0, help="sample i is a function of the seed and i (0)")
    add("--class", dest="label", type=int, help="one class for all; by default the classes in turn")
    add("--codes", action="store_true", help="a figure in which each code of prior=coded takes its values")
    add_weights(parser)
    add(
        "-o", "--output", type=Path,
        help="X.png: one grid, or a plot of points; X.npz: uint8 images NHWC (and labels), or points; a name without "
        "suffix: a new folder of PNGs (samples.png, or codes.png; samples-2.png, ... if that exists)",
    )  # fmt: skip
    add("--allow", action="append", default=[], metavar="PKG", help="a package whose generator may be built")
    options = parser.parse_args(arguments)
    require(1, **{"-n": 1 if options.num is None else options.num})

    require_checkpoint(options.checkpoint)
    output = options.output or free_name(Path("codes.png" if options.codes else "samples.png"))
    if options.codes and ending(output) != ".png":
        raise UserError(f"--output {output}: give a name that ends in .png for --codes")
    if ending(output) == "":
        require_new_folder(output)
    with slow_imports():
        from gan_research.sampling.load import load

    sampler = load(options.checkpoint, raw=options.raw, allow=options.allow, ema=options.ema)
    replaced = " (replaced)" if output.exists() else ""
    if options.codes:
        from gan_research.sampling.code_figure import codes_png

        with enough_memory(f"-n {options.num}", "give a smaller one"):
            write_atomically(output, codes_png(sampler, options.seed, options.num, options.label))
        print(f"codes in {output}{replaced}")
        return 0
    print(f"{write_samples(sampler, options.num or 64, options.seed, options.label, output)} in {output}{replaced}")
    return 0


def write_samples(sampler: Any, num: int, seed: int, label: int | None, output: Path) -> str:
    """Write `num` samples; return their description, such as "64 images of 1x8x8"."""
    with enough_memory(f"-n {num}", "give a smaller one"):
        labels, one = sampler.labels(num, label), sampler.sample(1)
        one.new_empty(num, one.numel() + sampler.prior.latent_dim)
    if points := sampler.generates_points:
        samples = sampler.sample(num, seed, labels)
        write_points(samples, labels, output)
    else:
        samples = sampler.sample_uint8(num, seed, labels)
        write_images(samples, labels, output)
    return f"{num} {'points' if points else 'images'} of {'x'.join(map(str, samples.shape[1:]))}"


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
