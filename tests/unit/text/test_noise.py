"""Masked spans of words, masked ends, and pseudo-glosses as an imperfect head recognises them."""

from __future__ import annotations

import numpy as np
import pytest

from glossfree.text.noise import NoisyWords, encoder_ids, mask_spans, mask_tail
from glossfree.text.tokenizer import SentenceTokenizer

TEXT = "an den küsten weht der wind böig und später stürmisch aus nordwest"


@pytest.fixture(scope="module")
def tokenizer() -> SentenceTokenizer:
    return SentenceTokenizer.train([TEXT, "der nebel löst sich nur zögernd auf"], 70, "de_DE")


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


def span_ids(tokenizer: SentenceTokenizer, text: str, mask_ratio: float, rng: np.random.Generator) -> list[int]:
    return encoder_ids(tokenizer, mask_spans(text.split(), mask_ratio, 3.5, rng))


def test_no_ratio_no_mask(tokenizer: SentenceTokenizer) -> None:
    assert span_ids(tokenizer, TEXT, 0.0, np.random.default_rng(0)) == tokenizer.encode(TEXT)


def test_encoder_ids_are_the_pieces_with_masks(tokenizer: SentenceTokenizer) -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        ids = span_ids(tokenizer, TEXT, 0.35, rng)
        assert ids[-2:] == [tokenizer.eos_id, tokenizer.language_id]
        assert len(ids) > 2
        assert is_subsequence(tokenizer.decode(i for i in ids if i != tokenizer.mask_id).split(), TEXT.split())
        pieces = [token for token in ids[:-2] if token != tokenizer.mask_id]
        assert is_subsequence([str(i) for i in pieces], [str(i) for i in tokenizer.piece_ids(TEXT)])


def test_the_same_generator_gives_the_same_noise(tokenizer: SentenceTokenizer) -> None:
    runs = [
        [span_ids(tokenizer, TEXT, 0.35, rng) for _ in range(9)]
        for rng in (np.random.default_rng(6), np.random.default_rng(6), np.random.default_rng(7))
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_single_word_is_never_nothing(tokenizer: SentenceTokenizer) -> None:
    rng = np.random.default_rng(9)
    for _ in range(30):
        assert len(span_ids(tokenizer, "nebel", 0.9, rng)) > 2


def test_no_words_are_the_end_alone(tokenizer: SentenceTokenizer) -> None:
    assert encoder_ids(tokenizer, []) == [tokenizer.eos_id, tokenizer.language_id]


def test_the_last_words_are_masked_each_by_itself(tokenizer: SentenceTokenizer) -> None:
    rng = np.random.default_rng(5)
    words = [str(number) for number in range(20)]
    numbers = []
    for _ in range(2000):
        masked = mask_tail(words, 0.15, rng)
        assert len(masked) == 20
        numbers.append(masked.count(None))
        assert masked == [*words[: 20 - numbers[-1]], *[None] * numbers[-1]]
    assert np.bincount(numbers)[1:] == pytest.approx([2000 / 3] * 3, abs=100)  # ceil(20 r) = 1, 2 or 3, r < 0.15
    assert mask_tail(["nebel"], 0.15, rng) == [None]
    assert mask_tail(words, 0.0, rng) == words
    assert encoder_ids(tokenizer, ["nebel", None, None]) == [
        *tokenizer.piece_ids("nebel"), tokenizer.mask_id, tokenizer.mask_id, tokenizer.eos_id, tokenizer.language_id
    ]  # fmt: skip


COUNTS = {f"wort{number}": 1 + number % 3 for number in range(60)}
OWN = ["wort0", "wort7", "wort8", "wort7", "wort31"]


def test_words_without_noise_are_a_set_or_the_sequence() -> None:
    rng = np.random.default_rng(3)
    assert NoisyWords(COUNTS, 0.0, 0.0, shuffled=False)(OWN, rng) == OWN
    shuffled = [tuple(NoisyWords(COUNTS, 0.0, 0.0, shuffled=True)(OWN, rng)) for _ in range(200)]
    assert {tuple(sorted(words)) for words in shuffled} == {tuple(sorted(set(OWN)))}
    assert len(set(shuffled)) == 24, "every order of four words"


@pytest.mark.parametrize("shuffled", [True, False])
def test_rates_are_those_of_a_head_s_precision_and_recall(shuffled: bool) -> None:
    rng = np.random.default_rng(4)
    recall, precision, own = 0.8, 0.6, OWN[:3] + OWN[4:]
    noisy = NoisyWords(COUNTS, 1 - recall, recall * (1 / precision - 1), shuffled=shuffled)
    draws = [noisy(own, rng) for _ in range(4000)]
    hits, read = (sum(sum(word in own for word in words) for words in draws), sum(map(len, draws)))
    assert hits / (4000 * len(own)) == pytest.approx(recall, abs=0.02)
    assert hits / read == pytest.approx(precision, abs=0.02)
    assert all(len(set(words)) == len(words) for words in draws)
    assert {word for words in draws for word in words} == set(COUNTS)
    if not shuffled:
        assert all(is_subsequence([word for word in words if word in own], own) for words in draws)


def test_wrong_words_are_as_frequent_as_in_the_corpus_and_stand_anywhere() -> None:
    rng = np.random.default_rng(6)
    noisy = NoisyWords({"nebel": 5, "sonne": 30, "frost": 10}, 0.0, 1.0, shuffled=False)
    draws = [noisy(["nebel"], rng) for _ in range(3000)]
    single = [words for words in draws if len(words) == 2]
    assert sum("sonne" in words for words in single) / len(single) == pytest.approx(0.75, abs=0.03)
    assert sum(words[0] == "nebel" for words in single) / len(single) == pytest.approx(0.5, abs=0.05)
    assert max(map(len, draws)) == 3, "not more than there are"


def test_a_word_remains_and_none_comes_from_none() -> None:
    rng = np.random.default_rng(8)
    noisy = NoisyWords(COUNTS, 0.99, 0.0, shuffled=True)
    draws = [noisy(OWN, rng) for _ in range(200)]
    assert min(map(len, draws)) == 1
    assert {word for words in draws for word in words} == set(OWN)
    assert noisy([], rng) == []
    assert NoisyWords({"nebel": 2}, 0.0, 9.0, shuffled=True)(["nebel"], rng) == ["nebel"]
