"""Every choice for iterative models: sound under the audit, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from moe_lab.analysis.audit import audit, compose_subject
from moe_lab.config.check import check_overrides
from moe_lab.config.help import options
from moe_lab.config.resolvers import register_resolvers
from moe_lab.errors import ConfigError
from tests.conftest import Train

SMALL = ["dataset=synthetic", "dataset.size=[1,8,12]", "num_images=32"]
MODELS = [
    "iwmn",
    pytest.param("iwmn_weight", marks=pytest.mark.slow),
    pytest.param("iwmn_conv", marks=pytest.mark.slow),
]


def verdicts(*typed: str) -> list[str]:
    """The checks of the audit that a composition fails."""
    register_resolvers()
    subject = compose_subject(check_overrides("audit", [*SMALL, *typed], multirun=False))
    return [f"{v.name}: {v.detail}" for v in audit(subject) if v.passed is False]


@pytest.mark.parametrize("feedback", options("feedback"))
@pytest.mark.parametrize("model", MODELS)
def test_every_feedback_is_sound_in_every_model(model: str, feedback: str) -> None:
    assert verdicts(f"model={model}", f"feedback={feedback}") == []


@pytest.mark.parametrize(
    "typed",
    [
        ["model=recurrent"],
        ["model=recurrent", "loss=task", "backbone=conv"],
        ["model=iwmn", "model.num_iterations=0", "loss=task"],
        ["model=iwmn", "model.share_modulators=false"],
        ["model=iwmn", "model.halt_confidence=0.2"],
        ["model=iwmn", "backbone=conv"],
        ["model=iwmn_weight", "backbone=conv", "feedback=hidden"],
        ["model=iwmn", "loss.terms.monotone.weight=0.5"],
        ["model=iwmn", "loss=task"],
        ["model=iwmn", "feedback=oracle", "feedback.hand_over=cosine", "feedback.until=1"],
    ],
    ids=" ".join,
)
def test_variants_are_sound(typed: list[str]) -> None:
    assert verdicts(*typed) == []


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("model=iwmn feedback=oracle feedback.hand_over=null", "the label would be an input"),
        ("model=iwmn loss=balanced", "parts do not fit"),
        ("model=iwmn backbone=patch", "one row per image"),
        ("model=iwmn modulation=channel", "use backbone=conv"),
        ("model=iwmn loss.terms.predicted_error.weight=1", "needs predicted_error"),
        (
            "model=iwmn feedback=predicted_error loss.terms.predicted_error.weight=0",
            "learns from loss.terms.predicted_error alone",
        ),
        ("model=iwmn router=softmax", "model=iwmn uses a router"),
        ("model=recurrent feedback=self", "model=recurrent uses a feedback"),
        ("model=iwmn model.modulation_strength=0", "expected float > 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(typed: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        verdicts(*typed.split())


SYNTHETIC = [
    "dataset=synthetic", "dataset.source.num_train=300", "dataset.source.num_test=100",
    "trainer.max_epochs=2", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_training_moves_the_modulators_and_reports_every_pass(model: str, train: Train) -> None:
    from moe_lab.training.load_run import load

    code, run = train(*SYNTHETIC, f"model={model}", small=False)
    assert code == 0
    torch.manual_seed(0)
    trained = dict(load(run).model.named_parameters())
    register_resolvers()
    config = check_overrides("train", [*SYNTHETIC, f"model={model}"], multirun=False)
    from moe_lab.training.build import build

    torch.manual_seed(0)
    fresh = dict(build(config.model).named_parameters())
    names = [name for name in trained if "modulators" in name]
    assert len(names) >= 8
    assert all(not torch.equal(trained[name], fresh[name]) for name in names)
    summary = json.loads((Path(run) / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.15  # chance is 0.1; batch norm needs more steps than these
    assert summary["pass_4_accuracy"] == summary["test_accuracy"]


def test_a_run_that_only_the_oracle_could_finish_ends_before_it_starts(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    code, run = train(
        *SYNTHETIC, "model=iwmn", "feedback=oracle", "feedback.hand_over=null", small=False
    )
    assert code == 2
    assert "the label would be an input" in capsys.readouterr().err
    assert not (run / "checkpoints").exists()
