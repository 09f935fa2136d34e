"""Packed clips: all or some frames are read back, and broken files are refused."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from tests.unit.video.reading import read_video

from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile
from glossfree.errors import ClipError, GlossfreeError
from glossfree.files.parts import Part
from glossfree.video.container import probe
from glossfree.video.decode import as_planes
from glossfree.video.pack import (
    JOURNAL,
    KEY_INTERVAL,
    SUFFIX,
    Packing,
    Record,
    Scratch,
    append_record,
    encode,
    fingerprint,
    packed_size,
    read_clip,
    read_journal,
    write_clip,
    write_journal,
)

BRIGHTNESS = np.array([0.299, 0.587, 0.114])


def moving_shapes(num_frames: int = 41, height: int = 66, width: int = 58, cuts: int = 0) -> np.ndarray:
    """A disc and a bar that move over a soft background; with `cuts`, another scene every `cuts` frames."""
    frames = []
    for t in range(num_frames):
        scene = t // cuts if cuts else 0
        soft = np.random.default_rng(scene).integers(70, 190, (3, 4, 3), dtype=np.uint8)
        frame = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.circle(frame, (8 + t % 30, 20 + t % 17), 9, (205, 160, 140), -1, cv2.LINE_AA)
        cv2.line(frame, (width - 6, height - 4), (20 + t % 13, 44), (60, 70, 95), 5, cv2.LINE_AA)
        frames.append(frame)
    return np.stack(frames)


def psnr(left: np.ndarray, right: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((left.astype(np.float64) - right) ** 2)))


@pytest.mark.parametrize(
    ("height", "width", "decibels"), [(256, 256, 41), (255, 129, 38), (65, 58, 35), (66, 57, 35), (33, 47, 33)]
)
def test_round_trip_is_all_but_the_same(tmp_path: Path, height: int, width: int, decibels: float) -> None:
    """Colour has half the resolution, which sharp edges in a small picture show; brightness has all of it."""
    frames = moving_shapes(29, height, width)
    write_clip(tmp_path / f"a{SUFFIX}", frames, 25)
    read = read_clip(tmp_path / f"a{SUFFIX}")
    assert read.shape == frames.shape and read.dtype == np.uint8
    assert psnr(read, frames) > decibels
    assert psnr(read @ BRIGHTNESS, frames @ BRIGHTNESS) > 42
    assert [path.name for path in tmp_path.iterdir()] == [f"a{SUFFIX}"]


def test_frames_are_in_order_and_none_is_lost(tmp_path: Path) -> None:
    frames = np.stack([np.full((30, 34, 3), 3 * t + 16, dtype=np.uint8) for t in range(71)])
    write_clip(tmp_path / "a.mp4", frames, 12.5)
    assert np.abs(read_clip(tmp_path / "a.mp4").mean(axis=(1, 2, 3)) - frames.mean(axis=(1, 2, 3))).max() < 1.5


@pytest.mark.parametrize("cuts", [0, 5, 1])
@pytest.mark.parametrize(
    "indices", [[], [0], [40], [7, 3, 3, 39], list(range(0, 41, 2)), [KEY_INTERVAL - 1, KEY_INTERVAL], list(range(41))]
)
def test_some_frames_equal_a_slice_of_all(tmp_path: Path, indices: list[int], cuts: int) -> None:
    write_clip(tmp_path / "a.mp4", moving_shapes(cuts=cuts), 25)
    whole = read_clip(tmp_path / "a.mp4")
    assert np.array_equal(read_clip(tmp_path / "a.mp4", indices), whole[indices])
    assert np.array_equal(read_clip(tmp_path / "a.mp4", np.array(indices, dtype=np.int64)), whole[indices])


@pytest.mark.parametrize(("height", "width"), [(66, 58), (65, 58), (33, 47)])
def test_raw_clips_lose_the_resolution_of_colours_and_nothing_else(tmp_path: Path, height: int, width: int) -> None:
    frames, path = moving_shapes(29, height, width), tmp_path / "a.mkv"
    write_clip(path, frames, 12.5, codec="raw")
    whole = read_clip(path)
    assert whole.shape == frames.shape and packed_size(path) == (width, height)
    assert psnr(whole @ BRIGHTNESS, frames @ BRIGHTNESS) > 50
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    planes = [as_planes(VideoReformatter(), av.VideoFrame.from_ndarray(frame)).to_ndarray() for frame in even]
    expected = [cv2.cvtColor(plane, cv2.COLOR_YUV2RGB_I420)[:height, :width] for plane in planes]
    assert np.array_equal(whole, expected)
    for indices in ([], [0], [28], [7, 3, 3, 27], list(range(0, 29, 2))):
        assert np.array_equal(read_clip(path, indices), whole[indices])
    assert np.array_equal(read_clip(Part(str(path), 0, path.stat().st_size), [5, 2]), whole[[5, 2]])
    assert encode(frames, 12.5, codec="raw") == path.read_bytes()
    read, fps = read_video(path)
    assert fps == 12.5 and psnr(read[:, :height, :width], whole) > 33, "players, and translate, read them, too"


def test_frames_in_scratch_memory_are_the_same_until_the_next(tmp_path: Path) -> None:
    shapes, scratch = ((13, 66, 58), (5, 33, 47), (29, 66, 58)), Scratch()
    for number, shape in enumerate(shapes):
        write_clip(tmp_path / f"{number}.mp4", moving_shapes(*shape), 25)
    for number, _ in enumerate(shapes):
        whole = read_clip(tmp_path / f"{number}.mp4")
        assert np.array_equal(read_clip(tmp_path / f"{number}.mp4", scratch=scratch), whole)
        assert np.array_equal(read_clip(tmp_path / f"{number}.mp4", [4, 1, 1], scratch=scratch), whole[[4, 1, 1]])
    first = read_clip(tmp_path / "0.mp4", scratch=scratch)
    assert np.shares_memory(first, read_clip(tmp_path / "2.mp4", [0], scratch=scratch))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_raw_clips_that_are_cut_off_are_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.mkv"
    write_clip(path, moving_shapes(13), 25, codec="raw")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for indices in (None, [0, 12]):
        with pytest.raises(ClipError, match="cannot be read"):
            read_clip(path, indices)
    write_clip(path, moving_shapes(13), 25, codec="raw")
    with pytest.raises(ClipError, match="13"):
        read_clip(path, [13])


def test_ordinary_readers_see_the_same_frames(tmp_path: Path) -> None:
    frames = moving_shapes()
    write_clip(tmp_path / "a.mp4", frames, 29.97)
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.num_frames) == (58, 66, 41) and info.fps == pytest.approx(29.97, abs=0.01)
    read, _ = read_video(tmp_path / "a.mp4")
    assert psnr(read, frames) > 36
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.isOpened() and int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 41
    assert psnr(capture.read()[1][..., ::-1], frames[0]) > 36


def test_the_same_frames_give_the_same_bytes() -> None:
    # of less than 64 pixels, x264 itself writes some frames a little differently each time
    large = [frame.repeat(2, axis=0).repeat(2, axis=1) for frame in moving_shapes()]
    assert encode(large, 25) == encode(large, 25)


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", moving_shapes(1), 25)
    assert read_clip(tmp_path / "a.mp4").shape == (1, 66, 58, 3)


@pytest.mark.parametrize("indices", [[41], [-1], [0, 3, 99]])
def test_frames_beyond_the_end_are_an_error(tmp_path: Path, indices: list[int]) -> None:
    write_clip(tmp_path / "a.mp4", moving_shapes(), 25)
    with pytest.raises(ClipError, match="clip of 41"):
        read_clip(tmp_path / "a.mp4", indices)


@pytest.mark.parametrize("keep", [0, 20, 0.5, 0.97])
def test_a_cut_file_names_itself_and_the_remedy(tmp_path: Path, keep: float) -> None:
    data = encode(moving_shapes(), 25)
    path = tmp_path / "regen.mp4"
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(ClipError, match=r"regen\.mp4.*prepare again"):
        read_clip(path)
    with pytest.raises(ClipError, match=r"nirgends\.mp4"):
        read_clip(tmp_path / "nirgends.mp4")


@pytest.mark.parametrize(
    "frames",
    [np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8, 3), np.float32), np.zeros((0, 8, 8, 3), np.uint8),
     np.zeros((2, 8, 8, 4), np.uint8)],
)  # fmt: skip
def test_other_shapes_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        write_clip(tmp_path / "a.mp4", frames, 25)
    assert not list(tmp_path.iterdir())


@contextmanager
def no_file_over(num_bytes: int) -> Iterator[None]:
    """Inside, the system refuses to let a file grow further, as on a full disk."""
    import resource  # POSIX only

    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX can")
def test_a_full_disk_keeps_the_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_clip(path, moving_shapes(5), 25)
    before = path.read_bytes()
    with no_file_over(900), pytest.raises(GlossfreeError, match="File too large") as caught:
        write_clip(path, moving_shapes(9), 25)
    assert str(path) in str(caught.value) and caught.value.remedy
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GlossfreeError, match="cannot be written"):
        write_clip(tmp_path / "file" / "clips" / "a.mp4", moving_shapes(2), 25)


def test_packed_clips_are_distinguished_from_other_files(tmp_path: Path) -> None:
    """And knows its true size, though odd ones are stored with a doubled last row or column."""
    write_clip(tmp_path / "a.mp4", moving_shapes(3, 33, 47), 25)
    assert packed_size(tmp_path / "a.mp4") == (47, 33)
    with av.open(str(tmp_path / "b.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 34, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_shapes(1, 34, 48)[0])))
        container.mux(stream.encode())
    (tmp_path / "c.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:99])
    for name in ("b.mp4", "c.mp4", "none.mp4", "."):
        assert packed_size(tmp_path / name) is None


@dataclass(frozen=True)
class Dot:
    seed: int
    num_frames: int = 3
    fps: float = 25.0

    def render(self, size: int) -> np.ndarray:
        return np.zeros((3, size, size, 3), np.uint8)


def test_fingerprint_of_a_drawing_is_its_fields_the_size_and_the_rate() -> None:
    clip = Clip("a", "train", "x", Dot(4))
    same = fingerprint(Clip("b", "dev", "y", Dot(4)), Packing(32))
    assert fingerprint(clip, Packing(32)) == same
    others = [fingerprint(replace(clip, source=Dot(5)), Packing(32)), fingerprint(clip, Packing(33))]
    others.append(fingerprint(replace(clip, fps=30.0), Packing(32)))
    assert len({same, *others}) == 4


def test_fingerprint_of_files_notices_a_change(tmp_path: Path) -> None:
    video, folder = tmp_path / "a.mp4", tmp_path / "frames"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"1")
    video.write_bytes(b"12345")
    of_video, of_folder = Clip("a", "train", "x", VideoFile(video)), Clip("a", "train", "x", FrameFolder(folder))
    before = fingerprint(of_video, Packing(32)), fingerprint(of_folder, Packing(32))
    assert before == (fingerprint(of_video, Packing(32)), fingerprint(of_folder, Packing(32))) and all(before)
    os.utime(video, ns=(1, 1))
    (folder / "2.png").write_bytes(b"2")
    assert fingerprint(of_video, Packing(32)) != before[0] and fingerprint(of_folder, Packing(32)) != before[1]


def test_a_missing_source_never_counts_as_packed(tmp_path: Path) -> None:
    assert fingerprint(Clip("a", "train", "x", VideoFile(tmp_path / "no.mp4")), Packing(32)) == ""


def test_records_are_read_back_the_last_one_wins_and_torn_lines_are_dropped(tmp_path: Path) -> None:
    first, second = Record("ä", "clips/ä.mp4", "f", 3, 12.5, 99), Record("b", "clips/b.mp4", "g", 4, 25.0, 7)
    for record in (first, second, replace(second, num_frames=5)):
        append_record(tmp_path, record)
    expected = {"ä": first, "b": replace(second, num_frames=5)}
    assert read_journal(tmp_path) == expected
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"id": "c", "file": "\xc3')
    assert read_journal(tmp_path) == expected
    write_journal(tmp_path, read_journal(tmp_path).values())
    append_record(tmp_path, replace(first, id="d"))
    assert read_journal(tmp_path) == expected | {"d": replace(first, id="d")}
    assert len((tmp_path / JOURNAL).read_text(encoding="utf-8").splitlines()) == 3
    assert read_journal(tmp_path / "nowhere") == {}
