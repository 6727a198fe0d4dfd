"""Benchmark of a round of `gan train` against a hand-written loop.

    python benchmarks/round.py digits_mlp
    python benchmarks/round.py goodfellow2014_mnist --rounds 200 --block 20
    python benchmarks/round.py cifar_dcgan --rounds 60 --block 5 --repeats 1
    python benchmarks/round.py cifar_dcgan_diffaugment --rounds 60 --block 5
    python benchmarks/round.py ring_mlp --device cuda

Both train the same networks on the same data, with default logging in `gan train`. The loop of cifar_dcgan_diffaugment
has the same augmentation; the loop of cifar_dcgan_ada has none. They alternate block by block in one process, so that
the load of the machine is the same; a block of `log_every` rounds contains one log entry. Printed are the median times
of a round, their ratio, and the quartiles of the ratios of neighbouring blocks. Start-up, evaluation, sample grids and
checkpoints are excluded.

`--device cuda` compares `gan train` with `gan train cuda_graphs=true` on one GPU, one after the other in each repeat.
Blocks end with a synchronization, and those in which updates are captured are excluded.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from gan_research.config.build import build_data, build_game
from gan_research.config.compose import compose_train
from gan_research.data import Data, Points
from gan_research.distributed import rank_and_world_size
from gan_research.runs import fit
from gan_research.training.cuda_graphs import WARM_UP
from gan_research.training.gan import GAN

CASES = {
    "digits_mlp": [],
    "pacgan_ring": ["experiment=pacgan_ring", "metrics=none", "best=null"],
    "ring_mlp": ["experiment=modes", "analysis=none"],
    "goodfellow2014_mnist": [
        "experiment=goodfellow2014_mnist",
        "data.heldout=0.02",
        "~data.train_size",
        "metrics=none",
    ],
    "cifar_dcgan": [
        "generator=dcgan",
        "discriminator=dcgan",
        "prior.latent_dim=100",
        "regularizer=none",
        "metrics=none",
    ],
}
"""Case -> its overrides of `gan train`."""

CASES |= {f"cifar_dcgan_{name}": [*CASES["cifar_dcgan"], f"augment=[{name}]"] for name in ("diffaugment", "ada")}

RANDOM_IMAGES = {case: (50_000, 32, 32, 3) for case in CASES if case.startswith("cifar")}
RANDOM_IMAGES["goodfellow2014_mnist"] = (50_000, 28, 28, 1)
"""Case -> the shape of random images that replace the data set."""


def overrides(case: str, folder: Path) -> list[str]:
    """Return the overrides of `gan train` for a case."""
    if case not in RANDOM_IMAGES:
        return CASES[case]
    file = folder / "images.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, RANDOM_IMAGES[case], np.uint8))
    return [*CASES[case], "data=arrays", f"data.path={file}"]


def reals(data: Data, size: int) -> Iterator[Tensor]:
    """Yield minibatches of new points, or of a fixed set, shuffled in each epoch."""
    if isinstance(data, Points):
        while data.train_size is None:
            yield data.density.sample(size, torch.default_generator)
        whole, scale, low = data.density.sample(data.train_size, torch.default_generator), 1.0, 0.0
    else:
        whole, (low, high) = data.train.on(torch.device("cpu"))[0], data.value_range
        scale = (high - low) / 255
    while True:
        order = torch.randperm(len(whole))
        for start in range(0, len(order) - size + 1, size):
            batch = whole[order[start : start + size]]
            yield batch if isinstance(data, Points) else batch.float().mul_(scale).add_(low)


def diff_augment(x: Tensor) -> Tensor:
    """Return images (N, C, H, H) after the transforms of DiffAugment, as a script has them."""
    n, _, size, _ = x.shape
    x = x + (torch.rand(n, 1, 1, 1) - 0.5)
    mean = x.mean(1, keepdim=True)
    x = (x - mean) * (2 * torch.rand(n, 1, 1, 1)) + mean
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * (torch.rand(n, 1, 1, 1) + 0.5) + mean
    sample, place = torch.arange(n)[:, None, None], torch.arange(size)
    top, left = torch.randint(0, 2 * (size // 8) + 1, (2, n, 1))
    rows, columns = (top + place)[:, :, None], (left + place)[:, None]
    x = pad(x, [size // 8] * 4).permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)
    top, left = torch.randint(0, size + 1, (2, n, 1)) - size // 4
    hole = torch.arange(size // 2)
    mask = torch.ones(n, size, size)
    rows, columns = ((start + hole).clamp(0, size - 1) for start in (top, left))
    mask[sample, rows[:, :, None], columns[:, None]] = 0
    return x * mask[:, None]


AUGMENT: dict[str, Callable[[Tensor], Tensor]] = {"cifar_dcgan_diffaugment": diff_augment}
"""Case -> the augmentation of the hand-written loop, none by default."""


def by_hand(
    arguments: list[str],
    reduce: Callable[[list[nn.Parameter]], None] = lambda _: None,
    augment: Callable[[Tensor], Tensor] = lambda images: images,
) -> Iterator[None]:
    """Train the same game in a hand-written loop; each `next` is a round.

    reduce: averages a player's gradients over processes before its step. augment: changes D's images.
    """
    config = compose_train(arguments).config
    data = build_data(config)
    gan = build_game(config, data)  # for its networks, optimizers and schedules only
    G, D, average = gan.generator, gan.discriminator, gan.generator_ema
    parameters_d, parameters_g = list(D.parameters()), list(G.parameters())
    (make_d, schedule_d), (make_g, schedule_g) = gan.player_optimizers.factories.values()
    optimizer_d, optimizer_g = make_d(parameters_d), make_g(parameters_g)
    for optimizer in (optimizer_d, optimizer_g):  # a cost of Lightning, which the loop doesn't use
        optimizer._accelerator_graph_capture_health_check = lambda: None  # type: ignore[method-assign]
    schedules = [make(o) for make, o in ((schedule_d, optimizer_d), (schedule_g, optimizer_g)) if make is not None]
    r1 = (config["regularizer"] or {}).get("r1", {}).get("weight", 0.0)
    k, simultaneous = gan.schedule.discriminator_steps, gan.schedule.updates == "simultaneous"
    size = config["batch_size"] // rank_and_world_size()[1]
    data_reals = reals(data, size)
    if average is not None:
        averaged = list(average.parameters())
        buffers = list(zip(average.buffers(), G.buffers(), strict=True))

    def latents() -> Tensor:
        return gan.prior.sample(size, torch.default_generator)

    def step_d() -> None:
        reduce(parameters_d)
        optimizer_d.step()

    def step_g(fake: Tensor) -> None:
        for parameter in parameters_d:
            parameter.requires_grad_(False)
        optimizer_g.zero_grad()
        softplus(-D(augment(fake)).logits).mean().backward()
        reduce(parameters_g)
        for parameter in parameters_d:
            parameter.requires_grad_(True)

    while True:
        for update in range(1, k + 1):
            real, both = next(data_reals).requires_grad_(r1 > 0), simultaneous and update == k
            with torch.set_grad_enabled(both):
                fake = G(latents())
            real_logits, fake_logits = D(augment(real)).logits, D(augment(fake.detach())).logits
            loss = (softplus(-real_logits) + softplus(fake_logits)).mean()
            if r1 > 0:
                (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
                loss = loss + r1 * 0.5 * gradient.flatten(1).square().sum(1).mean()
            optimizer_d.zero_grad()
            loss.backward()
            if not both:
                step_d()
        if simultaneous:
            step_g(fake)
            step_d()
        else:
            step_g(G(latents()))
        optimizer_g.step()
        for schedule in schedules:
            schedule.step()
        if average is not None:
            with torch.no_grad():
                torch._foreach_lerp_(averaged, parameters_g, 0.005)
                for averaged_buffer, buffer in buffers:
                    averaged_buffer.copy_(buffer)
        yield


def in_turn(
    arguments: list[str],
    rounds: int,
    block: int,
    folder: Path,
    reduce: Callable[[list[nn.Parameter]], None] = lambda _: None,
    augment: Callable[[Tensor], Tensor] = lambda images: images,
) -> tuple[list[float], list[float]]:
    """Return the seconds per round of each block, for `gan train` and the hand-written loop."""
    hand: list[float] = []
    loop = by_hand(arguments, reduce, augment)

    def train_by_hand() -> None:
        start = time.perf_counter()
        for _ in range(block):
            next(loop)
        hand.append((time.perf_counter() - start) / block)

    ours = blocks(arguments, rounds + 2 * block, block, folder, train_by_hand)
    return ours[2:], hand[1:-1]  # the first block of each warms up


def blocks(
    arguments: list[str],
    rounds: int,
    block: int,
    folder: Path,
    between: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Return the seconds per round of `gan train` in each block.

    The first block includes the start-up. between: called between blocks, and not timed.
    """
    ours: list[float] = []
    original = GAN.training_step
    start = 0.0

    def timed(self: GAN, *args: Any) -> None:
        nonlocal start
        if self.round % block == 0:
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            ours.append((clock() - start) / block)
            between()
            start = clock()
        original(self, *args)

    never = [f"{what}_every=1000000" for what in ("evaluate", "sample", "checkpoint")]
    arguments = [*arguments, f"rounds={rounds}", f"output={folder}", f"log_every={block}", *never]
    GAN.training_step = timed  # type: ignore[method-assign]
    try:
        fit.start(compose_train(arguments), arguments, None)
    finally:
        GAN.training_step = original  # type: ignore[method-assign]
    return ours


def eager_and_graphs(arguments: list[str], rounds: int, block: int, folder: Path) -> tuple[list[float], list[float]]:
    """Return the seconds per round of each block on a GPU, eager and captured."""
    warm = WARM_UP + 2  # updates of logged rounds, one in each block, are captured last; plus the start-up
    eager, graphs = (
        blocks([*arguments, "trainer=gpu", f"cuda_graphs={on}"], rounds + warm * block, block, folder)[warm:]
        for on in ("false", "true")
    )
    return eager, graphs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("overrides", nargs="*", help="further overrides of gan train, such as logger=none")
    options = parser.parse_args()
    measure: Callable[..., tuple[list[float], list[float]]] = partial(
        in_turn, augment=AUGMENT.get(options.case, lambda x: x)
    )
    names = ("gan train", "by hand")
    if options.device == "cuda":
        measure, names = (eager_and_graphs, ("eager", "CUDA graphs"))
    first: list[float] = []
    second: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        arguments = overrides(options.case, Path(folder)) + options.overrides
        for _ in range(options.repeats):
            a, b = measure(arguments, options.rounds, options.block, Path(folder))
            first += a
            second += b
    ratio = statistics.median(first) / statistics.median(second)
    low, _, high = statistics.quantiles([a / b for a, b in zip(first, second, strict=True)])
    print(f"{options.case}, {len(first)} blocks of {options.block} rounds, {torch.get_num_threads()} threads")
    for name, seconds in zip(names, (first, second), strict=True):
        print(f"{name:<11} {statistics.median(seconds) * 1e3:8.2f} ms a round")
    print(f"ratio of medians {ratio:.3f}, quartiles of the pairs {low:.3f} and {high:.3f}")


if __name__ == "__main__":
    main()
