"""What all corpora check alike: legible lists, ids that are file names, sentences in two splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.checks import is_safe_id, overlap_warning, safe_id
from glossfree.corpora.manifest import Clip, VideoFile


def clip(number: int, split: str, text: str) -> Clip:
    return Clip(f"clip{number}", split, text, VideoFile(Path("x.mp4")))


@pytest.mark.parametrize("name", ["11August_2010_Wednesday_tagesschau-1", "Gruß.3", "a+b=c@d", "x"])
def test_a_safe_name_stays(name: str) -> None:
    assert is_safe_id(name)
    assert safe_id(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a\\b", "a b", "a:b", "a\nb", "ü" * 76, "x" * 151, "a?*"])
def test_any_other_name_becomes_a_safe_one_of_its_own(name: str) -> None:
    assert not is_safe_id(name)
    assert is_safe_id(safe_id(name))
    assert safe_id(name) == safe_id(name)
    assert safe_id(name) != safe_id(name + "?")


def test_names_that_differ_only_in_unsafe_signs_stay_apart() -> None:
    assert len({safe_id(name) for name in ("a b", "a/b", "a:b", "a_b")}) == 4


def test_sentences_in_two_splits_are_found_with_their_splits() -> None:
    clips = [
        clip(1, "train", "es regnet"),
        clip(2, "train", "es regnet"),
        clip(3, "test", "es schneit"),
        clip(4, "test", "es regnet"),
        clip(5, "dev", "es regnet"),
    ]
    assert overlap_warning(clips) == "1 sentence occurs in more than one split (4 clips): scores on them show memory"


def test_a_sentence_that_occurs_twice_in_one_split_is_no_problem() -> None:
    assert overlap_warning([clip(1, "train", "es regnet"), clip(2, "train", "es regnet")]) is None


def test_one_sentence_in_two_unicode_forms_is_one_sentence() -> None:
    clips = [clip(1, "train", "es wird ku\u0308hl"), clip(2, "dev", "es wird kühl"), clip(3, "test", "es taut")]
    assert overlap_warning(clips) == "1 sentence occurs in more than one split (2 clips): scores on them show memory"
