"""Reading sources: correct frames, and one clear error for each kind of broken source."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from tests.unit.video.reading import frames_of, read_folder, read_video

from glossfree.corpora.manifest import Clip, FrameFolder, VideoFile
from glossfree.errors import ClipError
from glossfree.video.container import probe
from glossfree.video.decode import natural_order
from glossfree.video.frames import resize


def pattern(num_frames: int = 23, height: int = 36, width: int = 52) -> np.ndarray:
    """Smooth, different in every frame, and different in all four corners."""
    rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    frames = [
        np.stack([200 * rows + 0 * columns + t, 200 * columns + 0 * rows, 90 * (rows + columns) + 2 * t], axis=-1)
        for t in range(num_frames)
    ]
    return np.stack(frames).astype(np.uint8)


def write_video(
    path: Path, frames: np.ndarray, *, codec: str = "libx264", rate: Fraction | int = 25, turn: int = 0
) -> Path:
    """A video file as somebody else's encoder makes it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mjpeg"),
                        ("a.mov", "libx264")]
)  # fmt: skip
def test_every_container_gives_the_frames_that_went_in(tmp_path: Path, name: str, codec: str) -> None:
    frames = pattern()
    read, fps = read_video(write_video(tmp_path / name, frames, codec=codec))
    assert read.shape == frames.shape and read.dtype == np.uint8 and fps == pytest.approx(25, rel=1e-3)
    assert np.abs(read.astype(int) - frames).mean() < 6


def test_rate_is_the_files_own(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pattern(), rate=Fraction(30000, 1001))
    assert read_video(path)[1] == pytest.approx(29.97, abs=0.01)


def test_info_needs_no_decoding(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "a.mp4", pattern()))
    assert (info.width, info.height, info.num_frames, info.fps) == (52, 36, 23, 25.0)


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_rotation_of_a_phone_is_honoured(tmp_path: Path, turn: int) -> None:
    frames = pattern()
    read, _ = read_video(write_video(tmp_path / "a.mp4", frames, turn=turn))
    upright = np.rot90(frames, turn // 90, axes=(1, 2))
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).mean() < 6


def broken(folder: Path, kind: str) -> Path:
    """A file that only looks like a video."""
    path = folder / f"{kind}.mp4"
    whole = write_video(folder / "whole.mp4", pattern(97)).read_bytes()
    if kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("Morgen regnet es an der Küste.\n" * 40, encoding="utf-8")
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(3).bytes(5000))
    elif kind == "damaged":
        start = whole.index(b"mdat") + 300
        path.write_bytes(whole[:start] + bytes(len(whole) // 3) + whole[start + len(whole) // 3 :])
    elif kind == "sound":
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000)
            sound.writeframes(bytes(16000))
    elif kind == "frameless":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            container.start_encoding()
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [("cut", "truncated"), ("empty", "0 bytes"), ("text", "not a video"), ("noise", "not a video"),
     ("damaged", "damaged"), ("sound", "no video stream"), ("frameless", "no "), ("absent", "no such video file")],
)  # fmt: skip
def test_broken_files_name_clip_path_and_remedy(tmp_path: Path, kind: str, says: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(ClipError, match=says) as caught:
        frames_of(Clip("wolke-7", "train", "wolken", VideoFile(path)), 32)
    assert "wolke-7" in str(caught.value) and str(path) in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "front.mp4", "a.webm"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_half_a_file_is_never_read_as_a_clip(tmp_path: Path, name: str, share: float) -> None:
    codecs = {"a.avi": "mjpeg", "a.webm": "libvpx-vp9"}
    noise = np.random.default_rng(0).integers(0, 80, (97, 36, 52, 3), dtype=np.uint8)
    path = tmp_path / name
    if name == "front.mp4":  # the index in front, as for streaming: the file opens although its end is missing
        write_front(path, noise)
    else:
        write_video(path, noise, codec=codecs.get(name, "libx264"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ClipError, match="truncated"):
        read_video(path)


def write_front(path: Path, frames: np.ndarray) -> None:
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_images(folder: Path, frames: np.ndarray, suffix: str = ".png") -> Path:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        assert cv2.imwrite(str(folder / f"images{number}{suffix}"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_folder_is_read_as_people_count(tmp_path: Path, suffix: str) -> None:
    frames = pattern(13)
    folder = write_images(tmp_path / "frames", frames, suffix)
    (folder / "notes.txt").write_text("not an image")
    read = read_folder(folder)
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < (6 if suffix == ".jpg" else 1e-9)


def test_natural_order() -> None:
    assert natural_order(["f10.png", "f9.png", "e2", "f009b.png"]) == ["e2", "f9.png", "f009b.png", "f10.png"]
    assert natural_order(["song.mp4", "a.mp4", "offset5s.mkv", "zu.mp4", "7.mp4"]) == [
        *("7.mp4", "a.mp4", "offset5s.mkv", "song.mp4", "zu.mp4")
    ]


def test_broken_folders_name_clip_path_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    torn = write_images(tmp_path / "torn", pattern(3))
    (torn / "images2.png").write_bytes(b"\x89PNG")
    mixed = write_images(tmp_path / "mixed", pattern(3))
    cv2.imwrite(str(mixed / "images7.png"), np.zeros((9, 8, 3), np.uint8))
    says = {"empty": "no images", "torn": "images2.png", "mixed": "different sizes", "absent": "no such frame folder"}
    for name, words in says.items():
        for read in (
            read_folder,
            lambda folder, clip_id: frames_of(Clip(clip_id, "dev", "x", FrameFolder(folder)), 16),
        ):
            with pytest.raises(ClipError, match=words) as caught:
                read(tmp_path / name, clip_id="regen-3")
            assert "regen-3" in str(caught.value) and name in str(caught.value) and caught.value.remedy


def test_frames_are_stretched_and_the_clips_rate_wins(tmp_path: Path) -> None:
    frames = pattern(5, height=26, width=21)
    folder = write_images(tmp_path / "frames", frames)
    read, fps = frames_of(Clip("a", "train", "x", FrameFolder(folder)), 24)
    assert read.shape == (5, 24, 24, 3) and fps == 25
    assert np.array_equal(read[2], resize(frames[2], 24, 24))
    video = write_video(tmp_path / "a.mp4", pattern())
    assert frames_of(Clip("a", "train", "x", VideoFile(video), fps=12.5), 9)[1] == 12.5
    assert frames_of(Clip("a", "train", "x", VideoFile(video)), 9)[0].shape == (23, 9, 9, 3)


def test_shrinking_averages_and_growing_keeps_the_corners() -> None:
    checker = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert np.abs(resize(checker, 16, 16).astype(int) - 127).max() <= 1
    small = pattern(1, 5, 7)[0]
    assert np.array_equal(resize(small, 35, 35)[[0, 0, -1, -1], [0, -1, 0, -1]], small[[0, 0, -1, -1], [0, -1, 0, -1]])


@dataclass(frozen=True)
class Drawn:
    num_frames: int = 3
    fps: float = 24.0

    def render(self, size: int) -> np.ndarray:
        return np.full((self.num_frames, size, size, 3), 7, dtype=np.uint8)


def test_drawings_are_rendered_at_the_size_asked_for() -> None:
    frames, fps = frames_of(Clip("a", "train", "x", Drawn()), 18)
    assert frames.shape == (3, 18, 18, 3) and fps == 24
