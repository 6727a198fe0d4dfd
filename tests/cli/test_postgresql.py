"""A study in PostgreSQL: a server of Debian's packages, started for these tests alone, by a user that isn't root."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import optuna
import pytest
from test_multirun import TINY, homes, only, rounds

from gan_research.sweeps.optuna_search import database, reachable
from gan_research.utils.errors import UserError

pytest.importorskip("psycopg", reason="psycopg isn't installed: pip install gan_research[postgresql]")

BINARIES = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
USER = "nobody" if os.getuid() == 0 else None
"""The server refuses root."""


class Postgres:
    """A server with its data in `folder`."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.folder, self.url = folder, f"postgresql://gan:secret@127.0.0.1:{port}/postgres"
        (folder / "password").write_text("secret")
        if USER is not None:
            shutil.chown(folder, USER)
        self._run("initdb", "-U", "gan", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync")
        self.options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"

    def start(self):
        self._run("pg_ctl", "start", "-w", "-l", self.folder / "log", "-o", self.options)

    def stop(self):
        self._run("pg_ctl", "stop", "-m", "immediate")

    def _run(self, program, *arguments):
        command = [shutil.which(program, path=BINARIES), "-D", self.folder / "data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=USER, cwd=self.folder)


@pytest.fixture(scope="module")
def postgres():
    if shutil.which("initdb", path=BINARIES) is None:
        pytest.skip("PostgreSQL isn't installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # others can't enter pytest's own
        made = Postgres(Path(folder))
        made.start()
        yield made
        made.stop()


def test_a_server_may_be_restarted_and_its_loss_is_one_line(postgres):
    storage = database(postgres.url)
    study = optuna.create_study(storage=storage, study_name="restarted")
    study.tell(study.ask(), 1.0)
    postgres.stop()
    try:
        with pytest.raises(UserError, match="database can't be reached: connection failed: ") as caught, reachable():
            study.ask()
    finally:
        postgres.start()
    assert "\n" not in str(caught.value)
    assert [trial.value for trial in study.get_trials()] == [1.0]


@pytest.mark.parametrize(
    ("before", "after"), [(":secret@", ":guess@"), ("/postgres", "/nothing"), ("127.0.0.1", "none.invalid")]
)
def test_a_database_that_cannot_be_used(before, after, postgres):
    with pytest.raises(UserError, match=r"no study can be kept in postgresql://gan:\*\*\*@") as caught:
        database(postgres.url.replace(before, after))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.long
def test_four_workers_on_one_study_one_of_them_killed(postgres, server, tmp_path):
    first = server.start(
        "train", "-m", "sweep=optuna", "sweep.trials=10", f"sweep.storage={postgres.url}", "sweep/pruner=none",
        "optimizer.generator.lr=tag(log,interval(1e-4,1e-2))", "loss=hinge,minimax", "pool.runs=1",
        f"output={tmp_path}", *TINY, "rounds=300", "evaluate_every=100", "log_every=100", "checkpoint_every=100",
    )  # fmt: skip
    first.until(lambda: list(tmp_path.glob("*/000/trial.json")))
    sweep = only(tmp_path)
    others = [server.start("sweep", "resume", sweep.folder, "pool.runs=1") for _ in range(3)]
    first.until(lambda: sum(trial.state == "running" for trial in sweep.snapshot()) == 4)
    first.until(lambda: len(list(tmp_path.glob("*/*/0/*/checkpoints/last.ckpt"))) >= 4)
    os.kill(others[0].pid, signal.SIGKILL)
    for worker in (first, *others[1:]):
        assert worker.ended(300).status == 0, worker.error
    trials = sweep.snapshot()
    assert [(trial.number, trial.state) for trial in trials] == [(n, "finished") for n in range(10)]
    assert {n: len(made) for n, made in homes(sweep).items()} == dict.fromkeys(range(10), 1)  # none was begun again
    assert all(rounds(home)[-1] == 300 for (home,) in homes(sweep).values())
    study = optuna.load_study(study_name=sweep.spec.name, storage=database(postgres.url))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 10, [
        run.log.read_text() for trial in trials for run in trial.trial.runs
    ]
    asked = {trial.trial.note["study"]: trial for trial in trials}
    for frozen in study.trials:
        assert (frozen.params, frozen.value) == (asked[frozen.number].values, asked[frozen.number].value)
        assert set(frozen.intermediate_values) == {100, 200, 300}
    assert not (sweep.folder / "study.journal").exists()
