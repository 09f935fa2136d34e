"""A sentence -> the numbers in it, written in digits or in words: German, English, Chinese; else digits alone.

An ordinal counts as its number ("fünfzehnten" is 15), a sign before it belongs to it ("minus drei" is -3). What is as
often no number is left out: German "ein" (but not "minus ein", "ein grad"), Chinese 一 standing alone. English
"second" counts. Fractions in words ("anderthalb", "zwei komma fünf") are not read as one number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from glossfree.report.spans import fold
from glossfree.scoring.conventions import base_language

WORD = re.compile(r"(?:(?<!\S)[-−])?\d+(?:[.,:]\d+)*|[^\W\d_]+")  # "-3" has a sign, the second number of "5-10" none

GERMAN_UNITS = ("ein", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun")
GERMAN_TEENS = (
    *("zehn", "elf", "zwoelf", "dreizehn", "vierzehn", "fuenfzehn"),
    *("sechzehn", "siebzehn", "achtzehn", "neunzehn"),
)
GERMAN_TENS = ("zwanzig", "dreissig", "vierzig", "fuenfzig", "sechzig", "siebzig", "achtzig", "neunzig")
GERMAN_OTHERS = {"null": 0, "eins": 1, "zwo": 2}
GERMAN_ORDINALS = {"erst": 1, "dritt": 3, "siebt": 7, "acht": 8}  # stems; all others end in t or st
GERMAN_ENDINGS = ("en", "er", "es", "em", "e")
GERMAN_MEASURES = ("grad", "prozent", "uhr")  # "ein" before one of these is a number

ENGLISH_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ENGLISH_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"),
    *("sixteen", "seventeen", "eighteen", "nineteen"),
)
ENGLISH_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ENGLISH_ORDINALS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fifth": 5,
    "eighth": 8,
    "ninth": 9,
    "twelfth": 12,
    **{word.removesuffix("y") + "ieth": 10 * ten for ten, word in enumerate(ENGLISH_TENS, start=2)},
}
ENGLISH_GROUPS = {"hundred": 100, "thousand": 1000}

CHINESE_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
CHINESE_GROUPS = {"万": 10**4, "亿": 10**8}
CHINESE_NUMBER = re.compile(
    rf"(零下|负)?(\d+(?:[.,]\d+)*|[{''.join((*CHINESE_DIGITS, *CHINESE_UNITS, *CHINESE_GROUPS))}]+)"
)


def numbers(sentence: str, language: str) -> list[float]:
    """The numbers of a sentence, in order. `language`: ISO 639-1, "de_DE" and the like too."""
    code = base_language(language)
    if code == "zh":
        return _chinese(sentence)
    words = WORD.findall(sentence.lower())
    if code == "de":
        return _german(words)
    return _english(words) if code == "en" else [_digits(word) for word in words if word[-1].isdigit()]


def _digits(word: str) -> float:
    """Digits with marks -> a number: 1.013,5 is 1013.5, 2,5 is 2.5; three digits behind a mark are thousands."""
    if word[0] in "-−":
        return -_digits(word[1:])
    if re.fullmatch(r"\d{1,3}([.,]\d{3})+", word):
        return float(re.sub("[.,]", "", word))
    whole, mark, rest = re.fullmatch(r"(.*?)(?:([.,:])(\d+))?", word).groups("")  # type: ignore[union-attr]
    whole = re.sub(r"\D", "", whole)
    return float(f"{whole}.{rest}" if mark else whole)


def _german_below_hundred() -> dict[str, int]:
    known = {word: value for value, word in enumerate(GERMAN_UNITS, start=1)}
    known |= {word: value for value, word in enumerate(GERMAN_TEENS, start=10)}
    known |= {word: 10 * value for value, word in enumerate(GERMAN_TENS, start=2)}
    for ten, word in enumerate(GERMAN_TENS, start=2):
        known |= {f"{unit}und{word}": 10 * ten + value for value, unit in enumerate(GERMAN_UNITS, start=1)}
    return known | GERMAN_OTHERS


GERMAN = _german_below_hundred()


def _german_value(word: str) -> int | None:
    """One word in lower case, umlauts written out -> its number; None for any other word."""
    value = _german_cardinal(word)
    if value is not None:
        return value
    ending = next((ending for ending in GERMAN_ENDINGS if word.endswith(ending)), None)
    if ending is None:
        return None
    stem = word.removesuffix(ending)
    if stem in GERMAN_ORDINALS:
        return GERMAN_ORDINALS[stem]
    for mark in ("st", "t"):  # zwanzigste, vierte
        value = _german_cardinal(stem.removesuffix(mark)) if stem.endswith(mark) else None
        if value is not None and (value % 100 >= 20 or value % 100 == 0) == (mark == "st"):
            return value
    return None


def _german_cardinal(word: str) -> int | None:
    if word in GERMAN:
        return GERMAN[word]
    for name, size in (("tausend", 1000), ("hundert", 100)):
        before, found, after = word.partition(name)
        if found:
            count = 1 if not before else _german_cardinal(before)
            rest = 0 if not after else _german_cardinal(after.removeprefix("und"))
            return None if count is None or rest is None or rest >= size else count * size + rest
    return None


def _german(words: Sequence[str]) -> list[float]:
    found = []
    for position, word in enumerate(words):
        before = words[position - 1] if position else ""
        after = words[position + 1] if position + 1 < len(words) else ""
        if word == "ein" and before != "minus" and after not in GERMAN_MEASURES:
            continue
        value = _digits(word) if word[-1].isdigit() else _german_value(fold(word))
        if value is not None:
            found.append(-float(value) if before == "minus" else float(value))
    return found


def _english_words() -> dict[str, int]:
    known = {word: value for value, word in enumerate((*ENGLISH_UNITS, *ENGLISH_TEENS), start=1)}
    known |= {word: 10 * value for value, word in enumerate(ENGLISH_TENS, start=2)} | {"zero": 0}
    regular = {f"{word}th": value for word, value in known.items() if 3 < value < 20}
    return known | regular | ENGLISH_ORDINALS


ENGLISH = _english_words()


def _english(words: Sequence[str]) -> list[float]:
    """Words are joined where they make one number: "twenty five", "two hundred and five", "three thousand"."""
    found: list[float] = []
    signs: list[int] = []
    previous = None  # the last word of a number that the next word may go on with
    for position, word in enumerate(words):
        value = _digits(word) if word[-1].isdigit() else float(ENGLISH.get(word, ENGLISH_GROUPS.get(word, -1)))
        if word == "and" and previous in ENGLISH_GROUPS:
            continue
        if value < 0 and not word[-1].isdigit():
            previous = None
            continue
        if word in ENGLISH_GROUPS and previous is not None:
            small = found[-1] % 100 if word == "hundred" else found[-1]
            found[-1] += small * (value - 1)
        elif previous in ENGLISH_GROUPS or (previous in ENGLISH_TENS and 0 < value < 10):
            found[-1] += value
        else:
            found.append(value)
            signs.append(-1 if position and words[position - 1] == "minus" else 1)
        previous = word
    return [sign * value for sign, value in zip(signs, found, strict=True)]


def _chinese(sentence: str) -> list[float]:
    found = []
    for match in CHINESE_NUMBER.finditer(sentence):
        sign, text = match.groups()
        if text[0].isdigit() and text[0].isascii():
            value = _digits(text)
        elif text == "一" and not sign:
            continue
        else:
            value = float(_chinese_value(text))
        found.append(-value if sign else value)
    return found


def _chinese_value(text: str) -> int:
    """Characters of numbers -> the number: 二十五 25, 一百零三 103, 二〇二六 2026, 三万二千 32000."""
    if all(character in CHINESE_DIGITS for character in text):
        return int("".join(str(CHINESE_DIGITS[character]) for character in text))
    total = section = digit = 0
    for character in text:
        if character in CHINESE_DIGITS:
            digit = CHINESE_DIGITS[character]
        elif character in CHINESE_UNITS:
            section += (digit or 1) * CHINESE_UNITS[character]
            digit = 0
        else:
            total = (total + section + digit or 1) * CHINESE_GROUPS[character]
            section = digit = 0
    return total + section + digit
