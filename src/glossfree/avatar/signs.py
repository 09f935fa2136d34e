"""Gloss name -> the sign's parameters, after Stokoe: handshape, place, movement, orientation, hands, face.

The parameters are drawn from the name's SHA-256, so a gloss is the same sign in every corpus and on every machine.
`lexicon` also holds the signs of one inventory apart: any two differ in at least two of the four main parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

HANDSHAPES = (
    "flat", "spread", "four", "fist", "thumb", "index", "gun", "two", "two_closed", "three", "w", "pinky", "horns",
    "plane", "claw", "round", "bent", "hook", "bent_two", "ring", "pinch", "beak",
)  # fmt: skip
PLACES = (
    "forehead", "temple", "cheek", "chin", "near_shoulder", "far_shoulder", "chest", "belly", "high", "middle", "low",
    "across",
)  # fmt: skip
MOVEMENTS = (
    "hold", "up", "down", "inward", "outward", "diagonal", "arc", "circle", "zigzag", "tap", "shake", "wiggle",
    "twist", "grasp", "swing",
)  # fmt: skip
ORIENTATIONS = (
    "front_up", "back_up", "side_up", "front_tilted", "back_inward", "down_inward", "up_inward", "back_down",
)  # fmt: skip
HANDS = ("one", "mirrored", "alternating", "base")
BROWS = ("neutral", "up", "down")
MOUTHS = ("closed", "open", "round", "wide", "smile")
HEADS = ("still", "left", "right", "nod", "shake")

# Two moving hands need room beside the midline; places that lie on it or beyond it serve one hand only.
_PAIRED_PLACES = ("temple", "cheek", "near_shoulder", "chest", "belly", "high", "middle", "low")
MAIN_PARAMETERS = ("handshape", "place", "movement", "orientation")


@dataclass(frozen=True)
class Sign:
    """What a gloss looks like: names out of the tuples above."""

    handshape: str
    place: str
    movement: str
    orientation: str
    hands: str = "one"
    base: str = "flat"  # handshape of the passive hand, where `hands` is "base"
    brows: str = "neutral"
    mouth: str = "closed"
    head: str = "still"

    def differs(self, other: Sign) -> int:
        """In how many of the four main parameters two signs differ, 0-4."""
        return sum(getattr(self, name) != getattr(other, name) for name in MAIN_PARAMETERS)


def candidates(gloss: str) -> Iterator[Sign]:
    """The signs that a gloss could have, most preferred first, without end."""
    for rank in count():
        yield _draw(hashlib.sha256(f"{gloss}/{rank}".encode()).digest())


def sign_of(gloss: str) -> Sign:
    """Gloss name -> its sign, whatever the inventory."""
    return next(candidates(gloss))


def lexicon(glosses: Iterable[str]) -> dict[str, Sign]:
    """Inventory -> {gloss: sign}, every two at least two main parameters apart.

    In sorted order each gloss takes its first candidate that is far enough from all before it, so the result does not
    depend on the order given. PHOENIX14T's 1,073 glosses still have room; in a larger inventory a gloss whose first
    hundred candidates are all too close takes the first that is merely unlike every other sign.
    """
    signs: dict[str, Sign] = {}
    used: set[Sign] = set()
    taken: set[tuple[str, ...]] = set()  # three of a sign's main parameters and the fourth left blank
    for gloss in sorted(set(glosses)):
        far = (sign for sign in islice(candidates(gloss), 100) if taken.isdisjoint(_neighbours(sign)))
        unlike = (sign for sign in candidates(gloss) if sign not in used)
        signs[gloss] = next(far, None) or next(unlike)
        used.add(signs[gloss])
        taken.update(_neighbours(signs[gloss]))
    return signs


def _neighbours(sign: Sign) -> list[tuple[str, ...]]:
    """What two signs share, whatever else they are, when they differ in no more than one main parameter."""
    values = [getattr(sign, name) for name in MAIN_PARAMETERS]
    return [(*values[:blank], "", *values[blank + 1 :]) for blank in range(len(values))]


def _draw(digest: bytes) -> Sign:
    """32 bytes -> Sign; each parameter from four bytes of its own."""
    numbers = iter(int.from_bytes(digest[start : start + 3], "big") for start in range(0, 30, 3))

    def pick(values: tuple[str, ...]) -> str:
        return values[next(numbers) % len(values)]

    hands = pick(("one", "one", "one", "mirrored", "mirrored", "alternating", "base", "base"))
    paired = hands in ("mirrored", "alternating")
    # Half of all signs use each part of the face, the other half leave it at rest.
    return Sign(
        hands=hands,
        place=pick(_PAIRED_PLACES if paired else PLACES),
        handshape=pick(HANDSHAPES),
        movement=pick(MOVEMENTS),
        orientation=pick(ORIENTATIONS),
        base=pick(("flat", "fist", "index", "spread")) if hands == "base" else "flat",
        brows=pick(BROWS),
        mouth=pick(("closed", *MOUTHS)),
        head=pick(("still", "still", *HEADS)),
    )
