"""Operations and memory of a round, counted."""

from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from gan_research.cost.rounds import Kind, ready_batches
from gan_research.data import Data
from gan_research.training.gan import GAN
from gan_research.utils.lightning_compat import tree_leaves


def count_operations(
    gan: GAN, data: Data, optimizers: list[Optimizer], kinds: list[Kind]
) -> tuple[dict[str, float], int]:
    """Train a round of each kind; return mean FLOPs by update, and the peak of saved bytes."""
    no_hooks: Any = nullcontext()  # torch's, for counts by layer, refuse `autograd.grad` with a graph
    no_hooks.parents = {"Global"}
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = no_hooks
    after_steps, flops, peaks = list[int](), list[Counter[str]](), list[int]()
    for optimizer in optimizers:
        optimizer.register_step_post_hook(lambda *args: after_steps.append(counter.get_total_flops()))
    for kind, batch in zip(kinds, ready_batches(data, gan.device), strict=False):
        kind.set(gan)
        plan, updates = gan.schedule.plan(gan.round), dict(gan.updates)
        with counter, SavedBytes([*gan.parameters(), *gan.buffers()]) as saved:
            gan.training_step(batch, 0)
        flops.append(Counter())
        for players in plan:
            own_steps = sum(bool(gan.objective.due(player, updates[player], own_step=True)) for player in players)
            steps = [after_steps.pop(0) for _ in range(len(players) + own_steps)]
            flops[-1]["+".join(players)] += steps[-1] - flops[-1].total()
            updates.update({player: updates[player] + 1 for player in players})
        peaks.append(saved.peak if kind.share else 0)
    mean = sum(kind.share * of.total() for kind, of in zip(kinds, flops, strict=True))
    return {**flops[-1], "regularizers": mean - flops[-1].total()}, max(peaks)


def memory_of(gan: GAN, data: Data, optimizers: list[Optimizer]) -> dict[str, int]:
    """Return the bytes that a game keeps on its device between rounds, by use."""
    networks = [gan.generator, gan.discriminator]
    parameters = [p for network in networks for p in network.parameters()]
    tensors: dict[str, list[Any]] = {
        "parameters": parameters,
        "buffers": [b for network in networks for b in network.buffers()],
        "gradients": [p.grad for p in parameters],
        "optimizers": tree_leaves([list(optimizer.state.values()) for optimizer in optimizers]),
        "ema": [tensor for average in gan.averages for tensor in (*average.parameters(), *average.buffers())],
        "data": tree_leaves([vars(samples) for samples in (data.train, data.heldout) if samples is not None]),
    }
    return {
        use: sum(storages(t for t in ts if isinstance(t, Tensor) and t.device == gan.device).values())
        for use, ts in tensors.items()
    }


@dataclass(eq=False)
class Saved:
    """A tensor that autograd keeps for backward."""

    tensor: Tensor


class SavedBytes(saved_tensors_hooks):
    """Counts the bytes that autograd keeps for backward, each storage once; `peak` is the most at one time.

    known: tensors that are kept anyway, such as parameters, and aren't counted.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__(self._pack, lambda saved: saved.tensor)
        self._known, self._saved, self.peak = storages(known), WeakSet[Saved](), 0

    def __enter__(self) -> Any:
        super().__enter__()
        return self

    def _pack(self, tensor: Tensor) -> Saved:
        self._saved.add(saved := Saved(tensor))
        now = storages(each.tensor for each in self._saved)
        self.peak = max(self.peak, sum(size for address, size in now.items() if address not in self._known))
        return saved


def storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Return address -> bytes of the storages of tensors."""
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
