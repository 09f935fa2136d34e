"""Signs: chosen from the name alone, distinct, and far apart within an inventory."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from glossfree.avatar import signs
from glossfree.avatar.signs import Sign, candidates, lexicon, sign_of
from glossfree.corpora.phoenix14t import annotation_path, read_annotations


def names(count: int, prefix: str = "G") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def differing(one: Sign, other: Sign) -> int:
    """In how many of the four main parameters two signs differ."""
    return sum(getattr(one, name) != getattr(other, name) for name in signs.MAIN_PARAMETERS)


def test_sign_is_the_same_on_every_machine():
    """Written down once: a change here changes every corpus that was ever drawn."""
    assert sign_of("REGEN") == Sign(
        handshape="bent_two", place="chin", movement="shake", orientation="up_inward", hands="base", base="flat",
        brows="up", mouth="closed", head="shake",
    )  # fmt: skip


def test_every_value_of_every_parameter_occurs():
    drawn = [sign_of(name) for name in names(1500)]
    for field, values in (
        ("handshape", signs.HANDSHAPES), ("place", signs.PLACES), ("movement", signs.MOVEMENTS),
        ("orientation", signs.ORIENTATIONS), ("hands", signs.HANDS), ("brows", signs.BROWS),
        ("mouth", signs.MOUTHS), ("head", signs.HEADS),
    ):  # fmt: skip
        counts = Counter(getattr(sign, field) for sign in drawn)
        assert set(counts) == set(values), field
        assert min(counts.values()) > 20, field


def test_there_is_enough_to_choose_from():
    """At least what the corpus promises: 16 handshapes, 10 places, 8 movements, several orientations."""
    assert len(set(signs.HANDSHAPES)) >= 16
    assert len(set(signs.PLACES)) >= 10
    assert len(set(signs.MOVEMENTS)) >= 8
    assert len(set(signs.ORIENTATIONS)) >= 4


def test_two_moving_hands_have_room_beside_the_midline():
    paired = [sign for name in names(800) if (sign := sign_of(name)).hands in ("mirrored", "alternating")]
    assert paired
    assert not {sign.place for sign in paired} & {"forehead", "chin", "far_shoulder", "across"}


def test_no_two_of_many_names_have_the_same_sign():
    for prefix in ("WETTER", "a", "7"):
        drawn = [sign_of(name) for name in names(200, prefix)]
        assert len(set(drawn)) == len(drawn)


def test_lexicon_keeps_signs_apart_in_any_order():
    inventory = names(163)
    assert min(differing(sign_of(a), sign_of(b)) for a, b in combinations(inventory, 2)) < 2  # so there is work to do
    by_gloss = lexicon(inventory)
    assert list(by_gloss) == sorted(inventory)
    assert by_gloss == lexicon([*inventory[::-1], inventory[3]])
    assert min(differing(a, b) for a, b in combinations(by_gloss.values(), 2)) >= 2


def test_lexicon_takes_the_preferred_sign_where_it_can():
    inventory = names(50)
    by_gloss = lexicon(inventory)
    assert sum(by_gloss[name] == sign_of(name) for name in inventory) > 40
    for name in inventory:
        first = [sign for sign, _ in zip(candidates(name), range(100), strict=False)]
        assert by_gloss[name] in first


def test_lexicon_of_a_huge_inventory_is_still_distinct():
    by_gloss = lexicon(names(1700))
    assert len(set(by_gloss.values())) == 1700


def test_phoenix_glosses_are_far_apart(shared):
    paths = [annotation_path(shared / "phoenix14t", split) for split in ("train", "dev", "test")]
    inventory = {gloss for path in paths for annotation in read_annotations(path) for gloss in annotation.glosses}
    assert len(inventory) == 1073
    by_gloss = lexicon(inventory)
    assert len(set(by_gloss.values())) == 1073
    assert min(differing(a, b) for a, b in combinations(by_gloss.values(), 2)) >= 2
