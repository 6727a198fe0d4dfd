"""The checks of `check_component`, on short runs of tiny networks on the CPU."""

import contextlib
import copy
import logging
import os
import pickle
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import TorchElasticEnvironment
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import start_processes

from gan_research.augmentations import Augmentation
from gan_research.data import Arrays
from gan_research.distributed.strategies import PlayerDDPStrategy
from gan_research.losses import AdversarialLoss, NonSaturating
from gan_research.losses.base import OPPONENT, PLAYERS, Player
from gan_research.networks import Generator, MLPDiscriminator, MLPGenerator
from gan_research.networks.heads import HeadFactory
from gan_research.regularizers import Regularizer
from gan_research.sampling.priors import GaussianPrior, Prior
from gan_research.testing.recorded_capture import RecordedCapture
from gan_research.training.gan import GAN
from gan_research.training.minibatch import Minibatch
from gan_research.training.reduction import Reduction
from gan_research.training.refinement import LatentRefinement
from gan_research.training.schedule import Schedule
from gan_research.training.unrolling import Unrolling
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

Component = Regularizer | Augmentation | Reduction | LatentRefinement | Unrolling

SINGLE = {"reduction": Reduction, "refinement": LatentRefinement, "unrolling": Unrolling}
"""Arguments of `GAN` -> the class of the one component that they take."""

ROUNDS, BATCH_SIZE, RESOLUTION, LATENT_DIM = 6, 8, 4, 3
CAPTURED_ROUNDS = 12  # rounds of a captured run; each kind of update is captured after three of its own

SMALL_MLP = partial(MLPGenerator, width=8, depth=1)

DISABLED = "logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler"
"""Features of the trainer that the checks do without."""


@dataclass(frozen=True)
class Case:
    """A tiny game with the components under test.

    components: regularizers, augmentations, a reduction, a refinement and an unrolling, used together; each run starts
    with copies of them.
    head: the discriminator's head. num_classes: 0 without labels. generator: (latent_dim, samples) -> generator.
    """

    components: tuple[Component, ...] = ()
    head: HeadFactory | None = None
    num_classes: int = 0
    loss: AdversarialLoss = field(default_factory=NonSaturating)
    schedule: Schedule = field(default_factory=lambda: Schedule(discriminator_steps=2))
    prior: Prior = field(default_factory=lambda: GaussianPrior(LATENT_DIM))
    generator: Callable[..., Generator] = SMALL_MLP

    def game(self, rounds: int = ROUNDS, **arguments: Any) -> GAN:
        """Return the game before its first round."""
        torch.manual_seed(0)
        samples = SampleSpec(RESOLUTION, 1, self.num_classes)
        optimizer = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))
        named = [(f"{type(c).__name__}_{i}", copy.deepcopy(c)) for i, c in enumerate(self.components)]
        single = {key: c for key, base in SINGLE.items() for _, c in named if isinstance(c, base)}
        return GAN(
            self.generator(self.prior.latent_dim, samples),
            MLPDiscriminator(samples, width=8, depth=1, activation="silu", head=self.head),
            self.loss,
            self.prior,
            optimizer,
            optimizer,
            regularizers={name: c for name, c in named if isinstance(c, Regularizer)},
            augmentations={name: c for name, c in named if isinstance(c, Augmentation)},
            schedule=self.schedule,
            rounds=rounds,
            **{"log_every": 2, **single, **arguments},
        )


def check_component(
    *components: Component,
    head: HeadFactory | None = None,
    num_classes: int = 0,
    loss: AdversarialLoss | None = None,
    prior: Prior | None = None,
    generator: Callable[..., Generator] | None = None,
    ranks: bool = True,
) -> None:
    """Check the contract of components, used together, and of a head.

    Raises an AssertionError unless a resumed run equals an uninterrupted one bit for bit; two ranks train as one;
    accumulation changes nothing, or is refused; no gradient reaches the other player; each extra of the head gets a
    gradient; all state is in buffers; and a captured run equals an eager one.

    components: regularizers, augmentations, and at most one reduction, refinement and unrolling.
    head: a head class, or a partial of one, that the components need. num_classes: the number of classes of labels.
    loss: the adversarial loss, non-saturating by default. prior: of the latents, Gaussian by default.
    generator: (latent_dim, samples) -> the generator, by default an MLP.
    ranks: also train in two processes, which takes seconds and in a script requires `if __name__ == "__main__":`.

        check_component(R1(weight=0.1))
        check_component(AuxiliaryClassifier(), head=ClassifierHead, num_classes=3)
    """
    chosen: dict[str, Any] = {"loss": loss, "prior": prior, "generator": generator}
    case = Case(tuple(components), head, num_classes, **{name: part for name, part in chosen.items() if part})
    for check in CHECKS:
        check(case)
    if ranks:
        check_ranks([case])


def check_resume(case: Case) -> None:
    """Check that a resumed run equals an uninterrupted one, bit for bit."""
    whole = train(case.game())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.ckpt"
        train(case.game(rounds=ROUNDS // 2), save=path)
        resumed = train(case.game(), checkpoint=path)
    require_equal(state_of(whole), state_of(resumed), f"{names(case)}: a resumed run", "an uninterrupted one")


def check_accumulation(case: Case) -> None:
    """Check that two micro-batches train as one batch, in float64, or are refused."""
    try:
        game = case.game(precision="64", accumulation=2)
    except UserError:
        return
    one, two = train(case.game(precision="64")), train(game)
    without = "accumulation=1 (set couples_batch?)"
    require_equal(state_of(one), state_of(two), f"{names(case)}: accumulation=2", without, 1e-9)


def check_other_player(case: Case) -> None:
    """Check that no loss gives the other player a gradient, unless a penalty crosses players."""
    game = case.game()
    for players in (PLAYERS, PLAYERS[:1], PLAYERS[1:]):
        for player, loss in losses_of(game, players):
            if game.objective.crosses_players[player]:
                continue
            game.zero_grad()
            loss.backward(retain_graph=True)
            opponent = set(map(id, game.objective.parameters[OPPONENT[player]]))
            named = [pair for network in game.objective.networks.values() for pair in network.named_parameters()]
            touched = [name for name, p in named if id(p) in opponent and p.grad is not None]
            assert not touched, f"{names(case)}: the {player}'s loss gives {touched[0]} of its opponent a gradient"


def check_extras(case: Case) -> None:
    """Check that each extra of the head gets a gradient from a player's loss."""
    game = case.game()
    head = game.discriminator.head
    recorded: dict[str, list[Tensor]] = {name: [] for name in head.provides}
    compute_extras = head.extras

    def record(features: Tensor, labels: Tensor | None) -> Mapping[str, Tensor]:
        extras = compute_extras(features, labels)
        returned = tuple(extras)
        assert returned == head.provides, f"{type(head).__name__} provides {head.provides}, and returns {returned}"
        for name, extra in extras.items():
            if extra.requires_grad:
                extra.retain_grad()
                recorded[name].append(extra)
        return extras

    head.extras = record  # type: ignore[method-assign]
    for _, loss in losses_of(game, PLAYERS):
        loss.backward()
    for name, extras in recorded.items():
        used = any(extra.grad is not None and bool(extra.grad.abs().sum() > 0) for extra in extras)
        assert used, f"{type(head).__name__}: no loss gives its extra '{name}' a gradient"


def check_state(case: Case) -> None:
    """Check that only parameters and buffers change during training."""
    game = case.game()
    objective = game.objective
    parts: list[Any] = [*game.regularizers.values(), *game.augmentations.values(), game.discriminator.head]
    parts += [part for part in (objective.reduction, objective.refinement, objective.unrolling) if part is not None]
    before = [attributes(part) for part in parts]
    train(game)
    for part, old in zip(parts, before, strict=True):
        new = attributes(part)
        changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
        assert not changed, f"{type(part).__name__}.{changed[0]} changes in training: keep it in a buffer, in place"


def check_capture(case: Case) -> None:
    """Check that captured and replayed updates equal eager ones, bit for bit."""
    eager = train(case.game(rounds=CAPTURED_ROUNDS))
    with captured():
        replayed = train(case.game(rounds=CAPTURED_ROUNDS, cuda_graphs=True))
    require_equal(state_of(eager), state_of(replayed), f"{names(case)}: a captured run", "an eager one")


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_resume, check_accumulation, check_other_player, check_extras, check_state, check_capture,
)  # fmt: skip
"""The checks that run in one process."""


def check_ranks(cases: list[Case], world_size: int = 2) -> None:
    """Check that each case trains on several ranks as on one, in float64."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = int(server.getsockname()[1])
        start_processes(train_rank, (world_size, port, cases, path), nprocs=world_size, start_method="forkserver")
        for number, case in enumerate(cases):
            one = state_of(train(case.game(precision="64")))
            for rank in range(world_size):
                many = torch.load(path / f"{number}_{rank}.pt", weights_only=True)
                require_equal(one, many, f"{names(case)}: rank {rank} of {world_size}", "one process", 1e-9)


def losses_of(game: GAN, players: tuple[Player, ...]) -> Iterator[tuple[Player, Tensor]]:
    """Yield (player, loss) on one random micro-batch."""
    random = torch.Generator().manual_seed(0)
    reals = torch.rand(BATCH_SIZE, 1, RESOLUTION, RESOLUTION, generator=random) * 2 - 1
    classes = game.generator.num_classes
    minibatch = Minibatch(
        reals.to(game.objective.forward.dtype), torch.arange(BATCH_SIZE) % classes if classes else None
    )
    noise = game._noise(players[0], 0, BATCH_SIZE)
    yield from game.objective.losses(players, minibatch, noise, game.updates, game.progress)
    for player in players:
        if game.objective.due(player, game.updates[player], own_step=True):
            yield from game.objective.losses((player,), minibatch, noise, game.updates, game.progress, own_step=True)


def train(game: GAN, checkpoint: Path | None = None, save: Path | None = None, world_size: int = 1) -> GAN:
    """Train the game, resumed from `checkpoint`, and write a final checkpoint to `save`."""
    options: dict[str, Any] = dict.fromkeys(DISABLED, False)
    if world_size > 1:
        options |= {"strategy": PlayerDDPStrategy(), "plugins": [TorchElasticEnvironment()]}
    with tempfile.TemporaryDirectory() as folder, quiet():
        trainer = pl.Trainer(accelerator="cpu", devices=world_size, max_epochs=-1, **options)
        trainer.fit(game, datamodule=images(Path(folder), game), ckpt_path=checkpoint, weights_only=True)
        if save is not None:
            trainer.save_checkpoint(save)
    return game


def images(folder: Path, game: GAN) -> Arrays:
    """Return 48 random images from a fixed seed, with labels if the game has classes."""
    random = np.random.default_rng(0)
    content: dict[str, Any] = {"images": random.integers(0, 256, (48, RESOLUTION, RESOLUTION), dtype=np.uint8)}
    if game.generator.num_classes:
        content["labels"] = np.arange(48) % game.generator.num_classes
    np.savez(folder / "images.npz", **content)
    return Arrays(str(folder / "images.npz"), batch_size=BATCH_SIZE, seed=0)


def state_of(game: GAN) -> dict[str, Tensor]:
    """Return weights, optimizers' moments and all buffers, also those that aren't in checkpoints."""
    found = {name: value.detach().clone() for name, value in game.state_dict().items()}
    found |= {f"buffer {name}": value.detach().clone() for name, value in game.named_buffers()}
    for player, optimizer in game.player_optimizers.items():
        for number, state in enumerate(optimizer.optimizer.state.values()):
            found |= {f"{player} {number} {key}": torch.as_tensor(value).clone() for key, value in state.items()}
    return found


def attributes(part: Any) -> dict[str, bytes]:
    """Return the pickled attributes of a part and its children, without parameters and buffers."""
    found = {}
    for prefix, module in part.named_modules() if isinstance(part, nn.Module) else [("", part)]:
        for name in vars(module).keys() - {"_parameters", "_buffers", "_modules", "training"}:
            value = vars(module)[name]
            try:
                content = pickle.dumps(value)
            except Exception:  # such as a local function
                content = repr(value).encode()
            found[f"{prefix}.{name}".lstrip(".")] = content
    return found


def names(case: Case) -> str:
    """Return the names of the classes under test."""
    classes = [type(component).__name__ for component in case.components]
    head = getattr(case.head, "func", case.head)
    return ", ".join([*classes, *([head.__name__] if head is not None else [])]) or "the bare game"


def require_equal(
    first: dict[str, Tensor], second: dict[str, Tensor], what: str, other: str, tolerance: float = 0.0
) -> None:
    """Raise an AssertionError unless both states are equal, bit for bit or to a tolerance."""
    assert first.keys() == second.keys(), f"{what} has other state than {other}: {first.keys() ^ second.keys()}"
    for name, value in first.items():
        if not torch.equal(value, second[name]):
            distance = (value.double() - second[name].double()).abs().max().item()
            assert distance < tolerance, f"{what} differs from {other} by {distance:.3g}: {name}"


@contextlib.contextmanager
def captured() -> Iterator[None]:
    """Capture updates on the CPU, as CUDA graphs do on a GPU."""

    def one_hot(labels: Tensor, num_classes: int) -> Tensor:  # torch's own reads the values on the CPU
        return torch.eye(num_classes, dtype=labels.dtype)[labels]

    with (
        mock.patch("gan_research.training.cuda_graphs.CudaGraphCapture", RecordedCapture),
        mock.patch("torch.nn.functional.one_hot", one_hot),
    ):
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings and messages of Lightning."""
    with contextlib.ExitStack() as stack:
        for logger in map(logging.getLogger, ("pytorch_lightning", "lightning_fabric")):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        yield


def train_rank(rank: int, world_size: int, port: int, cases: list[Case], folder: Path) -> None:
    """Train each case on one of several ranks, and save its state in `folder`."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    try:
        for number, case in enumerate(cases):
            game = train(case.game(precision="64"), world_size=world_size)
            torch.save(state_of(game), folder / f"{number}_{rank}.pt")
    finally:
        distributed.destroy_process_group()
