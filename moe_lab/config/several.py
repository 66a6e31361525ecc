"""Parts that a configuration describes once and a model has several times, each drawn anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moe_lab.config.instantiate import instantiate


def several(
    node: Mapping[str, Any], count: int, every: int = 1, sizes: Mapping[str, int] | None = None
) -> list[Any]:
    """What `node` describes, once for each `every`-th of `count` places.

    `sizes` takes the place of keys of that name wherever they stand in the node: a part inside a
    network has other widths than one at its end.
    """
    if not 1 <= every <= count:
        raise ValueError(f"one in {every} of {count} places leaves none")
    resized = with_sizes(node, sizes or {})
    return [instantiate(resized) for _ in range(count // every)]


def one_for_each(node: Mapping[str, Any], sizes: Mapping[str, int | Sequence[int]]) -> list[Any]:
    """What `node` describes, once for each number that `sizes` lists under a key."""
    lists = {key: [own] if isinstance(own, int) else list(own) for key, own in sizes.items()}
    rows = zip(*lists.values(), strict=True)
    chosen = [dict(zip(lists, row, strict=True)) for row in rows]
    return [instantiate(with_sizes(node, own)) for own in chosen]


def with_sizes(node: Any, sizes: Mapping[str, int]) -> Any:
    """A copy of a node in which keys named in `sizes` have that value."""
    if isinstance(node, Mapping):
        return {
            key: sizes[key] if key in sizes else with_sizes(value, sizes)
            for key, value in node.items()
        }
    return [with_sizes(item, sizes) for item in node] if isinstance(node, list) else node
