"""Every pair of choices among model, router, expert, combine rule and loss: sound, or refused.

The rows are generated so that each pair of options of two groups stands in at least one of them.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator

import pytest
import torch
import yaml
from hydra.utils import get_class

from moe_lab.analysis.audit import Subject, audit, compose_subject
from moe_lab.config.check import CommandLineError, check_overrides
from moe_lab.config.compose import assemble
from moe_lab.config.help import options
from moe_lab.config.location import configuration_folder
from moe_lab.config.resolvers import register_resolvers
from moe_lab.errors import ConfigError
from moe_lab.outputs import Output

SMALL = ("dataset=synthetic", "dataset.size=[1,8,12]", "num_images=32")
GROUPS = ("router", "expert", "combine", "loss")
FOR_MODEL = {"adaptive_depth": "adaptive"}
Row = dict[str, str]


def parts_of(model: str) -> set[str]:
    """The groups that a model takes its parts from, as its defaults name them."""
    defaults = yaml.safe_load((configuration_folder() / f"model/{model}.yaml").read_text())[
        "defaults"
    ]
    named = " ".join(str(entry) for entry in defaults)
    return {group for group in GROUPS if f"/{group}@" in named}


PARTS = {model: parts_of(model) for model in options("model")}
# Those that take all four; tests/models/test_layered.py and test_iterative_catalogue.py have the
# others.
MODELS = [model for model, parts in PARTS.items() if parts.issuperset(GROUPS)]


def covering_rows() -> Iterator[Row]:
    """Rows over model and GROUPS, chosen greedily until every pair of options has appeared."""
    axes = {"model": MODELS, **{group: options(group) for group in GROUPS}}
    names = list(axes)
    missing = {
        ((a, x), (b, y))
        for a, b in itertools.combinations(names, 2)
        for x in axes[a]
        for y in axes[b]
    }
    while missing:
        (a, x), (b, y) = min(missing)
        row = {a: x, b: y}
        for name in names:
            if name not in row:
                row[name] = max(axes[name], key=lambda o: gain({**row, name: o}, missing))
        missing -= pairs(row, names)
        yield {name: row[name] for name in names}


def pairs(row: Row, names: list[str]) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    present = [(name, row[name]) for name in names if name in row]
    return set(itertools.combinations(present, 2))


def gain(row: Row, missing: set[tuple[tuple[str, str], tuple[str, str]]]) -> int:
    return len(pairs(row, ["model", *GROUPS]) & missing)


ROWS = list(covering_rows())
OTHERS: list[Row] = [
    {"model": model, "expert": expert, "loss": loss}
    for model, usual in (("dense", "task"), ("soft_moe", "unbalanced"))
    for expert, loss in (
        *((expert, usual) for expert in options("expert")),
        *(("mlp", loss) for loss in options("loss") if loss != usual),
    )
]


def expected_refusal(row: Row) -> str | None:
    """Why a row makes no sense, as a pattern of the message; None where it must work."""
    model, router, expert = row["model"], row.get("router", ""), row["expert"]
    is_tree = router in ("tree", "deep_tree")
    if model in ("hierarchical", "recursive") and not is_tree:
        return r"router\.branching"
    if is_tree and model == "guided":  # ten experts, one a class; the trees have eight leaves
        return "branching"
    if row["loss"] in ("adaptive", "iterative") and row["loss"] != FOR_MODEL.get(model):
        return "reads"
    without_answer = row["loss"] in ("competition", "em")
    if without_answer and (model == "adaptive_depth" or row.get("combine") == "concat"):
        return "learns only from the combined answer"
    if model == "soft_moe" and "in_shape" in assemble("dense", {"expert": expert}, SMALL).expert:
        return "in_features"  # reads pixels, not tokens
    if model == "dense" and reads_routing(row["loss"]):
        return "reads"
    return None


@functools.cache
def reads_routing(loss: str) -> bool:
    """Whether a term with a weight cannot do with the output of a model without a router."""
    terms = assemble("standard", {"loss": loss}, SMALL).loss.terms.values()
    return any(t.weight > 0 and get_class(t.term._target_).reads is not Output for t in terms)


def compose(row: Row) -> Subject:
    parts = {group: option for group, option in row.items() if group != "model"}
    return compose_subject(assemble(row["model"], parts, SMALL))


def train_two_steps(subject: Subject) -> None:
    parameters = [p for m in (subject.model, subject.objective) for p in m.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    before = [parameter.detach().clone() for parameter in parameters]
    for _ in range(2):
        assert subject.step().isfinite()
        optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


@pytest.mark.parametrize("row", [*ROWS, *OTHERS], ids=lambda row: "-".join(row.values()))
def test_a_composition_is_sound_or_refused_by_name(row: Row) -> None:
    refusal = expected_refusal(row)
    if refusal is not None:
        with pytest.raises(ConfigError) as caught:
            compose(row)
        assert re.search(refusal, str(caught.value)), str(caught.value)
        return
    subject = compose(row)
    failures = [f"{v.name}: {v.detail}" for v in audit(subject) if v.passed is False]
    assert failures == []
    train_two_steps(subject)


@pytest.mark.parametrize(
    ("model", "group"),
    [
        (model, group)
        for model, parts in PARTS.items()
        for group in ("router", "combine", "gate")
        if group not in parts and "router" not in parts  # a router brings its gate
    ],
)
def test_a_part_that_a_model_does_not_have_is_refused(model: str, group: str) -> None:
    register_resolvers()
    with pytest.raises(CommandLineError, match=f"nothing in model={model} uses a {group}"):
        check_overrides("audit", [f"model={model}", f"{group}={options(group)[0]}"], False)


def test_the_rows_cover_every_pair() -> None:
    names = ["model", *GROUPS]
    covered = set().union(*(pairs(row, names) for row in ROWS))
    axes = {"model": MODELS, **{g: options(g) for g in GROUPS}}
    for a, b in itertools.combinations(names, 2):
        for x, y in itertools.product(axes[a], axes[b]):
            assert ((a, x), (b, y)) in covered
