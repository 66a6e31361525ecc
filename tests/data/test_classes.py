"""Which class a word or a number means."""

from __future__ import annotations

import pytest

from moe_lab.data.classes import class_index
from moe_lab.errors import DataError

NUMBERS = ("0", "1", "10", "2")  # as folders are sorted
WORDS = ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("item", "names", "index"),
    [
        (0, NUMBERS, 0),
        (2, NUMBERS, 3),  # the folder 2, which is not at place 2
        (10, NUMBERS, 2),
        ("2", NUMBERS, 3),
        (2.0, NUMBERS, 3),
        (1, ("00", "01", "02"), 1),
        ("01", ("01", "1"), 0),
        (1, ("01", "1"), 1),
        (0.5, ("0.25", "0.5"), 1),
        (0, WORDS, 0),
        (2, WORDS, 2),
        ("owl", WORDS, 2),
        (True, ("false", "true"), 1),
        (None, ("null", "some"), 0),
        (float("nan"), ("nan", "some"), 0),
        (3, ("0", "1", "2", "3"), 3),  # as in MNIST, where name and place agree
    ],
)
def test_the_name_wins_and_an_index_stands_in_where_no_class_is_a_number(
    item: object, names: tuple[str, ...], index: int
) -> None:
    assert class_index(item, names) == index


@pytest.mark.parametrize(
    ("item", "names", "said"),
    [
        (3, NUMBERS, "is the name of no class, and classes called by numbers are not chosen by"),
        (0, ("1", "2"), "is the name of no class"),
        (2, ("1", "cat", "dog"), "is the name of no class"),  # the third, or a missing one
        (1, ("01", "001"), "could be 01 or 001"),
        (3, WORDS, "is no class"),
        (-1, WORDS, "is no class"),
        (True, WORDS, "is no class"),
        ("2", WORDS, "is no class"),
        (1.5, WORDS, "is no class"),
        (None, WORDS, "is no class"),
    ],
)
def test_what_could_mean_two_things_or_none_is_refused(
    item: object, names: tuple[str, ...], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        class_index(item, names)
    assert ", ".join(names) in caught.value.expected
