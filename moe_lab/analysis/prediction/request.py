"""What a request names: images, the file for predictions, the contact sheet; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from moe_lab.config.help import options
from moe_lab.config.typed import as_list
from moe_lab.errors import ConfigError

FORMATS = (".csv", ".json", ".npz")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class NamedImages:
    """One of three: paths, a split of the run's own data, or another data set."""

    paths: tuple[str, ...] = ()
    split: str | None = None
    dataset: str | None = None


def named_images(request: DictConfig) -> NamedImages:
    """What `images` means: what is on disk first, then splits and data sets by name.

    Raises ConfigError where none of it is there. A path that is missing among others is a picture
    that cannot be read.
    """
    words = [str(word) for word in as_list(request.images)]
    if any(Path(word).expanduser().exists() for word in words):
        return NamedImages(paths=tuple(words))
    if len(words) == 1 and words[0] in SPLITS:
        return NamedImages(split=words[0])
    if len(words) == 1 and words[0] in options("dataset"):
        return NamedImages(dataset=words[0])
    raise ConfigError(
        f"images={words[0] if len(words) == 1 else words}: there is no such file or folder",
        f"picture files, folders of them, {', '.join(SPLITS)} or a data set "
        f"({', '.join(options('dataset'))})",
    )


def output_file(request: DictConfig) -> Path:
    """`out`, or predictions.csv in the run."""
    if request.out is None:
        return Path(str(request.run)) / "predictions.csv"
    return Path(str(request.out)).expanduser()


def sheet_file(request: DictConfig) -> Path | None:
    """The file of the contact sheet; None where there shall be none."""
    if request.sheet in (False, "false"):
        return None
    if request.sheet in (True, "true"):
        out = output_file(request)
        return out.with_name(f"{out.stem}_sheet.png")
    return Path(str(request.sheet)).expanduser()
