"""The face: brows, mouth, lids and head move where they are told to, and only they."""

from __future__ import annotations

import numpy as np
import pytest

from glossfree.avatar.face import Head
from glossfree.avatar.signer import SIGNERS

SIDE = 240
STILL = (0.0, 0.0, 0.0, 0.0, 0.0)


def picture(face: tuple[float, ...] = STILL, lid: float = 1.0, signer: int = 0) -> np.ndarray:
    origin = np.array([(0.5 * SIDE, 0.6 * SIDE)])
    head = Head(SIGNERS[signer], np.array([face]), np.array([lid]), origin, SIDE)
    frame = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for stroke in [*head.back_hair(), *head.strokes()]:
        stroke.paint(frame, 0)
    return frame


@pytest.mark.parametrize(
    ("face", "rows"),
    [
        pytest.param((1, 0, 0, 0, 0), (0.25, 0.37), id="brows up"),
        pytest.param((-1, 0, 0, 0, 0), (0.25, 0.37), id="brows down"),
        pytest.param((0, 1, 0, 0, 0), (0.38, 0.48), id="mouth open"),
        pytest.param((0, 0.5, -1, 0, 0), (0.38, 0.48), id="mouth round"),
        pytest.param((0, 0, 1, 0, 0), (0.38, 0.48), id="smile"),
    ],
)
def test_a_part_of_the_face_moves_alone(face, rows):
    changed = (picture() != picture(face)).any(axis=2)
    top, bottom = (round(row * SIDE) for row in rows)
    assert changed[top:bottom].sum() > 40
    assert not changed[:top].any()
    assert not changed[bottom:].any()


def test_tilting_to_either_side_mirrors_the_outline():
    left, right = (np.any(picture((0, 0, 0, tilt, 0), signer=4) != 128, axis=2) for tilt in (1.0, -1.0))
    assert (left != right).sum() > 200
    assert (left != np.roll(right[:, ::-1], 1, axis=1)).mean() < 0.01


def test_lids_shut_the_eyes():
    white = [(picture(lid=lid) > 225).all(axis=2).sum() for lid in (0.0, 1.0)]
    assert white[0] < 0.4 * white[1]


@pytest.mark.parametrize("signer", range(len(SIGNERS)))
def test_every_signer_has_a_head(signer):
    drawn = (picture(signer=signer) != 128).any(axis=2)
    assert drawn.mean() > 0.05
    assert not drawn[:, : SIDE // 5].any()
