"""Folders of runs as `gan train` leaves them, made up."""

import hashlib
import json
from pathlib import Path

import yaml

PROTOCOL = {
    "extractor": "classifier-digits",
    "extractor_hash": "1ae4b54ff6d225ae",
    "num_real": 1597,
    "real_hash": "b1328d3d",
    "num_fake": 100,
    "ema": True,
    "sampling_seeds": [0],
    "settings": {"fid": {"num_real": 1597}, "inception_score": {"splits": 10}},
}
BETTER = {"fid": "min", "inception_score": "max"}

CLASSES = {
    "hinge": "Hinge",
    "minimax": "Minimax",
    "non_saturating": "NonSaturating",
    "wasserstein": "Wasserstein",
    "least_squares": "LeastSquares",
}

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
"""One black pixel."""


def make_run(
    folder,
    loss="hinge",
    seed=0,
    fid=(80.0, 10.0, 5.0),
    every=100,
    rounds=None,
    name=None,
    protocol=None,
    better=BETTER,
    choices=True,
    seconds=0.01,
    extra=None,
    lr=0.001,
    log=True,
    samples=True,
    **config,
):
    """A run in `folder`: its metrics/fid at round 0, `every`, 2 `every`, ...; its path.

    rounds: those that its config asks for; without, it has played them all. seconds: a round; None: as of old.
    extra: further columns of metrics/*: name -> values. config: settings by their full names, dots as __.
    """
    folder = Path(folder)
    folder.mkdir(parents=True)
    name = name or f"digits-mlp-{loss}-s{seed}"
    settings = {
        "data": {"_target_": "gan_research.data.Digits", "resolution": 8, "seed": seed},
        "loss": {"_target_": f"gan_research.losses.{CLASSES.get(loss, loss)}"},
        "regularizer": {"r1": {"_target_": "gan_research.regularizers.R1", "weight": 0.1}},
        "optimizer": {
            player: {"_target_": "torch.optim.Adam", "_partial_": True, "lr": lr}
            for player in ("generator", "discriminator")
        },
        "rounds": every * (len(fid) - 1) if rounds is None else rounds,
        "seed": seed,
        "output": str(folder.parent),
        "name": name,
        "tags": [],
    }
    for key, value in config.items():
        *path, last = key.split("__")
        node = settings
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    fields = {
        "name": name,
        "group": f"digits-mlp-{loss}",
        "tags": [],
        "overrides": [f"loss={loss}", f"seed={seed}"],
        "config_dir": None,
        "id": hashlib.blake2b(f"{folder} {name}".encode(), digest_size=4).hexdigest(),
        "job": None,
        "segments": [
            {
                "started": "2024-11-25T10:00:00+0000",
                "command": ["/home/me/.venv/bin/gan", "train", f"loss={loss}", f"seed={seed}"],
                "commit": None,
            }
        ],
    }
    if choices:
        fields["choices"] = {"data": "digits", "loss": loss, "regularizer": "r1", "optimizer": "adam"}
    (folder / "run.json").write_text(json.dumps(fields))
    columns = {"fid": fid, **(extra or {})}
    rows = made_rows(columns, every, seconds, protocol or PROTOCOL, better, log)
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if samples:
        (folder / "samples").mkdir()
        for i in range(len(fid)):
            (folder / "samples" / f"round_{i * every:08d}.png").write_bytes(PNG)
    return folder


def made_rows(columns, every, seconds, protocol, better, log):
    """The rows of a history: between two evaluations, a log row half way and one at the end."""
    rows = []
    for i in range(max(map(len, columns.values()))):
        for round in (i * every - every // 2, i * every) if i and log else ():
            row = {
                "round": round,
                "kimg": round * 0.064,
                "loss/discriminator": 1.3 + 0.1 / i,
                "loss/generator": 0.7 + 0.1 / i,
                "loss/r1": 0.5,
                "probability/real": 0.55,
                "probability/fake": 0.45,
                "speed/rounds_per_second": 1 / (seconds or 0.01),
                "speed/images_per_second": 64 / (seconds or 0.01),
            }
            rows.append(row | ({"speed/seconds": round * seconds} if seconds else {}))
        measured = {f"metrics/{name}": values[i] for name, values in columns.items() if i < len(values)}
        row = {"round": i * every, "kimg": i * every * 0.064, **measured, "protocol": protocol}
        rows.append(row | ({"better": better} if better else {}))
    return rows


def end_trial(folder, status, reason=None):
    """The end.json of a trial's run."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"status": status, "reason": reason, "exit": 0 if status == "finished" else 1, "seconds": 3.0}
    (folder / "end.json").write_text(json.dumps(content))
