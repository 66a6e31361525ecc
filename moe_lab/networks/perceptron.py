"""A perceptron written with torch's own layers, and the checks of its sizes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def perceptron(
    in_features: int,
    hidden: int | Sequence[int],
    out_features: int,
    dropout: float = 0.0,
    activation: str = "relu",
) -> nn.Sequential:
    """Linear layers with an activation and dropout between them. [n, ...] -> [n, out]"""
    check_positive(in_features=in_features, out_features=out_features)
    check_dropout(dropout)
    widths = [in_features, *hidden_widths(hidden)]
    # Flattens by itself, so that images can be given as rows or as they are.
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation_module(activation), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], out_features))


def check_positive(**sizes: int) -> None:
    """Refuse sizes below 1, each by its name."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be a positive integer, got {size}")


def check_dropout(dropout: float) -> None:
    """Refuse a share outside 0..1; at 1 nothing would be left to learn from."""
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")


def hidden_widths(hidden: int | Sequence[int]) -> list[int]:
    """The widths of the hidden layers, one or several."""
    widths = [hidden] if isinstance(hidden, int) else list(hidden)
    if not widths:
        raise ValueError("hidden must be a positive integer or a list of them, got []")
    check_positive(**{f"hidden[{index}]": width for index, width in enumerate(widths)})
    return widths


def activation_module(activation: str, in_place: bool = False) -> nn.Module:
    """The named nonlinearity; only relu works in place."""
    # The gradient of ReLU needs its output alone. GELU and SiLU need their input, which would be
    # overwritten.
    if activation == "relu":
        return nn.ReLU(inplace=in_place)
    if activation not in _ACTIVATIONS:
        allowed = ", ".join(["relu", *_ACTIVATIONS])
        raise ValueError(f"activation must be one of {allowed}, got {activation!r}")
    return _ACTIVATIONS[activation]()


_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU}
