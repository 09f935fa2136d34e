"""Endings, numbers and tables of the `wetter` grammar, against German as it is spoken."""

from __future__ import annotations

import pytest
from tools.wetter import words


@pytest.mark.parametrize(
    ("value", "glosses", "word"),
    [
        (0, "NULL", "null"), (1, "EINS", "ein"), (-1, "MINUS EINS", "minus ein"), (7, "SIEBEN", "sieben"),
        (12, "ZWOELF", "zwölf"), (13, "DREI ZEHN", "dreizehn"), (16, "SECHS ZEHN", "sechzehn"),
        (17, "SIEBEN ZEHN", "siebzehn"), (20, "ZWANZIG", "zwanzig"), (21, "EINS ZWANZIG", "einundzwanzig"),
        (25, "FUENF ZWANZIG", "fünfundzwanzig"), (-14, "MINUS VIER ZEHN", "minus vierzehn"),
        (30, "DREISSIG", "dreißig"), (37, "SIEBEN DREISSIG", "siebenunddreißig"),
    ],
)  # fmt: skip
def test_number(value: int, glosses: str, word: str) -> None:
    assert words.number(value) == (tuple(glosses.split()), word)


def test_every_number_is_another_word_and_another_sequence() -> None:
    numbers = [words.number(value) for value in range(-39, 40)]
    assert len({glosses for glosses, _ in numbers}) == len({word for _, word in numbers}) == 79


@pytest.mark.parametrize(
    ("day", "word"),
    [(1, "ersten"), (2, "zweiten"), (3, "dritten"), (7, "siebten"), (8, "achten"), (12, "zwölften"),
     (19, "neunzehnten"), (20, "zwanzigsten"), (23, "dreiundzwanzigsten"), (30, "dreißigsten")],
)  # fmt: skip
def test_ordinal(day: int, word: str) -> None:
    assert words.ordinal(day) == (words.number(day)[0], word)


@pytest.mark.parametrize(
    ("noun", "stem", "case", "phrase"),
    [
        (words.REGEN, "kräftig", "nom", "kräftiger regen"),
        (words.REGEN, "kräftig", "acc", "kräftigen regen"),
        (words.REGEN, "kräftig", "dat", "kräftigem regen"),
        (words.GEWITTER, "heftig", "nom", "heftige gewitter"),
        (words.GEWITTER, "heftig", "dat", "heftigen gewittern"),
        (words.GLAETTE, "gefährlich", "dat", "gefährlicher glätte"),
        (words.GLATTEIS, "gefährlich", "nom", "gefährliches glatteis"),
        (words.GLATTEIS, "gefährlich", "dat", "gefährlichem glatteis"),
        (words.STURMBOEEN, "schwer", "dat", "schweren sturmböen"),
        (words.NEBELFELDER, "", "dat", "nebelfeldern"),
    ],
)
def test_adjectives_agree(noun: words.Noun, stem: str, case: str, phrase: str) -> None:
    assert noun.with_adjective(stem, case) == phrase


def test_articles_agree() -> None:
    assert [noun.negated() for noun in (words.REGEN, words.GLAETTE, words.GLATTEIS, words.BOEEN)] == [
        "keinen regen", "keine glätte", "kein glatteis", "keine böen",
    ]  # fmt: skip
    assert [noun.definite() for noun in (words.NEBEL, words.SONNE, words.GLATTEIS, words.WOLKEN)] == [
        "der nebel", "die sonne", "das glatteis", "die wolken",
    ]  # fmt: skip


def test_places_are_told_apart_by_glosses_and_by_words() -> None:
    places = list(words.PLACES)
    assert len({place.glosses for place in places}) == len({place.at for place in places}) == len(places) >= 45
    assert any(len(place.glosses) == 3 and len(place.at.split()) == 3 for place in places)  # nordseeküste


def test_verbs_put_their_particle_before_the_infinitive() -> None:
    assert words.Verb("löst", "lösen", "auf", True).infinitive == "auflösen"
    assert words.Verb("ist", "sind", stem="sein").infinitive == "sein"
