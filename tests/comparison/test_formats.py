"""A comparison and its four formats, each read back."""

from __future__ import annotations

import csv
import html
import io
import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from moe_lab.analysis.harmless_cells import harmless
from moe_lab.comparison.formats import (
    comparison_figures,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
    verdicts_to_csv,
    write,
)
from moe_lab.comparison.outcome import Comparison, compare_runs
from moe_lab.comparison.statistics import t_interval
from moe_lab.errors import ConfigError

Record = Callable[..., Path]
SPARSE, DENSE = [0.95, 0.96, 0.97], [0.90, 0.912, 0.92]
COMMANDS = [
    "python -m moe_lab.train -m 'init_parts=[experts]' seed=0,1,2",
    "python -m moe_lab.train -m model=dense 'init_parts=[experts]' seed=0,1,2",
]


@pytest.fixture
def comparison(record: Record, tmp_path: Path) -> Comparison:
    """Two groups of three seeds and an interrupted run."""
    for seed in range(3):
        record(f"a{seed}", ("init_parts=[experts]",), seed, SPARSE[seed], params_total=800)
        record(f"b{seed}", ("model=dense", "init_parts=[experts]"), seed, DENSE[seed])
    record("stopped", status="interrupted")
    return compare_runs([tmp_path])


def test_rows_are_in_order_of_merit_with_estimates_and_fronts(comparison: Comparison) -> None:
    best, other = comparison.rows
    assert [best.group.label, other.group.label] == ["model=sparse", "model=dense"]
    assert best.estimate.interval == t_interval(SPARSE)
    assert best.costs["params_total"] == 800
    assert best.fronts["params_total"] is True  # dearer, but better
    assert other.fronts["params_total"] is True
    assert other.fronts["flops_per_image"] is False  # as dear, and worse
    assert [verdict.winner for verdict in comparison.verdicts] == [best.group]
    assert [out.reason for out in comparison.left_out] == ["interrupted"]


def test_csv_holds_every_number_in_full(comparison: Comparison) -> None:
    table = pd.read_csv(io.StringIO(to_csv(comparison)))
    interval = t_interval(SPARSE)
    assert table["test_accuracy_mean"].tolist() == pytest.approx([0.96, sum(DENSE) / 3])
    assert table["test_accuracy_low"][0] == interval.low
    assert table["command"].tolist() == COMMANDS
    assert table["pareto_flops_per_image"].tolist() == [True, False]
    verdicts = pd.read_csv(io.StringIO(verdicts_to_csv(comparison)))
    assert verdicts["winner"].tolist() == ["model=sparse"]
    assert verdicts["difference"][0] == pytest.approx(0.96 - sum(DENSE) / 3)
    assert verdicts["verdict"][0] == comparison.verdicts[0].sentence


def test_markdown_has_a_row_a_group_with_its_command(comparison: Comparison) -> None:
    text = to_markdown(comparison)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    header, _, first, second = rows[:4]
    assert {len(row) for row in rows[:4]} == {len(header)}
    assert first[:3] == ["model=sparse", "3", "96.00 ± 1.00"]
    assert [first[-1], second[-1]] == [f"`{command}`" for command in COMMANDS]
    assert first[header.index("total parameters")] == "800 \\*"
    assert f"- {html.escape(comparison.verdicts[0].sentence, quote=False)}" in text
    assert "stopped: interrupted" in text


def test_latex_is_a_booktabs_table_with_commands_beside_it(comparison: Comparison) -> None:
    text = to_latex(comparison)
    rules = [re.search(rf"\\{name}", text) for name in ("toprule", "midrule", "bottomrule")]
    assert all(rules)
    body = [line for line in text.splitlines() if line.endswith("\\\\")]
    columns = re.search(r"\\begin{tabular}{(\w+)}", text)
    assert columns is not None
    assert {len(re.split(r"(?<!\\)&", line)) for line in body} == {len(columns[1])}
    assert body[1].startswith("model=sparse & 3 & 96.00 ± 1.00 &")
    assert not re.search(r"(?m)^[^%\n]*[^\\]%", text)  # a bare % would cut a line off
    for command in COMMANDS:
        assert re.search(rf"(?m)^% .*{re.escape(command)}$", text)


class Cells(HTMLParser):
    """The texts of all table cells of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        if self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def test_html_is_one_page_with_both_tables(comparison: Comparison) -> None:
    text = to_html(comparison)
    cells = Cells()
    cells.feed(text)
    header, first, second, pairs, pair = cells.rows
    assert first[:3] == ["model=sparse", "3", "96.00 ± 1.00"]
    assert [first[-1], second[-1]] == COMMANDS
    assert len(header) == len(first)
    assert pair[pairs.index("seeds")] == "3"
    assert "http" not in text
    assert "<li>model=sparse beats model=dense" in text


def test_text_of_users_cannot_break_a_page(record: Record) -> None:
    comparison = compare_runs([record("a", ("freeze=['<b>&|']",))])
    assert "<b>&" not in to_html(comparison)
    assert "&lt;b&gt;&amp;" in to_html(comparison)
    assert "<b>&\\|" in to_markdown(comparison)


def test_markdown_finds_no_html_in_what_users_named(record: Record) -> None:
    comparison = compare_runs([record("a", ("freeze=['<script>x</script>`']",))])
    outside_code = re.sub(r"(?<!\\)(`+).*?(?<!`)\1(?!`)", "", to_markdown(comparison))
    assert "<script" not in outside_code
    assert "&lt;script&gt;" in outside_code


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_a_csv_file_is_a_formula(start: str) -> None:
    text = f'{start}HYPERLINK("http://x")'
    table = harmless(pd.DataFrame({text: [text, "plain"], "number": [-1.5, 2.0]}))
    heading, *rows = csv.reader(io.StringIO(table.to_csv(index=False)))
    assert [heading[0], rows[0][0], rows[1][0]] == [f"'{text}", f"'{text}", "plain"]
    assert [float(row[1]) for row in rows] == [-1.5, 2.0]


def test_every_format_is_written(comparison: Comparison, tmp_path: Path) -> None:
    files = write(comparison, tmp_path / "new" / "out")
    assert [path.name for path in files if path.suffix != ".png"] == [
        "comparison.md", "comparison.csv", "verdicts.csv", "comparison.tex", "comparison.html",
    ]  # fmt: skip
    assert len(list(csv.reader(files[1].open()))) == 3


def test_a_group_alone_has_no_verdict_but_a_table(record: Record) -> None:
    comparison = compare_runs([record("a")])
    assert comparison.verdicts == []
    assert to_csv(comparison).count("\n") == 2
    assert "nan" not in (to_markdown(comparison) + to_html(comparison)).lower()


@pytest.mark.slow
def test_a_baseline_is_compared_with_each_group_alone(record: Record, tmp_path: Path) -> None:
    for top_k, seed in itertools.product((1, 2, 3), range(2)):
        record(f"{top_k}_{seed}", (f"router.top_k={top_k}",), seed, 0.9 + top_k / 100)
    against = compare_runs([tmp_path], baseline="router.top_k=3").verdicts
    assert [v.second.label for v in against] == ["router.top_k=3"] * 2
    assert len(compare_runs([tmp_path]).verdicts) == 3
    for name, problem in (("top_k", "fits several groups"), ("dense", "is none of the groups")):
        with pytest.raises(ConfigError, match=problem):
            compare_runs([tmp_path], baseline=name)


def test_runs_without_the_measure_are_left_out(record: Record, tmp_path: Path) -> None:
    record("a", val_accuracy=None)
    with pytest.raises(ConfigError, match="no run has a val_accuracy"):
        compare_runs([tmp_path], by="val_accuracy")
    record("b", seed=1, val_accuracy=0.5)
    comparison = compare_runs([tmp_path], by="val_accuracy")
    assert [row.group.draws for row in comparison.rows] == [[(1, 0)]]
    assert [out.path.name for out in comparison.left_out] == ["a"]


def test_only_unfinished_runs_are_an_error(record: Record, tmp_path: Path) -> None:
    record("a", status="failed")
    with pytest.raises(ConfigError, match="none of the runs is finished"):
        compare_runs([tmp_path])


def test_figures_show_every_run_and_are_written_beside_the_tables(
    comparison: Comparison, tmp_path: Path
) -> None:
    drawn = comparison_figures(comparison)
    dots = [tuple(c.get_offsets()[:, 0]) for c in drawn["box_plots"].axes[0].collections]
    assert dots == [tuple(SPARSE), tuple(DENSE)]
    written = {path.name for path in write(comparison, tmp_path / "out")}
    assert {"box_plots.png", "accuracy_against_cost.png", "comparison.md"} <= written
    assert (tmp_path / "out" / "box_plots.png").read_bytes()[1:4] == b"PNG"


def test_the_figure_of_costs_shows_the_means_and_the_front_of_the_table(
    record: Record, tmp_path: Path
) -> None:
    # The dearer group has the best single run and the worse mean: no point of the front.
    for seed, (cheap, dear) in enumerate([(0.95, 0.99), (0.95, 0.90), (0.96, 0.90)]):
        record(f"a{seed}", seed=seed, accuracy=cheap)
        record(f"b{seed}", ("expert.hidden=512",), seed=seed, accuracy=dear, params_total=400)
    comparison = compare_runs([tmp_path])
    axes = comparison_figures(comparison)["accuracy_against_cost"].axes[0]
    points = [bar.lines[0].get_xydata()[0].tolist() for bar in axes.containers]
    assert points == [
        pytest.approx([100, 100 * (0.95 + 0.95 + 0.96) / 3]),
        pytest.approx([400, 100 * (0.99 + 0.90 + 0.90) / 3]),
    ]
    front = next(line for line in axes.get_lines() if line.get_label() == "Pareto front")
    assert front.get_xydata().tolist() == points[:1]
    assert [row.fronts["params_total"] for row in comparison.rows] == [True, False]
    reach = t_interval([95.0, 95.0, 96.0])
    (bar,) = axes.containers[0].lines[2]
    assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([reach.low, reach.high])
