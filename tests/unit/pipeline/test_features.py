"""`features`: stopped at any clip it goes on, and gives the same files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from glossfree.console import Silent
from glossfree.errors import ModelError, RecipeError
from glossfree.pipeline import features
from glossfree.pipeline.features import compute_features
from glossfree.video.features import FeatureStore


@pytest.fixture
def corpus(tiny: Any, tmp_path: Path) -> Path:
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    return tmp_path / "corpus"


def files(corpus: Path) -> dict[str, bytes]:
    found = (corpus / "features").rglob("*.safetensors")
    return {path.name: path.read_bytes() for path in found}


def test_stopped_in_the_middle_it_goes_on_to_the_same_files(
    corpus: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_features(corpus, str(tiny_run), console=Silent())
    whole = files(corpus)
    shutil.rmtree(corpus / "features")
    write, calls = FeatureStore.write, []

    def stopping(self: FeatureStore, clip: Any, *rest: Any) -> None:
        calls.append(clip.id)
        if len(calls) == 9:
            raise KeyboardInterrupt
        write(self, clip, *rest)

    monkeypatch.setattr(FeatureStore, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        compute_features(corpus, str(tiny_run), console=Silent())
    monkeypatch.undo()
    report = compute_features(corpus, str(tiny_run), console=Silent())
    assert (report.kept, report.written, report.bad) == (8, 13, ())
    assert files(corpus) == whole


def test_what_made_them_stands_beside_them(corpus: Path, tiny_run: Path) -> None:
    report = compute_features(corpus, str(tiny_run), console=Silent())
    about = json.loads((Path(report.folder) / "features.json").read_text())
    assert (about["encoder"], about["width"], about["frame_size"], about["crop_size"]) == (str(tiny_run), 24, 28, 24)
    assert (about["kind"], about["num_layers"], about["patch_size"], about["image_size"]) == ("dinov2", 2, 8, 24)
    assert list(about["files"]) == ["finetune2.safetensors"] and len(about["weights"]) == 64
    assert "21 clips written, 0 there before" in report.to_text()


def test_what_cannot_be_used_is_refused(tiny: Any, corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights here"):
        compute_features(corpus, str(tmp_path), console=Silent(), recipe=tiny.recipe)
    with pytest.raises(RecipeError, match="packed at 28"):
        compute_features(corpus, str(tiny_run), console=Silent(), overrides=["data.frame_size=32"])
    assert not (corpus / "features").exists()


def test_a_precision_has_features_of_its_own_and_a_slow_one_is_named(
    corpus: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the run trained, here all of its backbone is frozen."""
    half = ["vision.frozen_precision=bf16", "vision.adapter_layers=2"]  # in training no block would be left for it
    warnings: list[str] = []
    monkeypatch.setattr(features, "fast_precisions", frozenset)
    monkeypatch.setattr(Silent, "warn", lambda _, text: warnings.append(text))
    rounded = compute_features(corpus, str(tiny_run), console=Silent(), overrides=half)
    assert len(warnings) == 1 and "vision.frozen_precision is bf16" in warnings.pop()
    usual = compute_features(corpus, str(tiny_run), console=Silent())
    assert usual.folder != rounded.folder and usual.written == rounded.written == 21 and not warnings
