"""The packages that a person lets configurations build from: said by `trust=[...]`, in no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_trusted: ContextVar[frozenset[str]] = ContextVar("trusted", default=frozenset())


def trusted_packages() -> frozenset[str]:
    """The packages beside moe_lab and its libraries whose classes may be built at present."""
    return _trusted.get()


@contextmanager
def trusting(packages: str | Sequence[str] | None) -> Iterator[None]:
    """Within, classes and functions of these packages may be built as well."""
    named = [packages] if isinstance(packages, str) else list(packages or ())
    before = _trusted.set(_trusted.get() | {str(name) for name in named})
    try:
        yield
    finally:
        _trusted.reset(before)
