"""The errors that a user can cause, each shown as one screen without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend: says what was wrong, what was expected and what to do."""

    def __init__(self, wrong: str, expected: str = "", todo: str = "") -> None:
        self.wrong, self.expected, self.todo = wrong, expected, todo
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        labelled = [("wrong", self.wrong), ("expected", self.expected), ("do", self.todo)]
        return [f"  {label + ':':<10}{text}" for label, text in labelled if text]


class ConfigError(UserError):
    """The command line or a configuration file asks for something that does not exist or makes no
    sense.
    """


class RecordError(UserError):
    """A file of a run directory or a sweep is missing, damaged or not what training writes."""


class DataError(UserError):
    """A data file is missing, truncated, corrupt or mislabelled."""


class DataUnavailable(DataError):
    """The data set is neither on disk nor to be had from its official site."""
