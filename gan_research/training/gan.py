"""The LightningModule that trains a generator against a discriminator."""

import copy
import logging
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from gan_research.augmentations import Augmentation
from gan_research.data.base import Data
from gan_research.data.layout import RoundLayout
from gan_research.distributed import rank_and_world_size
from gan_research.distributed.sharding import gathered, release, whole
from gan_research.distributed.strategies import averaging_strategy
from gan_research.losses.base import PLAYERS, AdversarialLoss, Player
from gan_research.networks import Discriminator, Generator
from gan_research.networks.batch_norm import convert_sync_batch_norm, synchronize_buffers
from gan_research.regularizers import Progress, Regularizer
from gan_research.sampling.priors import Prior
from gan_research.sampling.sampler import Sampler
from gan_research.training.checks import check_arguments, check_objective, check_sharding, check_trainer_precision
from gan_research.training.cuda_graphs import CapturedUpdates
from gan_research.training.ema import WeightAverage
from gan_research.training.fake_labels import FakeLabels
from gan_research.training.fast_loop import install_fast_loop
from gan_research.training.loss_log import LossLog
from gan_research.training.minibatch import Minibatch, batch_of, minibatches_of
from gan_research.training.objective import Objective
from gan_research.training.optimization import OptimizerFactory, PlayerOptimizers, SchedulerFactory
from gan_research.training.precision import Forward, Precision, require_precision
from gan_research.training.reduction import Reduction
from gan_research.training.refinement import LatentRefinement
from gan_research.training.saved_state import load_game, save_game
from gan_research.training.schedule import Schedule, Update
from gan_research.training.unrolling import Unrolling
from gan_research.utils.lightning_compat import count_rounds, has_trainer
from gan_research.utils.rng import Noise, RunSeeds, seed_layers

log = logging.getLogger(__name__)


class GAN(pl.LightningModule):
    """A generator trained against a discriminator for `rounds` rounds (Goodfellow et al. 2014, Algorithm 1).

    A batch contains the real minibatches of one round: one of `Data`, or images or (images, labels) of any loader.
    Lightning's steps count rounds. All random numbers of a round are a function of (`seed`, position), so that a
    resumed run repeats the uninterrupted one, if its data do.

    loss: the adversarial loss of both players.
    prior: the distribution of latents.
    regularizers, augmentations: by name; the names appear in the log.
    reduction: losses of a micro-batch -> scalar. refinement: changes latents before the generator gets them.
    unrolling: steps of D inside G's update.
    schedule: the updates of a round.
    generator_optimizer, discriminator_optimizer: parameters -> optimizer (two learning rates make TTUR).
    generator_lr_schedule, discriminator_lr_schedule: optimizer -> scheduler, stepped once a round.
    ema: averages the generator's weights; samples and evaluation then use the average.
    accumulation: micro-batches per update, each of batch_size / accumulation images.
    precision: "bf16" and "fp16" run the networks under autocast, "tf32" in float32 with products in TF32; gradient
        penalties stay in float32. "64" trains in float64.
    compile: use torch.compile for the generator, its average, and D unless a gradient penalty differentiates it.
    channels_last: keep images and convolutions with the channels last in memory, as oneDNN and tensor cores prefer.
    cuda_graphs: on a GPU, capture the gradients of each kind of update and replay them; faster for small networks.
    max_gradient_norm: scale a player's gradients down to this L2 norm.
    sync_batch_norm: normalize batches over the samples of all devices.
    freeze_discriminator: the number of D's blocks that don't learn, see `Discriminator.freeze`.
    log_every: rounds between two log entries; the last round has one, too.

    Attributes: completed rounds (`round`), real images that the discriminator has seen, over all devices
    (`images_seen`), updates of each player (`updates`), without penalties' steps of their own, returns to a checkpoint
    after divergence (`roll_backs`), and whether the run was resumed from a checkpoint (`resumed`).
    """

    _whole: Any
    """A copy of the generator that is sampled, if the networks are sharded, else None; not a part of the game."""

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: AdversarialLoss,
        prior: Prior,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        regularizers: dict[str, Regularizer] | None = None,
        augmentations: dict[str, Augmentation] | None = None,
        reduction: Reduction | None = None,
        refinement: LatentRefinement | None = None,
        unrolling: Unrolling | None = None,
        schedule: Schedule | None = None,
        generator_lr_schedule: SchedulerFactory | None = None,
        discriminator_lr_schedule: SchedulerFactory | None = None,
        ema: WeightAverage | None = None,
        rounds: int = 5000,
        accumulation: int = 1,
        precision: Precision = "32",
        compile: bool = False,
        channels_last: bool = False,
        cuda_graphs: bool = False,
        max_gradient_norm: float | None = None,
        sync_batch_norm: bool = True,
        freeze_discriminator: int = 0,
        log_every: int = 50,
        seed: int = 0,
    ):
        super().__init__()
        check_arguments(locals())
        self.automatic_optimization = False
        discriminator.freeze(freeze_discriminator)
        discriminator.logits_are_log_odds = loss.logits_are_log_odds
        self.generator, self.discriminator = generator, discriminator
        averages = ema.copies(generator) if ema else []
        self.generator_ema, self.further_averages = next(iter(averages), None), nn.ModuleList(averages[1:])
        self.loss, self.prior, self.schedule, self.ema = loss, prior, schedule or Schedule(), ema
        self.regularizers, self.augmentations = nn.ModuleDict(regularizers or {}), nn.ModuleDict(augmentations or {})
        self.rounds, self.accumulation, self.seed = rounds, accumulation, seed
        self.precision, self.compiled, self.cuda_graphs = precision, compile, cuda_graphs
        self.sync_batch_norm, self.loss_log = sync_batch_norm, LossLog(log_every, rounds)
        self.round, self.images_seen, self.roll_backs, self.resumed = 0, 0, 0, False
        self.updates: dict[Player, int] = dict.fromkeys(PLAYERS, 0)
        factories: dict[Player, tuple[OptimizerFactory, SchedulerFactory | None]] = {
            "discriminator": (discriminator_optimizer, discriminator_lr_schedule),
            "generator": (generator_optimizer, generator_lr_schedule),
        }
        penalties = (regularizers or {}).values()
        self.player_optimizers = PlayerOptimizers(factories, max_gradient_norm, precision == "fp16", penalties)
        self._agreed_at, self._gathered_at, self._recomputed_at, self._warned = -1, -1, 0, False
        self.__dict__["_whole"] = None  # torch would register a module
        if precision == "64":
            self.double()
        if channels_last:
            self.to(memory_format=torch.channels_last)
        networks: dict[Player, nn.Module] = {"discriminator": discriminator, "generator": generator}
        components = loss, prior, regularizers or {}, augmentations or {}, reduction, refinement, unrolling
        labels = FakeLabels(self.schedule.fake_labels, generator.num_classes)
        self.objective = Objective(self._forward_passes(), networks, *components, labels, self.loss_log)
        self._set_up()
        check_objective(self.objective, self.schedule.generator_batch_multiple, accumulation)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Train one round on its real minibatches: a `Batch`, images, or (images, labels)."""
        seed_layers(self.seeds.layers(self.round), self.device)
        if self.loss_log.begin(self.round + 1) and self.trainer.loggers and not self._warned:
            self._warned = True
            log.warning("no callback writes losses to the logger: add gan_research.callbacks.Log() to the trainer")
        batch = batch_of(batch, self.generator.samples, self.layout, self.round)
        self.progress.set(self.round, self.images_seen, self.rounds)
        conditional, dtype = self.generator.num_classes > 0, self.objective.forward.dtype
        minibatches = minibatches_of(batch, self.layout, dtype, conditional)
        for players, number in zip(self.schedule.plan(self.round), self.schedule.reals, strict=True):
            self._update(players, minibatches[number])
        self._end_round(len(batch.images) // self.schedule.minibatches * self.schedule.discriminator_steps)

    def _update(self, players: Update, minibatch: list[Minibatch]) -> None:
        """Take one optimizer step for each of `players`; all gradients are computed before the first step.

        Then take those of penalties that have one of their own.
        """
        self._differentiate(players, minibatch)
        for player in players:
            self._step(player, f"gradient_norm/{player}")
        for player in players:
            if self.objective.due(player, self.updates[player], own_step=True):
                self._differentiate((player,), minibatch, own_step=True)
                self.player_optimizers[player].fill_gradients()
                self._step(player, f"gradient_norm/{player}_penalties")
            self.updates[player] += 1
            self.objective.after_step(player)

    def _differentiate(self, players: Update, minibatch: list[Minibatch], own_step: bool = False) -> None:
        """Compute the gradients of the players' losses, or of penalties with an `own_step`."""
        for player in players:
            self.player_optimizers[player].optimizer.zero_grad()
        multiple = self.schedule.generator_batch_multiple if players == ("generator",) else 1
        for part, micro_batch in enumerate(minibatch):
            micro_batch = micro_batch.repeated(multiple, self.discriminator.batch_multiple)
            noise = self._noise(players[0], part, len(micro_batch.images), own_step)
            self._compute_gradients(players, micro_batch, noise, own_step)

    def _step(self, player: Player, norm_name: str) -> None:
        """Take an optimizer step; log the norm of the gradient in rounds that are measured."""
        norm = self.player_optimizers[player].step(self.loss_log.measuring, self.images_seen)
        if norm is not None and self.loss_log.measuring:
            self.loss_log.add(norm_name, norm)

    def _sharded_gradients(self, players: Update, micro_batch: Minibatch, noise: Noise, own_step: bool = False) -> None:
        """Accumulate gradients as `_eager_gradients`; a penalty may differentiate them again."""
        penalized = any(self.objective.due(player, self.updates[player], own_step) for player in players)
        with gathered(self.objective.networks.values()) if penalized else nullcontext():
            self._eager_gradients(players, micro_batch, noise, own_step)

    def _eager_gradients(self, players: Update, micro_batch: Minibatch, noise: Noise, own_step: bool = False) -> None:
        """Accumulate the gradients of one micro-batch in the parameters of each of `players`."""
        losses = self.objective.losses(players, micro_batch, noise, self.updates, self.progress, own_step)
        for player, loss in losses:
            penalized = bool(self.objective.due(player, self.updates[player], own_step))
            with self.objective.forward.full_precision() if penalized else nullcontext():
                scaled = loss if self.accumulation == 1 else loss / self.accumulation
                self.player_optimizers[player].backward(scaled, only_own=self.objective.crosses_players[player])
            if self._whole is not None and penalized:  # parameters may learn in the next loss that didn't in this one
                for network in self.objective.networks.values():
                    release(network)

    def _noise(self, player: Player, part: int, size: int, own_step: bool = False) -> Noise:
        """Return the noise of a micro-batch of the player's next update, or its `own_step`."""
        rows, dtype = self.layout.block(part, size), self.objective.forward.dtype
        return Noise(self._player_seeds[player, own_step], self.updates[player], *rows, self.device, dtype)

    def _end_round(self, local_images: int) -> None:
        images = local_images * self.layout.world_size
        self.round += 1
        self.images_seen += images
        if self.ema is not None:
            self.ema.after_round(*self._averaged, self.round, images, self.images_seen)
        for scheduler in self._schedulers:
            scheduler.step()
        if self.device.type == "cpu" and self.layout.world_size == 1:  # else it would synchronize, and flush checks it
            self.loss_log.check(self.round)
        count_rounds(self.trainer, self.round)
        if self.round >= self.rounds:
            self.trainer.should_stop = True

    @property
    def kimg(self) -> float:
        """Thousands of real images that the discriminator has seen."""
        return self.images_seen / 1000

    @property
    def batch_size(self) -> int | None:
        """Real images per update of the discriminator, over all devices; None if it isn't known before the first."""
        if updates := self.updates["discriminator"]:
            return self.images_seen // updates
        data = getattr(self.trainer, "datamodule", None) if has_trainer(self) else None
        return data.batch_size if isinstance(data, Data) else None

    @property
    def averages(self) -> list[Generator]:
        """The averages of the generator, the one that is sampled first."""
        return [] if self.generator_ema is None else [self.generator_ema, *self.further_averages]

    def sampler(self) -> Sampler:
        """Return a sampler of the generator, or of its (first) average if there is one."""
        self.recompute_statistics()
        self._gather()
        return self._sampler_of(self.objective.forward.sampled if self._whole is None else self._whole)

    def shard(self, shard: Callable[[nn.Module], None]) -> None:
        """Shard the networks and averages, each by a call of `shard`; UserError if the game doesn't allow it."""
        check_sharding(self)
        if self.sync_batch_norm:
            convert_sync_batch_norm(nn.ModuleList([self.generator, self.discriminator]))
        self.__dict__["_whole"] = copy.deepcopy(self.objective.forward.sampled).eval().requires_grad_(False)
        for network in (self.generator, self.discriminator, *self.averages):
            shard(network)
        self.objective.find_parameters()

    def _gather(self) -> None:
        """Copy the sampled generator from all ranks, once a round: each then samples alone."""
        if self._whole is None or self._gathered_at == self.round:
            return
        self._gathered_at = self.round
        sharded = self.objective.forward.sampled
        self._whole.to(self.device)
        with torch.no_grad():
            for target, source in zip(self._whole.parameters(), sharded.parameters(), strict=True):
                target.copy_(whole(source))
            for target, source in zip(self._whole.buffers(), sharded.buffers(), strict=True):
                target.copy_(source)

    def recompute_statistics(self) -> None:
        """Recompute the averages' batch statistics, once a round, if `ema.buffers` is recompute."""
        if self.ema is not None and self.ema.buffers == "recompute" and self._recomputed_at != self.round:
            self._recomputed_at = self.round
            for average in self.averages:
                self._sampler_of(average).recompute_statistics(**self.recomputation())

    def recomputation(self) -> dict[str, Any]:
        """Return the arguments of `Sampler.recompute_statistics` after this round."""
        assert self.ema is not None
        seed = self.seeds.of("standing statistics", self.round)
        return {"batches": self.ema.recompute_batches, "batch_size": self.batch_size, "seed": seed}

    def _sampler_of(self, network: Any) -> Sampler:
        g = self.generator
        sampler = Sampler(network, self.prior, g.num_classes, g.value_range)
        sampler.batch_size, sampler.discriminator = self.batch_size, self.discriminator
        return sampler

    def synchronize_buffers(self) -> None:
        """Make buffers equal on all ranks, once a round, before sampling and saving."""
        if self._agreed_at != self.round:
            self._agreed_at = self.round
            synchronize_buffers(self)
            self._gather()

    def train(self, mode: bool = True) -> "GAN":
        super().train(mode)
        for average in self.averages:
            average.eval()
        return self

    def configure_optimizers(self) -> OptimizerLRScheduler:
        strategy = averaging_strategy(self.trainer.strategy) if has_trainer(self) else None
        return self.player_optimizers.configure(self.objective.parameters, strategy)

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, Data):
            data.layout, data.completed_rounds = self._layout(), lambda: self.round
            if self.schedule.fake_labels == "data" and data.train.labels is not None:
                self.objective.fake_labels.counts = data.train.labels.bincount(minlength=self.generator.num_classes)

    def on_train_start(self) -> None:
        check_trainer_precision(self.trainer.precision)
        self._set_up()
        self.player_optimizers.attach(self, self.objective)
        self._schedulers: list[LRScheduler] = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        if self.cuda_graphs:
            captured = CapturedUpdates(self._eager_gradients, self.objective, self.updates, self.device)
            self._compute_gradients = captured.run
        self._context = ExitStack()
        self._context.enter_context(self.objective.forward.training())
        self.trainer.should_stop = self.round >= self.rounds
        install_fast_loop(self.trainer, self)

    def on_train_end(self) -> None:
        self._compute_gradients = self._eager_gradients
        self._context.close()

    def _set_up(self) -> None:
        """Set the attributes that depend on the device and the ranks."""
        require_precision(self.precision, self.device if has_trainer(self) else None)
        self.layout = self._layout()
        if self.sync_batch_norm and self.layout.world_size > 1:
            convert_sync_batch_norm(nn.ModuleList([self.generator, self.discriminator]))
        self.objective.forward = self._forward_passes()
        self._compute_gradients = self._eager_gradients if self._whole is None else self._sharded_gradients
        self.progress = Progress.zeros(self.device)
        self.seeds = RunSeeds(self.seed, self.roll_backs, self.layout.rank)
        self._player_seeds = {(player, False): self.seeds.of(player) for player in PLAYERS}
        self._player_seeds |= {(player, True): self.seeds.of(f"{player}'s penalties") for player in PLAYERS}
        if self.ema is not None:
            self._averaged = [self.ema.tensors(g) for g in self.averages], self.ema.tensors(self.generator)

    def _layout(self) -> RoundLayout:
        return RoundLayout(self.schedule.minibatches, self.accumulation, *rank_and_world_size())

    def _forward_passes(self) -> Forward:
        networks = self.generator, self.discriminator, self.generator_ema
        return Forward(*networks, self.precision, self.device, self.compiled)

    on_save_checkpoint = save_game
    on_load_checkpoint = load_game
