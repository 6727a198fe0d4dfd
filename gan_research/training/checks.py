"""Checks of what a game is made of, before it begins: each error is one line that says what to do."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from gan_research.augmentations import Augmentation
from gan_research.losses import AdversarialLoss
from gan_research.networks import Discriminator, Generator
from gan_research.networks.heads import Head
from gan_research.regularizers import Regularizer
from gan_research.sampling.priors import Prior
from gan_research.training.cuda_graphs import require_capturable
from gan_research.training.precision import require_precision
from gan_research.training.reduction import LatentRefinement, Reduction
from gan_research.utils.errors import UserError

if TYPE_CHECKING:
    from gan_research.training.objective import Objective

CONTRACTS: dict[str, tuple[type, str]] = {
    "generator": (Generator, "implement generate(latents, labels) -> images"),
    "discriminator": (Discriminator, "implement features(images) -> (N, F), and set head"),
    "head": (Head, "implement forward(features, labels) -> logits (N,)"),
    "loss": (
        AdversarialLoss,
        "implement discriminator(real_logits, fake_logits) and generator(fake_logits), both (N,)",
    ),
    "prior": (Prior, "implement sample(n, generator) -> latents (n, latent_dim)"),
    "regularizer": (Regularizer, "implement penalty(step) -> (N,)"),
    "augment": (Augmentation, "implement forward(images, side, context) -> images"),
    "reduction": (Reduction, "implement __call__(losses, step) -> scalar"),
    "refinement": (LatentRefinement, "implement __call__(latents, score, noise, log) -> latents"),
}
"""Config key -> the class that its components subclass, and what a subclass has to do."""


def require_contract(key: str, component: Any) -> None:
    """Raise a UserError unless `component`, an object or its class, keeps the contract of config key `key`."""
    base, how = CONTRACTS[key.partition(".")[0]]
    kind = component if isinstance(component, type) else type(component)
    if not issubclass(kind, base):
        raise UserError(
            f"{key}: {kind.__module__}.{kind.__qualname__} is not {article(base)}: subclass "
            f"{base.__module__}.{base.__qualname__}, and {how}"
        )


def article(base: type) -> str:
    """Return the class's name with its indefinite article."""
    return f"{'an' if base.__name__[0] in 'AEIO' else 'a'} {base.__name__}"


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise a UserError for the first argument of `GAN` that can't be."""
    for key in ("generator", "discriminator", "loss", "prior"):
        require_contract(key, arguments[key])
    for key, group in (("regularizer", "regularizers"), ("augment", "augmentations")):
        for name, component in (arguments[group] or {}).items():
            require_contract(f"{key}.{name}", component)
    for key in ("reduction", "refinement"):
        if arguments[key] is not None:
            require_contract(key, arguments[key])
    require_precision(arguments["precision"])
    if (norm := arguments["max_gradient_norm"]) is not None and not norm > 0:
        raise UserError(f"max_gradient_norm={norm}: give a positive one, or null")
    if (accumulation := arguments["accumulation"]) < 1:
        raise UserError(f"accumulation={accumulation}: give at least 1")
    if arguments["cuda_graphs"]:
        require_capturable(arguments["precision"], arguments["compile"], accumulation)
    check_shapes(arguments["generator"], arguments["discriminator"], arguments["prior"])


def check_shapes(generator: Generator, discriminator: Discriminator, prior: Prior) -> None:
    """Raise a UserError unless the networks and the prior fit together."""
    g, d = generator, discriminator
    if (g.samples.shape, g.num_classes) != (d.samples.shape, d.num_classes):
        raise UserError(
            f"the networks don't fit: the generator makes samples of shape {g.samples.shape} in {g.num_classes} "
            f"classes, the discriminator takes {d.samples.shape} in {d.num_classes}"
        )
    if g.latent_dim != prior.latent_dim:
        raise UserError(f"the generator takes latents of {g.latent_dim}, the prior gives {prior.latent_dim}")


def check_objective(objective: "Objective", fakes_per_real: int, accumulation: int) -> None:
    """Raise a UserError if parts of an objective don't go together."""
    loss = objective.loss
    if loss.needs_real and fakes_per_real > 1:
        raise UserError(
            f"{type(loss).__name__} judges each fake against a real one, and "
            f"schedule.generator_batch_multiple={fakes_per_real} makes more fakes: set it to 1"
        )
    if accumulation > 1:
        couples = [type(r).__name__ for r in objective.regularizers.values() if r.couples_batch]
        if loss.couples_batch or couples:
            name = type(loss).__name__ if loss.couples_batch else couples[0]
            raise UserError(
                f"{name} needs the whole minibatch, which accumulation={accumulation} takes apart: set accumulation=1, "
                "on more devices if need be"
            )
    check_extras(objective.networks["discriminator"], objective.regularizers)
    for regularizer in objective.regularizers.values():
        regularizer.check(objective)


def check_extras(discriminator: nn.Module, regularizers: Mapping[str, Regularizer]) -> None:
    """Raise a UserError unless every extra of D's head is used, and every extra that is used is provided."""
    head = getattr(discriminator, "head", None)
    provided = getattr(head, "provides", ())
    for name, regularizer in regularizers.items():
        if missing := [extra for extra in regularizer.needs_extras if extra not in provided]:
            raise UserError(
                f"regularizer {name} ({type(regularizer).__name__}) needs a discriminator whose head provides "
                f"'{missing[0]}', and {type(head or discriminator).__name__} provides "
                f"{', '.join(provided) or 'no extras'}: choose head="
            )
    used = {extra for r in regularizers.values() for extra in r.needs_extras}
    if unused := [extra for extra in provided if extra not in used]:
        raise UserError(
            f"{type(head).__name__} provides '{unused[0]}', and no regularizer uses it: add one that needs_extras of "
            "that name, or choose another head="
        )


def refuse_precision(precision: Any) -> None:
    """Raise a UserError, with the reason, if the Trainer instead of the game would be in mixed precision."""
    if precision != "32-true":
        raise UserError(
            f"trainer.precision={precision} would serve weights from before a step: leave it out, and give "
            "precision=bf16 to the game"
        )
