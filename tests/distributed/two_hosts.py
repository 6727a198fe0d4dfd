"""Two hosts on one machine: network namespaces with an address and a name each, joined by a cable."""

import ctypes
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

TORCHRUN = Path(sys.executable).with_name("torchrun")
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21


def reason_why_not():
    """Why two hosts can't be made here; nothing where they can."""
    if not sys.platform.startswith("linux") or not all(map(shutil.which, ("ip", "unshare"))):
        return "network namespaces need Linux with iproute2 and util-linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    status = Path("/proc/self/status").read_text()
    capabilities = int(status.partition("CapEff:\t")[2].split()[0], 16)
    if not all(capabilities >> bit & 1 for bit in (CAP_NET_ADMIN, CAP_SYS_ADMIN)):
        return "network namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN"
    if not TORCHRUN.is_file():
        return f"there is no {TORCHRUN}"
    return ""


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Host:
    """A host; what runs on it is one process group for each `start`."""

    def __init__(self, name, interface, address):
        self.name, self.interface, self.address = name, interface, address
        self.started = []

    def names(self):
        """What /etc/hosts is on this host."""
        return Path("/etc/netns", self.name, "hosts")

    def connect(self):
        ip("link", "set", self.interface, "netns", self.name)
        ip("-n", self.name, "addr", "add", f"{self.address}/30", "dev", self.interface)
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", self.interface, "up")

    def cut_off(self):
        ip("-n", self.name, "link", "set", self.interface, "down")

    def plug_in(self):
        ip("-n", self.name, "link", "set", self.interface, "up")

    def start(self, words, log, variables=None):
        """A command on this host; what it says goes to `log`."""
        as_host = f'hostname {self.name} && exec ip netns exec {self.name} "$@"'
        with log.open("a") as out:
            process = subprocess.Popen(
                ["unshare", "--uts", "sh", "-c", as_host, "sh", *map(str, words)],
                env=os.environ | (variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=_killed_with_parent(),
            )
        self.started.append(process)
        return process

    def processes(self):
        """All that runs on this host."""
        listed = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        return [int(pid) for pid in listed.stdout.split()]

    def kill(self):
        """Every process of this host, at once, and all that they start meanwhile."""
        deadline = time.monotonic() + 30
        while pids := self.processes():
            assert time.monotonic() < deadline, f"{pids} can't be killed"
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        for process in self.started:
            process.kill()
            process.wait(30)
        self.started.clear()

    def remove(self):
        """The host, its cable, and all that runs on it."""
        self.kill()
        for words in (["netns", "delete", self.name], ["link", "delete", self.interface]):
            with suppress(subprocess.CalledProcessError):  # it wasn't made, or went with the namespace
                ip(*words)
        shutil.rmtree(self.names().parent, ignore_errors=True)


def _killed_with_parent():
    prctl, set_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_death_signal, signal.SIGKILL)


def made():
    """Two hosts that reach each other and nobody else; yielded once, and removed with all that runs on them.

    Both ends of the cable are in namespaces of their own, so that the same addresses may be in use elsewhere.
    """
    remove_those_of_the_dead()
    token = secrets.token_hex(3)
    hosts = [Host(f"gan-{os.getpid()}-{token}-{i}", f"gan{token}{i}", f"10.213.7.{i + 1}") for i in range(2)]
    try:
        for host in hosts:
            ip("netns", "add", host.name)
            host.names().parent.mkdir(parents=True)
            host.names().write_text("".join(f"{h.address} {h.name}\n" for h in hosts) + "127.0.0.1 localhost\n")
        first, second = hosts
        ip("link", "add", first.interface, "type", "veth", "peer", "name", second.interface)
        for host in hosts:
            host.connect()
        yield hosts
    finally:
        for host in hosts:
            host.remove()


def remove_those_of_the_dead():
    """Hosts whose tests were killed before they could remove them."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name, owner in re.findall(r"^(gan-(\d+)-[0-9a-f]{6}-[01])\b", listed, re.MULTILINE):
        if not Path("/proc", owner).exists():
            Host(name, f"gan{name[-8:-2]}{name[-1]}", "").remove()
