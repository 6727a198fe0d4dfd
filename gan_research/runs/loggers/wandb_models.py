"""Artifacts of W&B: a model, with all that sampling, measuring and training need, and the data."""

import json
from pathlib import Path

import wandb

from gan_research.checkpoints.io import MARK, read_checkpoint, weights_of
from gan_research.runs.run import Run
from gan_research.sampling.export import describe_export, write_export
from gan_research.sampling.sampler import Sampler
from gan_research.utils.artifacts import EXPORT, OF_RUN
from gan_research.utils.files import as_json, free_name, link, write_atomically
from gan_research.utils.run_folder import (
    CONFIG,
    HISTORY,
    LAST,
    PROTOCOLS,
    RUN,
    config_text,
    measured_at,
    read_rows,
)


def model_artifact(
    run: Run, checkpoint: Path, sampler: Sampler, aliases: list[str]
) -> tuple[wandb.Artifact, list[str]]:
    """Return an artifact of a checkpoint, and its aliases with round-N.

    Its files are in a new folder next to the checkpoint, which is moved there: an export, with the run's config, its
    numbers of that round and their protocol; and those of a run's folder at that round. The metadata are the numbers.
    No network is built, which would draw random numbers while the run trains.
    """
    content = read_checkpoint(checkpoint)
    game, config = content[MARK], content["config"]
    averaged, round = bool(game["ema"]), game["round"]
    measured = (measured_at(run.folder, round) or [{}])[-1]
    selected_by = content["callbacks"]["Checkpoints"]["best"] if "best" in aliases else None
    about = {"run": run.id, "selected_by": selected_by, **measured}
    described = describe_export(game, averaged, sampler.num_classes, sampler.value_range)
    weights = weights_of(content, "generator_ema" if averaged else "generator")
    folder = free_name(checkpoint.with_name("model"))
    write_export(folder, described | about | {"config": config}, {"generator": weights})
    checkpoint.rename(folder / LAST)
    write_atomically(folder / CONFIG, config_text(config, run.id).encode())
    rows = [json.dumps(row) + "\n" for row in read_rows(run.folder / HISTORY) if row["round"] <= round]
    write_atomically(folder / HISTORY, "".join(rows).encode())
    for name in (RUN, PROTOCOLS):
        if (run.folder / name).is_file():
            write_atomically(folder / name, (run.folder / name).read_bytes())
    metadata = {"round": round, "kimg": described["kimg"], "averaged": averaged, **about}
    artifact = wandb.Artifact(f"model-{run.id}", type="model", description=run.name, metadata=as_json(metadata))
    for name in (*EXPORT, *OF_RUN):
        if (folder / name).is_file():
            artifact.add_file(str(folder / name), policy="immutable", skip_cache=True)
    return artifact, [*aliases, f"round-{round}"]


def data_artifact(run: Run, folder: Path) -> wandb.Artifact | None:
    """Return an artifact of the training data, without samples.

    It contains their description and the hash of their content: runs on the same content use the same version of it.
    None for a run without a record of its data.
    """
    record = next((segment["data"] for segment in reversed(run.segments) if "data" in segment), None)
    if record is None:
        return None
    path = folder / "data.json"
    write_atomically(path, json.dumps(record, indent=2).encode())
    artifact = wandb.Artifact(f"data-{run.choices.get('data', 'own')}", type="dataset", metadata=dict(record))
    artifact.add_file(str(path), policy="immutable", skip_cache=True)
    return artifact


def kept(checkpoint: Path, folder: Path) -> Path:
    """Return a new name in a folder for a checkpoint that the run will replace."""
    folder.mkdir(parents=True, exist_ok=True)
    link(checkpoint, path := free_name(folder / checkpoint.name))
    return path
