"""The report in W&B: what is sent for it, and a server that stands in for W&B's."""

import json
import re
import shlex
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wandb

from gan_research.cli import COMMANDS
from gan_research.cli.report import main
from gan_research.report.wandb_report import Layout, request
from gan_research.utils.errors import UserError


@pytest.fixture
def no_server(monkeypatch):
    """W&B without a key, and nothing that could be asked."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(wandb, "Api", None)


def panels(spec):
    """heading -> its panels, of a report."""
    found, heading = {}, None
    for block in spec["blocks"]:
        if block["type"] == "heading":
            heading = block["children"][0]["text"]
        if block["type"] == "panel-grid":
            found[heading] = block["metadata"]["panelBankSectionConfig"]["panels"]
    return found


def runsets(spec):
    """heading -> the runs of its panels."""
    grids = [block["metadata"]["runSets"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    return dict(zip(panels(spec), (runs for (runs,) in grids), strict=True))


def printed(capsys, *arguments):
    assert main([*arguments, "--print"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_would_be_sent_has_every_panel(no_server, capsys):
    sent = printed(capsys, "--wandb", "me/ours")
    assert (sent["entityName"], sent["projectName"], sent["displayName"]) == ("me", "ours", "ours by loss")
    shown = panels(sent["spec"])
    assert list(shown) == ["Metrics", "Training dynamics", "Samples", "Hyperparameters"]
    kinds = {heading: [panel["viewType"] for panel in some] for heading, some in shown.items()}
    assert kinds == {
        "Metrics": ["Run History Line Plot", "Bar Chart"] * 2,
        "Training dynamics": ["Run History Line Plot"] * 6,
        "Samples": ["Media Browser"],
        "Hyperparameters": ["Parallel Coordinates Plot", "Parameter Importance", "Run Comparer"],
    }
    drawn = [panel["config"].get("metrics") for panel in [*shown["Metrics"], *shown["Training dynamics"]]]
    assert drawn == [
        ["metrics/fid"],
        ["metrics/fid"],
        ["metrics/inception_score"],
        ["metrics/inception_score"],
        ["probability/real", "probability/fake"],
        ["logits/real", "logits/fake"],
        ["loss/discriminator"],
        ["loss/generator"],
        [],
        ["speed/images_per_second"],
    ]
    assert shown["Training dynamics"][4]["config"]["metricRegex"] == "^loss/.*"
    assert shown["Samples"][0]["config"]["mediaKeys"] == ["samples"]
    assert shown["Hyperparameters"][1]["config"]["targetKey"] == "metrics/fid"
    for some in shown.values():  # no two panels at one place
        places = [tuple(panel["layout"][side] for side in "xywh") for panel in some]
        cells = [(i, j) for x, y, w, h in places for i in range(x, x + w) for j in range(y, y + h)]
        assert len(cells) == len(set(cells))


def test_curves_are_means_of_the_seeds_of_a_variant_with_bands(no_server, capsys):
    sent = printed(capsys, "--wandb", "me/ours", "--axis", "kimg", "--band", "minmax")
    runs = runsets(sent["spec"])
    for heading in ("Metrics", "Training dynamics"):
        assert runs[heading]["grouping"] == [{"section": "config", "name": "choices.value.loss"}]
        for panel in panels(sent["spec"])[heading]:
            assert (panel["config"]["groupAgg"], panel["config"]["groupArea"]) == ("mean", "minmax")
            if panel["viewType"] == "Run History Line Plot":
                assert panel["config"]["xAxis"] == "kimg"
    assert runs["Samples"]["grouping"] == runs["Hyperparameters"]["grouping"] == []
    assert all(some["project"] == {"entityName": "me", "name": "ours"} for some in runs.values())


def test_any_key_groups_and_any_metric_is_shown(no_server, capsys):
    by_group = printed(
        capsys, "--wandb", "ours", "--by", "regularizer", "--metrics", "kid", "metrics/fid", "--title", "T"
    )
    assert (by_group["entityName"], by_group["displayName"]) == (None, "T")
    assert runsets(by_group["spec"])["Metrics"]["grouping"][0]["name"] == "choices.value.regularizer"
    titles = [panel["config"]["chartTitle"] for panel in panels(by_group["spec"])["Metrics"]]
    assert titles == ["kid", "kid, last value", "fid", "fid, last value"]

    options = ["--by", "optimizer.generator.lr", "--parameters", "loss", "regularizer.r1.weight", "seed"]
    by_key = printed(capsys, "--wandb", "ours", *options)
    assert runsets(by_key["spec"])["Training dynamics"]["grouping"][0]["name"] == "optimizer.value.generator.lr"
    columns = panels(by_key["spec"])["Hyperparameters"][0]["config"]["columns"]
    assert [(column["accessor"], column.get("log")) for column in columns] == [
        ("config:optimizer.value.generator.lr", True),
        ("config:choices.value.loss", False),
        ("config:regularizer.value.r1.weight", True),
        ("config:seed.value", False),
        ("summary:metrics/fid", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wandb", "a/b/c"], "give PROJECT or ENTITY/PROJECT"),
        (["--wandb", "a/"], "give PROJECT or ENTITY/PROJECT"),
        (["--wandb", "p", "--by", "los"], "there is no los in the config: did you mean 'loss'?"),
        (["--wandb", "p", "--by", "optimiser.generator.lr"], "did you mean 'optimizer'?"),
        (["--wandb", "p", "--title", "x" * 129], "the title has 129 characters: W&B allows 128"),
    ],
)
def test_what_cannot_be_meant_is_one_line(arguments, said, no_server):
    with pytest.raises(UserError) as error:
        main([*arguments, "--print"])
    assert said in str(error.value)


class Server(ThreadingHTTPServer):
    """W&B's server as far as reports are concerned: one user, one project, the reports that were sent."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.reports, self.changes = {}, []

    def answer(self, query, variables):
        known = variables.get("project", variables.get("projectName", "ours")) == "ours"
        nodes = [{"node": report, "cursor": name} for name, report in self.reports.items()]
        views = {"edges": nodes, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        project = {"id": "UHJv", "internalId": "UHJvamVjdA==", "name": "ours", "entityName": "me"}
        listed = project | {"createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False, "user": None}
        user = {"id": "u", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}
        if "mutation upsertView" in query:
            self.changes.append(variables)
            name = variables["id"] or f"VmlldzoxMjM{len(self.reports)}"
            report = {key: variables[key] for key in ("name", "displayName", "description", "spec")}
            self.reports[name] = report | {"id": name, "project": project}
            return {"upsertView": {"view": self.reports[name], "inserted": variables["id"] is None}}
        assert "mutation" not in query
        page = {"edges": [{"node": listed, "cursor": "c"}], "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return {"viewer": user, "project": project | {"allViews": views} if known else None, "models": page}


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *args):
        """Nothing."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/graphql":  # telemetry
            self.send_error(404)
            return
        asked = json.loads(body)
        data = json.dumps({"data": self.server.answer(asked["query"], asked.get("variables") or {})}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def fresh_wandb(monkeypatch, tmp_path):
    """W&B, online, with its settings not read yet, and without the user's own."""
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def server(monkeypatch, fresh_wandb):
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    yield server
    server.shutdown()
    server.server_close()


def test_a_report_is_made_once_and_then_changed_in_place(server, capfd):
    assert main(["--wandb", "ours"]) == 0
    assert main(["--wandb", "me/ours", "--metrics", "kid"]) == 0
    assert main(["--wandb", "ours", "--title", "another"]) == 0
    first, second, third = server.changes
    assert (first["id"], second["id"], third["id"]) == (None, "VmlldzoxMjM0", None)
    assert [report["displayName"] for report in server.reports.values()] == ["ours by loss", "another"]
    assert all(
        (sent["entityName"], sent["projectName"], sent["type"]) == ("me", "ours", "runs") for sent in (first, second)
    )
    spec = json.loads(second["spec"])
    assert panels(spec)["Metrics"][0]["config"]["metrics"] == ["metrics/kid"]
    assert runsets(spec)["Metrics"]["project"]["id"] == "UHJvamVjdA=="
    output, error = capfd.readouterr()
    lines = output.splitlines()
    assert lines[0].startswith("created 'ours by loss': http://127.0.0.1")
    assert lines[0].endswith("/me/ours/reports/ours-by-loss--VmlldzoxMjM0")
    assert lines[1] == lines[0].replace("created", "updated")
    assert len(lines) == 3
    assert error == ""


def test_what_is_printed_is_what_is_sent(server):
    """But for the names that W&B's library draws, and the number of the project."""
    main(["--wandb", "me/ours"])
    (sent,) = server.changes
    expected = request(Layout(entity="me", project="ours", title="ours by loss"))
    assert unnamed(json.loads(sent["spec"])) == unnamed(expected["spec"])
    assert sent["description"] == expected["description"]


def unnamed(node):
    """A spec without what is drawn at random."""
    if isinstance(node, list):
        return [unnamed(item) for item in node]
    if isinstance(node, dict):
        return {key: unnamed(item) for key, item in node.items() if key not in ("id", "__id__")}
    return node


def test_a_project_that_is_not_there_is_one_line(server):
    with pytest.raises(UserError) as error:
        main(["--wandb", "me/theirs"])
    assert "me/theirs: Project theirs does not exist under entity me" in str(error.value)
    assert "gan compare" in str(error.value)
    assert server.changes == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "W&B has no key: log in with wandb login, or stay offline: gan compare"),
        ({"WANDB_MODE": "offline"}, "WANDB_MODE=offline keeps W&B offline: unset it, or stay offline"),
        ({"WANDB_API_KEY": "short"}, "log in with wandb login, or stay offline"),
    ],
)
def test_without_a_key_it_says_how_to_log_in_or_stay_offline(variables, said, fresh_wandb, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        main(["--wandb", "me/ours"])
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(UserError, match=r"pip install 'gan_research\[report\]'"):
        main(["--wandb", "ours", "--print"])


@pytest.mark.skipif("report" not in COMMANDS, reason="not a command yet")
def test_it_is_a_command(capsys):
    from gan_research.cli import main as gan

    assert gan(["report", "--wandb", "ours", "--print"]) == 0
    assert json.loads(capsys.readouterr().out)["projectName"] == "ours"


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "wandb.md").read_text()


@pytest.mark.parametrize("command", re.findall(r"^\$ gan report ([^#\n]+)", PAGE, re.MULTILINE))
def test_commands_of_the_page_are_understood(command, no_server, capsys):
    spec = printed(capsys, *shlex.split(command))["spec"]
    assert set(panels(spec)) == {"Metrics", "Training dynamics", "Samples", "Hyperparameters"}
