"""`gan evaluate`: the metrics of a checkpoint, of a run, or of a set of samples."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gan_research.cli.arguments import add_style, add_weights, psi, slow_imports, threshold
from gan_research.cli.evaluation.sources import require_source
from gan_research.cli.selection import add_sampler, selection
from gan_research.utils.errors import UserError
from gan_research.utils.paths import require_path
from gan_research.utils.renamed import renamed_argument

USAGE = "gan evaluate SAMPLES [REFERENCE] [options] [KEY=VALUE ...]"

EPILOG = """\
SAMPLES    a checkpoint; the folder of a run: all its checkpoints; an export; a model in W&B,
           wandb://ENTITY/PROJECT/NAME:ALIAS, or on the Hugging Face Hub, hf://USER/NAME; images, which are
           neither cropped nor resized: a folder, an .npz file (images, x or arr_0), or another format of data=images,
           such as StyleGAN's .zip; an .npz file of statistics (mu and sigma); data of the config tree, such as cifar10
REFERENCE  real samples: images, statistics or data, as above (default of a checkpoint: its training data)
KEY=VALUE  any key in the config of the metrics: extractor.weights=PATH extractor.resize=clean batch_size=100
           settings.kid.subset_size=500 num_real=1000; for one of several choices: inception.batch_size=50

examples:
  gan evaluate runs/NAME --seeds 0,1,2 --plot fid.png    the FID over the rounds of a run, over three sampling seeds
  gan evaluate CHECKPOINT --truncation 0.5,1,2,inf --metrics fid,precision_recall --plot curve.png
  gan evaluate CHECKPOINT --psi 0.5,0.7,1 --cutoff 8 --plot curve.png
  gan evaluate samples/ cifar10 --metrics fid,kid        images of another program
  gan evaluate a.npz b/ --metrics inception,dinov2       two tables, each with its own protocol
  gan evaluate reals/ --write-statistics reals.npz       a reference for later evaluations

The exit status is 1 if --verify finds a relative difference of more than 1e-4.
"""


def main(arguments: list[str]) -> int:
    """Run `gan evaluate`; return the exit status, 1 if torch-fidelity disagrees."""
    options = parse(arguments)
    for name in filter(None, (options.samples, options.reference)):
        require_source(name)
    if options.data_root is not None:
        require_path(options.data_root)
    with slow_imports():
        from gan_research.cli.evaluation.command import measure, write_reference
        from gan_research.distributed import process_group, raise_on_all_ranks

    with process_group(command=["evaluate", *arguments]), raise_on_all_ranks():
        if options.write_statistics is not None:
            write_reference(options)
            return 0
        return int(not measure(options).agrees)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the options; `reference` (or None) and `settings` are the positional arguments after SAMPLES."""
    parser = argparse.ArgumentParser(
        prog="gan evaluate",
        usage=USAGE,
        description="Measure generated samples, most often against real ones.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("samples", metavar="SAMPLES", help="what to measure")
    add("others", metavar="REFERENCE, KEY=VALUE", nargs="*", help="the real samples; settings")
    add(
        "--metrics", type=_list, default=[], metavar="LIST",
        help="choices of metrics=, such as inception, digits or modes, each with its own extractor; or single metrics, "
        "such as fid,kid, all with one extractor (the run's; else inception)",
    )  # fmt: skip
    add("--extractor", metavar="NAME", help="the extractor, instead of the metrics' own")
    add("--num-samples", type=int, metavar="N", help="how many (as in the run; all images of a folder)")
    add(
        "--seeds", "--seed", type=_seeds, default=[], metavar="S,S,...",
        help="sampling seeds, of the latents, not of training; several give mean and std over them (as in the run)",
    )  # fmt: skip
    add(
        "--truncation", type=_thresholds, default=[], metavar="T,T,...",
        help="truncate latents to [-T, T]; several, inf among them, give a curve (as in the run)",
    )  # fmt: skip
    add(
        "--psi", type=_factors, default=[], metavar="P,P,...",
        help="scale the distance of w from its mean; several, 1 among them, give a curve (as in the run)",
    )  # fmt: skip
    add_style(parser)
    add_weights(parser)
    add(
        "--standing-statistics", type=int, metavar="M",
        help="statistics of batch norm over M batches of samples; their size: standing_batch_size=N (as in training)",
    )  # fmt: skip
    add("--split", choices=("train", "heldout"), help="the split of the real data (train)")
    add("--data-root", metavar="DIR", help="the folder of the data, instead of the config's")
    add("--skip-corrupt", action="store_true", help="leave out images that can't be read")
    add("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: a GPU if available)")
    add("--no-cache", action="store_true", help="compute the real samples' statistics again")
    add("--verify", action="store_true", help="compute the numbers with torch-fidelity as well")
    add("--json", type=Path, metavar="FILE", help="write the numbers and their protocols")
    add("--plot", type=Path, metavar="FILE.png", help="plot them over rounds, truncation or psi, or by seed")
    add("--write-statistics", type=Path, metavar="FILE.npz", help="only write the statistics of SAMPLES")
    add(
        "--layout", default="pytorch-fid", metavar="NAME",
        help="of the statistics: pytorch-fid (default); clean-fid or stylegan, with features",
    )  # fmt: skip
    add("--allow", action="append", default=[], metavar="PKG", help="a package of yours whose classes may be built")
    add_sampler(parser, "as in the run; none: all samples")
    options = parser.parse_intermixed_args(arguments)
    if len(options.psi) > 1 and len(options.truncation) > 1:
        raise UserError("--psi and --truncation: give several values of one of them, and one of the other")
    options.settings = [renamed_argument(word) for word in options.others if is_setting(word)]
    if options.sampler is not None:
        selection(options.sampler, [word for word in options.settings if word.startswith("sampler.")])
    references = [word for word in options.others if not is_setting(word)]
    if len(references) > 1:
        raise UserError(f"there is one REFERENCE, not {' and '.join(references)}: settings are KEY=VALUE")
    options.reference = references[0] if references else None
    for option, ending in (("plot", ".png"), ("write_statistics", ".npz")):
        path = getattr(options, option)
        if path is not None and path.suffix != ending:
            raise UserError(f"--{option.replace('_', '-')} {path}: give a name that ends in {ending}")
    return options


def is_setting(word: str) -> bool:
    """Return whether a word is KEY=VALUE, and not the path of an existing file."""
    return word.partition("=")[0].replace(".", "").isidentifier() and "=" in word and not Path(word).exists()


def _list(text: str) -> list[str]:
    return [renamed_argument(word.strip()) for word in text.split(",") if word.strip()]


def _thresholds(text: str) -> list[float]:
    return _different("--truncation", text, threshold, "0.5,1,inf")


def _factors(text: str) -> list[float]:
    return _different("--psi", text, psi, "0.5,0.7,1")


def _different(option: str, text: str, number: Callable[[str], float], example: str) -> list[float]:
    values = [number(word) for word in _list(text)]
    if not values or len(set(values)) < len(values):
        raise UserError(f"{option} {text}: give different numbers, such as {example}")
    return values


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(word) for word in _list(text)]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text}: give different whole numbers, such as 0,1,2")
    return seeds
