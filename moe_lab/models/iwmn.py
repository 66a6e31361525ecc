"""Iterative weight modulation networks: predict, feed back, modulate, predict again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from moe_lab.dispatch import shapes_are_fixed
from moe_lab.models.base import Model, check_tokens
from moe_lab.models.feedback import Feedback, PassState
from moe_lab.models.modulation import Modulated, Modulators
from moe_lab.outputs import IterativeOutput, Output


class IWMN(Model):
    """T = 1 + num_iterations passes through one network: images -> IterativeOutput.

    1. y_0 = network(x)                                     [B, C], no modulation
    2. m_t = s tanh(modulator([context(x), feedback(y_(t-1))]))
                                                            {site: [B, width]}, a modulator per site
    3. y_t = network(x; m_t)                                [B, C] for t = 1 .. num_iterations
    The last pass is the prediction. With `halt_confidence` an image of an evaluation stops as soon
    as its largest probability reaches it, and is not computed again; training takes all passes.
    """

    output_type: ClassVar[type[Output]] = IterativeOutput

    def __init__(
        self,
        network: Modulated,
        feedback: Feedback,
        num_iterations: int = 3,
        modulation_strength: float = 0.1,
        modulator_hidden: int = 64,
        share_modulators: bool = True,
        halt_confidence: float | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("num_iterations", num_iterations, 0),
            ("modulator_hidden", modulator_hidden, 1),
        ):
            if value < least:
                raise ValueError(f"model.{name} must be at least {least}, got {value}")
        if modulation_strength <= 0:
            raise ValueError(
                f"model.modulation_strength must be above 0, got {modulation_strength}; "
                "model.num_iterations=0 is the network without modulation"
            )
        check_tokens(network.backbone, wanted=False)  # type: ignore[arg-type]
        self.network = network
        self.num_iterations = num_iterations
        self.halt_confidence = halt_confidence
        # No modulators without iterations: parameters that cannot learn would count as the model's.
        sets = min(1, num_iterations) if share_modulators else num_iterations
        self.modulators = nn.ModuleList(
            Modulators(
                network.sites,
                network.context_features,
                feedback.out_features,
                modulator_hidden,
                modulation_strength,
            )
            for _ in range(sets)
        )
        # The same for the feedback, which may have parameters of its own.
        self.feedback = feedback if num_iterations else None

    def cannot_evaluate(self) -> str | None:
        return None if self.feedback is None else self.feedback.cannot_evaluate

    def is_taught(self) -> bool:
        return self.feedback is not None and self.feedback.sees_labels

    def lacks(self) -> Collection[str]:
        return () if self._forecasts() else ("predicted_error",)

    def needs_terms(self) -> Mapping[str, str]:
        if self.feedback is not None and self.feedback.forecasts_error:
            return {"predicted_error": "the forecast of feedback=predicted_error"}
        return {}

    def forward(self, images: Tensor, *, every_expert: bool = False) -> IterativeOutput:
        return self._iterate(images, None)

    def teach(
        self, images: Tensor, target: Tensor, *, every_expert: bool = False
    ) -> IterativeOutput:
        return self._iterate(images, target)

    def _iterate(self, images: Tensor, target: Tensor | None) -> IterativeOutput:
        """All passes; `target` [B] is given in training alone."""
        # What no modulation reaches is computed once for all passes, of network and modulators.
        shared = self.network.begin(images)
        begun = [modulators.begin(shared["context"]) for modulators in self._sets()]
        hidden, logits = self.network(shared, None)
        trajectory = Trajectory.begin(hidden, logits)
        rows = torch.arange(images.shape[0], device=logits.device)  # images that go on
        for iteration in range(self.num_iterations):
            state = trajectory.last(rows)
            going = self._going_on(state)
            if going is not None and not shapes_are_fixed():
                if not bool(going.any()):
                    break
                rows = rows[going]
                state = PassState(state.log_probs[going], state.hidden[going])
            signal = self._signal(state, None if target is None else target[rows])  # [rows, F]
            which = iteration % len(self.modulators)  # always 0 where one set is shared
            # The loss on the prediction must not train a forecast: it would turn into whatever
            # signal helps, and no longer forecast the error.
            read = signal.detach() if self._forecasts() else signal
            modulations = self.modulators[which](of_rows(begun[which], rows), read)
            here = of_rows(shared, rows)
            hidden, logits = self.network(here, modulations)
            trajectory.add(rows, hidden, logits, modulations, signal)
            if going is not None and shapes_are_fixed():
                trajectory.take_back(~going)
        return trajectory.output(self.num_iterations, self._forecasts())

    def _sets(self) -> list[Modulators]:
        return [modulators for modulators in self.modulators if isinstance(modulators, Modulators)]

    def _signal(self, state: PassState, target: Tensor | None) -> Tensor:
        """What the modulators read about the pass before, [rows, F]."""
        assert self.feedback is not None
        signal: Tensor = (
            self.feedback(state) if target is None else self.feedback.teach(state, target)
        )
        return signal

    def _going_on(self, state: PassState) -> Tensor | None:
        """Which images are below the confidence to halt, [rows] bool; None where all go on."""
        if self.training or self.halt_confidence is None:
            return None
        return state.log_probs.exp().amax(-1) < self.halt_confidence

    def _forecasts(self) -> bool:
        return self.feedback is not None and self.feedback.forecasts_error


def of_rows(parts: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The given rows of every tensor, [B, ...] -> [rows, ...]; no copy where they are all."""
    if all(rows.shape[0] == value.shape[0] for value in parts.values()):
        return dict(parts)
    return {name: value[rows] for name, value in parts.items()}


@dataclass
class Trajectory:
    """The results of all passes so far; images that have halted keep their last prediction."""

    log_probs: list[Tensor]  # pass -> [B, C]
    hidden: Tensor  # [B, H] of the last pass of each image
    norms: list[Tensor]  # pass -> [B]
    steps: Tensor  # [B] passes taken
    signals: list[Tensor] = field(default_factory=list)  # pass -> [rows, F]

    @classmethod
    def begin(cls, hidden: Tensor, logits: Tensor) -> Trajectory:
        log_probs = logits.float().log_softmax(-1)
        zeros = log_probs.new_zeros(log_probs.shape[0])  # the first pass is not modulated
        return cls([log_probs], hidden, [zeros], zeros + 1)

    def last(self, rows: Tensor) -> PassState:
        """The state of these rows after the last pass."""
        whole = rows.shape[0] == self.hidden.shape[0]
        log_probs = self.log_probs[-1]
        return (
            PassState(log_probs, self.hidden)
            if whole
            else PassState(log_probs[rows], self.hidden[rows])
        )

    def add(
        self,
        rows: Tensor,
        hidden: Tensor,
        logits: Tensor,
        modulations: Mapping[str, Tensor],
        signal: Tensor,
    ) -> None:
        """Append one pass of the rows that went on."""
        log_probs = logits.float().log_softmax(-1)
        norm = torch.cat([part.float() for part in modulations.values()], -1).pow(2).mean(-1).sqrt()
        if rows.shape[0] == self.hidden.shape[0]:  # in training always: nothing is copied
            self.hidden = hidden
            self.steps = self.steps + 1
        else:
            log_probs = self.log_probs[-1].index_copy(0, rows, log_probs)
            self.hidden = self.hidden.index_copy(0, rows, hidden)
            norm = torch.zeros_like(self.norms[0]).index_copy(0, rows, norm)
            self.steps = self.steps.index_add(0, rows, torch.ones_like(rows, dtype=torch.float32))
        self.log_probs.append(log_probs)
        self.norms.append(norm.detach())  # a record: no loss reads it
        self.signals.append(signal)

    def take_back(self, halted: Tensor) -> None:
        """Undo the last pass of images that had halted before it, [B] bool."""
        before, after = self.log_probs[-2:]
        self.log_probs[-1] = torch.where(halted[:, None], before, after)
        self.norms[-1] = self.norms[-1] * ~halted
        self.steps = self.steps - halted.float()

    def output(self, num_iterations: int, forecasts: bool) -> IterativeOutput:
        """[T, B, ...] with T = 1 + num_iterations, whether or not all passes were taken."""
        missing = num_iterations + 1 - len(self.log_probs)
        passes = self.log_probs + [self.log_probs[-1]] * missing
        norms = self.norms + [torch.zeros_like(self.norms[0])] * missing
        # With passes missing some images have no forecast; only evaluations end early.
        taught = torch.stack(self.signals) if forecasts and not missing else None
        return IterativeOutput(
            passes[-1], torch.stack(passes), torch.stack(norms), self.steps, taught
        )
