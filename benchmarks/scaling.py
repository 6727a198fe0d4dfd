"""Benchmark of training on several processes, and on one device over settings.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py processes --rounds 40 --block 5
    OMP_NUM_THREADS=1 python benchmarks/scaling.py processes --strategies ddp_lightning ddp_zero
    python benchmarks/scaling.py device --output results.json

`processes`: a DCGAN on 32x32 images (that of `round.py cifar_dcgan`), each process on its own core, batch normalization
over its own samples. For each strategy, blocks of `gan train` alternate with blocks of a hand-written loop, which
averages a player's gradients by one flat all-reduce before its step. `device`: a run of `gan train` for each network,
batch size and precision, eager and compiled, written to a file with the device's name.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from round import in_turn, overrides
from torch import distributed, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

from gan_research.config.compose import compose_train
from gan_research.distributed import process_group, rank_and_world_size
from gan_research.launchers.local_processes import master_port
from gan_research.runs import fit
from gan_research.training.gan import GAN

# --- several processes -----------------------------------------------------------------------------------------------


def average_by_hand(parameters: list[nn.Parameter]) -> None:
    """Average the gradients by one flat all-reduce."""
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    distributed.all_reduce(flat)
    flat.div_(rank_and_world_size()[1])
    start = 0
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.copy_(flat[start : start + parameter.numel()].view_as(parameter))
            start += parameter.numel()


class Traffic:
    """A counter of the bytes in all-reduces of `gan train`, without those of the hand-written loop."""

    def __init__(self) -> None:
        self.bytes, self.rounds = 0, 0
        self._training = False
        original, step, prepare = distributed.all_reduce, GAN.training_step, DistributedDataParallel.__init__

        def counted(tensor: torch.Tensor, *arguments: Any, **more: Any) -> Any:
            self.bytes += tensor.numel() * tensor.element_size() * self._training
            return original(tensor, *arguments, **more)

        def training_step(gan: GAN, *arguments: Any) -> None:
            self._training = True
            step(gan, *arguments)
            self._training = False
            self.rounds += 1

        def hook(state: Any, bucket: distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
            self.bytes += bucket.buffer().numel() * bucket.buffer().element_size()
            return allreduce_hook(state, bucket)

        def wrapped(self: DistributedDataParallel, *arguments: Any, **more: Any) -> None:
            prepare(self, *arguments, **more)
            self.register_comm_hook(None, hook)

        distributed.all_reduce = counted
        GAN.training_step = training_step  # type: ignore[method-assign]
        DistributedDataParallel.__init__ = wrapped  # type: ignore[method-assign]


def measure(rank: int, size: int, port: int, arguments: list[str], options: argparse.Namespace, folder: Path) -> None:
    """Measure in one of `size` processes; rank zero writes the result."""
    if size > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank % len(os.sched_getaffinity(0))]})
    traffic = Traffic()
    with process_group():
        average = average_by_hand if size > 1 else lambda _: None
        ours, hand = in_turn(arguments, options.rounds, options.block, folder / "runs", average)
    if rank == 0:
        measured = {"ours": ours, "hand": hand, "mb": traffic.bytes / traffic.rounds / 1e6}
        (folder / "measured.json").write_text(json.dumps(measured), "utf-8")


def processes(options: argparse.Namespace) -> None:
    """Print a line for each strategy and number of processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = [*overrides("cifar_dcgan", folder), "logger=none", "sync_batch_norm=false"]
        arguments.append(f"batch_size={options.batch_size}")
        print(f"batch {options.batch_size} over all processes, {options.rounds} rounds in blocks of {options.block}")
        print("trainer        processes   rounds/s   images/s   of the loop by hand (quartiles)   MB a round")
        for strategy, size in [("cpu", 1), *((strategy, 2) for strategy in options.strategies)]:
            chosen = [f"trainer={strategy}", "trainer.accelerator=cpu", f"trainer.devices={size}"]
            with master_port() as port:
                work = size, port, arguments + chosen, options, folder
                start_processes(measure, work, nprocs=size, start_method="spawn")
            found = json.loads((folder / "measured.json").read_bytes())
            seconds = statistics.median(found["ours"])
            low, _, high = statistics.quantiles([a / b for a, b in zip(found["ours"], found["hand"], strict=True)])
            ratio = seconds / statistics.median(found["hand"])
            print(
                f"{strategy:<14} {size:>9}   {1 / seconds:>8.2f}   {options.batch_size / seconds:>8.1f}   "
                f"{ratio:>19.3f} ({low:.2f} to {high:.2f})   {found['mb']:>10.2f}"
            )


# --- one device ------------------------------------------------------------------------------------------------------


class Clock(pl.Callback):
    """The seconds from the warm-up to the last round, synchronized with the device."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up, self.start, self.seconds = warm_up, 0.0, 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, gan: Any, *arguments: Any) -> None:
        if gan.round in (self.warm_up, gan.rounds):
            if gan.device.type == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.start, self.seconds = (now, 0.0) if gan.round == self.warm_up else (self.start, now - self.start)


def timed(arguments: list[str], rounds: int, warm_up: int) -> float:
    """Return the images per second of a run without its warm-up and compilation."""
    composition = compose_train([*arguments, f"rounds={rounds + warm_up}", f"log_every={rounds + warm_up}"])
    clock = Clock(warm_up)
    data, gan, trainer, *_ = fit.build(composition.config, optional_metrics=True)
    trainer.callbacks.append(clock)  # type: ignore[attr-defined]
    trainer.fit(gan, datamodule=data)
    return rounds * composition.config["batch_size"] / clock.seconds


def device(options: argparse.Namespace) -> None:
    """Measure each combination that isn't in the file yet, and write it."""
    gpu = torch.cuda.is_available()
    found = json.loads(options.output.read_bytes()) if options.output.exists() else {}
    found |= {"device": torch.cuda.get_device_name() if gpu else platform.processor() or platform.machine()}
    found |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    results = found.setdefault("images_per_second", {})
    with tempfile.TemporaryDirectory() as name:
        base = [*overrides("cifar_dcgan", Path(name)), "logger=none", "ema=decay"]
        precisions = [p for p in options.precisions if p != "tf32" or gpu]
        for network, size, precision, compiled in product(options.networks, options.sizes, precisions, (False, True)):
            key = f"{network}, batch {size}, {precision}, {'compiled' if compiled else 'eager'}"
            if key in results:
                continue
            chosen = [f"generator={network}", f"discriminator={network}", f"batch_size={size}"]
            chosen += [f"precision={precision}", f"compile={str(compiled).lower()}"]
            try:
                speed = timed([*base, *chosen], options.rounds, options.warm_up)
                results[key] = float(f"{speed:.3g}")
            except torch.OutOfMemoryError:
                results[key] = "out of memory"
            print(f"{key}: {results[key]}", flush=True)
            options.output.write_text(json.dumps(found, indent=2), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    several = commands.add_parser("processes")
    several.add_argument("--strategies", nargs="+", default=["ddp", "ddp_lightning", "ddp_zero"])
    several.add_argument("--rounds", type=int, default=60)
    several.add_argument("--block", type=int, default=5)
    several.add_argument("--batch-size", type=int, default=64)
    several.set_defaults(run=processes)
    single = commands.add_parser("device")
    single.add_argument("--output", type=Path, default=Path("device.json"))
    single.add_argument("--networks", nargs="+", default=["dcgan", "resnet"])
    single.add_argument("--sizes", nargs="+", type=int, default=[64, 256, 1024])
    single.add_argument("--precisions", nargs="+", default=["32", "tf32", "bf16"])
    single.add_argument("--rounds", type=int, default=50)
    single.add_argument("--warm-up", type=int, default=10)
    single.set_defaults(run=device)
    options = parser.parse_args()
    run: Callable[[argparse.Namespace], None] = options.run
    run(options)


if __name__ == "__main__":
    main()
