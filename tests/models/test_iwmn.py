"""Iterative weight modulation: formulas, labels that cannot leak, iterations that really run."""

from __future__ import annotations

import statistics
import time

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from moe_lab.errors import ConfigError
from moe_lab.models import IWMN, Recurrent
from moe_lab.models.costs import flops_per_image, params_total
from moe_lab.models.feedback import (
    ConstantFeedback,
    Feedback,
    HiddenFeedback,
    OracleFeedback,
    PredictedErrorFeedback,
    SelfFeedback,
    UncertaintyFeedback,
)
from moe_lab.models.modulation import ActivationModulated, ChannelModulated, WeightModulated
from moe_lab.networks.backbones import Conv, Flatten
from moe_lab.networks.progress import follow
from moe_lab.outputs import IterativeOutput

SHAPE, D, H, C = [1, 4, 4], 16, 6, 3
FEEDBACKS = {
    "self": lambda: SelfFeedback(C),
    "uncertainty": lambda: UncertaintyFeedback(C),
    "predicted_error": lambda: PredictedErrorFeedback(H, C),
    "hidden": lambda: HiddenFeedback(H),
    "none": lambda: ConstantFeedback(C),
    "oracle": lambda: OracleFeedback(C),
}


def network(hidden: int = H) -> ActivationModulated:
    return ActivationModulated(Flatten(SHAPE, D), hidden, C)


def iwmn(feedback: Feedback | None = None, **settings: object) -> IWMN:
    torch.manual_seed(0)
    return IWMN(network(), feedback or SelfFeedback(C), **settings)  # type: ignore[arg-type]


def images(count: int = 9) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_the_published_sizes_have_212500_parameters() -> None:
    body = ActivationModulated(Flatten([1, 28, 28], 784), 128, 10)
    # 784*128+128 + 128*10+10 + 2 (794*64+64) + 64*128+128 + 64*10+10
    assert params_total(IWMN(body, SelfFeedback(10), 3, 0.1, 64)) == 212_500
    assert params_total(IWMN(body, SelfFeedback(10), num_iterations=0)) == 101_770


def test_the_passes_equal_the_published_formula() -> None:
    model = iwmn(num_iterations=2, modulation_strength=0.7)
    body, modulators = model.network, model.modulators[0]
    assert isinstance(body, ActivationModulated)
    batch = images()
    x = batch.flatten(1)

    def move(site: str, signal: Tensor) -> Tensor:
        own = modulators.sites[site]  # type: ignore[union-attr, index]
        together = torch.cat((x, signal), 1)
        return 0.7 * torch.tanh(own.second(functional.relu(own.first(together))))

    logits = body.second(functional.relu(body.first(x)))
    expected = [logits.log_softmax(-1)]
    for _ in range(2):
        signal = logits.softmax(-1)
        hidden = functional.relu(body.first(x) + move("hidden", signal))
        logits = body.second(hidden) + move("output", signal)
        expected.append(logits.log_softmax(-1))
    output = model(batch)
    torch.testing.assert_close(output.pass_log_probs, torch.stack(expected))
    torch.testing.assert_close(output.log_probs, expected[-1])
    assert output.steps.tolist() == [3.0] * 9


def test_without_iterations_it_is_its_network() -> None:
    model = iwmn(num_iterations=0)
    body = model.network
    assert isinstance(body, ActivationModulated)
    plain = nn.Sequential(nn.Flatten(), body.first, nn.ReLU(), body.second)
    torch.testing.assert_close(model(images()).log_probs, plain(images()).log_softmax(-1))
    assert sum(1 for _ in model.parameters()) == 4


def test_a_vanishing_strength_changes_nothing() -> None:
    output = iwmn(num_iterations=3, modulation_strength=1e-9)(images())
    passes = output.pass_log_probs
    torch.testing.assert_close(passes, passes[:1].expand_as(passes), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", FEEDBACKS)
def test_labels_never_move_a_prediction(name: str) -> None:
    model = iwmn(FEEDBACKS[name](), modulation_strength=1.0)
    target = torch.arange(9) % C
    model.train()
    taught = [model.teach(images(), labels).log_probs for labels in (target, target.flip(0))]
    assert torch.equal(*taught) == (name != "oracle")
    model.eval()
    with torch.no_grad():
        first, second = model(images()).log_probs, model(images()).log_probs
    assert torch.equal(first, second)
    assert model.is_taught() == (name == "oracle")


def test_the_oracle_hands_over_to_the_model_itself() -> None:
    oracle = OracleFeedback(C, "linear", until=0.5)
    shares = []
    for fraction in (0.0, 0.25, 0.5, 1.0):
        follow(oracle, fraction)
        shares.append(float(oracle.oracle_share))
    assert shares == [1.0, 0.5, 0.0, 0.0]
    follow(oracle, 0.25)
    probs = torch.tensor([[0.5, 0.3, 0.2]])
    from moe_lab.models.feedback import PassState

    signal = oracle.teach(PassState(probs.log(), torch.zeros(1, H)), torch.tensor([0]))
    # (1 - 0.5, -0.3, -0.2) / 2 + (0.5, 0.3, 0.2) / 2
    torch.testing.assert_close(signal, torch.tensor([[0.5, 0.0, 0.0]]))


def test_the_oracle_alone_cannot_be_evaluated() -> None:
    model = iwmn(OracleFeedback(C, hand_over=None)).eval()
    with pytest.raises(ConfigError, match="the label would be an input"):
        model(images())
    assert "onehot" in (model.cannot_evaluate() or "")


@pytest.mark.slow
def test_one_and_many_iterations_differ_in_prediction_cost_and_time() -> None:
    torch.manual_seed(0)
    few, many = (
        IWMN(ActivationModulated(Flatten([1, 28, 28], 784), 128, 10), SelfFeedback(10), n, 1.0)
        for n in (1, 12)
    )
    many.load_state_dict(few.state_dict())
    batch = torch.randn(512, 1, 28, 28)
    few.eval(), many.eval()
    with torch.inference_mode():
        assert (few(batch).log_probs - many(batch).log_probs).abs().max() > 1e-3
        times: dict[IWMN, list[float]] = {few: [], many: []}
        for _ in range(9):
            for model, taken in times.items():
                started = time.perf_counter()
                model(batch)
                taken.append(time.perf_counter() - started)
    # A pass after the first: 2 (10*64 + 64*128 + 10*64 + 64*10 + 128*10) operations.
    assert flops_per_image(many, batch) - flops_per_image(few, batch) == 11 * 2 * 11_392
    assert statistics.median(times[many]) > 1.3 * statistics.median(times[few])


def test_four_and_five_iterations_differ_by_a_pass_that_moves_a_prediction() -> None:
    four, five = (iwmn(num_iterations=n, modulation_strength=1.0).eval() for n in (4, 5))
    five.load_state_dict(four.state_dict())
    with torch.no_grad():
        passes, further = four(images()).pass_log_probs, five(images()).pass_log_probs
    assert (len(passes), len(further)) == (5, 6)
    torch.testing.assert_close(further[:5], passes)
    assert (further[5] - passes[4]).abs().max() > 1e-6


def test_weak_modulation_settles_within_a_few_passes() -> None:
    # A change of the feedback moves the next pass by at most the strength, so changes shrink from
    # pass to pass until float32 cannot tell them.
    with torch.no_grad():
        passes = iwmn(num_iterations=6, modulation_strength=0.1).eval()(images()).pass_log_probs
    changes = (passes[1:] - passes[:-1]).abs().amax((1, 2))
    assert changes[0] > 1e-3
    assert changes[1] < 0.1 * changes[0]
    assert changes[2] < 0.1 * changes[1]
    assert changes[3:].max() < 1e-6


def test_iterations_that_do_not_share_have_modulators_of_their_own() -> None:
    shared, own = iwmn(share_modulators=True), iwmn(share_modulators=False)
    base = params_total(iwmn(num_iterations=0))
    assert params_total(own) - base == 3 * (params_total(shared) - base)


@pytest.mark.parametrize(("confidence", "expected"), [(0.0, 1.0), (1.0, 4.0)])
def test_halting_confidence_decides_how_many_passes_are_taken(
    confidence: float, expected: float
) -> None:
    model = iwmn(halt_confidence=confidence).eval()
    assert model(images()).steps.tolist() == [expected] * 9
    assert model.train()(images()).steps.tolist() == [4.0] * 9


def test_an_image_keeps_the_prediction_with_which_it_halted() -> None:
    torch.manual_seed(3)
    model = iwmn(halt_confidence=0.45, modulation_strength=2.0).eval()
    free = iwmn(modulation_strength=2.0).eval()
    free.load_state_dict(model.state_dict())
    with torch.no_grad():
        halted, passes = model(images(64)), free(images(64)).pass_log_probs
    steps = halted.steps.long()
    assert 1 < steps.float().mean() < 4
    expected = passes[steps - 1, torch.arange(64)]
    torch.testing.assert_close(halted.log_probs, expected)
    sure = passes.exp().amax(-1) >= 0.45  # [T, B]
    first = torch.where(sure.any(0), sure.int().argmax(0), 3) + 1
    assert steps.tolist() == first.tolist()


def test_weight_modulation_equals_a_matrix_for_every_image() -> None:
    torch.manual_seed(0)
    body = WeightModulated(Flatten(SHAPE, D), H, C, rank=2)
    batch = images()
    moves = {"first": torch.randn(9, 2), "second": torch.randn(9, 2)}
    first, second = body.weights_of(moves)
    assert first.shape == (9, H, D)
    assert torch.linalg.matrix_rank(first[0] - body.first.weight) == 2
    x = batch.flatten(1)
    hidden = functional.relu(torch.einsum("bhd,bd->bh", first, x) + body.first.bias)
    logits = torch.einsum("bch,bh->bc", second, hidden) + body.second.bias
    got_hidden, got_logits = body(body.begin(batch), moves)
    torch.testing.assert_close(got_hidden, hidden)
    torch.testing.assert_close(got_logits, logits)


def test_channel_modulation_scales_and_shifts_every_map() -> None:
    torch.manual_seed(0)
    backbone = Conv([1, 8, 8], [2, 3], 5).eval()
    body = ChannelModulated(backbone, 5, C).eval()
    batch = torch.randn(4, 1, 8, 8)
    moves = {site: 0.3 * torch.randn(4, width) for site, width in body.sites.items()}
    assert body.sites == {"block_0": 4, "block_1": 6, "output": C}
    maps = batch
    for index, block in enumerate(backbone.stages()):
        gain, shift = moves[f"block_{index}"].view(4, 2, -1, 1, 1).unbind(1)
        maps = functional.relu(block.norm(block.convolution(maps)) * (1 + gain) + shift)
        maps = functional.max_pool2d(maps, 2)
    expected = body.second(backbone.head(maps)) + moves["output"]
    torch.testing.assert_close(body(body.begin(batch), moves)[1], expected)
    plain = body.second(backbone(batch))
    torch.testing.assert_close(body(body.begin(batch), None)[1], plain)


def test_channel_modulation_needs_channels() -> None:
    with pytest.raises(ValueError, match="backbone=conv"):
        ChannelModulated(Flatten(SHAPE, D), D, C)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 5])
def test_gradients_reach_everything_and_are_finite(precision: torch.dtype, count: int) -> None:
    model = iwmn(modulation_strength=1.0)
    with torch.autocast("cpu", dtype=precision, enabled=precision is torch.bfloat16):
        output = model(images(count))
        output.pass_log_probs[..., 0].sum().backward()
    assert output.log_probs.dtype == torch.float32
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()
    moved = [p.grad.abs().sum() for n, p in model.named_parameters() if "modulators" in n]
    assert all(float(size) > 0 for size in moved)


def test_the_forecast_learns_from_its_own_term_alone() -> None:
    model = iwmn(PredictedErrorFeedback(H, C), num_iterations=2)
    output = model(images())
    assert isinstance(output, IterativeOutput)
    assert output.predicted_error is not None
    assert output.predicted_error.shape == (2, 9, C)
    output.log_probs[:, 0].sum().backward()
    assert model.feedback is not None
    assert all(p.grad is None for p in model.feedback.parameters())


def test_recurrent_refinement_equals_its_formula() -> None:
    torch.manual_seed(0)
    model = Recurrent(Flatten(SHAPE, D), H, C, num_iterations=2)
    x = images().flatten(1)
    hidden = functional.relu(model.first(x))
    for _ in range(2):
        hidden = functional.relu(model.first(x) + hidden @ model.again.weight.T)
    output = model(images())
    torch.testing.assert_close(output.log_probs, model.answer(hidden).log_softmax(-1))
    assert output.pass_log_probs.shape == (3, 9, C)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"num_iterations": -1}, "num_iterations"),
        ({"modulator_hidden": 0}, "modulator_hidden"),
        ({"modulation_strength": 0.0}, "num_iterations=0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        iwmn(**settings)
