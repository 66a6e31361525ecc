"""Every mistake on a command line is named at once, with what would be right, before anything is
loaded.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_lab.config.check import CommandLineError, check_overrides
from moe_lab.config.resolvers import register_resolvers
from moe_lab.train import main

Train = Callable[..., tuple[int, Path]]

# What is typed, and what the message must hold.
BAD_LINES = {
    "unknown group option": (["model=spars"], ["no such model", "did you mean sparse?"]),
    "unknown option without likeness": (["router=zzz"], ["router: attention, cosine"]),
    "mistyped key": (["router.topk=4"], ["no key 'router.topk'", "router.top_k"]),
    "mistyped key after plus": (["+router.topk=4"], ["no key 'router.topk'", "router.top_k"]),
    "mistyped key after two": (["++trainer.max_epoch=2"], ["trainer.max_epochs"]),
    "key without its group": (["top_k=4"], ["router.top_k"]),
    "mistyped group": (["modle=sparse"], ["did you mean model"]),
    "invented key": (["+nonsense=1"], ["no key 'nonsense'"]),
    "whole number out of range": (["seed=-1"], ["expected int 0..4294967295"]),
    "more experts than there are": (["router.top_k=9"], ["int 1..model.num_experts = 8"]),
    "fraction out of range": (["dataset.val_fraction=1.5"], ["expected float 0.01..0.9"]),
    "zero learning rate": (["optimizer.lr=0"], ["expected float > 0", "learning rate"]),
    "word for a number": (["dataset.batch_size=big"], ["expected int >= 1"]),
    "fraction for a whole number": (["trainer.max_epochs=1.5"], ["expected int >= 1"]),
    "one bad entry of a list": (["expert.hidden=[64,0]"], ["expected int >= 1 or list"]),
    "unknown precision": (["trainer.precision=fp8"], ["32-true | 16-mixed | bf16-mixed"]),
    "null where a value is needed": (["optimizer.lr=null"], ["expected float > 0"]),
    "router for a model without": (["model=dense", "router=softmax"], ["nothing in model=dense"]),
    "size that follows from another": (["gate.num_experts=3"], ["follows from other settings"]),
    "several values without -m": (["seed=0,1"], ["-m in front"]),
    "no equals sign": (["dataset"], ["expected key=value"]),
    "empty value": (["optimizer.lr="], ["expected float > 0"]),
    "bad value in a sweep": (["-m", "optimizer.lr=1e-3,-1"], ["optimizer.lr=-1"]),
    "bad option in a sweep": (["-m", "model=dense,moe"], ["model=moe", "no such model"]),
    "unknown flag": (["--sweep"], ["unrecognized arguments: --sweep"]),
    "unknown experiment": (["experiment=smok"], ["did you mean smoke?"]),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_ends_with_code_2_and_says_what_is_right(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line, expected = BAD_LINES[case]
    assert main(line) == 2
    error = capsys.readouterr().err
    for text in expected:
        assert text in error
    assert "Traceback" not in error
    assert len(error.splitlines()) < 25
    assert list(tmp_path.iterdir()) == []


def test_all_mistakes_of_a_line_are_named_at_once() -> None:
    register_resolvers()
    line = ["model=spars", "router.topk=4", "+x=1", "seed=-1", "router.top_k=20", "trainer"]
    with pytest.raises(CommandLineError) as caught:
        check_overrides("train", line, multirun=False)
    assert len(caught.value.mistakes) == 6
    where = {mistake.where.split("=")[0].lstrip("+") for mistake in caught.value.mistakes}
    assert where == {"model", "router.topk", "x", "seed", "router.top_k", "trainer"}


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["model.num_experts=16", "router.top_k=12"],
        ["model=dense", "loss.terms.cross_entropy.term.label_smoothing=0.1"],
        ["router=top_k", "router.normalize=false", "gate=mlp", "gate.hidden=8"],
        ["dataset.classes=[3,7]", "dataset.subset=100", "tags=[a,b]"],
        ["trainer.gradient_clip_val=1", "trainer.limit_train_batches=10"],
        ["expert.hidden=[64,32]", "run_dir=some/where"],
        ["loss.terms.router_z.weight=1e-3", "~callbacks.early_stopping"],
        ["run_name='a=b'", "init_from='runs/lr=0.1'"],
    ],
)
def test_good_lines_pass(line: list[str]) -> None:
    register_resolvers()
    check_overrides("train", line, multirun=False)


def test_bad_combinations_deep_in_a_sweep_are_found_before_the_first_job() -> None:
    register_resolvers()
    with pytest.raises(CommandLineError, match=r"router\.top_k=4\n.*num_experts = 2"):
        check_overrides("train", ["model.num_experts=8,2", "router.top_k=1,4"], multirun=True)


def test_a_run_directory_that_cannot_be_made_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([f"run_dir={tmp_path}/file/run"]) == 2
    assert "is a file, not a folder" in capsys.readouterr().err


def test_a_taken_run_directory_is_refused_and_left_alone(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = train("debug=fast")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    code, _ = train("debug=fast", f"run_dir={run}")
    assert code == 2
    assert "already holds a run" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


BAD_VALUES_FOR_CONSTRUCTORS = {
    "k = 1 without a gradient": (["router.top_k=1", "router.normalize=true"], "never learns"),
    "too many halvings": (["backbone=conv", "backbone.channels=[1,1,1,1,1,1]"], "halves them"),
    "term without a router": (["model=dense", "loss=balanced"], "reads MixtureOutput"),
    "nothing to learn": (["loss.terms.cross_entropy.weight=0", "loss=unbalanced"], "weight 0"),
    "no batch left": (["trainer.limit_train_batches=0.001"], "leaves no step"),
    "more images than there are": (["dataset.subset=99999"], "at most 300"),
    "class that is not there": (["dataset.classes=[0,77]"], "77"),
}


@pytest.mark.parametrize("case", BAD_VALUES_FOR_CONSTRUCTORS)
def test_what_only_a_constructor_can_see_is_an_error_on_one_screen(
    case: str, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    line, expected = BAD_VALUES_FOR_CONSTRUCTORS[case]
    code, _ = train(*line)
    error = capsys.readouterr().err
    assert code in (1, 2)
    assert expected in error
    assert "Traceback" not in error


def test_a_part_that_another_one_lacks_a_key_of_is_refused_with_the_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["model=hierarchical", "router=cosine"]) == 2
    error = capsys.readouterr().err
    assert "the chosen parts do not fit" in error
    assert "'router.branching'" in error


def test_trainer_ddp_without_torchrun_says_how_to_start_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["trainer=ddp"]) == 2
    assert "torchrun --nproc-per-node=2 -m moe_lab.train" in capsys.readouterr().err


def test_help_and_mistakes_do_not_import_torch() -> None:
    code = (
        "import sys; from moe_lab.train import main; main(['--help']); "
        "assert main(['router.topk=1']) == 2; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
