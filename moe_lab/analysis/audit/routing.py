"""Checks of the routers and the experts that they choose."""

from __future__ import annotations

import torch

from moe_lab.analysis.audit.inspection import (
    asked_pairs,
    bank_calls,
    broken_promise,
    decisions,
    flops,
    owed_flops,
)
from moe_lab.analysis.audit.subject import Finding, Subject
from moe_lab.dispatch import Plan
from moe_lab.routers import ExpertOutputRouter, Router


def unused_experts_cost_nothing(subject: Subject) -> Finding:
    """The bank's counted FLOPs are those of the chosen (expert, image) pairs."""
    mixture = subject.mixture
    if subject.layers:
        return unused_experts_cost_nothing_in_any_layer(subject)
    if mixture is None:
        return None, "no router"
    if isinstance(mixture.router, ExpertOutputRouter):
        return None, "the router asks every expert, and the counted FLOPs say so"
    mixture.eval()
    bank = mixture.experts
    with torch.inference_mode():
        features = mixture.backbone(subject.images)
        weights = mixture.router(features.flatten(1) if features.ndim == 2 else features).weights
        used = weights != 0
        done = flops(bank, features, Plan.from_weights(weights))
        owed = owed_flops(bank, features, used)
    share = float(used.float().mean())
    exact = abs(done - owed) <= 0.01 * max(owed, 1.0)
    return exact, f"{100 * share:.0f} % of pairs used, {done / 1e6:.3f} of {owed / 1e6:.3f} MFLOPs"


def unused_experts_cost_nothing_in_any_layer(subject: Subject) -> Finding:
    """Each bank is asked about the pairs that are reported as used, and computes no more."""
    layers = {name: layer for name, layer in subject.layers.items() if layer.skips_unused}
    if not layers:
        return None, "kernels are mixed, so that all experts cost one convolution together"
    subject.model.eval()
    output, calls = bank_calls(subject.model, layers, subject.images)
    done = owed = 0.0
    shares, misreported = [], []
    for name, (features, plan) in calls.items():
        used = asked_pairs(plan)
        by_image = used.unflatten(0, (len(subject.images), -1)).any(1)
        if not torch.equal(by_image, output.layers[name].weights != 0):
            misreported.append(name)
        with torch.inference_mode():
            done += flops(layers[name].experts, features, plan)
            owed += owed_flops(layers[name].experts, features, used)
        shares.append(float(used.float().mean()))
    if misreported:
        return False, f"other experts are reported than were asked in {', '.join(misreported)}"
    share = 100 * sum(shares) / len(shares)
    exact = abs(done - owed) <= 0.01 * max(owed, 1.0)
    return exact, f"{share:.0f} % of pairs used, {done / 1e6:.3f} of {owed / 1e6:.3f} MFLOPs"


def weights_keep_their_promise(subject: Subject) -> Finding:
    """Rows of the routing weights sum to what the router says."""
    mixture = subject.mixture
    routers: dict[str, Router | ExpertOutputRouter]
    routers = {name: layer.router for name, layer in subject.layers.items()}
    if mixture is not None:
        routers = {"router": mixture.router}
    if not routers:
        return None, "no router"
    problems = []
    for training in (False, True):
        subject.model.train(training)
        with torch.no_grad():
            output = subject.model(subject.images)
        mode = "training" if training else "evaluation"
        for name, routing in decisions(output).items():
            off = broken_promise(routing, routers[name].row_sum)
            if off is not None:
                problems.append(f"; {name} in {mode}: off by {off:.1e}")
    promised = sorted({router.row_sum for router in routers.values()})
    return not problems, f"promised {', '.join(promised)}" + "".join(problems)
