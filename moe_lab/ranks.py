"""Which process of a distributed run this is, before and after Lightning knows."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """True in a run of one process and in the one that keeps the record of several."""
    return os.environ.get("RANK", "0") == "0"
