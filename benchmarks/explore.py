"""Benchmark of `gan explore`: images a second, drawn by the generator and shown in Chromium.

    gan explore RUN --port 8400 &
    python benchmarks/explore.py RUN http://127.0.0.1:8400

Printed are the milliseconds in which the generator draws 1 and 16 images, and for some sliders the positions of the
mouse a second while it drags the slider, the images that were shown, and their ratio. The rest is skipped, not queued.
"""

import argparse
import shutil
import statistics
import time
from typing import Any

from playwright.sync_api import sync_playwright

from gan_research import load
from gan_research.explore.explorer import Explorer
from gan_research.explore.view import View

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SLIDERS = {"T": ".T", "way": ".way", "direction 1": ".direction-1"}
COUNT_SHOWN = """
() => {
    window.shown = 0;
    const image = document.querySelector("img.main");
    new MutationObserver(() => window.shown++).observe(image, {attributeFilter: ["src"]});
}
"""


def milliseconds(explorer: Explorer, count: int, repeats: int = 50) -> float:
    """Return the median time in which an image, or several, are drawn."""
    times = []
    for repeat in range(repeats):
        start = time.perf_counter()
        explorer.images(View(truncation=1 + repeat / repeats), count)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def drag(page: Any, slider: str, seconds: float) -> tuple[float, float]:
    """Move a slider to and fro with the mouse; return the positions of the mouse, and the images shown, a second."""
    box = page.locator(slider).bounding_box()
    middle, moves, before = box["y"] + box["height"] / 2, 0, page.evaluate("window.shown")
    page.mouse.move(box["x"] + 5, middle)
    page.mouse.down()
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        moves += 1
        page.mouse.move(box["x"] + 5 + 3 * moves % (box["width"] - 10), middle)
        time.sleep(0.01)
    page.mouse.up()
    return moves / elapsed, (page.evaluate("window.shown") - before) / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each slider (%(default)s)")
    options = parser.parse_args()
    explorer = Explorer(load(options.run))
    print(explorer.description)
    print(" | ".join(f"{count} drawn in {milliseconds(explorer, count):.1f} ms" for count in (1, 16)))
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        page.goto(options.url)
        page.wait_for_selector(".sheet .pick:last-child img[src]")
        page.evaluate(COUNT_SHOWN)
        for name, slider in SLIDERS.items():
            if page.locator(slider).count():
                moves, shown = drag(page, slider, options.seconds)
                print(f"{name}: {moves:.0f} positions, {shown:.0f} images a second, {shown / moves:.2f}")


if __name__ == "__main__":
    main()
