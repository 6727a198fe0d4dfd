"""scripts/reproduce_cpu.sh: the queue's pieces in their order, resumed, stopped and gone on with after a failure."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "reproduce_cpu.sh"

STUB = """\
#!/bin/sh
# Stands for gan: notes its arguments and threads; its status is that of the file named like its first recipe, else 0.
echo "$OMP_NUM_THREADS: $*" >> "$NOTES/calls"
[ "$2" != "${SLOW:-}" ] || {
    trap 'echo asked >> "$NOTES/calls"; exit 75' TERM
    touch "$NOTES/started"
    i=0
    while [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
}
[ ! -f "$NOTES/$2" ] || exit "$(cat "$NOTES/$2")"
"""

ARGUMENTS = "--budget paper --keep docs/results -- pool.runs=1 pool.cores=1 logger=none"
CALLS = [
    f"1: reproduce unrolled_ring veegan_ring veegan_grid --seeds 5 {ARGUMENTS}",
    f"1: reproduce goodfellow2014_mnist --seeds 3 {ARGUMENTS}",
    f"1: reproduce pacgan_ring pacgan_ring_pacgan2 --seeds 3 {ARGUMENTS}",
    f"1: reproduce pacgan_grid pacgan_grid_pacgan2 --seeds 3 {ARGUMENTS}",
]


def heeding_signals():
    """Ignore no signal, even if the tests run under nohup or in the background: sh can't trap an ignored one."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def queue(tmp_path):
    """queue(PIECE, ..., VARIABLE=...): the script, started, with a stub of gan; `calls()` are the stub's."""
    stub = tmp_path / "gan"
    stub.write_text(STUB)
    stub.chmod(0o755)

    def start(*pieces, **variables):
        given = {"GAN": str(stub), "NOTES": str(tmp_path), "KEEP": "docs/results", "CORE": ""} | variables
        return subprocess.Popen(
            ["sh", str(SCRIPT), *pieces],
            env=os.environ | given, cwd=tmp_path, text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=heeding_signals,
        )  # fmt: skip

    start.notes = tmp_path
    start.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return start


def ended(process):
    """Its exit status, and the lines that it wrote to standard error."""
    _, error = process.communicate(timeout=60)
    return process.returncode, error.splitlines()


def test_all_pieces_in_their_order(queue):
    status, said = ended(queue())
    assert status == 0
    assert queue.calls() == CALLS
    assert said[0] == "reproduce_cpu: unrolled_ring veegan_ring veegan_grid over 5 seeds"
    assert len(said) == 4


def test_pieces_that_are_named(queue):
    assert ended(queue("pacgan_grid", "goodfellow"))[0] == 0
    assert queue.calls() == [CALLS[3], CALLS[1]]


def test_a_piece_that_fails_does_not_hold_up_the_others(queue):
    (queue.notes / "goodfellow2014_mnist").write_text("2")
    status, said = ended(queue())
    assert status == 2
    assert queue.calls() == CALLS
    assert "reproduce_cpu: gan ended with exit status 2, next piece" in said


def test_a_piece_that_was_stopped_ends_the_queue(queue):
    (queue.notes / "goodfellow2014_mnist").write_text("75")
    status, said = ended(queue())
    assert status == 75
    assert queue.calls() == CALLS[:2]
    assert said[-1] == "reproduce_cpu: stopped; run the same command to resume"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_asked_to_stop_it_asks_gan_and_waits_for_it(queue, number):
    process = queue(SLOW="goodfellow2014_mnist")
    deadline = time.monotonic() + 30
    while not (queue.notes / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    assert ended(process)[0] == 75
    assert queue.calls() == [*CALLS[:2], "asked"]


@pytest.mark.parametrize(
    ("pieces", "variables", "message"),
    [
        (["goodfellow", "ring"], {}, "there is no piece ring: give rings, goodfellow, pacgan_ring, pacgan_grid, or"),
        ([], {"GAN": "no/gan"}, "there is no no/gan: run make install first, or give GAN=PROGRAM"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(queue, pieces, variables, message):
    status, said = ended(queue(*pieces, **variables))
    assert status == 2
    assert len(said) == 1
    assert said[0].startswith(f"reproduce_cpu: {message}")
    assert not (queue.notes / "calls").exists()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores can't be chosen here")
def test_it_keeps_to_its_core(queue):
    stub = queue.notes / "gan"
    stub.write_text('#!/bin/sh\ntaskset -pc $$ | sed "s/.*: //" >> "$NOTES/calls"\n')
    core = str(min(os.sched_getaffinity(0)))
    assert ended(queue("rings", CORE=core))[0] == 0
    assert queue.calls() == [core]
