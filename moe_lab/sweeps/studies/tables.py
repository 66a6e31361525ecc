"""The results of a study as Markdown."""

from __future__ import annotations

from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """Every part with its table and its answers."""
    lines = [result["work"], ""]
    if result["changes"]:
        lines += [f"**Not exactly that work: {' '.join(result['changes'])}.**", ""]
    for part in result["parts"]:
        lines += [f"**{part['title']}**", "", *table(part["rows"]), ""]
        lines += [*answers_of(part), ""] if answers_of(part) else []
    return "\n".join([*lines, *circumstances(result)])


def answers(result: dict[str, Any]) -> str:
    """The answers alone, part by part."""
    lines = [result["work"], ""]
    for part in result["parts"]:
        lines += [f"**{part['title']}**", "", *answers_of(part), ""]
    return "\n".join([*lines, *circumstances(result)])


def answers_of(part: dict[str, Any]) -> list[str]:
    """One line a question and a relation."""
    return [
        *(f"- {answer['question']} {sentence(answer)}" for answer in part["answers"]),
        *(f"- {relation['text']} {relation['answer']}" for relation in part["relations"]),
    ]


def circumstances(result: dict[str, Any]) -> list[str]:
    """Which data the runs saw, and on what machine."""
    data = dict.fromkeys(part["data"] for part in result["parts"])
    return [f"Data: {'; '.join(data)}.", machine(result["environment"])]


def machine(environment: dict[str, Any]) -> str:
    """What it ran on, in a sentence."""
    hardware = environment["hardware"]
    device = ", ".join(hardware["gpus"]) or f"{hardware['processor']}, {hardware['cores']} cores"
    return f"Hardware: {device}; torch {environment['versions']['torch']}."


def table(rows: list[dict[str, Any]]) -> list[str]:
    """One line a row; the column of published values only where there are any."""
    published = any(row["published"] is not None for row in rows)
    names = ["", "parameters", "active", "FLOPs an image", "forward, ms"]
    names += ["published, %"] if published else []
    names += ["test accuracy, %", "95 % interval"]
    columns = list(rows[0]["columns"])
    names += [column.replace("_", " ") for column in columns]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for row in rows:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.2f}"
        interval = row["interval"]
        cells = [
            row["name"],
            f"{row['params_total']:,.0f}",
            f"{row['params_active']:,.0f}",
            f"{row['flops_per_image']:,.0f}",
            f"{row['forward_ms']:.2f}",
        ]
        if published:
            cells.append("" if row["published"] is None else f"{row['published']:.2f}")
        cells.append(f"{row['mean']:.2f}{spread}")
        cells.append("" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}")
        cells += [number(row["columns"][column]) for column in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def number(value: float | None) -> str:
    """A mean over seeds; empty where runs of the row have no such number."""
    return "" if value is None else f"{value:.3g}"


def sentence(answer: dict[str, Any]) -> str:
    """An answer as a sentence."""
    text: str = answer["answer"]
    return f"{text[:1].upper()}{text[1:]}."
