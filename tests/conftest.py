"""Fixtures that every room of the tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with PHOENIX14T's annotations and mBART's tokenizer; a user's machine has none: skip."""
    folder = Path(os.environ.get("GLOSSFREE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "phoenix14t").is_dir():
        pytest.skip("no folder shared/ with PHOENIX14T's annotations beside the checkout")
    return folder
