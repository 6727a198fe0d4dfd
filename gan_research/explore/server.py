"""The server of `gan explore`: the page for this machine, without requests to any other."""

import contextlib
import socket
import warnings
from functools import partial
from types import TracebackType
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from nicegui import ui
from starlette.types import ASGIApp, Receive, Scope, Send

from gan_research.explore.explorer import Explorer
from gan_research.explore.neighbours import Neighbours
from gan_research.explore.page import Page
from gan_research.utils.addresses import allows, listening, url


class Guard:
    """Refuses requests that name another host, or come from its pages; also of web sockets."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            names = [headers.get("host", ""), *([urlsplit(headers["origin"]).netloc] if "origin" in headers else [])]
            if not all(allows(self.host, name) for name in names):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                else:
                    refusal = PlainTextResponse("unknown host name: see gan explore --host\n", 403)
                    await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Server:
    """The server of one generator's page; a context manager, which closes its socket."""

    def __init__(self, explorer: Explorer, neighbours: Neighbours, name: str, host: str, port: int | None) -> None:
        self.host = host
        self.socket = listening(partial(self._listen, host), host, port)
        app = FastAPI(openapi_url=None)
        ui.run_with(app, root=lambda: Page(explorer, neighbours, name).build(), title=f"explore {name}", dark=None,
                    favicon="🔍", tailwind=False, message_history_length=100, show_welcome_message=False)  # fmt: skip
        app.add_middleware(Guard, host=host)
        self.app = app

    @property
    def url(self) -> str:
        return url(self.host, self.socket.getsockname()[1])

    def run(self) -> None:
        """Serve until Ctrl-C."""
        config = uvicorn.Config(self.app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1)
        with warnings.catch_warnings(), contextlib.suppress(KeyboardInterrupt):
            warnings.simplefilter("ignore", FutureWarning)  # NiceGUI looks at all objects, also at torch's old ones
            uvicorn.Server(config).run(sockets=[self.socket])

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    @staticmethod
    def _listen(host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
