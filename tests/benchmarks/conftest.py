"""The benchmarks are not part of the package: they are imported from the top of the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe

sys.path.insert(0, str(Path(__file__).parents[2]))

SIZES = (
    "data={ frame_size = 56, crop_size = 48 }",
    "text={ vocabulary_size = 71, max_tokens = 64 }",
    "vision={ hidden_size = 30, num_layers = 4, num_heads = 3, patch_size = 12, image_size = 60 }",
    "vision={ adapter_layers = 2, adapter_rank = 5 }",
    "temporal={ hidden_size = 28, num_layers = 3, num_heads = 2, mlp_size = 52, downsample_after = 1 }",
    "language={ hidden_size = 44, num_layers = 2, num_heads = 4, mlp_size = 58, max_positions = 64 }",
    "language.adapter_rank=6",
    "decoder.adapter_rank=7",
    "pretrain.objectives.pseudo_gloss={ num_pseudo_glosses = 37, vector_size = 19 }",
)


@pytest.fixture(scope="session")
def small() -> Recipe:
    """The paper's recipe at small, odd, different sizes: 16 patches, two blocks without adapters below two with."""
    return load_recipe("hfa-phoenix14t", ["name=small", *SIZES])
