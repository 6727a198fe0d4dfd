"""gan watch serves a folder's runs until Ctrl-C."""

import http.client
import json
import os
import re
import signal
import socket

from made import make_run


def ask(address, path="/data"):
    """(status, body) of a GET."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def address_of(started):
    """(host, port), once it is printed."""
    found = started.until(lambda: re.search(r" at http://(\S+):(\d+) ", started.output))
    return found[1], int(found[2])


LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""To Ctrl-C, as it may be that what runs the tests doesn't."""


def test_a_folder_without_runs_fills_itself_and_ctrl_c_ends_it(server, tmp_path):
    started = server.start("watch", tmp_path, patch=LISTENING)
    address = address_of(started)
    assert address[0] == "127.0.0.1"
    assert 8321 <= address[1] < 8421
    status, body = ask(address)
    first = json.loads(body)
    assert (status, first["document"]["title"]) == (200, "Nothing to compare yet")
    assert first["document"]["summary"].startswith(f"there are no runs in {tmp_path}: ")
    make_run(tmp_path / "run", loss="wasserstein")
    path = f"/data?version={first['version']}"
    second = json.loads(started.until(lambda: ask(address, path)[1]))
    assert second["document"]["summary"] == "1 run · 1 group · 1 seed · fid"
    assert [group["name"] for group in second["document"]["groups"]] == ["wasserstein"]
    command = next(b for s in second["document"]["sections"] for b in s["blocks"] if b["kind"] == "command")
    assert command["text"] == f"gan compare {tmp_path} --axis round"
    socket.create_connection(address).close()  # somebody who goes away at once harms nothing
    os.kill(started.pid, signal.SIGINT)
    ended = started.ended()
    assert (ended.status, ended.error) == (0, "")


def test_it_groups_by_any_setting_and_warns_where_others_can_look(server, tmp_path):
    for i, lr in enumerate((0.001, 0.01)):
        make_run(tmp_path / str(i), lr=lr)
    started = server.start(
        "watch", tmp_path, "--by", "optimizer.generator.lr", "--host", "0.0.0.0", "--where", "loss=hinge", "--axis=kimg"
    )
    host, port = address_of(started)
    assert host == socket.gethostname()
    status, body = ask(("127.0.0.1", port))
    document = json.loads(body)["document"]
    assert status == 200
    assert [group["name"] for group in document["groups"]] == ["lr=0.001", "lr=0.01"]
    assert started.error == "gan: warning: anyone who can reach this address can see these runs\n"
    os.kill(started.pid, signal.SIGKILL)
    assert started.ended().status == -signal.SIGKILL


def test_what_is_wrong_is_said_at_once(gan, one_line, tmp_path):
    one_line(gan("watch", tmp_path / "none"), f"there is no folder {tmp_path / 'none'}")
    make_run(tmp_path / "run")
    one_line(gan("watch", tmp_path, "--by", "optimizer.generator.rl"), "did you mean 'optimizer.generator.lr'?")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one_line(gan("watch", tmp_path, "--port", port), f"--port {port}: can't listen: ")
