"""Games that several processes play together: what each of them does."""

import contextlib
import os
import socket
import warnings
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from gan_research.config.build import build_data, build_game, build_trainer
from gan_research.config.compose import compose_train

TINY = (
    "data=digits", "batch_size=16", "rounds=5", "precision=64", "logger=none", "metrics=none",
    "prior.latent_dim=4", "log_every=100",
)  # fmt: skip
"""What all cells share."""


def play_game(overrides, callbacks=(), strategy="ddp", resume=None, **trainer):
    """One game, on as many processes as the group has, from a checkpoint if it is given: the GAN, and its trainer."""
    size = distributed.get_world_size() if distributed.is_initialized() else 1
    chosen = "cpu" if size == 1 else strategy
    where = [f"trainer={chosen}", "trainer.accelerator=cpu", f"trainer.devices={size}"]
    config = compose_train([*TINY, *overrides, *where]).config
    data = build_data(config)
    gan = build_game(config, data)
    made = build_trainer(config["trainer"])
    made.callbacks += list(callbacks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit(gan, datamodule=data, ckpt_path=resume, weights_only=True)
    return gan, made


def result(gan):
    """All that a game came to: weights, averages and buffers; counters."""
    gan.recompute_statistics()
    counted = torch.tensor([gan.round, gan.images_seen, *gan.updates.values()])
    return {name: value.detach().clone() for name, value in gan.state_dict().items()} | {"counted": counted}


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def work(rank, size, port, function, folder, arguments):
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    with contextlib.ExitStack() as stack:
        stack.callback(distributed.destroy_process_group)
        torch.save(function(*arguments), Path(folder) / f"{rank}.pt")
