"""One round of `gan train`, default logging on, against a hand-written loop over the same networks, data and updates.

    python benchmarks/round.py digits_mlp
    python benchmarks/round.py cifar_dcgan --rounds 12 --repeats 5

The two are run in turn in one process; what is printed is the median time of a round of each and the ratio of the
medians, with the least and the greatest ratio of a pair. Start-up, evaluation, grids and checkpoints are left out.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import softplus

from gan_research.cli import fit
from gan_research.cli.build import build_data, build_game
from gan_research.cli.compose import compose_train
from gan_research.gan import GAN

WARM_UP = 10


def overrides(case: str, folder: Path) -> list[str]:
    """The command line of `gan train` for a case."""
    if case == "digits_mlp":
        return []
    images = np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), np.uint8)
    np.savez(folder / "cifar_sized.npz", images=images)
    return [
        "data=arrays", f"data.path={folder / 'cifar_sized.npz'}", "generator=dcgan", "discriminator=dcgan",
        "prior.latent_dim=100", "regularizer=none", "metrics=none",
    ]  # fmt: skip


def by_gan_train(arguments: list[str], rounds: int, folder: Path) -> float:
    """Seconds a round of `gan train`, from the first round after the warm-up to the last."""
    starts = []
    original = GAN.training_step

    def timed(self: GAN, *args: object) -> None:
        starts.append(time.perf_counter())
        original(self, *args)  # type: ignore[arg-type]

    never = [f"{what}_every=1000000" for what in ("evaluate", "sample", "checkpoint")]
    arguments = [*arguments, f"rounds={rounds + WARM_UP}", f"output={folder}", *never]
    GAN.training_step = timed  # type: ignore[method-assign]
    try:
        fit.start(compose_train(arguments), arguments, None)
    finally:
        GAN.training_step = original  # type: ignore[method-assign]
    return (starts[-1] - starts[WARM_UP]) / (rounds - 1)


def by_hand(arguments: list[str], rounds: int) -> float:
    """Seconds a round of a plain loop that plays the same game."""
    config = compose_train(arguments).config
    data = build_data(config)
    gan = build_game(config, data)  # for its networks only
    G, D, average = gan.generator, gan.discriminator, gan.generator_ema
    make = gan._factories
    optimizer_d = make["discriminator"][0](D.parameters())
    optimizer_g = make["generator"][0](G.parameters())
    r1 = (config["regularizer"] or {}).get("r1", {}).get("weight", 0.0)
    pictures, size, latent_dim = (
        data.train.on(torch.device("cpu"))[0],
        config["batch_size"],
        config["prior"]["latent_dim"],
    )
    parameters_d, parameters_g, averaged = list(D.parameters()), list(G.parameters()), list(average.parameters())
    buffers = list(zip(average.buffers(), G.buffers(), strict=True))
    order, at = torch.randperm(len(pictures)), 0
    for played in range(rounds + WARM_UP):
        if played == WARM_UP:
            start = time.perf_counter()
        if at + size > len(pictures):
            order, at = torch.randperm(len(pictures)), 0
        real = pictures[order[at : at + size]].float().div_(127.5).sub_(1).requires_grad_(r1 > 0)
        at += size
        with torch.no_grad():
            fake = G(torch.randn(size, latent_dim))
        real_logits, fake_logits = D(real), D(fake)
        loss = (softplus(-real_logits) + softplus(fake_logits)).mean()
        if r1 > 0:
            (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
            loss = loss + r1 * 0.5 * gradient.flatten(1).square().sum(1).mean()
        optimizer_d.zero_grad()
        loss.backward()
        optimizer_d.step()
        for parameter in parameters_d:
            parameter.requires_grad_(False)
        loss = softplus(-D(G(torch.randn(size, latent_dim)))).mean()
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        for parameter in parameters_d:
            parameter.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(averaged, parameters_g, 0.005)
            for kept, new in buffers:
                kept.copy_(new)
    return (time.perf_counter() - start) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["digits_mlp", "cifar_dcgan"])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("overrides", nargs="*", help="further overrides of gan train, such as logger=none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = overrides(options.case, Path(folder)) + options.overrides
        ours, hand = [], []
        for _ in range(options.repeats):
            hand.append(by_hand(arguments, options.rounds))
            ours.append(by_gan_train(arguments, options.rounds, Path(folder)))
    ratio = statistics.median(ours) / statistics.median(hand)
    pairs = [a / b for a, b in zip(ours, hand, strict=True)]
    print(f"{options.case}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"gan train {statistics.median(ours) * 1e3:8.2f} ms a round")
    print(f"by hand   {statistics.median(hand) * 1e3:8.2f} ms a round")
    print(f"ratio of medians {ratio:.3f} (pairs {min(pairs):.3f} to {max(pairs):.3f})")


if __name__ == "__main__":
    main()
