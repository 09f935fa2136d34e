"""Preparing can be killed at any moment and continued, and one bad clip does not end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glossfree.corpora.manifest import CORPUS, MANIFEST, Clip, Manifest, SignSpan, VideoFile
from glossfree.errors import ClipError, CorpusError, GlossfreeError
from glossfree.video import prepare as module
from glossfree.video.pack import JOURNAL, Packing, read_clip, read_journal, write_clip
from glossfree.video.prepare import PrepareResult
from glossfree.video.shards import write_shards


@dataclass(frozen=True)
class Lamp:
    """A drawing: the picture brightens frame by frame. `slow` seconds to render, `dies` takes its process along."""

    num_frames: int
    start: int = 40
    fps: float = 12.5
    slow: float = 0.0
    dies: bool = False

    def render(self, size: int) -> np.ndarray:
        time.sleep(self.slow)
        if self.dies:
            os._exit(9)
        levels = (self.start + 3 * np.arange(self.num_frames)).astype(np.uint8)
        return np.broadcast_to(levels[:, None, None, None], (self.num_frames, size, size, 3)).copy()


def lamps(count: int = 11) -> list[Clip]:
    splits = ("train", "train", "dev", "test")
    return [
        Clip(
            f"lamp-{i}",
            splits[i % 4],
            f"satz {i}",
            Lamp(5 + i % 7, 20 + 5 * i),
            f"s{i % 2}",
            (SignSpan("A", 1, 3),),
            None,
            ("A", "B"),
        )
        for i in range(count)
    ]


def prepare(clips: list[Clip], out: Path, frame_size: int = 18, **options: Any) -> PrepareResult:
    about = {"name": "lampen", "language": "nds", "settings": {"limit": 11}}
    return module.prepare(clips, out, Packing(frame_size), about, **options)


def files(out: Path) -> dict[str, tuple[int, int]]:
    """Every packed file: its inode and time of change, so that a rewritten one is noticed."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*.mp4")
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_every_clip_is_packed_and_the_manifest_keeps_the_order(tmp_path: Path, workers: int) -> None:
    clips, calls = lamps(), []
    clips[0] = replace(clips[0], source=Lamp(6, slow=0.4))  # the first to start is the last to finish
    result = prepare(
        clips, tmp_path, workers=workers, on_progress=lambda *figures: calls.append(figures),
    )  # fmt: skip
    manifest = Manifest.load(tmp_path)
    assert [clip.id for clip in manifest] == [clip.id for clip in clips] == [clip.id for clip in result.manifest]
    for clip, packed in zip(clips, manifest, strict=True):
        assert (packed.split, packed.text, packed.signer, packed.spans, packed.glosses) == (
            clip.split, clip.text, clip.signer, clip.spans, clip.glosses)  # fmt: skip
        assert (packed.num_frames, packed.fps) == (clip.source.num_frames, 12.5)
        frames = read_clip(tmp_path / packed.file)
        assert frames.shape == (packed.num_frames, 18, 18, 3)
        assert abs(float(frames[2].mean()) - clip.source.start - 6) < 2
    frames = sum(clip.source.num_frames for clip in clips)
    assert calls[0] == (0, 11, 0) and calls[-1] == (11, 11, frames) and len(calls) == 12
    assert (result.packed, result.skipped, result.failed, result.frames) == (11, 0, (), frames)
    assert result.seconds > 0
    corpus = json.loads((tmp_path / CORPUS).read_text())
    assert (corpus["name"], corpus["language"], corpus["frame_size"]) == ("lampen", "nds", 18)
    assert corpus["splits"] == {"train": 6, "dev": 3, "test": 2}
    assert (corpus["settings"], corpus["frames"], corpus["problems"]) == ({"limit": 11}, frames, [])


def test_raw_clips_are_continued_as_others_are(tmp_path: Path) -> None:
    about = {"name": "lampen", "language": "nds", "settings": {}}
    packing = Packing(18, codec="raw")
    result = module.prepare(lamps(), tmp_path, packing, about)
    assert {Path(clip.file).suffix for clip in result.manifest} == {".mkv"}
    assert json.loads((tmp_path / CORPUS).read_text())["codec"] == "raw"
    for clip in Manifest.load(tmp_path):
        assert read_clip(tmp_path / clip.file).shape == (clip.num_frames, 18, 18, 3)
    torn = tmp_path / "clips/train/lamp-0.mkv"
    torn.write_bytes(torn.read_bytes()[:-40])
    assert module.prepare(lamps(), tmp_path, packing, about).packed == 1
    assert read_clip(torn).shape == (5, 18, 18, 3)
    sharded = write_shards(Manifest.load(tmp_path))
    assert not list((tmp_path / "clips").rglob("*.mkv"))
    for clip in sharded:
        assert read_clip(clip.source(tmp_path)).shape == (clip.num_frames, 18, 18, 3)
    assert module.prepare(lamps(), tmp_path, packing, about).packed == 0


def test_a_folder_prepared_before_there_were_glosses_gets_them_and_keeps_its_files(tmp_path: Path) -> None:
    prepare([replace(clip, glosses=()) for clip in lamps()], tmp_path)
    before = files(tmp_path)
    result = prepare(lamps(), tmp_path)
    assert (result.packed, files(tmp_path)) == (0, before)
    assert {clip.glosses for clip in Manifest.load(tmp_path)} == {("A", "B")}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_run_is_continued(tmp_path: Path, workers: int) -> None:
    def stop(done: int, total: int, frames: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(lamps(), tmp_path, workers=workers, on_progress=stop)
    assert not (tmp_path / MANIFEST).exists()
    assert len(read_journal(tmp_path)) == 4
    before = {record.file: files(tmp_path)[record.file] for record in read_journal(tmp_path).values()}
    result = prepare(lamps(), tmp_path, workers=workers)
    assert (result.packed, result.skipped) == (7, 4)
    assert before.items() <= files(tmp_path).items()
    assert [clip.id for clip in Manifest.load(tmp_path)] == [clip.id for clip in lamps()]
    assert prepare(lamps(), tmp_path).packed == 0


def test_half_written_files_and_lines_never_count(tmp_path: Path) -> None:
    prepare(lamps(), tmp_path)
    torn, gone = tmp_path / "clips/train/lamp-0.mp4", tmp_path / "clips/dev/lamp-2.mp4"
    torn.write_bytes(torn.read_bytes()[:-40])
    gone.unlink()
    (tmp_path / "clips/test/.lamp-3.mp4.77.tmp").write_bytes(b"half")
    journal = tmp_path / JOURNAL
    lines = journal.read_text().splitlines()
    lines[5] = lines[5][:30]
    journal.write_text("\n".join(lines))  # no newline at the end either
    result = prepare(lamps(), tmp_path)
    assert (result.packed, result.skipped) == (3, 8)
    assert len(read_clip(torn)) == 5 and gone.is_file()
    assert not list(tmp_path.rglob("*.tmp"))
    assert prepare(lamps(), tmp_path).packed == 0


def test_other_settings_or_another_source_pack_again(tmp_path: Path) -> None:
    prepare(lamps(), tmp_path)
    changed = lamps()
    changed[3] = replace(changed[3], source=Lamp(9, 200))
    changed[4] = replace(changed[4], text="another sentence only")
    changed[5] = replace(changed[5], fps=20.0)
    result = prepare(changed, tmp_path)
    assert (result.packed, result.skipped) == (2, 9)
    assert [clip.fps for clip in result.manifest][4:7] == [12.5, 20.0, 12.5]
    assert result.manifest.clips[4].text == "another sentence only"
    assert prepare(changed, tmp_path, frame_size=20).packed == 11
    assert read_clip(tmp_path / "clips/train/lamp-0.mp4").shape[1:] == (20, 20, 3)


def test_fewer_clips_leave_the_rest_packed(tmp_path: Path) -> None:
    prepare(lamps(), tmp_path)
    assert len(prepare(lamps(3), tmp_path).manifest.clips) == 3
    assert prepare(lamps(), tmp_path).packed == 0


def test_a_partly_repacked_folder_has_no_manifest(tmp_path: Path) -> None:
    prepare(lamps(), tmp_path)

    def stop(done: int, total: int, frames: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(lamps(), tmp_path, frame_size=20, on_progress=stop)
    with pytest.raises(CorpusError, match=MANIFEST):
        Manifest.load(tmp_path)


def test_without_its_sources_a_folder_stays_as_it_is(tmp_path: Path) -> None:
    out, source = tmp_path / "out", tmp_path / "lamp.mp4"
    write_clip(source, np.zeros((5, 20, 20, 3), np.uint8), 5)
    clips = [Clip("lamp", "train", "licht", VideoFile(source), "", (), 5.0)]
    prepare(clips, out)
    before = Manifest.load(out).clips
    source.unlink()
    with pytest.raises(CorpusError, match="none of 1 clips can be read"):
        prepare(clips, out)
    assert Manifest.load(out).clips == before and (out / before[0].file).is_file()


@pytest.mark.parametrize("workers", [0, 2])
def test_one_bad_clip_is_listed_and_strict_stops_at_it(tmp_path: Path, workers: int) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("not a video")
    clips = [*lamps(4), Clip("kaputt", "dev", "x", VideoFile(bad)), *lamps(6)[4:]]
    result = prepare(clips, tmp_path / "out", workers=workers)
    assert [clip.id for clip in result.manifest] == [f"lamp-{i}" for i in range(6)]
    ((clip_id, message),) = result.failed
    assert clip_id == "kaputt" and str(bad) in message and "not a video" in message
    assert json.loads((tmp_path / "out" / CORPUS).read_text())["problems"] == [{"id": "kaputt", "message": message}]
    assert result.packed == 6
    earlier = (tmp_path / "out" / MANIFEST).read_bytes()
    with pytest.raises(ClipError, match="kaputt"):
        prepare(clips, tmp_path / "out", workers=workers, strict=True)
    assert (tmp_path / "out" / MANIFEST).read_bytes() == earlier


def test_errors_come_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="'lamp-1' twice"):
        prepare([*lamps(2), lamps(2)[1]], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GlossfreeError, match="cannot be written"):
        prepare(lamps(2), tmp_path / "file" / "out")
    with pytest.raises(CorpusError, match="none of 1 clips"):
        prepare([Clip("a", "dev", "x", VideoFile(tmp_path / "no.mp4"))], tmp_path / "none")


def test_a_full_disk_ends_the_run_and_is_not_blamed_on_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *arguments: object, **options: object) -> None:
        raise GlossfreeError("cannot be written (No space left on device)", where=path)

    monkeypatch.setattr(module, "write_atomic", full)
    with pytest.raises(GlossfreeError, match="No space left"):
        prepare(lamps(), tmp_path)
    assert not (tmp_path / MANIFEST).exists()


def test_a_worker_that_dies_is_explained(tmp_path: Path) -> None:
    clips = [*lamps(3), Clip("dies", "dev", "x", Lamp(5, dies=True))]
    with pytest.raises(GlossfreeError, match="process died") as caught:
        prepare(clips, tmp_path, workers=2)
    assert "fewer workers" in str(caught.value)


def test_ids_become_safe_file_names(tmp_path: Path) -> None:
    ids = ["../weg", "a/b", "Müller 3", "c:d*", "..", "A_b.c-1"]
    clips = [Clip(clip_id, "train", "x", Lamp(5)) for clip_id in ids]
    result = prepare(clips, tmp_path / "out")
    assert [clip.id for clip in Manifest.load(tmp_path / "out")] == ids
    assert all((tmp_path / "out" / clip.file).parent == tmp_path / "out/clips/train" for clip in result.manifest)
    assert result.manifest.clips[-1].file == "clips/train/A_b.c-1.mp4"
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_leaves_no_worker_and_can_be_continued(tmp_path: Path, end: signal.Signals) -> None:
    """The real thing: another interpreter with two workers, killed in the middle, its session looked at afterwards."""
    script = tmp_path / "run.py"
    here = str(Path(__file__).parent)
    script.write_text(
        textwrap.dedent(f"""
        import sys; sys.path.insert(0, {here!r})
        from test_prepare import Clip, Lamp, Path, prepare
        if __name__ == "__main__":
            clips = [Clip(f"k-{{i}}", "train", "x", Lamp(5 + i, slow=0.05)) for i in range(600)]
            prepare(clips, Path({str(tmp_path / "out")!r}), workers=2,
                    on_progress=lambda done, total, frames: print(done, flush=True))
            print("torch" in sys.modules)
        """)
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 6:
            break
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # what a terminal does on Ctrl-C
    else:
        process.send_signal(end)
    process.wait(timeout=20)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(process.pid):
        time.sleep(0.05)
    assert not _alive(process.pid)
    assert 6 <= len(read_journal(tmp_path / "out")) < 600 and not (tmp_path / "out" / MANIFEST).exists()
    clips = [Clip(f"k-{i}", "train", "x", Lamp(5 + i, slow=0.05)) for i in range(9)]
    again = prepare(clips, tmp_path / "out")
    assert again.skipped + again.packed == 9
    assert all(len(read_clip(tmp_path / "out" / clip.file)) == clip.num_frames for clip in again.manifest)


def _alive(session: int) -> bool:
    """Whether any process of a session still runs."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            return True
    return False
