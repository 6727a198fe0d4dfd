"""Draw docs/images/explore.png: the page of `gan explore`, with an interpolation, a direction and real neighbours.

gan explore RUN --port 8400 &
python scripts/draw_explore.py http://127.0.0.1:8400 docs/images/explore.png
"""

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 900}


def drag(page: Any, slider: str, share: float) -> None:
    """Move a slider to a share of its length."""
    box = page.locator(slider).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + share * box["width"], middle, steps=5)
    page.mouse.up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("output", type=Path)
    parser.add_argument("--number", type=int, default=3, help="the sample that is shown (%(default)s)")
    parser.add_argument("--end", type=int, default=8, help="the sample at the other end (%(default)s)")
    options = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(viewport=SIZE)
        page.goto(options.url)
        page.wait_for_selector(".sheet .pick:last-child img[src]")
        page.locator(".sheet .pick").nth(options.number).click()
        page.get_by_label("Number").nth(1).fill(str(options.end))
        drag(page, ".way", 0.5)
        if page.locator(".direction-1").count():
            drag(page, ".direction-1", 0.6)
        page.locator(".nearest").click()
        page.wait_for_selector(".reals img[src]")
        page.wait_for_timeout(2000)
        content = page.locator(".explore").screenshot()
    Image.open(io.BytesIO(content)).convert("RGB").save(options.output, optimize=True)


if __name__ == "__main__":
    main()
