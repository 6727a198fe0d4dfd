"""The model card of an export: README.md, with the header that the Hugging Face Hub reads."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from gan_research.checkpoints.io import MARK
from gan_research.sampling.sampler import Sampler
from gan_research.utils.paths import is_on_hub
from gan_research.utils.reading import read_json
from gan_research.utils.run_folder import HISTORY, RUN, measured_at, run_id

CHOICES = (
    "loss",
    "regularizer",
    "augment",
    "generator",
    "discriminator",
    "schedule",
    "optimizer",
    "lr_schedule",
    "ema",
)
"""Groups of the config whose choices the card names."""

PLACES = ("output", "data.root", "data.path", "resume", "init")  # settings of one machine, left out of the command

LOAD = """\
## How to load it

```python
from gan_research import load  # pip install {package}

sampler = load("{address}"{allow})
images = sampler.sample(64, seed=0{labels})  # float {shape}{range}; sample i is a function of (seed, i)
```"""

RUN_PROGRAM = """\
Without gan_research, torch runs `generator.pt2`, for any number N of samples, with {shapes}:

```python
program = torch.export.load("generator.pt2").module()
samples = program({arguments})
```"""


def model_card(
    address: str,
    sampler: Sampler,
    config: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    path: Path,
    allow: Sequence[str] = (),
    program: Mapping[str, Tensor] | None = None,
) -> str:
    """Return the card of an export: what it is, how to load it, its data and training, and its numbers.

    address: of the export; its last part is the name. config: of the export. checkpoint, path: its source; if that is
    in the folder of a run, the card has the run's data, commit and numbers, with their protocol. program: inputs of
    generator.pt2, if there is one.
    """
    generator: Any = sampler.generator
    name, shape = address.rpartition("/")[2], generator.samples.shape
    run, measured = run_of(path, checkpoint)
    measured = [row for row in measured if measures(row, config)]
    choices = run.get("choices") or {}
    data = choices.get("data", "unknown data")
    kind = "points" if sampler.generates_points else "images"
    classes = f", {sampler.num_classes} classes" if sampler.num_classes else ""
    how = LOAD.format(
        package="'gan_research[hub]'" if is_on_hub(address) else "gan_research",
        address=address,
        allow=f", allow={list(allow)}" if allow else "",
        labels=", labels=0" if sampler.num_classes else "",
        shape=(64, *shape),
        range="" if sampler.generates_points else " in [{:g}, {:g}]".format(*config["value_range"]),
    )
    blocks = [
        f"---\n{yaml.safe_dump(header(name, kind, data, choices, measured), sort_keys=False)}---",
        f"# {name}",
        f"A generator of {' x '.join(map(str, shape))} {kind} ({data}{classes}), trained as a GAN with gan_research "
        f"{config['version']}.",
        how,
        *([how_to_run(program)] if program else []),
        f"## Data and training\n\n{table(training(run, config, checkpoint, path))}",
        "## Numbers",
        *(numbers(measured) or ["None was measured with these weights."]),
    ]
    return "\n\n".join(blocks) + "\n"


def training(
    run: Mapping[str, Any], config: Mapping[str, Any], checkpoint: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """Return the facts of a run's data and training by name; None if one isn't known."""
    segment, choices = (run.get("segments") or [{}])[-1], run.get("choices") or {}
    data = segment.get("data") or {"summary": choices.get("data"), "hash": None}
    profile = f", of relative standard deviation {config['profile']:g}" if "profile" in config else ""
    return {
        "data": data["summary"],
        "content hash of the data": data["hash"],
        **{key: value for key in CHOICES if (value := choices.get(key)) != "none"},
        "rounds": f"{config['round']:,} ({config['kimg']:,.6g} thousand real images)",
        "batch size": config["batch_size"],
        "seed": (checkpoint.get("config") or {}).get("seed"),
        "weights": f"average of the generator's{profile}" if config["averaged"] else "the generator's own",
        "selected as": selected(path),
        "commit": segment.get("commit"),
        "versions": ", ".join(f"{key} {segment[key]}" for key in ("gan_research", "python", "torch") if key in segment),
        "command": command(run.get("overrides")),
    }


def how_to_run(inputs: Mapping[str, Tensor]) -> str:
    """Return the text that shows how a program with these inputs is run."""
    shapes = [f"`{key}` {dtype_of(x)} ({', '.join(['N', *map(str, x.shape[1:])])})" for key, x in inputs.items()]
    return RUN_PROGRAM.format(shapes=" and ".join(shapes), arguments=", ".join(f"{key}={key}" for key in inputs))


def dtype_of(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype: "float32"."""
    return str(tensor.dtype).removeprefix("torch.")


def run_of(path: Path, checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the record of a checkpoint's run, and its metrics of that round; {}, [] if unknown."""
    folder = path.absolute().parent.parent
    own = run_id(folder)
    if own is None or checkpoint.get("run", own) != own:
        return {}, []
    history = (folder / HISTORY).is_file()
    measured = measured_at(folder, checkpoint[MARK]["round"]) if history else []
    return read_json(folder / RUN, dict[str, Any]), measured


def measures(row: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Return whether metrics were measured with the exported weights: the same average, or none."""
    ema = row.get("protocol", {}).get("ema")
    return ema == config["profile"] if "profile" in config and ema is not True else bool(ema) == config["averaged"]


def selected(path: Path) -> str | None:
    """Return by what a checkpoint was selected: the best of a run by a number is an optimistic choice."""
    if not path.stem.startswith("best_"):
        return None
    return f"the best {path.stem.removeprefix('best_')} of the run's evaluations, so that number is optimistic"


def command(overrides: Sequence[str] | None) -> str | None:
    """Return the command of a run, without the paths of its machine."""
    if overrides is None:
        return None
    words = [word for word in overrides if word.partition("=")[0] not in PLACES and "/" not in word]
    return f"`{' '.join(['gan train', *words])}`"


def header(
    name: str, kind: str, data: str, choices: Mapping[str, str], measured: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the fields of the card's header that the hub knows."""
    task = {"type": "unconditional-image-generation"} if kind == "images" else {"type": "other"}
    metrics = [
        {"type": metric, "name": metric, "value": value}
        for row in measured
        for metric, value in row["metrics"].items()
        if metric in row["better"] and math.isfinite(value)
    ]
    results = [{"task": task, "dataset": {"type": data, "name": data}, "metrics": metrics}]
    return {
        "library_name": "gan_research",
        **({"pipeline_tag": task["type"]} if kind == "images" else {}),
        "tags": ["gan", *dict.fromkeys([data, *(choices[key] for key in ("loss", "generator") if key in choices)])],
        **({"model-index": [{"name": name, "results": results}]} if metrics else {}),
    }


def numbers(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of metrics and their protocol for each evaluation."""
    words, blocks = {"min": "lower", "max": "higher"}, []
    for row in measured:
        lines = [
            f"| {metric} | {value:.6g} | {words.get(row['better'].get(metric, ''), '')} |"
            for metric, value in row["metrics"].items()
        ]
        blocks.append("\n".join(["| metric | value | better |", "|---|---|---|", *lines]))
        protocol = json.dumps(row["protocol"], indent=2)
        blocks.append(
            f"Measured by this protocol; numbers of another one can't be compared.\n\n```json\n{protocol}\n```"
        )
    return blocks


def table(rows: Mapping[str, Any]) -> str:
    """Return a table of two columns; rows without a value are left out."""
    lines = [f"| {key} | {value} |" for key, value in rows.items() if value not in (None, "")]
    return "\n".join(["| | |", "|---|---|", *lines])
