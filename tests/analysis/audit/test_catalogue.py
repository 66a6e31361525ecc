"""Every pair of choices among model, router, expert, combine rule and loss: sound, or refused.

The rows are generated so that each pair of options of two groups that fit together stands in at
least one of them. The quick tests take the rows in which an option stands for the first time.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
import yaml
from _pytest.mark import ParameterSet
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
Pair = tuple[tuple[str, str], tuple[str, str]]  # (group, option) twice


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


def pairs(row: Row) -> set[Pair]:
    return set(itertools.combinations([(n, row[n]) for n in ("model", *GROUPS) if n in row], 2))


def expected_refusal(row: Row) -> str | None:
    """Why a row makes no sense, as a pattern of the message; None where it must work."""
    model, router, loss = row.get("model"), row.get("router"), row.get("loss")
    is_tree = router in ("tree", "deep_tree")
    if model in ("hierarchical", "recursive") and router and not is_tree:
        return r"router\.branching"
    if router == "oracle" and model == "adaptive_depth":
        return "is told the domain"
    if router == "oracle" and loss in FOR_MODEL.values():  # whose model hands no domain on
        return "reads"
    if is_tree and model == "guided":  # ten experts, one a class; the trees have eight leaves
        return "branching"
    if model and loss in ("adaptive", "iterative") and loss != FOR_MODEL.get(model):
        return "reads"
    without_answer = loss in ("competition", "em")
    if without_answer and (model == "adaptive_depth" or row.get("combine") == "concat"):
        return "learns only from the combined prediction"
    if model == "soft_moe" and "expert" in row and reads_pixels(row["expert"]):
        return "in_features"
    if model == "dense" and loss and reads_routing(loss):
        return "reads"
    return None


@functools.cache
def reads_pixels(expert: str) -> bool:
    """Whether an expert wants the shape of an image, which tokens do not have."""
    return "in_shape" in assemble("dense", {"expert": expert}, SMALL).expert


@functools.cache
def reads_routing(loss: str) -> bool:
    """Whether a term with a weight cannot do with the output of a model without a router."""
    terms = assemble("standard", {"loss": loss}, SMALL).loss.terms.values()
    return any(t.weight > 0 and get_class(t.term._target_).reads is not Output for t in terms)


AXES = {"model": MODELS, **{group: options(group) for group in GROUPS}}
PAIRS = [
    ((a, x), (b, y))
    for a, b in itertools.combinations(AXES, 2)
    for x, y in itertools.product(AXES[a], AXES[b])
]
REFUSED = [pair for pair in PAIRS if expected_refusal(dict(pair)) is not None]
# A loss that is for none of these models is in pairs with all of them.
LOSSES = {loss for (a, _), (b, loss) in set(PAIRS) - set(REFUSED) if (a, b) == ("model", "loss")}
SOUND = {pair for pair in PAIRS if pair not in REFUSED and dict(pair).get("loss", "task") in LOSSES}


def covering_rows() -> Iterator[Row]:
    """Rows that make sense, chosen greedily until every pair that does has appeared."""
    missing = set(SOUND)
    while missing:
        row = dict(min(missing))
        for name in AXES:
            if name not in row:
                fitting = [o for o in AXES[name] if expected_refusal(row | {name: o}) is None]
                row[name] = max(fitting, key=lambda o: len(missing & pairs(row | {name: o})))
        missing -= pairs(row)
        yield {name: row[name] for name in AXES}


ROWS = list(covering_rows())


def cases(rows: Iterable[Row], news: Callable[[Row], set[object]]) -> list[ParameterSet]:
    """Each row as a case; slow unless there is something about it that no row before had."""
    seen: set[object] = set()
    found = []
    for row in rows:
        marks = [] if news(row) - seen else [pytest.mark.slow]
        found.append(pytest.param(row, id="-".join(row.values()), marks=marks))
        seen |= news(row)
    return found


def compose(row: Row) -> Subject:
    parts = {group: option for group, option in row.items() if group != "model"}
    return compose_subject(assemble(row.get("model", "standard"), parts, SMALL))


def train_two_steps(subject: Subject) -> None:
    parameters = [p for m in (subject.model, subject.objective) for p in m.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    before = [parameter.detach().clone() for parameter in parameters]
    for _ in range(2):
        assert subject.step().isfinite()
        optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


def assert_sound(subject: Subject) -> None:
    failures = [f"{v.name}: {v.detail}" for v in audit(subject) if v.passed is False]
    assert failures == []
    train_two_steps(subject)


@pytest.mark.parametrize("row", cases(ROWS, lambda row: set(row.items())))
def test_a_composition_that_makes_sense_is_sound(row: Row) -> None:
    assert_sound(compose(row))


@pytest.mark.parametrize("row", cases(map(dict, REFUSED), lambda row: {expected_refusal(row)}))
def test_what_does_not_fit_together_is_refused_by_name(row: Row) -> None:
    with pytest.raises(ConfigError, match=str(expected_refusal(row))):
        compose(row)


WITHOUT_ROUTER: list[Row] = [
    {"model": model, "expert": expert, "loss": loss}
    for model, usual in (("dense", "task"), ("soft_moe", "unbalanced"))
    for expert, loss in (
        *((expert, usual) for expert in options("expert")),
        *(("mlp", loss) for loss in options("loss") if loss != usual),
    )
]


@pytest.mark.parametrize("row", cases(WITHOUT_ROUTER, lambda row: {row["model"], row["expert"]}))
def test_experts_and_losses_are_sound_without_a_router_or_refused_by_name(row: Row) -> None:
    refusal = expected_refusal(row)
    if refusal is None:
        assert_sound(compose(row))
        return
    with pytest.raises(ConfigError, match=refusal):
        compose(row)


@pytest.mark.parametrize("model", [m for m, parts in PARTS.items() if "router" not in parts])
def test_parts_that_a_model_does_not_have_are_refused(model: str) -> None:
    register_resolvers()
    others = {"router", "combine", "gate"} - PARTS[model]  # a router brings its gate
    typed = [f"{group}={options(group)[0]}" for group in sorted(others)]
    with pytest.raises(CommandLineError) as caught:
        check_overrides("audit", [f"model={model}", *typed], False)
    for group in others:
        assert f"nothing in model={model} uses a {group}" in str(caught.value)


def test_the_rows_cover_every_pair() -> None:
    covered = set(itertools.chain.from_iterable(map(pairs, ROWS)))
    for pair in itertools.chain.from_iterable(
        itertools.product(((a, x) for x in options(a)), ((b, y) for y in options(b)))
        for a, b in itertools.combinations(GROUPS, 2)
    ):
        is_alone = dict(pair).get("loss") == "iterative"  # for tests of iterative models
        assert pair in covered or pair in REFUSED or is_alone, pair
    for model, group in itertools.product(MODELS, GROUPS):
        for option in options(group):
            pair = (("model", model), (group, option))
            assert pair in covered or pair in REFUSED, pair
