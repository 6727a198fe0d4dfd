"""The server of `gan watch`: a page that follows its runs, at two addresses, without files."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

from gan_research.report.folders import is_running, walk
from gan_research.report.page.page import Content, empty_content, policy, render
from gan_research.utils.addresses import LOOPBACK, PORT, allows, listening, url
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import CONFIG, CRASHES, END, HISTORY, RUN, SAMPLES

SECONDS = 2.0  # the minimum time between two checks of the runs
SHARE = 0.1  # the maximum share of time for making pages: the runs need the rest


class Live:
    """The newest page, made when it is requested and the runs have changed."""

    def __init__(self, make: Callable[[], Content], signature: Callable[[], object], clock: Any = time.monotonic):
        self._make, self._signature, self._clock = make, signature, clock
        self._lock = Lock()
        self._content: Content | None = None
        self._version = ""
        self._made_for: object = None
        self._next = 0.0

    def current(self) -> tuple[str, Content]:
        """Return the page and its version; an error of the comparison becomes a page."""
        with self._lock:
            if self._content is None or self._clock() >= self._next:
                start = self._clock()
                if (signature := self._signature()) != self._made_for or self._content is None:
                    self._content, self._made_for = self._update(), signature
                    self._version = self._content.version
                end = self._clock()
                self._next = end + max(SECONDS, (end - start) / SHARE)
            return self._version, self._content

    def _update(self) -> Content:
        try:
            return self._make()
        except (UserError, OSError) as error:
            if isinstance(error, OSError) and self._content is not None:  # a run was moved while it was read
                return self._content
            return empty_content("Nothing to compare yet", str(error))


def signature(folder: Path) -> object:
    """Return a value that changes when a run starts, continues, ends or is killed."""
    found = []
    for path in walk(folder):
        found.append((str(path), "running", int(is_running(path)), 0))
        for name in (RUN, CONFIG, HISTORY, END, SAMPLES, CRASHES):
            with contextlib.suppress(OSError):
                status = (path / name).stat()
                found.append((str(path), name, status.st_mtime_ns, status.st_size))
    return sorted(found)


class Handler(BaseHTTPRequestHandler):
    """The two addresses: / is the page, /data?version=V its content if newer than V."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gan", ""
    timeout = 30

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if not self.server.allows(self.headers.get("Host", "")):
            self._send(403, "text/plain", "unknown host name: see gan watch --host\n")
        elif path == "/":
            _, content = self.server.live.current()
            self._send(200, "text/html", render(content, live=True))
        elif path == "/data":
            version, content = self.server.live.current()
            if parse_qs(query).get("version") == [version]:
                self._send(204)
                return
            news = {"version": version, "document": content.document, "images": content.images}
            self._send(200, "application/json", json.dumps(news, separators=(",", ":")))
        else:
            self._send(404, "text/plain", "not found: the page is at /\n")

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
        """Log nothing: each page sends a request every two seconds."""


class Server(ThreadingHTTPServer):
    """The HTTP server of a `Live` page. Raises an OSError if the port is taken."""

    daemon_threads = True

    def __init__(self, live: Live, host: str = LOOPBACK, port: int = PORT):
        self.live, self.host = live, host
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Handler)

    @property
    def url(self) -> str:
        return url(self.host, self.server_port)

    def allows(self, header: str) -> bool:
        """Return whether a Host header names this server."""
        return allows(self.host, header)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; handle other errors as usual."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def open_server(live: Live, host: str, port: int | None) -> Server:
    """Open a server on `port`, or on the first free one from PORT on; raise a UserError if there is none."""
    return listening(partial(Server, live, host), host, port)
