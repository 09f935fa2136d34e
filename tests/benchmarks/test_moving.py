"""The benchmark of patches that are not computed anew, at the smallest sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from benchmarks.moving import Saving

from benchmarks import moving
from glossfree.recipe.files import load_recipe
from glossfree.training.device import fast_precisions


def test_the_table_has_a_row_for_each_saving(tiny: Any) -> None:
    lines = moving.run(str(tiny.recipe), num_frames=9, rounds=1).splitlines()
    names = ["1", "0.5", "0.25", "0.125", *(["1, bf16", "0.5, bf16"] if "bf16" in fast_precisions() else [])]
    rows = lines[2 : 2 + len(names)]
    assert [line.strip("| ").split(" | ")[0] for line in rows] == names and lines[2 + len(names)] == ""
    assert all(line.count("(") == 2 for line in rows)


def test_a_run_with_all_patches_changes_nothing_and_with_few_its_features(tiny_run: Path) -> None:
    lines = moving.of_run(tiny_run, (Saving(), Saving(0.2), Saving(1.0, "bf16"))).splitlines()
    whole, few, half = (line.strip("| ").split(" | ") for line in lines[2:5])
    assert (whole[0], whole[1], whole[2]) == ("1", "0.000", "4 of 4")
    assert few[0] == "0.2" and float(few[1]) > 0
    assert half[0] == "1, bf16" and float(half[1]) < float(few[1])


def test_all_shares_have_the_same_weights(tiny: Any) -> None:
    one, other = (moving.encoder(str(tiny.recipe), share) for share in (Saving(), Saving(0.5)))
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_a_small_vit_learns_features_and_can_be_named_as_weights(tiny_run: Path, tmp_path: Path) -> None:
    text = moving.teach(tiny_run, tmp_path / "weights", epochs=60)
    settings = [word for word in text.split() if word.startswith("vision.")]
    assert f"vision.weights={tmp_path / 'weights'}" in settings
    options = load_recipe("demo", settings).vision
    module = options.build()
    options.load(module, tmp_path / "weights")
    assert float(text.split()[0]) < 1, "less is left than at the beginning"
