"""The game: a LightningModule that plays rounds of discriminator and generator updates."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_research.checkpoints import MARK, describe_game, game_of, refuse_other_game
from gan_research.data.base import Batch
from gan_research.ema import EMA
from gan_research.errors import UserError
from gan_research.losses import AdversarialLoss
from gan_research.networks import Discriminator, Generator
from gan_research.priors import Prior
from gan_research.recorder import Recorder
from gan_research.regularizers import Play, Regularizer
from gan_research.sampling import Sampler
from gan_research.schedule import Move, Player, Schedule
from gan_research.streams import Draws, seed_layers, stream_seed

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


class Minibatch(NamedTuple):
    """Real images (N, C, H, W) and, in class-conditional play, their labels (N,)."""

    images: Tensor
    labels: Tensor | None


class GAN(pl.LightningModule):
    """Plays `rounds` rounds between `generator` and `discriminator` (Goodfellow et al. 2014, Algorithm 1).

    A batch holds the fresh real minibatches of one round. All that is random in a round is a function of
    (`seed`, position), so that a resumed run repeats the uninterrupted one.

    loss: the adversarial loss of both players.
    prior: the latents' distribution.
    regularizers: any number of them, by name; the names appear in the log.
    schedule: who moves when.
    generator_optimizer, discriminator_optimizer: parameters -> optimizer (two rates of learning make TTUR).
    generator_lr_schedule, discriminator_lr_schedule: optimizer -> scheduler, stepped once a round.
    ema: averages the generator's weights; samples and evaluation then use the average.
    accumulation: micro-batches per update, each batch_size / accumulation images.
    precision: "bf16" runs the networks under autocast; gradient penalties stay in float32.
    log_every: rounds between two entries of the log.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss,
        prior: Prior,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        regularizers: dict[str, Regularizer] | None = None,
        schedule: Schedule | None = None,
        generator_lr_schedule: SchedulerFactory | None = None,
        discriminator_lr_schedule: SchedulerFactory | None = None,
        ema: EMA | None = None,
        rounds: int = 5000,
        accumulation: int = 1,
        precision: Literal["32", "bf16"] = "32",
        log_every: int = 50,
        seed: int = 0,
    ):
        super().__init__()
        if precision not in ("32", "bf16"):
            raise UserError(f"precision={precision}: give 32 or bf16")
        self.automatic_optimization = False
        self.generator = generator
        self.discriminator = discriminator
        self.generator_ema = copy.deepcopy(generator).requires_grad_(False).eval() if ema else None
        self.loss = loss
        self.prior = prior
        self.regularizers = nn.ModuleDict(regularizers or {})
        self.schedule = schedule or Schedule()
        self.ema = ema
        self.rounds = rounds
        self.accumulation = accumulation
        self.autocast_dtype = torch.bfloat16 if precision == "bf16" else None
        self.seed = seed
        self.recorder = Recorder(log_every)

        self.round = 0
        """Rounds played."""
        self.images_seen = 0
        """Real images that the discriminator has seen, over all devices."""
        self.updates: dict[Player, int] = {"discriminator": 0, "generator": 0}
        """Optimizer steps of each player."""
        self.resumed = False
        """Whether this game goes on from a checkpoint."""

        self._seeds: dict[Player, int] = {player: stream_seed(seed, player) for player in self.updates}
        self._factories: dict[Player, tuple[OptimizerFactory, SchedulerFactory | None]] = {
            "discriminator": (discriminator_optimizer, discriminator_lr_schedule),
            "generator": (generator_optimizer, generator_lr_schedule),
        }
        named: list[tuple[str, Any]] = list(self.regularizers.items())
        self._penalties = {p: [(n, r) for n, r in named if hasattr(r, f"{p}_penalty")] for p in self.updates}
        both = {n for n, r in named if all(hasattr(r, f"{p}_penalty") for p in self.updates)}
        self._penalties = {p: [(f"{n}/{p}" if n in both else n, r) for n, r in of] for p, of in self._penalties.items()}
        self._crossing = {p: any("parameters" in r.differentiates for _, r in self._penalties[p]) for p in self.updates}
        """Whether a penalty of that player's takes gradients in the other's parameters too."""
        self._input_hooks = [r for _, r in named if hasattr(r, "inputs")]
        self._step_hooks = [r for _, r in named if hasattr(r, "after_step")]
        self._check_players()
        for _, regularizer in named:
            regularizer.check(loss)

    def _check_players(self) -> None:
        g, d = self.generator, self.discriminator
        if (g.sample_shape, g.num_classes) != (d.sample_shape, d.num_classes):
            raise UserError(
                f"the players don't fit: the generator makes samples of shape {g.sample_shape} in {g.num_classes} "
                f"classes, the discriminator takes {d.sample_shape} in {d.num_classes}"
            )
        if g.latent_dim != self.prior.latent_dim:
            raise UserError(f"the generator takes latents of {g.latent_dim}, the prior gives {self.prior.latent_dim}")
        if self.accumulation < 1:
            raise UserError(f"accumulation={self.accumulation}: give at least 1")

    # --- the round -----------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Plays one round on its real minibatches."""
        seed_layers(stream_seed(self.seed, f"layers of rank {self._rank}", self.round), self.device)
        minibatches = self._minibatches(batch)
        for move in self.schedule.moves(self.round):
            if "discriminator" in move:
                minibatch = minibatches.pop(0)
            self._play(move, minibatch)
        self._end_round(batch.images.shape[0])

    def _minibatches(self, batch: Batch) -> list[list[Minibatch]]:
        """This rank's share of the round: per discriminator update, its micro-batches."""
        k, parts = self.schedule.discriminator_steps, self.accumulation
        size, remainder = divmod(batch.images.shape[0], k * parts)
        if remainder:
            raise UserError(
                f"batch_size must divide by devices x accumulation: {batch.images.shape[0] // k} images a device, "
                f"accumulation={parts}"
            )
        images = batch.images.split(size)
        labels: Sequence[Tensor | None] = [None] * len(images)
        if self.generator.num_classes:
            if batch.labels is None:
                raise UserError("class-conditional play needs labels, and these data have none: set conditional=false")
            labels = batch.labels.split(size)
        micro = [Minibatch(x, y) for x, y in zip(images, labels, strict=True)]
        return [micro[u * parts : (u + 1) * parts] for u in range(k)]

    def _play(self, move: Move, minibatch: list[Minibatch]) -> None:
        """One update of each player in `move`, all gradients taken before the first step."""
        for player in move:
            self._optimizers[player].zero_grad()
        for part, real in enumerate(minibatch):
            draws = self._draws(move[0], part, real.images.shape[0])
            self._calls = 0
            latents = draws.rows("latents", self.prior.sample)
            with nullcontext() if "generator" in move else torch.no_grad():
                fake = self._generate(latents, real.labels)
            if "discriminator" in move:
                self._backward("discriminator", self._discriminator_loss(real, fake, latents, draws))
            if "generator" in move:
                with frozen([] if self._crossing["generator"] else self._parameters_of["discriminator"]):
                    self._backward("generator", self._generator_loss(real, fake, latents, draws))
        for player in move:
            self._step(player)

    def _discriminator_loss(self, real: Minibatch, fake: Tensor, latents: Tensor, draws: Draws) -> Tensor:
        """Mean adversarial loss plus the penalties that are due, all recorded."""
        due = self._due("discriminator")
        wanted = {side for _, r in due for side in r.differentiates if self.autocast_dtype is None}
        images = real.images.detach().requires_grad_("real" in wanted)
        fake = fake.detach().requires_grad_("fake" in wanted)
        real_logits = self._discriminate(images, real.labels, draws)
        fake_logits = self._discriminate(fake, real.labels, draws)
        self._record("logits/real", real_logits)
        self._record("logits/fake", fake_logits)
        loss = self.loss.discriminator(real_logits, fake_logits).mean()
        self._record("loss/discriminator", loss)
        if due:
            play = self._view(Minibatch(images, real.labels), fake, latents, real_logits, fake_logits, draws)
            for name, regularizer in due:
                loss = loss + self._weighed(name, regularizer, regularizer.discriminator_penalty(play))
        return loss

    def _generator_loss(self, real: Minibatch, fake: Tensor, latents: Tensor, draws: Draws) -> Tensor:
        """Mean adversarial loss plus the penalties that are due, all recorded."""
        real_logits = None
        if self.loss.needs_real:
            with torch.no_grad():
                real_logits = self._discriminate(*real, draws)
        fake_logits = self._discriminate(fake, real.labels, draws)
        loss = self.loss.generator(fake_logits, real_logits).mean()
        self._record("loss/generator", loss)
        if due := self._due("generator"):
            play = self._view(real, fake, latents, real_logits, fake_logits, draws)
            for name, regularizer in due:
                loss = loss + self._weighed(name, regularizer, regularizer.generator_penalty(play))
        return loss

    def _due(self, player: Player) -> list[tuple[str, Any]]:
        """The regularisers that penalise the player's next update."""
        return [(name, r) for name, r in self._penalties[player] if r.due(self.updates[player])]

    def _weighed(self, name: str, regularizer: Regularizer, penalty: Tensor) -> Tensor:
        """A penalty, recorded, as it is added to the loss: a lazy one counts for the updates that it skips."""
        mean = penalty.mean()
        self._record(f"loss/{name}", mean)
        return regularizer.weight * regularizer.every * mean

    def _backward(self, player: Player, loss: Tensor) -> None:
        """Adds to the gradients of the player's parameters, and of no others."""
        # Not manual_backward: nothing may reduce gradients before the player's step, and its hooks cost time.
        own = [p for p in self._parameters_of[player] if p.requires_grad] if self._crossing[player] else None
        (loss if self.accumulation == 1 else loss / self.accumulation).backward(inputs=own)

    def _step(self, player: Player) -> None:
        """The optimizer step, counted, and what follows it."""
        network = self.player(player)
        if self.recorder.due(self.round + 1):
            self._record(f"gradient_norm/{player}", gradient_norm(self._parameters_of[player]))
        self._optimizers[player].step()
        self.updates[player] += 1
        for regularizer in self._step_hooks:
            regularizer.after_step(player, network)

    def _end_round(self, local_images: int) -> None:
        images = local_images * self._world_size
        self.round += 1
        self.images_seen += images
        if self.ema is not None:
            self.ema.update(*self._averaged, self.ema.decay_at(images, self.images_seen))
        for scheduler in self._schedulers:
            scheduler.step()
        if self.device.type == "cpu":  # elsewhere it would wait for the device: the next flush finds it
            self.recorder.check(self.round)
        if self.round >= self.rounds:
            self.trainer.should_stop = True

    # --- the players ---------------------------------------------------------------------------------------------

    def player(self, player: Player) -> nn.Module:
        """The network of `player`."""
        return self.discriminator if player == "discriminator" else self.generator

    @property
    def kimg(self) -> float:
        """Thousands of real images that the discriminator has seen."""
        return self.images_seen / 1000

    def sampler(self) -> Sampler:
        """Draws pictures from the averaged generator, or from the generator itself where there is no average."""
        network = self.generator_ema if self.generator_ema is not None else self.generator
        return Sampler(network, self.prior, self.generator.num_classes, self.generator.value_range)

    @torch.no_grad()
    def probe(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """The discriminator's logits of real images, in its training mode, its buffers left as they are."""
        buffers = {name: buffer.clone() for name, buffer in self.discriminator.named_buffers()}
        with self._autocast():
            return torch.func.functional_call(self.discriminator, buffers, (images, labels)).float()

    def _generate(self, latents: Tensor, labels: Tensor | None, exact: bool = False) -> Tensor:
        with nullcontext() if exact else self._autocast():
            return self.generator(latents, labels).float()

    def _discriminate(self, images: Tensor, labels: Tensor | None, draws: Draws, exact: bool = False) -> Tensor:
        if self._input_hooks:
            for regularizer in self._input_hooks:
                images = regularizer.inputs(images, draws, self._calls)
            self._calls += 1
        with nullcontext() if exact else self._autocast():
            return self.discriminator(images, labels).float()

    def _autocast(self) -> AbstractContextManager[Any]:
        """Entered per forward pass: a region around several steps would serve weights from before a step."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def _view(
        self,
        real: Minibatch,
        fake: Tensor,
        latents: Tensor,
        real_logits: Tensor | None,
        fake_logits: Tensor,
        draws: Draws,
    ) -> Play:
        return Play(
            generator=partial(self._generate, labels=real.labels),
            exact_generator=partial(self._generate, labels=real.labels, exact=True),
            discriminator=partial(self._discriminate, labels=real.labels, draws=draws),
            exact_discriminator=partial(self._discriminate, labels=real.labels, draws=draws, exact=True),
            networks=self._networks,
            real=real.images,
            fake=fake,
            latents=latents,
            real_logits=real_logits,
            fake_logits=fake_logits,
            loss=self.loss,
            draws=draws,
        )

    def _draws(self, player: Player, part: int, size: int) -> Draws:
        """The noise of one micro-batch of the player's next update."""
        start = (self._rank * self.accumulation + part) * size
        total = self._world_size * self.accumulation * size
        return Draws(self._seeds[player], self.updates[player], total, start, start + size, self.device)

    def _record(self, name: str, value: Tensor) -> None:
        self.recorder.add(name, value, self.round + 1)

    # --- Lightning -----------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> "GAN":
        super().train(mode)
        if self.generator_ema is not None:
            self.generator_ema.eval()
        return self

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizers, schedulers = [], []
        for player, (make_optimizer, make_scheduler) in self._factories.items():
            try:
                optimizer = make_optimizer(self.player(player).parameters())
            except ValueError as error:  # a setting that torch doesn't take
                raise UserError(f"optimizer.{player}: {error}") from error
            optimizers.append(optimizer)
            if make_scheduler is not None:
                schedulers.append(make_scheduler(optimizer))
        return optimizers, schedulers

    def on_train_start(self) -> None:
        refuse_several_devices(self.trainer)
        self._rank, self._world_size = self.global_rank, self.trainer.world_size
        if self.trainer.precision != "32-true":
            raise UserError(
                f"trainer.precision={self.trainer.precision} would serve weights from before a step: leave it out, "
                f"and give precision=bf16 to the game"
            )
        if self.generator_ema is not None:
            self._averaged = tensors(self.generator_ema), tensors(self.generator)
        # Steps go to torch's own optimizers: Lightning's wrapper costs a sixth of a small round and only counts.
        self._networks: dict[Player, nn.Module] = {player: self.player(player) for player in self._factories}
        self._parameters_of = {player: list(self.player(player).parameters()) for player in self._factories}
        self._optimizers: dict[Player, Optimizer] = dict(zip(self._factories, self.trainer.optimizers, strict=True))
        self._schedulers: list[LRScheduler] = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        self.trainer.should_stop = self.round >= self.rounds

    def learning_rates(self) -> dict[Player, float]:
        """The current learning rate of each player."""
        return {player: optimizer.param_groups[0]["lr"] for player, optimizer in self._optimizers.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[MARK] = {
            **describe_game(self),
            "round": self.round,
            "images_seen": self.images_seen,
            "updates": dict(self.updates),
            "recorder": self.recorder.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = game_of(checkpoint)
        refuse_other_game(state, describe_game(self))
        self.round = state["round"]
        self.images_seen = state["images_seen"]
        self.updates.update(state["updates"])
        self.recorder.load_state_dict(state["recorder"])
        self.resumed = True


def refuse_several_devices(trainer: pl.Trainer) -> None:
    """Raise where the trainer has more than one process: their gradients would not be averaged."""
    if trainer.world_size > 1:
        raise UserError(f"the game is played on one device, and this trainer has {trainer.world_size}: set devices=1")


@contextmanager
def frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    """No gradients for these parameters inside."""
    parameters = [p for p in parameters if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The network's parameters, and its buffers."""
    return list(network.parameters()), list(network.buffers())


def gradient_norm(parameters: list[nn.Parameter]) -> Tensor:
    """The L2 norm of all gradients of the parameters, a scalar on their device."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
