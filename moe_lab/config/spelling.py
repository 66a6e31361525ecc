"""Did you mean: the known names that are closest to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher


def nearest(typed: str, known: Iterable[str], count: int = 2) -> str:
    """`; did you mean a or b?`, or nothing where no known name is close."""
    scored = sorted(((closeness(typed, name), name) for name in set(known)), reverse=True)
    best = [name for score, name in scored[:count] if score >= 0.6 and score > scored[0][0] - 0.1]
    return f"; did you mean {' or '.join(best)}?" if best else ""


def closeness(typed: str, name: str) -> float:
    """Likeness of two dotted names in 0..1; the last word counts most, since paths are often
    shortened.
    """
    last_typed, last_name = typed.rsplit(".", 1)[-1], name.rsplit(".", 1)[-1]
    last = SequenceMatcher(None, last_typed.lower(), last_name.lower()).ratio()
    whole = SequenceMatcher(None, typed.lower(), name.lower()).ratio()
    return max(whole, 0.7 * last + 0.3 * whole)
