"""The losses that the players minimize in an update."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import partial
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
from gan_research.training.reduction import LatentRefinement, Mean, Reduction
from gan_research.training.schedule import Update
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import value_at
from gan_research.utils.rng import Noise

Penalties = list[tuple[str, Regularizer]]

OF_SIDE: Any = object()
"""The condition of the images' own side."""


def parameters_of(networks: Mapping[Player, nn.Module]) -> dict[Player, list[nn.Parameter]]:
    """Return the parameters of each player: its network's, where parts of D's head may be trained by the generator."""
    head = getattr(networks["discriminator"], "head", None)
    shared = [p for name in getattr(head, "trained_by_generator", ()) for p in getattr(head, name).parameters()]
    ids = {id(p) for p in shared}
    return {
        "discriminator": [p for p in networks["discriminator"].parameters() if id(p) not in ids],
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
        fake_labels: FakeLabels | None = None,
        log: LossLog | None = None,
    ):
        self.forward, self.networks, self.loss, self.prior = forward, networks, loss, prior
        self.regularizers, self.augmentations = dict(regularizers), dict(augmentations or {})
        self.reduction, self.refinement, self.log = reduction or Mean(), refinement, log
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
        self.parameters = parameters_of(networks)
        """The parameters that each player's optimizer updates."""
        self._frozen: dict[Player, list[nn.Parameter]] = {
            p: [] if self.crosses_players[p] else self.parameters[OPPONENT[p]] for p in PLAYERS
        }  # the parameters without gradient while a player's loss is computed and differentiated
        self._calls = 0

    def generate(self, latents: Tensor, condition: Any) -> Tensor:
        """Return fakes (N, C, H, W), or points (N, dim), from latents (N, latent_dim)."""
        return self.forward.generate(latents, condition)

    def discriminate(self, images: Tensor, condition: Any, **info: Tensor) -> DOutput:
        """Return the discriminator's output for images (N, C, H, W), or points (N, dim).

        info: further arguments of the discriminator, from augmentations.
        """
        return self.forward.discriminate(images, condition, **info)

    def losses(
        self, players: Update, minibatch: Minibatch, noise: Noise, updates: Mapping[Player, int], progress: Progress
    ) -> Iterator[tuple[Player, Tensor]]:
        """Yield (player, loss) for each of `players`, on the same fakes.

        Call backward before the next one: until then, the other player's parameters are frozen, unless a penalty
        crosses players.

        updates: optimizer steps of each player so far, which determine the penalties that are due.
        """
        self._calls = 0
        condition = self.fake_labels(minibatch.labels, noise)
        latents = noise.sample("latents", self.prior.sample)
        if self.refinement is not None:
            score = lambda z: self.discriminate(self.generate(z, condition), condition).logits  # noqa: E731
            latents = self.refinement(latents, score, noise, self._log)
        with nullcontext() if "generator" in players else torch.no_grad():
            fakes = self.generate(latents, condition)
        for player in players:
            with frozen(self._frozen[player]):
                due = self.due(player, updates[player])
                step = self._step(player, due, minibatch, Side(fakes, condition, None), latents, noise, progress)
                loss = self._loss(step, due)
                self.collect(step, due)
                yield player, loss

    def due(self, player: Player, update: int) -> Penalties:
        """Return the regularizers that penalize the player's update of this number, counted from 0."""
        return [(name, r) for name, r in self.penalties[player] if r.due(update)]

    def after_step(self, player: Player) -> None:
        """Call `after_step` of regularizers and augmentations after an optimizer step of `player`."""
        for regularizer in self.regularizers.values():
            regularizer.after_step(player, self.networks[player])
        for augmentation in self.augmentations.values():
            augmentation.after_step(player)

    def _step(
        self,
        player: Player,
        due: Penalties,
        minibatch: Minibatch,
        fake: Side,
        latents: Tensor,
        noise: Noise,
        progress: Progress,
    ) -> Step:
        """Run the discriminator on both sides, and return the components' view of the update."""
        reals, (fakes, fake_condition, _) = minibatch.images.detach(), fake
        context = partial(
            AugmentationInput, noise, fakes=fakes.detach(), progress=progress, fake_condition=fake_condition
        )

        def judged(images: Tensor, condition: Any, side: SideName) -> Side:
            shown, condition, info = self._augment(images, condition, side, context)
            return Side(images, condition, self.discriminate(shown, condition, **info))

        def D(images: Tensor, condition: Any = OF_SIDE, side: SideName = "view") -> DOutput:
            if condition is OF_SIDE:
                condition = fake_condition if side == "fake" else minibatch.labels
            out = judged(images, condition, side).out
            assert out is not None
            return out

        real = Side(reals, minibatch.labels, None)
        if player == "discriminator":
            differentiated = {s for _, r in due for s in r.needs_input_grad if not self.forward.reduced_precision}
            reals = reals.requires_grad_("real" in differentiated)
            fakes = fakes.detach().requires_grad_("fake" in differentiated)
            with self.forward.double_backward("real" in differentiated):
                real = judged(reals, minibatch.labels, "real")
            with self.forward.double_backward("fake" in differentiated):
                fake = judged(fakes, fake_condition, "fake")
        else:
            if self.loss.needs_real or any(r.needs_real_output for _, r in due):
                with torch.no_grad():
                    real = judged(reals, minibatch.labels, "real")
            fake = judged(fakes, fake_condition, "fake")
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
        )

    def _loss(self, step: Step, due: Penalties) -> Tensor:
        """Return the reduced adversarial loss plus the weighted penalties, and log all of them."""
        fake_logits, reals = step.fake.out.logits, step.real.out  # type: ignore[union-attr]
        if step.player == "discriminator":
            assert reals is not None
            self._log("logits/real", reals.logits)
            self._log("logits/fake", fake_logits)
            if self.log is not None and self.log.measuring and len(step.fake.images) > 1:
                self._log("samples/spread", relative_spread(step.fake.images.detach(), step.real.images.detach()))
            losses = self.loss.of_discriminator(step.real, step.fake)
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
        for name, regularizer in due:
            with self.forward.full_precision() if regularizer.full_precision else nullcontext():
                penalty = regularizer.penalty(step).mean()
            self._log(f"loss/{name}", penalty)
            weight = value_at(regularizer.weight, step.progress.images_seen)
            if isinstance(weight, Tensor):
                self._log(f"weight/{name}", weight)
                weight = weight.to(penalty.dtype)
            loss = loss + weight * regularizer.every * penalty  # a lazy one replaces those it skips
        return loss

    def collect(self, step: Step, due: Penalties) -> None:
        """Update the components' statistics from a micro-batch."""
        for _, regularizer in due:
            regularizer.update(step)
        if step.player == "discriminator":
            for augmentation in self.augmentations.values():
                augmentation.update(step)

    def _augment(self, images: Tensor, condition: Any, side: SideName, context: Any) -> Augmented:
        info: dict[str, Tensor] = {}
        for augmentation in self.augmentations.values():
            returned = augmentation(images, side, context(self._calls, condition=condition))
            augmented = returned if isinstance(returned, Augmented) else Augmented(returned, condition)
            if augmented.images.shape != images.shape:
                raise UserError(
                    f"{type(augmentation).__name__} turned images of shape {tuple(images.shape)} into "
                    f"{tuple(augmented.images.shape)}: an augmentation returns as many images of the same shape"
                )
            images, condition = augmented.images, augmented.condition
            info |= augmented.info
        self._calls += 1
        return Augmented(images, condition, info)

    def _log(self, name: str, value: Tensor) -> None:
        if self.log is not None:
            self.log.add(name, value)
