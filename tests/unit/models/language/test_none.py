"""No language encoder at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from glossfree.errors import RecipeError
from glossfree.models.language.none import NoEncoder
from glossfree.padded import Padded


def test_segment_features_are_the_video_features() -> None:
    module = NoEncoder(hidden_size=18).build(53)
    segments = Padded(torch.randn(2, 5, 18), torch.tensor([5, 3]))
    assert module(segments) is segments
    assert list(module.parameters()) == []


def test_it_has_no_weights_to_load_and_reads_no_text() -> None:
    options = NoEncoder()
    module = options.build(53)
    with pytest.raises(RecipeError, match=r"some/folder: .*no foreign weights -> .*weights = \"\""):
        options.load(module, Path("some/folder"), None)
    assert not options.reads_text
    with pytest.raises(NotImplementedError):
        module.read(torch.tensor([[5, 2, 40]]))
