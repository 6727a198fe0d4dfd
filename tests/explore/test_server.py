"""Only pages of this server get its answers: other host names, and pages of other hosts, are refused."""

import asyncio

import pytest

pytest.importorskip("nicegui", reason="the extra explore isn't installed")

from gan_research.explore.server import Guard


def answer(kind, **headers):
    """The status of an answer: 200 from the page, 403 or a close from the guard."""
    sent = []

    async def page(scope, receive, send):
        sent.append({"status": 200})

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(Guard(page, "127.0.0.1")(scope, None, send))
    return sent[0].get("status", sent[0].get("code"))


@pytest.mark.parametrize(("kind", "refused"), [("http", 403), ("websocket", 1008)])
def test_other_hosts_are_refused(kind, refused):
    assert answer(kind, host="127.0.0.1:8321") == 200
    assert answer(kind, host="localhost:8321", origin="http://localhost:8321") == 200
    assert answer(kind, host="evil.example:8321") == refused
    assert answer(kind) == refused
    assert answer(kind, host="127.0.0.1:8321", origin="https://evil.example") == refused
    assert answer(kind, host="127.0.0.1:8321", origin="null") == refused
