"""The sentences that the grammar of `wetter` draws, and the data file made of them."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import islice

import pytest
from tools.wetter import sentences
from tools.wetter.sentences import OUT, draw, split_of

from glossfree.avatar import wetter


@pytest.mark.slow
def test_the_data_file_is_what_the_tool_writes() -> None:
    """Of each split the first quarter; the rest is held to be sentences of their split, each of them once."""
    header, *lines = OUT.read_text(encoding="utf-8").splitlines()
    rows = [tuple(line.split("\t")) for line in lines]
    assert header == "split\tglosses\ttext" and len({glosses for _, glosses, _ in rows}) == len(rows)
    assert all(split_of(text) == split_of(glosses) == split for split, glosses, text in rows)
    for split, count in sentences.COUNTS.items():
        own = [(glosses, text) for name, glosses, text in rows if name == split]
        assert len(own) == len({text for _, text in own}) == count
        drawn = islice(sentences.sentences(split), count // 4)
        assert own[: count // 4] == [(" ".join(glosses), text) for glosses, text in drawn]


def test_the_inventory_is_what_the_grammar_signs() -> None:
    rng = random.Random(2)
    assert {gloss for _ in range(3000) for gloss in draw(rng)[0]} <= set(wetter.inventory())


def test_the_split_of_a_sentence_depends_on_nothing_but_the_sentence() -> None:
    for split in ("train", "dev", "test"):
        for glosses, text in islice(sentences.sentences(split), 40):
            assert split_of(text) == split_of(" ".join(glosses)) == split


def test_split_of_is_the_same_in_every_process() -> None:
    texts = ("heute regnet es", "morgen schneit es", "es stürmt", "am montag wird es mild")
    assert [split_of(text) for text in texts] == ["train", "dev", "train", "dev"]


def test_five_thousand_distinct_sentences() -> None:
    rng = random.Random(0)
    assert len({draw(rng)[1] for _ in range(5300)}) >= 5000


def test_glosses_determine_the_sentence() -> None:
    rng = random.Random(1)
    texts: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for _ in range(20_000):
        glosses, text = draw(rng)
        texts[glosses].add(text)
    ambiguous = sum(len(found) > 1 for found in texts.values())
    assert ambiguous / len(texts) < 0.02
