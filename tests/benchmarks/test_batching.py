"""Padding and the largest pass are read off plans whose figures can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import batching


def test_clips_of_one_length_need_no_padding() -> None:
    assert batching.padded_share([13] * 48, bucket_width=0) == 0


def test_padding_is_counted_in_segments() -> None:
    """One batch of 16: segments 3 and 15 times 1, padded to 16 times 3."""
    assert batching.padded_share([5] + [1] * 15, bucket_width=16, epochs=1) == pytest.approx(1 - 18 / 48)


def test_a_batch_that_is_not_full_is_padded_as_it_is() -> None:
    """Two batches: 16 clips of 2 segments, and 4 of 1."""
    lengths = [1] * 4 + [4] * 16
    plan = batching._batches(lengths, bucket_width=16, epochs=1)
    assert sorted(map(len, plan)) == [4, 16]
    padded = sum(max((lengths[clip] + 1) // 2 for clip in batch) * len(batch) for batch in plan)
    assert batching.padded_share(lengths, bucket_width=16, epochs=1) == pytest.approx(1 - 36 / padded)


def test_clips_of_similar_length_need_less() -> None:
    lengths = np.random.default_rng(0).integers(10, 300, 700)
    assert batching.padded_share(lengths, 16) < batching.padded_share(lengths, 0) / 2


def test_a_budget_holds_but_for_a_clip_that_is_longer() -> None:
    lengths = [20] * 64
    assert batching.largest(lengths, 0) == 320
    assert batching.largest(lengths, 90) == 80
    assert batching.largest(lengths, 7) == 20


def test_lengths_come_from_the_corpus_or_are_invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOSSFREE_SHARED", str(tmp_path))
    lengths, whose = batching.lengths_of_clips()
    assert len(lengths) == 7096 and abs(np.median(lengths) - 110) < 3 and lengths.max() == 300
    assert "log-normal" in whose
    (tmp_path / "phoenix14t").mkdir()
    rows = "split\tname\tnum_frames\ntrain\ta\t86\ndev\tb\t9\ntrain\tc\t475\n"
    (tmp_path / "phoenix14t/num_frames.tsv").write_text(rows)
    lengths, whose = batching.lengths_of_clips()
    assert (lengths.tolist(), whose) == ([86, 300], "PHOENIX14T's own lengths")


def test_the_tables() -> None:
    assert batching.resampling(frames=5, rounds=1).count("\n| ") == 3
    text = batching.budgets([20] * 64, lambda frames: frames / 10)
    assert "| none | 320 | 32 |" in text
