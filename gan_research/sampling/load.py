"""Samplers of trained generators, from a checkpoint, a run's folder, an export, or W&B."""

from collections.abc import Sequence
from pathlib import Path

from gan_research.checkpoints.io import MARK, batch_size_of, open_checkpoint
from gan_research.sampling.averages import require_ema, sampled_weights
from gan_research.sampling.export import is_export, make_sampler, read_config, read_weights
from gan_research.sampling.sampler import Sampler
from gan_research.utils.artifacts import local
from gan_research.utils.errors import UserError
from gan_research.utils.reading import reading


def load(path: str | Path, raw: bool = False, allow: Sequence[str] = (), ema: float | None = None) -> Sampler:
    """Load a sampler from a checkpoint, a run's folder, an export or W&B: `load(path).sample(64, seed=0)`.

    path: also wandb://ENTITY/PROJECT/NAME:ALIAS, which is downloaded.
    raw: the generator itself instead of its average.
    allow: modules, in addition to the project's own, whose generators and priors may be built.
    ema: the profile of an average of power functions, kept or reconstructed from snapshots, instead of the first one.
    """
    require_ema(ema, raw)
    path = local(path, whole=raw or ema is not None)
    if is_export(path):
        config = read_config(path)
        if raw and config["averaged"]:
            raise UserError(f"{path} has only the generator's average: export the generator itself with --raw")
        if ema is not None and ema != config.get("profile"):
            raise UserError(f"{path} has one average only: export another one of the run with --ema {ema:g}")
        weights = read_weights(path, "generator", config)
        with reading(path):
            sampler = make_sampler(config, weights, allow)
        sampler.batch_size = config.get("batch_size")
        return sampler
    found, checkpoint = open_checkpoint(path)
    game, weights = checkpoint[MARK], sampled_weights(found, checkpoint, raw, ema, allow)
    with reading(found):
        sampler = make_sampler(game, weights, allow)
    sampler.batch_size = batch_size_of(game)
    return sampler
