"""The built-in corpus `wetter`: German weather sentences with their glosses, signed by the avatar.

A sentence belongs to one split for good: its text and its gloss sequence are each hashed to a split, and a sentence
whose two splits differ belongs to none. So no text and no gloss sequence of one split can appear in another, however
many are drawn. Within a split both are distinct.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glossfree.avatar import wetter_grammar as grammar
from glossfree.avatar import wetter_outlook as outlook
from glossfree.avatar.signing import SignedSentence
from glossfree.avatar.signs import lexicon
from glossfree.avatar.wetter_phrases import Scene
from glossfree.corpora.manifest import SPLITS, Clip
from glossfree.errors import CorpusError

FPS = 8.0  # about three frames a sign: a demo must be drawn and learnt in minutes
COUNTS: Mapping[str, int] = {"train": 2400, "dev": 200, "test": 240}
GLOSSES: tuple[str, ...] = (
    "ABEND", "ABER", "ACHT", "ALPEN", "ANFANG", "APRIL", "ATLANTIK", "AUCH", "AUFPASSEN", "AUGUST", "AUSBREITEN",
    "BAYERN", "BERG", "BERLIN", "BIS", "BLEIBEN", "BODEN", "BOE", "BRINGEN", "DANN", "DEUTSCHLAND", "DEZEMBER",
    "DIENSTAG", "DONAU", "DONNERSTAG", "DREHEN", "DREI", "DREISSIG", "EINS", "EINZELN", "EIS", "ELBE", "ELF",
    "ENDE", "ENGLAND", "ERWARTEN", "FEBRUAR", "FELD", "FEUCHT", "FRANKEN", "FRANKREICH", "FREITAG", "FREUNDLICH",
    "FRONT", "FROST", "FRUEH", "FRUEHLING", "FUENF", "GEBIET", "GEFAHR", "GEWITTER", "GLATT", "GRAD", "GRAU",
    "GRENZE", "GUT", "HAGEL", "HARZ", "HEISS", "HERBST", "HESSEN", "HEUTE", "HOCH", "HOECHST", "HUNDERT", "INSEL",
    "ITALIEN", "JANUAR", "JULI", "JUNI", "KALT", "KEIN", "KLAR", "KOMMEN", "KUEHL", "KUESTE", "LANG", "LANGSAM",
    "LEICHT", "LUFT", "MAERZ", "MAESSIG", "MAI", "MANCHMAL", "MEHR", "METER", "MILD", "MINUS", "MITTAG", "MITTE",
    "MITTWOCH", "MOEGLICH", "MONTAG", "MORGEN", "NACHMITTAG", "NACHT", "NAECHST", "NASS", "NEBEL", "NEU", "NEUN",
    "NICHT", "NIESEL", "NOCH", "NORD", "NOVEMBER", "NULL", "OKTOBER", "OST", "POLEN", "RAND", "REGEN", "RHEIN",
    "RUHIG", "SACHSEN", "SAMSTAG", "SCHAUER", "SCHNEE", "SCHOEN", "SCHWARZ", "SCHWUEL", "SECHS", "SEE", "SEHEN",
    "SEPTEMBER", "SIEBEN", "SINKEN", "SOMMER", "SONNE", "SONNTAG", "STARK", "STEIGEN", "STRASSE", "STUNDE",
    "STURM", "SUED", "TAG", "TAL", "TEMPERATUR", "THUERINGEN", "TIEF", "TROCKEN", "TRUEB", "UEBERMORGEN", "VIEL",
    "VIER", "WALD", "WARM", "WARNUNG", "WASSER", "WECHSEL", "WECHSELHAFT", "WEG", "WENIG", "WERDEN", "WEST",
    "WETTER", "WIEDER", "WIND", "WINTER", "WO", "WOCHE", "WOCHENENDE", "WOLKE", "WUENSCHEN", "ZEHN", "ZENTIMETER",
    "ZIEHEN", "ZUSCHAUER", "ZWANZIG", "ZWEI", "ZWOELF",
)  # fmt: skip
_SHARES = {"train": 0.5, "dev": 0.25, "test": 0.25}  # of the hash space
_BALANCED_EVERY, _CANDIDATES = 3, 12
CAST = (0, 2, 3, 5)  # of the nine signers, who differ in body, colours, pace and wall: as many as minutes suffice for
# Each gloss beyond four makes a sentence 0.5 times as likely: who learns from whole sentences learns from short ones
# first, and a forecast has both.
USUAL, LONGER = 4, 0.5


@dataclass(frozen=True)
class WetterSentence:
    """What is signed and what is said."""

    glosses: tuple[str, ...]
    text: str


def split_of(value: str) -> str:
    """A text or a gloss sequence joined by spaces -> the split its hash falls into."""
    point = int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") / 2**64
    for split in SPLITS:
        point -= _SHARES[split]
        if point < 0:
            return split
    return SPLITS[0]


CONSTRUCTIONS: dict[grammar.Construction, float] = {
    grammar.weather: 16,
    grammar.possible: 6,
    grammar.absent: 4,
    grammar.temperature: 8,
    grammar.degrees: 6,
    grammar.two_temperatures: 5,
    grammar.two_places: 8,
    grammar.first_then: 5,
    grammar.wind: 7,
    grammar.change: 7,
    grammar.alternate: 4,
    outlook.system: 7,
    outlook.air: 5,
    outlook.path: 8,
    outlook.warning: 7,
    outlook.outlook: 11,
    outlook.expected: 5,
    outlook.where: 5,
    outlook.snow: 4,
    outlook.sunshine: 2.5,
    outlook.header: 2.5,
    outlook.greeting: 2.5,
    outlook.farewell: 2,
}


def draw(rng: random.Random) -> WetterSentence:
    """One sentence of the grammar, of any split."""
    while True:
        construction = rng.choices(list(CONSTRUCTIONS), list(CONSTRUCTIONS.values()))[0]
        glosses, text = construction(Scene(rng))
        extra = max(0, len(glosses) - USUAL)
        if grammar.FEWEST <= len(glosses) <= grammar.MOST and rng.random() < LONGER**extra:
            return WetterSentence(tuple(glosses), text)


def _stream(split: str, seed: int) -> Iterator[WetterSentence]:
    """The endless sequence of distinct sentences of one split.

    Every few sentences the one with the rarest gloss so far is taken out of several, so that no gloss is left behind.
    """
    rng = random.Random(f"wetter/{split}/{seed}")
    seen: set[object] = set()
    counts: Counter[str] = Counter()

    def fresh() -> WetterSentence:
        while True:
            sentence = draw(rng)
            if split != split_of(sentence.text) or split != split_of(" ".join(sentence.glosses)):
                continue
            if sentence.text not in seen and sentence.glosses not in seen:
                return sentence

    number = 0
    while True:
        candidates = [fresh() for _ in range(_CANDIDATES if number % _BALANCED_EVERY == 0 else 1)]
        chosen = min(candidates, key=lambda sentence: min(counts[gloss] for gloss in sentence.glosses))
        seen |= {chosen.text, chosen.glosses}
        counts.update(set(chosen.glosses))
        number += 1
        yield chosen


def sentences(split: str, count: int, seed: int = 0) -> list[WetterSentence]:
    """The first `count` sentences of a split: the same for the same arguments, a prefix of any larger count."""
    if split not in SPLITS:
        raise CorpusError(f"no split {split!r}", where="wetter", remedy=f"choose one of {', '.join(SPLITS)}")
    stream = _stream(split, seed)
    return [next(stream) for _ in range(count)]


def clips(
    root: Path | None,
    split: str,
    *,
    limit: int | None = None,
    counts: Mapping[str, int] = COUNTS,
    seed: int = 0,
) -> Iterator[Clip]:
    """The clips of a split, drawn by the avatar at FPS frames per second; `root` is not read.

    The signer and the drawing's seed follow from the clip's id and `seed`.
    """
    count = counts.get(split, COUNTS.get(split, 0))
    signs = lexicon(GLOSSES)
    for number, sentence in enumerate(sentences(split, count if limit is None else min(limit, count), seed)):
        clip_id = f"wetter-{split}-{number:05d}"
        digest = hashlib.sha256(f"{clip_id}/{seed}".encode()).digest()
        signer = CAST[digest[0] % len(CAST)]
        chosen = tuple(signs[gloss] for gloss in sentence.glosses)
        drawing = SignedSentence(sentence.glosses, signer, int.from_bytes(digest[1:5], "big"), FPS, chosen)
        yield Clip(clip_id, split, sentence.text, drawing, f"signer{signer}", drawing.spans, FPS)
