"""Sentence pairs on which our scores are held equal to the originals': made from word lists, the same on every machine.

It needs nothing but Python, so that each script beside it can import it in the environment of its own package. Every
kind of trouble is there on purpose: dropped, swapped and replaced words, capitals, empty hypotheses, odd spacing,
umlauts, punctuation, numbers such as "3,5" and "18-20", Chinese with and without spaces. No sentence is a corpus's.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable

Pairs = list[tuple[str, str]]  # (hypothesis, reference)

NUM_GERMAN, NUM_CHINESE = 643, 523  # no multiple of a batch or of a number of processes

WHEN = (
    "heute",
    "morgen",
    "am abend",
    "im märz",
    "seit gestern",
    "nächste woche",
    "um zwölf",
    "am späten nachmittag",
    "früh",
    "bald",
)
WHO = (
    "der müller",
    "die bäckerin",
    "unser zug",
    "ein kühler wind",
    "das mädchen",
    "mein großer bruder",
    "der fluss",
    "die köchin",
)
DOES = ("kommt", "geht", "bleibt", "fährt", "zieht", "wächst", "schläft", "backt", "singt", "wartet", "steigt", "läuft")
WHERE = (
    "nach köln",
    "an der küste",
    "über die brücke",
    "im süden",
    "vor dem haus",
    "am rhein",
    "in der küche",
    "auf die straße",
)
HOW = (
    "langsam",
    "schnell",
    "sehr oft",
    "vielleicht",
    "ohne schirm",
    "mit drei äpfeln",
    "fast nie",
    "ganz leise",
    "wieder",
)
NUMBERS = ("3,5 grad", "18-20 uhr", "1.250 meter", "zwei bis vier", "5 %", "minus 7", "nr. 12", "10 km/h")
INFLECTIONS = ("s", "e", "ing")  # what an English stemmer takes off again
ENDINGS = ("", "", "", "", " .", ".", "!", "?", ", oder")

ZH_WHEN = ("今天", "明天", "昨天晚上", "下个星期", "早上八点", "春天", "刚才")
ZH_WHO = ("我", "他的姐姐", "老师", "那个孩子", "我们", "医生", "邻居的狗")
ZH_DOES = ("去", "喜欢", "想买", "看见", "没有找到", "带来了", "正在画", "打扫")
ZH_WHAT = ("学校", "一本书", "两个苹果", "新衣服", "火车站", "WiFi密码", "3.5公斤米", "咖啡")
ZH_HOW = ("跟朋友一起", "慢慢地", "在家里", "因为下雨", "非常高兴地", "第一次")
ZH_ENDINGS = ("", "", "", "。", "？", "，对吗？", "!")


def sha256(pairs: Pairs) -> str:
    """What the stored values were made from, to be compared with what is scored."""
    return hashlib.sha256(json.dumps(pairs, ensure_ascii=False).encode()).hexdigest()


def lower(pairs: Pairs) -> Pairs:
    """Both sides in lower case."""
    return [(a.lower(), b.lower()) for a, b in pairs]


def ended(pairs: Pairs) -> Pairs:
    """Both sides with the full stop that some code puts behind them, and that is part of the data of other code."""
    return [(f"{a} .", f"{b} .") for a, b in pairs]


def characters(pairs: Pairs) -> Pairs:
    """Both sides cut into characters, joined by blanks. CSL-Daily has no white space; where there is some, it goes."""
    return [(" ".join("".join(a.split())), " ".join("".join(b.split()))) for a, b in pairs]


def _words(rng: random.Random, parts: list[tuple[str, ...] | list[str]]) -> list[str]:
    return [word for part in parts for word in rng.choice(part).split(" ")]


def _perturbed(rng: random.Random, words: list[str], others: list[str], ends: tuple[str, ...]) -> list[str]:
    """Words of a reference -> of a hypothesis: some as they are, others dropped, swapped, doubled, bent or replaced."""
    words = list(words)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 5))):
        if not words:
            break
        place, what = rng.randrange(len(words)), rng.random()
        if what < 0.3:
            del words[place]
        elif what < 0.5:
            other = rng.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        elif what < 0.6:
            words.insert(place, words[place])
        elif what < 0.7:
            words[place] += rng.choice(ends)
        else:
            words[place] = rng.choice(others)
    return words


def _spaced_oddly(rng: random.Random, text: str) -> str:
    """A text with a double blank within, or blanks around it; one in six."""
    what = rng.random()
    if what < 0.06:
        return text.replace(" ", "  ", 1)
    if what < 0.10:
        return " " + text
    if what < 0.14:
        return text + "  "
    return f"\t{text} " if what < 0.16 else text


def german() -> Pairs:
    """NUM_GERMAN pairs, everything of the list above in them."""
    rng = random.Random(5)
    pairs = []
    for _ in range(NUM_GERMAN):
        parts = [WHEN, WHO, DOES, HOW, WHERE][: rng.choice((2, 3, 5, 5, 5, 5))]
        reference = _words(rng, [*parts, *([NUMBERS] if rng.random() < 0.3 else [])])
        others = _words(rng, [WHEN, WHO, DOES, WHERE, HOW, NUMBERS])
        hypothesis = _perturbed(rng, reference, others, INFLECTIONS)
        ending = rng.choice(ENDINGS)
        said = " ".join(hypothesis) + (ending if rng.random() < 0.7 else rng.choice(ENDINGS))
        if rng.random() < 0.2:
            said = said.capitalize()
        if rng.random() < 0.05:
            said = ""
        pairs.append((_spaced_oddly(rng, said), _spaced_oddly(rng, " ".join(reference) + ending)))
    return pairs


def chinese() -> Pairs:
    """NUM_CHINESE pairs without a space in them, as CSL-Daily's sentences are written."""
    rng = random.Random(7)
    pairs = []
    for _ in range(NUM_CHINESE):
        parts = [ZH_WHEN, ZH_WHO, ZH_HOW, ZH_DOES, ZH_WHAT][: rng.choice((2, 4, 5, 5, 5))]
        reference = "".join(_words(rng, [*parts]))
        others = list("".join(_words(rng, [ZH_WHEN, ZH_WHO, ZH_DOES, ZH_WHAT])))
        said = "".join(_perturbed(rng, list(reference), others, ("的", "了")))
        ending = rng.choice(ZH_ENDINGS)
        said += ending if rng.random() < 0.7 else rng.choice(ZH_ENDINGS)
        pairs.append(("" if rng.random() < 0.05 else said, reference + ending))
    return pairs


def chinese_spaced() -> Pairs:
    """The same with spaces between some characters, as some tokenizers write them: other spaces on either side."""
    rng = random.Random(11)

    def spaced(text: str) -> str:
        return "".join(rng.choice(("", "", "", " ", " ", "  ")) + character for character in text)

    return [(spaced(hypothesis), spaced(reference)) for hypothesis, reference in chinese()]


def stripped() -> Pairs:
    """The German pairs without blanks around them: for code that reads its sentences line by line and strips them."""
    return [(hypothesis.strip(), reference.strip()) for hypothesis, reference in german()]


SETS: dict[str, Callable[[], Pairs]] = {
    "german": german,
    "german-stripped": stripped,
    "chinese": chinese,
    "chinese-spaced": chinese_spaced,
}
