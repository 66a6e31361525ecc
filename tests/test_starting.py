"""Second stages: what a model takes over from trained runs, and what stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import moe_lab

Train = Callable[..., tuple[int, Path]]
IMAGES = torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("expert", ["mlp", "mlp_list"])
def test_an_upcycled_run_starts_as_the_dense_one(expert: str, train: Train) -> None:
    _, dense = train("model=dense", f"expert={expert}")
    code, mixture = train(
        f"expert={expert}", f"init_from={dense}", "optimizer.lr=1e-12", "optimizer.weight_decay=0"
    )
    assert code == 0
    expected = moe_lab.load(dense)(IMAGES).log_probs
    torch.testing.assert_close(moe_lab.load(mixture)(IMAGES).log_probs, expected, atol=1e-4, rtol=0)


def test_noise_makes_copies_of_an_expert_differ(train: Train) -> None:
    _, dense = train("model=dense")
    _, noisy = train(f"init_from={dense}", "init_noise=0.1", "optimizer.lr=1e-12")
    weight = next(p for n, p in moe_lab.load(noisy).named_parameters() if "experts" in n)
    spread = (weight - weight.mean(0)).std() / weight.mean(0).std()
    assert float(spread) == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("expert", ["mlp", "mlp_list"])
def test_merged_runs_are_the_experts_of_one_mixture(expert: str, train: Train) -> None:
    runs = [train("model=dense", f"expert={expert}", f"seed={seed}")[1] for seed in (1, 2, 3)]
    listed = ",".join(map(str, runs))
    code, merged = train(
        f"init_from=[{listed}]", "model.num_experts=3", "freeze=[experts]", f"expert={expert}"
    )
    assert code == 0
    alone = moe_lab.load(merged).model(IMAGES, every_expert=True).expert_log_probs
    for number, run in enumerate(runs):
        torch.testing.assert_close(alone[:, number], moe_lab.load(run)(IMAGES).log_probs)


def test_frozen_experts_do_not_move_while_the_gate_learns(train: Train) -> None:
    _, first = train("model=standard")
    _, second = train(
        "router=top_k", f"init_from={first}", "freeze=experts", "trainer.max_epochs=3"
    )
    before, after = (moe_lab.load(run).model.state_dict() for run in (first, second))
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("experts"))
    gate = "router.gate.linear.weight"
    assert float((before[gate] - after[gate]).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["init_from=nowhere"], "holds no run"),
        (["init_from={run}", "expert.hidden=8"], "wants shape"),
        (["init_from={run}", "init_parts=[experts,memory]"], "'memory'"),
        (["freeze=[expert]"], "parts of the model: "),
        (["init_from=[{run},{run}]"], "wants shape [8,"),
        (["freeze=[backbone,experts,router]", "model=standard"], "in which nothing learns"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    line: list[str], expected: str, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = train("model=dense", "debug=fast")
    code, _ = train(*(word.format(run=run) for word in line))
    assert code == 2
    assert expected in capsys.readouterr().err
