"""What the tests share: a good world to spoil and what a refusal looks like; a nursery, and a run left in peace."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.flow.nursery import Nursery, order_of, outcome, train

from glossfree.video.pack import write_clip

SENTENCES = (("eins", "train", "es taut"), ("zwei", "train", "morgen schneit es"), ("drei", "dev", "es wird kalt"))


@dataclass(frozen=True)
class World:
    """A good folder of videos, a good corpus, run and model, all of one's own to spoil."""

    sentences = SENTENCES

    folder: Path
    tiny: Any
    run_of_all: Path
    model_of_all: Path

    @property
    def videos(self) -> Path:
        root = self.folder / "videos"
        if not root.exists():
            for number, (name, _, _) in enumerate(SENTENCES):
                frames = np.random.default_rng(number).integers(0, 255, (9, 34, 46, 3), dtype=np.uint8)
                write_clip(root / f"{name}.mp4", frames, 25)
            self.table(root)
        return root

    def table(self, root: Path, rows: tuple[tuple[str, ...], ...] = SENTENCES, header: str = "id,split,text") -> Path:
        path = root / "sentences.csv"
        path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
        return path

    @property
    def corpus(self) -> Path:
        return self._copy(self.tiny.corpus, "corpus")

    @property
    def run(self) -> Path:
        return self._copy(self.run_of_all, "run")

    @property
    def model(self) -> Path:
        return self._copy(self.model_of_all, "model")

    @property
    def below_a_file(self) -> Path:
        """A folder that not even root can make."""
        (self.folder / "file").write_text("a file")
        return self.folder / "file" / "out"

    def _copy(self, source: Path, name: str) -> Path:
        if not (self.folder / name).exists():
            shutil.copytree(source, self.folder / name)
        return self.folder / name

    def prepare(self, *options: object, out: Path | None = None) -> tuple[object, ...]:
        target = out or self.folder / "out"
        common = ("--out", target, "--frame-size", 28, "--workers", 1)
        return "prepare", "folder", "--root", self.videos, "--language", "de", *common, *options

    def train(self, *options: object) -> tuple[object, ...]:
        recipe, run = ("--recipe", self.tiny.recipe), ("--run", self.folder / "new")
        return "train", *recipe, "--corpus", self.corpus, *run, *options

    def phoenix(self) -> tuple[object, ...]:
        root = self.folder / "phoenix"
        for split in ("train", "dev", "test"):
            path = root / f"annotations/manual/PHOENIX-2014-T.{split}.corpus.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = "".join(f"{split}-{n}|{split}-{n}/1/*.png|-1|-1|Signer01|KALT|es wird {n}\n" for n in "ab")
            path.write_text(f"name|video|start|end|speaker|orth|translation\n{rows}", encoding="utf-8")
            for n in "ab":
                frames = root / f"features/fullFrame-210x260px/{split}/{split}-{n}"
                frames.mkdir(parents=True)
                for number in (1, 2, 3):
                    cv2.imwrite(str(frames / f"images000{number}.png"), np.full((26, 21, 3), 40 * number, np.uint8))
        common = ("--out", self.folder / "out", "--frame-size", 28, "--workers", 1)
        return "prepare", "phoenix14t", "--root", root, *common

    @staticmethod
    def edit(path: Path, old: str, new: str) -> Path:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    @staticmethod
    def cut(path: Path, share: float = 0.5) -> Path:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    @staticmethod
    def snapshot(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    @staticmethod
    def refused(called: Any, *words: object) -> None:
        """One line that begins with the program's name and holds all words and a remedy; nothing on standard output."""
        lines = called.err.splitlines()
        assert (called.code, called.out) == (2, ""), called
        assert [line for line in lines if line.startswith("glossfree: ")] == lines[-1:], called.err
        assert "Traceback" not in called.err
        assert " -> " in lines[-1], f"no remedy: {lines[-1]}"
        assert [word for word in words if str(word) not in lines[-1]] == [], lines[-1]

    def spoils_nothing(self, call: Any, case: Callable[[World], tuple[tuple[object, ...], tuple[object, ...]]]) -> None:
        """A case's command is refused with the case's words, and what lay there before lies there still."""
        command, words = case(self)
        before = self.snapshot(self.folder)
        self.refused(call(*command), *words)
        after = self.snapshot(self.folder)
        assert {name: after.get(name) for name in before} == before


@dataclass(frozen=True)
class Undisturbed:
    """A run of the tiny recipe that nobody disturbs, two epochs of each stage: what all others must come to."""

    run: Path
    outcome: dict[str, Any]
    order: list[str]  # the clips of each step


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("nursery"))
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def undisturbed(tiny: Any, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """No test may write into it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert nursery.run(*train(tiny, folder / "run"), seen=folder / "seen") == 0, nursery.err
    return Undisturbed(folder / "run", outcome(folder / "run", nursery), order_of(folder / "seen"))


@pytest.fixture
def corpus(tiny: Any, tmp_path: Path) -> Path:
    """One's own copy of the tiny corpus."""
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    return tmp_path / "corpus"


@pytest.fixture
def world(tmp_path: Path, tiny: Any, tiny_run: Path, tiny_model: Path) -> World:
    return World(tmp_path, tiny, tiny_run, tiny_model)
