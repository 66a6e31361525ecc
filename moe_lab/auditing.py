"""The claims of the audit, each a function of the composed model that gives one verdict."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from moe_lab.composition import build_classifier
from moe_lab.dispatch import Plan
from moe_lab.errors import ConfigError
from moe_lab.layers import RoutedLayer
from moe_lab.layers.inspection import (
    asked_pairs,
    bank_calls,
    broken_promise,
    decisions,
    flops,
    idle_experts,
    owed_flops,
)
from moe_lab.losses import Objective
from moe_lab.models import Mixture, Model
from moe_lab.progress import follow
from moe_lab.routers import AnswerRouter, Router

ATTEMPTS = 8  # batches in which every part must be reached once; fixed routers can be lopsided
TOLERANCE = 2e-4  # float32 sums in another order, several layers deep


@dataclass(frozen=True)
class Verdict:
    """What one check found: passed, failed, or nothing to check."""

    name: str
    passed: bool | None
    detail: str


@dataclass
class Subject:
    """The composition under audit, with a batch to try it on."""

    model: Model
    objective: Objective
    images: Tensor  # [B, channels, height, width] normalised
    target: Tensor  # [B]

    @property
    def mixture(self) -> Mixture | None:
        """The part that holds router and experts, where there is one."""
        found = [module for module in self.model.modules() if isinstance(module, Mixture)]
        return found[0] if found else None

    @property
    def layers(self) -> dict[str, RoutedLayer]:
        """The mixtures in the body of the network, where there are any."""
        found = self.model.routed_layers().items()
        return {name: layer for name, layer in found if isinstance(layer, RoutedLayer)}

    def evaluate(self, images: Tensor) -> Tensor:
        """log_probs [B, C] in evaluation mode."""
        self.model.eval()
        with torch.inference_mode():
            log_probs: Tensor = self.model(images).log_probs
        return log_probs

    def step(self, images: Tensor | None = None) -> Tensor:
        """The loss of one training batch, with gradients left in the parameters."""
        images = self.images if images is None else images
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        needs_every = self.objective.needs_every_expert
        output = self.model.teach(images, self.target, every_expert=needs_every)
        loss = self.objective(output, self.target).total
        loss.backward()
        return loss.detach()


def compose_subject(config: DictConfig) -> Subject:
    """Model and objective of a configuration, and random images of its data set's shape."""
    if config.dataset.shape is None:
        raise ConfigError(
            f"dataset={config.dataset.name} does not say what shape its images have",
            "a data set of known shape",
            "audit with dataset=mnist, cifar10 or synthetic: only shape and classes matter",
        )
    torch.manual_seed(config.seed)
    fill_in_statistics(config)
    classifier = build_classifier(config)
    shape = [config.num_images, *config.dataset.shape]
    target = torch.randint(0, config.dataset.num_classes, (config.num_images,))
    return Subject(classifier.model, classifier.objective, torch.randn(shape), target)


def fill_in_statistics(config: DictConfig) -> None:
    """Random images are normalised already."""
    for key, value in (("dataset.mean", [0.0]), ("dataset.std", [1.0])):
        OmegaConf.update(config, key, value)


def audit(subject: Subject) -> list[Verdict]:
    """Every check in turn; the model's weights are the same afterwards."""
    kept = {name: value.clone() for name, value in subject.model.state_dict().items()}
    verdicts = []
    for name, check in CHECKS.items():
        torch.manual_seed(0)
        passed, detail = check(subject)
        verdicts.append(Verdict(name, passed, detail))
        subject.model.load_state_dict(kept)
    subject.model.zero_grad(set_to_none=True)
    return verdicts


Finding = tuple[bool | None, str]


def labels_cannot_reach_predictions(subject: Subject) -> Finding:
    """forward takes images only, and a training step with other labels starts from the same
    answer.
    """
    taken = set(inspect.signature(type(subject.model).forward).parameters)
    if taken != {"self", "images", "every_expert"}:
        return False, f"forward also takes {sorted(taken - {'self', 'images', 'every_expert'})}"
    before = subject.evaluate(subject.images)
    kept = {name: value.clone() for name, value in subject.model.state_dict().items()}
    answers = []
    for target in (subject.target, subject.target.flip(0)):
        torch.manual_seed(1)
        subject.model.load_state_dict(kept)
        subject.model.train()
        needs_every = subject.objective.needs_every_expert
        output = subject.model.teach(subject.images, target, every_expert=needs_every)
        subject.objective(output, target)
        answers.append(output.log_probs.detach())
    taught = subject.model.is_taught()
    same = taught or torch.equal(answers[0], answers[1])
    subject.model.load_state_dict(kept)
    same = same and torch.equal(subject.evaluate(subject.images), before)
    if taught and same:
        return True, "labels teach in training; forward never sees one"
    return same, "the same answer whatever the labels" if same else "the answer moved with them"


def evaluation_ignores_batch_mates(subject: Subject) -> Finding:
    """An image gets the same answer alone as in a batch."""
    few = subject.images[:12]
    whole = subject.evaluate(few)
    alone = torch.cat([subject.evaluate(image[None]) for image in few])
    # Where a choice hangs on the last bit, either answer is right: at most one image may differ.
    gap = (whole.exp() - alone.exp()).abs().amax(-1)
    moved = int((gap > TOLERANCE).sum())
    return moved <= 1, f"largest difference {gap.max():.1e}, {moved} of {len(few)} images moved"


def evaluation_is_deterministic(subject: Subject) -> Finding:
    """Noise is off in evaluation."""
    first, second = (subject.evaluate(subject.images) for _ in range(2))
    same = torch.equal(first, second)
    return same, "twice the same to the last bit" if same else "two evaluations differ"


def answers_are_distributions(subject: Subject) -> Finding:
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


def unused_experts_cost_nothing(subject: Subject) -> Finding:
    """The bank's counted FLOPs are those of the chosen (expert, image) pairs."""
    mixture = subject.mixture
    if subject.layers:
        return unused_experts_cost_nothing_in_any_layer(subject)
    if mixture is None:
        return None, "no router"
    if isinstance(mixture.router, AnswerRouter):
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
    routers: dict[str, Router | AnswerRouter]
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


def finite_in_every_precision(subject: Subject) -> Finding:
    """Answers, loss and gradients are finite in float32 and in bfloat16."""
    device = subject.images.device.type
    problems = []
    for name, enabled in (("float32", False), ("bfloat16", True)):
        with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
            loss = subject.step()
        grads = [p.grad for p in subject.model.parameters() if p.grad is not None]
        if not bool(loss.isfinite()) or not all(bool(grad.isfinite().all()) for grad in grads):
            problems.append(name)
    return not problems, "float32 and bfloat16" if not problems else f"not in {problems}"


CHECKS: dict[str, Callable[[Subject], Finding]] = {
    "labels cannot reach predictions": labels_cannot_reach_predictions,
    "evaluation ignores batch mates": evaluation_ignores_batch_mates,
    "noise is off in evaluation": evaluation_is_deterministic,
    "answers are distributions": answers_are_distributions,
    "every expert and the router learn": everything_learns,
    "unused experts are not computed": unused_experts_cost_nothing,
    "weights sum to what the router promises": weights_keep_their_promise,
    "finite in float32 and bfloat16": finite_in_every_precision,
}
