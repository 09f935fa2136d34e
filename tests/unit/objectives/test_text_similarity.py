"""What the similarity objective asks for. Its equation is in tests/equations."""

from __future__ import annotations

import pytest
import torch

from glossfree.objectives.base import Inputs, Sizes
from glossfree.objectives.text_similarity import TextSimilarity


def test_it_needs_the_vectors_that_are_named_or_the_text_encoder() -> None:
    assert TextSimilarity().needs == ("text_features",)
    assert TextSimilarity(vectors="sbert.npz").needs == ("sentence_vectors",)
    assert TextSimilarity.compares_clips and TextSimilarity.level == "video"


def test_a_corpus_with_one_distinct_sentence_asks_for_equal_videos() -> None:
    """Minus the mean of all sentences, its vector would be 0, and similar to nothing."""
    module = TextSimilarity().build(
        Sizes(3, 4, 9), Inputs(text_features={"es taut": torch.tensor([1.0, 2.0, 2.0, 0.0])})
    )
    assert module.vectors is not None
    vectors = torch.stack([module.vectors["es taut"] - module.centre] * 3)
    video = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    assert float(module(video[:2], vectors[:2])) == pytest.approx(0)
    assert float(module(video, vectors)) == pytest.approx(2 / 3)
