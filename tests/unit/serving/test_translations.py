"""Many clips: in batches of similar length, answered in order and as soon as may be, however they are batched."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glossfree.corpora.manifest import Segment
from glossfree.errors import ClipError
from glossfree.scoring.predictions import Prediction
from glossfree.serving.translations import BATCH_FRAMES, Failure, Translation, Translator, cut_batches
from glossfree.video.intake import ModelClip


class Reader:
    """In place of an `Intake`: a file named 17 has 17 frames, one named x cannot be read."""

    def read(self, path: Path, segment: Segment | None, poses: Path | None) -> ModelClip:
        if path.name == "x":
            raise ClipError("cannot be read", where=path, remedy="none")
        count = int(path.name)
        return ModelClip(np.zeros((count, 3, 2, 2), np.uint8), count, 25.0, 0.0, count / 25, 1.0)


class Counting(Translator):
    """Says how long a clip is, and remembers its batches."""

    def __init__(self) -> None:
        self.intake: Any = Reader()
        self.about: Any = type("About", (), {"fps": 25.0, "batch_size": 3})
        self.batches: list[list[int]] = []

    def middles(self, num_frames: int) -> Sequence[int]:
        return range(num_frames)

    def answer(self, clips: Sequence[ModelClip], num_hypotheses: int, num_tracks: int) -> Any:
        self.batches.append([len(clip.frames) for clip in clips])
        return [(Prediction(str(len(clip.frames)), 0.0, None),) for clip in clips], [() for _ in clips]


def said(results: Iterable[Translation | Failure]) -> list[str]:
    return ["x" if isinstance(each, Failure) else each.text for each in results]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_results_are_in_order_and_batches_keep_their_limits(limit: int) -> None:
    source = random.Random(limit)
    names = [source.choice(["x", str(source.randint(1, 700))]) for _ in range(83)] + ["1200", "x"]
    translator = Counting()
    assert said(translator.explain_all([(Path(name), None) for name in names], batch_size=limit)) == names
    assert sorted(length for batch in translator.batches for length in batch) == sorted(
        int(name) for name in names if name != "x"
    )
    assert all(len(batch) <= limit for batch in translator.batches)
    assert all(sum(batch) <= BATCH_FRAMES or len(batch) == 1 for batch in translator.batches)


def test_clips_of_similar_length_are_translated_together() -> None:
    translator = Counting()
    names = ["5", "9", "5", *["30", "10", "20"] * 2, *["30", "10", "20", "40"] * 3]
    assert said(translator.explain_all([(Path(name), None) for name in names])) == names
    assert translator.batches == [
        [9, 5, 5],  # as soon as three are read
        *([30, 30, 20], [20, 10, 10]),  # of six
        *([30, 30, 30], [10, 10, 10], [20, 20, 20], [40, 40, 40]),  # of twelve: that of the first clip comes first
    ]


@pytest.mark.parametrize(("limit", "expected"), [(3, [3, 9, 21, 33]), (1, [1, 2, 3, 4])])
def test_results_come_before_all_is_read(limit: int, expected: list[int]) -> None:
    """Of three clips, six, twelve and so on; a clip more is read to know that they are enough."""
    read: list[int] = []

    def requests() -> Iterator[tuple[Path, None]]:
        for number in range(100):
            read.append(number)
            yield Path("7"), None

    results = Counting().explain_all(requests(), batch_size=limit)
    counts = [len(read) - 1 for _ in results]
    assert sorted(set(counts))[:4] == expected


def test_a_long_clip_is_not_waited_for() -> None:
    """Frames count, too: two batches of 900 are full."""
    translator = Counting()
    results = translator.explain_all([(Path(name), None) for name in ["500", "800", "700", "200", "9"]])
    assert next(results).path == "500"
    assert translator.batches == [[500]]
    assert said(results) == ["800", "700", "200", "9"]
    assert translator.batches == [[500], [800], [700, 200], [9]]


def test_nothing_but_failures_and_nothing_at_all() -> None:
    translator = Counting()
    assert said(translator.explain_all([(Path("x"), None)] * 7)) == ["x"] * 7
    assert list(translator.explain_all([])) == [] and translator.batches == []


def test_batches_are_cut_by_length_and_the_first_clip_is_in_the_first() -> None:
    assert cut_batches({0: 3, 2: 8, 3: 1, 4: 9}, 2) == [[0, 3], [4, 2]]
    assert cut_batches({5: 400, 6: 600, 7: 500}, 9) == [[7, 5], [6]]
    assert cut_batches({}, 2) == []
