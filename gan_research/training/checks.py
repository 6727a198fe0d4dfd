"""Checks of a game's components before training."""

import logging
from collections.abc import Mapping
from inspect import isabstract
from typing import TYPE_CHECKING, Any

from torch import nn

from gan_research.augmentations import Augmentation
from gan_research.losses import AdversarialLoss
from gan_research.networks import Discriminator, Generator
from gan_research.networks.heads import Head
from gan_research.regularizers import Regularizer
from gan_research.sampling.priors import Prior
from gan_research.training.cuda_graphs import check_cuda_graphs
from gan_research.training.precision import require_precision
from gan_research.training.reduction import Reduction
from gan_research.training.refinement import LatentRefinement
from gan_research.training.unrolling import Unrolling
from gan_research.utils.errors import UserError

if TYPE_CHECKING:
    from gan_research.training.objective import Objective

log = logging.getLogger(__name__)

CONTRACTS: dict[str, tuple[type, str]] = {
    "generator": (Generator, "implement generate(latents, labels) -> images"),
    "discriminator": (Discriminator, "implement features(images) -> (N, F), and set head"),
    "head": (Head, "implement forward(features, labels) -> logits (N,)"),
    "loss": (AdversarialLoss, "implement discriminator(real_logits, fake_logits) and generator(fake_logits) -> (N,)"),
    "prior": (Prior, "implement sample(n, generator) -> latents (n, latent_dim)"),
    "regularizer": (Regularizer, "implement penalty(step) -> (N,)"),
    "augment": (Augmentation, "implement forward(images, side, context) -> images"),
    "reduction": (Reduction, "implement __call__(losses, step) -> scalar"),
    "refinement": (LatentRefinement, "implement __call__(latents, score, prior, noise, log) -> latents"),
    "unrolling": (Unrolling, "implement __call__(loss, parameters) -> parameters"),
}  # config key -> base class of its components, and the methods that a subclass implements


def require_contract(key: str, component: Any) -> None:
    """Raise a UserError unless an object or class subclasses the base class of its key."""
    base, how = CONTRACTS[key.partition(".")[0]]
    cls = component if isinstance(component, type) else type(component)
    if not issubclass(cls, base):
        article = "an" if base.__name__[0] in "AEIO" else "a"
        raise UserError(
            f"{key}: {cls.__module__}.{cls.__qualname__} is not {article} {base.__name__}: subclass "
            f"{base.__module__}.{base.__qualname__}, and {how}"
        )


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise a UserError for the first invalid argument of `GAN`."""
    components = {key: arguments[key] for key in ("generator", "discriminator", "loss", "prior")}
    optional = ("reduction", "refinement", "unrolling")
    components |= {key: arguments[key] for key in optional if arguments[key] is not None}
    components |= {f"regularizer.{name}": r for name, r in (arguments["regularizers"] or {}).items()}
    components |= {f"augment.{name}": a for name, a in (arguments["augmentations"] or {}).items()}
    for key, component in components.items():
        require_contract(key, component)
    require_precision(arguments["precision"])
    if (norm := arguments["max_gradient_norm"]) is not None and not norm > 0:
        raise UserError(f"max_gradient_norm={norm}: give a positive one, or null")
    if (accumulation := arguments["accumulation"]) < 1:
        raise UserError(f"accumulation={accumulation}: give at least 1")
    if arguments["cuda_graphs"]:
        check_cuda_graphs(arguments["precision"], arguments["compile"], accumulation)
    g, d, prior = arguments["generator"], arguments["discriminator"], arguments["prior"]
    if g.samples.shape != d.samples.shape or d.num_classes not in (0, g.num_classes):
        raise UserError(
            f"the networks don't fit: the generator makes samples of shape {g.samples.shape} in {g.num_classes} "
            f"classes, the discriminator takes {d.samples.shape} in {d.num_classes}"
        )
    if g.latent_dim != prior.latent_dim:
        raise UserError(f"the generator takes latents of {g.latent_dim}, the prior gives {prior.latent_dim}")


def check_objective(objective: "Objective", fakes_per_real: int, accumulation: int) -> None:
    """Raise a UserError if the components of an objective are incompatible."""
    loss = objective.loss
    if loss.needs_real and fakes_per_real > 1:
        raise UserError(
            f"{type(loss).__name__} compares each fake with a real sample, and "
            f"schedule.generator_batch_multiple={fakes_per_real} generates more fakes: set it to 1"
        )
    if accumulation > 1:
        components = [loss, objective.reduction, objective.unrolling, *objective.regularizers.values()]
        if coupling := [type(c).__name__ for c in components if c is not None and c.couples_batch]:
            raise UserError(
                f"{coupling[0]} needs the whole minibatch, which accumulation={accumulation} splits: set "
                "accumulation=1, on more devices if necessary"
            )
    if (source := objective.fake_labels.source) != "paired":
        if not objective.fake_labels.num_classes:
            raise UserError(f"schedule.fake_labels={source} needs classes: set conditional=true, or fake_labels=paired")
        if loss.needs_real:
            log.warning(
                "schedule.fake_labels=%s: %s compares each fake with a real of another class: set fake_labels=paired",
                source,
                type(loss).__name__,
            )
    check_extras(objective.networks["discriminator"], {"loss": loss, **objective.regularizers})
    check_info(objective.networks["discriminator"], objective.augmentations)
    check_codes(objective.prior, getattr(objective.networks["discriminator"], "head", None))
    for component in (
        objective.refinement,
        objective.unrolling,
        *objective.regularizers.values(),
        *objective.augmentations.values(),
    ):
        if component is not None:
            component.check(objective)


def check_info(discriminator: nn.Module, augmentations: Mapping[str, Augmentation]) -> None:
    """Raise a UserError if an augmentation provides D with an argument that it doesn't accept."""
    accepted = getattr(discriminator, "accepts", ())
    for name, augmentation in augmentations.items():
        if unknown := [info for info in augmentation.provides if info not in accepted]:
            raise UserError(
                f"augment {name} ({type(augmentation).__name__}) gives the discriminator '{unknown[0]}', and "
                f"{type(discriminator).__name__} accepts {', '.join(accepted) or 'nothing'}: choose another"
            )


def check_extras(discriminator: nn.Module, components: Mapping[str, Regularizer | AdversarialLoss]) -> None:
    """Raise a UserError if an extra of D's head is unused or missing.

    components: the loss, and regularizers by name.
    """
    head = getattr(discriminator, "head", None)
    provided = getattr(head, "provides", ())
    for name, component in components.items():
        if missing := [extra for extra in component.needs_extras if extra not in provided]:
            raise UserError(
                f"{name} ({type(component).__name__}) needs a discriminator whose head provides "
                f"'{missing[0]}', and {type(head or discriminator).__name__} provides "
                f"{', '.join(provided) or 'no extras'}: choose head={ours('provides', missing[0], Head)}"
            )
    used = {extra for component in components.values() for extra in component.needs_extras}
    if unused := [extra for extra in provided if extra not in used]:
        raise UserError(
            f"{type(head).__name__} provides '{unused[0]}', and no regularizer or loss uses it: add one with it in "
            f"needs_extras{ours('needs_extras', unused[0], Regularizer, AdversarialLoss)}, or choose another head="
        )


def ours(attribute: str, extra: str, *bases: type) -> str:
    """Return " (A, B)", the package's classes with an extra in an attribute; "" if there are none."""
    found, below = [], list(bases)
    while below:
        cls = below.pop()
        below += cls.__subclasses__()
        if cls.__module__.startswith("gan_research.") and extra in getattr(cls, attribute) and not isabstract(cls):
            found.append(cls.__name__)
    return f" ({', '.join(sorted(found))})" if found else ""


def check_codes(prior: Prior, head: Head | None) -> None:
    """Raise a UserError if the latents have codes that no part of D's head infers."""
    if hasattr(prior, "codes") and not getattr(head, "trained_by_generator", ()):
        raise UserError(
            f"{type(prior).__name__} has codes, which {type(head).__name__} doesn't infer: set head=infogan and "
            "regularizer=[mutual_information], of weight 0 for a control, or choose another prior="
        )


def check_sharding(gan: Any) -> None:
    """Raise a UserError if a game can't be trained with sharded networks."""
    objective, parameters = gan.objective, [*gan.generator.parameters(), *gan.discriminator.parameters()]
    refinement = objective.refinement
    reasons = {
        "compile=true": (gan.compiled, "it isn't tested with sharded networks"),
        "cuda_graphs=true": (gan.cuda_graphs, "weights are gathered outside of the graph"),
        "precision=fp16": (gan.precision == "fp16", "each rank would skip other steps: set bf16"),
        "channels_last=true": (not all(p.is_contiguous() for p in parameters), "shards are contiguous"),
        "unrolling": (objective.unrolling is not None, "its steps of D are functions of whole weights"),
        "refinement": (refinement is not None and refinement.differentiable, "it differentiates through both networks"),
        "ema.buffers=recompute": (gan.ema is not None and gan.ema.buffers == "recompute", "it copies the network"),
    }
    penalties = {f"regularizer {name}": r for name, r in objective.regularizers.items()}
    reasons |= {key: (r.reads_weights, "it reads weights outside of forward passes") for key, r in penalties.items()}
    for key, (used, reason) in reasons.items():
        if used:
            raise UserError(f"trainer=fsdp doesn't go with {key}: {reason}; take trainer=ddp or ddp_zero")


def check_trainer_precision(precision: Any) -> None:
    """Raise a UserError if mixed precision is set in the Trainer instead of the game."""
    if precision != "32-true":
        raise UserError(
            f"trainer.precision={precision} would reuse weights cached before a step: remove it, and set precision=bf16"
        )
