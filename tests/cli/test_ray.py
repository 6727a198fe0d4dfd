"""Sweeps on a Ray cluster: a real one, of two nodes of this machine by Ray's own utility."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_multirun import TINY, homes, only, rounds

from gan_research._version import __version__
from gan_research.launchers import Job, Ray
from gan_research.utils.errors import RESUME, UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("settings", "trainer", "processes", "has_gpus", "size"),
    [
        ({}, {"devices": 1}, None, False, (1, 0, 1)),
        ({}, {"devices": 1}, None, True, (1, 1, 1)),
        ({}, {"devices": 2, "accelerator": "cpu"}, None, True, (2, 0, 2)),
        ({}, {"devices": [1, 3], "accelerator": "gpu"}, None, False, (2, 2, 2)),
        ({}, {"devices": "auto"}, 4, True, (4, 4, 4)),
        ({"cpus": 8.0, "gpus": 0.5}, {"devices": 1}, None, True, (8.0, 0.5, 1)),
        ({"gpus": 0.0}, {"devices": 1, "accelerator": "gpu"}, None, True, (1, 0, 1)),
    ],
)
def test_each_task_has_the_cpus_and_gpus_of_its_processes(settings, trainer, processes, has_gpus, size, tmp_path):
    assert Ray(str(tmp_path), **settings).size(Job("a", [], trainer, processes), has_gpus) == size


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ({"devices": "auto"}, "trainer.devices=auto doesn't specify the number of processes"),
        ({"devices": 1, "num_nodes": 2}, "set trainer.num_nodes=1"),
    ],
)
def test_jobs_that_cannot_be_tasks(trainer, said, tmp_path):
    with pytest.raises(UserError, match=said):
        Ray(str(tmp_path)).size(Job("a", [], trainer), has_gpus=False)


@pytest.mark.parametrize("command", [["-m", "seed=0,1"], []], ids=["a sweep", "a run"])
def test_without_ray_or_a_cluster_nothing_is_made(command, gan, one_line, tmp_path, monkeypatch):
    words = ("train", *command, f"output={tmp_path / 'runs'}", "logger=none", "launcher=ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    one_line(gan(*words), "launcher=ray needs ray: pip install 'gan_research[ray]'")

    def init(address, **more):
        raise ConnectionError("Could not find any\nrunning instance")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    one_line(gan(*words), "no Ray cluster at auto: Could not find any running instance", "ray start --head")
    monkeypatch.setenv("RANK", "0")
    one_line(gan(*words), "start it once, not by torchrun or srun")
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def cluster(monkeypatch):
    """A head with one CPU; more nodes can be added and removed."""
    pytest.importorskip("ray", reason="Ray isn't installed: pip install gan_research[ray]")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    try:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    except Exception as error:  # a plain one
        pytest.skip(f"Ray's own processes need more than its 15 seconds to start here: {error}")
    yield made
    made.shutdown()


@pytest.mark.long
def test_the_status_and_the_log_of_each_task_and_a_stop(cluster, tmp_path):
    launcher, stopper = Ray(str(tmp_path / "ray"), address=cluster.address), []

    def job(name, *argv):
        return Job(name, list(argv), {"devices": 1, "accelerator": "cpu"})

    assert launcher.submit([job("good", "--version"), job("bad", "nonsense")], lambda: None) == 2
    assert (tmp_path / "ray" / "good.log").read_text().strip() == __version__
    assert "there is no command 'nonsense'" in (tmp_path / "ray" / "bad.log").read_text()

    def stop():
        if (tmp_path / "ray" / "long.log").exists() and not stopper:
            stopper.append(os.kill(os.getpid(), signal.SIGINT))

    words = ("train", f"output={tmp_path}", "rounds=1000000", "metrics=none", "logger=none")
    assert launcher.submit([job("long", *words), job("never", "--version")], stop) == RESUME
    assert stopper
    assert not (tmp_path / "ray" / "never.log").exists()


def states(sweep):
    return [trial.state for trial in sweep.snapshot()]


@pytest.mark.long
def test_a_sweep_goes_from_here_to_ray_and_back_and_a_node_is_lost(cluster, server, gan, tmp_path):
    first = server.start(
        "train", "-m", "seed=range(0,5)", f"output={tmp_path}", *TINY, "rounds=1500", "pool.runs=1",
        "evaluate_every=500", "sample_every=1500", "checkpoint_every=500", "log_every=500",
    )  # fmt: skip
    first.until(lambda: list(tmp_path.glob("*/000/0/*/checkpoints/last.ckpt")))
    os.kill(first.pid, signal.SIGINT)
    assert first.ended().status == RESUME
    sweep = only(tmp_path)
    assert states(sweep) == ["open"]

    node = cluster.add_node(num_cpus=1)
    there = server.start("sweep", "resume", sweep.folder, "launcher=ray", f"launcher.address={cluster.address}")
    there.until(lambda: states(sweep).count("running") == 2 and len(list(tmp_path.glob("*/*/0/*/run.json"))) >= 2, 300)
    running = [trial.number for trial in sweep.snapshot() if trial.state == "running"]
    assert gan("sweep", "status", sweep.folder).output.count("running") == 3  # the title, and two rows
    cluster.remove_node(node, allow_graceful=False)
    there.until(lambda: "open" in states(sweep), 120)
    (lost,) = [number for number in running if states(sweep)[number] == "open"]
    there.until(lambda: states(sweep)[lost] == "finished", 300)  # on the head
    os.kill(there.pid, signal.SIGINT)
    ended = there.ended()
    assert ended.status == RESUME, ended
    assert "resume with: gan sweep resume" in ended.output
    assert "running" not in states(sweep)
    assert set(states(sweep)) == {"finished", "open"} or len(states(sweep)) < 5

    ended = server.start("sweep", "resume", sweep.folder).ended(300)
    assert ended.status == 0, ended
    assert states(sweep) == ["finished"] * 5
    assert {n: len(made) for n, made in homes(sweep).items()} == dict.fromkeys(range(5), 1)  # none was begun again
    for (home,) in homes(sweep).values():
        assert rounds(home) == sorted(rounds(home))
        assert rounds(home)[-1] == 1500
