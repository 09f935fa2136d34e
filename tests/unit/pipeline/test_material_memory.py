"""What a corpus keeps in memory while it is trained on, from stage to stage."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from glossfree.errors import ClipError
from glossfree.pipeline.material import Material, gather
from glossfree.recipe.files import load_recipe
from glossfree.video.features import FeatureStore

MANY = 20_001  # pseudo-glosses


def from_features(tiny: Any, folder: Path, *overrides: str) -> Material:
    """The tiny corpus with a feature of every frame, from which all stages train."""
    material = gather(load_recipe(tiny.recipe, overrides), tiny.corpus)
    store = FeatureStore(folder, "key", 6, "make them")
    for clip in material.manifest:
        store.write(clip, torch.randn(clip.num_frames, 6), "stamp")
    return replace(material, store=store)


def read(material: Material, stage: str) -> dict[str, list[list[float]]]:
    """{clip id: features} of an epoch of a stage."""
    loader = material.loader("train", material.recipe.stage(stage))
    assert loader is not None
    rows = {}
    for batch in loader:
        parts = batch.frames.split(batch.lengths.tolist())
        rows |= {clip: part.tolist() for clip, part in zip(batch.ids, parts, strict=True)}
    return rows


def test_pseudo_glosses_are_dense_rows_in_a_batch_only(tiny: Any, tmp_path: Path) -> None:
    material = from_features(tiny, tmp_path, "data.cache_megabytes=1")
    assert material.glosses is not None
    more = (f"word{number}" for number in range(MANY - len(material.glosses)))
    glosses = replace(material.glosses, inventory=(*material.glosses.inventory, *more))
    material, clips = replace(material, glosses=glosses), material.clips("train")
    assert glosses.targets(clips[0].text).shape == (MANY,)
    read(material, "finetune2")  # features, which are kept, and whatever else is made once
    tracemalloc.start()
    loader = material.loader("train", material.recipe.stage("pretrain"))
    assert loader is not None
    shapes = {batch.targets["pseudo_glosses"].shape[1:] for batch in loader}
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shapes == {(MANY,)}
    assert kept < len(clips) * MANY * 4 / 5


@pytest.mark.parametrize(("megabytes", "is_kept"), [(1, True), (0, False)])
def test_features_that_one_stage_has_read_are_there_for_the_next(
    tiny: Any, tmp_path: Path, megabytes: int, is_kept: bool
) -> None:
    material = from_features(tiny, tmp_path, f"data.cache_megabytes={megabytes}")
    assert material.store is not None
    rows = read(material, "pretrain")
    for clip in material.manifest:
        material.store.drop(clip)
    if is_kept:
        assert read(material, "finetune2") == rows
    else:
        with pytest.raises(ClipError, match="make them"):
            read(material, "finetune2")


def test_features_of_other_weights_are_not_those_that_were_read(tiny: Any, tmp_path: Path) -> None:
    material = from_features(tiny, tmp_path, "data.cache_megabytes=1")
    assert material.store is not None
    rows = read(material, "pretrain")
    other = replace(material.store, key="other")
    for clip in material.manifest:
        other.write(clip, torch.randn(clip.num_frames, 6), "stamp")
    others = read(replace(material, store=other), "pretrain")
    assert others.keys() == rows.keys() and all(others[clip] != rows[clip] for clip in rows)
