"""The page in a real browser: quiet, sortable, filterable, in light and dark, wide and narrow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moe_lab.analysis.page import write_report
from tests.analysis.page.samples import DENSE, ROUTING, TABLES, write_run

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright for Python")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium"),
]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run",
]  # fmt: skip
VALUE, RECALL = 1, 4  # columns of the tables of results and of classes


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    metrics = [
        {"step": 10 * e, "epoch": e, "val_loss": 1 / (e + 1), "val_pass_1_accuracy": 0.1 * e}
        for e in range(8)
    ]
    share = [0.0] * 15 + [1.0]
    advice = ["expert 0 unused for 200 steps: raise a_very_long_key.of_some.term.weight (now 0.05)"]
    health = [
        {"step": 50 * s, "layer": "router", "share": share, "advice": advice, "alarm": None}
        for s in range(80)
    ]
    name = "a_run_name_without_a_place_to_break_" * 3
    environment = {"data": {"copy": "x" * 90}, "command": ["train.py", "run_dir=" + "/long" * 30]}
    directory = write_run(
        run, DENSE | ROUTING | {"run_name": name}, TABLES, metrics=metrics, health=health
    )
    directory.write_json(directory.environment, environment)
    return write_report(directory)


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 800}, color_scheme="light")
    page = context.new_page()
    page.heard, page.asked = [], []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()


def table(page: Any, caption: str) -> Any:
    return page.locator("figure.table").filter(
        has=page.locator(f"figcaption:has-text('{caption}')")
    )


def column(page: Any, caption: str, number: int) -> list[str]:
    cells = table(page, caption).locator(f"tbody tr td:nth-child({number + 1})")
    return [text.strip() for text in cells.all_text_contents()]


def test_it_is_shown_without_a_word_on_the_console_or_a_request(page: Any, report: Path) -> None:
    headings = page.locator("h2").all_text_contents()
    assert headings == ["What was set", "Training", "Health", "Router", "Predictions", "Record"]
    assert page.locator("#verdict").text_content().startswith("It is right on 85.0")
    assert page.locator(".chart svg path").count() >= 2
    assert page.heard == []
    assert page.asked == [report.as_uri()]


def test_a_click_on_a_heading_sorts_by_number_both_ways(page: Any) -> None:
    heading = table(page, "Every result").locator("th").nth(VALUE)
    before = column(page, "Every result", VALUE)
    assert before != sorted(before, key=number)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    up = column(page, "Every result", VALUE)
    assert up == sorted(before, key=number)
    assert up.index("75") < up.index("1,000")  # not by letters
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(page, "Every result", VALUE) == sorted(before, key=number, reverse=True)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_keyboard_sorts_too_and_only_one_heading_is_marked(page: Any) -> None:
    headings = table(page, "Each class").locator("th")
    headings.nth(RECALL).locator("button").focus()
    page.keyboard.press("Enter")
    assert column(page, "Each class", RECALL) == ["66.7 %", "75.0 %", "100.0 %"]
    headings.nth(0).locator("button").focus()
    page.keyboard.press("Space")
    assert column(page, "Each class", 0) == ["<b>bird</b>", "cat", "dog"]
    marked = [h.get_attribute("aria-sort") for h in headings.all()]
    assert marked == ["ascending", None, None, None, None, None]


def test_the_filter_hides_rows_everywhere_and_gives_them_back(page: Any) -> None:
    total = page.locator(".sortable tbody tr").count()
    page.keyboard.press("/")
    page.keyboard.type("LOAD busiest")
    shown = page.locator("figure.table:has-text('Every result') tbody tr:visible")
    assert [row.split()[0] for row in shown.all_inner_texts()] == [
        "max_load_share",
        "max_load_ratio",
    ]
    classes = table(page, "Each class")
    assert classes.locator("tbody tr:visible").count() == 0
    assert classes.locator(".nothing").is_visible()
    assert classes.locator(".count").text_content() == "0 of 3"
    page.keyboard.press("Escape")
    assert page.locator(".sortable tbody tr:not([hidden])").count() == total
    assert classes.locator(".count").text_content() == ""


def test_the_filter_opens_the_folded_settings_where_one_matches(page: Any) -> None:
    folded = page.locator("details.rows")
    assert not folded.evaluate("e => e.open")
    page.locator("#filter").fill("dataset.name")
    assert folded.evaluate("e => e.open")
    assert column_visible(page) == ["dataset.name"]


def column_visible(page: Any) -> list[str]:
    rows = page.locator("details.rows tbody tr:visible td:first-child")
    return [text.strip() for text in rows.all_text_contents()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_until_the_reader_chooses(
    browser: Any, report: Path, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(report.as_uri())
    brightness = {"light": lightness(page), "dark": lightness(page)}
    page.locator("#theme").click()
    other = "dark" if scheme == "light" else "light"
    brightness[other] = lightness(page)
    (paper, ink), (night, glow) = brightness["light"], brightness["dark"]
    assert paper > 200 > 100 > ink
    assert night < 60 < 180 < glow
    page.reload()
    assert lightness(page) == brightness[other]  # the choice is kept
    context.close()


def lightness(page: Any) -> tuple[float, float]:
    """Mean of red, green and blue, of the page and of its text."""
    return tuple(
        page.evaluate(
            """name => {
              const parts = getComputedStyle(document.body)[name].match(/[0-9.]+/g).slice(0, 3);
              return parts.map(Number).reduce((a, b) => a + b) / 3;
            }""",
            name,
        )
        for name in ("backgroundColor", "color")
    )


@pytest.mark.parametrize("width", [320, 375, 1200])
def test_the_page_never_scrolls_sideways(browser: Any, report: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(report.as_uri())
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        """() => [...document.querySelectorAll("main h1, main p, main dd, main .cards > div")]
          .filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"""
    )
    assert cut == 0
    wide = page.locator("figure.table:has-text('Alarms and advice') .scroll")
    overflow = wide.evaluate("e => [e.scrollWidth - e.clientWidth, getComputedStyle(e).overflowX]")
    assert overflow[1] == "auto"
    assert (overflow[0] > 0) == (width < 1000)  # what does not fit scrolls in its own box
    context.close()
