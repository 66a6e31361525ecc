"""Which classes of a data set are meant by what was typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch

from moe_lab.data.sources import ImageSets, check_sets, fields_of
from moe_lab.errors import DataError


def keep_classes(sets: ImageSets, classes: Sequence[object]) -> ImageSets:
    """Only the images of these classes (see `class_index`), relabelled 0, 1, ... in this order."""
    names = sets.class_names
    chosen = [class_index(item, names) for item in classes]
    if len(set(chosen)) < len(chosen):
        twice = next(index for index in chosen if chosen.count(index) > 1)
        raise DataError(
            f"dataset.classes={list(classes)}: class {names[twice]} is named twice",
            "each class once",
            "name each class once, by name or by index",
        )
    new_label = torch.full((len(names),), -1)
    new_label[chosen] = torch.arange(len(chosen))
    parts = {}
    for part, (images, labels, *domains) in sets.parts().items():
        kept = new_label[labels] >= 0
        parts[part] = tuple(rows[kept] for rows in (images, new_label[labels], *domains))
    kept_names = tuple(names[index] for index in chosen)
    found = replace(sets, **fields_of(parts), class_names=kept_names)  # type: ignore[arg-type]
    check_sets(found)
    return found


def class_index(item: object, names: Sequence[str]) -> int:
    """Which class is meant: the one of this name, or else of this index.

    A number is the name of a class that is called so ("2", "02"). Where any class is called by a
    number, numbers are never indices: with folders 0, 1, 10 and 2, 3 is refused.
    """
    text = str(item)
    if text in names:
        return names.index(text)
    alike = [index for index, name in enumerate(names) if means_the_same(item, name)]
    if len(alike) == 1:
        return alike[0]
    numbered = any(as_number(name) is not None for name in names)
    is_index = isinstance(item, int) and not isinstance(item, bool)
    if not alike and is_index and not numbered and 0 <= int(text) < len(names):
        return int(text)
    expected = f"one of {', '.join(names)}"
    if alike:
        wrong = f"could be {' or '.join(names[index] for index in alike)}"
    elif is_index and numbered:
        wrong = "is the name of no class, and classes called by numbers are not chosen by index"
    else:
        wrong, expected = "is no class", f"{expected}, or an index from 0 to {len(names) - 1}"
    raise DataError(f"dataset.classes: {item!r} {wrong}", expected, "name the classes to keep")


def means_the_same(item: object, name: str) -> bool:
    """Whether a value that the command line has read as something else was typed for a name."""
    if isinstance(item, str):
        return False
    if isinstance(item, int | float) and not isinstance(item, bool) and as_number(name) is not None:
        return as_number(name) == item
    words = ("null", "none") if item is None else (str(item).casefold(),)
    return name.casefold() in words


def as_number(name: str) -> float | None:
    """The value of a name that consists of digits, perhaps with a sign and a decimal point."""
    return float(name) if re.fullmatch(r"[+-]?\d+(\.\d+)?", name) else None
