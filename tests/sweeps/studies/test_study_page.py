"""The page about a study: tables, answers and conditions in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from moe_lab.sweeps.studies.digest import judge_across_page
from moe_lab.sweeps.studies.markdown import (
    answer_paragraph,
    contrast_sentences,
    correction,
    measured,
    page,
    rows_table,
    time_sentences,
)
from moe_lab.sweeps.studies.study_file import study_names

ROOT = Path(__file__).parents[3]
PUBLISHED = sorted((ROOT / "outputs" / "published").glob("*.json"))
EXPERIMENTS = ROOT / "conf" / "experiment"
WITH_NUMBERS = [ROOT / "README.md", EXPERIMENTS / "README.md", *sorted(EXPERIMENTS.glob("*.yaml"))]

ROW: dict[str, Any] = {
    "label": "dense", "published": None, "params_total": 1000.0, "params_active": 500.0,
    "flops_per_image": 2000.0, "forward_ms": None, "mean": 97.5, "sd": 0.25,
    "interval": [97.0, 98.0], "columns": {}, "accuracies": {"0": 97.25, "1": 97.75}, "runs": [],
}  # fmt: skip
ENVIRONMENT = {
    "hardware": {"gpus": [], "processor": "P", "cores": 2, "torch_threads": 1},
    "versions": {"torch": "2"},
}


def verdict(question: str, text: str, difference: float, decided: bool) -> dict[str, Any]:
    return {
        "question": question, "answer": text, "difference": difference, "decided": decided,
        "decided_across_page": decided,
    }  # fmt: skip


def part(answers: list[dict[str, Any]], relations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": "MNIST (5 epochs)", "answers": answers, "relations": relations, "rows": [ROW],
        "data": "mnist: a copy (abc)", "forward_times": None,
        "budget": {"images": {"train": 54000, "val": 6000, "test": 10000}, "epochs": [5]},
    }  # fmt: skip


def test_a_table_has_published_values_only_where_there_are_some() -> None:
    (line,) = rows_table([ROW])[2:]
    assert line == "| dense | 1,000 | 500 | 2,000 | 97.50 ± 0.25 | 97.00 to 98.00 |"
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
        "split": "by_seed",
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
        "- Seeds: each seed draws its own training images and validation split, the same for all "
        "rows: intervals hold the variance of the data too.",
        "- Hardware: P, 2 cores, 1 thread; torch 2.",
        "- Commit: not known.",
    ]


def test_forward_times_are_a_column_for_each_batch_size() -> None:
    timed = {
        str(batch): {"minimum": minimum, "median": median}
        for batch, minimum, median in ((1, 0.1234, 0.13), (128, 2.0, 12.34), (1024, 123.4, 1234.5))
    }
    header, _, line = rows_table([{**ROW, "forward_ms": timed}])
    assert (
        "| forward of 1 image, ms | forward of 128 images, ms | forward of 1,024 images, ms |"
    ) in header
    assert "| 0.123 / 0.130 | 2.00 / 12.3 | 123 / 1,234 |" in line


def test_a_busy_machine_is_said_in_place_of_its_times() -> None:
    quiet = {"quiet": True, "disagreement": 0.03, "tolerance": 0.1}
    busy = {"quiet": False, "disagreement": 0.234, "tolerance": 0.1}
    parts = [{"title": f"{name} (5 epochs)", "forward_times": t} for name, t in
             (("A", quiet), ("B", busy))]  # fmt: skip
    assert time_sentences(parts) == [
        "Forward times: minimum / median; rows take turns, and the two halves of each measurement "
        "agree within 10 %.",
        "No forward times of B: the machine was too busy, the two halves of a measurement differ "
        "by up to 23 %.",
    ]
    assert time_sentences(parts[1:]) == [
        "No forward times: the machine was too busy, the two halves of a measurement differ by up "
        "to 23 %."
    ]


def test_p_values_are_corrected_over_all_parts_of_a_page_too() -> None:
    answers = [
        {"p_uncorrected": p, "decided": decided}
        for p, decided in ((0.03, True), (None, False), (0.001, True), (0.2, False), (0.02, True))
    ]
    counts = judge_across_page(answers)
    # Holm: 4 x 0.001, 3 x 0.02, the larger of that and 2 x 0.03, 1 x 0.2.
    expected = [0.06, None, 0.004, 0.2, 0.06]
    assert [answer["p_across_page"] for answer in answers] == [
        p and pytest.approx(p) for p in expected
    ]
    assert counts == {"tested": 4, "decided_in_parts": 3, "decided": 1}


def test_a_page_says_over_what_its_p_values_are_corrected() -> None:
    lone = {**verdict("Is it?", "a beats b", 1.0, decided=True), "decided_across_page": False}
    parts = [part([lone], []), part([verdict("Or that?", "c beats d", 2.0, decided=True)], [])]
    result = {
        "parts": parts, "across_page": {"tested": 2, "decided_in_parts": 2, "decided": 1},
    }  # fmt: skip
    assert correction(result) == (
        "p values are corrected by Holm within each part, where 2 of 2 contrasts show a "
        "difference; corrected over the whole page, 1 of these 2 do."
    )
    assert contrast_sentences(parts[0]) == [
        "Is it? A beats b, but not after Holm over the whole page."
    ]
    assert contrast_sentences(parts[1]) == ["Or that? C beats d."]
    alone = {"parts": parts[1:], "across_page": {"tested": 1, "decided_in_parts": 1, "decided": 1}}
    assert correction(alone) == (
        "p values are corrected by Holm over the 1 contrast of this page, of which 1 shows a "
        "difference."
    )


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_page_says_what_its_numbers_say(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["study"] == path.stem
    assert path.stem in study_names()
    assert path.with_suffix(".md").read_text() == page(result, path.stem)
    assert path.with_suffix(".png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("page_with_numbers", WITH_NUMBERS, ids=lambda path: path.name)
def test_every_accuracy_on_a_page_is_of_a_published_result(page_with_numbers: Path) -> None:
    published = "\n".join(path.with_suffix(".md").read_text() for path in PUBLISHED)
    # A mean with its spread, or a difference with its interval: both stand in a published page.
    told = re.findall(
        r"\d+\.\d+ (?:±|\+-) \d+\.\d+|-?\d+\.\d+ points \[[^\]]+\]", page_with_numbers.read_text()
    )
    missing = [number for number in told if number.replace("+-", "±") not in published]
    assert missing == []


def test_there_are_published_pages() -> None:
    assert len(PUBLISHED) >= 6
