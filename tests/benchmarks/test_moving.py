"""The benchmark of patches that are not computed anew, at the smallest sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks import moving


def test_the_table_has_a_row_for_each_share(tiny: Any) -> None:
    lines = moving.run(str(tiny.recipe), num_frames=9, rounds=1).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:6]] == ["| 1", "| 0.5", "| 0.25", "| 0.125"]
    assert all(line.count("(") == 2 for line in lines[2:6])


def test_a_run_with_all_patches_changes_nothing_and_with_few_its_features(tiny_run: Path) -> None:
    lines = moving.of_run(tiny_run, (1.0, 0.2)).splitlines()
    whole, few = (line.strip("| ").split(" | ") for line in lines[2:4])
    assert (whole[0], whole[1], whole[2]) == ("1", "0.000", "4 of 4")
    assert few[0] == "0.2" and float(few[1]) > 0


def test_all_shares_have_the_same_weights(tiny: Any) -> None:
    one, other = (moving.encoder(str(tiny.recipe), share) for share in (1.0, 0.5))
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
