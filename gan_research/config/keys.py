"""The top-level keys of a config, and what each is for: every list of keys in the package is made from this table."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["game", "measurement", "bookkeeping", "place", "sweep"]
"""game: what is trained. measurement: how it is measured, for how long it is trained. bookkeeping: what is logged and
kept, and on which devices it runs, without an effect on any number. place: where a run is, and what it is called.
sweep: settings of several runs, apart from their own configs."""


@dataclass(frozen=True)
class Key:
    """A top-level key. several: any number of choices. of_gan: an argument of `GAN`."""

    role: Role
    several: bool = False
    of_gan: bool = False


KEYS: dict[str, Key] = {
    "data": Key("game"),
    "generator": Key("game"),
    "discriminator": Key("game"),
    "head": Key("game"),
    "loss": Key("game"),
    "augment": Key("game", several=True),
    "regularizer": Key("game", several=True),
    "reduction": Key("game"),
    "refinement": Key("game"),
    "schedule": Key("game"),
    "prior": Key("game"),
    "optimizer": Key("game"),
    "lr_schedule": Key("game"),
    "ema": Key("game"),
    "batch_size": Key("game"),
    "accumulation": Key("game", of_gan=True),
    "conditional": Key("game"),
    "precision": Key("game", of_gan=True),
    "compile": Key("game", of_gan=True),  # rounding differs
    "max_gradient_norm": Key("game", of_gan=True),
    "sync_batch_norm": Key("game", of_gan=True),
    "seed": Key("game", of_gan=True),
    "rounds": Key("measurement", of_gan=True),  # more of them continue the same game
    "metrics": Key("measurement"),
    "cuda_graphs": Key("bookkeeping", of_gan=True),  # bit-equal to eager
    "log_every": Key("bookkeeping", of_gan=True),
    "sample_every": Key("bookkeeping"),
    "evaluate_every": Key("bookkeeping"),
    "checkpoint_every": Key("bookkeeping"),
    "keep_every": Key("bookkeeping"),
    "best": Key("bookkeeping"),
    "analysis": Key("bookkeeping", several=True),
    "health": Key("bookkeeping"),
    "trainer": Key("bookkeeping"),  # several devices train what one would
    "launcher": Key("place"),
    "logger": Key("place", several=True),
    "output": Key("place"),
    "name": Key("place"),
    "tags": Key("place"),
    "sweep": Key("sweep"),
    "objective": Key("sweep"),
    "pool": Key("sweep"),
}


def keys_of(*roles: Role) -> tuple[str, ...]:
    """Return the keys of these roles, in the order of the table."""
    return tuple(name for name, key in KEYS.items() if key.role in roles)


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
