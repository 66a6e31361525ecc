"""The page: complete for every kind of run, self-contained, and safe for any text."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from moe_lab.analysis.page import write_report
from moe_lab.commands.report import main
from tests.analysis.page.samples import CONFUSION, DENSE, ROUTING, TABLES, write_run
from tests.conftest import Trained

EVIL = '"><script>alert(1)</script>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


class Page(HTMLParser):
    """What a browser would find in a page: tags, addresses, headings and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.texts: list[str] = []
        self.unclosed: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "input", "img", "line", "path"):
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.unclosed and self.unclosed[-1] in ("h1", "h2"):
            self.headings.append(data.strip())
        self.texts.append(data.strip())


def page_of(run_dir: Path, *args: Any, **kwargs: Any) -> Page:
    path = write_report(write_run(run_dir, *args, **kwargs))
    assert path == run_dir / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert page.unclosed == []
    return page


def test_a_full_run_has_all_its_sections(tmp_path: Path) -> None:
    metrics = [{"step": 5, "epoch": 0, "train_loss": 2.0}, {"step": 9, "epoch": 0, "val_loss": 1.0}]
    health = [{"step": 5, "layer": "router", "share": [0.2, 0.8], "advice": ["wake expert 0 up"],
               "alarm": None}]  # fmt: skip
    page = page_of(tmp_path, DENSE | ROUTING, TABLES, metrics=metrics, health=health)
    sections = ["What was set", "Training", "Health", "Router", "Predictions", "Record"]
    assert [h for h in page.headings if h] == ["by_hand", *sections]
    assert "85.00 %" in page.texts
    assert "wake expert 0 up" in page.texts
    assert "1 min 15 s" in page.texts


@pytest.mark.parametrize("summary", [None, {"status": "failed", "error": "x"}, DENSE])
def test_a_run_without_router_or_result_has_a_page_too(tmp_path: Path, summary: Any) -> None:
    page = page_of(tmp_path, summary)
    assert "Router" not in page.headings
    assert "Predictions" not in page.headings
    assert (summary or {"status": "unfinished"})["status"] in page.texts


def test_several_layers_stand_under_their_names(tmp_path: Path) -> None:
    layers = {"early": TABLES["layers"]["router"], "late": TABLES["layers"]["router"]}
    summary = DENSE | {f"{layer}_{k}": v for layer in layers for k, v in ROUTING.items()}
    page = page_of(tmp_path, summary, TABLES | {"layers": layers})
    assert {"early", "late", "Load variation, early", "Load variation, late"} <= set(page.texts)
    assert "Routers" in page.headings


def test_passes_have_a_table_that_leaves_out_what_the_first_cannot_have(tmp_path: Path) -> None:
    passes = {"accuracy": [0.5, 0.75], "repaired": [0.0, 0.3], "broken": [0.0, 0.05]}
    page = page_of(tmp_path, DENSE, {"confusion": CONFUSION, "passes": passes})
    assert "Passes" in page.headings
    assert {"50.0 %", "75.0 %", "30.0 %", "5.0 %"} <= set(page.texts)
    assert "0.0 %" not in page.texts


def test_text_from_the_run_never_becomes_markup(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "<i>.png").write_bytes(PNG)
    page = page_of(
        tmp_path,
        DENSE | {"run_name": EVIL, "model": EVIL, EVIL: 1.0, "status": EVIL},
        TABLES | {"class_names": [EVIL, "</style>", "</title>"]},
        {"seed": EVIL, EVIL: {EVIL: EVIL}},
        health=[{"step": 1, "layer": EVIL, "share": [1.0], "advice": [EVIL], "alarm": EVIL}],
        metrics=[{"step": 1, "epoch": 0, EVIL: 1.0}],
    )
    assert page.tags.count("script") == 1
    assert page.tags.count("style") == 1
    assert EVIL in page.texts


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "territories.png").write_bytes(PNG)
    page = page_of(tmp_path, DENSE | ROUTING, TABLES)
    assert [address[:22] for address in page.addresses] == ["data:image/png;base64,"]
    assert "territories" in page.texts
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for outside in ("http:", "https:", "//cdn", "@import", "url("):
        assert outside not in html


def test_pictures_too_large_for_the_page_are_named(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    for name, size in (("a", 900_000), ("b", 900_000), ("c", 100_000)):
        (tmp_path / "plots" / f"{name}.png").write_bytes(bytes(size))
    page = page_of(tmp_path, DENSE, TABLES)
    assert len(page.addresses) == 2
    assert "Too large for this page: plots/b.png" in page.texts
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def test_a_line_that_was_cut_off_costs_nothing_but_itself(tmp_path: Path) -> None:
    run = write_run(tmp_path, DENSE, metrics=[{"step": 1, "epoch": 0, "val_loss": 1.0}])
    with run.metrics.open("a") as file:
        file.write('{"step": 2, "val_lo')
    assert "Training" in Page(write_report(run).read_text()).headings


def test_a_hundred_classes_and_many_steps_make_a_small_page_fast(tmp_path: Path) -> None:
    confusion = [[5 * (row == column) + 1 for column in range(100)] for row in range(100)]
    names = [f"class {number}" for number in range(100)]
    metrics = [{"step": s, "epoch": 0, "train_loss": 1 / (s + 1)} for s in range(20_000)]
    tables = {"confusion": confusion, "class_names": names}
    run = write_run(tmp_path, DENSE, tables, metrics=metrics)
    start = time.process_time()
    path = write_report(run)
    assert time.process_time() - start < 2
    assert path.stat().st_size < 300_000


def test_a_trained_run_can_be_reported(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("trainer.max_epochs=2")
    assert main([f"run={run}"]) == 0
    assert capsys.readouterr().out.endswith(f"report: {run / 'report.html'}\n")
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert {"Training", "Router", "Predictions", "Record"} <= set(page.headings)
    assert "expert.hidden" in page.texts


def test_wrong_requests_end_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, expected in (
        ([f"run={tmp_path}"], "holds no run"),
        ([], "has no value"),
        ([f"run={tmp_path}", "runn=1"], "no key 'runn'"),
    ):
        assert main(line) == 2
        assert expected in capsys.readouterr().err
