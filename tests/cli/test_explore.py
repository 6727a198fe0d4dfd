"""gan explore: errors before anything is served, and the page in a real browser."""

import base64
import io
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_research import load
from gan_research.utils.images import png

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""To Ctrl-C, as it may be that what runs the tests doesn't."""

SOURCE = "document.querySelector('img.main').src"


def test_what_is_wrong_is_said_at_once(gan, one_line, finished, tmp_path, monkeypatch):
    one_line(gan("explore", tmp_path / "none"), str(tmp_path / "none"))
    one_line(gan("explore", finished, "--num-real", 1), "--num-real")
    with monkeypatch.context() as patch:
        patch.setattr("gan_research.cli.explore.find_spec", lambda name: None)
        one_line(gan("explore", finished), "pip install 'gan_research[explore]'")


@pytest.fixture
def page(server, conditional):
    """The page of a conditional run of digits, with all that went wrong and all that it asked for."""
    pytest.importorskip("nicegui", reason="the extra explore isn't installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    started = server.start("explore", conditional, "--device", "cpu", patch=LISTENING)
    url = started.until(lambda: re.search(r" at (http://\S+) ", started.output))[1]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        page.set_default_timeout(120_000)
        page.wrongs, page.asked = [], []
        page.on("console", lambda m: page.wrongs.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.wrongs.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        page.wait_for_selector(".sheet .pick:last-child img[src]")
        yield page
        browser.close()
    assert page.wrongs == []
    assert {asked for asked in page.asked if not asked.startswith((url, "data:", "blob:"))} == set()
    os.kill(started.pid, signal.SIGINT)
    ended = started.ended()
    assert (ended.status, ended.error) == (0, "")


def drag(page, name, share):
    """Drag a slider from its middle to a share of its length, and wait for another image."""
    before = page.evaluate(SOURCE)
    box = page.locator(f".{name}").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    page.wait_for_function(f"before => {SOURCE} !== before", arg=before)


def shown(page):
    return base64.b64decode(page.evaluate(SOURCE).partition(",")[2])


def saved(page, button):
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


@pytest.mark.skipif(BROWSER is None, reason="there is no chromium, chromium-browser or google-chrome")
def test_the_page_shows_changes_and_saves(page, conditional, tmp_path):
    sampler = load(conditional)
    assert shown(page) == saved(page, ".save") == png(sampler.sample_uint8(1)[0])
    page.locator(".sheet .pick").nth(5).click()
    page.wait_for_function("document.querySelector('.image').innerText.includes('number 5, class 5')")
    assert saved(page, ".save") == png(sampler.sample_uint8(1, start=5)[0])
    for name, share in (("T", 0.2), ("direction-1", 0.9), ("way", 0.7)):
        drag(page, name, share)
    changed = saved(page, ".save")
    page.wait_for_function(f"saved => {SOURCE}.endsWith(saved)", arg=base64.b64encode(changed).decode())
    assert changed != png(sampler.sample_uint8(1, start=5)[0])
    page.click("[aria-label='all to 0']")
    assert page.locator(".value", has_text="+0.0").count() == page.locator("[class*=direction-]").count() == 8
    page.click(".nearest")
    page.wait_for_function("document.querySelectorAll('.reals img[src]').length === 8")
    found = [float(text.split()[0]) for text in page.locator(".reals figcaption").all_inner_texts()]
    assert found == sorted(found)
    assert "1,597 images of digits; nearest image that wasn't trained on" in page.inner_text(".shown")
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("body.body--dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    screenshot = Image.open(io.BytesIO(page.screenshot(path=tmp_path / "page.png")))
    assert np.asarray(screenshot).std() > 5
