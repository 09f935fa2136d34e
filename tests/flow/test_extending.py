"""docs/extending.md, step by step, in one copy of the source.

Each addition is one file, its line in a registry and perhaps a recipe: `git status` shows nothing else. One recipe then
uses all of them on the new corpus: it trains two epochs, is exported, and translates.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
STAGES = ("denoise", "pretrain", "finetune1", "finetune2")
TITLES = ("An objective", "A temporal module", "A decoder", "A backbone", "A corpus")

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
    """A section of the page -> the additions that it describes."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    file, lines, recipe = FILE.search(section), LINES.search(section), RECIPE.search(section)
    assert file and lines
    path, toml = ("", "") if recipe is None else [text for text in recipe.groups() if text is not None]
    return Addition(file[1], file[2], lines[1], lines[2], lines[3], path, toml)


def carry_out(addition: Addition, copy: Path) -> None:
    """Write an addition into a copy of the source."""
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
    result = subprocess.run(["git", *identity, *words], cwd=copy, capture_output=True, text=True, check=True)
    return result.stdout


def glossfree(copy: Path, *arguments: object) -> str:
    """The command line of the copy -> what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "glossfree", *map(str, arguments)]
    result = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source and the recipes under version control."""
    folder = tmp_path_factory.mktemp("extending") / "copy"
    for name in ("src/glossfree", "recipes"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "as it is")
    return folder


@pytest.fixture(scope="module")
def additions(copy: Path) -> list[Addition]:
    """All additions of the page, carried out and committed one after another."""
    additions = [addition(title) for title in TITLES]
    for each in additions:
        carry_out(each, copy)
        expected = {f"?? {each.file}", f" M {each.registry}"} | ({f"?? {each.recipe}"} if each.recipe else set())
        assert set(git(copy, "status", "--porcelain").splitlines()) == expected
        assert git(copy, "diff", "--numstat").split()[:2] == ["2", "0"]
        git(copy, "add", ".")
        git(copy, "commit", "--quiet", "--message", each.file)
    return additions


@pytest.fixture(scope="module")
def corpus(copy: Path, additions: list[Addition], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of the page's kind, packed, with pseudo-glosses."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        for word in ("regen", "sonne", "wolken"):
            video = folder / "videos" / split / f"{word}.mp4"
            write_clip(video, rng.integers(0, 256, (13, 48, 64, 3), dtype=np.uint8), fps=25.0)
            video.with_suffix(".txt").write_text(f"morgen gibt es {word} im ganzen land ({split})\n", encoding="utf-8")
    packed = folder / "packed"
    glossfree(copy, "prepare", "texts", "--root", folder / "videos", "--out", packed, "--frame-size", "64")
    glossfree(copy, "glosses", packed)
    return packed


def test_each_recipe_of_the_page_is_valid_and_listed(copy: Path, additions: list[Addition]) -> None:
    recipes = [each.recipe for each in additions if each.recipe]
    assert len(recipes) == 4
    listed = glossfree(copy, "recipe", "--list")  # loads each
    assert all(Path(recipe).stem in listed for recipe in recipes)


def test_all_additions_train_and_translate(copy: Path, additions: list[Addition], corpus: Path, tmp_path: Path) -> None:
    """The tables of all recipes of the page in one."""
    tables = [re.split(r"^(?=\[)", each.toml, maxsplit=1, flags=re.MULTILINE)[1] for each in additions if each.recipe]
    recipe, run, model = tmp_path / "all.toml", tmp_path / "run", tmp_path / "model"
    recipe.write_text("\n".join(['base = "demo"', *tables]), encoding="utf-8")
    two = [word for stage in STAGES for word in ("--set", f"{stage}.epochs=2")]
    glossfree(copy, "train", "--recipe", recipe, "--corpus", corpus, "--run", run, *two)
    resolved = (run / "recipe.toml").read_text(encoding="utf-8")
    for line in ('kind = "mean"', 'kind = "bigram"', 'kind = "pyramid"', "[pretrain.objectives.smoothness]"):
        assert line in resolved
    glossfree(copy, "export", run, model)
    (clip, *_) = sorted((corpus / "clips/test").iterdir())
    assert glossfree(copy, "translate", model, clip).count("\n") == 1
    assert git(copy, "status", "--porcelain") == ""


def test_the_method_of_the_page_is_a_recipe(tmp_path: Path) -> None:
    section = PAGE.split("\n## A method\n")[1]
    path = tmp_path / "method.toml"
    path.write_text(re.findall(r"```toml\n(.*?)```", section, re.DOTALL)[0], encoding="utf-8")
    recipe = load_recipe(path)
    assert [stage.name for stage in recipe.planned] == ["pretrain", "translate"]
    assert recipe.stage("translate").keep == "bleu4"
