"""A picture of the report of a run, for the README.

    python scripts/figures/report_screenshot.py RUN OUT.png

`--theme dark`, `--width 375` and `--height 0` (the whole page) show it otherwise. Needs Chromium
and Playwright for Python; the report is written again first.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from moe_lab.analysis.page import write_report
from moe_lab.training.run_directory import RunDirectory

FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]


def main() -> None:
    """Write the report of a run and take a picture of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    parser.add_argument("--width", type=int, default=1240)
    parser.add_argument("--height", type=int, default=1400, help="0: the whole page")
    arguments = parser.parse_args()
    page = write_report(RunDirectory(arguments.run))
    size = (arguments.width, arguments.height)
    take_picture(page, arguments.out, arguments.theme, size)


def take_picture(page: Path, out: Path, theme: str, size: tuple[int, int]) -> None:
    """Save what a browser window of `size` pixels shows; of the whole page for height 0."""
    from playwright.sync_api import sync_playwright

    width, height = size
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        context = browser.new_context(
            viewport={"width": width, "height": height or 900},
            color_scheme="dark" if theme == "dark" else "light",
            device_scale_factor=1.5,
        )
        window = context.new_page()
        window.goto(page.resolve().as_uri())
        window.screenshot(path=out, full_page=height == 0)
        browser.close()


if __name__ == "__main__":
    main()
