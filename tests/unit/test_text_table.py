"""Tables of plain text."""

from __future__ import annotations

import pytest

from glossfree.console import aligned, text_table


def test_words_are_set_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("dev", "7", "12,345"), ("a longer name", "210", "-")]
    assert text_table(["split", "n", "x"], rows).splitlines() == [
        "split            n       x",
        "--------------------------",
        "dev              7  12,345",
        "a longer name  210       -",
    ]


def test_so_many_columns_are_set_to_the_left_as_are_asked_for_and_no_line_ends_in_blanks() -> None:
    rows = [("a", "bbb", "5"), ("aaaa", "b", "")]
    assert aligned(rows, left=2) == ["a     bbb  5", "aaaa  b"]
    assert aligned(rows, left=0) == ["   a  bbb  5", "aaaa    b"]


def test_a_table_without_rows_is_its_header() -> None:
    assert text_table(["one", "two"], []) == "one  two\n--------"
    assert aligned([]) == []


def test_a_row_with_a_cell_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        text_table(["one", "two"], [("1", "2"), ("1",)])
