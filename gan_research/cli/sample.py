"""`gan sample`: pictures or points from a checkpoint or a run."""

import argparse
from pathlib import Path
from typing import Any

from gan_research.utils.errors import UserError


def main(arguments: list[str]) -> int:
    """Run `gan sample` with these arguments; the exit status."""
    parser = argparse.ArgumentParser(
        prog="gan sample", description="Draw samples from a checkpoint; neither the data nor the config is needed."
    )
    parser.add_argument(
        "checkpoint", type=Path, help="a .ckpt file, or the folder of a run (its last checkpoint) or export"
    )
    parser.add_argument("-n", "--num", type=int, default=64, help="how many (64)")
    parser.add_argument("--seed", type=int, default=0, help="sample i is a function of the seed and i (0)")
    parser.add_argument("--class", dest="label", type=int, help="one class for all; otherwise the classes in turn")
    parser.add_argument("--raw", action="store_true", help="the generator itself instead of its average")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("samples.png"),
        help="X.png: one grid, or a plot of points; X.npz: uint8 images NHWC (and labels), or points; a name without "
        "ending: a folder of PNGs (samples.png)",
    )  # fmt: skip
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PKG", help="a package of yours whose generator may be built"
    )
    options = parser.parse_args(arguments)
    if options.num < 1:
        raise UserError(f"-n {options.num}: give at least 1")

    from gan_research.sampling.load import load

    sampler = load(options.checkpoint, raw=options.raw, allow=options.allow)
    labels = sampler.labels(options.num, options.label)
    if sampler.makes_points:
        samples = sampler.sample(options.num, options.seed, labels)
        write_points(samples, labels, options.output)
    else:
        samples = sampler.sample_uint8(options.num, options.seed, labels)
        write_pictures(samples, labels, options.output)
    kind = "points" if sampler.makes_points else "pictures"
    print(f"{options.num} {kind} of {'x'.join(map(str, samples.shape[1:]))} in {options.output}")
    return 0


def write_points(points: Any, labels: Any, output: Path) -> None:
    """Float (N, dim) as a plot or an .npz, whichever `output` names."""
    from gan_research.utils.files import write_atomically

    if output.suffix == ".npz":
        write_archive({"points": points.cpu().numpy()}, labels, output)
    elif output.suffix == ".png":
        from gan_research.data.density_plots import points_png

        write_atomically(output, points_png(points.cpu()))
    else:
        raise UserError(f"--output {output}: points go into a name that ends in .npz or .png, not into a folder")


def write_archive(arrays: dict[str, Any], labels: Any, output: Path) -> None:
    """An .npz of `arrays`, and of the labels if there are any."""
    from gan_research.utils.files import write_npz

    if labels is not None:
        arrays["labels"] = labels.cpu().numpy()
    write_npz(output, arrays)


def write_pictures(pictures: Any, labels: Any, output: Path) -> None:
    """uint8 (N, C, H, W) as a grid, an .npz or a folder of PNGs, whichever `output` names."""
    from gan_research.utils.files import write_atomically
    from gan_research.utils.images import grid, png

    if output.suffix == ".npz":
        write_archive({"images": pictures.permute(0, 2, 3, 1).cpu().numpy()}, labels, output)
        return
    if pictures.shape[1] not in (1, 3):
        raise UserError(f"pictures of {pictures.shape[1]} channels can't be PNGs: give an output that ends in .npz")
    if output.suffix == ".png":
        write_atomically(output, png(grid(pictures)))
        return
    if output.suffix:
        raise UserError(f"--output {output}: give a name that ends in .png or .npz, or a folder")
    output.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        (output / f"{i:06d}.png").write_bytes(png(picture))
