"""What is served is the page, to those who name this machine, and made anew only when something has changed."""

import http.client
import json
import os
import platform
import socket
import threading

import pytest
from filelock import FileLock
from pages import comparison_of, make_runs

from gan_research.report.page.page import content_of, empty_content
from gan_research.report.serve import PORT, SECONDS, Live, Server, open_server, signature
from gan_research.utils.errors import UserError


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Maker:
    """Makes pages of a title, takes so long, or fails."""

    def __init__(self, clock=None):
        self.clock, self.title, self.seconds, self.error, self.count = clock, "first", 0.0, None, 0

    def __call__(self):
        self.count += 1
        if self.clock:
            self.clock.now += self.seconds
        if self.error:
            raise self.error
        return empty_content(self.title, "")


@pytest.fixture
def serving():
    """serving(live, host): a server that runs until the test ends."""
    servers = []

    def start(live=None, host="127.0.0.1"):
        server = Server(live or Live(Maker(), lambda: 0), host, 0)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server, path="/", host=None, method="GET"):
    """(status, headers, body) of a request, its path as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def test_a_page_is_made_once_until_something_changes_and_not_more_often_than_every_two_seconds():
    clock, seen = Clock(), [0]
    make = Maker(clock)
    live = Live(make, lambda: seen[0], clock)
    first, _ = live.current()
    clock.now += SECONDS
    assert live.current()[0] == first
    assert make.count == 1
    seen[0], make.title = 1, "second"
    clock.now += SECONDS - 0.01  # the last look was at the end of two seconds
    assert live.current()[0] == first
    clock.now += 0.01
    version, content = live.current()
    assert (version != first, content.document["title"], make.count) == (True, "second", 2)


def test_pages_that_take_long_are_made_less_often():
    clock, seen = Clock(), [0]
    make = Maker(clock)
    make.seconds = 3.0
    live = Live(make, lambda: seen[0], clock)
    live.current()
    seen[0] = 1
    clock.now += 29.9
    live.current()
    assert make.count == 1
    clock.now += 0.2
    live.current()
    assert make.count == 2


def test_the_same_content_is_the_same_version():
    clock, seen = Clock(), [0]
    live = Live(Maker(clock), lambda: seen[0], clock)
    first, _ = live.current()
    seen[0] = 1
    clock.now += SECONDS
    assert live.current()[0] == first


def test_what_cant_be_compared_is_said_and_a_folder_that_moves_keeps_the_last_page():
    clock, seen = Clock(), [0]
    make = Maker(clock)
    make.error = UserError("there are no runs in x")
    live = Live(make, lambda: seen[0], clock)
    assert live.current()[1].document["summary"] == "there are no runs in x"
    for error, title in ((None, "first"), (FileNotFoundError("gone"), "first")):
        make.error, seen[0] = error, seen[0] + 1
        clock.now += SECONDS
        assert live.current()[1].document["title"] == title


def test_the_page_and_what_is_newer_are_served(serving):
    clock, seen = Clock(), [0]
    make = Maker(clock)
    server = serving(Live(make, lambda: seen[0], clock))
    status, headers, page = ask(server)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<h1 id="title">first</h1>' in page
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    version = page.partition('data-live="')[2].partition('"')[0]
    assert ask(server, f"/data?version={version}")[0] == 204
    seen[0], make.title = 1, "second"
    clock.now += SECONDS
    status, headers, body = ask(server, f"/data?version={version}")
    news = json.loads(body)
    assert (status, news["document"]["title"], news["version"] != version) == (200, "second", True)
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert headers["Cache-Control"] == "no-store"
    assert ask(server, f"/data?version={news['version']}")[0] == 204


@pytest.mark.parametrize(
    "path",
    ["/run.json", "/../run.json", "/%2e%2e/run.json", "//etc/passwd", "/data/", "/data/../x", "/index.html", "/?", "*"],
)
def test_there_are_two_addresses_and_no_files(serving, tmp_path, monkeypatch, path):
    (tmp_path / "run.json").write_text("secret")
    monkeypatch.chdir(tmp_path)
    status, _, body = ask(serving(), path)
    assert status == (200 if path == "/?" else 404)
    assert "secret" not in body


def test_other_methods_are_refused(serving):
    server = serving()
    assert [ask(server, method=method)[0] for method in ("POST", "PUT", "DELETE", "OPTIONS")] == [501] * 4


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8321", 200),
        ("127.0.0.1", 200),
        ("[::1]:8321", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8321", 403),
        ("10.0.0.1", 403),
        ("", 403),
        ("[", 403),
        ("[]", 403),
        (":8321", 403),
        ("[::1]evil.example", 403),
        ("[::1]:80evil.example", 403),
        ("localhost:80@evil.example", 403),
        ("127.0.0.1:8321:8321", 403),
        ("[[::1]]", 403),
    ],
)
def test_only_names_of_this_machine_are_answered(serving, host, status):
    server = serving()
    assert ask(server, "/data", host)[0] == status
    assert ask(server, "/", host)[0] == status


MALFORMED = [
    b"GET http://[ HTTP/1.1", b"GET //[::1 HTTP/1.1", b"GET //\xbd/ HTTP/1.1", b"GET /data?version=%zz&=&[ HTTP/1.1",
    b"GET", b"GET / HTTP/x.y", b"GET / HTTP/9.9", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /" + b"a" * 70000,
    b"GET / HTTP/1.1\r\nHost: \xff\xfe", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200, b"GET / HTTP/1.1\r\nno header",
]  # fmt: skip


def test_malformed_requests_are_answered_without_a_word_in_the_terminal(serving, capfd):
    server = serving()
    for request in MALFORMED:
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as client:
            client.sendall(request + b"\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            assert not client.recv(100).startswith(b"HTTP/1.1 200"), request
    assert ask(server)[0] == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("host", "status"),
    [("10.1.2.3:8321", 200), ("[fe80::1]", 200), (socket.gethostname(), 200), ("evil.example", 403), ("", 403)],
)
def test_on_all_addresses_numbers_and_the_own_name_are_answered(serving, host, status):
    assert ask(serving(host="0.0.0.0"), "/data", host)[0] == status


def test_a_host_that_was_asked_for_is_answered(serving):
    server = serving(host="127.0.0.2")
    assert server.url == f"http://127.0.0.2:{server.server_port}"
    assert [server.allows(name) for name in ("127.0.0.2", "127.0.0.3")] == [True, False]


def test_the_next_free_port_is_taken_unless_one_is_asked_for():
    live = Live(Maker(), lambda: 0)
    with open_server(live, "127.0.0.1", None) as first, open_server(live, "127.0.0.1", None) as second:
        assert PORT <= first.server_port < second.server_port
        with pytest.raises(UserError, match=f"--port {first.server_port}: can't listen: .*in use"):
            open_server(live, "127.0.0.1", first.server_port)
    with pytest.raises(UserError, match="--port 70000: can't"):
        open_server(live, "127.0.0.1", 70000)
    with pytest.raises(UserError, match=r"--host no\.such\.host\.invalid: "):
        open_server(live, "no.such.host.invalid", None)


def test_the_signature_changes_with_the_runs(tmp_path):
    root = make_runs(tmp_path)
    run = root / "0"
    seen = [signature(root)]

    def changed():
        seen.append(signature(root))
        return seen[-1] != seen[-2]

    assert not changed()
    with (run / "history.jsonl").open("a") as history:
        history.write('{"round": 400, "kimg": 25.6}\n')
    assert changed()
    (run / "samples" / "round_00000400.png").write_bytes(b"")
    assert changed()
    (run / ".player.json").write_text(json.dumps({"host": platform.node(), "pid": os.getpid(), "since": "now"}))
    (run / "checkpoints").mkdir()
    assert not changed()
    with FileLock(run / ".lock"):
        assert changed()
    assert changed()  # as when its process is killed
    assert content_of(comparison_of(root)).document["title"] == "Comparison by loss"
