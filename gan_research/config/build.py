"""The parts of a run, built from a checked config."""

import logging
import math
import os
import warnings
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning.plugins.environments import ClusterEnvironment, TorchElasticEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from gan_research.checkpoints.io import AtomicCheckpointIO
from gan_research.config.keys import OF_GAN
from gan_research.config.schema import INSTRUCTIONS, target_of
from gan_research.data import Data
from gan_research.data.layout import RoundLayout
from gan_research.distributed import raise_on_all_ranks, rank_and_world_size
from gan_research.distributed.strategies import averaging_strategy, refuse
from gan_research.metrics import Evaluation, Evaluations
from gan_research.training.checks import check_trainer_precision, require_contract
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.lightning_compat import skip_prepare_data
from gan_research.utils.memory import enough_memory
from gan_research.utils.renamed import renamed_targets
from gan_research.utils.rng import stream_seed

log = logging.getLogger(__name__)


def make(node: dict[str, Any] | None, **late: Any) -> Any:
    """Build the object of a config node with further arguments; return None if there is no node.

    `late` goes to the constructor as it is: Hydra's own keyword arguments would be copied, and instantiated, as config.
    Lists and mappings are plain ones: Hydra's own would end up in the checkpoint by way of the optimizers.
    """
    if not node:
        return None
    node = renamed_targets(node)
    if "_target_" not in node:
        raise UserError(f"a component with {', '.join(node)} has no _target_: name the class that it configures")
    if given := sorted(set(node) & set(late)):
        raise UserError(f"{node['_target_']} gets {', '.join(given)} from the other parts of the run: don't set it")
    try:
        made = instantiate(node | {"_partial_": True}, _convert_="all")
        return made if node.get("_partial_") else made(**late)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ArithmeticError | TypeError | ValueError):
            raise UserError(one_line(error)) from error
        raise


def component(node: dict[str, Any] | None, key: str, **late: Any) -> Any:
    """Build the component of config key `key`; UserError if it breaks the contract of that key."""
    if not node:
        return None
    kind = target_of(node, key)
    if isinstance(kind, type):
        require_contract(key, kind)
    given = {name: value for name, value in node.items() if name not in INSTRUCTIONS}
    try:
        signature(kind).bind_partial(**given | late)
    except TypeError as error:
        raise UserError(f"{key}: {node['_target_']} can't be built: {error}") from error
    with enough_memory(key, "make it smaller"):
        made = make(node, **late)
    if not isinstance(made, partial):
        require_contract(key, made)
    return made


def components(config: dict[str, Any], group: str) -> dict[str, Any]:
    """Build the components of a group with any number of choices, by name."""
    return {name: component(node, f"{group}.{name}") for name, node in (config.get(group) or {}).items()}


def build_data(config: dict[str, Any]) -> Data:
    """Build the data module and load its samples."""
    data = make(config["data"])
    with raise_on_all_ranks():
        if os.environ.get("LOCAL_RANK", "0") == "0":  # downloads happen once a host
            data.prepare_data()
    data.setup()
    return data


@enough_memory("the game", "take fewer steps in its schedule, or smaller networks")
def build_game(config: dict[str, Any], data: Data) -> GAN:
    """Build the GAN for the samples of `data`; the initial weights depend on the seed only."""
    layout = RoundLayout(accumulation=config["accumulation"], world_size=rank_and_world_size()[1])
    layout.check(config["batch_size"])
    samples = data.sample_spec if config["conditional"] else replace(data.sample_spec, num_classes=0)
    if config["conditional"] and not samples.num_classes:
        raise UserError(f"conditional=true needs classes, and {data.name} has none")
    if config["conditional"]:
        require_images_of_classes(data)
    torch.manual_seed(stream_seed(config["seed"], "initial weights"))
    prior = component(config["prior"], "prior")
    generator = component(config["generator"], "generator", latent_dim=prior.latent_dim, samples=samples)
    generator.prepare(data.mean)
    head = component(config.get("head"), "head")
    heads = {"head": head} if head else {}
    discriminator = component(config["discriminator"], "discriminator", samples=samples, **heads)
    gan = GAN(
        generator=generator,
        discriminator=discriminator,
        loss=component(config["loss"], "loss"),
        prior=prior,
        generator_optimizer=make(config["optimizer"]["generator"]),
        discriminator_optimizer=make(config["optimizer"]["discriminator"]),
        regularizers=components(config, "regularizer"),
        augmentations=components(config, "augment"),
        reduction=component(config.get("reduction"), "reduction"),
        refinement=component(config.get("refinement"), "refinement"),
        unrolling=component(config.get("unrolling"), "unrolling"),
        schedule=make(config["schedule"]),
        generator_lr_schedule=make(config["lr_schedule"]["generator"]),
        discriminator_lr_schedule=make(config["lr_schedule"]["discriminator"]),
        ema=make(config["ema"]),
        **{key: config[key] for key in OF_GAN if key in config},  # cuda_graphs is younger than some runs
    )
    layout.check(config["batch_size"], gan.discriminator.batch_multiple)
    for regularizer in gan.objective.regularizers.values():
        regularizer.check_batch(config["batch_size"] // layout.parts // gan.discriminator.packing)
    with enough_memory("a round of real samples", "lower batch_size, or schedule.discriminator_steps"):
        minibatches = gan.schedule.minibatches
        torch.empty(minibatches, config["batch_size"] // layout.parts, math.prod(samples.shape) + prior.latent_dim)
    gan.player_optimizers.check(gan.objective.parameters)
    return gan


def require_images_of_classes(data: Data) -> None:
    """Raise a UserError unless each class has training images: the generator samples all classes."""
    labels = data.train.labels
    found = set() if labels is None else set(labels.unique().tolist())
    if wrong := sorted(found ^ set(range(data.num_classes))):
        names = [str(data.classes[i]) if i < len(data.classes) else str(i) for i in wrong[:3]]
        raise UserError(
            f"{len(wrong)} of {data.num_classes} classes of {data.name} have no training image, or aren't declared "
            f"({', '.join(names)}): use more images, hold out fewer, or set conditional=false"
        )


def build_evaluation(config: dict[str, Any], optional: bool) -> Evaluation | Evaluations | None:
    """Build the evaluation, or several; if it is `optional` and has no weights, warn and return None."""
    node = config.get("metrics")
    if node and "_target_" not in node:
        return Evaluations({name: make(part) for name, part in node.items()})
    if not node or not optional:
        return make(node)
    try:
        extractor = make(node["extractor"])
    except UserError as error:
        log.warning("no metrics during training: %s", error)
        return None
    return make({key: value for key, value in node.items() if key != "extractor"}, extractor=extractor)


def build_trainer(node: dict[str, Any]) -> pl.Trainer:
    """Build the trainer of a config, without loggers and callbacks."""
    quieten_lightning()
    if isinstance(strategy := node.get("strategy", "auto"), str):
        refuse(strategy)
    if (precision := node.get("precision", "32-true")) not in (32, "32", "32-true"):
        check_trainer_precision(precision)
    try:
        trainer = make(
            node,
            max_epochs=-1,
            logger=False,
            plugins=[AtomicCheckpointIO(), *started_together()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        reason = one_line(error)
        advice = " Take trainer=cpu, or a host with a GPU that torch can use." if "gpu backend" in reason else ""
        raise UserError(f"trainer: {reason}{advice}") from error
    averaging_strategy(trainer.strategy)
    skip_prepare_data(trainer)  # build_data did it
    return trainer


def started_together() -> list[ClusterEnvironment]:
    """Return the cluster environment if gan train, torchrun or srun started several processes."""
    return [TorchElasticEnvironment()] if int(os.environ.get("WORLD_SIZE", "1")) > 1 else []


def quieten_lightning() -> None:
    """Suppress Lightning's log lines, and warnings about intended behaviour."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*dataloader is not resumable.*")  # it asks the game for its round
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # the averaged generator
    warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree", category=FutureWarning)
