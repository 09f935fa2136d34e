"""What the house rules are held against: the source as syntax trees, and the files that git keeps."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# where there is no git (an unpacked archive): what lies here is looked at instead
FOLDERS = ("src", "tests", "docs", "recipes", "benchmarks")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> dict[str, str]:
    """Dotted name of every module of the package -> its text; a package goes by its folder's name."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    assert len(found) > 50
    return found


@pytest.fixture(scope="session")
def trees(sources: dict[str, str]) -> dict[str, ast.Module]:
    """Dotted name of every module of the package -> its syntax tree."""
    return {name: ast.parse(text) for name, text in sources.items()}


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file that git keeps and that is there."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        found = [ROOT / name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
        found += ROOT.glob("*.*")
    return sorted(path for path in found if path.is_file())
