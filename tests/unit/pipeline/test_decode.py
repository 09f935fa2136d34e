"""Decoding a split: by id, once, whatever the batches."""

from __future__ import annotations

import json

import pytest
import torch

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import CorpusError, RunError
from glossfree.pipeline.decode import decode_split, evaluate
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.metrics import score
from glossfree.scoring.predictions import Prediction, predictions_path, read_predictions, read_scores, scores_path
from glossfree.video.batch import ClipBatch

TEXTS = {"c": "am abend wird es kühl", "a": "im süden scheint die sonne", "b": "morgen kommt neuer schnee"}
CLIPS = tuple(PackedClip(id, "dev", text, f"{id}.mp4", 3, 25.0) for id, text in TEXTS.items())


def batch(*ids: str) -> ClipBatch:
    lengths = torch.tensor([3] * len(ids))
    return ClipBatch(ids, torch.zeros(3 * len(ids), 3, 5, 7, dtype=torch.uint8), lengths, tuple(TEXTS[i] for i in ids))


def echo(given: ClipBatch) -> list[Prediction]:
    return [Prediction(text, -0.25, (("nebel", -1.5),)) for text in given.texts]


def test_batches_and_their_order_do_not_matter():
    one = decode_split(echo, [batch("a", "b"), batch("c")])
    two = decode_split(echo, [batch("c", "b", "a")])
    assert one == two and set(one) == set(TEXTS)


def test_progress_counts_clips():
    counts: list[int] = []
    decode_split(echo, [batch("a", "b"), batch("c")], on_progress=counts.append)
    assert counts == [2, 1]


def test_a_clip_given_twice_is_named():
    with pytest.raises(CorpusError, match="clip a: decoded twice"):
        decode_split(echo, [batch("a", "b"), batch("a")])


def test_a_prediction_too_few_is_our_error():
    with pytest.raises(ValueError, match="1 predictions for a batch of 2"):
        decode_split(lambda given: echo(given)[:1], [batch("a", "b")])


def test_evaluate_writes_both_files(tmp_path):
    def translate(given: ClipBatch) -> list[Prediction]:
        return [Prediction("" if id == "b" else text, -0.5) for id, text in zip(given.ids, given.texts, strict=True)]

    folder = tmp_path / "run"
    result = evaluate(translate, [batch("a", "b"), batch("c")], CLIPS, split="dev", folder=folder)
    assert result.scores == score([TEXTS["c"], TEXTS["a"], ""], list(TEXTS.values()))
    assert read_scores(scores_path(folder, "dev")) == result.scores
    assert read_predictions(predictions_path(folder, "dev")) == result.predictions
    lines = [json.loads(line) for line in predictions_path(folder, "dev").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["c", "a", "b"]
    assert lines[0] == {"id": "c", "hypothesis": TEXTS["c"], "reference": TEXTS["c"], "score": -0.5}


def test_evaluate_refuses_a_missing_clip_before_writing(tmp_path):
    with pytest.raises(CorpusError, match="1 without a hypothesis: c"):
        evaluate(echo, [batch("a", "b")], CLIPS, split="dev", folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_alternatives_survive(tmp_path):
    result = evaluate(echo, [batch("a", "b", "c")], CLIPS, split="dev", folder=tmp_path)
    assert read_predictions(predictions_path(tmp_path, "dev")) == result.predictions
    assert result.predictions["a"].alternatives == (("nebel", -1.5),)


def test_broken_files_are_named(tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        read_predictions(tmp_path / "predictions.dev.jsonl")
    path = tmp_path / "broken.jsonl"
    path.write_text('{"id": "a", "hypothesis": "x", "score": 0}\n{"id": "b"}\n', encoding="utf-8")
    with pytest.raises(RunError, match="line 2 is not a prediction"):
        read_predictions(path)
    path.write_text('{"id": "a", "hypothesis": "x", "score": 0}\n' * 2, encoding="utf-8")
    with pytest.raises(RunError, match="'a' twice"):
        read_predictions(path)
    path.write_text('{"bleu": 3}', encoding="utf-8")
    with pytest.raises(RunError, match="not scores"):
        read_scores(path)


def test_scores_follow_the_convention_and_predictions_stay_as_they_were_said(tmp_path):
    convention = convention_for("de", append=" .")
    result = evaluate(echo, [batch("a", "b", "c")], CLIPS, split="dev", folder=tmp_path, convention=convention)
    assert result.scores == score(list(TEXTS.values()), list(TEXTS.values()), convention=convention)
    assert read_scores(scores_path(tmp_path, "dev")).convention["append"] == " ."
    assert {id: p.text for id, p in read_predictions(predictions_path(tmp_path, "dev")).items()} == TEXTS
