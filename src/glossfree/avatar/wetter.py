"""The built-in corpus `wetter`: German weather sentences with their glosses, signed by the avatar.

The sentences are in `wetter.tsv` (split, glosses, text), drawn from the grammar in `tools/wetter`. All texts and all
gloss sequences are distinct, within a split and between splits.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from glossfree.avatar.signing import SignedSentence
from glossfree.avatar.signs import lexicon
from glossfree.corpora.manifest import Clip
from glossfree.errors import CorpusError

FPS = 8.0  # about three frames a sign: the demo draws and learns in minutes
COUNTS: Mapping[str, int] = {"train": 2400, "dev": 200, "test": 240}
CAST = (0, 2, 3, 5)  # four of the nine signers: a demo cannot learn more in minutes


@dataclass(frozen=True)
class WetterSentence:
    """A gloss sequence and its translation."""

    glosses: tuple[str, ...]
    text: str


@cache
def _sentences() -> dict[str, list[WetterSentence]]:
    """The sentences of the data file, by split."""
    rows = files("glossfree.avatar").joinpath("wetter.tsv").read_text(encoding="utf-8").splitlines()[1:]
    by_split: dict[str, list[WetterSentence]] = {}
    for split, glosses, text in (row.split("\t") for row in rows):
        by_split.setdefault(split, []).append(WetterSentence(tuple(glosses.split()), text))
    return by_split


@cache
def inventory() -> tuple[str, ...]:
    """Every gloss of the corpus, sorted."""
    every = (sentence for sentences in _sentences().values() for sentence in sentences)
    return tuple(sorted({gloss for sentence in every for gloss in sentence.glosses}))


def sentences(split: str, count: int, seed: int = 0) -> list[WetterSentence]:
    """`count` sentences of a split: the same for the same arguments, a prefix of any larger count.

    Seed 0 keeps the order of the file. Raises CorpusError: no such split, more than the file holds.
    """
    if split not in _sentences():
        raise CorpusError(f"no split {split!r}", where="wetter", remedy=f"choose one of {', '.join(_sentences())}")
    available = list(_sentences()[split])
    if count > len(available):
        problem = f"{count:,} {split} sentences, but there are only {len(available):,}"
        raise CorpusError(problem, where="wetter", remedy=f"at most --{split} {len(available)}")
    if seed:
        random.Random(f"wetter/{split}/{seed}").shuffle(available)
    return available[:count]


def clips(
    root: Path | None,
    split: str,
    *,
    limit: int | None = None,
    counts: Mapping[str, int] = COUNTS,
    seed: int = 0,
) -> Iterator[Clip]:
    """The clips of a split, drawn by the avatar at FPS frames per second; `root` is not read.

    The clip's id and `seed` determine the signer and the seed of the drawing.
    """
    count = counts.get(split, COUNTS.get(split, 0))
    signs = lexicon(inventory())
    for number, sentence in enumerate(sentences(split, count if limit is None else min(limit, count), seed)):
        clip_id = f"wetter-{split}-{number:05d}"
        digest = hashlib.sha256(f"{clip_id}/{seed}".encode()).digest()
        signer = CAST[digest[0] % len(CAST)]
        signed = tuple(signs[gloss] for gloss in sentence.glosses)
        drawing = SignedSentence(sentence.glosses, signer, int.from_bytes(digest[1:5], "big"), FPS, signed)
        yield Clip(clip_id, split, sentence.text, drawing, f"signer{signer}", drawing.spans, FPS, sentence.glosses)
