"""Numbers in words, read by hand."""

from __future__ import annotations

import pytest

from glossfree.report.numbers import NUMBERS, read_numbers


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("am tag fünf bis fünfundzwanzig grad", [5, 25]),
        ("minus drei im bayerischen wald", [-3]),
        ("ein tief und eine front", []),
        ("minus ein bis plus ein grad", [-1, 1]),
        ("freitag den fünfzehnten august", [15]),
        ("der einunddreissigste und der erste", [31, 1]),
        ("am siebten dritten und achten", [7, 3, 8]),
        ("hundert, aber nicht zweitausenddreihundertvier", [100]),
        ("zwölf sechzehn siebzehn null zwo eins", [12, 16, 17, 0, 2, 1]),
        ("-3 bis 12 grad, 5-10, 2,5 liter, 1.013 hektopascal, 1.013,5", [-3, 12, 5, 10, 2.5, 1013, 1013.5]),
        ("100 m², 3 CO₂ und H₂O, ①", [100, 3]),
        ("erst dritt hunderte tausende zweig vierteln unterhalb", []),
        ("", []),
    ],
)
def test_german(sentence, expected):
    assert read_numbers(sentence, "de") == expected


def test_every_german_number_up_to_a_hundred_is_known():
    assert sorted(set(NUMBERS["de"].values())) == list(range(101))


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("twenty-five degrees", [25]),
        ("nineteen or Ninety-nine", [19, 99]),
        ("five and six, seven eight", [5, 6, 7, 8]),
        ("the twenty first and the fifth, the thirtieth", [21, 5, 30]),
        ("minus four, a hundred people, 1,000 more", [-4, 100, 1000]),
        ("nothing often attend", []),
    ],
)
def test_english(sentence, expected):
    assert read_numbers(sentence, "en_XX") == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("今天二十五度", [25]),
        ("一百零三人，三万二千", [103, 32000]),
        ("二〇二六年十月", [2026, 10]),
        ("零下三度", [-3]),
        ("一起去一下", []),
        ("他有两个孩子 和 15 本书", [2, 15]),
        ("今天２５度 ٣", [25]),
    ],
)
def test_chinese(sentence, expected):
    assert read_numbers(sentence, "zh") == expected


def test_other_languages_have_digits_alone():
    assert read_numbers("op 12 mei om zeven uur", "nl") == [12]
