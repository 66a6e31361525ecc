"""The weights of several seeds, stacked, and the training step that serves all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from moe_lab.dispatch import all_pairs
from moe_lab.networks.progress import FollowsProgress
from moe_lab.training.classifier import Classifier, parameter_groups
from moe_lab.training.schedules import Schedule

Found = dict[str, Any]  # what a step found, see TrainingStep


class TrainingStep(nn.Module):
    """The loss of one seed: images [B, channels, height, width], labels [B] -> a dict of tensors.

    `loss` [], `correct` [], and by name the `terms` [] of the loss, its moving `weights` [] and the
    `routings` [B, E].
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.model, self.objective = classifier.model, classifier.objective

    def forward(self, images: Tensor, target: Tensor) -> Found:
        needs_every = self.objective.needs_every_expert
        output = self.model.teach(images, target, every_expert=needs_every)
        loss = self.objective(output, target)
        return {
            "loss": loss.total,
            "correct": (output.log_probs.detach().argmax(-1) == target).sum(),
            "terms": loss.terms,
            "weights": {name: weight.detach() for name, weight in loss.weights.items()},
            "routings": {name: r.weights.detach() for name, r in output.routings.items()},
        }


class SeedBatch:
    """S classifiers that differ in their weights alone, trained in one pass.

    The classifiers stay whole: from here on their weights are views of the stacked ones, so each
    can be evaluated and saved at any time. One optimizer serves all, as the common ones treat every
    number by itself; the losses are added up, so that a seed's gradient is its own.
    """

    def __init__(self, classifiers: Sequence[Classifier]) -> None:
        first = classifiers[0]
        # By rank before stacking: afterwards even a bias is a matrix.
        groups = parameter_groups(first.model, first.objective)
        self.steps = [TrainingStep(classifier).train() for classifier in classifiers]
        self.parameters, self.buffers = stack_module_state(self.steps)
        stacked = {
            id(parameter): self.parameters[name]
            for name, parameter in self.steps[0].named_parameters()
        }
        for group in groups:
            group["params"] = [stacked[id(parameter)] for parameter in group["params"]]
        assert first.optimizer is not None, "only a classifier that is to learn has seeds to batch"
        self.optimizer: Optimizer = first.optimizer(groups)
        self.curve = self._curve(first)
        self._share()
        self._fractions = [
            self.buffers[f"{name}.fraction"]
            for name, module in self.steps[0].named_modules()
            if isinstance(module, FollowsProgress)
        ]

    def __len__(self) -> int:
        return len(self.steps)

    def follow(self, fraction: float) -> None:
        """Tell every seed how far training has come, as `networks.progress.follow` does for one."""
        for buffer in self._fractions:
            buffer.fill_(min(1.0, max(0.0, fraction)))

    def forward(self, images: Tensor, target: Tensor) -> Found:
        """Each seed's step on its own batch. [S, B, ...], [S, B] -> tensors that start with S"""
        with all_pairs():
            found: Found = vmap(self._one, randomness="error")(
                self.parameters, self.buffers, images, target
            )
        return found

    def train(self, images: Tensor, target: Tensor, clip: float | None = None) -> Found:
        """One optimizer step of every seed; `clip` is the largest norm of a seed's gradient."""
        self.optimizer.zero_grad()
        found = self.forward(images, target)
        found["loss"].sum().backward()
        if clip is not None:
            self._clip(clip)
        self.optimizer.step()
        if self.curve is not None:
            self.curve.step()
        return found

    def _one(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], *batch: Tensor
    ) -> Found:
        found: Found = functional_call(self.steps[0], (parameters, buffers), batch)
        return found

    def _curve(self, first: Classifier) -> LambdaLR | None:
        schedule = first.schedule
        if schedule is None:
            return None
        assert isinstance(schedule, Schedule), "a schedule that waits for metrics is refused"

        def factor(step: int) -> float:
            return schedule.at(step, first.steps_per_epoch, first.total_steps)

        return LambdaLR(self.optimizer, factor)

    def _share(self) -> None:
        for seed, step in enumerate(self.steps):
            for name, parameter in step.named_parameters():
                parameter.data = self.parameters[name].detach()[seed]
            for name, buffer in step.named_buffers():
                buffer.data = self.buffers[name][seed]

    def _clip(self, largest: float) -> None:
        """torch.nn.utils.clip_grad_norm_ for each seed by itself."""
        grads = list(self._grads())
        norms = [torch.linalg.vector_norm(grad.reshape(len(self), -1), dim=1) for grad in grads]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)  # [S]
        factor = (largest / (norm + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.view(-1, *[1] * (grad.ndim - 1)))

    def _grads(self) -> Iterator[Tensor]:
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    yield parameter.grad
