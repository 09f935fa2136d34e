"""Masked spans of words."""

from __future__ import annotations

import numpy as np
import pytest

from glossfree.text.noise import mask_spans, noise_tokens
from glossfree.text.tokenizer import SentenceTokenizer

TEXT = "an den küsten weht der wind böig und später stürmisch aus nordwest"


@pytest.fixture(scope="module")
def tokenizer() -> SentenceTokenizer:
    return SentenceTokenizer.train([TEXT, "der nebel löst sich nur zögernd auf"], 70)


def is_subsequence(part: list[str], sequence: list[str]) -> bool:
    rest = iter(sequence)
    return all(word in rest for word in part)


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.35, 0.8, 0.99])
@pytest.mark.parametrize("mean_span", [0.01, 1.0, 3.5])
def test_what_is_left_stands_in_order(ratio: float, mean_span: float) -> None:
    rng = np.random.default_rng(3)
    for length in range(1, 20):
        words = [f"wort{number}" for number in range(length)]
        masked = mask_spans(words, ratio, mean_span, rng)
        left = [word for word in masked if word is not None]
        assert is_subsequence(left, words)
        assert masked
        assert left or length == 1
        assert len(masked) <= 3 * length
        if len(left) < length:
            assert None in masked


def test_the_share_of_masked_words_is_the_ratio() -> None:
    rng = np.random.default_rng(8)
    for length in (3, 7, 17):
        words = [str(number) for number in range(length)]
        left = [sum(word is not None for word in mask_spans(words, 0.35, 3.5, rng)) for _ in range(3000)]
        assert 1 - np.mean(left) / length == pytest.approx(0.35, abs=0.02)


def test_one_mask_stands_for_a_span_and_short_spans_insert() -> None:
    rng = np.random.default_rng(1)
    words = [str(number) for number in range(40)]
    longs = [mask_spans(words, 0.5, 10.0, rng).count(None) for _ in range(200)]
    shorts = [mask_spans(words, 0.5, 1.0, rng).count(None) for _ in range(200)]
    assert np.mean(longs) < 4 < 15 < np.mean(shorts)  # 20 words in spans of 10, and of 1 with insertions between


def test_every_place_can_be_masked() -> None:
    rng = np.random.default_rng(2)
    hidden = {word for _ in range(300) for word in set(TEXT.split()) - set(mask_spans(TEXT.split(), 0.3, 2.0, rng))}
    assert hidden == set(TEXT.split())


def test_no_ratio_no_mask(tokenizer: SentenceTokenizer) -> None:
    assert noise_tokens(tokenizer, TEXT, 0.0, 3.5, np.random.default_rng(0)) == tokenizer.encode(TEXT)


def test_encoder_ids_are_the_pieces_with_masks(tokenizer: SentenceTokenizer) -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        ids = noise_tokens(tokenizer, TEXT, 0.35, 3.5, rng)
        assert ids[-2:] == [tokenizer.eos_id, tokenizer.language_id]
        assert len(ids) > 2
        assert is_subsequence(tokenizer.decode(i for i in ids if i != tokenizer.mask_id).split(), TEXT.split())
        pieces = [token for token in ids[:-2] if token != tokenizer.mask_id]
        assert is_subsequence([str(i) for i in pieces], [str(i) for i in tokenizer.piece_ids(TEXT)])


def test_the_same_generator_gives_the_same_noise(tokenizer: SentenceTokenizer) -> None:
    runs = [
        [noise_tokens(tokenizer, TEXT, 0.35, 3.5, rng) for _ in range(9)]
        for rng in (np.random.default_rng(6), np.random.default_rng(6), np.random.default_rng(7))
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_single_word_is_never_nothing(tokenizer: SentenceTokenizer) -> None:
    rng = np.random.default_rng(9)
    for _ in range(30):
        assert len(noise_tokens(tokenizer, "nebel", 0.9, 3.5, rng)) > 2
    with pytest.raises(ValueError, match="without words"):
        noise_tokens(tokenizer, " ", 0.35, 3.5, rng)
