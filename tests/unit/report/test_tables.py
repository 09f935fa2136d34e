"""Tables of scores, pointing and diagnosis, for the terminal and the page."""

from __future__ import annotations

import re

import pytest

from glossfree.report.diagnosis import Diagnosis, diagnose, split_words
from glossfree.report.pointing import Pointing
from glossfree.report.tables import (
    convention_table,
    diagnosis_tables,
    diagnosis_text,
    flatten,
    interval_table,
    make_table,
    pointing_table,
    probability,
    score_tables,
    signatures,
)
from glossfree.scoring.conventions import convention_for, published_for
from glossfree.scoring.metrics import score
from glossfree.scoring.significance import Interval
from glossfree.text.tagging import Token

SIDES = ["am tag regen im norden", "wind"], ["am tag regen im süden", "viel wind"]


def tag(sentence: str) -> list[Token]:
    kinds = {"am": "ADP", "im": "ADP", "rhein": "PROPN", "harz": "PROPN"}
    return [Token(word, word, kinds.get(word, "NOUN")) for word in split_words(sentence)]


def diagnosis() -> Diagnosis:
    return diagnose(
        {"a": "am rhein drei grad", "b": "am tag regen", "c": ""},
        {"a": "am rhein vier grad", "b": "am tag regen", "c": "im harz elf grad und viel wind"},
        training=["am tag regen", "am rhein drei grad wind", "am main"],
        language="de",
        tag=tag,
        signers={"a": "1", "b": "2", "c": "2"},
    )


def test_values_are_formatted_once() -> None:
    table = make_table("length", [("7", 1234, 12.345, 0.0, None)])
    assert table.rows == (("7", "1,234", "12.35", "0.00", "-"),)


def test_every_table_says_how_to_read_it_and_what_it_does_not_show() -> None:
    tables = diagnosis_tables(diagnosis())
    assert len(tables) == 7
    for table in tables:
        assert table.rows and table.reading and table.limits
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_text_contains_the_figures() -> None:
    text = diagnosis_text(diagnosis())
    spaced = re.sub(r"\s+", " ", text)
    assert spaced.startswith("3 sentences, against 3 training sentences")
    assert "are a whole training sentence 33.33 33.33" in spaced
    assert "another number in its place 1 50.00" in spaced and "missed 1 50.00" in spaced
    assert "(recall) 2 50.00" in spaced and "(precision) 1 100.00" in spaced
    assert "vier 1" in spaced and "drei 1" in spaced
    assert spaced.count("Not shown:") == 7
    assert max(map(len, text.splitlines())) <= 80


def test_a_table_with_many_words_is_no_wider_than_a_terminal() -> None:
    words = [f"wort{number:05}" for number in range(1, 9)]
    text = diagnosis_text(diagnose({"a": " ".join(words)}, {"a": "x"}, training=["x"], language="de", tag=tag))
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"{word} 1" in " ".join(text.split()) for word in words)


def test_without_training_sentences_their_rows_are_left_out() -> None:
    text = diagnosis_text(diagnose({"a": "x y"}, {"a": "x z"}, training=[], language="de", tag=lambda text: []))
    assert "whole training sentence" not in text and "how often training" not in text
    assert "Copies and repetition" in text and "Names" not in text


def test_nothing_gives_no_table() -> None:
    nothing = diagnose({}, {}, training=[], language="de", tag=tag)
    assert diagnosis_tables(nothing) == []
    assert diagnosis_text(nothing) == "0 sentences"


def test_the_better_row_is_marked() -> None:
    better, worse = (
        score(["a b c d e"], ["a b c d e"], language="de"),
        score(["a b c d x"], ["a b c d e"], language="de"),
    )
    (table,) = score_tables({"ours": {"test": better}, "theirs": {"test": worse}})
    assert table.best == {(0, column) for column in range(1, 7)}
    assert table.columns[:7] == ("model", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "chrF")
    assert table.rows[0][:2] == ("ours", "100.00") and table.rows[1][1] == f"{worse.bleu1:.2f}"
    assert score_tables({"ours": {"test": better}})[0].best == frozenset()  # a single row is not best


def test_each_split_has_a_table() -> None:
    one = score(["a b"], ["a b"], language="de")
    tables = score_tables({"ours": {"dev": one, "test": one}, "theirs": {"test": one}})
    assert [len(table.rows) for table in tables] == [1, 2]
    assert [table.title for table in tables] == ["dev, 1 sentences", "test, 1 sentences"]


def test_rows_of_different_conventions_are_not_compared_and_both_are_explained() -> None:
    one = score(["a b c d x"], ["a b c d e"], language="de")
    other = score(["a b c d e"], ["a b c d e"], convention=convention_for("de", append=" ."))
    rows = {"ours": {"test": one}, "again": {"test": one}, "theirs": {"test": other}}
    assert score_tables(rows)[0].best == frozenset()
    explained = signatures(rows)
    assert list(explained) == ["How the scores of ours, again are computed", "How the scores of theirs are computed"]
    appended = dict(explained["How the scores of theirs are computed"])
    assert sum('|append:" ."' in text for text in appended.values()) == 6 and "append ' .'" in appended["text"]


def test_intervals_stand_beside_their_scores() -> None:
    ours = score(*SIDES, language="de")
    table = interval_table(ours, {"bleu4": Interval(1.0, 2.5)}, "test")
    assert table.rows == (("BLEU-4", f"{ours.bleu4:.2f}", "1.00 to 2.50"),)
    assert "2 sentences" in table.reading


def test_each_convention_is_a_row_with_its_source() -> None:
    rows = {how.name: score(*SIDES, convention=how) for how in (convention_for("de"), *published_for("de"))}
    table = convention_table(rows, "test")
    for row, (name, scores) in zip(table.rows, rows.items(), strict=True):
        values = [f"{getattr(scores, key):.2f}" for key in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l")]
        assert row == (name, *values, scores.convention["source"] or "glossfree's default")


def test_pointing_stands_beside_chance() -> None:
    pointing = Pointing(1234, {"peak inside the sign": (61.25, 11.0), "mAP inside the sign": (55.55, 14.25)})
    table = pointing_table(pointing, "test")
    assert table.rows == (("peak inside the sign", "61.25", "11.00"), ("mAP inside the sign", "55.55", "14.25"))
    assert "test, 1,234 signs" in table.title and table.reading and table.limits


def test_no_draw_is_not_probability_zero() -> None:
    assert [probability(p, 1000) for p in (0.0, 0.001, 0.25, 1.0)] == ["< 0.001", "0.001", "0.250", "1.000"]
    assert probability(0.0, 10) == "< 0.1"


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ({"name": "demo", "train": {"lr": 6e-4}}, [("name", "demo"), ("train.lr", "0.0006")]),
        ({"lora": {"rank": 4, "on": ["q", "v"]}}, [("lora.rank", "4"), ("lora.on", "q, v")]),
        ({"cache": False, "resume": True}, [("cache", "no"), ("resume", "yes")]),
        ({"epochs": 1, "warmup": 0.0, "x": None, "y": ()}, [("epochs", "1"), ("warmup", "0.0"), ("x", "none")]),
    ],
)
def test_nested_settings_are_flat_and_complete(values: dict[str, object], rows: list[tuple[str, str]]) -> None:
    assert list(flatten(values))[:3] == rows
