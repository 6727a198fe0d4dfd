"""The kinds of rounds of a game, and their time."""

import math
import time
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch

from gan_research.callbacks import Log
from gan_research.data import Batch, Data
from gan_research.losses.base import PLAYERS
from gan_research.regularizers import Regularizer
from gan_research.training.gan import GAN

LONGEST = 1000  # the number of rounds in which coincidences of lazy penalties are counted
NEVER = 10**12  # a number of rounds that no measurement reaches
TURNS = 10  # the number of turns of each kind of round in the time available


class Kind(NamedTuple):
    """Rounds in which the same penalties are due; `round` is one of them, counted from 0.

    share: of all rounds. components: what acts in these rounds, as attributes of the objective.
    """

    round: int
    share: float
    components: dict[str, Any]

    def set(self, gan: GAN) -> None:
        """Make the game's next round one of this kind; its count of updates is lost."""
        gan.updates.update({player: self.round * gan.schedule.steps(player) for player in PLAYERS})
        vars(gan.objective).update(self.components)


def kinds_of(gan: GAN, rounds: int) -> list[Kind]:
    """Return the kinds of a game's rounds; the last one is without regularizers and augmentations."""
    objective = gan.objective
    regularizers = objective.regularizers.values()
    whole = {name: getattr(objective, name) for name in ("regularizers", "penalties", "augmentations")}
    bare: dict[str, Any] = {"regularizers": {}, "penalties": {player: [] for player in PLAYERS}, "augmentations": {}}
    if gan.cuda_graphs:  # a captured update is known by its penalties alone
        bare["augmentations"] = objective.augmentations

    def due(round: int) -> tuple[str, ...]:
        updates = [(player, update) for player in PLAYERS for update in gan.schedule.updates_in(player, round)]
        return tuple(name for update in updates for name, _ in objective.due(*update))

    period = min(rounds, LONGEST, math.lcm(*(r.every for r in regularizers)))
    pattern = [due(round) for round in range(period)]
    counts = Counter(pattern)
    always = objective.augmentations or any(type(r).after_step is not Regularizer.after_step for r in regularizers)
    unregularized = 0 if always else counts.pop((), 0)
    kinds = [Kind(pattern.index(names), number / period, whole) for names, number in counts.items()]
    return [*kinds, Kind(pattern.index(()) if unregularized else 0, unregularized / period, bare)]


def ready_batches(data: Data, device: torch.device) -> Iterator[Batch]:
    """Yield batches as the game gets them."""
    for batch in data.train_dataloader():
        yield data.on_after_batch_transfer(data.transfer_batch_to_device(batch, device, 0), 0)


def time_rounds(
    trainer: pl.Trainer, gan: GAN, kinds: list[Kind], seconds: float, rounds: int | None, log_every: int
) -> Generator[None, None, dict[str, Any]]:
    """Yield where Lightning's loop is to train a round; return the times of rounds, and of a row of the log.

    In a turn each kind has a block of rounds in Lightning's loop, and the last kind another one that is trained here,
    part by part. They take turns so that all meet the same load of the machine.

    seconds: for how long to measure. rounds: how many to measure instead.
    """
    device, batches = gan.device, ready_batches(trainer.datamodule, gan.device)  # type: ignore[attr-defined]
    log = next(callback for callback in trainer.callbacks if isinstance(callback, Log))  # type: ignore[attr-defined]
    turns, rows, size, measured = list[list[float]](), list[float](), 1, 0
    deadline: float | None = None
    while True:
        turn, began = list[float](), now(device)
        for kind in kinds:
            start = now(device)
            for _ in range(size):
                kind.set(gan)
                yield
            turn.append((now(device) - start) / size)
        gan.loss_log.flush()
        turn += np.mean([time_parts(gan, batches, kinds[-1]) for _ in range(size)], axis=0).tolist()
        gan.loss_log.every, start = 1, now(device)
        log.on_train_batch_end(trainer, gan)
        gan.loss_log.every, end = NEVER, now(device)
        if deadline is None:  # the first turn warms up
            deadline = end + seconds
            continue
        turns.append(turn)
        rows.append(end - start)
        measured += size * (len(kinds) + 1)
        if len(turns) == 1:
            blocks = rounds / (len(kinds) + 1) if rounds else seconds / (end - began)
            size = max(1, min(int(blocks / TURNS), log_every))
        if measured >= rounds if rounds else end >= deadline:
            return parts_of(np.array(turns), kinds) | {"rounds_measured": measured, "row": float(np.median(rows))}


def time_parts(gan: GAN, batches: Iterator[Batch], kind: Kind) -> tuple[float, float]:
    """Train a round; return the seconds of its batch and of its step."""
    kind.set(gan)
    start = now(gan.device)
    batch = next(batches)
    ready = now(gan.device)
    gan.training_step(batch, 0)
    return ready - start, now(gan.device) - ready


def parts_of(turns: Any, kinds: list[Kind]) -> dict[str, Any]:
    """Return the seconds of a mean round: median, quartiles, and parts that add up to the median.

    The share without regularizers is a median of ratios within a turn, as the machine's speed varies.

    turns: (turns, kinds + 2): the seconds of a round of each kind, of a batch, and of a step.
    """
    walls, data, step = turns[:, :-2], turns[:, -2], turns[:, -1]
    rounds = walls @ [kind.share for kind in kinds]
    low, median, high = np.percentile(rounds, (25, 50, 75)).tolist()
    bare = median * min(1.0, float(np.median(walls[:, -1] / rounds)))
    medians = np.median([step, data, np.maximum(0, walls[:, -1] - data - step)], axis=1)
    networks, data, loop = (bare * medians / medians.sum()).tolist()
    parts = {"networks": networks, "regularizers": median - bare, "data": data, "loop": loop}
    return {"seconds_per_round": median, "seconds_per_round_quartiles": [low, high], "parts": parts}


def now(device: torch.device) -> float:
    """Return the seconds of a clock once the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
