"""Both ways of making batches are measured on a finished run, and write the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks import many_clips
from glossfree.serving import translations


def test_both_ways_write_the_same(tiny: Any, tiny_run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    (tmp_path / "corpus").symlink_to(tiny.corpus)
    (tmp_path / many_clips.RUN).symlink_to(tiny_run)
    before = translations.MOST_BATCHES
    text = many_clips.run(tmp_path, "train", rounds=1)
    padded = [float(line.split("|")[3]) for line in text.splitlines()[2:4]]
    assert 1 <= padded[1] <= padded[0] and before == translations.MOST_BATCHES
