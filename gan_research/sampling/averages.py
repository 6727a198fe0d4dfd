"""The weights that a checkpoint is sampled with, and averages that are reconstructed from snapshots."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_research.checkpoints.io import MARK, read_checkpoint, weights_of
from gan_research.sampling.export import make_sampler
from gan_research.utils.errors import UserError
from gan_research.utils.power_functions import coefficients, require_profile
from gan_research.utils.reading import reading
from gan_research.utils.run_folder import AVERAGES, by_round, require_own

TOLERANCE = 0.05  # the largest relative error of a reconstructed average's weights over time

NEGLIGIBLE = 1e-6  # the smallest coefficient for which a snapshot is read


def sampled_weights(
    path: Path, checkpoint: dict[str, Any], raw: bool = False, ema: float | None = None, allow: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Return the state dict of the generator of a checkpoint in `path`: of its average if it has one.

    raw: of the generator itself. ema: of the average with this profile, reconstructed if the run doesn't keep it; a
    UserError if that isn't possible.
    """
    game = checkpoint[MARK]
    if ema is None:
        return weights_of(checkpoint, "generator_ema" if game["ema"] and not raw else "generator")
    require_ema(ema, raw)
    kept, rows = combination(path, checkpoint, ema)
    if not rows:
        return weights_of(checkpoint, name_of(kept.index(ema)))
    with reading(path):
        return reconstructed(checkpoint, rows, allow)


def require_ema(ema: float | None, raw: bool) -> None:
    """Raise a UserError unless a profile is valid, and the generator itself isn't wanted."""
    if ema is not None:
        require_profile(ema, "--ema")
        if raw:
            raise UserError(f"--raw is the generator itself, and --ema {ema:g} an average of it: give one of them")


def name_of(index: int) -> str:
    """Return the name of an average in a checkpoint."""
    return f"further_averages.{index - 1}" if index else "generator_ema"


def combination(path: Path, checkpoint: dict[str, Any], ema: float) -> tuple[list[float], dict[Path, list[float]]]:
    """Return the profiles in a checkpoint, and the coefficients of each file of averages; none for one of the profiles.

    Raises a UserError if the average can't be reconstructed from the checkpoint and the snapshots before it.
    """
    game, folder = checkpoint[MARK], path.absolute().parent.parent / AVERAGES
    if "power" not in game:
        raise UserError(f"--ema {ema:g}: {path} has no averages of power functions: train with ema=power")
    kept, last = game["power"]["profiles"], game["round"]
    if ema in kept:
        return kept, {}
    files = {round: file for round, file in by_round(folder, ".ckpt").items() if round < last}
    names = " and ".join(f"{sigma:g}" for sigma in kept)
    if not files:
        raise UserError(f"--ema {ema:g}: {folder} has no snapshots before round {last}, and {path} has only {names}")
    files[last] = path
    found, error = coefficients([(round, sigma) for round in files for sigma in kept], last, ema)
    if error > TOLERANCE:
        raise UserError(
            f"--ema {ema:g} can't be reconstructed from {len(files) - 1} snapshots of {names} before round {last} "
            f"(error {error:.0%}): give one closer to these, or train with a smaller ema.snapshot_every"
        )
    return kept, dict(zip(files.values(), found.reshape(len(files), -1).tolist(), strict=True))


def reconstructed(checkpoint: dict[str, Any], rows: dict[Path, list[float]], allow: Sequence[str]) -> dict[str, Tensor]:
    """Return the combination of averages in files.

    The last one is the checkpoint. Tensors that aren't averaged in training are the checkpoint's, or are recomputed.
    """
    game, *_, path = checkpoint[MARK], *rows
    weights, sums = weights_of(checkpoint, name_of(0)), dict[str, Tensor]()
    for file, row in rows.items():
        if max(map(abs, row)) < NEGLIGIBLE:
            continue
        content = checkpoint if file == path else read_snapshot(file, checkpoint, path)
        for index, factor in enumerate(row):
            for name, value in weights_of(content, name_of(index)).items():
                sums[name] = sums.get(name, 0) + factor * value.double()
    weights |= {name: sums[name].to(weights[name].dtype) for name in game["power"]["combined"]}
    if how := game["power"].get("recomputed"):
        sampler = make_sampler(game, weights, allow)
        sampler.recompute_statistics(**how)
        weights = sampler.generator.state_dict()
    return weights


def read_snapshot(file: Path, checkpoint: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a snapshot of the averages; a UserError if it isn't of the run of the checkpoint in `path`."""
    snapshot = read_checkpoint(file)
    require_own(file, snapshot.get("run"), path, checkpoint.get("run"))
    if snapshot[MARK].get("power", {}).get("profiles") != checkpoint[MARK]["power"]["profiles"]:
        raise UserError(f"{file} has other averages than {path}: put back the run's own file")
    return snapshot
