"""What each run of a sweep has for itself."""

import pytest

from gan_research.sweeps import pool as module
from gan_research.sweeps.pool import Pool, Slot
from gan_research.utils.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many cores and GPUs."""

    def make(cores, gpus=0, visible=None):
        monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: set(range(cores)))
        monkeypatch.setattr(module.torch.cuda, "device_count", lambda: gpus)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


def test_on_the_cpu_each_run_has_as_many_cores_as_processes(machine):
    machine(cores=5)
    assert Pool().slots(1, on_gpus=False) == [Slot((n,)) for n in range(5)]
    assert Pool().slots(2, on_gpus=False) == [Slot((0, 1)), Slot((2, 3))]
    assert Pool(cores=4).slots(1, on_gpus=False) == [Slot((0, 1, 2, 3))]
    assert Pool().slots(8, on_gpus=False) == [Slot((0, 1, 2, 3, 4))]  # more processes than cores


def test_more_runs_than_have_cores_share_them(machine):
    machine(cores=2)
    assert Pool(runs=3).slots(1, on_gpus=False) == [Slot((0,)), Slot((1,)), Slot((0,))]
    assert Pool(runs=1).slots(1, on_gpus=False) == [Slot((0,))]
    assert Pool(runs=1, pin=False).slots(1, on_gpus=False) == [Slot((0,), pinned=False)]


def test_on_gpus_each_run_has_its_own_and_an_even_part_of_the_cores(machine):
    machine(cores=8, gpus=4)
    assert Pool().slots(1, on_gpus=True) == [Slot((2 * n, 2 * n + 1), (str(n),)) for n in range(4)]
    assert Pool().slots(2, on_gpus=True) == [Slot((0, 1, 2, 3), ("0", "1")), Slot((4, 5, 6, 7), ("2", "3"))]
    assert [slot.gpus for slot in Pool(runs=6).slots(1, on_gpus=True)] == [(n,) for n in "012301"]
    assert [slot.gpus for slot in Pool(gpus=2).slots(1, on_gpus=True)] == [("0", "1"), ("2", "3")]


def test_several_small_runs_may_share_each_gpu(machine):
    machine(cores=6, gpus=2)
    slots = Pool(per_gpu=3).slots(1, on_gpus=True)
    assert slots == [Slot((n,), (gpu,)) for n, gpu in enumerate("010101")]  # one after the other: no GPU fills first
    assert [slot.gpus for slot in Pool(per_gpu=2).slots(2, on_gpus=True)] == [("0", "1")] * 2
    assert Pool(per_gpu=3).slots(1, on_gpus=False) == Pool().slots(1, on_gpus=False)
    with pytest.raises(UserError, match=r"pool.runs=4 and pool.per_gpu=3 both set the number of runs: give one"):
        Pool(runs=4, per_gpu=3)


def test_gpus_are_called_what_the_environment_calls_them(machine):
    machine(cores=2, gpus=2, visible="GPU-aa,7")
    slots = Pool().slots(1, on_gpus=True)
    assert [slot.variables(1)["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["GPU-aa", "7"]


def test_more_gpus_than_there_are(machine):
    machine(cores=2, gpus=1)
    with pytest.raises(UserError, match=r"each run needs 2 GPUs, of 1: lower trainer.devices, or pool.gpus"):
        Pool().slots(2, on_gpus=True)


def test_threads_are_those_of_the_cores_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert Slot((0, 1, 2, 3)).variables(2) == {"OMP_NUM_THREADS": "2"}
    assert Slot((0,)).variables(2) == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Slot((0, 1, 2, 3)).variables(2) == {}
