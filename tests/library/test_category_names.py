"""What a cell of the column `category` names."""

from __future__ import annotations

import pytest

from pwrank.ranker.model_inputs import split_categories


@pytest.mark.parametrize(
    ("category", "names"),
    [
        ("", ()),
        ("Books", ("Books",)),
        ("Comedy|Drama", ("Comedy", "Drama")),
        ("Comedy | Drama|Comedy", ("Comedy", "Drama")),
        ("Pizza, Italian, Restaurants", ("Pizza", "Italian", "Restaurants")),
        ("Pizza; Italian", ("Pizza", "Italian")),
        ("['Action', \"Children's\"]", ("Action", "Children's")),
        ("[]", ()),
        ("Home > Kitchen", ("Home", "Home > Kitchen")),
        (
            "Home, Garden > Pots|Outdoor>Pots>",
            ("Home, Garden", "Home, Garden > Pots", "Outdoor", "Outdoor > Pots"),
        ),
        (" > | , ", (",",)),
    ],
)
def test_a_cell_names_its_categories(category: str, names: tuple[str, ...]) -> None:
    """By any of the usual separators; a path by its levels, which may hold commas."""
    offsets, labels, found = split_categories([category])
    assert found == names
    assert offsets.tolist() == [0, len(names)]
    assert labels.tolist() == list(range(len(names)))


def test_items_share_the_names_of_categories() -> None:
    """One number a name, in the order in which names are met."""
    offsets, labels, names = split_categories(["Pizza, Bars", "", "Bars", "Bars|Music"])
    assert names == ("Pizza", "Bars", "Music")
    assert offsets.tolist() == [0, 2, 2, 3, 5]
    assert labels.tolist() == [0, 1, 1, 1, 2]
