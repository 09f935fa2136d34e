"""A sentence -> the numbers in it, in digits or in words: German and English up to 99, Chinese; otherwise digits only.

Ordinals count ("fünfzehnten" is 15), and so do signs ("minus drei" is -3). Ambiguous words are left out: German "ein"
(unless in "minus ein" or "ein grad"), a single Chinese 一.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from itertools import pairwise

from glossfree.languages import HALF_WIDTH, profile_of
from glossfree.report.pointing import fold

WORD = re.compile(r"(?:(?<!\S)[-−])?\d+(?:[.,:]\d+)*|[^\W\d_]+")  # "-3" has a sign, "5-10" has none
GERMAN_MEASURES = ("grad", "prozent", "uhr")  # "ein" before one of these is a number
TABLE = tomllib.loads(files("glossfree.report").joinpath("numbers.toml").read_text(encoding="utf-8"))


def _german() -> dict[str, int]:
    table = TABLE["de"]
    units = table["units"]
    tens = [f"{units[unit]}und{ten}" if unit else ten for ten in table["tens"] for unit in range(10)]
    numbers = {word: number for number, word in enumerate(units + tens)}
    for word, number in list(numbers.items()):
        stem = table["ordinals"].get(word, word + ("t" if number < 20 else "st"))
        numbers |= {stem + ending: number for ending in table["endings"]}
    return {**numbers, **table["others"]}


def _english() -> dict[str, int]:
    table = TABLE["en"]
    numbers = {word: number for number, word in enumerate(table["units"])}
    numbers |= {word + "th": number for word, number in numbers.items() if number > 3}
    for ten, word in enumerate(table["tens"], start=2):
        numbers |= {word: 10 * ten, word.removesuffix("y") + "ieth": 10 * ten}
    return {**numbers, **table["others"]}


NUMBERS = {"de": _german(), "en": _english()}
CHINESE_DIGITS = {digit: value for value, digit in enumerate(TABLE["zh"]["digits"])} | TABLE["zh"]["others"]
CHINESE_UNITS = TABLE["zh"]["units"]
CHINESE_NUMBER = re.compile(rf"(零下|负)?([0-9]+(?:[.,][0-9]+)*|[{''.join((*CHINESE_DIGITS, *CHINESE_UNITS))}]+)")


def read_numbers(sentence: str, language: str) -> list[float]:
    """The numbers of a sentence, in order. `language`: ISO 639-1, also as "de_DE"; "" if it is not known: digits."""
    code = profile_of(language).code if language else ""
    if code == "zh":
        matches = CHINESE_NUMBER.findall(sentence.translate(HALF_WIDTH))
        return [(-1 if sign else 1) * _chinese(text) for sign, text in matches if sign or text != "一"]
    numbers: list[float] = []
    words = WORD.findall(fold(sentence))
    for (before, word), (_, after) in pairwise(pairwise(["", *words, ""])):
        value = _digits(word) if word[-1].isdecimal() else NUMBERS.get(code, {}).get(word)
        is_article = code == "de" and word == "ein" and before != "minus" and after not in GERMAN_MEASURES
        if value is None or is_article:
            continue
        if code == "en" and before in TABLE["en"]["tens"] and 0 < value < 10:  # "twenty five"
            numbers[-1] += value if numbers[-1] > 0 else -value
        else:
            numbers.append(float(-value if before == "minus" else value))
    return numbers


def _digits(word: str) -> float:
    """Digits -> a number: 1.013,5 is 1013.5, 2,5 is 2.5; three digits after a separator are thousands."""
    if word[0] in "-−":
        return -_digits(word[1:])
    if re.fullmatch(r"\d{1,3}([.,]\d{3})+", word):
        return float(re.sub("[.,]", "", word))
    integer, fraction = re.fullmatch(r"(.*?)(?:[.,:](\d+))?", word).groups("0")  # type: ignore[union-attr]
    return float(f"{re.sub(r'[.,:]', '', integer)}.{fraction}")


def _chinese(text: str) -> float:
    """Digits, or characters of numbers -> the number: 二十五 25, 一百零三 103, 二〇二六 2026, 三万二千 32000."""
    if text[0].isascii():
        return _digits(text)
    if all(character in CHINESE_DIGITS for character in text):
        return float("".join(str(CHINESE_DIGITS[character]) for character in text))
    total = section = digit = 0
    for character in text:
        size = CHINESE_UNITS.get(character, 0)
        if not size:
            digit = CHINESE_DIGITS[character]
        elif size < 10**4:
            section, digit = section + (digit or 1) * size, 0
        else:
            total, section, digit = (total + section + digit or 1) * size, 0, 0
    return float(total + section + digit)
