"""With and without cache the same tokens, and a folder that translates a file, at small sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from benchmarks import decoding
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.tokens import EOS_ID
from glossfree.models.weights import state
from glossfree.recipe.schema import Recipe
from glossfree.translator import SignTranslator


@pytest.fixture
def model(small: Recipe) -> TranslationModel:
    return decoding.never_ending(small)


def test_both_ways_write_the_same_and_no_sentence_ends(model: TranslationModel) -> None:
    rates = decoding.both_ways(model, clips=3, segments=5, tokens=11, rounds=1)
    assert all(rate > 0 for rate in rates.values())


def test_a_sentence_that_wants_to_end_does_not(small: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beams that could end would, at once: an end is worth more than any piece."""
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "NEVER", 1e4)
        with pytest.raises(AssertionError):
            decoding.both_ways(decoding.never_ending(small), clips=2, segments=5, tokens=9, rounds=1)
    model = decoding.never_ending(small)
    decoding.both_ways(model, clips=2, segments=5, tokens=9, rounds=1)
    bias = state(model)["decoder.mbart.final_logits_bias"]  # so it is saved
    assert float(bias[0, EOS_ID]) == decoding.NEVER


def test_the_cache_is_really_off(model: TranslationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    decoder = decoding.mbart_of(model).model.decoder
    forward = decoder.forward

    def noted(*args: object, input_ids: Tensor, **options: object) -> object:
        lengths.append(input_ids.shape[1])
        return forward(*args, input_ids=input_ids, **options)

    monkeypatch.setattr(decoder, "forward", noted)
    decoding.both_ways(model, clips=1, segments=5, tokens=4, rounds=1)
    assert lengths == [1, 1, 1, 1, 1, 2, 3, 4]


def test_a_difference_between_both_is_an_error(model: TranslationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[bool] = iter([True, False])
    monkeypatch.setattr(decoding.torch, "equal", lambda *_: not next(answers))  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="the cache changes"):
        decoding.both_ways(model, clips=1, segments=5, tokens=4, rounds=1)


def test_an_invented_run_has_the_recipes_sizes(small: Recipe) -> None:
    tokenizer = decoding.invented_tokenizer(small)
    assert len(tokenizer) == 71 == len(set(tokenizer.pieces))
    assert tokenizer.decode(tokenizer.encode("bababa babebo")) == "bababa babebo"
    assert len(set(decoding.invented_words(2322))) == 2322


@pytest.mark.slow
def test_from_a_file_to_its_sentence(small: Recipe, tmp_path: Path) -> None:
    decode = small.decode.model_copy(update={"max_new_tokens": 6, "num_beams": 2})
    cold, warm = decoding.end_to_end(tmp_path, small.model_copy(update={"decode": decode}), frames=5, starts=1)
    assert len(cold[0].output.split()) == 6
    assert len(warm) == 1 and warm[0] < cold[0].seconds
    assert len(SignTranslator.from_pretrained(tmp_path / "model").pseudo_glosses) == 37
