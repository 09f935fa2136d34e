"""Tables of a diagnosis: what they say, and that they say nothing of nothing."""

from __future__ import annotations

import re

from glossfree.report.diagnosis import Diagnosis, diagnose, words
from glossfree.report.diagnosis_tables import diagnosis_tables, diagnosis_text, percent


def content(sentence: str) -> frozenset[str]:
    return frozenset(words(sentence)) - {"am", "im"}


def names(sentence: str) -> frozenset[str]:
    return frozenset({"rhein", "harz"}) & set(words(sentence))


def diagnosis() -> Diagnosis:
    return diagnose(
        {"a": "am rhein drei grad", "b": "am tag regen", "c": ""},
        {"a": "am rhein vier grad", "b": "am tag regen", "c": "im harz elf grad und viel wind"},
        training=["am tag regen", "am rhein drei grad wind", "am main"],
        content=content,
        names=names,
        signers={"a": "1", "b": "2", "c": "2"},
    )


def test_every_table_says_how_to_read_it_and_what_it_does_not_show():
    tables = diagnosis_tables(diagnosis())
    assert len(tables) == 7
    for table in tables:
        assert table.rows and table.reading and table.limits
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_figures_stand_in_the_text():
    text = diagnosis_text(diagnosis())
    spaced = re.sub(r"\s+", " ", text)
    assert spaced.startswith("3 sentences, against 3 training sentences")
    assert "are a whole training sentence 33.3 % 33.3 %" in spaced
    assert "another number in its place 1 50.0 %" in spaced and "missed 1 50.0 %" in spaced
    assert "in references, and said (recall) 2 50.0 %" in spaced
    assert "in translations, and right (precision) 1 100.0 %" in spaced
    assert "vier 1" in spaced and "drei 1" in spaced
    assert spaced.count("Not shown:") == 7
    assert max(map(len, text.splitlines())) <= 120


def test_without_training_sentences_nothing_is_said_about_them():
    text = diagnosis_text(diagnose({"a": "x y"}, {"a": "x z"}, training=[], content=content))
    assert "whole training sentence" not in text and "times in training" not in text
    assert "Copies and repetition" in text and "Names" not in text


def test_nothing_gives_no_table():
    nothing = diagnose({}, {}, training=[], content=content, names=names)
    assert diagnosis_tables(nothing) == []
    assert diagnosis_text(nothing) == "0 sentences, against 0 training sentences"


def test_shares_of_nothing_are_a_dash():
    assert percent(None) == "-" and percent(12.345) == "12.3 %"
