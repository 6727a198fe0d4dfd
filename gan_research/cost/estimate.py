"""What a run will take on this machine, by counting and by playing its beginning."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import wandb
from rich.console import Console

from gan_research.callbacks import Periodic
from gan_research.config.build import build_data, build_game, build_trainer
from gan_research.config.compose import Composition
from gan_research.cost.costs import Cost, Estimate, Evaluating
from gan_research.cost.counting import Count, count
from gan_research.cost.evaluations import EvaluationTime, extractor_of, time_evaluation
from gan_research.cost.kinds import Kind, kinds_of
from gan_research.cost.meter import Meter, times
from gan_research.cost.pieces import pieces_of
from gan_research.data import Data
from gan_research.losses.base import PLAYERS
from gan_research.runs.fit import Parts, checked_analyses, names, train
from gan_research.runs.run import Run, device_name
from gan_research.training.gan import GAN
from gan_research.training.loss_log import Diverged
from gan_research.utils.errors import UserError

LOGGING = ("Log", "SampleGrid", "Checkpoints")
"""Who logs, among the callbacks; the others that act at intervals watch."""


def estimate(composition: Composition, seconds: float = 10.0, rounds: int | None = None) -> Cost:
    """The cost of a run, whose beginning is played in a temporary folder; torch's random state stays as it is.

    seconds: about how long to measure, in all, besides the start.
    rounds: how many rounds to measure, instead of as many as there is time for.
    Raises a UserError where the run couldn't be played.
    """
    if not seconds > 0 or (rounds is not None and rounds < 1):
        raise UserError(f"seconds={seconds:g}, rounds={rounds}: measure for more than 0 seconds, or at least 1 round")
    with tempfile.TemporaryDirectory(prefix="gan-cost-", ignore_cleanup_errors=True) as folder, by_itself(Path(folder)):
        try:
            return measure(composition, Path(folder), seconds, rounds)
        except UserError as error:
            if isinstance(diverged := error.__cause__ or error, Diverged):
                raise UserError(f"the game diverges while it is measured: {diverged}") from error
            raise


@contextmanager
def by_itself(folder: Path) -> Iterator[None]:
    """Inside, loggers write into `folder` and reach nobody; torch's random state is what it was, afterwards."""
    mode = "disabled" if os.environ.get("WANDB_MODE") == "disabled" else "offline"
    own = {"WANDB_MODE": mode, "WANDB_SILENT": "true"}
    own |= {f"WANDB_{name}_DIR": str(folder / "wandb" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    served = "WANDB_SERVICE" in os.environ
    before = {name: os.environ.get(name) for name in (*own, "WANDB_SWEEP_ID", "WANDB_RUN_ID", "MLFLOW_TRACKING_URI")}
    for name in before:
        os.environ.pop(name, None)
    os.environ.update(own)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        if "WANDB_SERVICE" in os.environ and not served:
            wandb.teardown()  # its process knows this folder
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def measure(composition: Composition, folder: Path, seconds: float, rounds: int | None) -> Cost:
    """The cost of a run, whose beginning is played in `folder`."""
    notes: list[str] = []
    config = composition.config | {"output": str(folder), "best": None}
    config["logger"] = local_loggers(config["logger"] or {}, notes)
    if "on_divergence" in config["health"]:
        config["health"] = config["health"] | {"on_divergence": "stop"}
    require_one_process(config["trainer"])
    extractor = extractor_of(config["metrics"], notes)
    began = time.perf_counter()
    data = build_data(config)
    loaded = time.perf_counter() - began
    game = build_game(config | {"compile": False, "cuda_graphs": False}, data)
    kinds = kinds_of(game, game.rounds)
    counts = count(game, data, build_trainer(config["trainer"]), kinds)
    del game
    evaluation: list[EvaluationTime] = []

    def after(trainer: Any, gan: GAN) -> None:
        if extractor is not None:
            evaluation.append(time_evaluation(config["metrics"], extractor, trainer, gan, seconds / 3))

    began = time.perf_counter()
    gan = build_game(config, data)
    meter = Meter(kinds, seconds * 0.6, rounds, after)
    play_beginning(config, composition, data, gan, meter, folder)
    startup = loaded + meter.began - began + meter.warm
    return assembled(config, composition, gan, meter, counts, evaluation, startup, notes)


def local_loggers(nodes: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The loggers that are measured: those that can be kept offline."""
    found = {}
    for name, node in nodes.items():
        if not node["_target_"].startswith("gan_research.runs."):
            notes.append(f"logger {name} not measured: it may talk to a server")
            continue
        found[name] = node | {key: None for key in ("uri", "mode") if node.get(key) not in (None, "disabled")}
    return found


def require_one_process(node: dict[str, Any]) -> None:
    """Raise where several processes would play."""
    several = build_trainer(node).world_size
    if several > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"the cost is measured on one process, and this trainer has {several}: add trainer.devices=1")


def play_beginning(
    config: dict[str, Any], composition: Composition, data: Data, gan: GAN, meter: Meter, folder: Path
) -> None:
    """The beginning of the run, as `gan train` plays it, but for the evaluation."""
    trainer = build_trainer(config["trainer"])
    trainer.callbacks.insert(0, meter)  # type: ignore[attr-defined]
    name, group = names(composition)
    run = Run.create(folder, name, group, config["tags"], [], None, composition.chosen)
    run.begin(config)
    parts = Parts(data, gan, trainer, None, checked_analyses(config, gan, data))
    train(run, config, parts, Console(quiet=True), None)
    if not meter.finished:
        raise KeyboardInterrupt


def assembled(
    config: dict[str, Any],
    composition: Composition,
    gan: GAN,
    meter: Meter,
    counts: list[Count],
    evaluation: list[EvaluationTime],
    startup: float,
    notes: list[str],
) -> Cost:
    """The cost, of what was counted and measured."""
    rounds, steps = config["rounds"], {player: gan.schedule.steps(player) for player in PLAYERS}
    pieces = pieces_of(meter)
    logging = {who: meter.acts[who].seconds for who in LOGGING if who in meter.acts} | {"ends": sum(meter.ended)}
    evaluating = None
    if evaluation:
        number = times(Periodic(config["evaluate_every"]), rounds)
        one = evaluation[0]
        evaluating = Evaluating(number, *one[:2], config["metrics"]["num_samples"], one.samples)
    apart = {
        "logging": sum(logging.values()),
        "watching": sum(acts.seconds for who, acts in meter.acts.items() if who not in LOGGING),
        "evaluation": evaluating.count * evaluating.seconds if evaluating else 0.0,
    }
    more = sum(apart.values())
    round = pieces.round
    return Cost(
        name=names(composition)[0],
        device=device_name(meter.device),
        threads=torch.get_num_threads(),
        rounds=rounds,
        kimg=rounds * steps["discriminator"] * config["batch_size"] / 1000,
        updates={player: rounds * count for player, count in steps.items()},
        parameters={player: parameters_of(gan.objective.networks[player]) for player in steps},
        flops=flops_of(meter.kinds, counts),
        bytes=meter.bytes
        | {"backward": max(c.saved_bytes for k, c in zip(meter.kinds, counts, strict=True) if k.share)},
        peak_bytes=meter.peak_bytes,
        round=round,
        whole=Estimate(*(rounds * seconds + more for seconds in (round.seconds, round.low, round.high))),
        seconds={part: rounds * seconds for part, seconds in pieces.parts.items()} | apart,
        logging=logging,
        evaluating=evaluating,
        startup_seconds=startup,
        rounds_measured=meter.measured,
        notes=notes,
    )


def flops_of(kinds: list[Kind], counts: list[Count]) -> dict[str, float]:
    """A round's, on average: of the bare game by who moves, and what regularisers add."""
    bare = counts[-1].flops
    whole = sum(kind.share * sum(c.flops.values()) for kind, c in zip(kinds, counts, strict=True))
    return {**bare, "regularizers": whole - sum(bare.values())}


def parameters_of(network: torch.nn.Module) -> dict[str, int]:
    """How many, trainable and in all."""
    parameters = list(network.parameters())
    return {
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "total": sum(p.numel() for p in parameters),
    }
