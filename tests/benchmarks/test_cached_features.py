"""What is compared is the same training: from frames, and from what was made of them before."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cached_features
from glossfree.recipe.schema import Recipe


@pytest.mark.slow
def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_features, "CLIPS", 12)
    monkeypatch.setattr(cached_features, "ROUNDS", 1)
    epochs: list[tuple[str, float]] = []
    epoch = cached_features._epoch

    def timed(recipe: Recipe, *rest: Path) -> float:
        epochs.append((recipe.vision.features, epoch(recipe, *rest)))
        return epochs[-1][1]

    monkeypatch.setattr(cached_features, "_epoch", timed)
    lines = cached_features.run().splitlines()
    assert [kind for kind, _ in epochs] == ["video", "cached"] * 2
    assert [line.split("|")[2].strip() for line in lines[2:4]] == [f"{seconds:.1f}" for _, seconds in epochs[2:]]
    assert f"Video over features: {epochs[2][1] / epochs[3][1]:.1f} times" in lines[-1]
