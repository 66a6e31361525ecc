"""Rules in the comments of configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moe_lab.config.rules import leaf_keys, parse_rule, rules_in_file
from moe_lab.config.spelling import nearest


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("int >= 1", [1, 10**9], [0, -3, 1.0, "1", True, None]),
        ("int 1..10", [1, 10], [0, 11]),
        ("float > 0", [1e-9, 3], [0, -1.0, float("nan"), float("inf"), "x"]),
        ("float >= 0", [0, 0.5], [-1e-9]),
        ("float 0..1", [0, 0.5, 1], [1.01, -0.01]),
        ("bool", [True, False], [0, "true", None]),
        ("one of a | b", ["a", "b"], ["c", None, ""]),
        ("one of auto | true | false", ["auto", True, False], ["maybe", 1]),
        ("text", ["x", 5], ["", None, [1]]),
        ("int >= 1 or list", [3, [1, 2]], [[1, 0], ["a"], None]),
        ("int >= 1 or null", [None, 4], [0]),
        ("text or list or null", [None, "a", ["a", 3]], [[""]]),
    ],
)
def test_rules_accept_and_refuse(text: str, good: list[Any], bad: list[Any]) -> None:
    rule = parse_rule(f"{text}; what it means")
    assert rule is not None
    assert rule.meaning == "what it means"
    assert [v for v in good if rule.check(v, lambda _: None)] == []
    assert [v for v in bad if not rule.check(v, lambda _: None)] == []


def test_a_bound_may_be_another_key() -> None:
    rule = parse_rule("int 1..model.num_experts; k")
    assert rule is not None
    assert rule.check(4, {"model.num_experts": 4}.get) is None
    assert rule.check(5, {"model.num_experts": 4}.get) == "int 1..model.num_experts = 4"


def test_comments_without_a_rule_are_no_rules() -> None:
    assert parse_rule("just a remark") is None
    assert parse_rule("int around 3; k") is None


def test_rules_are_read_from_nested_keys(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a:\n  b: 1  # int >= 0; first\n  c: '#'  # text; second\nd: 2\n")
    assert {k: r.text for k, r in rules_in_file(file).items()} == {"a.b": "int >= 0", "a.c": "text"}
    assert leaf_keys(file) == ["a.b", "a.c", "d"]


def test_nearest_prefers_the_last_word() -> None:
    known = ["router.top_k", "trainer.max_epochs", "seed"]
    assert nearest("top_k", known) == "; did you mean router.top_k?"
    assert nearest("trainer.max_epoch", known) == "; did you mean trainer.max_epochs?"
    assert nearest("zzz", known) == ""
