"""The losses that the players minimize in an update."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gan_research.augmentations import Augmentation, AugmentationInput, Augmented
from gan_research.losses import AdversarialLoss
from gan_research.losses.base import OPPONENT, PLAYERS, Player
from gan_research.networks.base import DOutput
from gan_research.networks.layers import is_spectral
from gan_research.regularizers import Progress, Regularizer, Side, Step
from gan_research.regularizers.step import SideName, mean_logits
from gan_research.sampling.priors import Prior
from gan_research.training.fake_labels import FakeLabels
from gan_research.training.loss_log import LossLog, relative_spread
from gan_research.training.minibatch import Minibatch
from gan_research.training.precision import Forward, frozen
from gan_research.training.reduction import Mean, Reduction
from gan_research.training.refinement import LatentRefinement
from gan_research.training.schedule import Update
from gan_research.training.unrolling import Tensors, Unrolling
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import Number, value_at
from gan_research.utils.rng import Noise

Penalties = list[tuple[str, Regularizer]]

OF_SIDE: Any = object()
"""The condition of the images' own side."""


def parameters_of(networks: Mapping[Player, nn.Module]) -> dict[Player, list[nn.Parameter]]:
    """Return the parameters of each player: those of its network that aren't frozen.

    Parts of D's head may be trained by the generator.
    """
    head = getattr(networks["discriminator"], "head", None)
    shared = [p for name in getattr(head, "trained_by_generator", ()) for p in getattr(head, name).parameters()]
    ids = {id(p) for p in shared}
    return {
        "discriminator": [p for p in networks["discriminator"].parameters() if p.requires_grad and id(p) not in ids],
        "generator": [*networks["generator"].parameters(), *shared],
    }


class Objective:
    """The players' losses on a micro-batch: the adversarial loss plus the penalties that are due.

    For a task other than generating images from latents, override `generate` and `discriminate`.

    forward: runs the networks in the run's precision.
    networks: both networks, for their parameters.
    regularizers, augmentations: by name; the names appear in the log. Augmentations are applied in their order.
    reduction: losses of a micro-batch (N,) -> scalar, the mean by default.
    refinement: changes latents before the generator gets them.
    unrolling: steps of D inside G's update.
    fake_labels: gives fakes their classes, those of the reals by default.
    log: the log of loss terms, if any.
    """

    def __init__(
        self,
        forward: Forward,
        networks: Mapping[Player, nn.Module],
        loss: AdversarialLoss,
        prior: Prior,
        regularizers: Mapping[str, Regularizer],
        augmentations: Mapping[str, Augmentation] | None = None,
        reduction: Reduction | None = None,
        refinement: LatentRefinement | None = None,
        unrolling: Unrolling | None = None,
        fake_labels: FakeLabels | None = None,
        log: LossLog | None = None,
    ):
        self.forward, self.networks, self.loss, self.prior = forward, networks, loss, prior
        self.regularizers, self.augmentations = dict(regularizers), dict(augmentations or {})
        self.reduction, self.refinement, self.log = reduction or Mean(), refinement, log
        self.unrolling = unrolling if unrolling is not None and unrolling.steps else None
        self.fake_labels = fake_labels or FakeLabels()
        self.penalties: dict[Player, Penalties] = {
            p: [(f"{n}/{p}" if len(r.players) > 1 else n, r) for n, r in self.regularizers.items() if p in r.players]
            for p in PLAYERS
        }  # the regularizers of each player's loss, with their names in the log
        self.crosses_players = {p: any(r.crosses_players for _, r in self.penalties[p]) for p in PLAYERS}
        """player -> True if one of its penalties differentiates the other player's parameters too."""
        constrained = [r for r in self.regularizers.values() if r.keeps_lipschitz]
        self.is_lipschitz = bool(constrained) or is_spectral(networks["discriminator"])
        """True if a regularizer, or spectral norm, bounds the discriminator's slope."""
        self.find_parameters()
        self._refines_differentiably = refinement is not None and refinement.differentiable
        self.calls = 0  # passes of D on the micro-batch so far
        self._noise_dim: int = getattr(networks["generator"], "noise_dim", 0)
        self._layer_noise: Tensor | None = None  # of the generator, in all its passes on the micro-batch

    def find_parameters(self) -> None:
        """Find the parameters of the networks, which sharding replaces."""
        self.parameters = parameters_of(self.networks)
        """The parameters that each player's optimizer updates."""
        self._frozen: dict[Player, list[nn.Parameter]] = {
            p: [] if self.crosses_players[p] else self.parameters[OPPONENT[p]] for p in PLAYERS
        }  # the parameters without gradient while a player's loss is computed and differentiated

    def generate(self, latents: Tensor, condition: Any) -> Tensor:
        """Return fakes (N, C, H, W), or points (N, dim), from latents (N, latent_dim)."""
        noise = self._layer_noise
        return self.forward.generate(latents, condition, None if noise is None else noise[: len(latents)])

    def discriminate(self, images: Tensor, condition: Any, **info: Tensor) -> DOutput:
        """Return the discriminator's output for images (N, C, H, W), or points (N, dim).

        info: further arguments of the discriminator, from augmentations.
        """
        return self.forward.discriminate(images, condition, **info)

    def losses(
        self,
        players: Update,
        minibatch: Minibatch,
        noise: Noise,
        updates: Mapping[Player, int],
        progress: Progress,
        own_step: bool = False,
    ) -> Iterator[tuple[Player, Tensor]]:
        """Yield (player, loss) for each of `players`, on the same fakes.

        Call backward before the next one: until then, the other player's parameters are frozen, unless a penalty
        crosses players.

        updates: updates of each player so far, which determine the penalties that are due.
        own_step: yield the sum of the penalties that have an optimizer step of their own, instead of the loss without
            them. Only the sides that they read are computed.
        """
        self.calls = 0
        self._layer_noise = noise.normal("layers of G", self._noise_dim) if self._noise_dim else None
        condition = self.fake_labels(minibatch.labels, noise)
        drawn = noise.sample("latents", self.prior.sample)
        through = self._refines_differentiably
        due = {player: self.due(player, updates[player], own_step) for player in players}
        reads = {player: self._reads(player, due[player], own_step) for player in players}
        sides = set().union(*reads.values())
        wanted = "fake" in sides or bool(sides and self.augmentations)  # which may show fakes
        in_full = own_step and all(r.full_precision for penalties in due.values() for _, r in penalties)
        with self.forward.full_precision() if in_full else nullcontext():
            if not through:
                with nullcontext() if "generator" in players else torch.no_grad():
                    latents, fakes = self._fakes(drawn, condition, noise, progress, wanted)
            for player in players:
                with frozen(self._frozen[player]):
                    if through:  # each player's gradient goes through its own refinement, on the same latents
                        latents, fakes = self._fakes(drawn, condition, noise, progress, wanted)
                    fake = Side(fakes, condition, None)
                    step = self._step(player, due[player], reads[player], minibatch, fake, latents, noise, progress)
                    loss = self._loss(step, due[player], own_step)
                    if self.refinement is not None and self.refinement.weight != 0 and not own_step:
                        moved = (latents - drawn).square().sum(1).mean()
                        loss = loss + self._weighted("refinement", self.refinement.weight, moved, progress)
                    self.collect(step, due[player], own_step)
                    yield player, loss

    def _reads(self, player: Player, due: Penalties, own_step: bool) -> set[SideName]:
        """Return the sides that need D's output; in an `own_step` for penalties alone."""
        reads: set[SideName] = {side for _, r in due for side in r.reads} if own_step else {"real", "fake"}
        needs_real = any(r.needs_real_output for _, r in due) or (self.loss.needs_real and not own_step)
        return reads if player == "discriminator" or needs_real else reads - {"real"}

    def _fakes(
        self, drawn: Tensor, condition: Any, noise: Noise, progress: Progress, wanted: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Return the latents, refined if there is a refinement, and if `wanted` their samples."""
        latents = self._refined(drawn, condition, noise, progress)
        return latents, self.generate(latents, condition) if wanted else latents[:0]

    def _refined(self, drawn: Tensor, condition: Any, noise: Noise, progress: Progress) -> Tensor:
        if self.refinement is None:
            return drawn

        def score(latents: Tensor) -> Tensor:
            images = self.generate(latents, condition)
            context = AugmentationInput(noise, 0, images.detach(), progress, fake_condition=condition)
            out = Passes(self, context)(images, condition, "fake").out
            assert out is not None
            return out.logits

        with self.forward.full_precision() if self._refines_differentiably else nullcontext():
            return self.refinement(drawn, score, self.prior, noise, self._log)

    def due(self, player: Player, update: int, own_step: bool | None = None) -> Penalties:
        """Return the regularizers that penalize the player's update of this number, counted from 0.

        own_step: only those that have an optimizer step of their own, or only the others.
        """
        due = [(name, r) for name, r in self.penalties[player] if r.due(update)]
        return due if own_step is None else [(name, r) for name, r in due if r.own_step == own_step]

    def after_step(self, player: Player) -> None:
        """Call `after_step` of regularizers and augmentations after an update of `player`."""
        for regularizer in self.regularizers.values():
            regularizer.after_step(player, self.networks[player])
        for augmentation in self.augmentations.values():
            augmentation.after_step(player)

    def _step(
        self,
        player: Player,
        due: Penalties,
        reads: set[SideName],
        minibatch: Minibatch,
        fake: Side,
        latents: Tensor,
        noise: Noise,
        progress: Progress,
    ) -> Step:
        """Run D on the sides in `reads`, and return the components' view of the update."""
        fakes, fake_condition = fake.images, fake.condition
        context = AugmentationInput(noise, 0, fakes.detach(), progress, fake_condition=fake_condition)
        passes = Passes(self, context)

        def D(images: Tensor, condition: Any = OF_SIDE, side: SideName = "view", repeat: bool = False) -> DOutput:
            if condition is OF_SIDE:
                condition = fake_condition if side == "fake" else minibatch.labels
            out = passes(images, condition, side, repeat).out
            assert out is not None
            return out

        real = Side(minibatch.images.detach(), minibatch.labels, None)
        if player == "discriminator":
            differentiated = {s for _, r in due for s in r.needs_input_grad if not self.forward.reduced_precision}
            reals = real.images.requires_grad_("real" in differentiated)
            if not self._refines_differentiably:
                fakes = fakes.detach().requires_grad_("fake" in differentiated)
            if "real" in reads:
                with self.forward.double_backward("real" in differentiated):
                    real = passes(reals, minibatch.labels, "real")
            if "fake" in reads:
                with self.forward.double_backward("fake" in differentiated):
                    fake = passes(fakes, fake_condition, "fake")
        elif self.unrolling is not None and reads:
            real, fake = self._unroll(passes, self.unrolling, real, fake)
        else:
            if "real" in reads:
                with torch.no_grad():
                    real = passes(real.images, minibatch.labels, "real")
            if "fake" in reads:
                fake = passes(fakes, fake_condition, "fake")
        return Step(
            player=player,
            real=real,
            fake=fake,
            latents=latents,
            G=lambda latents, condition=fake_condition: self.generate(latents, condition),
            D=D,
            networks=self.networks,
            loss=self.loss,
            noise=noise,
            progress=progress,
            log=self._log,
            layer_noise=self._layer_noise,
        )

    def _unroll(self, passes: "Passes", unrolling: Unrolling, real: Side, fake: Side) -> tuple[Side, Side]:
        """Return both sides as judged by D after its steps, as in further `passes`."""
        network, own = self.networks["discriminator"], {id(p) for p in self.parameters["discriminator"]}
        parameters = {name: p for name, p in network.named_parameters() if id(p) in own}
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}

        def judged(tensors: Tensors) -> tuple[Side, Side]:
            passes.replaced = buffers | dict(tensors)
            return passes(real.images, real.condition, "real", True), passes(fake.images, fake.condition, "fake", True)

        return judged(unrolling(lambda tensors: self.loss.of_discriminator(*judged(tensors)).mean(), parameters))

    def _loss(self, step: Step, due: Penalties, own_step: bool) -> Tensor:
        """Return the adversarial loss, but for an `own_step`, plus weighted penalties; log all."""
        loss: Any = 0.0 if own_step else self._adversarial_loss(step)
        for name, regularizer in due:
            with self.forward.full_precision() if regularizer.full_precision else nullcontext():
                penalty = regularizer.penalty(step).mean()
            every = regularizer.every  # a lazy one replaces those it skips
            loss = loss + self._weighted(name, regularizer.weight, penalty, step.progress, every)
        return loss

    def _adversarial_loss(self, step: Step) -> Tensor:
        """Return the reduced adversarial loss, and log it with the logits."""
        fake_logits, reals = step.fake.out.logits, step.real.out  # type: ignore[union-attr]
        if step.player == "discriminator":
            assert reals is not None
            self._log("logits/real", reals.logits)
            self._log("logits/fake", fake_logits)
            if self.log is not None and self.log.measuring and len(step.fake.images) > 1:
                self._log("samples/spread", relative_spread(step.fake.images.detach(), step.real.images.detach()))
            losses = self.loss.of_discriminator(step.real, step.fake)
        elif self.unrolling is not None and self.unrolling.descends == "value":
            losses = -self.loss.of_discriminator(step.real, step.fake)
        else:
            losses = self.loss.of_generator(step.fake, step.real)
        if losses.shape != fake_logits.shape:
            raise UserError(
                f"{type(self.loss).__name__}.{step.player} returned a loss of shape {tuple(losses.shape)} for logits "
                f"of shape {tuple(fake_logits.shape)}: return one loss for each logit, unreduced"
            )
        loss = self.reduction(mean_logits(losses), step)
        if loss.dim():
            returned = f"{type(self.reduction).__name__} returned losses of shape {tuple(loss.shape)}"
            raise UserError(f"{returned}: a reduction returns a scalar")
        self._log(f"loss/{step.player}", loss)
        return loss

    def _weighted(self, name: str, weight: Number, penalty: Tensor, progress: Progress, every: int = 1) -> Tensor:
        """Return weight * every * penalty; log the penalty, and the weight of a ramp."""
        self._log(f"loss/{name}", penalty)
        value = value_at(weight, progress.images_seen)
        if isinstance(value, Tensor):
            self._log(f"weight/{name}", value)
            value = value.to(penalty.dtype)
        return value * every * penalty

    def collect(self, step: Step, due: Penalties, own_step: bool = False) -> None:
        """Update the components' statistics from a micro-batch; in an `own_step`, of its penalties."""
        for _, regularizer in due:
            regularizer.update(step)
        if step.player == "discriminator" and not own_step:
            for augmentation in self.augmentations.values():
                augmentation.update(step)

    def _log(self, name: str, value: Tensor) -> None:
        if self.log is not None:
            self.log.add(name, value)


class Passes:
    """The discriminator's augmented passes of one micro-batch, each with random numbers of its own.

    replaced: parameters and buffers in place of D's own, by name.
    """

    def __init__(self, objective: Objective, context: AugmentationInput):
        self._objective, self._context = objective, context
        self._calls: dict[SideName, int] = {}  # the number of the first pass on each side
        self.replaced: Tensors = {}

    def __call__(self, images: Tensor, condition: Any, side: SideName, repeat: bool = False) -> Side:
        """Return the images with D's output; with `repeat`, by the random numbers of the first pass on that side."""
        objective = self._objective
        first = self._calls.setdefault(side, objective.calls)
        call = first if repeat else objective.calls
        objective.calls = max(objective.calls, call + 1)
        shown, condition, info = self._augment(images, condition, side, call)
        with objective.forward.replacing(self.replaced):
            return Side(images, condition, objective.discriminate(shown, condition, **info))

    def _augment(self, images: Tensor, condition: Any, side: SideName, call: int) -> Augmented:
        info: dict[str, Tensor] = {}
        for augmentation in self._objective.augmentations.values():
            returned = augmentation(images, side, self._context._replace(call=call, condition=condition))
            augmented = returned if isinstance(returned, Augmented) else Augmented(returned, condition)
            if augmented.images.shape != images.shape:
                raise UserError(
                    f"{type(augmentation).__name__} turned images of shape {tuple(images.shape)} into "
                    f"{tuple(augmented.images.shape)}: an augmentation returns as many images of the same shape"
                )
            images, condition = augmented.images, augmented.condition
            info |= augmented.info
        return Augmented(images, condition, info)
