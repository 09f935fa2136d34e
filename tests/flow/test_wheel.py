"""The wheel alone, unpacked and run from an empty folder: recipes, templates and sentences are in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN_ALL = """
import json, sys
import glossfree
from glossfree.cli.app import main
print(glossfree.__file__)
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as ended:
        assert not ended.code, words
"""
COUNTS = ["--train", "24", "--dev", "4", "--test", "4"]
SMALL = [
    *("text.num_pieces=90", "vision.hidden_size=24", "vision.num_layers=1", "temporal.num_layers=2"),
    *("temporal.hidden_size=40", "temporal.mlp_size=40", "language.hidden_size=32", "language.num_layers=1"),
    *("language.mlp_size=48", "denoise.epochs=1", "pretrain.epochs=1", "finetune1.epochs=1", "finetune2.epochs=1"),
    *("data.frame_size=40", "data.crop_size=32", "vision.image_size=32", "decode.max_new_tokens=5"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "package")
    return folder / "package"


@pytest.mark.slow
def test_the_wheel_trains_translates_and_reports(package: Path, tmp_path: Path) -> None:
    sets = [word for change in SMALL for word in ("--set", change)]
    verbs = [
        ["recipe", "--list"],
        ["prepare", "wetter", "--out", "x", "--frame-size", "40", "--workers", "1", *COUNTS],
        ["glosses", "x"],
        ["train", "--recipe", "demo", "--corpus", "x", "--run", "run", *sets],
        ["evaluate", "run", "--split", "test"],
        ["report", "run", "--out", "page.html"],
        ["export", "run", "model"],
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(verbs)], cwd=empty, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    place, *lines = ended.stdout.splitlines()
    assert Path(place).is_relative_to(package)
    assert {path.stem for path in (ROOT / "recipes").glob("*.toml")} <= {
        word for line in lines for word in line.split()
    }
    assert "<svg" in (empty / "page.html").read_text(encoding="utf-8") and (empty / "model/model.json").is_file()
    assert sorted(path.name for path in empty.iterdir()) == ["model", "page.html", "run", "x"]


def test_every_file_of_the_source_is_in_the_wheel(package: Path) -> None:
    source = ROOT / "src/glossfree"
    files = {
        path.relative_to(source) for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert files and [str(path) for path in files if not (package / "glossfree" / path).is_file()] == []
