"""CUDA graphs: an update's gradients are taken by one launch instead of hundreds, which small networks wait for.

What is captured runs from the latents to the gradients: forward passes, losses, penalties, backward. Clipping, the
optimizer's step, learning rate schedules and averages stay as they are, and so does the arithmetic.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, NamedTuple, Protocol

import torch
from torch import Size, Tensor, nn

from gan_research.distributed import rank_and_world_size
from gan_research.losses.base import Player
from gan_research.training.minibatch import Minibatch
from gan_research.training.objective import Objective
from gan_research.training.schedule import Update
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise

WARM_UP = 3
"""How often a kind of update runs before it is captured; in these runs libraries set themselves up."""

Sample = Callable[[int, torch.Generator], Tensor]


def require_capturable(
    precision: str = "32", compile: bool = False, accumulation: int = 1, world_size: int = 1
) -> None:
    """Raise a UserError with the first setting that a captured update can't follow."""
    misfits = {
        f"accumulation={accumulation}": accumulation > 1,
        f"precision={precision}": precision == "fp16",  # its scale is found while training
        "compile=true": compile,
        f"{world_size} processes": world_size > 1,
    }
    for misfit, there in misfits.items():
        if there:
            raise UserError(f"cuda_graphs=true and {misfit} don't go together: set cuda_graphs=false, or change that")


class Capture(Protocol):
    """Keeps what a function launches."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function as a capture would."""

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        """Return what launches again all that `function` would launch now, at the same addresses; run nothing yet."""


class CudaGraphCapture:
    """Captures what a function launches on a CUDA GPU.

    Layers such as dropout draw what they would draw anyway: a graph takes seed and offset from the default generator
    when it is replayed, and moves its offset on (torch's Note [CUDA Graph-safe RNG states]). Each graph has memory of
    its own: in a shared pool the temporaries of one may lie where another keeps its gradients.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise UserError("cuda_graphs=true needs a CUDA GPU, and this training runs on the CPU: set it to false")
        self.stream = torch.cuda.Stream(device)

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function on the stream of the captures: autograd and cuBLAS keep state for each stream."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            function()
        current.wait_stream(self.stream)

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # thread_local: the threads of others, such as a tracker's, may talk to the GPU meanwhile
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            function()
        return graph.replay


class Drawn(NamedTuple):
    """Random numbers, with what they were drawn for and how."""

    purpose: str
    sample: Sample
    values: Tensor


@dataclass(frozen=True)
class StaticNoise(Noise):
    """Noise at fixed addresses: the first run of a kind of update draws it, later ones find it refilled."""

    drawn: list[Drawn] = field(default_factory=list)
    first: bool = True
    numbers: Iterator[int] = field(default_factory=count)

    def sample(self, purpose: str, sample: Sample) -> Tensor:
        number = next(self.numbers)
        if self.first:
            self.drawn.append(Drawn(purpose, sample, super().sample(purpose, sample).clone()))
        if number >= len(self.drawn) or self.drawn[number].purpose != purpose:
            raise UserError(f"{purpose} isn't drawn in every update of its kind: set cuda_graphs=false")
        return self.drawn[number].values


class Term(NamedTuple):
    name: str
    shape: Size


class CapturedUpdate:
    """One kind of update: all that its gradients read and write, always at the same addresses."""

    def __init__(self, minibatch: Minibatch) -> None:
        self.minibatch, self.drawn = minibatch.clone(), list[Drawn]()
        self.runs = 0
        self.replay: Callable[[], None] | None = None
        self.gradients: list[tuple[nn.Parameter, Tensor | None]] = []
        self.terms: list[Term] = []
        self.values: Tensor
        """All terms, flat: one copy serves them all."""

    def refill(self, minibatch: Minibatch, noise: Noise) -> None:
        """Copy the round's own samples and noise to where they are read."""
        self.minibatch.copy_(minibatch)
        for purpose, sample, values in self.drawn:
            values.copy_(noise.sample(purpose, sample))

    def static(self, noise: Noise) -> StaticNoise:
        """Return the noise at the addresses of this kind."""
        return StaticNoise(**vars(noise), drawn=self.drawn, first=self.runs == 0)


class CapturedUpdates:
    """Takes the gradients of updates; each kind is captured after `WARM_UP` runs, and replayed from then on.

    A kind is whose update it is, the penalties that are due, whether the round ends a logging interval, and the shape
    of the samples. All else that an update depends on (weights, buffers, samples, noise, progress) is read in place.

    gradients: (players, minibatch, noise) -> None; adds to gradients that are None before, and logs terms of
        `objective`.
    updates: optimizer steps of each player so far.
    """

    def __init__(
        self,
        gradients: Callable[[Update, Minibatch, Noise], None],
        objective: Objective,
        updates: Mapping[Player, int],
        device: torch.device,
    ) -> None:
        require_capturable(world_size=rank_and_world_size()[1])
        self._gradients, self._objective, self._updates = gradients, objective, updates
        assert objective.log is not None
        self._log, self._capture = objective.log, CudaGraphCapture(device)
        self._kinds: dict[Any, CapturedUpdate] = {}

    def take(self, players: Update, minibatch: Minibatch, noise: Noise) -> None:
        """Take the gradients of `players`, and log the terms."""
        due = tuple(name for p in players for name, _ in self._objective.due(p, self._updates[p]))
        key = (players, due, self._log.measuring, minibatch.images.shape)
        if key not in self._kinds:
            self._kinds[key] = CapturedUpdate(minibatch)
        kind = self._kinds[key]
        kind.refill(minibatch, noise)
        if kind.replay is None and kind.runs < WARM_UP:
            self._capture.warm_up(partial(self._gradients, players, kind.minibatch, kind.static(noise)))
            kind.runs += 1
            return
        if kind.replay is None:
            kind.replay = self._captured(kind, players, kind.static(noise))
        kind.replay()
        for parameter, gradient in kind.gradients:
            parameter.grad = gradient
        values = kind.values.clone().split([term.shape.numel() for term in kind.terms])
        for (name, shape), value in zip(kind.terms, values, strict=True):
            self._log.add(name, value.view(shape))

    def _captured(self, kind: CapturedUpdate, players: Update, noise: StaticNoise) -> Callable[[], None]:
        """Capture the update; `kind` knows its gradients and terms afterwards."""

        def run() -> None:
            with self._log.capture() as terms:
                self._gradients(players, kind.minibatch, noise)
            kind.terms = [Term(name, value.shape) for name, _, value in terms]
            kind.values = torch.cat([value.reshape(-1) for _, _, value in terms])

        try:
            replay = self._capture(run)
        except RuntimeError as error:
            reason = str(error.__context__ or error).partition("\n")[0]  # ending a capture that failed fails as well
            raise UserError(
                f"the update of {' and '.join(players)} can't be captured: set cuda_graphs=false ({reason})"
            ) from error
        networks = self._objective.networks
        kind.gradients = [(p, p.grad) for player in players for p in networks[player].parameters()]
        return replay
