"""The files in conf/study/: what they ask for, and how a wrong one is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moe_lab.comparison.dense_baseline import BUDGETS
from moe_lab.sweeps.studies.definition import Study
from moe_lab.sweeps.studies.study_file import (
    BUDGET_NAMES,
    StudyFileError,
    read_study,
    slug,
    study_folder,
    study_names,
)
from moe_lab.sweeps.studies.work_list import check_lines, labelled_lines, work_list

from .conftest import TINY


def shipped(name: str) -> Study:
    return read_study(study_folder() / f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "rows", "contrasts"),
    [
        ("experiments", [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]),
        ("iwmn", [11, 17, 4], [7, 7, 3]),
        ("losses", [12], [11]),
        ("moe_vs_dense", [6, 6], [5, 5]),
        ("num_experts_and_k", [14], [4]),
        ("pictures", [2], [1]),
        ("routers", [17], [28]),
        ("seed_tables", [11, 5, 4, 6, 8], [3, 2, 2, 2, 5]),
        ("specialisation", [15, 15], [3, 3]),
        ("where_mixtures_win", [5, 5, 4, 5, 5, 4], [4, 4, 3, 4, 4, 3]),
    ],
)
def test_every_study_has_its_rows_and_contrasts(
    name: str, rows: list[int], contrasts: list[int]
) -> None:
    study = shipped(name)
    assert [len(part.rows) for part in study.parts] == rows
    assert [len(part.contrasts) for part in study.parts] == contrasts
    assert study.seeds == (3 if name == "pictures" else 5)
    assert study.quick.seeds == 2


def test_there_are_no_other_studies() -> None:
    assert study_names() == [
        "experiments", "iwmn", "losses", "moe_vs_dense", "num_experts_and_k", "pictures", "routers",
        "seed_tables", "specialisation", "where_mixtures_win",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("study", "part", "label", "line"),
    [
        (
            "iwmn", "tuned", "MoE of equal parameters (E = 4, k = 2)",
            "experiment=iwmn_vs_moe dataset.batch_size=16 optimizer=adamw optimizer.lr=0.003 "
            "scheduler=warmup_cosine dataset.augment.shift=1 "
            "loss.terms.cross_entropy.term.label_smoothing=0.05 model=standard router=top_k "
            "gate.bias=true loss=unbalanced model.num_experts=4 router.top_k=2 expert.hidden=66 "
            "gate.init_std=0.002",
        ),
        (
            "routers", "mnist", "loss_predicting",
            "dataset=mnist dataset.fallback=null dataset.subset=12500 dataset.val_fraction=0.2 "
            "dataset.epochs=10 model=standard loss=balanced expert.hidden=64 "
            "router=loss_predicting",
        ),
        (
            "num_experts_and_k", "mnist", "E = 32, k = 4",
            "dataset=mnist dataset.fallback=null dataset.subset=12500 dataset.val_fraction=0.2 "
            "dataset.epochs=10 model=sparse expert.hidden=64 model.num_experts=32 router.top_k=4",
        ),
        (
            "specialisation", "top_2", "entropy up, 0.5",
            "dataset=mnist dataset.fallback=null dataset.subset=12500 dataset.val_fraction=0.2 "
            "dataset.epochs=10 model=sparse model.num_experts=10 router.top_k=2 loss=unbalanced "
            "expert.hidden=32 combine=probabilities router=top_k loss.terms.entropy.weight=0.5 "
            "loss.terms.entropy.term.direction=maximise",
        ),
    ],
)  # fmt: skip
def test_a_row_is_the_line_of_its_part_and_its_own(
    study: str, part: str, label: str, line: str
) -> None:
    (found,) = (p for p in shipped(study).parts if p.name == part)
    (row,) = (row for row in found.rows if row.label == label)
    assert found.words(row) == line.split()


def test_a_baseline_costs_what_its_mixture_costs() -> None:
    part = shipped("moe_vs_dense").parts[0]
    words = part.words(part.rows[2])
    assert words[0] == "model=dense"
    hidden = int(next(word for word in words if word.startswith("expert.hidden=")).split("=")[1])
    # Multiply-adds: the gate and two experts of 256 hidden units against one of `hidden`.
    mixture = 784 * 8 + 2 * (784 * 256 + 256 * 10)
    assert 794 * hidden <= mixture < 794 * (hidden + 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", study_names())
@pytest.mark.parametrize("matched", [False, True])
def test_every_line_of_every_study_is_right(name: str, matched: bool) -> None:
    study = shipped(name)
    lines = labelled_lines(study, study.quick.overrides.split(), matched)
    assert len(check_lines(lines)) == len(lines)


@pytest.mark.parametrize("name", ["losses", "routers", "num_experts_and_k"])
def test_each_seed_draws_a_split_of_its_own_for_all_rows(name: str) -> None:
    for run in work_list(shipped(name), Path("out"), range(3), ()):
        assert run.words[-2:] == (f"dataset.split_seed={run.seed}", f"seed={run.seed}")


def test_every_shipped_study_varies_its_split() -> None:
    assert {shipped(name).split for name in study_names()} == {"by_seed"}


@pytest.mark.parametrize(
    ("split", "typed"), [("by_seed", ("dataset.split_seed=7",)), ("fixed", ())]
)
def test_a_typed_split_or_a_fixed_one_is_left_alone(split: str, typed: tuple[str, ...]) -> None:
    study = replace(shipped("losses"), split=split)
    for run in work_list(study, Path("out"), range(2), typed):
        assert [word for word in run.words if "split_seed" in word] == list(typed)


def test_rows_have_folders_of_their_own() -> None:
    for name in study_names():
        for part in shipped(name).parts:
            assert len({slug(row.label) for row in part.rows}) == len(part.rows)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("title:", "titel:", "line 2: there is no key 'titel'; did you mean title?"),
        ("title: Two small models", "title:", "line 2: 'title' must be a text"),
        ("measured: Synthetic", "# Synthetic", "line 2: 'measured' is missing"),
        ("seeds: 2", "seeds: 0", "line 5: 'seeds' must be a whole number of at least 1"),
        ("seeds: 2", "split: random\nseeds: 2", "'split' must be one of by_seed, fixed; got"),
        ("seeds: 2", "seeds: [2", "line 6: this is no YAML"),
        ("quick:", "seeds: 3\nquick:", "line 6: 'seeds' is there twice"),
        ("  - name: only", "  - name: Only one", "line 10: the part's name 'Only one' must be"),
        ("{label: dense,", "{lable: dense,", "line 17: there is no key 'parts[0].rows[0].lable'"),
        ("published: 50.0", "published: half", "line 17: 'parts[0].rows[0].published' must be a"),
        ("    published_from: a note of ours\n", "", "line 10: published values of rows and"),
        ("label: a mixture,", "label: Dense,", "line 18: another row of part 'only' is called"),
        ("second: dense", "second: dnese", "line 20: 'Is it?': there is no row 'dnese'; did you"),
        (
            "    contrasts:",
            "    columns: [lod_cv]\n    contrasts:",
            "line 10: 'lod_cv' is no number",
        ),
        ("second: dense", "second: a mixture", "line 20: 'Is it?' compares a row with itself"),
        (
            "overrides: model=standard expert.hidden=8}",
            "matches: dnese, budget: active_flops}",
            "line 18: 'a mixture' matches 'dnese', which is no other row; did you mean dense?",
        ),
        (
            "overrides: model=standard expert.hidden=8}",
            "matches: dense, budget: flops}",
            "line 18: 'budget' must be one of active_flops, active_parameters, total_parameters",
        ),
        (
            "overrides: model=standard expert.hidden=8}",
            "matches: dense}",
            "line 18: 'a mixture': matches and budget need each other",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_key_and_line(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    path = tmp_path / "wrong.yaml"
    assert old in TINY
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(StudyFileError) as caught:
        read_study(path)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)


def test_baselines_match_by_the_budgets_that_there_are() -> None:
    assert set(BUDGET_NAMES) == set(BUDGETS)


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(TINY.replace("title: Two", "titel: Two").replace("seeds: 2", "seeds: many"))
    with pytest.raises(StudyFileError) as caught:
        read_study(path)
    assert [line for line, _ in caught.value.mistakes] == [2, 2, 5]


def test_adding_a_study_takes_one_file(add_study: Callable[[str, str], Path]) -> None:
    add_study("mine", TINY)
    assert "mine" in study_names()
    assert shipped("mine").question == "Is a mixture better than a network of eight hidden units?"
