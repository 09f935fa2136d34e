"""What the house rules are held against: the source as syntax trees, and the files that git keeps."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from glossfree.console import Silent
from glossfree.text.corpus import write_pseudo_glosses
from glossfree.video.corpus import prepare_corpus
from glossfree.video.pack import Packing

ROOT = Path(__file__).parents[2]
# where there is no git (an unpacked archive): what lies here is looked at instead
FOLDERS = ("src", "tests", "docs", "recipes", "benchmarks", "tools")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> dict[str, str]:
    """Dotted name of every module of the package -> its text; a package goes by its folder's name."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    assert len(found) > 50
    return found


@pytest.fixture(scope="session")
def trees(sources: dict[str, str]) -> dict[str, ast.Module]:
    """Dotted name of every module of the package -> its syntax tree."""
    return {name: ast.parse(text) for name, text in sources.items()}


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file that git keeps and that is there."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        found = [ROOT / name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
        found += ROOT.glob("*.*")
    return sorted(path for path in found if path.is_file())


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    """docs/generate.py as a module."""
    spec = spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A folder as the documents suppose it: a small prepared corpus, a model that has hardly seen it, and a video."""
    folder = tmp_path_factory.mktemp("documents")
    corpus = folder / "runs/wetter"
    prepare_corpus(
        "wetter", corpus, Packing(40), console=Silent(), counts={"train": 16, "dev": 4, "test": 4}, workers=1
    )
    write_pseudo_glosses(corpus, console=Silent())
    shutil.copytree(tiny_model, folder / "runs/demo/model")
    shutil.copyfile(next((corpus / "clips/test").glob("*.mp4")), folder / "clip.mp4")
    return folder
