"""Constructions of the `wetter` grammar: both orders, agreement, and nothing but letters."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from tools.wetter import grammar, outlook, words
from tools.wetter.phrases import Scene
from tools.wetter.sentences import CONSTRUCTIONS

from glossfree.avatar import wetter


def drafts(construction: grammar.Construction, count: int = 400) -> list[tuple[list[str], str]]:
    rng = random.Random(11)
    return [construction(Scene(rng)) for _ in range(count)]


def test_there_are_many_constructions() -> None:
    assert len(CONSTRUCTIONS) >= 14


@pytest.mark.parametrize("construction", CONSTRUCTIONS, ids=lambda construction: construction.__name__)
def test_a_construction_fills_its_slots_and_spells_words(construction) -> None:
    found = drafts(construction)
    assert len({text for _, text in found}) >= 60
    assert {gloss for glosses, _ in found for gloss in glosses} <= set(wetter.inventory())
    assert all(re.fullmatch(r"[a-zäöüß]+( [a-zäöüß]+)*", text) for _, text in found)
    tokens = [text.split() for _, text in found]
    assert not [text for text in tokens if any(one == two for one, two in pairwise(text))]


@pytest.mark.parametrize(
    ("construction", "gloss", "starts"),
    [(grammar.absent, "KEIN", ("kein",)), (grammar.possible, "MOEGLICH", ("kann", "können"))],
)
def test_a_comment_gloss_comes_last_but_its_word_does_not(construction, gloss: str, starts: tuple[str, ...]) -> None:
    for glosses, text in drafts(construction, 60):
        tokens = text.split()
        assert glosses[-1] == gloss
        assert 0 < next(i for i, token in enumerate(tokens) if token.startswith(starts)) < len(tokens) - 1


def test_place_comes_before_a_part_of_the_day_but_after_a_named_day() -> None:
    orders = {"am abend": 0, "heute": 0}
    for glosses, text in drafts(grammar.weather, 1500):
        if glosses[0] == "ABEND" and len(glosses) > 2 and glosses[1] in ("ALPEN", "KUESTE", "BAYERN", "MITTE"):
            assert text.index("am abend") > 0
            orders["am abend"] += 1
        if glosses[0] == "HEUTE" and glosses[1] in ("ALPEN", "KUESTE", "BAYERN", "MITTE"):
            assert text.startswith("heute")
            orders["heute"] += 1
    assert min(orders.values()) > 0


def test_warnings_take_the_dative() -> None:
    found = " / ".join(text for _, text in drafts(outlook.warning, 2000))
    for phrase in ("vor heftigen gewittern gewarnt", "vor dichtem nebel gewarnt", "vor schwerem sturm gewarnt"):
        assert phrase in found
    assert not re.search(r"vor (heftige|dichter|schwerer) ", found)


def test_only_and_even_compare_two_temperatures() -> None:
    value = {words.number(number)[1]: number for number in range(-39, 40)}
    pattern = re.compile(r"((?:minus )?\w+) grad .* und (nur|sogar) ((?:minus )?\w+) grad ")
    for glosses, text in drafts(grammar.two_temperatures, 300):
        first, adverb, second = pattern.search(text).groups()
        if first in value:  # "heute null": the word before may belong to the time
            assert (value[second] < value[first]) == (adverb == "nur"), text
        assert glosses[-1] == "GRAD"


def test_wishes_agree_with_what_is_wished() -> None:
    found = " / ".join(text for _, text in drafts(outlook.farewell, 600))
    for phrase in ("einen schönen abend", "ein schönes wochenende", "eine gute nacht", "eine ruhige woche"):
        assert phrase in found


def test_air_is_compared_and_flows_somewhere() -> None:
    found = [text for _, text in drafts(outlook.air, 900)]
    assert any("kältere luft" in text for text in found) and any("milde luft" in text for text in found)
    assert all(" von " in text or " vom " in text for text in found)


def test_gloss_order_is_not_word_order() -> None:
    """Glosses whose word begins like them come in another order in a good part of the sentences."""
    moved = aligned = 0
    for sentence in wetter.sentences("train", 300):
        stems = [
            gloss.lower().replace("ue", "ü").replace("oe", "ö").replace("ae", "ä")[:4] for gloss in sentence.glosses
        ]
        where = [sentence.text.find(stem) for stem in stems]
        found = [position for position in where if position >= 0]
        if len(found) >= 3:
            aligned += 1
            moved += found != sorted(found)
    assert aligned > 100 and moved / aligned > 0.3
