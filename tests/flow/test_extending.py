"""docs/extending.md, step by step, as a stranger would take it, in a copy of the source.

Each addition is one file, its line in a registry and a recipe: `git status` shows nothing else. It trains two epochs,
is exported, and translates.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glossfree.recipe.files import load_recipe
from glossfree.video.pack import write_clip

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
FILE = re.compile(r"`(src/glossfree/\S+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)
LINES = re.compile(r"`(src/glossfree/\S+\.py)`:\n\n```diff\n\+(from .*?)\n\+(.*?)\n```")
RECIPE = re.compile(
    r"`(recipes/\S+\.toml)`\..*?```toml\n(.*?)```|`(recipes/\S+\.toml)`:\n\n```toml\n(.*?)```", re.DOTALL
)
ENTRY = re.compile(r'\s+("\w+": \w+,|Corpus\("\w+", .*\),)$')
EPOCHS = ("denoise", "pretrain", "finetune1", "finetune2")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Addition:
    """One section of the page: a new file, the file of a registry with two lines for it, and a recipe, if any."""

    file: str
    code: str
    registry: str
    import_line: str
    entry: str
    recipe: str
    toml: str


def addition(title: str) -> Addition:
    """A section of the page -> what it tells a reader to write."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    file, lines, recipe = FILE.search(section), LINES.search(section), RECIPE.search(section)
    assert file and lines
    path, toml = ("", "") if recipe is None else [text for text in recipe.groups() if text is not None]
    return Addition(file[1], file[2], lines[1], lines[2], lines[3], path, toml)


def carried_out(addition: Addition, copy: Path) -> None:
    """Write it into a copy of the source."""
    for name, text in ((addition.file, addition.code), (addition.recipe, addition.toml)):
        if name:
            assert not (copy / name).exists()
            (copy / name).write_text(text, encoding="utf-8")
    registry = copy / addition.registry
    lines = registry.read_text(encoding="utf-8").splitlines()
    last_entry = max(number for number, line in enumerate(lines) if ENTRY.match(line))
    lines.insert(last_entry + 1, addition.entry)
    last_import = max(number for number, line in enumerate(lines) if line.startswith("from glossfree."))
    lines.insert(last_import + 1, addition.import_line)
    registry.write_text("\n".join(lines) + "\n", encoding="utf-8")


def git(copy: Path, *words: str) -> str:
    identity = ["-c", "user.name=stranger", "-c", "user.email=stranger@example.net"]
    done = subprocess.run(["git", *identity, *words], cwd=copy, capture_output=True, text=True, check=True)
    return done.stdout


def glossfree(copy: Path, *arguments: object) -> str:
    """The command line of the copy -> what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "glossfree", *map(str, arguments)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the source and the recipes under version control."""
    folder = tmp_path / "copy"
    for name in ("src/glossfree", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "as it is")
    return folder


@pytest.fixture(scope="session")
def wetter(tmp_path_factory: pytest.TempPathFactory, call: Any) -> Path:
    """A corpus at the demo's frame size."""
    corpus = tmp_path_factory.mktemp("extending") / "wetter"
    counts = ("--train", 12, "--dev", 4, "--test", 2, "--frame-size", 64, "--workers", 1)
    assert call("prepare", "wetter", *counts, "--out", corpus).code == 0
    assert call("glosses", corpus).code == 0
    return corpus


def trains_and_translates(copy: Path, recipe: str, corpus: Path, folder: Path) -> None:
    """Two epochs of every stage, a model folder, a sentence."""
    run, model = folder / "run", folder / "model"
    two = [word for stage in EPOCHS for word in ("--set", f"{stage}.epochs=2")]
    glossfree(copy, "train", "--recipe", recipe, "--corpus", corpus, "--run", run, *two)
    glossfree(copy, "export", run, model)
    (clip, *_) = sorted((corpus / "clips/test").iterdir())
    assert glossfree(copy, "translate", model, clip).count("\n") == 1


@pytest.mark.parametrize("title", ["An objective", "A temporal module", "A decoder", "A backbone"])
def test_an_addition_is_one_file_its_line_and_a_recipe(title: str, copy: Path, wetter: Path, tmp_path: Path) -> None:
    added = addition(title)
    carried_out(added, copy)
    expected = {f"?? {added.file}", f" M {added.registry}", f"?? {added.recipe}"}
    assert set(git(copy, "status", "--porcelain").splitlines()) == expected
    assert git(copy, "diff", "--numstat").split()[:2] == ["2", "0"]
    trains_and_translates(copy, added.recipe, wetter, tmp_path)
    assert set(git(copy, "status", "--porcelain").splitlines()) == expected
    assert Path(added.recipe).stem in glossfree(copy, "recipe", "--list")


def test_a_corpus_is_one_file_and_its_line(copy: Path, tmp_path: Path) -> None:
    added = addition("A corpus")
    carried_out(added, copy)
    expected = {f"?? {added.file}", f" M {added.registry}"}
    assert set(git(copy, "status", "--porcelain").splitlines()) == expected
    rng = np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        for word in ("regen", "sonne", "wolken"):
            video = tmp_path / "videos" / split / f"{word}.mp4"
            write_clip(video, rng.integers(0, 256, (13, 48, 64, 3), dtype=np.uint8), fps=25.0)
            video.with_suffix(".txt").write_text(f"morgen gibt es {word} im ganzen land ({split})\n", encoding="utf-8")
    corpus = tmp_path / "packed"
    glossfree(copy, "prepare", "subtitles", "--root", tmp_path / "videos", "--out", corpus, "--frame-size", "64")
    glossfree(copy, "glosses", corpus)
    assert set(git(copy, "status", "--porcelain").splitlines()) == expected
    trains_and_translates(copy, "demo", corpus, tmp_path)


def test_the_method_of_the_page_is_a_recipe(tmp_path: Path) -> None:
    section = PAGE.split("\n## A method\n")[1]
    path = tmp_path / "method.toml"
    path.write_text(re.findall(r"```toml\n(.*?)```", section, re.DOTALL)[0], encoding="utf-8")
    recipe = load_recipe(path)
    assert [stage.name for stage in recipe.planned] == ["pretrain", "translate"]
    assert recipe.stage("translate").keep == "bleu4"
