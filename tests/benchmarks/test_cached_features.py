"""What is compared is the same training: from frames, and from what was made of them before."""

from __future__ import annotations

import pytest

from benchmarks import cached_features


@pytest.mark.slow
def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_features, "CLIPS", 12)
    monkeypatch.setattr(cached_features, "ROUNDS", 1)
    found: list[tuple[str, float]] = []
    epoch = cached_features._epoch

    def timed(recipe: object, *rest: object) -> float:
        found.append((recipe.vision.features, epoch(recipe, *rest)))  # type: ignore[attr-defined,arg-type]
        return found[-1][1]

    monkeypatch.setattr(cached_features, "_epoch", timed)
    lines = cached_features.run().splitlines()
    assert [kind for kind, _ in found] == ["video", "cached"] * 2
    assert [line.split("|")[2].strip() for line in lines[2:4]] == [f"{seconds:.1f}" for _, seconds in found[2:]]
    assert f"Video over features: {found[2][1] / found[3][1]:.1f} times" in lines[-1]
