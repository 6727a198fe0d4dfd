"""Addresses of this machine at which pages are served: hosts, ports, and the names of a request's host."""

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable
from typing import TypeVar

from gan_research.utils.errors import UserError

LOOPBACK = "127.0.0.1"
PORT = 8321
PORTS = 100  # the number of ports that are tried if none is given
HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")  # a name or an [IPv6 address], and a port

T = TypeVar("T")


def listening(listen: Callable[[int], T], host: str, port: int | None) -> T:
    """Return `listen(port)`, or that of the first free port from PORT on; raise a UserError if there is none."""
    for number in range(PORT, PORT + PORTS) if port is None else [port]:
        try:
            return listen(number)
        except socket.gaierror as error:
            raise UserError(f"--host {host}: {error.strerror}") from error
        except (OSError, OverflowError) as error:
            problem = error
    where = f"--port {port}" if port is not None else f"{host}, ports {PORT} to {PORT + PORTS - 1}"
    raise UserError(f"{where}: can't listen: {problem}")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    return host in (LOOPBACK, "localhost", "::1")


def is_everywhere(host: str) -> bool:
    """Return whether it means all addresses of this machine."""
    return host in ("", "0.0.0.0", "::")


def url(host: str, port: int) -> str:
    """Return the URL of a server that listens on `host`."""
    name = socket.gethostname() if is_everywhere(host) else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def allows(host: str, header: str) -> bool:
    """Return whether a Host header names a server on `host`: DNS rebinding may send requests with other names."""
    if (parts := HOST.fullmatch(header.lower())) is None:
        return False
    name = parts.group(1)
    if name in {"localhost", LOOPBACK, "[::1]", host.lower(), f"[{host.lower()}]"} - {"", "[]"}:
        return True
    with contextlib.suppress(ValueError):  # DNS rebinding doesn't apply to addresses
        return is_everywhere(host) and bool(ipaddress.ip_address(name.strip("[]")))
    return is_everywhere(host) and name in {socket.gethostname().lower(), socket.getfqdn().lower()}
