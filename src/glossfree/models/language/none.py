"""No language encoder: segment features are the video features."""

from __future__ import annotations

from typing import Literal

from glossfree.models.choices import Language, LanguageEncoder
from glossfree.padded import Padded


class NoEncoder(Language):
    """No encoder; `hidden_size` is the width E of segments."""

    kind: Literal["none"] = "none"

    def build(self, vocabulary_size: int) -> Unchanged:
        """A module without weights."""
        return Unchanged()


class Unchanged(LanguageEncoder):
    """Padded (B, S, E) -> the same."""

    def forward(self, segments: Padded) -> Padded:
        """Padded (B, S, E) -> the same."""
        return segments
