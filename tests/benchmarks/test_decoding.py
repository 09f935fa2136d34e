"""Both ways of decoding compared, and a folder that translates a file, at small sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import decoding
from glossfree.models.choices import Translations
from glossfree.padded import Padded
from glossfree.recipe.schema import Recipe
from glossfree.translator import SignTranslator


def with_tokens(recipe: Recipe, count: int) -> Recipe:
    decode = recipe.decode.model_copy(update={"max_new_tokens": count, "num_beams": 3})
    return recipe.model_copy(update={"decode": decode})


def test_both_ways_write_the_same_varied_tokens_and_no_sentence_ends(small: Recipe) -> None:
    result = decoding.of_full_size(with_tokens(small, 11), clips=3, segments=5, rounds=1)
    assert result.equal == len(result.sentences) == 3 and result.worst < 1e-4
    assert {len(sentence) for sentence in result.sentences} == {11}
    assert result.before > 0 and result.now > 0


def test_a_sentence_that_wants_to_end_is_noticed(small: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "NEVER", 1e4)
    with pytest.raises(AssertionError, match="a sentence ends"):
        decoding.of_full_size(with_tokens(small, 9), clips=2, segments=5, rounds=1)


def test_one_token_again_and_again_is_noticed(small: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LIVELY", 0.0)
    with pytest.raises(AssertionError, match="would show little"):
        decoding.of_full_size(with_tokens(small, 9), clips=2, segments=5, rounds=1)


def test_a_difference_between_both_is_counted(small: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    generated = decoding.generated

    def others(theirs: object, video: Padded, *others: object) -> Translations:
        return generated(theirs, video.with_values(-video.values), *others)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "generated", others)
    assert decoding.of_full_size(with_tokens(small, 9), clips=2, segments=5, rounds=1).equal < 2


def test_a_step_reads_all_weights_but_those_that_a_clip_needs_once(small: Recipe) -> None:
    width, mlp, tokens, layers, rank = 44, 58, 71, 2, 7
    matrices = 6 * width * width + 2 * width * mlp  # queries, keys, values, output; query and output of the memory
    vectors = 6 * width + mlp + width + 3 * 2 * width
    assert rank and decoding.weights_of_a_step(small) == 4 * (
        layers * (matrices + vectors) + 2 * 2 * width + tokens * width
    )


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
