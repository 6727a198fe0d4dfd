"""Samplers of trained generators, from a checkpoint, a run's folder, an export, or W&B."""

from collections.abc import Sequence
from pathlib import Path

from gan_research.checkpoints.io import MARK, open_checkpoint, weights_of
from gan_research.sampling.export import is_export, make_sampler, read_config, read_weights
from gan_research.sampling.sampler import Sampler
from gan_research.utils.artifacts import local
from gan_research.utils.errors import UserError
from gan_research.utils.reading import reading


def load(path: str | Path, raw: bool = False, allow: Sequence[str] = ()) -> Sampler:
    """Load a sampler from a checkpoint, a run's folder, an export or W&B: `load(path).sample(64, seed=0)`.

    path: also wandb://ENTITY/PROJECT/NAME:ALIAS, which is downloaded.
    raw: the generator itself instead of its average.
    allow: modules, in addition to the project's own, whose generators and priors may be built.
    """
    path = local(path, whole=raw)
    if is_export(path):
        config = read_config(path)
        if raw and config["averaged"]:
            raise UserError(f"{path} has only the generator's average: export the generator itself with --raw")
        weights = read_weights(path, "generator", config)
        with reading(path):
            return make_sampler(config, weights, allow)
    found, checkpoint = open_checkpoint(path)
    game = checkpoint[MARK]
    weights = weights_of(checkpoint, "generator" if raw or not game["ema"] else "generator_ema")
    with reading(found):
        return make_sampler(game, weights, allow)
