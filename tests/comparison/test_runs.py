"""Finding runs, leaving out what is no result, grouping over seeds, and naming the groups."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from moe_lab.comparison.found_runs import find_runs
from moe_lab.comparison.grouping import group_runs
from moe_lab.comparison.measure import Measure
from moe_lab.comparison.outcome import compare_runs
from moe_lab.comparison.verdict import difference
from moe_lab.errors import ConfigError
from moe_lab.training.run_directory import config_hash

Record = Callable[..., Path]


def found_paths(*patterns: str | Path) -> set[Path]:
    return {run.path for run in find_runs(patterns)[0]}


def test_runs_are_found_by_path_by_folder_and_by_pattern(record: Record, tmp_path: Path) -> None:
    one, two, three = record("one"), record("sweep/2", seed=2), record("sweep/deep/3", seed=3)
    assert found_paths(one) == {one}
    assert found_paths(tmp_path / "sweep") == {two, three}
    assert found_paths(str(tmp_path / "s*" / "*")) == {two, three}
    assert found_paths(one, tmp_path) == {one, two, three}
    assert len(find_runs([one, tmp_path / "one" / ".." / "one"])[0]) == 1


def test_what_a_run_or_a_hidden_folder_holds_is_no_run(record: Record, tmp_path: Path) -> None:
    run = record("run")
    record("run/analysis")
    record(".trash/old")
    assert found_paths(tmp_path) == {run}


def test_a_name_with_brackets_is_a_name_where_it_is_there(record: Record, tmp_path: Path) -> None:
    run = record("size=[3,32]")
    assert found_paths(run) == {run}


def test_a_pattern_that_leads_to_nothing_is_refused(tmp_path: Path) -> None:
    for pattern in (tmp_path, tmp_path / "missing", tmp_path / "*.none"):
        with pytest.raises(ConfigError, match="there is no run in"):
            find_runs([pattern])


def test_runs_without_a_result_are_left_out_by_name(record: Record, tmp_path: Path) -> None:
    record("good")
    failed = record("failed")
    text = json.dumps({"status": "failed", "error": "  wrong:    NaN\n  do: less"})
    (failed / "summary.json").write_text(text)
    record("stopped", status="interrupted")
    (record("running") / "summary.json").unlink()
    (record("torn") / "summary.json").write_text("{")
    (record("bare") / "config.yaml").unlink()
    runs, left_out = find_runs([tmp_path])
    assert [run.path.name for run in runs] == ["good"]
    reasons = {out.path.name: out.reason for out in left_out}
    assert reasons.pop("torn").startswith("summary.json is damaged: it cannot be read")
    assert reasons == {
        "failed": "failed: wrong: NaN",
        "stopped": "interrupted",
        "running": "not finished: there is no summary.json",
        "bare": "its record is not complete",
    }


def test_runs_are_grouped_over_seeds_and_named_by_what_differs(
    record: Record, tmp_path: Path
) -> None:
    common = ("optimizer.lr=0.01",)
    for seed in (1, 0):
        record(f"a{seed}", (*common, "router.top_k=4"), seed, accuracy=0.9 + seed / 100)
        record(f"b{seed}", common, seed)
        record(f"c{seed}", (*common, "model=dense"), seed)
    groups, left_out = group_runs(find_runs([tmp_path])[0])
    assert left_out == []
    assert [group.label for group in groups] == [
        "model=sparse router.top_k=4",
        "model=sparse router.top_k=2",
        "model=dense",
    ]
    assert [group.draws for group in groups] == [[(0, 0), (1, 0)]] * 3
    assert groups[0].values("test_accuracy") == {(0, 0): 0.9, (1, 0): 0.91}
    assert groups[0].mean("test_accuracy") == pytest.approx(0.905)
    assert groups[0].mean("latency") is None
    assert groups[0].command == (
        "python -m moe_lab.train -m router.top_k=4 optimizer.lr=0.01 seed=0,1"
    )


def test_a_group_alone_is_named_by_all_that_was_chosen(record: Record) -> None:
    groups, _ = group_runs(find_runs([record("a", ("router.top_k=4",))])[0])
    assert groups[0].label == "model=sparse router.top_k=4"


def test_groups_that_differ_in_nothing_typed_are_told_apart_by_their_hash(
    record: Record, tmp_path: Path
) -> None:
    record("a")
    record("b", config_hash="0123456789ab")
    labels = [group.label for group in group_runs(find_runs([tmp_path])[0])[0]]
    assert len(set(labels)) == 2
    assert any("0123456789ab" in label for label in labels)


def test_of_two_runs_with_one_seed_the_newer_counts(record: Record, tmp_path: Path) -> None:
    old, new = record("old", accuracy=0.1), record("new", accuracy=0.2)
    os.utime(old / "summary.json", (1, 1))
    (group,), (left_out,) = group_runs(find_runs([tmp_path])[0])
    assert group.values("test_accuracy") == {(0, 0): 0.2}
    assert left_out.path == old
    assert str(new) in left_out.reason


def test_runs_that_differ_in_seed_and_split_seed_are_one_group(
    record: Record, tmp_path: Path
) -> None:
    for place, (seed, split_seed) in enumerate([(0, 0), (1, 1), (0, 1)]):
        for model, gain in (("dense", 0.0), ("standard", 0.1)):
            words = (f"model={model}", f"dataset.split_seed={split_seed}")
            record(
                f"{model}{place}", words, seed, accuracy=0.5 + place / 10 + gain,
                data_fingerprint=f"drawn by {split_seed}", pool_fingerprint="pool",
            )  # fmt: skip
    groups, left_out = group_runs(find_runs([tmp_path])[0])
    assert left_out == []
    assert [group.label for group in groups] == ["model=dense", "model=standard"]
    # By seed and split seed together: 0.5, 0.7 and 0.6 came in another order.
    assert [list(group.values("test_accuracy").items()) for group in groups[:1]] == [
        [((0, 0), 0.5), ((0, 1), 0.7), ((1, 1), 0.6)]
    ]
    found = difference(groups[1], groups[0], Measure("test_accuracy"))
    assert found.paired
    assert (found.n, found.mean) == (3, pytest.approx(0.1))


def test_statistics_measured_on_a_draw_do_not_tell_it_apart(record: Record, tmp_path: Path) -> None:
    for split_seed in (0, 1):
        folder = record(
            f"run{split_seed}", (f"dataset.split_seed={split_seed}",), split_seed,
            data_fingerprint=str(split_seed), pool_fingerprint="pool",
        )  # fmt: skip
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["dataset"]["mean"] = [0.1 + split_seed / 1000]
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        summary = json.loads((folder / "summary.json").read_text())
        summary["config_hash"] = config_hash(config)
        (folder / "summary.json").write_text(json.dumps(summary))
    (group,), _ = group_runs(find_runs([tmp_path])[0])
    assert group.draws == [(0, 0), (1, 1)]
    assert group.command == ("python -m moe_lab.train -m 'dataset.split_seed=${seed}' seed=0,1")


def test_a_comparison_says_that_its_runs_share_one_split(record: Record, tmp_path: Path) -> None:
    record("same/a")
    record("same/b", seed=1)
    shared = compare_runs([tmp_path / "same"])
    assert any(note.startswith("All runs share one draw of training") for note in shared.notes)
    record("own/a", pool_fingerprint="pool")
    other = record(
        "own/b", ("dataset.split_seed=1",), 1, data_fingerprint="bb", pool_fingerprint="pool"
    )
    record("own/c", ("model=dense",), pool_fingerprint="pool")
    other_hash = json.loads((other / "summary.json").read_text())["config_hash"]
    own = compare_runs([tmp_path / "own"], baseline=other_hash)
    assert not any("share one draw" in note for note in own.notes)
    (verdict,) = own.verdicts
    assert (verdict.first.label, len(verdict.second.runs)) == ("model=dense", 2)


def test_draws_from_different_pools_are_never_compared(record: Record, tmp_path: Path) -> None:
    record("a", data_fingerprint="aaaa", pool_fingerprint="one")
    record("b", ("dataset.split_seed=1",), data_fingerprint="bbbb", pool_fingerprint="other")
    with pytest.raises(ConfigError, match="the runs saw different data"):
        group_runs(find_runs([tmp_path])[0])


def test_a_run_of_before_pools_were_recorded_is_compared_with_its_like(
    record: Record, tmp_path: Path
) -> None:
    record("a", data_fingerprint="aaaa", pool_fingerprint="one")
    record("b", ("model=dense",), data_fingerprint="aaaa")
    assert len(group_runs(find_runs([tmp_path])[0])[0]) == 2


def test_runs_on_different_data_are_never_compared(record: Record, tmp_path: Path) -> None:
    record("a")
    record("b", ("model=dense",), data_fingerprint="bbbb", dataset="cifar10")
    with pytest.raises(ConfigError) as caught:
        group_runs(find_runs([tmp_path])[0])
    assert "aaaa (mnist: 1 run, such as" in caught.value.wrong
    assert "bbbb (cifar10: 1 run, such as" in caught.value.wrong


def test_a_run_tested_on_a_subset_is_never_compared_with_a_whole_one(
    record: Record, tmp_path: Path
) -> None:
    record("whole")
    record("part", ("model=dense",), data_fingerprint="cccc", test_subset=1000)
    with pytest.raises(ConfigError) as caught:
        group_runs(find_runs([tmp_path])[0])
    assert "aaaa (mnist: 1 run" in caught.value.wrong
    assert "cccc (mnist, tested on 1,000 images only: 1 run" in caught.value.wrong


def test_a_comparison_of_runs_tested_on_a_subset_says_so(record: Record, tmp_path: Path) -> None:
    for seed in range(2):
        for name in ("sparse", "dense"):
            typed = (f"model={name}",)
            record(f"{name}{seed}", typed, seed, 0.9 + seed / 100, test_subset=1000)
    compared = compare_runs([tmp_path])
    assert compared.data == "mnist, tested on 1,000 images only (aaaa)"
