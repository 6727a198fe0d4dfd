"""The game: a LightningModule that plays rounds of discriminator and generator updates."""

import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_research._version import __version__
from gan_research.checkpoints.io import FORMAT, MARK, differences, game_of
from gan_research.checkpoints.rebuild import describe
from gan_research.data.base import Batch
from gan_research.distributed import position
from gan_research.distributed.strategies import averaging_strategy
from gan_research.losses import AdversarialLoss, Player
from gan_research.networks import Discriminator, Generator
from gan_research.networks.batch_norm import agree_on_buffers, synchronised
from gan_research.regularizers import Play, Regularizer
from gan_research.sampling.priors import Prior
from gan_research.sampling.sampler import Sampler
from gan_research.training.cuda_graphs import Graphs, OnGPU, require_capturable
from gan_research.training.ema import EMA
from gan_research.training.fast_loop import lighten
from gan_research.training.loss_log import Recorder, relative_spread
from gan_research.training.minibatch import Minibatch
from gan_research.training.optimization import Steps
from gan_research.training.precision import Passes, Precision, frozen, require_precision
from gan_research.training.schedule import Move, Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.renamed import renamed_targets
from gan_research.utils.rng import Draws, seed_layers, stream_seed

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


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
    precision: "bf16" and "fp16" run the networks under autocast, "tf32" in float32 with products in TF32; gradient
        penalties stay in float32. "64" plays all in float64.
    compile: torch.compile for the generator, its average, and D where no gradient penalty differentiates it.
    cuda_graphs: on a GPU, the gradients of each kind of move are captured once and replayed: for small networks.
    max_gradient_norm: a player's gradients of a larger L2 norm are scaled down to it.
    sync_batch_norm: on several devices, batch normalisation over the samples of all of them.
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
        precision: Precision = "32",
        compile: bool = False,
        cuda_graphs: bool = False,
        max_gradient_norm: float | None = None,
        sync_batch_norm: bool = True,
        log_every: int = 50,
        seed: int = 0,
    ):
        super().__init__()
        require_precision(precision)
        if max_gradient_norm is not None and not max_gradient_norm > 0:
            raise UserError(f"max_gradient_norm={max_gradient_norm}: give a positive one, or null")
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
        self.precision: Precision = precision
        self.compiled = compile
        self.cuda_graphs = cuda_graphs
        self.max_gradient_norm = max_gradient_norm
        self.sync_batch_norm = sync_batch_norm
        self.seed = seed
        self.recorder = Recorder(log_every)

        self.round = 0
        """Rounds played."""
        self.images_seen = 0
        """Real images that the discriminator has seen, over all devices."""
        self.updates: dict[Player, int] = {"discriminator": 0, "generator": 0}
        """Optimizer steps of each player."""
        self.roll_backs = 0
        """How often the game went back to a checkpoint because it had diverged; it then goes on with other latents."""
        self._agreed_at = -1
        self.resumed = False
        """Whether this game goes on from a checkpoint."""

        self._graphs: Graphs | None = None
        self._steps: dict[Player, Steps] = {}
        self._loaded: dict[Player, dict[str, Any]] = {}
        self._factories: dict[Player, tuple[OptimizerFactory, SchedulerFactory | None]] = {
            "discriminator": (discriminator_optimizer, discriminator_lr_schedule),
            "generator": (generator_optimizer, generator_lr_schedule),
        }
        self._check_players()
        self._sort_regularizers()
        if precision == "64":
            self.double()
        self._get_ready()

    def _sort_regularizers(self) -> None:
        """By what they do, and in which player's updates; one that can't be played with this loss is refused."""
        named: list[tuple[str, Any]] = list(self.regularizers.items())
        both = {n for n, r in named if all(hasattr(r, f"{p}_penalty") for p in self.updates)}
        self._penalties = {
            p: [(f"{n}/{p}" if n in both else n, r) for n, r in named if hasattr(r, f"{p}_penalty")]
            for p in self.updates
        }
        self._crossing = {p: any("parameters" in r.differentiates for _, r in self._penalties[p]) for p in self.updates}
        """Whether a penalty of that player's takes gradients in the other's parameters too."""
        self._input_hooks = [r for _, r in named if hasattr(r, "inputs")]
        self._step_hooks = [r for _, r in named if hasattr(r, "after_step")]
        for _, regularizer in named:
            regularizer.check(self.loss)

    def _check_players(self) -> None:
        g, d = self.generator, self.discriminator
        if (g.sample_shape, g.num_classes) != (d.sample_shape, d.num_classes):
            raise UserError(
                f"the players don't fit: the generator makes samples of shape {g.sample_shape} in {g.num_classes} "
                f"classes, the discriminator takes {d.sample_shape} in {d.num_classes}"
            )
        if g.latent_dim != self.prior.latent_dim:
            raise UserError(f"the generator takes latents of {g.latent_dim}, the prior gives {self.prior.latent_dim}")
        if self.loss.needs_real and (fakes := self.schedule.generator_batch_multiple) > 1:
            raise UserError(
                f"{type(self.loss).__name__} judges each fake against a real one, and "
                f"schedule.generator_batch_multiple={fakes} makes more fakes: set it to 1"
            )
        if self.accumulation < 1:
            raise UserError(f"accumulation={self.accumulation}: give at least 1")
        if self.accumulation > 1 and self.loss.whole_minibatch:
            raise UserError(
                f"{type(self.loss).__name__} compares each logit with the mean of a whole minibatch, which "
                f"accumulation={self.accumulation} takes apart: set accumulation=1, on more devices if need be"
            )

    # --- the round -----------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Plays one round on its real minibatches."""
        seed_layers(self._layers_seed(self.round), self.device)
        minibatches = self._minibatches(batch)
        for move in self.schedule.moves(self.round):
            if "discriminator" in move:
                minibatch = minibatches.pop(0)
            self._play(move, minibatch)
        self._end_round(batch.images.shape[0])

    def _minibatches(self, batch: Batch) -> list[list[Minibatch]]:
        """This rank's share of the round: per discriminator update, its micro-batches."""
        k, parts = self.schedule.discriminator_steps, self.accumulation
        size = batch.images.shape[0] // (k * parts)
        images = batch.images.to(self._passes.dtype).split(size)
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
            self._steps[player].begin()
        fakes = self.schedule.generator_batch_multiple if move == ("generator",) else 1
        for part, micro in enumerate(minibatch):
            real = micro.repeated(fakes, self.discriminator.packing)
            draws = self._draws(move[0], part, real.images.shape[0])
            if self._graphs is None:
                self._gradients(move, real, draws)
            else:
                due = tuple(name for player in move for name, _ in self._due(player))
                self._graphs.take(move, due, real, draws, self.round + 1)
        for player in move:
            self._step(player)

    def _gradients(self, move: Move, real: Minibatch, draws: Draws) -> None:
        """Adds the gradients of one micro-batch, for each player in `move`."""
        self._calls = 0
        latents = draws.rows("latents", self.prior.sample)
        with nullcontext() if "generator" in move else torch.no_grad():
            fake = self._passes.generate(latents, real.labels)
        if "discriminator" in move:
            self._backward("discriminator", self._discriminator_loss(real, fake, latents, draws))
        if "generator" in move:
            with frozen([] if self._crossing["generator"] else self._parameters_of["discriminator"]):
                self._backward("generator", self._generator_loss(real, fake, latents, draws))

    def _discriminator_loss(self, real: Minibatch, fake: Tensor, latents: Tensor, draws: Draws) -> Tensor:
        """Mean adversarial loss plus the penalties that are due, all recorded."""
        due = self._due("discriminator")
        wanted = {side for _, r in due for side in r.differentiates if not self._passes.inexact}
        images = real.images.detach().requires_grad_("real" in wanted)
        fake = fake.detach().requires_grad_("fake" in wanted)
        real_logits = self._discriminate(images, real.labels, draws, twice="real" in wanted)
        fake_logits = self._discriminate(fake, real.labels, draws, twice="fake" in wanted)
        self._record("logits/real", real_logits)
        self._record("logits/fake", fake_logits)
        loss = self.loss.discriminator(real_logits, fake_logits).mean()
        self._record("loss/discriminator", loss)
        if self.recorder.due(self.round + 1) and len(fake) > 1:
            self._record("samples/spread", relative_spread(fake.detach(), images.detach()))
        if due:
            play = self._view(Minibatch(images, real.labels), fake, latents, real_logits, fake_logits, draws)
            for name, regularizer in due:
                loss = loss + self._weighed(name, regularizer, regularizer.discriminator_penalty, play)
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
                loss = loss + self._weighed(name, regularizer, regularizer.generator_penalty, play)
        return loss

    def _due(self, player: Player) -> list[tuple[str, Any]]:
        """The regularisers that penalise the player's next update."""
        return [(name, r) for name, r in self._penalties[player] if r.due(self.updates[player])]

    def _weighed(self, name: str, regularizer: Regularizer, penalty: Callable[[Play], Tensor], play: Play) -> Tensor:
        """A penalty, recorded, as it is added to the loss: a lazy one counts for the updates that it skips."""
        with self._passes.exactly():
            mean = penalty(play).mean()
        self._record(f"loss/{name}", mean)
        return regularizer.weight * regularizer.every * mean

    def _backward(self, player: Player, loss: Tensor) -> None:
        """Adds to the gradients of the player's parameters, and of no others."""
        with self._passes.exactly() if self._due(player) else nullcontext():
            share = loss if self.accumulation == 1 else loss / self.accumulation
            self._steps[player].add(share, only_own=self._crossing[player])

    def _step(self, player: Player) -> None:
        """The optimizer step, counted, and what follows it."""
        network = self.player(player)
        norm = self._steps[player].step(measured=self.recorder.due(self.round + 1))
        if norm is not None and self.recorder.due(self.round + 1):
            self._record(f"gradient_norm/{player}", norm)
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
        if self.device.type == "cpu" and self._world_size == 1:  # else it would wait, and the next flush finds it
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
        return Sampler(self._passes.sampled, self.prior, self.generator.num_classes, self.generator.value_range)

    @torch.no_grad()
    def probe(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """The discriminator's logits of real images, in its training mode, its buffers left as they are."""
        buffers = {name: buffer.clone() for name, buffer in self.discriminator.named_buffers()}
        with self._passes.autocast():
            inputs = images.to(self._passes.dtype), labels
            return torch.func.functional_call(self.discriminator, buffers, inputs).float()

    def _discriminate(
        self, images: Tensor, labels: Tensor | None, draws: Draws, exact: bool = False, twice: bool = False
    ) -> Tensor:
        if self._input_hooks:
            for regularizer in self._input_hooks:
                images = regularizer.inputs(images, draws, self._calls)
            self._calls += 1
        return self._passes.discriminate(images, labels, exact, twice)

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
            generator=partial(self._passes.generate, labels=real.labels),
            exact_generator=partial(self._passes.generate, labels=real.labels, exact=True),
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
        start = (part * self._world_size + self._rank) * size  # of each micro-batch a rank holds one block
        total = self._world_size * self.accumulation * size
        position = self.updates[player]
        return Draws(self._seeds[player], position, total, start, start + size, self.device, self._passes.dtype)

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
        strategy = averaging_strategy(self.trainer.strategy) if self._trainer is not None else None
        for player, (make_optimizer, make_scheduler) in self._factories.items():
            make = partial(strategy.optimizer_of, make_optimizer) if strategy else make_optimizer
            try:
                optimizer = make(self.player(player).parameters())
            except ValueError as error:  # a setting that torch doesn't take
                raise UserError(f"optimizer.{player}: {error}") from error
            optimizers.append(optimizer)
            if make_scheduler is not None:
                schedulers.append(make_scheduler(optimizer))
        return optimizers, schedulers

    def on_train_start(self) -> None:
        refuse_precision(self.trainer.precision)
        self._get_ready()
        strategy = averaging_strategy(self.trainer.strategy)
        wrapped = self.trainer.world_size > 1 and strategy is None  # Lightning's wrapper averages in each backward
        for (player, parameters), optimizer in zip(self._parameters_of.items(), self.trainer.optimizers, strict=True):
            if wrapped and self._crossing[player]:
                raise UserError("trainer=ddp_lightning can't average gradients in both players: take trainer=ddp")
            self._steps[player] = Steps(
                optimizer,  # torch's own: Lightning's wrapper costs a sixth of a small round and only counts
                parameters,
                average=strategy.gradient_average(player, parameters) if strategy else None,
                backward=self.manual_backward if wrapped else None,
                max_norm=self.max_gradient_norm,
                scaler=torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None,
            )
            self._steps[player].load_state_dict(self._loaded.get(player, {}))
        if self.cuda_graphs:
            self._graphs = Graphs(self._gradients, self._parameters_of, self.recorder, OnGPU(self.device))
        self._schedulers: list[LRScheduler] = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        self._playing = ExitStack()
        self._playing.enter_context(self._passes.playing())
        self.trainer.should_stop = self.round >= self.rounds
        lighten(self.trainer, self)

    def _get_ready(self) -> None:
        """All that follows from the networks and the device that they are on."""
        require_precision(self.precision, self.device if self._trainer is not None else None)
        self._rank, self._world_size = position()
        if self.cuda_graphs:
            named = dict(self.regularizers.items())
            require_capturable(self.precision, self.compiled, self.accumulation, self._world_size, named)
        if self.sync_batch_norm and self._world_size > 1:
            for network in (self.generator, self.discriminator):
                synchronised(network)
        players = self.generator, self.discriminator, self.generator_ema
        self._passes = Passes(*players, self.precision, self.device, self.compiled)
        if self.generator_ema is not None:
            self._averaged = tensors(self.generator_ema), tensors(self.generator)
        self._seeds = {player: stream_seed(self.seed, self._stream(player)) for player in self._factories}
        self._networks: dict[Player, nn.Module] = {player: self.player(player) for player in self._factories}
        self._parameters_of = {player: list(self.player(player).parameters()) for player in self._factories}

    def _stream(self, purpose: str) -> str:
        """What a stream of latents or noise is called: other ones after each roll-back."""
        return f"{purpose} after roll-back {self.roll_backs}" if self.roll_backs else purpose

    def stream_seeds(self, played: int) -> dict[str, int]:
        """The seeds of what the players draw, and of the layers' noise after `played` rounds."""
        seeds = {str(player): seed for player, seed in self._seeds.items()}
        return seeds | {f"layers of rank {self._rank}": self._layers_seed(played)}

    def _layers_seed(self, played: int) -> int:
        """Of the noise that layers, such as dropout, draw in the round after `played` rounds."""
        return stream_seed(self.seed, self._stream(f"layers of rank {self._rank}"), played)

    def agree_on_buffers(self) -> None:
        """In all processes the same buffers, before any of them shows or saves the networks; once a round."""
        if self._agreed_at != self.round:
            self._agreed_at = self.round
            agree_on_buffers(self)

    def on_train_end(self) -> None:
        self._graphs = None
        self._playing.close()

    def learning_rates(self) -> dict[Player, float]:
        """The current learning rate of each player."""
        return {player: steps.optimizer.param_groups[0]["lr"] for player, steps in self._steps.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[MARK] = {
            **describe_game(self),
            "round": self.round,
            "images_seen": self.images_seen,
            "updates": dict(self.updates),
            "roll_backs": self.roll_backs,
            "steps": {player: steps.state_dict() for player, steps in self._steps.items()},
            "recorder": self.recorder.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = game_of(checkpoint)
        refuse_other_game(state, describe_game(self))
        self.round = state["round"]
        self.images_seen = state["images_seen"]
        self.updates.update(state["updates"])
        self.roll_backs = state.get("roll_backs", 0)
        self._loaded = state.get("steps", {})
        self.recorder.load_state_dict(state["recorder"])
        self.resumed = True


def describe_game(gan: GAN) -> dict[str, Any]:
    """What `load` needs to rebuild the generator, and what a resumed game must agree on: plain containers only."""
    return {
        "format": FORMAT,
        "version": __version__,
        "generator": describe(gan.generator),
        "discriminator": describe(gan.discriminator),
        "prior": describe(gan.prior),
        "ema": gan.ema is not None,
    }


def refuse_other_game(saved: dict[str, Any], current: dict[str, Any]) -> None:
    """Raise with the differences if a checkpoint's players aren't those that want to go on from it."""
    keys = ("generator", "discriminator", "prior", "ema")
    if changes := differences(*(renamed_targets({key: game[key] for key in keys}) for game in (saved, current))):
        raise UserError("the checkpoint holds another game: " + "; ".join(changes))


def refuse_precision(precision: Any) -> None:
    """Raise, with the reason, where the Trainer and not the game would be in mixed precision."""
    if precision != "32-true":
        raise UserError(
            f"trainer.precision={precision} would serve weights from before a step: leave it out, and give "
            "precision=bf16 to the game"
        )


def tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The network's parameters, and its buffers."""
    return list(network.parameters()), list(network.buffers())
