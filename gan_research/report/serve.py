"""A page that is served while its runs go on: two addresses, no files."""

import ipaddress
import json
import socket
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gan_research.report.folders import is_played, walk
from gan_research.report.page.page import Content, nothing, policy, rendered
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import CONFIG, CRASHES, END, HISTORY, RUN, SAMPLES

LOOPBACK = "127.0.0.1"
PORT = 8321
PORTS = 100
"""Tried one after the other, where none is asked for."""
SECONDS = 2.0
"""Between two looks at the runs, at least."""
SHARE = 0.1
"""Of the time at most goes into making pages: the runs need it."""


class Live:
    """The newest page: made anew when something has changed in the runs, and it is asked for."""

    def __init__(
        self,
        make: Callable[[], Content],
        signature: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._make, self._signature, self._clock = make, signature, clock
        self._lock = Lock()
        self._content: Content | None = None
        self._version = ""
        self._seen: object = None
        self._next = 0.0

    def current(self) -> tuple[str, Content]:
        """The page and its version; what can't be compared (yet) is a page that says so."""
        with self._lock:
            if self._content is None or self._clock() >= self._next:
                begun = self._clock()
                if (seen := self._signature()) != self._seen or self._content is None:
                    self._content = self._made()
                    self._version = self._content.version
                    self._seen = seen
                took = self._clock() - begun
                self._next = self._clock() + max(SECONDS, took / SHARE)
            return self._version, self._content

    def _made(self) -> Content:
        try:
            return self._make()
        except UserError as error:
            return nothing("Nothing to compare yet", str(error))
        except OSError as error:  # a run was moved away while it was read
            return self._content or nothing("Nothing to compare yet", str(error))


def signature(folder: Path) -> object:
    """Changes when a run in `folder` is begun, goes on, is ended or killed."""
    seen = []
    for path in walk(folder):
        for name in (RUN, CONFIG, HISTORY, END, SAMPLES, CRASHES):
            try:
                told = (path / name).stat()
            except OSError:
                continue
            seen.append((str(path), name, told.st_mtime_ns, told.st_size))
        seen.append((str(path), "played", int(is_played(path)), 0))
    return sorted(seen)


class Handler(BaseHTTPRequestHandler):
    """GET / is the page, GET /data?version=V what is newer than V; there is nothing else."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gan", ""
    timeout = 30

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if not self.server.allows(self.headers.get("Host", "")):
            self._send(403, "text/plain", "this address isn't known here: see gan watch --host\n")
        elif address.path == "/":
            _, content = self.server.live.current()
            self._send(200, "text/html", rendered(content, live=True))
        elif address.path == "/data":
            version, content = self.server.live.current()
            if parse_qs(address.query).get("version") == [version]:
                self._send(204)
                return
            news = {"version": version, "document": content.document, "pictures": content.pictures}
            self._send(200, "application/json", json.dumps(news, separators=(",", ":")))
        else:
            self._send(404, "text/plain", "there is nothing here but /\n")

    def _send(self, status: int, kind: str = "", text: str = "") -> None:
        body = text.encode(errors="replace")
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Content-Security-Policy", f"{policy(live=True)}; frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: each page asks every two seconds."""


class Server(ThreadingHTTPServer):
    """Serves a `Live` page on host:port. Raises an OSError where the port is taken."""

    daemon_threads = True

    def __init__(self, live: Live, host: str = LOOPBACK, port: int = PORT):
        self.live, self.host = live, host
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Handler)

    @property
    def url(self) -> str:
        host = socket.gethostname() if self.everywhere else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"

    @property
    def everywhere(self) -> bool:
        """Whether it listens on all addresses of this host."""
        return self.host in ("", "0.0.0.0", "::")

    def allows(self, header: str) -> bool:
        """Whether a request's Host header names this server: other names may lead here by DNS rebinding."""
        name = header.lower()
        name = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
        if name in {"localhost", LOOPBACK, "[::1]", self.host.lower(), f"[{self.host.lower()}]"} - {"", "[]"}:
            return True
        return self.everywhere and (
            is_address(name) or name in {socket.gethostname().lower(), socket.getfqdn().lower()}
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of a reader who went away in the middle, nothing; of anything else as usual."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def is_address(name: str) -> bool:
    """Whether it is a number, which no DNS can lead elsewhere."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def open_server(live: Live, host: str, port: int | None) -> Server:
    """On `port`, or on the first free one from PORT on. Raises a UserError where there is none."""
    for number in range(PORT, PORT + PORTS) if port is None else [port]:
        try:
            return Server(live, host, number)
        except socket.gaierror as error:
            raise UserError(f"--host {host}: {error.strerror}") from error
        except (OSError, OverflowError) as error:
            problem = error
    where = f"--port {port}" if port is not None else f"{host}, ports {PORT} to {PORT + PORTS - 1}"
    raise UserError(f"{where}: can't be listened on: {problem}")
