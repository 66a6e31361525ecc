"""Where the configuration files are: beside the package in a checkout, inside it when installed
from a wheel.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def configuration_folder() -> Path:
    """The folder that holds train.yaml and the groups, whatever the working directory."""
    for folder in (_PACKAGE.parent / "conf", _PACKAGE / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"no conf/train.yaml beside or inside {_PACKAGE}: the installation of moe_lab is incomplete"
    )
