"""The page is one file of at most 5 MB, which says what the comparison says, and shows all text as text."""

import base64
import gzip
import hashlib
import json
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import torch
from pages import HOSTILE, comparison_of, make_runs, many_groups, noise, records_of, sample_grid
from PIL import Image

from gan_research.report.comparison import Pair, compare
from gan_research.report.curves import Curve
from gan_research.report.page import write_page
from gan_research.report.page.content import commands, conclusion, turned
from gan_research.report.page.figures import POINTS, Arrays, band, outline, style_of, thinned
from gan_research.report.page.images import cells_across, data_url, encoded, halving
from gan_research.report.page.page import LIMIT, as_json, content_of, render
from gan_research.report.page.parallel import ABSENT, coordinate
from gan_research.report.page.setup import on_one_line, setup
from gan_research.report.page.text import label, number, shortened, spread
from gan_research.report.records import Record, format_x
from gan_research.report.rounding import rounded
from gan_research.utils.images import grid, png


class Parts(HTMLParser):
    """The tags of a page, and the content of its scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self.open = [], [], False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = tag == "script"
        if self.open:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return comparison_of(make_runs(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(comparison, path)
    return path.read_text()


@pytest.fixture(scope="module")
def content(comparison):
    return content_of(comparison)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The content of a page of seven groups."""
    return content_of(many_groups(tmp_path_factory.mktemp("many")))


def block(content, section, kind):
    (found,) = (part for part in content.document["sections"] if part["id"] == section)
    return next(block for block in found["blocks"] if block["kind"] == kind)


def figure(content, name):
    blocks = [b for part in content.document["sections"] for b in part["blocks"] if b["kind"] == "figures"]
    (found,) = (figure for block in blocks for figure in block["figures"] if figure["id"] == name)
    return found


def text(cell):
    return cell if isinstance(cell, str) else cell["text"]


def test_nothing_is_loaded_and_only_the_pages_own_scripts_may_run(page):
    parts = Parts(page)
    addresses = [a for _, attributes in parts.tags for key, a in attributes.items() if key in ("src", "href", "action")]
    assert addresses == ["data:,"]
    (policy,) = (attributes["content"] for _, attributes in parts.tags if "http-equiv" in attributes)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    library = gzip.decompress(base64.b64decode(parts.scripts[2]))
    hashes = [base64.b64encode(hashlib.sha256(code).digest()).decode() for code in (parts.scripts[3].encode(), library)]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in hashes]
    assert (rules["default-src"], rules["connect-src"], rules["img-src"]) == ("'none'", "'none'", "data: blob:")


def test_no_text_of_a_run_can_end_the_script_that_it_is_in(comparison):
    hostile = replace(comparison, by=f"loss{HOSTILE}")
    parts = Parts(render(content_of(hostile)))
    assert [tag for tag, _ in parts.tags if tag in ("img", "script", "b")] == ["script"] * 4
    document = json.loads(gzip.decompress(base64.b64decode(json.loads(parts.scripts[0]))))
    assert document["title"] == f"Comparison by loss{HOSTILE}"
    assert HOSTILE in [group["name"] for group in document["groups"]]
    assert json.loads(parts.scripts[1]) == content_of(hostile).images
    assert "<" not in as_json(HOSTILE)
    assert json.loads(as_json(f"{HOSTILE}\u2028")) == f"{HOSTILE}\u2028"


def test_plotly_is_given_no_markup():
    assert label('<b>bold</b> <a href="x">&lt;') == '&lt;b&gt;bold&lt;/b&gt; &lt;a href="x"&gt;&amp;lt;'
    assert label("<" * 30) == "&lt;" * 27 + "…"
    assert label("a&b\n<br>c") == "a&amp;b &lt;br&gt;c"


def test_what_plotly_is_given_of_runs_has_no_markup(content):
    drawn = json.dumps([part["blocks"] for part in content.document["sections"] if part["id"] in ("curves", "final")])
    for figures in (block(content, name, "figures") for name in ("curves", "final", "pairs", "best-of", "settings")):
        for shown in figures["figures"]:
            assert "<img" not in json.dumps([shown["data"], shown["layout"]])
    assert "&lt;img" in drawn


def test_the_table_says_what_the_summaries_say(comparison, content):
    table = block(content, "numbers", "table")
    rows = {}
    for row in table["rows"]:
        if len(row) == 1:
            metric = row[0]["text"].partition(",")[0]
        else:
            rows[metric, row[0]["text"]] = row
    assert [cell for row in table["rows"] if len(row) == 1 for cell in row] == [
        {"text": "fid, lower is better", "heading": True},
        {"text": "inception_score, higher is better", "heading": True},
    ]
    hinge, alone = rows["fid", "hinge"], rows["fid", HOSTILE]
    ends = comparison.summaries["fid"]["hinge"].interval
    middle = rounded(4.0, ends)
    assert [text(cell) for cell in hinge] == ["hinge", "3 of 4 (1 failed)", middle, spread(ends), middle, "1"]
    assert [text(cell) for cell in alone] == [HOSTILE, "1", "5", "none: 1 run", "5", "–"]  # noqa: RUF001
    assert {key[1]: row[2]["mark"] for key, row in rows.items() if key[0] == "fid"} == {
        "hinge": "tied", "minimax": "", HOSTILE: "tied",
    }  # fmt: skip
    assert block(content, "numbers", "command")["text"] == comparison.command


def test_one_seed_and_failures_are_said_at_the_top(content):
    notes = content.document["notes"]
    assert notes[0] == "1 run failed (crashed): the reasons are at the end of this page"
    assert any(note.startswith(f"one seed: no interval or test can be given for {HOSTILE}") for note in notes)
    first = block(content, "runs", "table")["rows"][0]
    assert first[0]["text"] == "crashed"
    assert first[3] == {
        "text": "failed",
        "state": "failed",
        "reason": "<b>loss/generator</b> isn't finite in round 113",
    }
    assert first[4] == {"text": "gan train loss=hinge seed=7", "copy": True}


@pytest.mark.parametrize("axis", ["round", "kimg", "seconds"])
def test_curves_are_those_of_the_comparison_on_each_axis(comparison, content, axis):
    traces = figure(content, "curve-metrics/fid")["data"]
    groups = list(comparison.groups)
    for group, curve in comparison.curves("metrics/fid", axis).items():
        (mean,) = (t for t in traces if t["group"] == groups.index(group) and t["mode"] == "lines+markers")
        assert content.document["arrays"][mean["x"][axis]] == pytest.approx(curve.x, rel=1e-6)
        assert content.document["arrays"][mean["y"][axis]] == pytest.approx(curve.mean, rel=1e-4)


def test_a_published_number_is_a_line_through_the_curves(comparison):
    content = content_of(replace(comparison, title="a recipe", references={"fid": 1234.5}))
    assert content.document["title"] == "a recipe"
    (line,) = (t for t in figure(content, "curve-metrics/fid")["data"] if "group" not in t)
    arrays = content.document["arrays"]
    for axis in ("round", "kimg", "seconds"):
        ends = [x for curve in comparison.curves("metrics/fid", axis).values() for x in curve.x]
        assert arrays[line["x"][axis]] == pytest.approx([min(ends), max(ends)], rel=1e-6)
        assert arrays[line["y"][axis]] == [1234.5, 1234.5]
    assert line["text"] == ["published: 1234.5", ""]


def test_a_group_of_one_run_has_no_band_and_no_interval(comparison, content):
    alone = list(comparison.groups).index(HOSTILE)
    bands = {t["group"] for t in figure(content, "curve-metrics/fid")["data"] if t.get("band")}
    assert bands == {0, 1, 2} - {alone}
    bars = {t["group"] for t in figure(content, "final-fid")["data"] if "error_x" in t}
    assert bars == {0, 1, 2} - {alone}
    full, hollow = figure(content, "difference-fid")["data"]
    assert (full["y"], hollow["y"], "error_x" in hollow) == ([2], [0, 1], False)


def test_bands_are_polygons_of_the_stretches_that_are_known():
    x, low, high = [0, 1, 2, 3, 4], [1, 2, None, 4, 5], [3, 4, None, 6, 7]
    assert outline(x, low, high) == ([0, 1, 1, 0, None, 3, 4, 4, 3], [1, 2, 4, 3, None, 4, 5, 7, 6])
    assert outline([0, 1, 2], [None, 1, None], [None, 2, None]) == ([], [])
    nothing = Curve([0, 1], [1, 1], [None, None], [None, None], [1, 1])
    assert band(Arrays(), 0, {"round": nothing}) == []


def test_long_curves_are_thinned_with_their_ends():
    x = list(range(10_001))
    thin_x, thin_y = thinned(x, [2 * value for value in x])
    assert (len(thin_x), thin_x[0], thin_x[-1]) == (POINTS, 0, 10_000)
    assert thin_y == [2 * value for value in thin_x]
    assert max(b - a for a, b in pairwise(thin_x)) == 41
    assert thinned([1, 2], [3, 4]) == [[1, 2], [3, 4]]


def test_arrays_are_kept_once_and_rounded():
    arrays = Arrays()
    assert [arrays.add([1.0, 2.123456, None]), arrays.add([3]), arrays.add([1, 2.123459, None])] == [0, 1, 0]
    assert arrays.all == [[1, 2.1235, None], [3]]


def test_groups_look_different_without_colour_too():
    looks = [style_of(i) for i in range(56)]
    assert len({tuple(one.values()) for one in looks}) == 56
    assert len({(one["dash"], one["marker"]) for one in looks[:7]}) == 7


@pytest.mark.parametrize(
    ("ends", "difference", "p", "best", "words"),
    [
        ((-3.0, -1.0), -2.0, 0.04, "min", "a is better, beyond seed noise"),
        ((-3.0, -1.0), -2.0, 0.04, "max", "b is better, beyond seed noise"),
        ((1.0, 3.0), 2.0, 0.04, "min", "b is better, beyond seed noise"),
        ((1.0, 3.0), 2.0, 0.06, "min", "within seed noise, among so many pairs"),
        ((-1.0, 3.0), 1.0, 0.5, "min", "within seed noise"),
        ((0.0, 3.0), 1.0, 0.06, "min", "within seed noise"),
        (None, 2.0, None, "min", "too few runs for a test"),
    ],
)
def test_more_than_seed_noise_is_said_where_the_corrected_test_says_so(ends, difference, p, best, words):
    assert conclusion(Pair("fid", "a", "b", 0.9, (0.6, 1.0), difference, ends, False, p, p), best) == words


def test_a_pair_is_turned_around():
    pair = Pair("fid", "a", "b", 0.75, (0.5, 0.875), -2.0, (-3.0, -1.0), True, 0.01, 0.02)
    assert turned(pair) == Pair("fid", "b", "a", 0.25, (0.125, 0.5), 2.0, (1.0, 3.0), True, 0.01, 0.02)
    assert turned(turned(pair)) == pair


@pytest.mark.parametrize(("fids", "marks"), [((1, 50, 90), ["best", "", ""]), ((1, 1.5, 90), ["tied", "tied", ""])])
def test_the_best_is_marked_or_those_that_are_tied(fids, marks):
    values = {"a": [fids[0], fids[0] + 1, fids[0] + 2], "b": [fids[1] + 2, fids[1] + 1, fids[1]], "c": [fids[2]] * 3}
    shown = block(content_of(compare(records_of(values))), "numbers", "table")
    assert [row[2]["mark"] for row in shown["rows"][1:]] == marks


def test_many_groups_are_a_matrix_and_their_pairs_with_the_best_mean(many):
    (heat,) = figure(many, "matrix-fid")["data"]
    groups = [name.partition(" over ")[0] for name in (row[0] for row in heat["customdata"])]
    assert groups == ["loss_6", "loss_5", "loss_4", "loss_3", "loss_2", "loss_1", "loss_0"]
    assert [row[i] for i, row in enumerate(heat["z"])] == [None] * 7
    assert heat["z"][0][1:] == [1] * 6
    assert heat["text"][0][6].startswith("1.00")
    assert [row[0] for row in heat["z"][1:]] == [0] * 6
    rows = [row for row in block(many, "pairs", "table")["rows"] if len(row) > 1]
    assert [(row[0]["text"], row[1]["text"]) for row in rows] == [(f"loss_{i}", "loss_6") for i in range(6)]
    assert block(many, "pairs", "table")["caption"].startswith("15 pairs without the best mean")
    assert "improvement-fid" not in [f["id"] for f in block(many, "pairs", "figures")["figures"]]


def test_a_collapsed_run_is_marked_wherever_it_is_counted(many):
    row = next(row for row in block(many, "numbers", "table")["rows"] if row[0]["text"] == "loss_3")
    assert row[1] == {"text": "3, 1 collapsed", "warned": True}
    runs, *_ = (trace for trace in figure(many, "final-fid")["data"] if trace["group"] == 3)
    assert [symbol == "x-thin" for symbol in runs["marker"]["symbol"]] == [False, True, False]
    assert runs["text"][1] == "loss_3-s1, collapsed"
    assert block(many, "samples", "images")["columns"][3]["runs"] == ["seed 0", "seed 1, collapsed", "seed 2"]


def test_the_setup_is_what_all_runs_share(comparison, content):
    facts = {fact["label"]: fact for fact in block(content, "setup", "facts")["facts"]}
    assert facts["regularizer"] == {"label": "regularizer", "text": "r1", "below": "r1.weight 0.1"}
    assert facts["rounds"]["text"] == "300"
    assert facts["optimizer"] == {"label": "optimizer", "text": "adam", "below": ""}  # the rates vary
    assert facts["protocol"]["text"] == "classifier-digits, 100 generated against 1,597 real"
    assert facts["varied"] == {"label": "varied", "text": ", ".join(comparison.varied), "below": "seeds 0, 1, 2, 7"}
    assert "loss" not in facts


def test_runs_of_other_devices_are_marked():
    records = records_of({"a": [1.0, 2.0], "b": [3.0]})
    origins = [{"device": "a CPU", "commit": "0123456789abcdef"}, {"device": "a GPU", "commit": "0123456789abcdef"}, {}]
    records = [replace(record, origin=origin) for record, origin in zip(records, origins, strict=True)]
    facts = {fact["label"]: fact for fact in setup(compare(records))}
    assert facts["device"]["text"] == "a CPU: 1 run; a GPU: 1 run; not recorded: 1 run"
    assert (facts["device"]["mark"], facts["commit"]["mark"]) == ("differs", "differs")
    facts = {fact["label"]: fact["text"] for fact in setup(compare(records[:2]))}
    assert (facts["commit"], "torch" in facts) == ("0123456789ab", False)


def test_settings_that_both_players_share_are_listed_once():
    values = {
        "generator.lr": 1e-3,
        "generator.width": 64,
        "discriminator.lr": 1e-3,
        "discriminator.width": 32,
        "a": None,
    }
    assert on_one_line(values) == "lr 0.001 · generator.width 64 · discriminator.width 32"


def test_the_page_gives_the_command_of_its_figures():
    assert [block["text"] for block in commands("gan compare runs")] == [
        "gan compare runs", "gan compare runs --no-html --figures figures",
    ]  # fmt: skip
    assert [block["text"] for block in commands("gan reproduce ring")] == ["gan reproduce ring"]


@pytest.mark.parametrize(("count", "cells"), [(64, 8), (9, 3), (6, 2)])
def test_the_cells_of_a_grid_are_counted(tmp_path, count, cells):
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8)
    (tmp_path / "grid.png").write_bytes(png(grid(images)))
    assert cells_across(tmp_path / "grid.png") == cells


def test_other_images_have_no_cells(tmp_path):
    Image.new("RGB", (64, 64), (128, 128, 128)).save(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("none")
    assert cells_across(noise(tmp_path / "noise.png", 64)) == cells_across(tmp_path / "grey.png") == 0
    assert cells_across(tmp_path / "text.png") == cells_across(tmp_path / "missing.png") == 0


def test_parallel_coordinates_have_numbers_by_size_or_logarithm_and_texts_by_name():
    assert coordinate("lr", [1e-4, 1e-3, 1e-2]).heights == pytest.approx([0, 0.5, 1])
    assert coordinate("width", [64, 128, 256]).heights == pytest.approx([0, 1 / 3, 1])
    assert coordinate("ema", ["none", "decay", "decay"]).heights == [1, 0, 0]
    assert coordinate("on", [True, False]).ticks == [(0.0, "false"), (1.0, "true")]
    assert coordinate("k", [None, 1, 2]).heights == [ABSENT, 0, 1]
    assert coordinate("k", [3, 3]).heights == [0.5, 0.5]


def test_settings_are_shown_where_more_varies_than_the_groups(content, many):
    lines = figure(content, "parallel-fid")["data"]
    assert len(lines) == 7
    best = lines[-1]  # drawn last, on top
    assert best["text"].startswith("hinge-s0<br>")
    assert best["line"]["color"] == "rgb(224,123,0)"
    sections = [part["id"] for part in many.document["sections"]]  # groups differ in two settings, their runs in seeds
    assert ("settings" in sections, "differences" in sections) == (False, True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.23456, "1.235"), (8.2, "8.200"), (12345.6, "12,346"), (1e-5, "1.000e-05"), (1234.0, "1234"), (0, "0.000")],
)
def test_numbers_have_four_digits(value, shown):
    assert number(value) == shown


def test_texts():
    assert number(None) == "–"  # noqa: RUF001
    assert spread((1.04, 2.0)) == "1.04 to 2.00"
    assert (format_x(5000, "round"), format_x(12.8, "kimg")) == ("round 5,000", "12.8 kimg")
    assert shortened("a  b\nc" + "d" * 9, 8) == "a b cdd…"


def test_figures_are_plotlys(content):
    """Each is built by Plotly's own classes, which refuse what they don't know."""
    objects = pytest.importorskip("plotly.graph_objects")
    arrays = content.document["arrays"]

    def plain(node, key=""):
        if isinstance(node, dict):
            return {k: plain(v, k) for k, v in node.items() if k not in ("group", "band")}
        if isinstance(node, list):
            return [plain(item, key) for item in node]
        return "#000" if isinstance(node, str) and node.startswith("@") else node

    seen = 0
    for part in content.document["sections"]:
        for shown in (f for b in part["blocks"] if b["kind"] == "figures" for f in b["figures"]):
            data = [
                {**trace, **{k: arrays[trace[k]["kimg"]] for k in "xy" if isinstance(trace[k], dict)}}
                for trace in shown["data"]
            ]
            objects.Figure(data=plain(data), layout=plain(shown["layout"]))
            seen += 1
    assert seen >= 15


def test_images_are_those_of_equal_rounds(comparison, content):
    shown = block(content, "samples", "images")
    assert shown["rounds"] == [0, 100, 200, 300]
    assert [column["name"] for column in shown["columns"]] == list(comparison.groups)
    hinge = next(column for column in shown["columns"] if column["name"] == "hinge")
    assert hinge["runs"] == ["seed 0", "seed 1", "seed 2"]
    url = content.images[f"{hinge['group']}/1/200"]
    assert base64.b64decode(url.removeprefix("data:image/png;base64,")) == sample_grid(101)
    assert len(content.images) == 7 * 4


def test_the_last_and_the_first_round_come_first():
    assert halving([10, 20, 30, 40, 50]) == [50, 10, 30, 20, 40]
    assert (halving([]), halving([10]), halving([10, 20])) == ([], [10], [20, 10])


def test_large_images_are_made_small_and_broken_ones_left_out(tmp_path):
    large = noise(tmp_path / "large.png", 1000)
    assert len(data_url(large)) < large.stat().st_size / 4
    assert data_url(large).startswith("data:image/webp;base64,")
    (tmp_path / "half.png").write_bytes(large.read_bytes()[:5000])
    (tmp_path / "text.png").write_text("<svg onload=alert(1)>")
    assert [data_url(tmp_path / name) for name in ("half.png", "text.png", "none.png")] == [None] * 3
    encoded.cache_clear()


def test_50_runs_of_200_points_with_images_fit(tmp_path):
    noisy = [noise(tmp_path / f"{i}.png", 264, i) for i in range(4)]
    records = []
    for i in range(50):
        rows = []
        for n in range(200):
            place = {"round": 25 * n, "kimg": 1.6 * n}
            scores = {
                f"metrics/{name}": 80 * 0.97**n + (i * 7 + n * 13) % 101 / 97
                for name in ("fid", "inception_score", "kid")
            }
            log = {f"loss/{name}": (i * 11 + n * 17) % 103 / 101 for name in ("generator", "discriminator", "r1")}
            rows.append({**place, **log, "speed/seconds": n * (1 + i / 100), "probability/real": 0.5 + n / 1000})
            rows.append(
                {**place, **scores, "protocol": {}, "better": {"fid": "min", "inception_score": "max", "kid": "min"}}
            )
        samples = {25 * n: noisy[n % 4] for n in range(0, 200, 8)}
        settings = {"loss": f"loss_{i // 10}"}
        more = {"command": f"gan train seed={i}", "state": "finished", "rows": rows, "samples": samples}
        records.append(Record(f"run {i}", f"a run {i}", f"runs/{i}", choices=settings, seed=i % 10, **more))
    comparison = compare(records, command="gan compare runs")
    content = content_of(comparison)
    assert 4_500_000 < len(render(content).encode()) <= LIMIT == 5_000_000
    shown = block(content, "samples", "images")
    assert shown["cut"]
    assert (len(shown["columns"]), shown["rounds"][0], shown["rounds"][-1]) == (5, 0, 4800)
    assert all(f"{column}/0/{round}" in content.images for column in range(5) for round in (0, 4800))
    encoded.cache_clear()


def test_a_page_is_made_of_runs_of_which_nothing_is_measured(tmp_path):
    record = Record(
        "1", "young", "runs/young", choices={"loss": "hinge"}, state="running", rows=[{"round": 5, "kimg": 1}]
    )
    document = content_of(compare([record])).document
    assert [part["id"] for part in document["sections"]] == ["numbers", "runs"]
    assert document["summary"] == "1 run · 1 group · 0 seeds · no metric yet"
