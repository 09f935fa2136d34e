"""translate: clips in order, and every path looked at before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glossfree.commands.translate import translate
from glossfree.corpora.manifest import Manifest
from glossfree.errors import ClipError, ModelError


def test_one_translation_a_clip_in_the_order_given(tiny: Any, tiny_model: Path) -> None:
    paths = [tiny.corpus / clip.file for clip in reversed(Manifest.load(tiny.corpus).split("dev"))]
    found = list(translate(tiny_model, paths, num_hypotheses=2))
    assert [translation.path for translation in found] == [str(path) for path in paths]
    assert [len(translation.hypotheses) for translation in found] == [2] * 4


def test_all_missing_clips_are_named_before_the_model_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ClipError) as caught:
        next(translate(tmp_path / "no-model", [tmp_path / "a.mp4", tmp_path / "b.mp4"]))
    assert "a.mp4" in str(caught.value) and "b.mp4" in str(caught.value)
    (tmp_path / "a.mp4").write_text("")
    with pytest.raises(ModelError, match="no-model"):
        next(translate(tmp_path / "no-model", [tmp_path / "a.mp4"]))
