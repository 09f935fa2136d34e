"""Hypotheses of a run and references of a prepared corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError, RunError
from glossfree.report.systems import load_hypotheses, load_references
from glossfree.scoring.predictions import Prediction, predictions_path, write_predictions
from glossfree.scoring.sentences import pair

ODD = " schnee  im\ttal "  # blanks in front, twice, a tab, and behind


def test_hypotheses_of_a_run_and_references_of_a_corpus(tmp_path: Path) -> None:
    splits = {"a": "test", "b": "dev", "c": "test"}
    clips = [PackedClip(id, split, f"satz {id}", f"{id}.mp4", 7, 25.0) for id, split in splits.items()]
    Manifest(tmp_path / "corpus", tuple(clips), {"language": "nl"}).save()
    (tmp_path / "run").mkdir()
    predictions = {clip.id: Prediction(ODD + clip.id, -0.5) for clip in clips}
    write_predictions(
        predictions_path(tmp_path / "run", "test"), predictions, {clip.id: clip.text for clip in (clips[2], clips[0])}
    )
    hypotheses = load_hypotheses(tmp_path / "run", split="test")
    references = load_references(tmp_path / "corpus", split="test")
    assert (hypotheses.ids, hypotheses.texts) == (("c", "a"), (ODD + "c", ODD + "a"))
    assert (references.ids, references.texts, references.language) == (("a", "c"), ("satz a", "satz c"), "nl")
    assert load_references(tmp_path / "corpus", split="dev").ids == ("b",)
    assert pair(hypotheses, references).hypotheses == (ODD + "a", ODD + "c")
    with pytest.raises(RunError, match="no predictions for dev"):
        load_hypotheses(tmp_path / "run", split="dev")
    with pytest.raises(CorpusError, match="no hypotheses"):
        load_hypotheses(tmp_path / "corpus", split="test")
    with pytest.raises(CorpusError, match="without references"):
        load_references(tmp_path / "run", split="test")
