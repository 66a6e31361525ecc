"""Checks of what a composition says and learns, whatever it is made of."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from moe_lab.analysis.audit.inspection import idle_experts
from moe_lab.analysis.audit.subject import Finding, Subject
from moe_lab.networks.progress import follow

ATTEMPTS = 8  # batches in which every part must be reached once; fixed routers can be lopsided
TOLERANCE = 2e-4  # float32 sums in another order, several layers deep


def labels_cannot_reach_predictions(subject: Subject) -> Finding:
    """forward takes images only, and a training step with other labels starts from the same
    prediction.
    """
    taken = set(inspect.signature(type(subject.model).forward).parameters)
    if taken != {"self", "images", "every_expert"}:
        return False, f"forward also takes {sorted(taken - {'self', 'images', 'every_expert'})}"
    before = subject.evaluate(subject.images)
    kept = {name: value.clone() for name, value in subject.model.state_dict().items()}
    predictions = []
    for target in (subject.target, subject.target.flip(0)):
        torch.manual_seed(1)
        subject.model.load_state_dict(kept)
        subject.model.train()
        needs_every = subject.objective.needs_every_expert
        output = subject.model.teach(subject.images, target, every_expert=needs_every)
        subject.objective(output, target)
        predictions.append(output.log_probs.detach())
    taught = subject.model.is_taught()
    same = taught or torch.equal(predictions[0], predictions[1])
    subject.model.load_state_dict(kept)
    same = same and torch.equal(subject.evaluate(subject.images), before)
    if taught and same:
        return True, "labels teach in training; forward never sees one"
    return (
        same,
        "the same prediction whatever the labels" if same else "the prediction moved with them",
    )


def evaluation_ignores_batch_mates(subject: Subject) -> Finding:
    """An image gets the same prediction alone as in a batch."""
    few = subject.images[:12]
    whole = subject.evaluate(few)
    alone = torch.cat([subject.evaluate(image[None]) for image in few])
    # Where a choice hangs on the last bit, either is right: at most one image may differ.
    gap = (whole.exp() - alone.exp()).abs().amax(-1)
    moved = int((gap > TOLERANCE).sum())
    return moved <= 1, f"largest difference {gap.max():.1e}, {moved} of {len(few)} images moved"


def evaluation_is_deterministic(subject: Subject) -> Finding:
    """Noise is off in evaluation."""
    first, second = (subject.evaluate(subject.images) for _ in range(2))
    same = torch.equal(first, second)
    return same, "twice the same to the last bit" if same else "two evaluations differ"


def predictions_are_distributions(subject: Subject) -> Finding:
    """Each row of log_probs sums to 1."""
    total = subject.evaluate(subject.images).exp().sum(-1)
    worst = float((total - 1).abs().max())
    return worst < 1e-4, f"sums are within {worst:.1e} of 1"


def everything_learns(subject: Subject) -> Finding:
    """Every trainable parameter, and each expert's slice of it, gets a gradient within a few
    steps.
    """
    seen: dict[str, Tensor] = {}
    idle: list[str] = []
    for attempt in range(ATTEMPTS):
        torch.manual_seed(attempt)
        follow(subject.model, attempt / ATTEMPTS)
        subject.step(torch.randn_like(subject.images))
        for name, parameter in subject.model.named_parameters():
            if parameter.requires_grad:
                grad = parameter.grad
                size = torch.zeros_like(parameter) if grad is None else grad.abs()
                seen[name] = seen.get(name, 0) + size
        idle = [name for name, size in seen.items() if not bool((size > 0).any())]
        mixtures = [subject.mixture] if subject.mixture else subject.layers.values()
        for num_experts in {mixture.experts.num_experts for mixture in mixtures}:
            idle += idle_experts(num_experts, seen)
        if not idle:
            return True, "every part"
    return False, f"nothing reaches {', '.join(idle[:4])}"


def finite_in_every_precision(subject: Subject) -> Finding:
    """Predictions, loss and gradients are finite in float32 and in bfloat16."""
    device = subject.images.device.type
    problems = []
    for name, enabled in (("float32", False), ("bfloat16", True)):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            loss = subject.step()
        grads = [p.grad for p in subject.model.parameters() if p.grad is not None]
        if not bool(loss.isfinite()) or not all(bool(grad.isfinite().all()) for grad in grads):
            problems.append(name)
    return not problems, "float32 and bfloat16" if not problems else f"not in {problems}"
