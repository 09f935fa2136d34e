"""export: one folder that holds all a model needs and nothing of the corpus, or nothing at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from glossfree import export as module
from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import ModelError, RunError
from glossfree.export import export_model
from glossfree.serving.folder import verify


def test_the_folder_holds_weights_of_the_last_stage_and_the_head(tiny_run: Path, tiny_model: Path) -> None:
    found = load_file(tiny_model / "model.safetensors")
    last = load_file(tiny_run / "weights/finetune2.safetensors")
    head = load_file(tiny_run / "weights/pretrain.safetensors")
    prefix = "objectives.pseudo_gloss."
    expected = {name: tensor for name, tensor in last.items() if not name.startswith("objectives.")}
    expected |= {name.removeprefix(prefix): t for name, t in head.items() if name.startswith(prefix + "head.")}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_the_card_tells_files_and_scores(tiny_run: Path, tiny_model: Path) -> None:
    card = verify(tiny_model)
    assert card["scores"]["scores.test"] == json.loads((tiny_run / "scores.test.json").read_text())
    assert (tiny_model / "recipe.toml").read_bytes() == (tiny_run / "recipe.toml").read_bytes()


def test_no_sentence_of_the_corpus_leaves_with_the_model(tiny: Any, tiny_model: Path) -> None:
    texts = [
        path.read_text(encoding="utf-8") for path in tiny_model.rglob("*") if path.suffix in (".json", ".toml", ".md")
    ]
    for clip in Manifest.load(tiny.corpus):
        assert not any(clip.text in text for text in texts)


def test_nothing_that_is_there_is_touched(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.txt").write_text("mine")
    with pytest.raises(ModelError, match="not empty"):
        export_model(tiny_run, tmp_path / "model", Silent())
    with pytest.raises(ModelError, match="is a file"):
        export_model(tiny_run, tmp_path / "model/mine.txt", Silent())
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    export_model(tiny_run, tmp_path / "model", Silent())
    verify(tmp_path / "model")


def test_what_fails_on_the_way_leaves_nothing(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copyfile", full)
        with pytest.raises(ModelError, match="No space left"):
            export_model(tiny_run, tmp_path / "model", Silent())
    assert list(tmp_path.iterdir()) == []
    shutil.copytree(tiny_run, tmp_path / "run")
    for stage in ("finetune1", "finetune2"):
        (tmp_path / f"run/weights/{stage}.safetensors").unlink()
    with pytest.raises(RunError, match="no stage that learns to translate has finished"):
        export_model(tmp_path / "run", tmp_path / "model", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_missing_weights_are_warned_of(tiny_run: Path, tmp_path: Path, call: Any) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "weights/finetune2.safetensors").unlink()
    shown = call("evaluate", run)
    assert (shown.code, "stage finetune2 has not finished" in shown.err) == (0, True)
    (run / "weights/pretrain.safetensors").unlink()
    shown = call("export", run, tmp_path / "model", "--json")
    assert json.loads(shown.out) == {"path": str(tmp_path / "model")}
    assert "no timeline" in shown.err
    assert verify(tmp_path / "model")["timeline"] is False
