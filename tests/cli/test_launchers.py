"""A run as a job of a cluster: what is submitted, what each of its tasks does, and when the job is requeued.

The cluster is played by three small programs in PATH: sbatch keeps what it is given, srun starts the tasks with the
variables that Slurm would set and ends them all where one fails, scontrol keeps what it is asked and ends the tasks.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import submitit

from gan_research.cli import multirun
from gan_research.config.compose import compose_train
from gan_research.launchers.task import Task
from gan_research.utils.errors import RESUME
from gan_research.utils.slurm import first_host, rank_variables

JOB = "41234"

SBATCH = f"""#!/bin/sh
echo "$1" > "$CLUSTER/sbatch"
if [ -e "$CLUSTER/closed" ]; then echo "sbatch: error: invalid partition specified: nowhere" >&2; exit 1; fi
echo "Submitted batch job {JOB}"
"""

SRUN = f"""#!{sys.executable}
import os, subprocess, sys, time
words, output = sys.argv[1:], None
while words[0].startswith("-"):
    word = words.pop(0)
    if word == "--output":
        output = words.pop(0)
size = int(os.environ["SLURM_NTASKS"])
tasks = []
for i in range(size):
    place = dict(SLURM_PROCID=str(i), SLURM_LOCALID=str(i), SLURM_NODEID="0", SLURM_STEP_NUM_TASKS=str(size))
    log = open(output.replace("%j", "{JOB}").replace("%t", str(i)), "a") if output else None
    tasks.append(subprocess.Popen(words, env={{**os.environ, **place}}, stdout=log, stderr=subprocess.STDOUT))
with open(os.environ["CLUSTER"] + "/tasks.partial", "w") as file:
    file.write(" ".join(str(task.pid) for task in tasks))
os.rename(file.name, os.environ["CLUSTER"] + "/tasks")
while any(task.poll() is None for task in tasks):
    if any(task.poll() for task in tasks):
        for task in tasks:
            task.kill()
    time.sleep(0.05)
sys.exit(max(s if s >= 0 else 128 - s for s in (task.wait() for task in tasks)))
"""

SCONTROL = """#!/bin/sh
echo "$@" >> "$CLUSTER/scontrol"
kill -TERM $(cat "$CLUSTER/tasks")
"""

BASH = next(path for path in ("/bin/bash", "/usr/bin/bash") if Path(path).exists())


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
            path = folder / "bin" / name
            path.write_text(text)
            path.chmod(0o755)

    def script(self):
        """What sbatch was given."""
        return Path((self.folder / "sbatch").read_text().strip()).read_text()

    def start(self, tasks=1):
        """The job begins to run; its process."""
        (self.folder / "tasks").unlink(missing_ok=True)
        slurm = {"SLURM_JOB_ID": JOB, "SLURM_NTASKS": str(tasks), "SLURM_JOB_NUM_NODES": "1"}
        environment = os.environ | slurm | {"SLURM_JOB_NODELIST": "localhost", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([BASH, "-c", self.script()], env=environment)

    def tell(self, number):
        """Slurm sends each task a signal."""
        for pid in wait_for(self.folder / "tasks").split():
            os.kill(int(pid), number)

    def requeued(self):
        """What scontrol was asked."""
        path = self.folder / "scontrol"
        return path.read_text().splitlines() if path.exists() else []


def wait_for(path, seconds=30):
    """What a file says, once it is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} isn't there after {seconds} s"
        time.sleep(0.02)
    return path.read_text()


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster without nodes."""
    cluster = Cluster(tmp_path / "cluster")
    monkeypatch.setenv("CLUSTER", str(cluster.folder))
    monkeypatch.setenv("PATH", f"{cluster.folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("RANK", raising=False)
    return cluster


# What is submitted


def test_the_file_that_sbatch_gets(cluster, gan, tmp_path):
    runs = tmp_path / "runs"
    size = ["launcher.nodes=2", "trainer=ddp_multinode", "trainer.devices=8"]
    fields = ["memory=64G", "partition=long", "account=us", "qos=high", "constraint=a100|h100", "minutes=600"]
    more = ["launcher.parameters={mail-type: END, exclusive: true}", "launcher.setup=[module load cuda]"]
    launcher = ["launcher=slurm", *size[:1], *(f"'launcher.{f}'" if "|" in f else f"launcher.{f}" for f in fields)]
    launcher = [word.strip("'") for word in launcher]
    result = gan("train", f"output={runs}", "name=two words", "loss=hinge", *launcher, *more, *size[1:], "seed=3")
    assert result == (
        0,
        f"job {JOB}\nlogs {runs}/slurm/{JOB}\nfollow it: squeue -j {JOB}; tail -F {runs}/slurm/{JOB}/{JOB}_0_log.out\n",
        "",
    )
    words = [f"output={runs}", "name=two words", "loss=hinge", *size[1:], "seed=3", "launcher=local", "resume=auto"]
    folder = f"{runs}/slurm/%j"
    assert cluster.script().splitlines() == [
        "#!/bin/bash",
        "",
        "# Parameters",
        "#SBATCH --account=us",
        f"#SBATCH --comment={shlex.quote(shlex.join(['gan', 'train', *words]))}",
        "#SBATCH --constraint='a100|h100'",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --exclusive",
        "#SBATCH --gpus-per-node=8",
        "#SBATCH --job-name='two words-s3'",
        "#SBATCH --mail-type=END",
        "#SBATCH --mem=64G",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=8",
        "#SBATCH --open-mode=append",
        f"#SBATCH --output={folder}/%j_0_log.out",
        "#SBATCH --partition=long",
        "#SBATCH --qos=high",
        "#SBATCH --requeue",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --time=600",
        "#SBATCH --wckey=submitit",
        "",
        "# setup",
        "module load cuda",
        "",
        "# command",
        "export SUBMITIT_EXECUTOR=slurm",
        f"srun --unbuffered --output {folder}/%j_%t_log.out --kill-on-bad-exit=1 --cpus-per-task=4 "
        f"{sys.executable} -u -m submitit.core._submit {folder}",
    ]
    assert {path.name for path in (runs / "slurm" / JOB).iterdir()} == {f"{JOB}_submission.sh", f"{JOB}_submitted.pkl"}
    task = submitit.core.utils.DelayedSubmission.load(runs / "slurm" / JOB / f"{JOB}_submitted.pkl").function
    assert task.command == [sys.executable, "-u", "-m", "gan_research", "train", *words]
    assert task.requeues == 20


def asked(cluster):
    """option -> value, of what sbatch was given."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", cluster.script(), re.MULTILINE))


@pytest.mark.parametrize(
    ("overrides", "nodes", "tasks", "gpus"),
    [
        ([], "1", "1", "1"),
        (["trainer=cpu"], "1", "1", None),
        (["launcher.gpus_per_node=0"], "1", "1", None),
        (["launcher.gpus_per_node=4"], "1", "1", "4"),
        (["trainer=ddp", "trainer.devices=4"], "1", "4", "4"),
        (["trainer=ddp", "launcher.tasks_per_node=4"], "1", "4", "4"),
        (["trainer=ddp", "launcher.gpus_per_node=4"], "1", "4", "4"),
        (["trainer=ddp", "trainer.devices=[1,3]"], "1", "2", "2"),
        (["trainer=ddp_multinode", "trainer.devices=4", "trainer.accelerator=cpu"], "2", "4", None),
    ],
)
def test_what_the_trainer_says_is_asked_for(cluster, gan, tmp_path, overrides, nodes, tasks, gpus):
    result = gan("train", f"output={tmp_path}", "launcher=slurm", *overrides)
    assert result.status == 0, result.error
    options = asked(cluster)
    assert (options["nodes"], options["ntasks-per-node"], options.get("gpus-per-node")) == (nodes, tasks, gpus)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["launcher.nodes=2"], ["2 x 1 tasks", "1 x 1 devices", "launcher.nodes", "trainer.num_nodes"]),
        (["trainer=ddp", "trainer.devices=4", "launcher.tasks_per_node=8"], ["1 x 8 tasks", "1 x 4 devices"]),
        (["trainer=ddp", "launcher.tasks_per_node=8", "launcher.nodes=2"], ["2 x 8 tasks", "1 x any devices"]),
        (["trainer=ddp"], ["trainer.devices=auto", "launcher.tasks_per_node"]),
        (["trainer=ddp", "trainer.devices=4", "launcher.gpus_per_node=2"], ["launcher.gpus_per_node=2", "4 tasks"]),
        (["launcher.minutes=-5"], ["launcher.minutes=-5", "greater than 0"]),
        (["launcher.minutes=2"], ["launcher.signal_seconds=120", "launcher.minutes=2"]),
        (["launcher.memroy=3"], ["there is no launcher.memroy", "did you mean 'launcher.memory'?"]),
    ],
)
def test_a_job_that_cannot_be(cluster, gan, one_line, tmp_path, overrides, parts):
    one_line(gan("train", f"output={tmp_path / 'runs'}", "launcher=slurm", *overrides), *parts)
    assert not (cluster.folder / "sbatch").exists()
    assert not (tmp_path / "runs").exists()


def test_machines_from_which_nothing_can_be_submitted(cluster, gan, one_line, tmp_path, monkeypatch):
    command = ("train", f"output={tmp_path / 'runs'}", "launcher=slurm")
    (cluster.folder / "closed").touch()
    one_line(gan(*command), "sbatch didn't take the job", "invalid partition specified: nowhere")
    monkeypatch.setenv("RANK", "0")
    one_line(gan(*command), "start it once, not by torchrun or srun")
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("PATH", "/nowhere")
    one_line(gan(*command), "no sbatch", "login node")
    monkeypatch.setitem(sys.modules, "submitit", None)
    one_line(gan(*command), "needs submitit", "pip install 'gan_research[slurm]'")


def test_a_study_is_not_submitted(cluster, gan, one_line):
    one_line(gan("theory", "phases", "launcher=slurm"), "gan theory has no launcher")


def test_an_old_run_is_submitted_as_it_is_asked_now_and_not_as_its_own_record_asks(cluster, gan, finished, tmp_path):
    runs = tmp_path / "their runs"
    runs.mkdir()
    run = runs / "old"
    run.mkdir()
    for name in ("run.json", "config.yaml"):
        (run / name).write_bytes((finished / name).read_bytes())
    record = json.loads((run / "run.json").read_text())
    record["overrides"] += ["launcher=slurm", "launcher.setup=[rm -rf /]"]
    (run / "run.json").write_text(json.dumps(record))
    result = gan("train", f"resume={run}", "rounds=50", "launcher=slurm", "trainer=ddp", "trainer.devices=2")
    assert result.status == 0, result.error
    assert asked(cluster)["ntasks-per-node"] == "2"
    assert asked(cluster)["job-name"] == record["name"]
    assert "rm -rf" not in cluster.script()
    task = submitit.core.utils.DelayedSubmission.load(runs / "slurm" / JOB / f"{JOB}_submitted.pkl").function
    words = [f"resume={run}", "rounds=50", "trainer=ddp", "trainer.devices=2", "launcher=local"]
    assert task.command[-len(words) - 1 :] == ["train", *words]


def test_who_launches_a_run_is_no_part_of_its_game():
    from gan_research.runs.auto_resume import game_of
    from gan_research.runs.fit import names

    here, there = compose_train([]), compose_train(["launcher=slurm"])
    assert here.config["launcher"] == {"_target_": "gan_research.launchers.Local"}
    assert names(here) == names(there)
    assert game_of(here.config) == game_of(there.config)


# What a task does

STUB = """
import os, signal, sys, time
folder, *statuses = sys.argv[1:]
place = [os.environ.get(name, "0") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")]
rank = place[0]
status = int(statuses[int(rank) % len(statuses)])
told = []
if status != -1:
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: told.append(number))
with open(f"{folder}/started.{rank}.partial", "w") as file:
    file.write(" ".join(place))
os.rename(file.name, f"{folder}/started.{rank}")
while not told and status <= 0 and not os.path.exists(f"{folder}/end"):
    time.sleep(0.02)
status = status if status > 0 else 75 if told else 0
time.sleep(0.5)  # a checkpoint
open(f"{folder}/told.{rank}", "w").write(" ".join(signal.Signals(n).name for n in told))
sys.exit(status)
"""
"""Plays until `end` is there; told to stop it exits with 75. With a status above 0 it ends at once; -1: deaf."""


@pytest.fixture
def stub(cluster, tmp_path):
    """stub(*statuses of the ranks): a submitted job that pretends to train."""
    (tmp_path / "stub.py").write_text(STUB)

    def submit(*statuses, requeues=2, patience=1.0):
        executor = submitit.SlurmExecutor(tmp_path / "logs" / "%j")
        executor.update_parameters(stderr_to_stdout=True)
        command = [sys.executable, str(tmp_path / "stub.py"), str(tmp_path), *map(str, statuses)]
        executor.submit(Task(command, requeues, patience))
        return tmp_path / "logs" / JOB

    return submit


def output(logs, task=0):
    return (logs / f"{JOB}_{task}_log.out").read_text()


def test_each_task_knows_its_place(cluster, stub, tmp_path):
    stub(0)
    (tmp_path / "end").touch()
    assert cluster.start(tasks=2).wait() == 0
    assert (tmp_path / "started.0").read_text() == "0 2 0 localhost 16234"
    assert (tmp_path / "started.1").read_text() == "1 2 1 localhost 16234"
    assert cluster.requeued() == []


def test_a_job_that_is_told_to_stop_is_requeued_once_its_training_has_stopped(cluster, stub, tmp_path):
    logs = stub(0)
    for start in (1, 2):
        job = cluster.start(tasks=2)
        for rank in (0, 1):
            wait_for(tmp_path / f"started.{rank}")
        cluster.tell(signal.SIGUSR2)
        assert job.wait() != 0
        assert cluster.requeued() == [f"requeue {JOB}"] * start
        for rank in (0, 1):
            assert (tmp_path / f"told.{rank}").read_text() == "SIGUSR2"
            (tmp_path / f"started.{rank}").unlink()
    job = cluster.start(tasks=2)  # the last start
    for rank in (0, 1):
        wait_for(tmp_path / f"started.{rank}")
    cluster.tell(signal.SIGUSR2)
    assert job.wait() != 0
    assert cluster.requeued() == [f"requeue {JOB}"] * 2
    assert "requeued as often as launcher.max_requeues allows; to resume it, submit the same command again" in output(
        logs
    )


def test_a_job_that_ends_when_told_to_stop_is_over(cluster, stub, tmp_path):
    stub(0)
    job = cluster.start()
    wait_for(tmp_path / "started.0")
    (tmp_path / "end").touch()
    time.sleep(0.2)  # it has seen it, and hasn't ended yet
    cluster.tell(signal.SIGUSR2)
    assert job.wait() == 0
    assert (tmp_path / "told.0").read_text() == "SIGUSR2"
    assert cluster.requeued() == []


def test_a_training_that_is_told_before_it_can_hear_is_requeued(cluster, stub, tmp_path):
    stub(-1)
    job = cluster.start()
    wait_for(tmp_path / "started.0")
    cluster.tell(signal.SIGUSR2)
    assert job.wait() != 0
    assert not (tmp_path / "told.0").exists()
    assert cluster.requeued() == [f"requeue {JOB}"]


def test_a_training_that_stops_by_itself_is_requeued(cluster, stub):
    stub(RESUME)
    assert cluster.start(tasks=2).wait() != 0
    assert cluster.requeued() == [f"requeue {JOB}"]


def test_a_training_that_fails_fails_the_job_whatever_that_does_to_the_others(cluster, stub):
    logs = stub(RESUME, 3)
    assert cluster.start(tasks=2).wait() != 0
    assert cluster.requeued() == []
    assert "Stopped: gan train ended with exit status 3: see its messages above" in output(logs, task=1)


@pytest.mark.parametrize("then", [None, signal.SIGUSR2])
def test_a_cancelled_job_stops_and_a_preempted_one_is_requeued(cluster, stub, tmp_path, then):
    logs = stub(0, patience=0.02)
    job = cluster.start()
    wait_for(tmp_path / "started.0")
    cluster.tell(signal.SIGTERM)
    if then is not None:
        time.sleep(0.1)
        cluster.tell(then)
    assert job.wait() != 0
    assert (tmp_path / "told.0").read_text() == "SIGTERM"
    assert cluster.requeued() == ([] if then is None else [f"requeue {JOB}"])
    assert ("the training was stopped; to resume it, submit the same command again" in output(logs)) == (then is None)


GAN = """#!/bin/sh
echo "$@" > "$CLUSTER/gan"
exit $STATUS
"""


@pytest.mark.parametrize(
    ("status", "before", "requeued"),
    [(0, None, False), (2, None, False), (RESUME, None, True), (RESUME, "19", True), (RESUME, "20", False)],
)
def test_the_batch_file_requeues_what_can_go_on(cluster, monkeypatch, status, before, requeued):
    (cluster.folder / "bin" / "gan").write_text(GAN)
    (cluster.folder / "bin" / "gan").chmod(0o755)
    slurm = {"JOB_ID": JOB, "NTASKS": "1", "JOB_NUM_NODES": "2", "NTASKS_PER_NODE": "8", "CPUS_PER_TASK": "4"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("STATUS", str(status))
    if before is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", before)
    script = Path(__file__).resolve().parents[2] / "scripts" / "slurm_srun.sbatch"
    result = subprocess.run([BASH, str(script), "loss=hinge"], capture_output=True, text=True)
    assert result.returncode == status
    trainer = "trainer=ddp_multinode trainer.num_nodes=2 trainer.devices=8"
    assert (cluster.folder / "gan").read_text() == f"train {trainer} loss=hinge resume=auto\n"
    assert cluster.requeued() == ([f"requeue {JOB}"] if requeued else [])


# Real training

COMMAND = [sys.executable, "-u", "-m", "gan_research"]


def game(output, rounds, every):
    """`train` of a small game that writes a checkpoint every `every` rounds."""
    shape = ["generator.width=16", "discriminator.width=16", "metrics.num_samples=100", "logger=none"]
    intervals = [f"{key}_every={every}" for key in ("log", "sample", "evaluate", "checkpoint")]
    return ["train", f"output={output}", f"rounds={rounds}", *shape, *intervals]


def tasks_of(job):
    """The processes of a job of submitit's local executor."""
    controller = job.job_id
    return [int(pid) for pid in Path(f"/proc/{controller}/task/{controller}/children").read_text().split()]


def run_of(output):
    """The folder of the only run in there."""
    (record,) = output.glob("*/run.json")
    return record.parent


def first_checkpoint(output):
    """Waits for the one that is written before the first round."""
    deadline = time.monotonic() + 120
    while not list(output.glob("*/checkpoints/last.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def local(tmp_path, monkeypatch):
    """submitit's executor on this machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    executor = submitit.LocalExecutor(tmp_path / "logs")
    executor.update_parameters(timeout_min=10, stderr_to_stdout=True)
    return executor


@pytest.mark.long
def test_a_job_trains(local, tmp_path, rows):
    job = local.submit(Task([*COMMAND, *game(tmp_path / "runs", 20, 10), "launcher=local", "resume=auto"], 2))
    assert job.result() is None
    assert [row["round"] for row in rows(run_of(tmp_path / "runs"))][-1] == 20


@pytest.mark.long
def test_a_job_of_submitit_that_is_told_to_stop_goes_on_to_the_very_same_end(
    local, gan, tmp_path, state, rows, identical
):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    job = local.submit(Task([*COMMAND, *game(cut, 600, 150), "launcher=local", "resume=auto"], 2))
    first_checkpoint(cut)
    for pid in tasks_of(job):
        os.kill(pid, signal.SIGUSR2)
    assert job.result() is None
    run = run_of(cut)
    assert len(json.loads((run / "run.json").read_text())["segments"]) == 2, job.stdout()
    assert gan(*game(whole, 600, 150)).status == 0
    assert rows(run) == rows(run_of(whole))
    assert identical(state(run), state(run_of(whole)))


@pytest.mark.long
def test_a_job_of_two_tasks_is_requeued_and_goes_on_to_the_very_same_end(
    cluster, gan, tmp_path, state, rows, identical, monkeypatch
):
    several = ["trainer=ddp_multinode", "trainer.devices=2", "trainer.num_nodes=1", "trainer.accelerator=cpu"]
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    result = gan(*game(cut, 300, 100), *several, "launcher=slurm", "launcher.max_requeues=1")
    assert result.status == 0, result.error
    job = cluster.start(tasks=2)
    first_checkpoint(cut)
    cluster.tell(signal.SIGUSR2)
    assert job.wait() != 0
    log = (cut / "slurm" / JOB / f"{JOB}_0_log.out").read_text
    assert cluster.requeued() == [f"requeue {JOB}"], log()
    assert "stopped after round" in log()
    assert cluster.start(tasks=2).wait() == 0, log()
    run = run_of(cut)
    record = json.loads((run / "run.json").read_text())
    assert len(record["segments"]) == 2
    assert record["job"] == f"slurm {JOB}"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert subprocess.run([*COMMAND, *game(whole, 300, 100), "trainer=ddp", *several[1:2], several[3]]).returncode == 0
    assert rows(run) == rows(run_of(whole))
    assert identical(state(run), state(run_of(whole)))


# Tasks of srun

STEP = {
    "SLURM_JOB_ID": "5462202",
    "SLURM_JOB_NODELIST": "c[3005,3011-3019],gpu1",
    "SLURM_NTASKS": "16",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_STEP_NODELIST": "c[3011-3012]",
}
BATCH = {k: v for k, v in STEP.items() if "STEP" not in k} | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


def test_the_place_of_a_task_of_srun():
    place = {
        "RANK": "9",
        "WORLD_SIZE": "16",
        "LOCAL_RANK": "1",
        "GROUP_RANK": "1",
        "MASTER_ADDR": "c3011",
        "MASTER_PORT": "17202",
    }
    assert rank_variables(STEP) == place
    without = {k: v for k, v in STEP.items() if k != "SLURM_STEP_NODELIST"}
    assert rank_variables(without) == place | {"MASTER_ADDR": "c3005"}
    own = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "2345"}
    assert rank_variables(STEP | own) == place | own


@pytest.mark.parametrize(
    "environment",
    [{}, BATCH, STEP | {"SLURM_STEP_NUM_TASKS": "1"}, STEP | {"RANK": "0"}],
    ids=["no Slurm", "the script of a batch job", "a single task", "torchrun"],
)
def test_who_is_not_one_of_several_tasks_of_srun(environment):
    assert rank_variables(environment) == {}


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node7", "node7"),
        ("node7,node9", "node7"),
        ("node[07-12]", "node07"),
        ("node[3,5-6],gpu[1-2]", "node3"),
        ("rack[1-2]node[03-04]", "rack1node03"),
        ("gpu-a-1.cluster.org,node[1-2]", "gpu-a-1.cluster.org"),
        ("a-b[10-12]-ib", "a-b10-ib"),
    ],
)
def test_the_first_host_of_a_list(hosts, first):
    assert first_host(hosts) == first


# A sweep


def takes_part(script, folder):
    """Whether the job resumes the sweep, and retries what failed before it was submitted."""
    command = f"gan sweep resume {shlex.quote(str(folder))} pool.runs=1 pool.pin=false pool.failed_before="
    (comment,) = [shlex.split(line)[1] for line in script if line.startswith("#SBATCH --comment=")]
    before, instant = comment.removeprefix("--comment=")[: len(command)], comment.rpartition("=")[2]
    return before == command and 0 <= time.time() - int(instant) < 600


def test_a_sweep_of_jobs_that_take_part_in_it(cluster, gan, tmp_path):
    words = ["loss=hinge,minimax", "seed=0,1", f"output={tmp_path}", "logger=none", "metrics=none"]
    result = gan("train", "-m", *words, "launcher=slurm", "launcher.minutes=90", "trainer=ddp", "trainer.devices=2",
                 "trainer.accelerator=cpu", "pool.jobs=3")  # fmt: skip
    assert result.status == 0, result.error
    (folder,) = tmp_path.glob("sweep-loss-seed-*")
    assert f"show its trials: gan sweep status {folder}" in result.output
    assert result.output.count("squeue -j") == 3
    script = cluster.script().splitlines()
    assert takes_part(script, folder)
    assert "#SBATCH --ntasks-per-node=1" in script  # it starts the two processes of a run itself
    assert "#SBATCH --time=90" in script
    assert not [line for line in script if "gpus" in line]
    assert not list(folder.glob("*/trial.json"))  # nothing was played here


def test_each_job_of_a_sweep_has_the_gpus_of_one_run(cluster, gan, tmp_path, monkeypatch):
    monkeypatch.setattr(multirun, "build_trainer", lambda node: SimpleNamespace(world_size=2, num_nodes=1))
    result = gan("train", "-m", "sweep=optuna", "rounds=int(interval(5,9))", f"output={tmp_path}", "launcher=slurm",
                 "sweep.trials=2", "trainer=ddp", "trainer.devices=2")  # fmt: skip
    assert result.status == 0, result.error
    assert result.output.count("squeue -j") == 2
    assert "#SBATCH --gpus-per-node=2" in cluster.script().splitlines()


def test_a_reproduction_by_jobs_shows_what_there_is_so_far(cluster, gan, tmp_path):
    words = ["pacgan_ring", "--seeds", "2", "--budget", "smoke", "--", f"output={tmp_path}", "logger=none"]
    result = gan("reproduce", *words, "launcher=slurm")
    assert result.status == RESUME, result.error
    folder = tmp_path / "reproduce-smoke"  # the launcher makes it no other
    assert result.output.count("squeue -j") == 2
    assert takes_part(cluster.script().splitlines(), folder)
    (found,) = json.loads((folder / "results.json").read_text())
    assert [seed["state"] for seed in found["seeds"]] == ["open", "open"]
    assert {verdict["word"] for verdict in found["verdicts"]} == {"not comparable"}
