"""Every reader of files: what is damaged, or of another shape, is read with a note or is one line, and nothing else."""

import json
import random
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from made import make_run

from gan_research import load
from gan_research.cli.evaluation.samples import open_samples
from gan_research.metrics.cache import Cache
from gan_research.metrics.statistics_files import read_statistics
from gan_research.report.comparison import compare
from gan_research.report.folders import is_running
from gan_research.report.page.page import content_of, render
from gan_research.report.read import read
from gan_research.reproduction.result import Result
from gan_research.runs import fit
from gan_research.runs.run import Run
from gan_research.sweeps.sweep import Sweep
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import read_history

ARTEFACTS = Path(__file__).parents[1] / "artefacts" / "v1"


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


ODD = (
    None, True, -1, 0, 3, 10**18, -(10**400), 1e308, -0.5, float("inf"), float("nan"), "", "x", "\ud800", "${output}",
    [], {}, [1], ["x"], {"x": 1}, {"round": -5}, [[1, 2], [3]], deep(90), deep(150), "x" * 10_000,
    {"_target_": "os.system"},
)  # fmt: skip
"""Values that may take the place of another in a file."""


def places(content, found=()):
    """Every part of nested containers, as the path to it."""
    yield found
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in items:
        yield from places(inner, (*found, key))


def reshaped(content, rng):
    """The content with one part of it replaced, missing, or added."""
    *path, last = rng.choice([place for place in places(content) if place] or [(None,)])
    if last is None or rng.random() < 0.05:
        return rng.choice(ODD)
    node = content
    for key in path:
        node = node[key]
    how = rng.choice(("replace", "replace", "replace", "remove", "add"))
    if how == "remove":
        del node[last]
    elif how == "replace" or isinstance(node, list):
        node[last] = rng.choice(ODD)
    else:
        node["a later version's"] = rng.choice(ODD)
    return content


def torn(whole, rng):
    """The bytes with some of them lost, changed or repeated."""
    at = rng.randrange(len(whole) + 1)
    noise = rng.randbytes(rng.choice((1, 8, 300)))
    other = b"", b"[" * 2000, whole[:at], whole[at:], bytes(len(whole)), whole[:at] * 2
    return rng.choice((*other, whole[:at] + noise + whole[at + len(noise) :]))


def as_yaml(content):
    return yaml.dump(content).encode(errors="surrogatepass")


def as_rows(rows):
    return (
        "".join(json.dumps(row) + "\n" for row in rows).encode()
        if isinstance(rows, list)
        else json.dumps(rows).encode()
    )


def saved(content):
    file = BytesIO()
    torch.save(content, file)
    return file.getvalue()


def archived(arrays):
    file = BytesIO()
    np.savez(file, **{k: v for k, v in arrays.items() if isinstance(k, str)}) if isinstance(arrays, dict) else None
    return file.getvalue()


def arrays_of(content):
    with np.load(BytesIO(content)) as file:
        return {key: file[key] for key in file.files}


def oddly(content, rng):
    """The arrays with another one in the place of one."""
    shape = tuple(rng.choice((0, 1, 2, 3, 8)) for _ in range(rng.randrange(5)))
    odd = rng.choice([np.zeros(shape, t) for t in ("u1", "f2", "f8", "i8", "c8", "?", "U3", "V4", "M8[s]")])
    content[rng.choice(list(content))] = rng.choice([odd, odd, np.array([{}], object), np.full((4, 4), np.nan)])
    return content


JSON = (json.loads, reshaped, lambda content: json.dumps(content).encode())
YAML = (yaml.safe_load, reshaped, as_yaml)
ROWS = (lambda text: [json.loads(line) for line in text.splitlines()], reshaped, as_rows)
CKPT = (lambda content: torch.load(BytesIO(content), weights_only=True), reshaped, saved)
NPZ = (arrays_of, oddly, archived)
RAW = (lambda content: content, torn, lambda content: content)


def resume(folder):
    """What `gan train resume=RUN` does before it trains."""
    fit.trainer_of(folder, [], None)
    fit.resume(folder, [], None)


def progress(folder):
    """The state of the sweep that a file is in."""
    return Sweep.open(next(parent for parent in (folder, *folder.parents) if parent.name == "sweep")).snapshot()


READERS = {
    "run.json": (JSON, "run/run.json", Run.open),
    "run.json resumed": (JSON, "run/run.json", resume),
    "config.yaml": (YAML, "run/config.yaml", lambda folder: fit.trainer_of(folder, [], None)),
    "history.jsonl": (ROWS, "run/history.jsonl", lambda folder: list(read_history(folder / "history.jsonl"))),
    "protocols.json": (JSON, "run/protocols.json", lambda folder: list(read_history(folder / "history.jsonl"))),
    ".player.json": (JSON, "sweep/000/0/run/.player.json", is_running),
    "checkpoint sampled": (CKPT, "run/checkpoints/last.ckpt", lambda file: load(file.parent.parent).sample(2)),
    "checkpoint resumed": (CKPT, "run/checkpoints/last.ckpt", lambda file: resume(file.parent.parent)),
    "export": (JSON, "export/config.json", lambda folder: load(folder).sample(2)),
    "export's weights": (RAW, "export/generator.safetensors", lambda folder: load(folder).sample(2)),
    "record": (JSON, "record.json", lambda folder: Result.read(folder / "record.json")),
    "sweep.json": (JSON, "sweep/sweep.json", progress),
    "trial.json": (JSON, "sweep/000/trial.json", progress),
    "end.json": (JSON, "sweep/000/0/end.json", progress),
    "a sweep's history": (
        ROWS,
        "sweep/000/0/run/history.jsonl",
        progress,
    ),
    "images": (NPZ, "pictures.npz", lambda folder: open_samples(str(folder / "pictures.npz"), None, None, False)),
    "statistics": (NPZ, "statistics.npz", lambda folder: read_statistics(folder / "statistics.npz")),
    "cache": (RAW, "cached.safetensors", lambda folder: Cache(folder).get("cached")),
}
"""The kind of file, its path, and what is done with its folder."""


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory):
    """A copy of what a version wrote, with the kinds of files that it lacked."""
    folder = shutil.copytree(ARTEFACTS, tmp_path_factory.mktemp("artefacts") / "v1")
    rows = [json.loads(line) for line in (folder / "run/history.jsonl").read_text().splitlines()]
    how = {key: rows[0].pop(key) for key in ("protocol", "better")}
    rows[0]["protocol"] = "0a"
    (folder / "run/history.jsonl").write_bytes(as_rows(rows))
    (folder / "run/protocols.json").write_text(json.dumps({"0a": how}))
    (folder / "sweep/000/0/run/.player.json").write_text('{"host": "here", "pid": 3, "since": "now"}')
    np.savez(folder / "statistics.npz", mu=np.zeros(4), sigma=np.eye(4), count=9, protocol='{"resize": "none"}')
    shutil.copy(folder / "export/generator.safetensors", folder / "cached.safetensors")
    return folder


def outcome(attempt, use, *arguments):
    """What a call gives, or its one line."""
    try:
        return use(*arguments), None
    except Exception as error:
        if not isinstance(error, UserError) or error.status != 2:
            raise AssertionError(f"attempt {attempt}") from error
        return None, " ".join(str(error).split())


def damaged(file, kind, tries):
    """Damage a file, then repair it and damage it in another way; yield the number of each."""
    (parse, change, write), whole = kind, file.read_bytes()
    for attempt in range(tries):
        rng = random.Random(f"{file.name} {attempt}")
        file.write_bytes(torn(whole, rng) if rng.random() < 0.3 else write(change(parse(whole), rng)))
        yield attempt
    file.write_bytes(whole)


TRIES = pytest.mark.parametrize("tries", [12, pytest.param(200, marks=pytest.mark.long)])


@pytest.mark.parametrize("reader", READERS)
@TRIES
def test_what_is_damaged_is_read_or_is_one_line(tries, reader, artefacts, monkeypatch):
    monkeypatch.chdir(artefacts)
    monkeypatch.setattr(fit, "fit", lambda *arguments: 0)
    monkeypatch.setattr(Run, "begin", lambda *arguments: None)
    kind, name, use = READERS[reader]
    file = artefacts / name
    place = file if reader.startswith("checkpoint") else file.parent
    use(place)  # as it is
    lines = []
    for attempt in damaged(file, kind, tries):
        _, line = outcome(attempt, use, place)
        if line is not None:
            lines.append(line)
            assert file.name in line or file.parent.name in line, (attempt, line)
            assert len(line) < 1500, attempt
    assert lines or reader in (".player.json", "cache", "a sweep's history")


COMPARED = {"run.json": JSON, "config.yaml": YAML, "history.jsonl": ROWS, "samples/round_00000000.png": RAW}


@pytest.mark.parametrize("name", COMPARED)
@TRIES
def test_a_damaged_run_is_not_the_end_of_the_page(tries, name, tmp_path):
    runs = [make_run(tmp_path / str(n), loss, n) for n, loss in enumerate(("hinge", "hinge", "minimax", "minimax"))]
    for attempt in damaged(runs[0] / name, COMPARED[name], tries):
        (records, _), _ = outcome(attempt, read, [tmp_path])
        comparison, line = outcome(attempt, compare, records)
        if line is not None:
            assert "different protocols" in line, attempt
            continue
        assert "fid" in comparison.metrics, attempt
        assert len(comparison.records) >= 3, attempt
        render(outcome(attempt, content_of, comparison)[0])
