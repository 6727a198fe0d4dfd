"""The commands, called in this process, and one small run that many tests look at."""

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from warm import Server

from gan_research.cli import main
from gan_research.utils.run_folder import comparable, read_history

SMALL = (
    "generator.width=16",
    "discriminator.width=16",
    "rounds=20",
    "log_every=5",
    "sample_every=10",
    "evaluate_every=10",
    "checkpoint_every=10",
)


class Result(NamedTuple):
    status: int
    output: str
    error: str


@pytest.fixture(scope="session", autouse=True)
def offline(tmp_path_factory):
    """W&B without a key, without a server and without a word."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("NETRC", str(tmp_path_factory.mktemp("home") / "netrc"))
        for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "GAN_DATA"):
            patch.delenv(name, raising=False)
        yield


def call(*arguments):
    """`gan` with these arguments."""
    output, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        status = main([str(a) for a in arguments])
    return Result(status, output.getvalue(), error.getvalue())


def call_train(output, *overrides):
    """`gan train` of a small game, in a new folder below `output`."""
    measured = [] if any(str(o).startswith("metrics=") for o in overrides) else ["metrics.num_samples=100"]
    logged = [] if any(str(o).startswith("logger=") for o in overrides) else ["logger=none"]
    return call("train", f"output={output}", *SMALL, *measured, *logged, *overrides)


@pytest.fixture(scope="session")
def gan():
    """gan("sample", RUN, ...) -> Result."""
    return call


@pytest.fixture(scope="session")
def train():
    """train(OUTPUT, "loss=hinge", ...) -> Result."""
    return call_train


@pytest.fixture(scope="session")
def one_line():
    """Asserts that a call failed with one line, made of all these parts, and gives the line."""

    def check(result, *parts, status=2):
        assert result.status == status, result
        line = result.error.removesuffix("\n")
        assert line.startswith("gan: error: ")
        assert "\n" not in line
        for part in parts:
            assert part in line
        return line

    return check


@pytest.fixture(scope="session")
def server(tmp_path_factory, own_cache):
    """`gan` in processes of its own: server("train", ...) or server.start("train", ...)."""
    server = Server(tmp_path_factory.mktemp("logs"))
    yield server
    server.close()


def only(folder) -> Path:
    """The one folder in `folder`."""
    (found,) = Path(folder).iterdir()
    return found


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a run of 20 rounds, evaluated at 0, 10 and 20, with CSV and TensorBoard. Don't change it."""
    output = tmp_path_factory.mktemp("finished")
    result = call_train(output, "logger=[csv,tensorboard]", "tags=[small,fast]", "lr_schedule=linear")
    assert result.status == 0, result.error
    return only(output)


@pytest.fixture(scope="session")
def conditional(tmp_path_factory):
    """The folder of a class-conditional run."""
    output = tmp_path_factory.mktemp("conditional")
    result = call_train(output, "conditional=true", "metrics=none", "rounds=5")
    assert result.status == 0, result.error
    return only(output)


@pytest.fixture(scope="session")
def the_run():
    """the_run(OUTPUT): the folder of the only run in there."""
    return only


@pytest.fixture(scope="session")
def rows():
    """rows(RUN): its history, without what the clock and the memory say."""
    return lambda run: [comparable(row) for row in read_history(Path(run) / "history.jsonl")]


@pytest.fixture(scope="session")
def state():
    """state(RUN): all that its last checkpoint holds of the game."""

    def read(run, name="last"):
        checkpoint = torch.load(Path(run) / "checkpoints" / f"{name}.ckpt", weights_only=True)
        return {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "gan_research")}

    return read


@pytest.fixture(scope="session")
def identical():
    """Whether two nests of containers and tensors are equal, bit for bit."""

    def same(a, b):
        if isinstance(a, torch.Tensor):
            return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        if isinstance(a, dict):
            return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
        if isinstance(a, list | tuple):
            return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
        return a == b

    return same


@pytest.fixture(scope="session")
def contents():
    """contents(FOLDER): every file below it, with its bytes."""
    return lambda folder: {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


LOSSES = '''
import torch
from gan_research.losses import NonSaturating


class Ours(NonSaturating):
    """From D's n-th update on, its loss is NaN, or G's loss is a number whose gradient is NaN."""

    def __init__(self, bad_loss_from: int = 10**9, bad_gradient_from: int = 10**9):
        self.bad_loss_from, self.bad_gradient_from, self.calls = bad_loss_from, bad_gradient_from, 0

    def discriminator(self, real_logits, fake_logits):
        self.calls += 1
        loss = super().discriminator(real_logits, fake_logits)
        return loss * float("nan") if self.calls >= self.bad_loss_from else loss

    def generator(self, fake_logits, real_logits=None):
        loss = super().generator(fake_logits, real_logits)
        return loss + (0 * loss).sqrt() if self.calls >= self.bad_gradient_from else loss
'''


@pytest.fixture
def own_config(tmp_path, monkeypatch):
    """A user's folder of choices, in which loss=ours names a class of the user's own module."""
    (tmp_path / "their_losses.py").write_text(LOSSES)
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "their_conf"
    (folder / "loss").mkdir(parents=True)
    settings = "bad_loss_from: 1000000000\nbad_gradient_from: 1000000000\n"
    (folder / "loss" / "ours.yaml").write_text(f"# a loss of our own\n_target_: their_losses.Ours\n{settings}")
    yield folder
    sys.modules.pop("their_losses", None)
