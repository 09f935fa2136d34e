"""Gloss name -> the sign's parameters, after Stokoe: handshape, place, movement, orientation, hands, face.

The parameters are drawn from the SHA-256 of the name, so a gloss is the same sign in every corpus, on every machine.
`lexicon` also keeps the signs of one inventory apart. Lengths are fractions of the frame's side; (outward, up, forward)
are measured from the middle of the shoulders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

# Index, middle, ring, little finger (1 extended, 0 folded into the palm, c curved, b bent at the knuckle, o meets the
# thumb); how far the fingers are spread; where the thumb is.
HANDSHAPES = {
    "flat": ("1111", 0.0, "in"), "spread": ("1111", 1.0, "out"), "four": ("1111", 0.8, "across"),
    "fist": ("0000", 0.0, "across"), "thumb": ("0000", 0.0, "out"), "index": ("1000", 0.0, "across"),
    "gun": ("1000", 0.0, "out"), "two": ("1100", 1.2, "across"), "two_closed": ("1100", 0.0, "across"),
    "three": ("1100", 1.0, "out"), "w": ("1110", 1.0, "across"), "pinky": ("0001", 0.4, "across"),
    "horns": ("1001", 0.4, "across"), "plane": ("0001", 0.8, "out"), "claw": ("cccc", 1.0, "out"),
    "round": ("cccc", 0.0, "meet"), "bent": ("bbbb", 0.0, "in"), "hook": ("c000", 0.0, "across"),
    "bent_two": ("cc00", 1.0, "across"), "ring": ("o111", 0.8, "meet"), "pinch": ("o000", 0.0, "meet"),
    "beak": ("bbbb", 0.0, "meet"),
}  # fmt: skip
PLACES = {  # of the centre of the signing hand
    "forehead": (0.03, 0.33, 0.12), "temple": (0.17, 0.30, 0.08), "cheek": (0.15, 0.19, 0.10),
    "chin": (0.02, 0.12, 0.14), "near_shoulder": (0.21, 0.02, 0.10), "far_shoulder": (-0.17, -0.02, 0.14),
    "chest": (0.05, -0.10, 0.14), "belly": (0.06, -0.32, 0.16), "high": (0.31, 0.22, 0.10),
    "middle": (0.31, -0.08, 0.16), "low": (0.28, -0.34, 0.16), "across": (-0.16, -0.22, 0.16),
}  # fmt: skip
MOVEMENTS = {  # seconds
    "hold": 0.32, "up": 0.37, "down": 0.37, "inward": 0.37, "outward": 0.37, "diagonal": 0.37, "arc": 0.37,
    "circle": 0.46, "zigzag": 0.46, "tap": 0.42, "shake": 0.42, "wiggle": 0.42, "twist": 0.42, "grasp": 0.37,
    "swing": 0.37,
}  # fmt: skip
ORIENTATIONS = {  # direction of the fingers, direction out of the palm
    "front_up": ((-0.05, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "back_up": ((-0.15, 1.0, 0.1), (0.0, 0.0, -1.0)),
    "side_up": ((-0.1, 1.0, 0.15), (-1.0, 0.0, 0.25)),
    "front_tilted": ((-0.85, 0.6, 0.0), (0.0, 0.0, 1.0)),
    "back_inward": ((-1.0, 0.15, 0.1), (0.0, 0.0, -1.0)),
    "down_inward": ((-0.75, -0.2, 0.5), (0.0, -0.85, -0.5)),
    "up_inward": ((-0.6, -0.1, 0.7), (0.0, 0.75, 0.65)),
    "back_down": ((-0.2, -1.0, 0.15), (0.0, 0.0, -1.0)),
}
HANDS = ("one", "mirrored", "alternating", "base")
BROWS = {"neutral": 0.0, "up": 1.0, "down": -1.0}
MOUTHS = {"closed": (0.0, 0.0), "open": (1.0, 0.0), "round": (0.55, -1.0), "wide": (0.3, 1.0), "smile": (0.0, 1.0)}
HEADS = ("still", "left", "right", "nod", "shake")

# Two moving hands need room beside the midline: places on or beyond it are for one hand only.
PAIRED_PLACES = ("temple", "cheek", "near_shoulder", "chest", "belly", "high", "middle", "low")
MAIN_PARAMETERS = ("handshape", "place", "movement", "orientation")


@dataclass(frozen=True)
class Sign:
    """What a gloss looks like: names from the tables above."""

    handshape: str
    place: str
    movement: str
    orientation: str
    hands: str = "one"
    base: str = "flat"  # handshape of the passive hand, where `hands` is "base"
    brows: str = "neutral"
    mouth: str = "closed"
    head: str = "still"


def candidates(gloss: str) -> Iterator[Sign]:
    """An endless sequence of signs that a gloss could have, the most preferred first."""
    for rank in count():
        yield _draw(hashlib.sha256(f"{gloss}/{rank}".encode()).digest())


def sign_of(gloss: str) -> Sign:
    """Gloss name -> its first candidate, independent of any inventory."""
    return next(candidates(gloss))


def lexicon(glosses: Iterable[str]) -> dict[str, Sign]:
    """Inventory -> {gloss: sign}; any two signs differ in at least two main parameters.

    Each gloss, in sorted order, gets its first candidate that is far enough from all earlier signs. That suffices for
    PHOENIX14T's 1,073 glosses. In a larger inventory a gloss whose first hundred candidates are all too close gets the
    first candidate that no other gloss has.
    """
    signs: dict[str, Sign] = {}
    used: set[Sign] = set()
    occupied: set[tuple[str, ...]] = set()  # three main parameters of a sign, "" for the fourth
    for gloss in sorted(set(glosses)):
        far = (sign for sign in islice(candidates(gloss), 100) if occupied.isdisjoint(_neighbour_keys(sign)))
        unused = (sign for sign in candidates(gloss) if sign not in used)
        signs[gloss] = next(far, None) or next(unused)
        used.add(signs[gloss])
        occupied.update(_neighbour_keys(signs[gloss]))
    return signs


def _neighbour_keys(sign: Sign) -> list[tuple[str, ...]]:
    """Keys that two signs share if they differ in at most one main parameter."""
    values = [getattr(sign, name) for name in MAIN_PARAMETERS]
    return [(*values[:blank], "", *values[blank + 1 :]) for blank in range(len(values))]


def _draw(digest: bytes) -> Sign:
    """32 bytes -> Sign; each parameter uses its own three bytes."""
    numbers = iter(int.from_bytes(digest[start : start + 3], "big") for start in range(0, 30, 3))

    def pick(values: Collection[str]) -> str:
        return tuple(values)[next(numbers) % len(values)]

    hands = pick(("one", "one", "one", "mirrored", "mirrored", "alternating", "base", "base"))
    # Half of all signs use a part of the face; the others leave it at rest.
    return Sign(
        hands=hands,
        place=pick(PAIRED_PLACES if hands in ("mirrored", "alternating") else PLACES),
        handshape=pick(HANDSHAPES),
        movement=pick(MOVEMENTS),
        orientation=pick(ORIENTATIONS),
        base=pick(("flat", "fist", "index", "spread")) if hands == "base" else "flat",
        brows=pick(BROWS),
        mouth=pick(("closed", *MOUTHS)),
        head=pick(("still", "still", *HEADS)),
    )
