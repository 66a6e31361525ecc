"""Where the trials of a search are kept: SQLite or a journal in the search's folder, or a database
elsewhere.

SQLite is whole after a kill, but its locks do not hold on network file systems; Optuna's journal is
made for those. A server (`mysql://`, `postgresql://`, or Optuna's proxy, `grpc://`) is for many
workers.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from moe_lab.errors import ConfigError, RecordError
from moe_lab.training.disk import write_atomically
from moe_lab.training.recorded_files import first_line, read_json

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

SQLITE, JOURNAL = "search.db", "search.journal"
PLACE = "search.json"  # which of them, and the name of the study in it
NAME = "search"
PATIENCE = 60  # seconds that a process waits while another one writes


def holds_search(folder: Path) -> bool:
    """Whether a search was started in this folder."""
    # Path.is_file raises for a name that is too long.
    return any(os.path.isfile(folder / name) for name in (PLACE, SQLITE))


def settle_place(folder: Path, asked: str) -> None:
    """Write down where the trials are kept; ConfigError where it is elsewhere already, or nowhere
    that is known.
    """
    if holds_search(folder):
        kept = place_of(folder)["storage"]
        if kept != asked:
            raise ConfigError(
                f"the search in {folder} is kept in {without_password(kept)}, not in "
                f"{without_password(asked)}",
                f"hydra.sweeper.storage={without_password(kept)}",
            )
        return
    if asked not in ("sqlite", "journal") and "://" not in asked:
        raise ConfigError(
            f"hydra.sweeper.storage={asked}", "sqlite, journal, or the URL of a database"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # In a database that others use as well, the name must be this search's own.
    study = NAME if "://" not in asked else f"{NAME}_{uuid.uuid4().hex[:12]}"
    write_atomically(folder / PLACE, json.dumps({"storage": asked, "study": study}) + "\n")
    (folder / PLACE).chmod(0o600)  # a URL may hold a password


def place_of(folder: Path) -> dict[str, Any]:
    """`storage` and `study`; a search of a time before there was a choice is in SQLite."""
    path = folder / PLACE
    return read_json(path) if path.is_file() else {"storage": "sqlite", "study": NAME}


def open_storage(folder: Path, asked: str) -> BaseStorage:
    """The storage of the search in a folder; UserError where it cannot be reached."""
    from optuna import storages
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import ArgumentError, DatabaseError

    try:
        if asked == "journal":
            return storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        if asked.startswith("grpc://"):
            parts = urlsplit(asked)
            return storages.GrpcStorageProxy(
                host=parts.hostname or "localhost", port=parts.port or 13000
            )
        url = f"sqlite:///{(folder / SQLITE).absolute()}" if asked == "sqlite" else asked
        is_file = url.startswith("sqlite")
        waiting = {"connect_args": {"timeout": PATIENCE}} if is_file else None
        return storages.RDBStorage(url, engine_kwargs=waiting)
    except DatabaseError as error:
        where = folder / SQLITE if asked == "sqlite" else without_password(asked)
        raise RecordError(
            f"{where} cannot be read: {first_line(error)}",
            "the database of a search as it was written, within reach",
            "take it from a copy of the folder, or search again in another run_dir",
        ) from None
    except (ArgumentError, ImportError) as error:
        raise ConfigError(
            f"hydra.sweeper.storage={without_password(asked)}: {first_line(error)}",
            "a URL of a database whose driver is installed",
        ) from None


def without_password(url: str) -> str:
    """What may be shown of the URL of a database."""
    found = urlsplit(url).password if "://" in url else None
    return url.replace(f":{found}@", ":***@") if found else url
