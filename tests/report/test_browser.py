"""The page in a real browser: all is drawn, its controls work, nothing is asked for, nothing of a run is executed."""

import json
import os
import re
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made import make_run
from pages import FIDS, HOSTILE, comparison_of, make_runs, many_groups

from gan_research.report import serve
from gan_research.report.page import write_page
from gan_research.report.page.page import content_of

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no chromium, chromium-browser or google-chrome")

DRAWN = "html[data-drawn]"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def file(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    importance = {"fid": {"loss": 0.7, "optimizer.generator.lr": 0.2}}  # computed from ten runs on
    write_page(replace(comparison_of(runs), importance=importance), path)
    return path


@pytest.fixture(scope="module")
def new_page(browser):
    """A function that opens an empty page, which a busy machine may take long to draw."""

    def make(width=1400, height=900):
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        page.set_default_timeout(120_000)
        return page

    return make


@pytest.fixture(scope="module")
def opened(new_page, file):
    """The page, opened from disk, once; with all that went wrong, and all that it asked for."""
    page = new_page()
    page.wrongs, page.asked = [], []
    watch(page)
    page.goto(file.as_uri())
    page.wait_for_selector(DRAWN)
    yield page
    page.close()


def watch(page):
    """Keep what a page complains of, and asks for."""
    page.on(
        "console", lambda message: page.wrongs.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: page.wrongs.append(str(error)))
    page.on("requestfailed", lambda request: page.wrongs.append(f"failed: {request.url}"))
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("dialog", lambda dialog: (page.wrongs.append(f"dialog: {dialog.message}"), dialog.dismiss()))


@pytest.fixture(scope="module")
def many(new_page, tmp_path_factory):
    """The page of seven groups, with grids of samples; don't leave it changed."""
    folder = tmp_path_factory.mktemp("many")
    write_page(many_groups(folder), folder / "page.html")
    page = new_page()
    page.goto((folder / "page.html").as_uri())
    page.wait_for_selector(DRAWN)
    yield page
    page.close()


@pytest.fixture
def page(opened):
    """The page, which must end a test without a complaint, and must have asked for nothing but itself."""
    yield opened
    opened.wait_for_selector(DRAWN)
    assert opened.wrongs == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [opened.url.partition("#")[0]]


def drawing(page, name, expression):
    """What a JavaScript expression says of `plot`, the element that a figure is drawn in."""
    found = f"document.querySelector('[data-figure=\"{name}\"]')"
    return page.evaluate(f"() => {{ const plot = {found}; return {expression}; }}")


def redrawn(page, act):
    """Do something, and wait until all figures are drawn again."""
    page.evaluate("delete document.documentElement.dataset.drawn")
    act()
    page.wait_for_selector(DRAWN)


def test_every_panel_is_drawn(page):
    sections = page.eval_on_selector_all("main section", "all => all.map((one) => one.id)")
    assert sections == [
        "numbers", "setup", "curves", "final", "pairs", "best-of", "samples", "settings", "game", "differences", "runs",
    ]  # fmt: skip
    panels = page.evaluate(
        """() => [...document.querySelectorAll(".drawing")].map((plot) => ({
            name: plot.dataset.figure,
            traces: plot.querySelectorAll(".scatterlayer .trace, .barlayer .trace").length,
            wanted: plot.data.length,
            paths: [...plot.querySelectorAll(".trace path")].filter((p) => p.getAttribute("d")?.length > 5).length,
            size: plot.querySelector("svg.main-svg").getBoundingClientRect().toJSON(),
        }))"""
    )
    assert len(panels) == len({panel["name"] for panel in panels}) == 19
    for panel in panels:
        assert panel["traces"] == panel["wanted"] > 0, panel
        assert panel["paths"] > 0, panel
        assert min(panel["size"]["width"], panel["size"]["height"]) > 140, panel


def test_a_hostile_name_is_text(page):
    assert page.locator("img[src=x]").count() == page.locator("main b").count() == 0
    assert page.locator("#legend button").all_inner_texts().count(HOSTILE) == 1
    assert page.locator("tbody th", has_text=f"{HOSTILE}-s0").count() == 1
    labels = drawing(page, "final-fid", "[...plot.querySelectorAll('.ytick text')].map((text) => text.textContent)")
    assert labels == [name if len(name) <= 22 else f"{name[:21]}…" for name in sorted(FIDS)]


def test_the_axis_switch_changes_all_curves(page):
    seen = {}
    for axis, title in {"kimg": "kimg", "seconds": "seconds of training", "round": "rounds"}.items():
        redrawn(page, lambda axis=axis: page.check(f"#axis-{axis}", force=True))
        for name in ("curve-metrics/fid", "curve-loss/generator"):
            assert drawing(page, name, "plot.layout.xaxis.title.text") == title
            assert drawing(page, name, "plot.querySelector('.xtitle').textContent") == title
        seen[axis] = drawing(page, "curve-metrics/fid", "plot.data.at(-1).x")
    assert seen == {"kimg": [0, 6.4, 12.8, 19.2], "seconds": pytest.approx([0, 1, 2, 3]), "round": [0, 100, 200, 300]}
    assert drawing(page, "final-fid", "plot.layout.xaxis.title.text") == "fid"


def test_the_switch_is_worked_by_keys(page):
    page.focus("#axis-round")
    redrawn(page, lambda: page.keyboard.press("ArrowRight"))
    assert drawing(page, "curve-metrics/fid", "plot.layout.xaxis.title.text") == "kimg"
    redrawn(page, lambda: page.keyboard.press("ArrowLeft"))
    assert drawing(page, "curve-metrics/fid", "plot.layout.xaxis.title.text") == "rounds"


def test_the_scale_is_logarithmic_where_it_is_asked_for(page):
    assert not page.is_checked("#logarithmic")
    redrawn(page, lambda: page.check("#logarithmic"))
    types = [
        drawing(page, f"curve-metrics/{name}", "plot.layout.yaxis.type ?? 'linear'")
        for name in ("fid", "inception_score")
    ]
    assert types == ["log", "linear"]
    ticks = drawing(page, "curve-metrics/fid", "[...plot.querySelectorAll('.ytick text')].map((t) => t.textContent)")
    assert {"5", "10", "20", "50"} <= set(ticks)
    assert all(re.fullmatch("[125]0*", tick) for tick in ticks)
    redrawn(page, lambda: page.uncheck("#logarithmic"))


def test_the_slider_changes_the_round_of_all_images(page):
    def shown():
        return page.eval_on_selector_all(".columns img", "all => all.map((image) => [image.alt, image.src])")

    last = shown()
    assert len(last) == 3
    assert all(alt.endswith("at round 300") for alt, _ in last)
    page.focus("#round")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text(".slider output") == "round 200"
    before = shown()
    assert all(alt.endswith("at round 200") for alt, _ in before)
    assert all(now != then for (_, now), (_, then) in zip(before, last, strict=True))
    page.select_option("select[aria-label='run of hinge']", "1")
    other = dict(shown())["samples of hinge, seed 1, at round 200"]
    assert other not in [src for _, src in before]
    page.fill("#round", "3")
    page.select_option("select[aria-label='run of hinge']", "0")
    assert shown() == last
    sizes = page.eval_on_selector_all(".columns img", "all => all.map((image) => image.naturalWidth)")
    assert sizes == [16, 16, 16]


def test_a_grid_shows_few_cells_and_is_enlarged(many):
    button = many.locator(".cells").nth(3)
    shown = button.evaluate("node => node.firstChild.getBoundingClientRect().width / node.clientWidth")
    assert shown == pytest.approx(8 / 4, rel=0.01)  # four of eight cells
    button.click()
    dialog = many.locator("dialog[open]")
    assert dialog.inner_text().split("\n")[0] == "loss_3, seed 0, round 100"
    whole = dialog.locator("img").evaluate("image => [image.src, image.clientWidth]")
    assert whole[0] == button.locator("img").get_attribute("src")
    assert whole[1] > 700
    many.keyboard.press("Escape")
    assert many.locator("dialog").count() == 0
    assert button.evaluate("node => node === document.activeElement")


def test_no_bar_covers_a_figure(many):
    assert many.locator(".modebar").count() == 0
    covered = """() => [...document.querySelectorAll("figure:has(.drawing)")].filter((figure) => {
        const [button, plot] = [".save", ".drawing"].map((name) => figure.querySelector(name).getBoundingClientRect());
        return button.height < 10 || button.bottom > plot.top;
    }).length"""
    assert many.evaluate(covered) == 0


def test_a_figure_is_saved_as_svg_on_white_with_its_legend(many):
    redrawn(many, lambda: many.click("#theme"))
    with many.expect_download() as download:
        many.click("button[aria-label='save as SVG: fid, lower is better']")
    redrawn(many, lambda: many.click("#theme"))
    svg = ElementTree.parse(download.value.path())
    assert download.value.suggested_filename == "curve-metrics_fid.svg"
    texts = ["".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {f"loss_{i}" for i in range(7)} <= set(texts)
    assert "fill: rgb(255, 255, 255)" in svg.find("{http://www.w3.org/2000/svg}rect").get("style")


@pytest.mark.parametrize("width", [1400, 390])
def test_a_heading_is_below_the_controls_after_a_jump(many, width):
    many.set_viewport_size({"width": width, "height": 800})
    places = """(id) => [
        document.getElementById("controls").getBoundingClientRect().bottom,
        document.querySelector(`#${id} h2`).getBoundingClientRect().top,
        scrollY + innerHeight >= document.documentElement.scrollHeight - 1,
    ]"""
    try:
        for link in many.locator("#contents a").all():
            many.evaluate("scrollTo(0, 0)")
            link.click()
            bottom, top, at_the_end = many.evaluate(places, link.get_attribute("href")[1:])
            assert bottom <= top
            assert top < bottom + 60 or at_the_end
    finally:
        many.set_viewport_size({"width": 1400, "height": 900})


CONTRASTS = """() => {
    const parse = (text) => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const over = ([r, g, b, a], [R, G, B]) => [a * r + (1 - a) * R, a * g + (1 - a) * G, a * b + (1 - a) * B, 1];
    const luminance = ([r, g, b]) => {
        const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        const [x, y, z] = [r, g, b].map((c) => linear(c / 255));
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ratio = (a, b) => {
        const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (high + 0.05) / (low + 0.05);
    };
    const behind = (node) => { // the colour below a node's text: its own background over that of its ancestors
        if (!node) return [255, 255, 255, 1];
        const own = parse(getComputedStyle(node).backgroundColor);
        return own[3] === 1 ? own : over(own, behind(node.parentElement));
    };
    const opacity = (node) => (node ? Number(getComputedStyle(node).opacity) * opacity(node.parentElement) : 1);
    const poor = [];
    let seen = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !node.checkVisibility() || /script|style/i.test(node.tagName)) continue;
        const style = getComputedStyle(node);
        const scale = node.closest(".hm") && node.closest(".drawing").data[0].colorscale; // of the cells of a heat map
        for (const below of scale ? scale.map(([, colour]) => parse(colour)) : [behind(node)]) {
            const ink = parse(node instanceof SVGElement ? style.fill : style.color);
            const found = ratio(over([...ink.slice(0, 3), ink[3] * opacity(node)], below), below);
            if (found < 4.5) poor.push([walker.currentNode.data, Number(found.toFixed(2))]);
            seen += 1;
        }
    }
    return { poor, seen };
}"""


def require_contrast(page):
    """All visible text, also that of a hidden group's button, has the contrast of WCAG AA."""
    press = "(button, pressed) => button.setAttribute('aria-pressed', pressed)"
    page.eval_on_selector("#group-1", press, "false")
    found = page.evaluate(CONTRASTS)
    page.eval_on_selector("#group-1", press, "true")
    assert found["poor"] == []
    assert found["seen"] > 150


def test_text_has_contrast_in_a_matrix_too(many):
    require_contrast(many)
    redrawn(many, lambda: many.click("#theme"))
    require_contrast(many)
    redrawn(many, lambda: many.click("#theme"))


def test_a_group_is_hidden_and_shown(page):
    def traces():
        return [drawing(page, name, "plot.data.length") for name in ("curve-metrics/fid", "final-fid")]

    everything = traces()
    redrawn(page, lambda: page.click("#group-1"))
    assert page.get_attribute("#group-1", "aria-pressed") == "false"
    hinge = [1 + 4 + 1, 3]  # the band, four runs, their mean; the runs, their mean, their median
    assert traces() == [before - of for before, of in zip(everything, hinge, strict=True)]
    redrawn(page, lambda: page.click("#group-1"))
    assert traces() == everything


def test_commands_can_be_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#numbers .command button")
    page.wait_for_selector("#numbers .command button:has-text('copied')")
    assert page.evaluate("navigator.clipboard.readText()").startswith("gan compare ")


def test_the_theme_is_toggled(page):
    def colours():
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return paper, drawing(page, "curve-metrics/fid", "[plot.layout.font.color, plot.data.at(-1).line.color]")

    light = colours()
    redrawn(page, lambda: page.click("#theme"))
    dark = colours()
    assert light[0] == "rgb(251, 251, 250)"
    assert dark[0] == "rgb(20, 22, 26)"
    assert light[1][0] != dark[1][0]
    assert light[1][1] != dark[1][1]
    redrawn(page, lambda: page.click("#theme"))
    assert colours() == light


def test_screenshots(page, tmp_path):
    """Wide and narrow, light and dark: nothing is wider than the window, and all text is readable."""
    folder = Path(os.environ.get("GAN_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for width in (1400, 390):
        redrawn(
            page, lambda width=width: (page.set_viewport_size({"width": width, "height": 900}), page.click("#theme"))
        )
        page.wait_for_timeout(150)  # figures are fitted to the window after it has been resized
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for theme in ("dark", "light"):
            if theme == "light":
                redrawn(page, lambda: page.click("#theme"))
            require_contrast(page)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=folder / f"page-{width}-{theme}.png", full_page=True)
        assert (folder / f"page-{width}-light.png").stat().st_size > 50_000


def test_runs_that_begin_and_go_on_are_followed(new_page, tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "SECONDS", 0.0)
    server = serve.Server(
        serve.Live(lambda: content_of(comparison_of(tmp_path)), lambda: serve.signature(tmp_path)), port=0
    )
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    page = new_page(1000, 700)
    page.wrongs, page.asked = [], []
    watch(page)
    try:
        page.goto(server.url)
        page.wait_for_selector("h1:has-text('Nothing to compare yet')")
        run = make_run(tmp_path / "run", fid=(80.0, 10.0, 2.0))
        page.wait_for_selector("[data-figure='curve-metrics/fid'] .trace")
        page.wait_for_selector(DRAWN)
        assert page.is_checked("#logarithmic")  # as 80 / 2 > 20
        redrawn(page, lambda: page.check("#axis-kimg", force=True))
        page.fill("#round", "1")
        row = json.loads((run / "history.jsonl").read_text().splitlines()[-1])
        with (run / "history.jsonl").open("a") as history:
            history.write(json.dumps(row | {"round": 300, "kimg": 19.2}) + "\n")
        deadline = time.monotonic() + 60
        while drawing(page, "curve-metrics/fid", "plot.data.at(-1).x.at(-1)") != 19.2:
            assert time.monotonic() < deadline
            page.wait_for_timeout(50)
        assert page.inner_text(".slider output") == "round 100"
        assert page.is_checked("#axis-kimg")
        assert page.inner_text("#status") == "live: updates as the runs are trained"
        assert page.wrongs == []
        asked = {url.partition("?")[0].removeprefix(server.url) for url in page.asked if url[:5] != "data:"}
        assert asked == {"/", "/data"}  # it wasn't loaded again
        assert page.asked.count(f"{server.url}/") == 1
    finally:
        page.close()
        server.shutdown()
        server.server_close()
