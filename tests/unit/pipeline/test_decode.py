"""Decoding a split: by id, once, whatever the batches."""

from __future__ import annotations

import pytest
import torch

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import CorpusError, RunError
from glossfree.models import packed
from glossfree.models.choices import Beams
from glossfree.pipeline import decode
from glossfree.pipeline.assemble import adapt, assemble, put_mapper
from glossfree.pipeline.decode import evaluate_clips, made_fast
from glossfree.recipe.files import load_recipe
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.metrics import score
from glossfree.scoring.predictions import Prediction, read_predictions, read_scores
from glossfree.training.device import best_device
from glossfree.video.batch import ClipBatch

TEXTS = {"c": "am abend wird es kühl", "a": "im süden scheint die sonne", "b": "morgen kommt neuer schnee"}
PLAIN = convention_for("de")
CLIPS = tuple(PackedClip(id, "dev", text, f"{id}.mp4", 3, 25.0) for id, text in TEXTS.items())


def batch(*ids: str) -> ClipBatch:
    lengths = torch.tensor([3] * len(ids))
    return ClipBatch(ids, torch.zeros(3 * len(ids), 3, 5, 7, dtype=torch.uint8), lengths, tuple(TEXTS[i] for i in ids))


def echo(given: ClipBatch) -> list[Prediction]:
    return [Prediction(text, -0.25) for text in given.texts]


def test_batches_and_their_order_do_not_matter():
    one = evaluate_clips(echo, [batch("a", "b"), batch("c")], CLIPS, PLAIN)
    two = evaluate_clips(echo, [batch("c", "b", "a")], CLIPS, PLAIN)
    assert one == two and list(one.predictions) == list(TEXTS)


def test_progress_counts_clips():
    counts: list[int] = []
    evaluate_clips(echo, [batch("a", "b"), batch("c")], CLIPS, PLAIN, on_progress=counts.append)
    assert counts == [2, 1]


def test_a_clip_given_twice_is_named():
    with pytest.raises(CorpusError, match="clip a: decoded twice"):
        evaluate_clips(echo, [batch("a", "b"), batch("a")], CLIPS, PLAIN)


def test_a_missing_clip_is_named():
    with pytest.raises(CorpusError, match="1 without a hypothesis: c"):
        evaluate_clips(echo, [batch("a", "b")], CLIPS, PLAIN)


def test_a_prediction_too_few_is_our_error():
    with pytest.raises(ValueError, match="zip"):
        evaluate_clips(lambda given: echo(given)[:1], [batch("a", "b")], CLIPS, PLAIN)


def test_hypotheses_are_scored_against_the_references_of_the_manifest():
    def translate(given: ClipBatch) -> list[Prediction]:
        return [Prediction("" if id == "b" else text, -0.5) for id, text in zip(given.ids, given.texts, strict=True)]

    evaluation = evaluate_clips(translate, [batch("a", "b"), batch("c")], CLIPS, PLAIN)
    assert evaluation.scores == score([TEXTS["c"], TEXTS["a"], ""], list(TEXTS.values()), language="de")


def test_broken_files_are_named(tmp_path):
    with pytest.raises(RunError, match="no predictions for dev"):
        read_predictions(tmp_path, "dev")
    path = tmp_path / "predictions.dev.jsonl"
    path.write_text('{"id": "a", "hypothesis": "x", "score": 0}\n{"id": "b"}\n', encoding="utf-8")
    with pytest.raises(RunError, match="line 2 is not a prediction"):
        read_predictions(tmp_path, "dev")
    path.write_text('{"id": "a", "hypothesis": "x", "score": 0}\n' * 2, encoding="utf-8")
    with pytest.raises(RunError, match="'a' twice"):
        read_predictions(tmp_path, "dev")
    path.write_text('{"bleu": 3}', encoding="utf-8")
    with pytest.raises(RunError, match="not scores"):
        read_scores(path)


def test_scores_follow_the_convention_and_predictions_do_not():
    convention = convention_for("de", append=" .")
    evaluation = evaluate_clips(echo, [batch("a", "b", "c")], CLIPS, convention)
    assert evaluation.scores == score(list(TEXTS.values()), list(TEXTS.values()), convention=convention)
    assert evaluation.scores.convention["append"] == " ."
    assert {id: p.text for id, p in evaluation.predictions.items()} == TEXTS


def adapted(*settings):
    sizes = ["vision={ hidden_size=30, num_layers=2, num_heads=3, patch_size=12, image_size=60, adapter_layers=1 }"]
    sizes += ["data={ frame_size=56, crop_size=48 }", "text={ vocabulary_size=71, max_tokens=64 }"]
    sizes += ["temporal={ hidden_size=28, num_layers=2, num_heads=2, mlp_size=52 }"]
    sizes += ["language={ hidden_size=44, num_layers=2, num_heads=4, mlp_size=58, max_positions=64 }"]
    model = assemble(recipe := load_recipe("hfa-phoenix14t", [*sizes, *settings]), 71)
    adapt(model, recipe)
    put_mapper(model, recipe)
    return model


@pytest.mark.parametrize("fast", [frozenset(), frozenset({"bf16"})])
def test_a_model_translates_in_bfloat16_only_where_a_device_computes_in_it(monkeypatch, fast):
    monkeypatch.setattr(decode, "fast_precisions", lambda: fast)
    backbone = made_fast(adapted("vision.frozen_precision=bf16")).hierarchy.visual.backbone
    types = []
    backbone.model.encoder.layer[0].mlp.register_forward_hook(lambda _, __, out: types.append(out.dtype))
    backbone(torch.rand(2, 3, 48, 48, device=best_device()))
    assert types == [torch.bfloat16 if fast else torch.float32]


def test_a_model_made_fast_has_merged_adapters_packed_weights_and_the_same_sentences(monkeypatch):
    monkeypatch.setattr(packed, "SMALLEST", 1)
    model = adapted()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    frames, lengths = torch.randint(256, (11, 3, 48, 48), dtype=torch.uint8), torch.tensor([7, 4])
    before = model.eval().translate(frames, lengths, beams=Beams(3, 9), start_id=50)
    fast = made_fast(model)
    assert fast is model and not any("lora" in name for name, _ in model.named_parameters())
    if torch.backends.mkldnn.is_available() and best_device().type == "cpu":
        assert not any(isinstance(each, torch.nn.Linear) for each in model.decoder.modules())
    after = fast.translate(frames.to(best_device()), lengths.to(best_device()), beams=Beams(3, 9), start_id=50)
    assert after.sequences.tolist() == before.sequences.tolist()
    torch.testing.assert_close(after.scores.cpu(), before.scores, rtol=1e-4, atol=1e-4)
