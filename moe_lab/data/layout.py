"""Where in a folder the pictures of each part lie, and how to mend a folder that is laid out in
another way.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from moe_lab.data.listing import is_hidden, is_picture, unreadable
from moe_lab.errors import DataError

LAYOUT = "train/<class>/* and test/<class>/* with pictures, and val/<class>/* if there are any"
VALIDATION = ("val", "valid", "validation")
# What the two folders that there must be are called elsewhere.
ALIASES = {"train": ("train", "training", "trn"), "test": ("test", "testing", "tst")}


def part_folders(root: Path) -> dict[str, Path]:
    """The folders of "train", "test" and, where there is one, "val"."""
    if not root.is_dir():
        what = "is a file: unpack it" if root.is_file() else "is not a folder"
        raise DataError(f"{root} {what}", LAYOUT, "set dataset.root")
    folders = {part: root / part for part in ("train", "test")}
    for part, folder in folders.items():
        if not folder.is_dir():
            explain(root, part)
    validation = [root / name for name in VALIDATION if (root / name).is_dir()]
    if len(validation) > 1:
        raise DataError(
            " and ".join(str(folder) for folder in validation) + " are both there",
            "one folder of validation pictures",
            "put all validation pictures into val/, or remove one of the folders",
        )
    if validation:
        folders["val"] = validation[0]
    return folders


def class_folders(folders: dict[str, Path]) -> tuple[str, ...]:
    """The class folders, which must be the same in every part."""
    names = {part: visible_folders(folder) for part, folder in folders.items()}
    for part, folder in folders.items():
        if not names[part]:
            flat = " but pictures" if holds_pictures(folder) else ""
            raise DataError(
                f"{folder} has no class folders{flat}", LAYOUT, "sort the pictures by class"
            )
    for part in (part for part in folders if part != "train"):
        for one, other in ((part, "train"), ("train", part)):
            alone = sorted(set(names[one]) - set(names[other]))
            if alone:
                refuse_lone_class(folders[one] / alone[0], folders[other], names[other])
    (first, *others) = names["train"]
    inside = folders["train"] / first
    if not others and visible_folders(inside) and not holds_pictures(inside):
        raise DataError(
            f"{inside} is the only class, and holds folders, not pictures",
            LAYOUT,
            f"if those are the classes, move them from {inside} to {folders['train']}, "
            "and in the same way in test",
        )
    return tuple(names["train"])


def refuse_lone_class(folder: Path, counterpart: Path, there: Iterable[str]) -> NoReturn:
    similar = [name for name in there if name.casefold() == folder.name.casefold()]
    if similar:
        todo = f"give {counterpart / similar[0]} and {folder} the same name"
    else:
        todo = f"add pictures to {counterpart / folder.name} or remove the class"
    raise DataError(
        f"{folder} has no counterpart in {counterpart}",
        f"the same class folders in {folder.parent.name} and {counterpart.name}",
        todo,
    )


def explain(root: Path, part: str) -> NoReturn:
    """Raises the error that says what to do about a folder without `part`."""
    names = visible_folders(root)
    wrong, todo = f"{root / part} is not a folder", "set dataset.root"
    called = [name for name in names if name.casefold() in ALIASES[part]]
    above = root.parent
    inside = [name for name in names if has_parts(root / name)]
    turned = [name for name in names if (root / name / part).is_dir()]
    if called:
        wrong = f"{root / called[0]} is not called {part}"
        todo = f"rename {called[0]} to {part}"
    elif root.name in (*ALIASES, *VALIDATION) and has_parts(above):
        wrong = f"{root} is one part of a data set"
        todo = f"set dataset.root={above}"
    elif inside and len(turned) == 1:
        wrong = f"{wrong}, but {root / inside[0] / part} is"
        todo = f"set dataset.root={root / inside[0]}"
    elif turned:
        wrong = f"{wrong}, but {root / turned[0] / part} is: parts lie inside of classes"
        todo = f"move {root / turned[0] / part} to {root / part / turned[0]}, and so on"
    elif part == "test" and (root / "train").is_dir():
        held = [name for name in names if name in VALIDATION]
        todo = f"rename {held[0]} to test, or " if held else ""
        todo += "move some pictures of each class from train/<class> to test/<class>"
    elif any(holds_pictures(root / name) for name in names):
        wrong = f"{wrong}: {root} has classes, but no parts"
        todo = "move most pictures of <class> to train/<class>, and the others to test/<class>"
    elif holds_pictures(root):
        wrong = f"{wrong}: the pictures of {root} are in no class folder"
        todo = "sort them into train/<class> and test/<class>"
    raise DataError(wrong, LAYOUT, todo)


def has_parts(folder: Path) -> bool:
    """Whether a folder looks like a whole data set."""
    return {"train", "test"} <= {name.casefold() for name in visible_folders(folder)}


def visible_folders(folder: Path) -> list[str]:
    """The folders in a folder, without hidden ones, sorted by name."""
    try:
        entries = list(folder.iterdir())
    except PermissionError as error:
        raise unreadable(folder, error) from None
    return sorted(entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir())


def holds_pictures(folder: Path) -> bool:
    """Whether there are pictures in the folder itself."""
    try:
        return any(is_picture(entry.name) and entry.is_file() for entry in folder.iterdir())
    except PermissionError as error:
        raise unreadable(folder, error) from None
