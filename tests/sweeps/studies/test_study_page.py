"""The page about a study: tables, answers and conditions in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe_lab.sweeps.studies.markdown import answer_paragraph, measured, page, rows_table
from moe_lab.sweeps.studies.study_file import study_names

PUBLISHED = sorted((Path(__file__).parents[3] / "outputs" / "published").glob("*.json"))

ROW: dict[str, Any] = {
    "label": "dense", "published": None, "params_total": 1000.0, "params_active": 500.0,
    "flops_per_image": 2000.0, "forward_ms": 1.234, "mean": 97.5, "sd": 0.25,
    "interval": [97.0, 98.0], "columns": {}, "accuracies": {"0": 97.25, "1": 97.75}, "runs": [],
}  # fmt: skip
ENVIRONMENT = {
    "hardware": {"gpus": [], "processor": "P", "cores": 2, "torch_threads": 1},
    "versions": {"torch": "2"},
}


def verdict(question: str, text: str, difference: float, decided: bool) -> dict[str, Any]:
    return {"question": question, "answer": text, "difference": difference, "decided": decided}


def part(answers: list[dict[str, Any]], relations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": "MNIST (5 epochs)", "answers": answers, "relations": relations, "rows": [ROW],
        "data": "mnist: a copy (abc)",
        "budget": {"images": {"train": 54000, "val": 6000, "test": 10000}, "epochs": [5]},
    }  # fmt: skip


def test_a_table_has_published_values_only_where_there_are_some() -> None:
    (line,) = rows_table([ROW])[2:]
    assert line == "| dense | 1,000 | 500 | 2,000 | 1.23 | 97.50 ± 0.25 | 97.00 to 98.00 |"
    assert "| 93.49 |" in rows_table([{**ROW, "published": 93.49}])[2]


def test_further_columns_are_named_and_empty_where_a_row_has_no_such_number() -> None:
    routed = rows_table([{**ROW, "columns": {"dead_experts": 1.25, "mutual_information": None}}])
    assert routed[0].endswith("| 95 % interval | dead experts | information I(E;Y) |")
    assert routed[2].endswith("| 97.00 to 98.00 | 1.25 |  |")


def test_the_answer_leads_with_the_first_contrast_and_names_the_largest() -> None:
    answers = [
        verdict("Is it?", "no evidence", 0.1, decided=False),
        verdict("And this?", "a beats b by 1", 1.0, decided=True),
        verdict("Or that?", "c beats d by 2", -2.0, decided=True),
    ]
    assert answer_paragraph({"parts": [part(answers, [])]}) == (
        "Is it? No evidence. Contrasts that show a difference (p < 0.05): 2 of 3; the largest: "
        "c beats d by 2."
    )
    relations = [{"question": "More with more?", "answer": "No."}]
    assert answer_paragraph({"parts": [part(answers[:1], relations)]}).startswith(
        "More with more? No. "
    )
    assert answer_paragraph({"parts": [part([], [])]}) == "No rows were compared."


def test_the_conditions_name_data_budget_machine_and_other_work() -> None:
    result = {
        "measured": "Five epochs.", "notes": "", "changes": ["x=1"], "environment": ENVIRONMENT,
        "parts": [part([], [])],
    }  # fmt: skip
    assert measured(result) == [
        "Five epochs.",
        "",
        "**Not exactly that work: x=1.**",
        "",
        "- Data: mnist: a copy (abc).",
        "- Budget: MNIST: 54,000 training, 6,000 validation and 10,000 test images, 5 epochs, "
        "2 seeds.",
        "- Hardware: P, 2 cores, 1 thread; torch 2.",
        "- Commit: not known.",
    ]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_page_says_what_its_numbers_say(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["study"] == path.stem
    assert path.stem in study_names()
    assert path.with_suffix(".md").read_text() == page(result, path.stem)
    assert path.with_suffix(".png").read_bytes()[1:4] == b"PNG"


def test_there_are_published_pages() -> None:
    assert len(PUBLISHED) >= 6
