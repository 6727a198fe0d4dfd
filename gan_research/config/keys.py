"""The top-level keys of a config, and what each is for: every list of keys in the package is made from this table."""

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["game", "measurement", "bookkeeping", "place", "sweep"]
"""game: what is trained. measurement: how it is measured, for how long it is trained. bookkeeping: what is logged and
kept, and on which devices it runs, without an effect on any number. place: where a run is, and what it is called.
sweep: settings of several runs, apart from their own configs."""


@dataclass(frozen=True)
class Key:
    """A top-level key. several: any number of choices, by name. of_gan: an argument of `GAN`.

    named: one choice, or several by name.
    base: the base class of its components. partial: they are factories. players: it has one for each player.
    """

    role: Role
    base: str | None = None
    several: bool = False
    named: bool = False
    of_gan: bool = False
    partial: bool = False
    players: bool = False


KEYS: dict[str, Key] = {
    "data": Key("game", "gan_research.data.Data"),
    "generator": Key("game", "gan_research.networks.Generator"),
    "discriminator": Key("game", "gan_research.networks.Discriminator"),
    "head": Key("game", "gan_research.networks.heads.Head", partial=True),
    "loss": Key("game", "gan_research.losses.AdversarialLoss"),
    "augment": Key("game", "gan_research.augmentations.Augmentation", several=True),
    "regularizer": Key("game", "gan_research.regularizers.Regularizer", several=True),
    "reduction": Key("game", "gan_research.training.reduction.Reduction"),
    "refinement": Key("game", "gan_research.training.refinement.LatentRefinement"),
    "unrolling": Key("game", "gan_research.training.unrolling.Unrolling"),
    "schedule": Key("game", "gan_research.training.schedule.Schedule"),
    "prior": Key("game", "gan_research.sampling.priors.Prior"),
    "optimizer": Key("game", "torch.optim.Optimizer", partial=True, players=True),
    "lr_schedule": Key("game", "torch.optim.lr_scheduler.LRScheduler", partial=True, players=True),
    "ema": Key("game", "gan_research.training.ema.WeightAverage"),
    "variant": Key("game"),
    "batch_size": Key("game"),
    "accumulation": Key("game", of_gan=True),
    "conditional": Key("game"),
    "precision": Key("game", of_gan=True),
    "compile": Key("game", of_gan=True),  # rounding differs
    "channels_last": Key("game", of_gan=True),  # rounding differs
    "max_gradient_norm": Key("game", of_gan=True),
    "sync_batch_norm": Key("game", of_gan=True),
    "init": Key("game"),  # absent if null, as in the configs of earlier versions
    "freeze_discriminator": Key("game", of_gan=True),  # absent if 0
    "seed": Key("game", of_gan=True),
    "rounds": Key("measurement", of_gan=True),  # more of them continue the same game
    "metrics": Key("measurement", "gan_research.metrics.Evaluation", named=True),
    "sampler": Key("measurement", "gan_research.sampling.selection.Selection"),  # absent if none
    "cuda_graphs": Key("bookkeeping", of_gan=True),  # bit-equal to eager
    "log_every": Key("bookkeeping", of_gan=True),
    "sample_every": Key("bookkeeping"),
    "evaluate_every": Key("bookkeeping"),
    "checkpoint_every": Key("bookkeeping"),
    "keep_every": Key("bookkeeping"),
    "best": Key("bookkeeping"),
    "progress_seconds": Key("bookkeeping"),
    "analysis": Key("bookkeeping", "gan_research.theory.analysis.Analysis", several=True),
    "health": Key("bookkeeping", "gan_research.callbacks.Health"),
    "trainer": Key("bookkeeping", "pytorch_lightning.Trainer"),  # several devices train what one would
    "launcher": Key("place", "gan_research.launchers.base.Launcher"),
    "logger": Key("place", "pytorch_lightning.loggers.Logger", several=True),
    "output": Key("place"),
    "name": Key("place"),
    "tags": Key("place"),
    "sweep": Key("sweep", "gan_research.sweeps.search.Search"),
    "objective": Key("sweep"),
    "pool": Key("sweep", "gan_research.sweeps.pool.Pool"),
}


def keys_of(*roles: Role) -> tuple[str, ...]:
    """Return the keys of these roles, in the order of the table."""
    return tuple(name for name, key in KEYS.items() if key.role in roles)


def parts(key: str, value: Any) -> dict[str, Any]:
    """Return the components of a key by their names; "" is the name of a single one."""
    how = KEYS[key]
    by_name = how.several or how.players or (how.named and "_target_" not in (value or {}))
    return (value or {}) if by_name else {"": value}


def evaluations(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the nodes of a config's evaluations by name, each with the run's sampler."""
    sampler = {"sampler": config["sampler"]} if config.get("sampler") else {}
    return {name: sampler | node for name, node in parts("metrics", config.get("metrics")).items() if node}


def is_interval(setting: str) -> bool:
    """Return whether a setting is the interval of an evaluation: bookkeeping, among those of a measurement."""
    return setting.startswith("metrics.") and setting.endswith(".every")


def without_intervals(metrics: Any) -> Any:
    """Return the node of `metrics` without the intervals of its evaluations."""
    if not isinstance(metrics, dict):
        return metrics
    return {name: without_intervals(value) for name, value in metrics.items() if name != "every"}


GAME = keys_of("game")  # the keys that may not differ when a run is resumed

GROUPED = tuple(key for key in keys_of("game", "measurement") if key != "seed")
"""The keys in which runs of one group agree: they differ in seed, bookkeeping and place only."""

DATA_PLACES = ("root", "path", "heldout_path")
"""The settings of `data` that are paths: they may differ when a run is resumed, if the content is the same."""

PLACES = keys_of("place")  # the keys that may differ between runs of one reproduction

OF_SWEEPS = keys_of("sweep")  # the keys of a sweep, which its runs don't have

SEVERAL = tuple(name for name, key in KEYS.items() if key.several)  # the groups that accept any number of choices

OF_GAN = tuple(name for name, key in KEYS.items() if key.of_gan)
"""The keys that are arguments of `GAN` by the same name."""
