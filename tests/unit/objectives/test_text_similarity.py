"""What the similarity objective asks for. Its equation is in tests/equations."""

from __future__ import annotations

from glossfree.objectives.text_similarity import TextSimilarity


def test_it_needs_the_vectors_that_are_named_or_the_text_encoder() -> None:
    assert TextSimilarity().needs == ("text_features",)
    assert TextSimilarity(vectors="sbert.npz").needs == ("sentence_vectors",)
    assert TextSimilarity.compares_clips and TextSimilarity.level == "video"
