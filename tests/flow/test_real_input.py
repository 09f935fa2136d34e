"""Files as people have them, from the sentence file to the sentence: three containers, and the official layout."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

COUNTS = {"train": 6, "dev": 2, "test": 3}
KINDS = ("folder", "phoenix14t")


@pytest.fixture(scope="module")
def real_input() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        from benchmarks import real_input

        return real_input


@pytest.mark.slow
@pytest.mark.parametrize("corpus", KINDS)
def test_the_whole_path(real_input: ModuleType, call: Any, tmp_path: Path, corpus: str) -> None:
    def checked(verb: str, *arguments: object) -> str:
        called = call(verb, *arguments, *(("--workers", 1) if verb == "prepare" else ()))
        assert called.code == 0, called.err
        return str(called.out)

    root = tmp_path / "files"
    if corpus == "folder":
        real_input.video_folder(root, COUNTS)
        clip = next((root / "webm").iterdir())
        assert sorted(path.name for path in root.iterdir() if path.is_dir()) == ["mkv", "mp4", "webm"]
    else:
        real_input.phoenix_layout(root, COUNTS)
        clip = next((root / "features/fullFrame-210x260px/test").iterdir())
    figures = real_input.whole_path("x", corpus, root, clip, tmp_path / "work", checked, 32)
    assert figures.clips == 11
    assert list(figures.seconds) == ["prepare", "glosses", "train", "evaluate", "export", "translate"]
    assert figures.packing > 0 and figures.decoding > 0
    found = json.loads(call("inspect", tmp_path / "work/corpus", "--json").out)
    assert {name: split["clips"] for name, split in found["splits"].items()} == COUNTS
    assert found["total"]["frames"] == figures.frames
    assert found["total"]["hours"] == pytest.approx(figures.frames / 25 / 3600)
