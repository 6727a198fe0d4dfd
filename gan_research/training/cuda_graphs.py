"""CUDA graphs: a move's gradients are taken by one launch instead of hundreds, which is what a small network waits for.

What is captured runs from the latents to the gradients: passes, losses, penalties, backward. Clipping, the optimizer's
step, schedules and averages stay as they are, so that the arithmetic does too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, NamedTuple, Protocol

import torch
from torch import Size, Tensor, nn

from gan_research.losses import Player
from gan_research.training.loss_log import Recorder
from gan_research.training.minibatch import Minibatch
from gan_research.training.schedule import Move
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Draws

WARM_UP = 3
"""How often a kind of move is played before it is captured; in these plays libraries set themselves up."""

Sample = Callable[[int, torch.Generator], Tensor]


def require_capturable(
    precision: str, compiled: bool, accumulation: int, processes: int, regularizers: Mapping[str, Any]
) -> None:
    """Raise with the first setting that a captured move can't follow."""
    misfits = {
        f"accumulation={accumulation}": accumulation > 1,
        f"precision={precision}": precision == "fp16",  # its scale is found while playing
        "compile=true": compiled,
        f"{processes} processes": processes > 1,
        **{f"regularizer {name}": regularizer.remembers for name, regularizer in regularizers.items()},
    }
    for misfit, there in misfits.items():
        if there:
            raise UserError(f"cuda_graphs=true and {misfit} don't go together: set cuda_graphs=false, or change that")


class Capture(Protocol):
    """How what a function launches is kept."""

    def beside(self, function: Callable[[], None]) -> None:
        """Run it as a capture would."""

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        """What does all again that `function` would launch now, at the same addresses; nothing is done yet."""


class OnGPU:
    """Captures what a function launches on a CUDA GPU.

    Layers such as dropout draw what they would draw anyway: a graph takes seed and offset from the default generator
    when it is replayed, and moves its offset on (torch's Note [CUDA Graph-safe RNG states]). Each graph has memory of
    its own: in a shared pool the temporaries of one may lie where another keeps its gradients.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise UserError("cuda_graphs=true needs a CUDA GPU, and this game is played on the CPU: set it to false")
        self.stream = torch.cuda.Stream(device)

    def beside(self, function: Callable[[], None]) -> None:
        """On the stream of the captures: autograd and cuBLAS keep things for each stream."""
        playing = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(playing)
        with torch.cuda.stream(self.stream):
            function()
        playing.wait_stream(self.stream)

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # thread_local: the threads of others, such as a tracker's, may talk to the GPU meanwhile
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            function()
        return graph.replay


class Noise(NamedTuple):
    """What was drawn for a purpose, and how."""

    purpose: str
    sample: Sample
    values: Tensor


@dataclass(frozen=True)
class KeptDraws(Draws):
    """Draws whose values stay where they are: the first play of a kind makes them, later ones find them refilled."""

    noise: list[Noise] = field(default_factory=list)
    first: bool = True
    numbers: Iterator[int] = field(default_factory=count)

    def rows(self, purpose: str, sample: Sample) -> Tensor:
        number = next(self.numbers)
        if self.first:
            self.noise.append(Noise(purpose, sample, super().rows(purpose, sample).clone()))
        if number >= len(self.noise) or self.noise[number].purpose != purpose:
            raise UserError(f"{purpose} isn't drawn in every move of its kind: set cuda_graphs=false")
        return self.noise[number].values


class Term(NamedTuple):
    name: str
    shape: Size


class Kind:
    """One kind of move: all that its gradients read and write, always at the same addresses."""

    def __init__(self, real: Minibatch) -> None:
        self.real, self.noise = real.clone(), list[Noise]()
        self.played = 0
        self.replay: Callable[[], None] | None = None
        self.gradients: list[tuple[nn.Parameter, Tensor | None]] = []
        self.terms: list[Term] = []
        self.values: Tensor
        """Of all terms, flat: one copy serves them all."""

    def refill(self, real: Minibatch, draws: Draws) -> None:
        """The round's own samples and noise, where they are read."""
        self.real.copy_(real)
        for purpose, sample, values in self.noise:
            values.copy_(draws.rows(purpose, sample))

    def draws(self, draws: Draws) -> KeptDraws:
        """The same, as this kind keeps them."""
        return KeptDraws(**vars(draws), noise=self.noise, first=self.played == 0)


class Graphs:
    """Takes the gradients of moves; each kind is captured after `WARM_UP` plays, and replayed from then on.

    A kind is whose move it is, the penalties that are due, whether the round ends a logging interval, and the shape of
    the samples: on what else the work of a move depends are weights, buffers, samples and noise, read where they are.

    gradients: (move, reals, draws) -> None; adds to gradients that are None before, and records terms.
    """

    def __init__(
        self,
        gradients: Callable[[Move, Minibatch, Draws], None],
        parameters_of: Mapping[Player, Sequence[nn.Parameter]],
        recorder: Recorder,
        capture: Capture,
    ) -> None:
        self._gradients, self._parameters_of = gradients, parameters_of
        self._recorder, self._capture = recorder, capture
        self._kinds: dict[tuple[Move, tuple[str, ...], bool, Size], Kind] = {}

    def take(self, move: Move, due: tuple[str, ...], real: Minibatch, draws: Draws, round: int) -> None:
        """The gradients of `move` in `round`, with these penalties; its terms are recorded."""
        key = (move, due, self._recorder.due(round), real.images.shape)
        if key not in self._kinds:
            self._kinds[key] = Kind(real)
        kind = self._kinds[key]
        kind.refill(real, draws)
        if kind.replay is None and kind.played < WARM_UP:
            self._capture.beside(partial(self._gradients, move, kind.real, kind.draws(draws)))
            kind.played += 1
            return
        if kind.replay is None:
            kind.replay = self._captured(kind, move, kind.draws(draws))
        kind.replay()
        for parameter, gradient in kind.gradients:
            parameter.grad = gradient
        values = kind.values.clone().split([term.shape.numel() for term in kind.terms])
        for (name, shape), value in zip(kind.terms, values, strict=True):
            self._recorder.add(name, value.view(shape), round)

    def _captured(self, kind: Kind, move: Move, draws: KeptDraws) -> Callable[[], None]:
        """The move, captured; its gradients and terms are known to `kind` afterwards."""

        def run() -> None:
            with self._recorder.aside() as terms:
                self._gradients(move, kind.real, draws)
            kind.terms = [Term(name, value.shape) for name, _, value in terms]
            kind.values = torch.cat([value.reshape(-1) for _, _, value in terms])

        try:
            replay = self._capture(run)
        except RuntimeError as error:
            reason = str(error.__context__ or error).partition("\n")[0]  # ending a capture that failed fails as well
            raise UserError(
                f"the {'s and '.join(move)}'s move can't be captured: set cuda_graphs=false ({reason})"
            ) from error
        kind.gradients = [(p, p.grad) for player in move for p in self._parameters_of[player]]
        return replay
