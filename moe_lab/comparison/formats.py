"""A comparison as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from moe_lab.analysis.harmless_cells import harmless
from moe_lab.analysis.pareto import COSTS
from moe_lab.analysis.plots import CostPoint, accuracy_against_cost, box_plots, save
from moe_lab.comparison.measure import Measure
from moe_lab.comparison.outcome import Comparison, Row
from moe_lab.comparison.tables import group_numbers, group_texts, pair_texts, verdict_numbers
from moe_lab.training.disk import write_atomically

STAR = "A star marks groups that no other group beats in both this cost and the measure."

MARKDOWN = """\
# Comparison by {{ measure.name | plain }}

Data: {{ data | plain }}

{% for verdict in verdicts %}
- {{ verdict.sentence | plain }}
{% endfor %}

{{ groups }}

{{ star }}

{% if verdicts %}
{{ pairs }}

{% endif %}
{% for note in notes %}
{{ note | plain }}

{% endfor %}
{% if left_out %}
Left out:

{% for run in left_out %}
- {{ run.path | string | plain }}: {{ run.reason | plain }}
{% endfor %}
{% endif %}
"""

HTML = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Comparison by {{ measure.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 90em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .3em .8em; text-align: left; border-bottom: 1px solid #ccc; }
thead th { border-bottom: 2px solid #333; }
td { font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>Comparison by {{ measure.name }}</h1>
<p>Data: {{ data }}</p>
<ul>
{% for verdict in verdicts %}
<li>{{ verdict.sentence }}</li>
{% endfor %}
</ul>
{{ groups }}
<p>{{ star }}</p>
{% if verdicts %}
{{ pairs }}
{% endif %}
{% for note in notes %}
<p>{{ note }}</p>
{% endfor %}
{% if left_out %}
<h2>Left out</h2>
<ul>
{% for run in left_out %}
<li>{{ run.path }}: {{ run.reason }}</li>
{% endfor %}
</ul>
{% endif %}
</body>
</html>
"""


def to_markdown(comparison: Comparison) -> str:
    """Verdicts, the table of groups with commands, the table of pairs, notes."""
    return _render(MARKDOWN, comparison, markdown_table, escape=False)


def to_html(comparison: Comparison) -> str:
    """The same as one page that needs nothing else."""
    return _render(HTML, comparison, html_table, escape=True)


def to_csv(comparison: Comparison) -> str:
    """The groups with full precision."""
    return str(harmless(group_numbers(comparison)).to_csv(index=False))


def verdicts_to_csv(comparison: Comparison) -> str:
    """The pairs with full precision."""
    return str(harmless(verdict_numbers(comparison)).to_csv(index=False))


def to_latex(comparison: Comparison) -> str:
    """The groups as a table for booktabs; commands and verdicts as comments, a line each."""
    table = group_texts(comparison, commands=False)
    columns = "ll" + "r" * (len(table.columns) - 2)
    body = table.to_latex(index=False, escape=True, column_format=columns)
    comments = [
        *(verdict.sentence for verdict in comparison.verdicts),
        *(f"{row.group.label}: {row.group.command}" for row in comparison.rows),
        STAR,
    ]
    lines = [f"% {' '.join(comment.split())}" for comment in comments]
    return "\n".join(["% needs \\usepackage{booktabs}", *lines, body])


WRITERS: dict[str, Callable[[Comparison], str]] = {
    "comparison.md": to_markdown,
    "comparison.csv": to_csv,
    "verdicts.csv": verdicts_to_csv,
    "comparison.tex": to_latex,
    "comparison.html": to_html,
}


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Every format and the figures, into a folder that is made where it is missing; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, form in WRITERS.items():
        write_atomically(folder / name, form(comparison))
    return [*(folder / name for name in WRITERS), *save(comparison_figures(comparison), folder)]


def comparison_figures(comparison: Comparison) -> dict[str, Figure]:
    """Spread over seeds, and accuracy against what it costs, by file name."""
    measure = comparison.measure
    groups = {
        row.group.label: [dict(run.summary) for run in row.group.runs] for row in comparison.rows
    }
    return {
        "box_plots": box_plots(groups, measure.key, measure.name),
        "accuracy_against_cost": accuracy_against_cost(
            [cost_point(row, measure) for row in comparison.rows], COSTS, measure.heading
        ),
    }


def cost_point(row: Row, measure: Measure) -> CostPoint:
    """What the table says of a group, for the figure."""
    found, scale = row.estimate, 100 if measure.metric.unit == "%" else 1
    held = found.interval
    interval = None if held is None else (scale * held.low, scale * held.high)
    return CostPoint(row.group.label, scale * found.mean, interval, row.costs, row.fronts)


def markdown_table(table: pd.DataFrame) -> str:
    """A table in GitHub's form; commands as code."""

    def cell(column: str, text: str) -> str:
        escaped = text.replace("|", "\\|").replace("\n", " ")
        if column == "command":
            # More backticks than the text has in a row, so that it cannot end its own code.
            fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
            pad = " " if "`" in text else ""
            return f"{fence}{pad}{escaped}{pad}{fence}"
        return without_markup(escaped).replace("*", "\\*")

    columns = list(table.columns)
    rows = [[cell(*pair) for pair in zip(columns, row, strict=True)] for row in table.to_numpy()]
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def without_markup(text: str) -> str:
    """A text in which Markdown finds neither HTML nor code."""
    return html.escape(text, quote=False).replace("`", "\\`")


def html_table(table: pd.DataFrame) -> str:
    """A table whose cells pandas has escaped, and would cut at 50 characters if not told."""
    with pd.option_context("display.max_colwidth", None):
        return Markup(table.to_html(index=False, border=0))


def _render(
    template: str, comparison: Comparison, table: Callable[[pd.DataFrame], str], escape: bool
) -> str:
    environment = jinja2.Environment(autoescape=escape, trim_blocks=True, lstrip_blocks=True)
    environment.filters["plain"] = without_markup
    return environment.from_string(template).render(
        measure=comparison.measure,
        data=comparison.data,
        verdicts=comparison.verdicts,
        groups=table(group_texts(comparison)),
        pairs=table(pair_texts(comparison)) if comparison.verdicts else "",
        notes=comparison.notes,
        left_out=comparison.left_out,
        star=STAR,
    )
