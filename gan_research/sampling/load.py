"""Samplers of trained generators, from a path, W&B or the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_research.checkpoints.io import MARK, batch_size_of, open_checkpoint, weights_of
from gan_research.sampling.averages import require_ema, sampled_weights
from gan_research.sampling.export import is_export, make_discriminator, make_sampler, read_config, read_weights
from gan_research.sampling.sampler import Sampler
from gan_research.utils.artifacts import local
from gan_research.utils.errors import UserError
from gan_research.utils.reading import reading


def load(
    path: str | Path,
    raw: bool = False,
    allow: Sequence[str] = (),
    ema: float | None = None,
    discriminator: bool = False,
) -> Sampler:
    """Load a sampler from a checkpoint, a run's folder or an export: `load(path).sample(64, seed=0)`.

    path: also wandb://ENTITY/PROJECT/NAME:ALIAS of W&B, or hf://USER/NAME of the Hugging Face Hub (hf://USER/NAME@REVISION
    is a branch, tag or commit), which are downloaded.
    raw: the generator itself instead of its average.
    allow: modules, in addition to the project's own, whose generators and priors may be built.
    ema: the profile of an average of power functions, kept or reconstructed from snapshots, instead of the first one.
    discriminator: load that of the same checkpoint too, as `sampler.discriminator`, for `Sampler.selecting`. It has no
        average.
    """
    require_ema(ema, raw)
    path = local(path, whole=raw or discriminator or ema is not None)
    if is_export(path):
        config = read_config(path)
        if raw and config["averaged"]:
            raise UserError(f"{path} has only the generator's average: export the generator itself with --raw")
        if ema is not None and ema != config.get("profile"):
            raise UserError(f"{path} has one average only: export another one of the run with --ema {ema:g}")
        if discriminator and "discriminator.safetensors" not in config["files"]:
            raise UserError(f"{path} has no discriminator: export it, too, with gan export ... --discriminator")
        weights = read_weights(path, "generator", config)
        opponent = read_weights(path, "discriminator", config) if discriminator else None
        return _sampler(path, config, weights, opponent, config.get("batch_size"), allow)
    found, checkpoint = open_checkpoint(path)
    game, weights = checkpoint[MARK], sampled_weights(found, checkpoint, raw, ema, allow)
    opponent = weights_of(checkpoint, "discriminator") if discriminator else None
    described = game | {"config": checkpoint.get("config")}
    return _sampler(found, described, weights, opponent, batch_size_of(game), allow)


def _sampler(
    path: Path,
    game: dict[str, Any],
    weights: dict[str, Tensor],
    opponent: dict[str, Tensor] | None,
    batch_size: int | None,
    allow: Sequence[str],
) -> Sampler:
    """Build the sampler of a game, with the discriminator of these weights, if any."""
    with reading(path):
        sampler = make_sampler(game, weights, allow)
        sampler.batch_size = batch_size
        sampler.discriminator = None if opponent is None else make_discriminator(game, opponent, allow)
    return sampler
