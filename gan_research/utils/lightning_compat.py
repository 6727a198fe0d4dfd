"""Private names of Lightning, torch, W&B and MLflow, each used in one function.

A test for each fails by name when it is gone.
"""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = [
    "TorchDispatchMode", "check_mlflow_names", "count_rounds", "count_step", "has_trainer", "lerp_",
    "skip_capture_check", "skip_prepare_data", "skip_signal_handlers", "skip_sigterm_broadcast", "sweep_command",
    "tree_leaves", "uncompiled", "use_new_artifact",
]  # fmt: skip


def has_trainer(module: pl.LightningModule) -> bool:
    """Return whether a trainer is attached; `module.trainer` raises where there is none."""
    return module._trainer is not None


def skip_prepare_data(trainer: pl.Trainer) -> None:
    """Let the trainer prepare no data: Lightning would wait for a lost process for 10,000 days."""
    trainer._data_connector.prepare_data = nothing  # type: ignore[method-assign]


def skip_signal_handlers(trainer: pl.Trainer) -> None:
    """Let the trainer handle no signals: its handler of SIGTERM calls a collective at any time."""
    trainer._signal_connector.register_signal_handlers = nothing  # type: ignore[method-assign]


def skip_sigterm_broadcast(trainer: pl.Trainer) -> None:
    """Skip the trainer's blocking broadcast in each batch of whether a rank got SIGTERM."""
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = nothing  # type: ignore[method-assign]


def count_step(epoch_loop: Any) -> None:
    """Do what `on_advance_end` of Lightning's epoch loop does where there is no validation."""
    epoch_loop._batches_that_stepped += 1
    epoch_loop._save_loggers_on_train_batch_end()


def count_rounds(trainer: pl.Trainer, round: int) -> None:
    """Let Lightning's step counter be the completed rounds: for `max_steps` and Lightning's callbacks."""
    steps = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    steps.ready = steps.completed = round


def skip_capture_check(optimizer: Optimizer) -> None:
    """Skip an optimizer's query to NVML before each step, whether a graph is captured."""
    optimizer._accelerator_graph_capture_health_check = nothing  # type: ignore[method-assign]


def lerp_(tensors: list[Tensor], ends: list[Tensor], weight: float) -> None:
    """Interpolate tensors in place to `ends`, by `weight`, in one call."""
    torch._foreach_lerp_(tensors, ends, weight)


def uncompiled(network: Any) -> Any:
    """Return the network that torch.compile made this one of, or the network itself."""
    return getattr(network, "_orig_mod", network)


def sweep_command() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return W&B's functions that make an agent's command and its arguments from a sweep."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args  # takes seconds to import

    return create_sweep_command, create_sweep_command_args


def use_new_artifact(run: Any, artifact: Any) -> None:
    """Log an artifact as an input of a W&B run, offline too, without waiting: `use_artifact` refuses or waits."""
    run._log_artifact(artifact, is_user_created=True, use_after_commit=True)


def check_mlflow_names(experiment: str, tags: list[str]) -> None:
    """Raise an MlflowException if MLflow refuses an experiment's name or a tag."""
    from mlflow.utils.validation import _validate_experiment_name, _validate_tag_name

    _validate_experiment_name(experiment)
    for tag in tags:
        _validate_tag_name(tag)


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""
