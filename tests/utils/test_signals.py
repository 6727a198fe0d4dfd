"""Signals that stop a process: the end of its terminal among them."""

import os
import pty
import signal
import sys

import pytest

from gan_research.utils.signals import on_stop_signals

CODE = """
import os, signal, sys, time
from gan_research.utils.signals import on_stop_signals
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it may be ignored where the tests run
seen = []
with on_stop_signals(seen.append):
    print("ready", flush=True)
    while not seen:
        time.sleep(0.01)
    signal.raise_signal(signal.SIGHUP)  # the kernel's, after the shell's
    print("to nobody", flush=True)
    os.write(2, b"to nobody")
sys.exit(len(seen) + 10 * (seen == [signal.SIGHUP]))
"""


def test_a_closed_terminal_asks_once_and_output_goes_nowhere():
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", CODE])
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 1000)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 11


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_hangup_stays_ignored_if_it_was(before):
    old = signal.signal(signal.SIGHUP, before)
    try:
        seen = []
        with on_stop_signals(seen.append):
            signal.raise_signal(signal.SIGHUP)
        assert seen == ([] if before == signal.SIG_IGN else [signal.SIGHUP])
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, old)
