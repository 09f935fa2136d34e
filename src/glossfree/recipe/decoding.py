"""The values of a recipe about beam search."""

from __future__ import annotations

from typing import Literal

from glossfree.settings import Section, value


class DecodeConfig(Section):
    """Beam search."""

    num_beams: int = value(4, "released", "beams", ge=1)
    max_new_tokens: int = value(100, "assumed", "tokens of a translation at most", ge=1)
    length_penalty: float = value(1.0, "assumed", "exponent of the length in a beam's score", ge=-10, le=10)
    batch_size: int = value(16, "assumed", "clips decoded together", ge=1)
    source: Literal["video", "words"] = value(
        "video", "stated", "what the decoder reads: the video, or (CSGCR) only the pseudo-glosses found in it"
    )
    word_threshold: float = value(
        0.5, "assumed", "score of eq 3 from which a pseudo-gloss is found; the highest one always is", ge=0, le=1
    )
    rerank: float = value(
        0.0,
        "assumed",
        "of the num_beams best sentences, evaluate takes that of the highest score + rerank * similarity to the video",
        ge=0,
    )
