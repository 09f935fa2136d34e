"""SignedSentence: the manifest's Drawing with true spans; the same fields give the same pixels."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest

from glossfree.avatar.motion import CENTRE, DOMINANT
from glossfree.avatar.signer import SIGNERS
from glossfree.avatar.signing import SignedSentence
from glossfree.avatar.signs import Sign, lexicon

GLOSSES = ("HEUTE", "NORD", "REGEN", "STARK", "REGEN")


def test_length_and_spans_without_rendering():
    sentence = SignedSentence(GLOSSES, 2, 11)
    frames = sentence.render(48)
    assert frames.shape == (sentence.num_frames, 48, 48, 3)
    assert len(sentence.poses()) == sentence.num_frames
    assert tuple(span.gloss for span in sentence.spans) == GLOSSES


@pytest.mark.parametrize("signer", range(len(SIGNERS)))
def test_spans_are_apart_and_inside(signer):
    sentence = SignedSentence(GLOSSES, signer, 5)
    ends = 0
    for span in sentence.spans:
        assert span.start > ends  # at least one frame of transition, or of rest, before each
        assert span.end - span.start >= 3
        ends = span.end
    assert ends < sentence.num_frames - 1


def test_six_glosses_take_forty_odd_frames():
    lengths = [SignedSentence(tuple(f"G{seed}-{k}" for k in range(6)), seed % 9, seed).num_frames for seed in range(90)]
    assert 40 <= np.mean(lengths) <= 48


def test_seconds_do_not_depend_on_fps():
    slow, fast = (SignedSentence(GLOSSES, 0, 3, fps=fps) for fps in (12.5, 50.0))
    assert fast.num_frames / 50 == pytest.approx(slow.num_frames / 12.5, rel=0.12)


def test_same_fields_same_pixels_also_in_another_process():
    sentence = SignedSentence(GLOSSES, 6, 17)
    frames = sentence.render(64)
    np.testing.assert_array_equal(frames, sentence.render(64))
    np.testing.assert_array_equal(frames, SignedSentence(GLOSSES, 6, 17).render(64))
    np.testing.assert_array_equal(frames, pickle.loads(pickle.dumps(sentence)).render(64))
    program = (
        "import zlib; from glossfree.avatar.signing import SignedSentence;"
        f"print(zlib.crc32(SignedSentence({GLOSSES!r}, 6, 17).render(64).tobytes()))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(out.stdout) == zlib.crc32(frames.tobytes())


def test_seed_signer_and_glosses_each_change_the_clip():
    first = SignedSentence(GLOSSES, 6, 17).render(48)
    for other in (
        SignedSentence(GLOSSES, 6, 18), SignedSentence(GLOSSES, 5, 17), SignedSentence((*GLOSSES[:4], "WIND"), 6, 17),
    ):  # fmt: skip
        frames = other.render(48)
        count = min(len(frames), len(first))
        assert (frames[:count] != first[:count]).any()


def test_pixels_do_not_depend_on_what_was_rendered_before():
    sentence = SignedSentence(GLOSSES, 1, 2)
    frames = sentence.render(48)
    SignedSentence(("WIND",), 1, 3).render(48)
    sentence.render(80)
    np.testing.assert_array_equal(sentence.render(48), frames)


def test_starts_and_ends_at_rest():
    poses = SignedSentence(GLOSSES, 0, 4).poses()
    np.testing.assert_array_equal(poses[0], poses[-1])
    assert np.abs(poses[0] - poses[len(poses) // 2]).max() > 0.1


def test_transitions_are_smooth():
    """At 100 frames a second the hand never moves further than a twelfth of the frame at once."""
    for seed in range(12):
        path = SignedSentence(GLOSSES, seed % 9, seed, fps=100.0).poses()[:, DOMINANT][:, CENTRE]
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 1 / 12


def test_signs_of_a_lexicon_are_drawn_instead():
    chosen = tuple(lexicon(GLOSSES).values())
    given = tuple(Sign("flat", "high", "hold", "front_up") for _ in chosen[:2])
    plain, other = SignedSentence(GLOSSES[:2], 0, 1), SignedSentence(GLOSSES[:2], 0, 1, signs=given)
    start, end = other.spans[0].start, other.spans[0].end
    hand = other.poses()[start:end, DOMINANT]
    assert np.ptp(hand, axis=0).max() == 0
    assert np.abs(plain.poses()[start, DOMINANT] - hand[0]).max() > 0.01


def test_without_a_gloss_the_signer_stands_still():
    sentence = SignedSentence((), 3, 8)
    assert sentence.spans == ()
    assert len(sentence.render(48)) == sentence.num_frames >= 4
    assert np.ptp(sentence.poses(), axis=0).max() < 1e-12


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((("A",), 9, 0), "signer 9"),
        ((("A",), -1, 0), "signer -1"),
        ((("A",), 0, 0, 0.0), "fps"),
        ((("A", "B"), 0, 0, 12.5, (Sign("flat", "high", "hold", "front_up"),)), "1 signs for 2 glosses"),
    ],
)
def test_bad_arguments(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        SignedSentence(*arguments)
