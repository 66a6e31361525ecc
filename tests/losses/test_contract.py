"""What every term of the catalogue promises, on whatever device."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import Any

import pytest
import torch

from moe_lab import losses
from moe_lab.losses import Term
from moe_lab.outputs import AdaptiveOutput, IterativeOutput, MixtureOutput, Output
from tests.losses.samples import random_mixture


def terms() -> Iterator[type[Term]]:
    """Every concrete term in the files of the room."""
    for found in pkgutil.iter_modules(losses.__path__, f"{losses.__name__}."):
        module = import_module(found.name)
        own = [value for value in vars(module).values() if inspect.isclass(value)]
        for value in own:
            is_term = issubclass(value, Term) and not inspect.isabstract(value)
            if is_term and value.__module__ == found.name:
                yield value


TERMS = list(terms())
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def sample(term: Term, num_images: int = 6, num_experts: int = 4) -> Output:
    """What the term reads, with every field filled in."""
    output = random_mixture(num_images, num_experts)
    if issubclass(term.reads, IterativeOutput):
        # A second pass that is worse, so that a penalty on worsening has a gradient.
        passes = torch.stack((output.log_probs, (0.5 * output.log_probs).log_softmax(-1)))
        forecast = torch.tanh(output.log_probs)[None]
        return IterativeOutput(passes[-1], passes, predicted_error=forecast)
    if issubclass(term.reads, AdaptiveOutput):
        steps = 1 + output.routing.probs[:, 0]
        halting = torch.ones(1, num_images)
        return AdaptiveOutput(output.log_probs, output.routing, halting=halting, steps=steps)
    return output


def moved(value: Any, device: str) -> Any:
    """A copy of an output on another device."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(device)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        )
    return value


@pytest.mark.parametrize("kind", TERMS)
def test_a_term_is_a_finite_float32_scalar_without_state(kind: type[Term]) -> None:
    term = kind()
    before = dict(vars(term))
    value = term(sample(term), LABELS)
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert value.requires_grad
    assert vars(term) == before
    torch.testing.assert_close(term(sample(term), LABELS), value, rtol=0, atol=0)


@pytest.mark.parametrize("kind", TERMS)
@pytest.mark.parametrize(("num_images", "num_experts"), [(1, 4), (6, 1), (1, 1)])
def test_a_term_takes_one_image_and_one_expert(
    kind: type[Term], num_images: int, num_experts: int
) -> None:
    term = kind()
    assert term(sample(term, num_images, num_experts), LABELS[:num_images]).isfinite()


@pytest.mark.parametrize("kind", TERMS)
def test_a_term_does_not_depend_on_the_order_of_images(kind: type[Term]) -> None:
    term = kind()
    output = sample(term)
    if not isinstance(output, MixtureOutput):
        pytest.skip("passes come first")
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert output.routing is not None
    routing = replace(
        output.routing,
        **{name: getattr(output.routing, name)[order] for name in ("logits", "probs", "weights")},
    )
    rest = {
        name: getattr(output, name)[order]
        for name in ("log_probs", "expert_log_probs", "features", "steps")
        if getattr(output, name, None) is not None
    }
    shuffled = replace(output, routing=routing, **rest)
    torch.testing.assert_close(term(shuffled, LABELS[order]), term(output, LABELS))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", TERMS)
def test_a_term_says_the_same_on_a_gpu(kind: type[Term]) -> None:
    term = kind()
    output = sample(term)
    on_gpu = term(moved(output, "cuda"), LABELS.cuda())
    torch.testing.assert_close(on_gpu.cpu(), term(output, LABELS).detach(), rtol=1e-4, atol=1e-5)
