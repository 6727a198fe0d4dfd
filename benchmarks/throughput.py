"""Benchmark of training on a GPU: images per second by network, batch size, precision and memory format.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --networks r3gan_small --batches 256 --modes eager compile
    python benchmarks/throughput.py --device cpu --networks sngan_resnet --batches 4 --precisions 32 --rounds 2

Each line is a `gan train` of the recipe on random images in memory, without evaluation. Images per second are real ones
that the discriminator sees: the median of blocks after a warm-up, in which networks are compiled. After `--limit`
seconds no further line is started.
"""

import argparse
import statistics
import tempfile
import time
from itertools import product
from pathlib import Path

from frameworks import random_images
from round import blocks

from gan_research.config.compose import compose_train
from gan_research.utils.errors import UserError

MODES = {
    "eager": [],
    "channels_last": ["channels_last=true"],
    "compile": ["compile=true"],
    "compile,channels_last": ["compile=true", "channels_last=true"],
}
"""Mode -> its overrides of `gan train`."""

WARM_UP = 2  # blocks


def images_per_second(arguments: list[str], rounds: int, folder: Path) -> float:
    """Return the real images that the discriminator sees in a second of training."""
    config = compose_train(arguments).config
    images = config["batch_size"] * config["schedule"]["discriminator_steps"]
    block = max(1, rounds // 4)
    seconds = blocks(arguments, rounds + WARM_UP * block, block, folder)[WARM_UP:]
    return images / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--networks", nargs="+", default=["sngan_resnet", "biggan", "r3gan_small"], help="recipes")
    add("--batches", nargs="+", type=int, default=[64, 256])
    add("--precisions", nargs="+", default=["tf32", "bf16"])
    add("--modes", nargs="+", choices=MODES, default=list(MODES))
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--rounds", type=int, default=40, help="after the warm-up")
    add("--limit", type=float, default=540.0, help="seconds after which no further line is started (540)")
    options = parser.parse_args()
    start = time.monotonic()
    cells = product(options.networks, options.batches, options.precisions, options.modes)
    with tempfile.TemporaryDirectory() as name:
        data = random_images(Path(name))
        trainer = f"trainer={'gpu' if options.device == 'cuda' else 'cpu'}"
        for network, batch, precision, mode in cells:
            cell = f"{network:<14} batch {batch:<4} {precision:<5} {mode:<22}"
            if time.monotonic() - start > options.limit:
                print(f"{cell} not measured: {options.limit:.0f} s are over", flush=True)
                continue
            arguments = [f"experiment={network}", *data, f"batch_size={batch}", f"precision={precision}", trainer]
            arguments += [*MODES[mode], "metrics=none", "best=null", "logger=none"]
            try:
                print(f"{cell} {images_per_second(arguments, options.rounds, Path(name)):9.0f} images/s", flush=True)
            except (UserError, RuntimeError) as error:  # such as: too little memory
                print(f"{cell} {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
