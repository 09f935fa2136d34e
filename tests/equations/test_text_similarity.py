"""GASLT's similarity loss against loops over pairs of clips in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.text_similarity import TextSimilarity, text_similarity_loss
from glossfree.padded import Padded
from glossfree.video.batch import ClipBatch

E, Q = 14, 9
LENGTHS = (5, 3, 1, 4)
TEXTS = ("es taut", "morgen schneit es", "es taut", "es regnet")


def rows(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5


VIDEOS = [rows(number, length, E) for number, length in enumerate(LENGTHS)]
VECTORS = {text: rows(30 + number, Q) for number, text in enumerate((*TEXTS, "nie gezeigt"))}


def naive_cosine(a: list[float], b: list[float]) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def naive_loss(vectors: dict[str, list[float]]) -> float:
    means = [[sum(float(x) for x in column) / len(video) for column in video.T] for video in VIDEOS]
    differences = [
        naive_cosine(means[i], means[j]) - naive_cosine(vectors[TEXTS[i]], vectors[TEXTS[j]])
        for j in range(len(TEXTS))
        for i in range(j)
    ]
    return sum(each**2 for each in differences) / len(differences)


def loss_of(objective: TextSimilarity, inputs: Inputs) -> float:
    loss = objective.build(Sizes(7, E, 50), inputs)
    values = torch.nn.utils.rnn.pad_sequence([*VIDEOS], batch_first=True, padding_value=1e3).float()
    video = Padded(values, torch.tensor(LENGTHS))
    labels = torch.zeros(len(TEXTS), 3, dtype=torch.long)
    batch = ClipBatch(TEXTS, video.pack(), video.lengths, TEXTS, labels, level="segment_features")
    return float(loss(*loss.features(Levels(video=video), batch)))


def test_vectors_that_the_user_names_are_taken_as_they_are() -> None:
    inputs = Inputs(sentence_vectors={text: vector.float() for text, vector in VECTORS.items()})
    expected = naive_loss({text: vector.tolist() for text, vector in VECTORS.items()})
    assert loss_of(TextSimilarity(vectors="some.npz"), inputs) == pytest.approx(expected, rel=1e-5)


def test_the_text_encoder_s_are_centred_by_the_mean_of_all_sentences() -> None:
    inputs = Inputs(text_features={text: vector.float() for text, vector in VECTORS.items()})
    centre = [sum(float(v[d]) for v in VECTORS.values()) / len(VECTORS) for d in range(Q)]
    centred = {t: [float(x) - c for x, c in zip(v, centre, strict=True)] for t, v in VECTORS.items()}
    assert loss_of(TextSimilarity(), inputs) == pytest.approx(naive_loss(centred), rel=1e-5)


def test_it_is_zero_where_videos_are_their_sentences_and_refuses_what_has_no_pair() -> None:
    vectors = rows(1, 3, E)
    assert float(text_similarity_loss(2 * vectors, vectors)) == pytest.approx(0, abs=1e-9)
    for clips, sentences in ((1, 1), (3, 2)):
        with pytest.raises(ValueError, match="two or more"):
            text_similarity_loss(rows(1, clips, E), rows(2, sentences, Q))
