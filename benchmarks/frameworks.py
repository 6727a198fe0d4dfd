"""Benchmark of a round of `gan train` against the training steps of public GAN code.

    python benchmarks/frameworks.py FOLDER mimicry_sngan
    python benchmarks/frameworks.py FOLDER studiogan_biggan --width 0.25 --batch 16 --rounds 20 --block 2

FOLDER contains checkouts of kwotsin/mimicry as `mimicry` and of POSTECH-CVLab/PyTorch-StudioGAN as `PyTorch-StudioGAN`.
Theirs are their own networks, optimizers and training steps, in float32 on random images in memory, without data
loaders. Ours is `gan train` of the recipe, with its data, losses logged to the history, and without evaluation.
Packages that a step doesn't use, such as seaborn and TensorFlow, don't have to be installed.

Both alternate block by block in one process. Printed are the median CPU times of a round, their ratio, and the
quartiles of the ratios of neighbouring blocks.
"""

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import packaging.version
import torch
from round import blocks

STEPS = 5  # updates of D in a round of all of them


def imported(name: str) -> Any:
    """Import a module of public code; packages that it doesn't find are replaced by mock objects."""
    sys.modules.setdefault("pkg_resources", SimpleNamespace(parse_version=packaging.version.parse))  # type: ignore[arg-type]
    while True:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or name.startswith(error.name):
                raise SystemExit(f"there is no module {name}: give the folder of its checkout") from error
            sys.modules[error.name] = MagicMock()


def images(batch: int) -> Iterator[list[torch.Tensor]]:
    """Yield minibatches of random images in [-1, 1) with labels."""
    whole, labels = torch.rand(1000, 3, 32, 32) * 2 - 1, torch.randint(10, (1000,))
    while True:
        rows = torch.randint(len(whole), (batch,))
        yield [whole[rows], labels[rows]]


def mimicry_sngan(folder: Path, width: float, batch: int) -> Iterator[None]:
    """Train mimicry's SNGAN for CIFAR-10; each `next` is a round."""
    sys.path.insert(0, str(folder / "mimicry"))
    networks = imported("torch_mimicry.nets.sngan.sngan_32")
    log = imported("torch_mimicry.training.metric_log").MetricLog
    G, D = networks.SNGANGenerator32(ngf=round(256 * width)), networks.SNGANDiscriminator32(ndf=round(128 * width))
    optimizer_g, optimizer_d = (torch.optim.Adam(n.parameters(), 2e-4, (0.0, 0.9)) for n in (G, D))
    data, device = images(batch), torch.device("cpu")
    while True:
        for _ in range(STEPS):
            real = next(data)
            D.train_step(real_batch=real, netG=G, optD=optimizer_d, log_data=log(), device=device)
        G.train_step(real_batch=real, netD=D, optG=optimizer_g, log_data=log(), device=device)
        yield


def studiogan(file: str) -> Callable[[Path, float, int], Iterator[None]]:
    """Return the training of StudioGAN's CIFAR-10 configuration FILE.yaml by its own worker."""

    def train(folder: Path, width: float, batch: int) -> Iterator[None]:
        source = folder / "PyTorch-StudioGAN/src"
        sys.path.insert(0, str(source))
        config = imported("config").Configurations(str(source / f"configs/CIFAR10/{file}.yaml"))
        config.OPTIMIZATION.batch_size, config.OPTIMIZATION.world_size = batch, 1
        config.RUN.mixed_precision = config.RUN.distributed_data_parallel = config.RUN.batch_statistics = False
        config.RUN.synchronized_bn, config.RUN.freezeD, config.RUN.langevin_sampling = False, -1, False
        config.RUN.train, config.RUN.standing_statistics, config.RUN.empty_cache = True, False, False
        config.RUN.save_dir = config.RUN.project = config.RUN.entity = None
        model = config.MODEL
        model.g_conv_dim, model.d_conv_dim = round(model.g_conv_dim * width), round(model.d_conv_dim * width)
        parts = config.DATA, config.OPTIMIZATION, model, config.STYLEGAN, config.MODULES, config.RUN
        networks = imported("models.model").load_generator_discriminator(*parts, device="cpu", logger=None)
        G, G_mapping, G_synthesis, D, average, *average_parts, ema = networks
        config.define_optimizer(G, D)
        players, data = (G, G_mapping, G_synthesis, D, average, *average_parts, ema), images(STEPS * batch)
        worker = imported("worker").WORKER(
            config, "benchmark", *players, None, data, None, 1, "cpu", None, None, None, None, 0.0, 0, None,
            None, None, 0, None, None,
        )  # fmt: skip
        worker.prepare_train_iter(0)
        step = 0
        while True:
            worker.train_discriminator(current_step=step)
            worker.train_generator(current_step=step)
            step += 1
            yield

    return train


CASES: dict[str, tuple[str, Callable[[Path, float, int], Iterator[None]]]] = {
    "mimicry_sngan": ("sngan_resnet_mimicry", mimicry_sngan),
    "studiogan_sngan": ("sngan_studiogan", studiogan("SNGAN")),
    "studiogan_sagan": ("sagan", studiogan("SAGAN")),
    "studiogan_biggan": ("biggan", studiogan("BigGAN")),
}
"""Case -> our recipe, and their training of the same game."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--width", type=float, default=0.25, help="of the published width (0.25)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--block", type=int, default=2)
    parser.add_argument("overrides", nargs="*", help="further overrides of gan train, such as channels_last=true")
    options = parser.parse_intermixed_args()
    theirs: list[float] = []
    recipe, train = CASES[options.case]
    rounds = train(options.folder.resolve(), options.width, options.batch)
    next(rounds)

    def train_theirs() -> None:
        start = time.process_time()
        for _ in range(options.block):
            next(rounds)
        theirs.append((time.process_time() - start) / options.block)

    with tempfile.TemporaryDirectory() as name:
        arguments = ours(recipe, options.width, options.batch, Path(name)) + options.overrides
        total = options.rounds + 2 * options.block
        own = blocks(arguments, total, options.block, Path(name), train_theirs, time.process_time)
    own, theirs = own[2:], theirs[1:-1]  # the first block of each warms up
    low, _, high = statistics.quantiles([a / b for a, b in zip(own, theirs, strict=True)])
    print(f"{options.case}, {len(own)} blocks of {options.block} rounds, {torch.get_num_threads()} threads")
    print(f"gan train {statistics.median(own):7.3f} s of CPU a round")
    print(f"theirs    {statistics.median(theirs):7.3f} s of CPU a round")
    ratio = statistics.median(own) / statistics.median(theirs)
    print(f"ratio of medians {ratio:.3f}, quartiles of the pairs {low:.3f} and {high:.3f}")


def ours(recipe: str, width: float, batch: int, folder: Path) -> list[str]:
    """Return the overrides of `gan train` for a recipe at a share of its width."""
    from gan_research.config.compose import compose_train

    config = compose_train([f"experiment={recipe}"]).config
    widths = [
        f"{player}.{key}={round(config[player][key] * width)}"
        for player in ("generator", "discriminator")
        for key in ("width", "max_width")
        if key in config[player]
    ]
    network = [f"experiment={recipe}", *random_images(folder), *widths]
    return [*network, f"batch_size={batch}", "metrics=none", "best=null", "logger=none"]


def random_images(folder: Path) -> list[str]:
    """Write random images of 10 classes to a folder; return the overrides of `gan train` that read them."""
    file = folder / "images.npz"
    rng = np.random.default_rng(0)
    np.savez(file, images=rng.integers(0, 256, (1000, 32, 32, 3), np.uint8), labels=rng.integers(0, 10, 1000))
    return ["data=arrays", f"data.path={file}"]


if __name__ == "__main__":
    main()
