"""demo: from nothing to a table and a report, going on where it stopped; what it must reach, `make demo` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glossfree.cli import demo as module
from glossfree.cli.demo import Demo, demo
from glossfree.cli.prepare import prepare
from glossfree.console import Silent
from glossfree.errors import Interrupted, RecipeError


@pytest.fixture(autouse=True)
def few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(corpus: str, **options: Any) -> Any:
        return prepare(corpus, train=12, dev=4, test=5, workers=1, **options)

    monkeypatch.setattr(module, "prepare", small)


@pytest.mark.slow
def test_it_makes_everything_once(tiny: Any, tmp_path: Path) -> None:
    first = demo(out=tmp_path, recipe=tiny.recipe, compare=True, console=Silent())
    assert {name: set(splits) for name, splits in first.scores.items()} == {
        "with-pretraining": {"dev", "test"},
        "without-pretraining": {"dev", "test"},
    }
    assert len(first.examples) == 5
    assert first.report.is_file() and first.clip.is_file() and (first.model / "model.json").is_file()
    text = first.to_text()
    for words in ("BLEU-4", str(first.report), f"glossfree translate {first.model} {first.clip}"):
        assert words in text

    stages = {path.stem for path in (tmp_path / "without-pretraining/weights").iterdir()}
    assert stages == {"finetune1", "finetune2"}  # the text model is the other run's

    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    console = Silent()
    again = demo(out=tmp_path, recipe=tiny.recipe, console=console)
    assert again.scores["with-pretraining"] == first.scores["with-pretraining"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not any("epoch" in line for line in console.lines)


def test_stopped_it_says_that_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        error = Interrupted("stopped", where="run", remedy="--resume goes on")
        error.signal = 2
        raise error

    monkeypatch.setattr(module, "train_recipe", stopped)
    with pytest.raises(Interrupted) as caught:
        demo(out=tmp_path, console=Silent())
    assert (caught.value.signal, caught.value.where, caught.value.remedy) == (2, "run", "the same command goes on")


def test_a_recipe_is_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"vision\.hiden_size"):
        demo(out=tmp_path / "demo", overrides=["vision.hiden_size=3"], console=Silent())
    assert not (tmp_path / "demo").exists()


def test_the_summary_adds_up(tmp_path: Path) -> None:
    shown = Demo({}, (("es taut", "es regnet"),), Path("r.html"), Path("m"), Path("c.mp4"), {"a": 2.0, "b": 3.4})
    text = shown.to_text()
    assert "5 s: a 2 s, b 3 s" in text
    assert "es taut" in text and "es regnet" in text
    assert text.endswith("glossfree translate m c.mp4")
