"""What a router did, as tables and heat-maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_lab.analysis.csv_files import LEAST_IMAGES
from moe_lab.analysis.page.html_table import MISSING, Column, HeatMap, Table, number, share, words
from moe_lab.analysis.page.layers import Layer

MOST_CELLS = 1600  # of a heat-map; a larger one is neither readable nor small
FAVOURITES = 3

Floats = NDArray[np.float64]


def expert_table(layer: Layer, names: Sequence[str]) -> Table | None:
    """A row an expert: its work, the classes it gets most of, and how right it is on them."""
    tables = layer.tables
    if not tables.get("load"):
        return None
    load, used = tables["load"], tables["used_share"]
    most = max(load) or 1.0
    first = floats(tables["first"])  # [E, C]
    right = np.nansum(floats(tables["accuracy_by_class"]) * first, axis=1)
    rows = []
    for e, part in enumerate(load):
        images = first[e].sum()
        rows.append(
            [
                number(e, "d"),
                share(part, part / most),
                share(used[e]),
                number(images, ",.0f"),
                share(right[e] / images if images >= LEAST_IMAGES else None),
                words(favourites(first[e], names)),
            ]
        )
    columns = [
        Column("expert"),
        Column("load", "share of all routing weight; line: a fair share"),
        Column("used on", "share of images for which the expert was computed"),
        Column("first choice", "images in which it has the largest weight"),
        Column("accuracy", f"of the model, on first choices, if {LEAST_IMAGES} or more"),
        Column("its classes", "largest shares of its first choices", is_number=False),
    ]
    return Table("Each expert", columns, rows, mark=1 / (len(load) * most))


def favourites(counts: Floats, names: Sequence[str]) -> str:
    """The classes that an expert is first choice for, most images first."""
    total = counts.sum()
    best = [c for c in np.argsort(-counts, kind="stable")[:FAVOURITES] if counts[c] > 0]
    return ", ".join(f"{names[c]} ({100 * counts[c] / total:.0f} %)" for c in best) or MISSING


def heat_maps(layer: Layer, names: Sequence[str]) -> list[HeatMap]:
    """Which expert gets which class, how right it is there, and which experts go together."""
    tables = layer.tables
    if not tables.get("load"):
        return []
    experts = [str(e) for e in range(len(tables["load"]))]
    together = floats(tables["co_activation"])
    own = np.diag(together)[:, None]
    both = np.divide(together, own, out=np.full_like(together, np.nan), where=own > 0)
    maps = []
    if len(experts) * len(names) <= MOST_CELLS:
        maps += [
            by_class("Experts of each class", "Share of a class's images that have the expert "
                     "as first choice; columns sum to 100.",
                     experts, names, floats(tables["expert_share"])),
            by_class("Classes of each expert", "Share of an expert's first choices that are "
                     "of the class; rows sum to 100.",
                     experts, names, floats(tables["class_share"])),
            by_class("Accuracy of each expert by class", "Of the model, on the images of which "
                     "the expert is the first choice, in percent, where it is that of "
                     f"{LEAST_IMAGES} or more.",
                     experts, names, of_many(tables)),
        ]  # fmt: skip
    if len(experts) ** 2 <= MOST_CELLS and varies(both):
        meaning = "Of the images that the row's expert was used on, those the column's was used on."
        maps.append(
            HeatMap("Experts used together", meaning, "expert", "with expert", experts, experts,
                    shades(both), percents(both))
        )  # fmt: skip
    return maps


def of_many(tables: Mapping[str, Any]) -> Floats:
    """Accuracy by first expert and class, NaN on too few images to say, [E, C]."""
    enough = floats(tables["first"]) >= LEAST_IMAGES
    return np.where(enough, floats(tables["accuracy_by_class"]), np.nan)


def by_class(
    caption: str, meaning: str, experts: Sequence[str], names: Sequence[str], shares: Floats
) -> HeatMap:
    return HeatMap(
        caption, meaning, "expert", "class", experts, names, shades(shares), percents(shares)
    )


def varies(both: Floats) -> bool:
    """Whether some experts share images and some do not: else there is nothing to see."""
    others = both[~np.eye(len(both), dtype=bool)]
    others = others[np.isfinite(others)]
    return bool(len(others)) and not bool(np.all(others == others[0]))


def floats(rows: Any) -> Floats:
    """A nested list with null for what is not defined."""
    return np.array(rows, dtype=np.float64)


def shades(shares: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(v) else float(v) for v in row] for row in shares]


def percents(shares: Floats) -> list[list[str]]:
    return [[MISSING if np.isnan(v) else f"{100 * v:.0f}" for v in row] for row in shares]
