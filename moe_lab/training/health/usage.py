"""How much each expert of one layer was used over the last training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moe_lab.metrics.information import entropy_in_bits
from moe_lab.metrics.routing import DEAD_SHARE
from moe_lab.outputs import weight_shares

STEPS_AT_ONCE = 16  # a count takes as long for many steps as for one


@dataclass(frozen=True)
class Usage:
    """The use of E experts over `steps` training steps."""

    steps: int
    used_share: NDArray[np.float64]  # [E] of the images: those on which an expert was used
    share: NDArray[np.float64]  # [E] the load: of the weight that images gave out; sums to 1
    idle: NDArray[np.int64]  # [E] steps since an expert was last used

    @property
    def num_experts(self) -> int:
        return len(self.share)

    @property
    def entropy(self) -> float:
        """Of the shares, in bits; NaN where a loss that became NaN has reached the weights."""
        return entropy_in_bits(self.share) if np.isfinite(self.share).all() else float("nan")

    @property
    def max_entropy(self) -> float:
        """log2(E): what equal shares have, in bits."""
        return float(np.log2(self.num_experts))

    @property
    def dead(self) -> list[int]:
        """Experts with less than 1 % of a fair load."""
        return np.flatnonzero(self.share < DEAD_SHARE / self.num_experts).tolist()

    @property
    def unused(self) -> list[int]:
        """Experts that no image used in any of the steps."""
        return np.flatnonzero(self.idle >= self.steps).tolist()


class UsageWindow:
    """What one layer's router did in each of its last `capacity` training steps.

    The device does the counting, several steps at once; only `read` waits for it.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self._waiting: list[Tensor] = []  # weights [B, E] of one size, not yet counted
        self._counted: list[Tensor] = []  # on the device, each [steps, 2, E], not yet read
        self._images: list[int] = []  # of the steps in _counted and _waiting
        # What was read, oldest step first: images that used an expert, weight it had, images.
        self._rows: NDArray[np.float64] = np.zeros((0, 3, 0))  # [steps, 3, E]
        self._idle: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def add(self, weights: Tensor) -> None:
        """Take in one step, weights [B, E] without a graph; they must not be changed later."""
        # A checkpoint gives tensors back on the CPU, wherever they came from.
        if self._waiting and (
            weights.shape != self._waiting[0].shape or weights.device != self._waiting[0].device
        ):
            self._count()
        self._waiting.append(weights)
        self._images.append(len(weights))
        if len(self._waiting) == STEPS_AT_ONCE:
            self._count()

    def _count(self) -> None:
        if self._waiting:
            weights = torch.stack(self._waiting).float()  # [steps, B, E]
            mass = weight_shares(weights).sum(1)  # [steps, E]
            self._counted.append(torch.stack(((weights != 0).sum(1), mass), dim=1))
            self._waiting.clear()

    def read(self, steps: int, over_ranks: Callable[[Tensor], Tensor] = lambda x: x) -> Usage:
        """The last `steps` steps, or as many as are kept; `over_ranks` sums over processes."""
        self._count()
        if self._counted:
            self._take_over(over_ranks)
        kept = self._rows[-steps:]
        if not len(kept):
            raise ValueError("there is no step to read")
        used, mass, images = kept.sum(0)  # each [E]
        num_experts, total = len(mass), mass.sum()
        # Without any weight, as before any expert was switched on, no expert has more than another.
        share = mass / total if total != 0 else np.full(num_experts, 1 / num_experts)
        return Usage(len(kept), used / images, share, self._idle)

    def _take_over(self, over_ranks: Callable[[Tensor], Tensor]) -> None:
        """Bring what was counted since the last read to the host."""
        device = self._counted[-1].device
        counted = torch.cat([steps.to(device) for steps in self._counted])  # [new, 2, E]
        images = counted.new_tensor(self._images)[:, None, None].expand(-1, 1, counted.shape[-1])
        new = over_ranks(torch.cat((counted, images), dim=1)).double().cpu().numpy()
        self._counted.clear()
        self._images.clear()
        used = new[:, 0] > 0  # [new, E]
        before, history = (self._idle, self._rows) if len(self._rows) else (0, new[:0])
        self._idle = np.where(used.any(0), np.argmax(used[::-1], axis=0), before + len(new))
        self._rows = np.concatenate((history, new))[-self.capacity :]

    def state_dict(self) -> dict[str, Any]:
        """All that was taken in, as tensors and plain containers."""
        return {
            "waiting": [weights.clone() for weights in self._waiting],
            "counted": list(self._counted),
            "images": list(self._images),
            "rows": torch.from_numpy(self._rows),
            "idle": torch.from_numpy(self._idle),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of another window of the same capacity."""
        self._waiting, self._counted = state["waiting"], state["counted"]
        self._images = state["images"]
        self._rows, self._idle = state["rows"].numpy(), state["idle"].numpy()
