"""`gan evaluate`: the metrics of a checkpoint, of a run, or of samples that lie there."""

import argparse
from pathlib import Path

from gan_research.utils.errors import UserError

USAGE = "gan evaluate SAMPLES [REFERENCE] [options] [KEY=VALUE ...]"

EPILOG = """\
SAMPLES    a checkpoint; the folder of a run: all its checkpoints; what gan export wrote; a folder of pictures, as they
           are: nothing is cropped or resized; an .npz file of pictures (images, x or arr_0) or of statistics (mu and
           sigma); data of the config tree, such as cifar10
REFERENCE  real samples: a folder, an .npz file or data, as above (a checkpoint's: what it was trained on)
KEY=VALUE  anything in the config of the metrics: extractor.weights=PATH extractor.resize=clean batch_size=100
           settings.kid.subset_size=500 num_real=1000; of one choice of several: inception.batch_size=50

examples:
  gan evaluate runs/NAME --seeds 0,1,2 --plot fid.png    the FID over the rounds of a run, over three sampling seeds
  gan evaluate samples/ cifar10 --metrics fid,is,kid     pictures of another program
  gan evaluate a.npz b/ --metrics inception,dinov2       two tables, each with a protocol of its own
  gan evaluate reals/ --write-statistics reals.npz       a reference for the next time

The exit status is 1 where --verify finds a difference of more than 1e-4, relative.
"""


def main(arguments: list[str]) -> int:
    """Run `gan evaluate` with these arguments; the exit status: 1 where torch-fidelity disagrees."""
    options = parse(arguments)
    from gan_research.cli.evaluation.command import measure, write_reference
    from gan_research.distributed import process_group, raise_on_all_ranks

    with process_group(), raise_on_all_ranks():
        if options.write_statistics is not None:
            write_reference(options)
            return 0
        return int(not measure(options).agrees)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; `reference` (or None) and `settings` are the other words."""
    parser = argparse.ArgumentParser(
        prog="gan evaluate",
        usage=USAGE,
        description="Measure generated samples, most often against real ones.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("samples", metavar="SAMPLES", help="what to measure")
    parser.add_argument("words", metavar="REFERENCE, KEY=VALUE", nargs="*", help="the real samples; settings")
    parser.add_argument(
        "--metrics", type=_list, default=[], metavar="LIST",
        help="choices of metrics=, such as inception, digits or modes, each by its own extractor; or single metrics, "
        "such as fid,kid, all by one extractor (as in the run; else inception)",
    )  # fmt: skip
    parser.add_argument("--extractor", metavar="NAME", help="by which to measure, instead of the metrics' own")
    parser.add_argument(
        "--num-samples", type=int, metavar="N", help="how many (as in the run; of pictures the first N: all)"
    )
    parser.add_argument(
        "--seeds", "--seed", type=_seeds, default=[], metavar="S,S,...",
        help="sampling seeds: of the latents, not of training; with several, mean and std over them (as in the run)",
    )  # fmt: skip
    parser.add_argument("--raw", action="store_true", help="the generator itself instead of its average")
    parser.add_argument("--split", choices=("train", "heldout"), help="which real samples of data (train)")
    parser.add_argument("--data-root", metavar="DIR", help="where the data are, if not where the config says")
    parser.add_argument("--skip-corrupt", action="store_true", help="leave out pictures that can't be read")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: a GPU where there is one)")
    parser.add_argument("--no-cache", action="store_true", help="compute the real samples' statistics afresh")
    parser.add_argument("--verify", action="store_true", help="compute the numbers by torch-fidelity as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers and their protocols there")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them: over rounds, or by sampling seed")
    parser.add_argument(
        "--write-statistics", type=Path, metavar="FILE.npz", help="measure nothing: write the statistics of SAMPLES"
    )
    parser.add_argument(
        "--layout", default="pytorch-fid", metavar="NAME",
        help="theirs: pytorch-fid (as is); clean-fid or stylegan: features, too",
    )  # fmt: skip
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PKG", help="a package of yours that may be built from"
    )
    options = parser.parse_intermixed_args(arguments)
    options.settings = [word for word in options.words if is_setting(word)]
    references = [word for word in options.words if not is_setting(word)]
    if len(references) > 1:
        raise UserError(f"there is one REFERENCE, not {' and '.join(references)}: settings are KEY=VALUE")
    options.reference = references[0] if references else None
    for option, path, ending in (
        ("plot", options.plot, ".png"),
        ("write-statistics", options.write_statistics, ".npz"),
    ):
        if path is not None and path.suffix != ending:
            raise UserError(f"--{option} {path}: give a name that ends in {ending}")
    return options


def is_setting(word: str) -> bool:
    """Whether a word is KEY=VALUE, and not a path that happens to look like one."""
    return word.partition("=")[0].replace(".", "").isidentifier() and "=" in word and not Path(word).exists()


def _list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(word) for word in _list(text)]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text}: give different whole numbers, such as 0,1,2")
    return seeds
