"""Recipe files that tests of recipes write."""

from __future__ import annotations

from pathlib import Path

PAPER = "hfa-phoenix14t"


def recipe_file(folder: Path, text: str, name: str = "mine.toml") -> Path:
    """A recipe in a folder that may not be there yet."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
