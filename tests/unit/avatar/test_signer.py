"""Nine signers who look different."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from glossfree.avatar.signer import SIGNERS


def test_nine_distinct_signers():
    assert len(set(SIGNERS)) == len(SIGNERS) >= 9
    assert len({signer.wall for signer in SIGNERS}) == len(SIGNERS)
    assert len({signer.pace for signer in SIGNERS}) >= 7
    assert len({signer.hair_style for signer in SIGNERS}) >= 4
    assert len({signer.texture for signer in SIGNERS}) >= 4


def test_colours_of_any_two_differ_visibly():
    colours = [np.array([*s.skin, *s.hair, *s.shirt, *s.wall], dtype=float) for s in SIGNERS]
    assert min(np.abs(a - b).max() for a, b in combinations(colours, 2)) >= 40


def test_hands_stand_out_against_clothes_and_wall():
    for signer in SIGNERS:
        skin = np.array(signer.skin, dtype=float)
        assert np.abs(skin - signer.shirt).max() > 60
        assert np.abs(skin - signer.wall).max() > 25
