"""Both forms of an invented run are exported, opened and timed, at small sizes."""

from __future__ import annotations

import pytest
import torch

from benchmarks import int8
from glossfree.recipe.schema import Recipe


@pytest.mark.slow
def test_both_forms_are_measured(small: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(int8, "STARTS", 1)
    decode = small.decode.model_copy(update={"max_new_tokens": 6, "num_beams": 2})
    text = int8.run(small.model_copy(update={"decode": decode}), frames=5, segments=5, rounds=1)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["floats", "8 bits", "ratio"]
    assert 1.5 < float(rows[2][1]) < 4 and all(float(cell) > 0 for row in rows for cell in row[1:])
