"""Arms: two bones of fixed length between shoulder and wrist; every sign's place exists and can be reached."""

from __future__ import annotations

import numpy as np
import pytest

from glossfree.avatar import body, signs
from glossfree.avatar.body import Build, elbows
from glossfree.avatar.signer import SIGNERS


def wrists(count: int = 211) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.uniform((-0.4, -0.5, -0.1), (0.5, 0.45, 0.3), (count, 3))


@pytest.mark.parametrize("signer", range(len(SIGNERS)))
def test_both_bones_keep_their_length(signer):
    build = Build.of(SIGNERS[signer])
    elbow, wrist = elbows(build, wrists())
    shoulder = np.array((build.shoulder, 0.0, 0.0))
    np.testing.assert_allclose(np.linalg.norm(elbow - shoulder, axis=1), build.upper_arm, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(wrist - elbow, axis=1), build.forearm, rtol=1e-6)


def test_wrist_within_reach_stays_and_beyond_is_drawn_in():
    build = Build.of(SIGNERS[0])
    near, far = np.array((0.1, 0.2, 0.1)), np.array((3.0, 0.0, 0.0))
    _, found = elbows(build, np.stack([near, far]))
    np.testing.assert_allclose(found[0], near, atol=1e-9)
    assert np.linalg.norm(found[1] - (build.shoulder, 0, 0)) <= build.upper_arm + build.forearm
    assert found[1, 1] == found[1, 2] == 0


def test_elbows_hang_below_the_shoulders_before_the_body():
    build = Build.of(SIGNERS[0])
    for name in ("chest", "belly", "middle", "low"):
        elbow, _ = elbows(build, np.array([body.PLACES[name]]))
        assert elbow[0, 1] < -0.1, name


def test_every_place_is_within_the_frame():
    assert set(body.PLACES) == set(signs.PLACES)
    for outward, up, forward in body.PLACES.values():
        assert abs(outward) <= body.OUTERMOST
        assert body.LOWEST <= up <= body.HIGHEST
        assert forward > 0


def test_places_are_apart():
    points = np.array(list(body.PLACES.values()))[:, :2]
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(len(points))
    assert distances.min() > 0.1  # half a hand
