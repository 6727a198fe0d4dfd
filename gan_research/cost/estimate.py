"""The cost of a run on this machine, measured by training its first rounds."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import wandb
from rich.console import Console
from torch import nn

from gan_research.callbacks import Checkpoints, SampleGrid
from gan_research.config.build import build_data, build_game, build_trainer, make
from gan_research.config.compose import Composition
from gan_research.config.keys import evaluations
from gan_research.cost.intervals import evaluation_of, how_often, seconds_to_act, time_analysis, time_evaluation
from gan_research.cost.operations import count_operations, memory_of
from gan_research.cost.rounds import NEVER, kinds_of, time_rounds
from gan_research.losses.base import PLAYERS
from gan_research.runs.fit import Parts, checked_analyses, train
from gan_research.runs.naming import names
from gan_research.runs.run import Run, device_name
from gan_research.training.gan import GAN
from gan_research.training.loss_log import Diverged
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import CHECKPOINTS, HISTORY, SAMPLES

PARTS = ("networks", "regularizers", "data", "loop", "logging", "analysis", "evaluation")
"""The parts that the seconds of a run are divided into."""


def estimate(composition: Composition, seconds: float = 10.0, rounds: int | None = None) -> dict[str, Any]:
    """Return the cost of a run as plain values, with units in the keys.

    Its first rounds are trained in a temporary folder, offline. Raises a UserError where the run can't be trained.

    seconds: about how long to measure after the start.
    rounds: how many rounds to time, instead of as many as there is time for.
    """
    if not seconds > 0 or (rounds is not None and rounds < 1):
        raise UserError(f"seconds={seconds:g}, rounds={rounds}: measure for more than 0 seconds, or at least 1 round")
    with tempfile.TemporaryDirectory(prefix="gan-cost-", ignore_cleanup_errors=True) as folder, isolated(Path(folder)):
        try:
            measurement = Measurement(composition, Path(folder), seconds, rounds)
            measurement.count()
            measurement.time()
            return measurement.total()
        except UserError as error:
            if isinstance(diverged := error.__cause__ or error, Diverged):
                raise UserError(f"the game diverges while it is measured: {diverged}") from error
            raise


@contextmanager
def isolated(folder: Path) -> Iterator[None]:
    """Let loggers write into `folder` and reach no server; restore the environment and torch's random state."""
    before = dict(os.environ)
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ.update({f"WANDB_{name}_DIR": str(folder / "wandb" / name) for name in ("CACHE", "CONFIG", "DATA")})
    os.environ["WANDB_MODE"] = "disabled" if before.get("WANDB_MODE") == "disabled" else "offline"
    os.environ["WANDB_SILENT"] = "true"
    try:
        with torch.random.fork_rng():
            yield
    finally:
        if "WANDB_SERVICE" in os.environ and "WANDB_SERVICE" not in before:
            wandb.teardown()  # its process knows this folder
        os.environ.clear()
        os.environ.update(before)


class BetweenRounds(pl.Callback):
    """Runs a generator that yields where the trainer is to train the next round; its end stops the training."""

    def __init__(self, begin: Callable[[pl.Trainer, GAN], Iterator[None]]) -> None:
        self.begin = begin
        self.running: Iterator[None] | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        self.running = self.running or self.begin(trainer, pl_module)
        if next(self.running, self) is self:
            trainer.should_stop = True


class Measurement:
    """Trains the first rounds of a run twice: to count operations and memory, and to time all that a run does."""

    def __init__(self, composition: Composition, folder: Path, seconds: float, rounds: int | None) -> None:
        self.composition, self.folder, self.seconds, self.rounds = composition, folder, seconds, rounds
        notes = list[str]()
        self.config = measurable(composition.config, notes) | {"output": str(folder)}
        self.extractors = list[tuple[dict[str, Any], Any]]()  # of each evaluation, with its config
        for node in evaluations(self.config).values():
            try:
                self.extractors.append((node, make(node["extractor"])))
            except UserError as error:
                notes.append(f"evaluation not measured: {error}")
                continue
            evaluation_of(*self.extractors[-1])
        self.start = time.perf_counter()
        self.data = build_data(self.config)
        self.cost: dict[str, Any] = {"name": names(composition)[0], "rounds": self.config["rounds"], "notes": notes}

    def count(self) -> None:
        """Count on a game that isn't compiled; in bfloat16 instead of float16, which may skip steps."""
        start, precision = time.perf_counter(), self.config["precision"].replace("fp16", "bf16")
        changes = {"rounds": 1, "compile": False, "cuda_graphs": False, "precision": precision}
        trainer = build_trainer(self.config["trainer"])
        trainer.callbacks.append(BetweenRounds(self._count))  # type: ignore[attr-defined]
        trainer.fit(build_game(self.config | changes, self.data), datamodule=self.data)
        self.start += time.perf_counter() - start

    def _count(self, trainer: pl.Trainer, gan: GAN) -> Iterator[None]:
        rounds, steps = self.config["rounds"], {player: gan.schedule.steps(player) for player in PLAYERS}
        flops, saved = count_operations(gan, self.data, trainer.optimizers, kinds_of(gan, rounds))
        memory = memory_of(gan, self.data, trainer.optimizers) | {"backward": saved}
        self.cost |= {
            "device": device_name(gan.device),
            "threads": torch.get_num_threads(),
            "kimg": rounds * steps["discriminator"] * self.config["batch_size"] / 1000,
            "updates": {player: rounds * number for player, number in steps.items()},
            "parameters": {player: parameters_of(gan.objective.networks[player]) for player in PLAYERS},
            "flops_per_round": sum(flops.values()),
            "flops_per_round_of": flops,
            "flops_total": rounds * sum(flops.values()),
            "memory_bytes": sum(memory.values()),
            "memory_bytes_of": memory,
        }
        yield from ()

    def time(self) -> None:
        """Time the beginning of the run, which is trained as `gan train` does."""
        never = dict.fromkeys(("rounds", "log_every", "sample_every", "checkpoint_every"), NEVER)
        config, trainer = self.config | never, build_trainer(self.config["trainer"])
        trainer.callbacks.insert(0, BetweenRounds(self._time))  # type: ignore[attr-defined]
        parts = Parts(self.data, build_game(config, self.data), trainer, None, [])
        own = names(self.composition)
        self.run = Run.create(self.folder, *own, config["tags"], [], None, self.composition.chosen)
        self.run.begin(config)
        train(self.run, config, parts, Console(quiet=True), None)
        if "evaluation" not in self.cost:
            raise KeyboardInterrupt
        self.cost["logging_seconds_of"]["ends"] = time.perf_counter() - self.end

    def _time(self, trainer: pl.Trainer, gan: GAN) -> Iterator[None]:
        config, cost, on_gpu = self.config, self.cost, gan.device.type == "cuda"
        cost["startup_seconds"] = time.perf_counter() - self.start
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(gan.device)
        rounds, kinds = config["rounds"], kinds_of(gan, config["rounds"])
        times = yield from time_rounds(trainer, gan, kinds, self.seconds * 0.6, self.rounds, config["log_every"])
        cost["memory_peak_bytes"] = torch.cuda.max_memory_allocated(gan.device) if on_gpu else None
        cost["seconds_of"] = {part: rounds * seconds for part, seconds in times.pop("parts").items()}
        logging = cost["logging_seconds_of"] = {"Log": rounds // config["log_every"] * times.pop("row")}
        cost |= times
        for kind, every in ((SampleGrid, config["sample_every"]), (Checkpoints, config["checkpoint_every"])):
            callback: Any = next(c for c in trainer.callbacks if isinstance(c, kind))  # type: ignore[attr-defined]
            logging[kind.__name__] = how_often(every, rounds) * seconds_to_act(callback, trainer, gan)
        cost["disk_bytes_of"] = disk_of(self.run.folder, self.composition.config)
        cost["seconds_of"]["analysis"] = 0.0
        for analysis in checked_analyses(config, gan, self.data):
            analysis.folder = self.folder
            cost["seconds_of"]["analysis"] += time_analysis(analysis, trainer, gan, rounds)
        cost["evaluation"] = None
        if self.extractors:
            limit = self.seconds / 3 / len(self.extractors)
            evaluated = [time_evaluation(node, extractor, trainer, gan, limit) for node, extractor in self.extractors]
            counts = [how_often(node.get("every") or config["evaluate_every"], rounds) for node, _ in self.extractors]
            cost["evaluation"] = in_all(counts, evaluated)
        self.end = time.perf_counter()

    def total(self) -> dict[str, Any]:
        """Return the cost, with the seconds of the run added up."""
        cost, evaluation = self.cost, self.cost["evaluation"]
        seconds = cost["seconds_of"]
        cost["disk_bytes"] = sum(cost["disk_bytes_of"].values())
        seconds["logging"] = sum(cost["logging_seconds_of"].values())
        seconds["evaluation"] = evaluation["count"] * evaluation["seconds_each"] if evaluation else 0.0
        total = cost["seconds_total"] = sum(seconds.values())
        low, high = (cost["rounds"] * (end - cost["seconds_per_round"]) for end in cost["seconds_per_round_quartiles"])
        cost["seconds_total_quartiles"] = [total + low, total + high]
        cost["shares"] = {part: seconds[part] / total for part in PARTS}
        return cost


def disk_of(folder: Path, config: dict[str, Any]) -> dict[str, int]:
    """Return the bytes of a run's files, from those that a measurement wrote; without trackers."""
    rounds, keep = config["rounds"], config["keep_every"]
    checkpoints = 2 + (config["best"] is not None) + (rounds // keep if keep else 0)  # the last, the one before, ...
    history = folder / HISTORY
    row = history.stat().st_size / max(1, len(history.read_text("utf-8").splitlines()))
    return {
        "checkpoints": checkpoints * size_of(folder / CHECKPOINTS),
        "grids": how_often(config["sample_every"], rounds) * size_of(folder / SAMPLES),
        "history": int(row * (rounds // config["log_every"])),
    }


def size_of(folder: Path) -> int:
    """Return the size of the largest file in a folder."""
    return max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)


def in_all(counts: list[int], times: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the number and times of one or several evaluations; `seconds_each` is the mean over all that are due."""
    seconds = sum(count * one["seconds_each"] for count, one in zip(counts, times, strict=True))
    summed = {key: sum(one[key] for one in times) for key in times[0]}
    return {"count": sum(counts), **summed, "seconds_each": seconds / sum(counts)}


def measurable(config: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the config of one process, with the loggers that can be kept offline; note the others."""
    several = build_trainer(config["trainer"]).world_size
    if several > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"the cost is measured on one process, and this trainer has {several}: add trainer.devices=1")
    loggers = {}
    for name, node in (config["logger"] or {}).items():
        if node["_target_"].startswith("gan_research.runs."):
            loggers[name] = node | {key: None for key in ("uri", "mode") if node.get(key) not in (None, "disabled")}
        else:
            notes.append(f"logger {name} not measured: it may talk to a server")
    stop = {"on_divergence": "stop"} if "on_divergence" in config["health"] else {}
    return config | {"logger": loggers, "health": config["health"] | stop, "best": None, "keep_every": None}


def parameters_of(network: nn.Module) -> dict[str, int]:
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return {"trainable": sum(n for n, trainable in sizes if trainable), "total": sum(n for n, _ in sizes)}
