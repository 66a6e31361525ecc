"""The results of a study as a page of Markdown that stands on its own."""

from __future__ import annotations

import math
from typing import Any

from moe_lab.metrics.registry import find

SPLIT_SENTENCES = {
    "by_seed": (
        "each seed draws its own training images and validation split, the same for all rows: "
        "intervals hold the variance of the data too."
    ),
    "fixed": (
        "all seeds share one draw of training images and validation split: intervals leave out the "
        "variance of the data."
    ),
}


def page(result: dict[str, Any], name: str) -> str:
    """Question, answer, figure, a table for each part, how it was measured, the command.

    NAME.png and NAME.json lie beside the page.
    """
    lines = [f"# {result['title']}", "", f"**Question.** {result['question']}", ""]
    lines += [
        f"**Answer.** {answer_paragraph(result)}",
        "",
        *([f"**Correction.** {correction(result)}", ""] if result["across_page"]["tested"] else []),
        f"![{result['title']}]({name}.png)",
        "",
    ]
    for part in result["parts"]:
        lines += [f"## {part['title']}", "", *rows_table(part["rows"]), ""]
        if part["published_from"]:
            lines += [f"Published values: {part['published_from']}.", ""]
        found = [*contrast_sentences(part), *relation_sentences(part)]
        lines += [*(f"- {sentence}" for sentence in found), ""] if found else []
    lines += ["## How it was measured", "", *measured(result), ""]
    lines += ["## Command", "", "```bash", result["command"], "```", ""]
    lines += [f"Every run with its command, commit and numbers: [{name}.json]({name}.json)."]
    return "\n".join(lines) + "\n"


def answer_paragraph(result: dict[str, Any]) -> str:
    """One paragraph: for each part what it leads with, and how many contrasts were decided."""
    found = [(short_title(part), part_answer(part)) for part in result["parts"]]
    said = [(title, text) for title, text in found if text]
    if not said:
        return "No rows were compared."
    return " ".join(f"*{title}.* {text}" if len(said) > 1 else text for title, text in said)


def part_answer(part: dict[str, Any]) -> str:
    """The first relation or else contrast of a part in words; then how many contrasts were
    decided, and the largest of them.
    """
    found, answers = [*relation_sentences(part), *contrast_sentences(part)], part["answers"]
    if len(found) < 2 or not answers:
        return "".join(found[:1])
    decided = [answer for answer in answers if answer["decided"]]
    said = (
        f"{found[0]} Contrasts that show a difference (p < 0.05): {len(decided)} of {len(answers)}"
    )
    largest = max(decided, key=lambda answer: abs(answer["difference"]), default=answers[0])
    if largest is not answers[0]:
        said += f"; the largest: {largest['answer']}"
    return f"{said}."


def correction(result: dict[str, Any]) -> str:
    """Over what p values are corrected, and how many contrasts hold over the whole page."""
    counts, parts = result["across_page"], [part for part in result["parts"] if part["answers"]]
    decided = counts["decided_in_parts"]
    total = counted(counts["tested"], "contrast")
    if len(parts) == 1:
        said = (
            f"p values are corrected by Holm over the {total} of this page, of which {decided} "
            f"show{'s' if decided == 1 else ''} a difference."
        )
    else:
        said = (
            f"p values are corrected by Holm within each part, where {decided} of {total} "
            f"show{'s' if decided == 1 else ''} a difference; corrected over the whole page, "
            f"{counts['decided']} of these {decided} do."
        )
    related = any(part["relations"] for part in result["parts"])
    return said + (" Those of rank correlations are not corrected." if related else "")


def contrast_sentences(part: dict[str, Any]) -> list[str]:
    return [f"{a['question']} {capitalised(a['answer'])}{lost(a)}." for a in part["answers"]]


def lost(answer: dict[str, Any]) -> str:
    """What is said of a contrast that is decided within its part alone."""
    within_part_alone = answer["decided"] and not answer["decided_across_page"]
    return ", but not after Holm over the whole page" if within_part_alone else ""


def relation_sentences(part: dict[str, Any]) -> list[str]:
    return [f"{r['question']} {r['answer']}" for r in part["relations"]]


def short_title(part: dict[str, Any]) -> str:
    """The title of a part without what it says in brackets."""
    return str(part["title"]).partition(" (")[0]


def measured(result: dict[str, Any]) -> list[str]:
    """What the runs did, on which data, for how long, with what and on what machine."""
    lines = [result["measured"]]
    if result["notes"]:
        lines += ["", result["notes"]]
    if result["changes"]:
        lines += ["", f"**Not exactly that work: {' '.join(result['changes'])}.**"]
    data = dict.fromkeys(part["data"] for part in result["parts"])
    budgets = [budget(part) for part in result["parts"] if part["budget"]]
    lines += ["", f"- Data: {'; '.join(data)}."]
    lines += [f"- Budget: {'; '.join(budgets)}."] if budgets else []
    lines += [f"- Seeds: {SPLIT_SENTENCES[result['split']]}"]
    lines += [f"- {sentence}" for sentence in time_sentences(result["parts"])]
    lines += [f"- Hardware: {machine(result['environment'])}.", f"- Commit: {commits(result)}."]
    return lines


def budget(part: dict[str, Any]) -> str:
    """How many images were seen for how many epochs."""
    images, epochs = part["budget"]["images"], part["budget"]["epochs"]
    span = f"{epochs[0]} to {epochs[-1]} epochs" if len(epochs) > 1 else counted(epochs[0], "epoch")
    seeds = max(len(row["accuracies"]) for row in part["rows"])
    return (
        f"{short_title(part)}: {images['train']:,} training, {images['val']:,} validation and "
        f"{images['test']:,} test images, {span}, {counted(seeds, 'seed')}"
    )


def time_sentences(parts: list[dict[str, Any]]) -> list[str]:
    """What the columns of forward times hold, and why a part has none."""
    measured = [part for part in parts if part["forward_times"] is not None]
    quiet = [part for part in measured if part["forward_times"]["quiet"]]
    said = []
    if quiet:
        tolerance = quiet[0]["forward_times"]["tolerance"]
        said.append(
            "Forward times: minimum / median; rows take turns, and the two halves of each "
            f"measurement agree within {100 * tolerance:.0f} %."
        )
    busy = [part for part in measured if part not in quiet]
    if busy:
        where = f" of {', '.join(map(short_title, busy))}" if len(busy) < len(parts) else ""
        worst = max(part["forward_times"]["disagreement"] for part in busy)
        said.append(
            f"No forward times{where}: the machine was too busy, the two halves of a measurement "
            f"differ by up to {100 * worst:.0f} %."
        )
    return said


def machine(environment: dict[str, Any]) -> str:
    """What it ran on, in a sentence."""
    hardware = environment["hardware"]
    device = ", ".join(hardware["gpus"]) or f"{hardware['processor']}, {hardware['cores']} cores"
    threads = counted(hardware["torch_threads"], "thread")
    return f"{device}, {threads}; torch {environment['versions']['torch']}"


def commits(result: dict[str, Any]) -> str:
    """Which revisions of the code made the runs."""
    states = [run.get("git") for part in result["parts"] for row in part["rows"]
              for run in row["runs"]]  # fmt: skip
    return ", ".join(dict.fromkeys(revision(state) for state in states)) or "not known"


def revision(state: dict[str, Any] | None) -> str:
    if state is None:
        return "not known: no checkout"
    return state["commit"][:12] + (" with uncommitted changes" if state["modified"] else "")


def rows_table(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each row; the column of published values only where there are any."""
    published = any(row["published"] is not None for row in rows)
    timed = [int(batch) for batch in rows[0]["forward_ms"] or ()]
    names = ["", "parameters", "active", "FLOPs per image"]
    names += [f"forward of {counted(batch, 'image')}, ms" for batch in timed]
    names += ["published, %"] if published else []
    names += ["test accuracy, %", "95 % interval"]
    columns = list(rows[0]["columns"])
    names += [label_of(column) for column in columns]
    lines = [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}"]
    for row in rows:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.2f}"
        interval = row["interval"]
        cells = [
            row["label"],
            f"{row['params_total']:,.0f}",
            f"{row['params_active']:,.0f}",
            f"{row['flops_per_image']:,.0f}",
        ]
        cells += [minimum_and_median(row["forward_ms"][str(batch)]) for batch in timed]
        if published:
            cells.append("" if row["published"] is None else f"{row['published']:.2f}")
        cells.append(f"{row['mean']:.2f}{spread}")
        cells.append("" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}")
        cells += [column_mean(row["columns"][column]) for column in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def label_of(key: str) -> str:
    """What tables call a number of a run's summary."""
    recorded = find(key)
    return recorded.label if recorded is not None else key


def column_mean(value: float | None) -> str:
    """A mean over seeds; empty where runs of the row have no such number."""
    return "" if value is None else f"{value:.3g}"


def capitalised(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"


def minimum_and_median(times: dict[str, float]) -> str:
    """Milliseconds with three digits."""
    found = [times[key] for key in ("minimum", "median")]
    return " / ".join(f"{ms:,.{max(0, 2 - math.floor(math.log10(ms)))}f}" for ms in found)
