"""The private names of others that the package uses are there, and do what they are used for."""

import ast
import inspect
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import wandb
from mlflow.exceptions import MlflowException
from pytorch_lightning.loops import _TrainingEpochLoop

from gan_research.utils import lightning_compat as compat

PACKAGE = Path(compat.__file__).resolve().parents[1]


@pytest.fixture
def trainer():
    return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)


def test_trainer_of_a_module(trainer):
    module = pl.LightningModule()
    assert not compat.has_trainer(module)
    module.trainer = trainer
    assert compat.has_trainer(module)


def test_prepare_data(trainer):
    assert callable(trainer._data_connector.prepare_data)
    compat.skip_prepare_data(trainer)
    assert trainer._data_connector.prepare_data() is None
    assert "_data_connector.prepare_data()" in inspect.getsource(pl.Trainer)


def test_register_signal_handlers(trainer):
    assert callable(trainer._signal_connector.register_signal_handlers)
    compat.skip_signal_handlers(trainer)
    assert "_signal_connector.register_signal_handlers()" in inspect.getsource(pl.Trainer)


def test_broadcast_sigterm_tensor(trainer):
    assert callable(trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor)
    compat.skip_sigterm_broadcast(trainer)
    assert "self._broadcast_sigterm_tensor()" in inspect.getsource(_TrainingEpochLoop)


def test_batches_that_stepped(trainer):
    loop = trainer.fit_loop.epoch_loop
    loop._save_loggers_on_train_batch_end = lambda: None
    compat.count_step(loop)
    assert loop._batches_that_stepped == 1
    assert "_save_loggers_on_train_batch_end" in inspect.getsource(_TrainingEpochLoop.on_advance_end)


def test_orig_mod():
    network = torch.nn.Linear(1, 1)
    assert compat.uncompiled(torch.compile(network)) is network
    assert compat.uncompiled(network) is network


def test_accelerator_graph_capture_health_check():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    assert callable(optimizer._accelerator_graph_capture_health_check)
    compat.skip_capture_check(optimizer)
    assert "self._accelerator_graph_capture_health_check()" in inspect.getsource(torch.optim.Adam)


def test_foreach_lerp():
    averages, ends = [torch.zeros(2), torch.ones(3)], [torch.ones(2), torch.zeros(3)]
    compat.lerp_(averages, ends, 0.25)
    assert [average.tolist() for average in averages] == [[0.25, 0.25], [0.75, 0.75, 0.75]]


def test_trees():
    assert compat.tree_leaves([[1], 2]) == [1, 2]


def test_sweep_command():
    assert all(map(callable, compat.sweep_command()))


def test_a_new_artifact_of_wandb():
    assert {"is_user_created", "use_after_commit"} <= set(inspect.signature(wandb.Run._log_artifact).parameters)


def test_names_that_mlflow_refuses():
    compat.check_mlflow_names("ours", ["a tag"])
    for names in [("", []), ("ours", ["R&D"])]:
        with pytest.raises(MlflowException):
            compat.check_mlflow_names(*names)


def private_names_of_others(path):
    """`a._b` where `a` isn't self, cls or a name of the module's own, and imports from modules with an underscore."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("gan_research"):
            if any(part.startswith("_") for part in [*(node.module or "").split("."), *(a.name for a in node.names)]):
                yield f"{path.name}: from {node.module}"
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            root = node.value
            if isinstance(root, ast.Attribute) and root.attr.endswith(("_connector", "_loop")):
                yield f"{path.name}: {root.attr}.{node.attr}"
            if isinstance(root, ast.Name) and root.id in ("trainer", "loop", "optimizer", "torch", "wandb", "pl"):
                yield f"{path.name}: {root.id}.{node.attr}"


def test_no_other_module_uses_them():
    allowed = {f"{name}.py: from torch.nn.modules.batchnorm" for name in ("batch_norm", "standing")}
    paths = [path for path in PACKAGE.rglob("*.py") if path != Path(compat.__file__)]
    assert {name for path in paths for name in private_names_of_others(path)} <= allowed
