"""prepare: all checks come before anything is written; clips that cannot be packed are listed, not fatal."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glossfree.console import Silent
from glossfree.corpora.manifest import CORPUS, MANIFEST, Manifest
from glossfree.errors import ClipError, CorpusError, GlossfreeError
from glossfree.video.corpus import prepare_corpus
from glossfree.video.pack import Packing, read_clip, write_clip
from glossfree.video.prepare import PrepareResult

ROWS = (
    ("eins", "train", "es taut"),
    ("zwei", "train", "morgen schneit es"),
    ("drei", "dev", "im norden regnet es"),
    ("vier", "test", "nachts wird es kalt"),
)
LENGTHS = {"eins": 5, "zwei": 7, "drei": 9, "vier": 3}
SIZE = 33


def write_sentences(root: Path, rows: tuple[tuple[str, str, str], ...] = ROWS) -> None:
    lines = ["id,split,text", *(",".join(row) for row in rows)]
    (root / "sentences.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four videos of 5, 7, 9 and 3 frames, and their sentences."""
    root = tmp_path / "videos"
    for number, (clip_id, _, _) in enumerate(ROWS):
        ramp = np.linspace(0, 200, 38 * 46, dtype=np.uint8).reshape(38, 46)
        frames = np.repeat(ramp[None, :, :, None] + np.uint8(10 * number), LENGTHS[clip_id], axis=0).repeat(3, axis=3)
        write_clip(root / f"{clip_id}.mp4", frames, 12.5)
    write_sentences(root)
    return root


def run(root: Path | None, out: Path, corpus: str = "folder", **options: Any) -> PrepareResult:
    packing = Packing(options.pop("frame_size", SIZE))
    language = {"language": "de"} if corpus == "folder" else {}
    options = {"console": Silent(), "workers": 1, **language, **options}
    return prepare_corpus(corpus, out, packing, root=root, **options)


def phoenix(root: Path, missing: str = "") -> Path:
    """The official layout: one clip a split, made of two pictures; `missing` has no frame folder."""
    for split in ("train", "dev", "test"):
        path = root / "annotations/manual" / f"PHOENIX-2014-T.{split}.corpus.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        line = f"{split}-1|{split}-1/1/*.png|-1|-1|Signer01|REGEN|es regnet"
        path.write_text(f"name|video|start|end|speaker|orth|translation\n{line}\n", encoding="utf-8")
        folder = root / "features/fullFrame-210x260px" / split / f"{split}-1"
        if f"{split}-1" != missing:
            folder.mkdir(parents=True)
            for number in (1, 2):
                assert cv2.imwrite(str(folder / f"images000{number}.png"), np.full((26, 21, 3), 90, np.uint8))
    return root


def test_a_corpus_is_packed_with_its_manifest(root: Path, tmp_path: Path) -> None:
    result = run(root, tmp_path / "out", language="de-DE")
    assert result.splits == {"train": 2, "dev": 1, "test": 1}
    assert (result.packed, result.skipped, result.failed, result.warnings, result.frames) == (4, 0, (), (), 24)
    assert result.exit_code == 0
    assert result.frames_per_second == pytest.approx(24 / result.seconds)
    manifest = Manifest.load(tmp_path / "out")
    assert [(clip.id, clip.split, clip.text) for clip in manifest] == list(ROWS)
    assert (manifest.language, manifest.corpus["frame_size"]) == ("de", SIZE)
    for clip in manifest:
        assert (clip.num_frames, clip.fps) == (LENGTHS[clip.id], 12.5)
        assert read_clip(manifest.folder / clip.file).shape == (clip.num_frames, SIZE, SIZE, 3)
    values = json.loads(json.dumps(result.to_dict()))
    assert (values["corpus"], values["out"], values["complete"]) == ("folder", str(tmp_path / "out"), True)


def test_packed_clips_are_kept_and_a_larger_limit_adds_more(root: Path, tmp_path: Path) -> None:
    first = run(root, tmp_path / "out", limit=1)
    assert (first.packed, first.splits) == (3, {"train": 1, "dev": 1, "test": 1})
    second = run(root, tmp_path / "out")
    assert (second.packed, second.skipped, second.frames) == (1, 3, 7)
    third = run(root, tmp_path / "out")
    assert (third.packed, third.skipped, third.frames) == (0, 4, 0)
    assert third.frames_per_second == 0
    assert len(Manifest.load(tmp_path / "out").clips) == 4


def test_several_processes_pack_the_same(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "one")
    before = set(multiprocessing.active_children())  # of other tests
    run(root, tmp_path / "two", workers=2)
    assert set(multiprocessing.active_children()) <= before
    for name in (MANIFEST, CORPUS, *(clip.file for clip in Manifest.load(tmp_path / "one"))):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_built_in_corpus_takes_counts_and_a_seed(tmp_path: Path) -> None:
    result = run(None, tmp_path / "out", "wetter", counts={"train": 2, "dev": 1, "test": 1}, seed=3)
    assert result.splits == {"train": 2, "dev": 1, "test": 1}
    assert Manifest.load(tmp_path / "out").corpus["settings"]["seed"] == 3
    other = run(None, tmp_path / "other", "wetter", counts={"train": 2, "dev": 1, "test": 1})
    texts = [[clip.text for clip in Manifest.load(folder)] for folder in (tmp_path / "out", tmp_path / "other")]
    assert texts[0] != texts[1]
    with pytest.raises(CorpusError, match="holds a corpus with seed 3, not 0 -> choose another --out"):
        run(None, tmp_path / "out", "wetter", counts={"train": 2, "dev": 1, "test": 1})
    assert other.exit_code == 0


def test_progress_counts_every_clip_once(root: Path, tmp_path: Path) -> None:
    steps: list[int] = []

    class Watched(Silent):
        def progress(self, task: str, total: int) -> Any:
            self.lines.append(f"{task}: {total}")
            return Advancing()

    class Advancing:
        def __enter__(self) -> Any:
            return lambda count=1, note="": steps.append(count)

        def __exit__(self, *_: object) -> None:
            return None

    console = Watched()
    run(root, tmp_path / "out", limit=1)
    run(root, tmp_path / "out", console=console, language="de")
    assert sum(steps) == 4
    assert console.lines == [f"checking {root}", "packing clips: 4"]


@pytest.mark.parametrize(("language", "code"), [("nl", "nl"), ("zh-Hans", "zh"), ("nb", "no"), (None, "de")])
def test_the_language_is_the_users_else_that_of_the_corpus(
    tmp_path: Path, root: Path, language: str | None, code: str
) -> None:
    top, corpus = (root, "folder") if language else (phoenix(tmp_path / "release"), "phoenix14t")
    run(top, tmp_path / "out", corpus, language=language)
    assert Manifest.load(tmp_path / "out").language == code


def test_missing_files_are_failed_clips_unless_all_are_missing(root: Path, tmp_path: Path) -> None:
    write_sentences(root, (*ROWS, ("fünf", "test", "es bleibt kühl")))
    result = run(root, tmp_path / "out")
    assert (result.packed, [clip_id for clip_id, _ in result.failed]) == (4, ["fünf"])
    assert any("listed files missing: 1: fünf" in warning for warning in result.warnings)
    with pytest.raises(CorpusError, match="1 of 5 clips have no file or folder: fünf"):
        run(root, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()
    write_sentences(root, (("sechs", "train", "es taut"), ("fünf", "test", "es bleibt kühl")))
    with pytest.raises(CorpusError, match="sechs, fünf") as caught:
        run(root, tmp_path / "none")
    assert caught.value.where == str(root)
    assert not (tmp_path / "none").exists()


def test_rows_of_one_video_are_clips_and_a_changed_time_is_packed_again(root: Path, tmp_path: Path) -> None:
    lines = ["id,path,start_frame,end_frame,text,split", "a,drei.mp4,0,4,es taut,train", "b,drei.mp4,4,,es friert,dev"]
    (root / "sentences.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert run(root, tmp_path / "out").packed == 2
    assert [(clip.id, clip.num_frames) for clip in Manifest.load(tmp_path / "out")] == [("a", 4), ("b", 5)]
    lines[1] = "a,drei.mp4,1,4,es taut,train"
    (root / "sentences.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert run(root, tmp_path / "out").packed == 1
    assert [(clip.id, clip.num_frames) for clip in Manifest.load(tmp_path / "out")] == [("a", 3), ("b", 5)]


def test_one_bad_clip_is_listed_and_the_rest_is_packed(root: Path, tmp_path: Path) -> None:
    whole = (root / "zwei.mp4").read_bytes()
    (root / "zwei.mp4").write_bytes(whole[: len(whole) // 2])
    result = run(root, tmp_path / "out")
    assert result.exit_code == 1
    [(clip_id, message)] = result.failed
    assert clip_id == "zwei"
    assert str(root / "zwei.mp4") in message
    assert (result.packed, result.splits["train"]) == (3, 1)
    assert result.to_dict()["failed"] == [{"id": "zwei", "message": message}]
    (root / "zwei.mp4").write_bytes(whole)
    mended = run(root, tmp_path / "out")
    assert mended.exit_code == 0
    assert (mended.packed, mended.skipped) == (1, 3)


def test_strict_stops_at_a_bad_clip(root: Path, tmp_path: Path) -> None:
    (root / "drei.mp4").write_bytes(b"")
    with pytest.raises(ClipError, match=r"drei.*0 bytes"):
        run(root, tmp_path / "out", strict=True)


def test_a_sentence_in_two_splits_is_printed_and_returned_as_a_warning(root: Path, tmp_path: Path) -> None:
    write_sentences(root, (*ROWS[:3], ("vier", "test", "es taut")))
    console = Silent()
    result = run(root, tmp_path / "out", console=console, strict=True, language="de")
    warning = "1 sentence occurs in more than one split (2 clips): scores on them show memory"
    assert result.warnings == (warning,)
    assert console.lines == [f"checking {root}", f"warning: {warning}"]
    assert result.exit_code == 0


def test_missing_frame_folders_are_listed_before_packing_and_packed_around(tmp_path: Path) -> None:
    root = phoenix(tmp_path / "release", missing="dev-1")
    result = run(root, tmp_path / "out", "phoenix14t")
    assert any("frame folder" in warning and "dev-1" in warning for warning in result.warnings)
    assert [clip_id for clip_id, _ in result.failed] == ["dev-1"]
    assert (result.packed, result.frames) == (2, 4)


def test_strict_names_missing_frame_folders_before_anything_is_written(tmp_path: Path) -> None:
    root = phoenix(tmp_path / "release", missing="dev-1")
    with pytest.raises(CorpusError, match="1 of 3 clips have no file or folder: dev-1"):
        run(root, tmp_path / "out", "phoenix14t", strict=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        ({"corpus": "foldr"}, ["foldr: no such corpus", "did you mean 'folder'?", "wetter"]),
        ({"root": None}, ["needs --root"]),
        ({"root": Path("/nowhere/at/all")}, ["/nowhere/at/all: no such folder"]),
        ({"seed": 3}, ["folder: takes no seed"]),
        ({"counts": {"train": 3}}, ["folder: takes no counts"]),
        ({"language": None}, ["folder", "--language", "de", "zh"]),
        ({"language": "germany"}, ["'germany'", "did you mean de"]),
        ({"corpus": "wetter"}, ["wetter: is built in and takes no --root"]),
    ],
)
def test_errors_come_before_anything_is_written(
    root: Path, tmp_path: Path, options: dict[str, Any], pieces: list[str]
) -> None:
    with pytest.raises(CorpusError) as caught:
        run(**{"root": root, "out": tmp_path / "out", **options})
    assert [piece for piece in pieces if piece not in str(caught.value)] == []
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_all_problems_of_the_root_come_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    write_sentences(root, (*ROWS, ("fünf", "trian", "es hagelt"), ("sechs", "test", "")))
    with pytest.raises(CorpusError, match=r"3 problems: line 6: split 'trian'.*line 7: empty.*listed files missing: 2"):
        run(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_out_and_root_are_different_folders(root: Path) -> None:
    before = sorted(path.name for path in root.iterdir())
    with pytest.raises(CorpusError, match="the same folder"):
        run(root, root / "." / "x" / "..")
    assert sorted(path.name for path in root.iterdir()) == before


def test_out_may_lie_inside_root_and_is_not_searched(root: Path) -> None:
    out = root / "packed"
    assert run(root, out).packed == 4
    again = run(root, out)
    assert (again.packed, again.skipped, again.warnings) == (0, 4, ())


@pytest.mark.parametrize("below", ["file", "file/deep/out"])
def test_an_out_that_cannot_be_written_is_named_before_packing(root: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(GlossfreeError, match="cannot be written") as caught:
        run(root, tmp_path / below)
    assert str(tmp_path / "file") in str(caught.value)
    assert caught.value.remedy
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_an_out_without_the_right_to_write_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refused)  # whoever runs this may be root, whom no mode keeps out
    with pytest.raises(CorpusError, match=r"cannot be written \(Permission denied\)") as caught:
        run(root, tmp_path / "out")
    assert str(tmp_path / "out") in str(caught.value)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"frame_size": 35}, "frame_size 33, not 35"),
        ({"language": "fr"}, "language 'de', not 'fr'"),
        ({"corpus": "wetter", "root": None}, "name 'folder', not 'wetter'"),
    ],
)
def test_an_out_that_holds_something_else_is_left_as_it_is(
    root: Path, tmp_path: Path, options: dict[str, Any], difference: str
) -> None:
    out = tmp_path / "out"
    run(root, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(CorpusError) as caught:
        run(**{"root": root, "out": out, **options})
    assert difference in str(caught.value)
    assert caught.value.remedy == "choose another --out"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "folder"}', "7"])
def test_an_out_with_a_strange_corpus_file_is_refused(root: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / CORPUS).write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"not made by prepare|not JSON|not a JSON object") as caught:
        run(root, out)
    assert caught.value.remedy == "choose another --out"
    assert [path.name for path in out.iterdir()] == [CORPUS]


def test_an_interrupted_run_is_identified(root: Path, tmp_path: Path) -> None:
    (root / "eins.mp4").write_bytes(b"")
    with pytest.raises(ClipError):
        run(root, tmp_path / "out", strict=True)
    with pytest.raises(CorpusError, match="frame_size 33, not 35"):
        run(root, tmp_path / "out", frame_size=35)
