"""torch.compile: which parts, the same names, numbers and costs, and no compiler at hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import moe_lab
from moe_lab.errors import UserError
from moe_lab.models import costs
from moe_lab.training.compiling import check_compiler, compile_model, parts_without_experts
from tests.training.vision import CONV, classifier_of, random_images

Train = Callable[..., tuple[int, Path]]
ReadJSON = Callable[[Path], dict[str, Any]]
NEEDS_COMPILER = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler",
)


def test_only_parts_without_experts_of_a_mixture_are_compiled() -> None:
    model = classifier_of("model=conv_moe").model
    names = {part: name for name, part in model.named_modules()}
    found = {names[part] for part in parts_without_experts(model)}
    assert {"backbone", "head", "blocks.0.convolution", "blocks.0.mixture.router"} <= found
    assert not any("experts" in name for name in found)


@pytest.fixture
def only_traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch.compile traces as always and then runs what it found without machine code."""
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: original(f, backend="eager"))
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("only_traced")
@pytest.mark.parametrize(
    "words",
    [
        ("model=sparse", "router=top_k", *CONV),
        ("model=iwmn", "feedback=oracle"),
        ("model=vit_moe",),
    ],
    ids=" ".join,
)
def test_compiled_in_place_a_model_keeps_names_numbers_and_costs(words: tuple[str, ...]) -> None:
    plain, compiled = classifier_of(*words), classifier_of(*words)
    compile_model(compiled.model, torch.device("cpu"))
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    target = torch.arange(12) % 10
    for images in (random_images(), random_images(7)):
        answers = [c.model.teach(images, target[: len(images)]) for c in (plain, compiled)]
        torch.testing.assert_close(answers[0].log_probs, answers[1].log_probs)
        flops = {costs.flops_per_image(c, images) for c in (plain, compiled)}
        assert len(flops) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("only_traced")
def test_a_compiled_run_equals_the_plain_one(train: Train, read_json: ReadJSON) -> None:
    words = ("model=sparse", *CONV, "dataset.size=[1,16,16]")
    summaries = []
    for compiled in ("false", "true"):
        code, run = train(*words, f"compile={compiled}")
        assert code == 0
        summaries.append(read_json(run / "summary.json"))
    plain, traced = summaries
    for key in ("test_loss", "val_loss", "load_cv", "flops_per_image"):
        assert traced[key] == pytest.approx(plain[key], rel=1e-4)
    answers = moe_lab.load(run)(torch.zeros(2, 1, 16, 16)).log_probs
    assert answers.shape == (2, 10)


@pytest.mark.slow
@NEEDS_COMPILER
def test_machine_code_gives_the_same_numbers() -> None:
    plain, compiled = (classifier_of("model=dense", "expert.hidden=8").eval() for _ in range(2))
    compile_model(compiled.model, torch.device("cpu"))
    with torch.no_grad():
        answers = [classifier(random_images()).log_probs for classifier in (plain, compiled)]
    torch.testing.assert_close(answers[0], answers[1])


def test_without_a_compiler_one_screen_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(function: Any) -> Any:
        raise RuntimeError("no working compiler found\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UserError) as caught:
        check_compiler(torch.device("cpu"))
    assert "no working compiler found" in caught.value.wrong
    assert "long story" not in str(caught.value)
    assert "compile=false" in caught.value.todo
