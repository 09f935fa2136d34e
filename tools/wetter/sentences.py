"""Draws the sentences of the corpus `wetter` from the grammar and writes them to `src/glossfree/avatar/wetter.tsv`.

Run from the top of the checkout, about a minute: `python -m tools.wetter.sentences`.

A sentence belongs to one split for good: its text and its gloss sequence are each hashed to a split, and a sentence
whose two splits differ belongs to none. So no text and no gloss sequence of one split can appear in another. Within a
split both are distinct.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tools.wetter import grammar, outlook
from tools.wetter.phrases import Scene

OUT = Path(__file__).parents[2] / "src/glossfree/avatar/wetter.tsv"
COUNTS = {"train": 4000, "dev": 600, "test": 600}  # the file stays below 500 kB
SHARES = {"train": 0.5, "dev": 0.25, "test": 0.25}  # of the hash space
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
# Every third sentence is the one of twelve whose rarest gloss was drawn least often: so each gloss occurs often enough.
BALANCED_EVERY, CANDIDATES = 3, 12
# Each gloss beyond four makes a sentence half as likely: a model learns from short sentences first.
USUAL, LONGER = 4, 0.5

Sentence = tuple[tuple[str, ...], str]  # glosses, text


def split_of(value: str) -> str:
    """A text, or glosses joined by spaces -> the split that its hash falls into."""
    point = int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big") / 2**64
    for split, share in SHARES.items():
        point -= share
        if point < 0:
            return split
    return "train"


def draw(rng: random.Random) -> Sentence:
    """One sentence of the grammar, of any split."""
    while True:
        construction = rng.choices(list(CONSTRUCTIONS), list(CONSTRUCTIONS.values()))[0]
        glosses, text = construction(Scene(rng))
        extra = max(0, len(glosses) - USUAL)
        if grammar.FEWEST <= len(glosses) <= grammar.MOST and rng.random() < LONGER**extra:
            return tuple(glosses), text


def sentences(split: str) -> Iterator[Sentence]:
    """The distinct sentences of one split, without end."""
    rng = random.Random(f"wetter/{split}/0")
    seen: set[object] = set()
    counts: Counter[str] = Counter()

    def unseen() -> Sentence:
        while True:
            glosses, text = draw(rng)
            if split_of(text) == split_of(" ".join(glosses)) == split and not seen & {text, glosses}:
                return glosses, text

    number = 0
    while True:
        candidates = [unseen() for _ in range(CANDIDATES if number % BALANCED_EVERY == 0 else 1)]
        glosses, text = min(candidates, key=lambda sentence: min(counts[gloss] for gloss in sentence[0]))
        seen |= {text, glosses}
        counts.update(set(glosses))
        number += 1
        yield glosses, text


def table() -> str:
    """The whole data file as text."""
    lines = ["split\tglosses\ttext"]
    for split, count in COUNTS.items():
        lines += [f"{split}\t{' '.join(glosses)}\t{text}" for glosses, text in islice(sentences(split), count)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    OUT.write_text(table(), encoding="utf-8")
