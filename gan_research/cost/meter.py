"""A run's clock: what each part of the first rounds of a real run takes."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from gan_research.callbacks import Log, Periodic
from gan_research.cost.counting import size
from gan_research.cost.kinds import Kind, KindOfRound
from gan_research.theory.analysis import Analysis
from gan_research.training.gan import GAN

CYCLES = 10
"""How often, in the time there is, each kind of round has its turn."""

NEVER = 10**12


class Block(NamedTuple):
    """Some rounds of a kind, one after the other: their seconds, without what is done at intervals."""

    rounds: int
    wall: float
    step: float
    data: float


class Acts(NamedTuple):
    """What a callback does at intervals: how often in the whole run, and its seconds in all."""

    times: int
    seconds: float


class Meter(pl.Callback):
    """Measures a run from inside while it begins, and ends it; comes first among its callbacks.

    Kinds of rounds take turns, a block each, so that all meet the same machine. What is done at intervals is kept out
    of the blocks, and done for the clock at the end. On a GPU a block is played as it is, for its length, and another
    one waiting for the device after each part, for the parts' shares in it.

    kinds: of the game's rounds, and that without regularisers.
    seconds: to measure rounds for; rounds: how many to measure instead.
    after: what else is to be done once the rounds are measured, on the device.
    """

    def __init__(
        self, kinds: list[Kind], seconds: float, rounds: int | None, after: Callable[[pl.Trainer, GAN], None]
    ) -> None:
        self.kinds, self.seconds, self.rounds, self.after = kinds, seconds, rounds, after
        self.blocks: dict[tuple[Kind, bool], list[Block]] = defaultdict(list)
        """Of each kind, played as it is (False) or waiting after each part (True): the same on a CPU."""
        self.acts: dict[str, Acts] = {}
        """By the class of the callback; and "Log", its rows."""
        self.ended: list[float] = []
        """Seconds in which each logger comes to its end."""
        self.began = self.warm = 0.0
        """When the game began; seconds of its first rounds beyond what they take later."""
        self.measured = 0
        """Rounds played for the clock."""
        self.finished = False
        self.bytes: dict[str, int] = {}
        """What the game keeps on its device between rounds."""
        self.peak_bytes: int | None = None
        """The most that was allocated on a GPU in a round."""
        self._waiting = False
        self._spent: dict[str, float] = defaultdict(float)
        self._rows: list[float] = []
        self._played: dict[Periodic, list[float]] = {}
        self._counts: dict[Periodic, int] = {}

    # --- putting the clock in ------------------------------------------------------------------------------------

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, GAN)
        self.gan, self.device, self.total = pl_module, trainer.strategy.root_device, pl_module.rounds
        self._play = pl_module.training_step
        pl_module.training_step = self._round  # type: ignore[method-assign]
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        loader = data.train_dataloader
        data.train_dataloader = lambda: Timed(loader(), self)
        for name in ("transfer_batch_to_device", "on_after_batch_transfer"):
            setattr(data, name, self._timing("data", getattr(data, name)))
        for logger in trainer.loggers:
            logger.finalize = self._timing_each(self.ended, logger.finalize)  # type: ignore[method-assign]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = time.perf_counter()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Periodic):
                self._counts[callback] = times(callback, self.total)
                self._played[callback] = []
                callback.act_together = self._timing_each(self._played[callback], callback.act_together)  # type: ignore[method-assign]
                callback.due = lambda gan: False  # type: ignore[method-assign]
            if isinstance(callback, Log):
                callback.on_train_batch_end = self._timing_rows(callback.on_train_batch_end)  # type: ignore[method-assign]

    @contextmanager
    def timed(self, part: str, waiting: bool) -> Iterator[None]:
        """Inside is `part` of the block; of a GPU that is known only `waiting`."""
        self.wait(waiting)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.wait(waiting)
            self._spent[part] += time.perf_counter() - start

    def wait(self, waiting: bool = True) -> None:
        """Until a GPU has done what it was given."""
        if waiting and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _timing(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            with self.timed(part, self._waiting):
                return function(*args, **kwargs)

        return timing

    def _timing_each(self, seconds: list[float], function: Callable[..., Any]) -> Callable[..., Any]:
        """Each call is kept out of the block, and noted."""

        def timing(*args: Any, **kwargs: Any) -> Any:
            before = self._spent["outside"]
            with self.timed("outside", waiting=True):
                result = function(*args, **kwargs)
            seconds.append(self._spent["outside"] - before)
            return result

        return timing

    def _timing_rows(self, function: Callable[..., Any]) -> Callable[..., Any]:
        row = self._timing_each(self._rows, function)
        return lambda trainer, gan, *args: (row if gan.loss_log.due(gan.round) else function)(trainer, gan, *args)

    # --- the rounds ----------------------------------------------------------------------------------------------

    def _round(self, batch: Any, batch_idx: int) -> None:
        """A round, of the kind whose turn it is."""
        if batch_idx == 0:
            self._begin()
        elif self._left == 0:
            self._next()
        self._left -= 1
        self.measured += 1
        self._kind_of_round.set(self._kind)
        with self.timed("step", self._waiting):
            self._play(batch, batch_idx)

    def _begin(self) -> None:
        self._kind_of_round = KindOfRound(self.gan)
        self.gan.rounds = NEVER
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        self._started = time.perf_counter()
        self._blocks = self._sequence()
        self._open()

    def _sequence(self) -> Iterator[tuple[Kind, bool, int, list[Block]]]:
        """The blocks: kind, whether waiting, rounds, and where it is noted."""
        modes = [(k, waiting) for k in self.kinds for waiting in ((False, True) if self._on_gpu else (True,))]
        first: list[Block] = []
        second: list[Block] = []
        for noted in (first, second):
            for kind, waiting in modes:
                yield kind, waiting, 1, noted
        once = sum(block.wall for block in second)  # a cycle of one round each
        self.warm = max(0.0, sum(block.wall for block in first) - once)
        wanted = self._time_left() / CYCLES / once if self.rounds is None else self.rounds / CYCLES / len(modes)
        rounds = max(1, round(wanted))
        if rounds == 1:
            for mode, block in zip(modes, second, strict=True):
                self.blocks[mode].append(block)
        else:
            for mode in modes:
                yield *mode, rounds, []
        while not self._is_enough():
            for mode in modes:
                yield *mode, rounds, self.blocks[mode]

    @property
    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def _time_left(self) -> float:
        return max(0.0, self.seconds - (time.perf_counter() - self._started))

    def _is_enough(self) -> bool:
        """Whether each kind was measured for as long as there is time, or rounds."""
        enough = self._time_left() == 0 if self.rounds is None else self.measured >= self.rounds
        return enough and bool(self.blocks)

    def _next(self) -> None:
        """Close the block, and open the next one if there is one."""
        self.wait()
        spent, wall = self._spent, time.perf_counter() - self._opened
        self._noted.append(Block(self._size, wall - spent["outside"], spent["step"], spent["data"]))
        self._open()

    def _open(self) -> None:
        try:
            self._kind, self._waiting, self._size, self._noted = next(self._blocks)
        except StopIteration:
            self.finished, self._size = True, NEVER
            self.peak_bytes = torch.cuda.max_memory_allocated(self.device) if self._on_gpu else None
        self._left = self._size
        self._spent = defaultdict(float)
        self.wait()
        self._opened = time.perf_counter()

    def as_played(self, kind: Kind) -> list[Block]:
        """The blocks of a kind, played as they are."""
        return self.blocks[kind, not self._on_gpu]

    def taken_apart(self, kind: Kind) -> list[Block]:
        """The blocks of a kind, whose parts are known."""
        return self.blocks[kind, True]

    # --- the end -------------------------------------------------------------------------------------------------

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, GAN)
        if self.finished and not trainer.should_stop:
            self.bytes = bytes_of(pl_module, trainer)
            for callback, seconds in self._played.items():
                self._act(callback, seconds, trainer, pl_module)
            self.after(trainer, pl_module)
            self._every = pl_module.loss_log.every
            pl_module.loss_log.every = 1 if not self._rows else self._every
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.finished:
            count = self.total // self._every
            self.acts["Log"] = Acts(count, count * statistics.median(self._rows))

    def _act(self, callback: Periodic, seconds: list[float], trainer: pl.Trainer, gan: GAN) -> None:
        """Its acts in the whole run: the first one, those like the next ones, and that after the last round."""
        limit = time.perf_counter() + self.seconds / 20
        while len(seconds) < 2 or (len(seconds) < 5 and time.perf_counter() < limit):
            callback.act_together(trainer, gan)
        gan.rounds, count, usual = gan.round, self._counts[callback], statistics.median(seconds[1:])
        callback.act_together(trainer, gan)
        last = seconds[-1]
        if isinstance(callback, Analysis):  # its film grows with its frames
            frames = len(callback.frames)
            callback.frames *= 2
            callback.act_together(trainer, gan)
            last += max(0.0, seconds[-1] - last) * (count - frames) / (frames + 1)
        gan.rounds = NEVER
        self.acts[type(callback).__name__] = Acts(count, seconds[0] + (count - 2) * usual + last)


class Timed(Iterable[Any]):
    """Batches, whose making is timed."""

    def __init__(self, batches: Iterable[Any], meter: Meter) -> None:
        self.batches, self.meter = batches, meter

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.batches)
        while True:
            with self.meter.timed("data", self.meter._waiting):
                batch = next(batches)
            yield batch


def times(callback: Periodic, rounds: int) -> int:
    """How often it acts in a new run: before the first round, and whenever it is due."""
    moment: Any = SimpleNamespace(round=0, rounds=rounds)
    count = 1
    for moment.round in range(1, rounds + 1):
        count += callback.due(moment)
    return count


def bytes_of(gan: GAN, trainer: pl.Trainer) -> dict[str, int]:
    """What a game keeps on its device between rounds, in bytes."""
    networks = [gan.generator, gan.discriminator]
    parameters = [p for network in networks for p in network.parameters()]
    states = [
        value for optimizer in trainer.optimizers for state in optimizer.state.values() for value in state.values()
    ]
    averaged = [] if gan.generator_ema is None else [*gan.generator_ema.parameters(), *gan.generator_ema.buffers()]
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    return {
        "parameters": size(parameters),
        "buffers": size(b for network in networks for b in network.buffers()),
        "gradients": size(p.grad for p in parameters),
        "optimizers": size(states),
        "ema": size(averaged),
        "data": size(resident([data.train, data.heldout], gan.device)),
    }


def resident(sets: Iterable[Any], device: torch.device) -> list[torch.Tensor]:
    """The tensors that sets of samples hold on a device."""
    held = [value for samples in sets if samples is not None for value in vars(samples).values()]
    copies = [value for copied in held if isinstance(copied, dict) for pair in copied.values() for value in pair]
    return [value for value in held + copies if isinstance(value, torch.Tensor) and value.device == device]
