"""CUDA graphs of updates: one launch replaces hundreds, which dominate the time of small networks.

A graph contains the forward passes, losses, penalties and backward of an update. Clipping, optimizer steps, learning
rate schedules and averages run as usual. The results are the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Size, Tensor, nn

from gan_research.distributed import rank_and_world_size
from gan_research.losses.base import Player
from gan_research.training.minibatch import Minibatch
from gan_research.training.objective import Objective
from gan_research.training.schedule import Update
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise

WARM_UP = 3  # runs of an update before it is captured, in which libraries initialize themselves

Sample = Callable[[int, torch.Generator], Tensor]
Draw = tuple[str, Sample, Tensor]  # (purpose, function that draws, random numbers)


def check_cuda_graphs(precision: str = "32", compile: bool = False, accumulation: int = 1, world_size: int = 1) -> None:
    """Raise a UserError with the first setting that CUDA graphs don't support."""
    unsupported = {
        f"accumulation={accumulation}": accumulation > 1,
        f"precision={precision}": precision == "fp16",  # the gradient scale changes during training
        "compile=true": compile,
        f"{world_size} processes": world_size > 1,
    }
    if setting := next((setting for setting, is_set in unsupported.items() if is_set), None):
        raise UserError(f"cuda_graphs=true and {setting} don't go together: set cuda_graphs=false, or change that")


class CudaGraphCapture:
    """Capture of a function's kernels in a CUDA graph.

    Layers such as dropout draw the same numbers as without graphs: a replay reads seed and offset from the default
    generator and advances its offset (torch's Note [CUDA Graph-safe RNG states]). Each graph has its own memory pool:
    in a shared one the temporaries of one graph may overwrite the gradients of another.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise UserError("cuda_graphs=true needs a CUDA GPU, and this run is on the CPU: set it to false")
        self.stream = torch.cuda.Stream(device)

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function on the capture stream: autograd and cuBLAS keep state for each stream."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            function()
        current.wait_stream(self.stream)

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        """Capture the function without running it; return a function that replays it at the same addresses."""
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads, such as a logger's, may use the GPU meanwhile
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            function()
        return graph.replay


@dataclass(frozen=True)
class StaticNoise(Noise):
    """Noise at fixed addresses: the first run of an update draws it, later runs read it."""

    draws: list[Draw] = field(default_factory=list)
    first_run: bool = True
    index: Iterator[int] = field(default_factory=count)

    def sample(self, purpose: str, sample: Sample) -> Tensor:
        index = next(self.index)
        if self.first_run:
            self.draws.append((purpose, sample, super().sample(purpose, sample).clone()))
        if index >= len(self.draws) or self.draws[index][0] != purpose:
            raise UserError(f"{purpose} isn't drawn in every update of its kind: set cuda_graphs=false")
        return self.draws[index][2]


@dataclass
class CapturedUpdate:
    """A captured update: its inputs and outputs, at fixed addresses.

    terms: (name, shape) of each logged term. values: those of all terms, flat, so that one copy is enough.
    """

    minibatch: Minibatch
    draws: list[Draw] = field(default_factory=list)
    runs: int = 0
    replay: Callable[[], None] | None = None
    gradients: list[tuple[nn.Parameter, Tensor | None]] = field(default_factory=list)
    terms: list[tuple[str, Size]] = field(default_factory=list)
    values: Tensor = field(default_factory=lambda: torch.empty(0))


class CapturedUpdates:
    """The captured updates of a game: each is captured after `WARM_UP` runs and then replayed.

    There is one for each combination of players, penalties that are due, whether they have a step of their own, whether
    the round is logged, and the shape of the samples. Weights, buffers, samples, noise and progress are read in place.

    gradients: (players, minibatch, noise, own_step) -> None; computes gradients, which are None before, and logs the
        terms of `objective`.
    updates: updates of each player so far.
    """

    def __init__(
        self,
        gradients: Callable[[Update, Minibatch, Noise, bool], None],
        objective: Objective,
        updates: Mapping[Player, int],
        device: torch.device,
    ) -> None:
        check_cuda_graphs(world_size=rank_and_world_size()[1])
        self._gradients, self._objective, self._updates = gradients, objective, updates
        assert objective.log is not None
        self._log, self._capture = objective.log, CudaGraphCapture(device)
        self._captured: dict[Any, CapturedUpdate] = {}

    def run(self, players: Update, micro_batch: Minibatch, noise: Noise, own_step: bool) -> None:
        """Compute the gradients of `players`, and log the terms."""
        due = tuple(name for p in players for name, _ in self._objective.due(p, self._updates[p], own_step))
        key = (players, own_step, due, self._log.measuring, micro_batch.images.shape)
        if key not in self._captured:
            self._captured[key] = CapturedUpdate(micro_batch.clone())
        update = self._captured[key]
        update.minibatch.copy_(micro_batch)
        for purpose, sample, values in update.draws:
            values.copy_(noise.sample(purpose, sample))
        if update.replay is None:
            static = StaticNoise(**vars(noise), draws=update.draws, first_run=update.runs == 0)
            if update.runs < WARM_UP:
                self._capture.warm_up(partial(self._gradients, players, update.minibatch, static, own_step))
                update.runs += 1
                return
            update.replay = self._capture_update(update, players, static, own_step)
        update.replay()
        for parameter, gradient in update.gradients:
            parameter.grad = gradient
        values = update.values.clone().split([shape.numel() for _, shape in update.terms])
        for (name, shape), value in zip(update.terms, values, strict=True):
            self._log.add(name, value.view(shape))

    def _capture_update(
        self, update: CapturedUpdate, players: Update, noise: StaticNoise, own_step: bool
    ) -> Callable[[], None]:
        """Capture the update and set its gradients and terms; return its replay."""

        def run() -> None:
            with self._log.capture() as terms:
                self._gradients(players, update.minibatch, noise, own_step)
            update.terms = [(name, value.shape) for name, _, value in terms]
            update.values = torch.cat([value.reshape(-1) for _, _, value in terms])

        try:
            replay = self._capture(run)
        except RuntimeError as error:
            reason = str(error.__context__ or error).partition("\n")[0]  # the error of ending a failed capture hides it
            update_of = f"the update of {' and '.join(players)}"
            raise UserError(f"{update_of} can't be captured: set cuda_graphs=false ({reason})") from error
        update.gradients = [(p, p.grad) for player in players for p in self._objective.parameters[player]]
        return replay
