"""The sentence pairs of tests/originals, and what the originals' packages gave for them."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ORIGINALS = Path(__file__).parents[1] / "originals"


@pytest.fixture(scope="session")
def originals() -> ModuleType:
    """tests/originals/pairs.py as a module: `SETS` of pairs (hypothesis, reference), `sha256`, `lower`, `ended`."""
    spec = spec_from_file_location("originals_pairs", ORIGINALS / "pairs.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pairs(originals: ModuleType) -> dict[str, list[tuple[str, str]]]:
    """{set: pairs}."""
    return {name: make() for name, make in originals.SETS.items()}


@pytest.fixture(scope="session")
def expected() -> dict[str, dict[str, object]]:
    """{file without .json: its content}."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ORIGINALS / "expected").glob("*.json")}
