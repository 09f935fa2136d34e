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
from glossfree.video.decode import VideoReader, natural_order, open_source, pixels_of
from glossfree.video.frames import Fit, fit_frame, fitted, resize
from glossfree.video.pack import encode, read_clip, write_clip


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


def test_images_at_an_impossible_rate_are_an_error(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", pattern(3))
    with pytest.raises(ClipError, match="3 frames in 8,333 hours"):
        open_source(FrameFolder(folder), "regen-3", 1e-7)


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


COLOURS = {
    "BT.709": (1, 0.2126, 0.0722),
    "BT.601": (6, 0.299, 0.114),
    "BT.2020": (9, 0.2627, 0.0593),
    "": (2, 0.299, 0.114),
}


def write_planes(path: Path, width: int, height: int, *, pixels: str = "yuv420p", matrix: int = 2, full: bool = False,
                 codec: str = "libx264", shape: Fraction | None = None) -> tuple[Path, list[np.ndarray]]:  # fmt: skip
    """A soft, moving, slightly noisy picture without loss, and its planes (H, W) of each frame."""
    rng, planes = np.random.default_rng(5), []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"qp": "0", "g": "5"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if full else 1
        if shape is not None:
            context.sample_aspect_ratio = shape
        for step in range(7):
            frame = av.VideoFrame(width, height, pixels)
            for number, plane in enumerate(frame.planes):
                rows, columns = np.indices((plane.height, plane.width)) / max(plane.height, plane.width)
                soft = 120 + 60 * np.sin(5 * rows + number + step / 3) * np.cos(4 * columns - number)
                pixels_of(plane)[:] = np.clip(soft + rng.normal(0, 6, soft.shape), 16, 235).astype(np.uint8)
            planes.append([pixels_of(plane).astype(np.float64) for plane in frame.planes])
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path, planes


def mean_areas(size: int, smaller: int) -> np.ndarray:
    """(smaller, size): each row averages the pixels that a larger one covers."""
    edges = np.linspace(0, size, smaller + 1)
    starts, ends = edges[:-1, None], edges[1:, None]
    covered = np.minimum(ends, np.arange(1, size + 1)) - np.maximum(starts, np.arange(size))
    return covered.clip(min=0) * smaller / size


def in_colour(planes: list[np.ndarray], red: float, blue: float, full: bool, width: int, height: int) -> np.ndarray:
    """Planes of 4:2:0 -> RGB (height, width, 3) in float64: colours by the standard's equations, areas averaged."""
    y, u, v = (
        plane.repeat(scale, axis=0).repeat(scale, axis=1) for plane, scale in zip(planes, (1, 2, 2), strict=True)
    )
    y, u, v = (y, u - 128, v - 128) if full else ((y - 16) / 219 * 255, (u - 128) / 224 * 255, (v - 128) / 224 * 255)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    channels = [
        mean_areas(len(y), height) @ channel.clip(0, 255) @ mean_areas(y.shape[1], width).T for channel in (r, g, b)
    ]
    return np.stack(channels, axis=-1)


def decibels(left: np.ndarray, right: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((left.astype(np.float64) - right) ** 2)))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("colours", COLOURS)
def test_scaled_frames_are_means_of_areas_in_the_files_own_colours(tmp_path: Path, colours: str, full: bool) -> None:
    matrix, red, blue = COLOURS[colours]
    path, planes = write_planes(tmp_path / "a.mp4", 190, 142, matrix=matrix, full=full)
    expected = np.stack([in_colour(each, red, blue, full, 46, 38) for each in planes])
    read = np.stack(list(VideoReader(VideoFile(path)).read(range(7), lambda *_: (46, 38))))
    brightness = np.array([red, 1 - red - blue, blue])
    assert decibels(read @ brightness, expected @ brightness) > 50
    assert decibels(read, expected) > 43, (
        "the place of colours in 4:2:0, half a pixel to the left, is not followed here"
    )
    assert np.abs((read - expected).mean(axis=(0, 1, 2))).max() < 0.4
    reader = VideoReader(VideoFile(path))
    packed = [as_rgb(frame) for frame in reader.read_squares(range(7), 48, "stretch")]
    expected = np.stack([in_colour(each, red, blue, full, 48, 48) for each in planes])
    assert decibels(np.stack(packed) @ brightness, expected @ brightness) > 40
    assert decibels(np.stack(packed), expected) > 33, "half of the colours' resolution is lost in packing"
    assert np.abs((packed - expected).mean(axis=(0, 1, 2))).max() < 1
    assert reader.aspect == pytest.approx(190 / 142)


def as_rgb(frame: np.ndarray | av.VideoFrame) -> np.ndarray:
    """A frame for the encoder, in the colours that `read_clip` gives it."""
    if isinstance(frame, av.VideoFrame):
        return cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2RGB_I420)
    return frame


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize(
    ("width", "height", "pixels", "codec", "shape"),
    [(190, 142, "yuv420p", "libx264", None), (142, 190, "yuv420p", "libx264", Fraction(4, 3)),
     (150, 96, "yuvj420p", "mjpeg", None), (182, 98, "yuv420p", "libx264", Fraction(3, 4)),
     (34, 26, "yuv420p", "libx264", None), (48, 48, "yuv420p", "libx264", None), (151, 97, "yuv444p", "libx264", None),
     (90, 62, "yuv422p", "libx264", None), (97, 51, "gray", "ffv1", None), (93, 71, "rgb24", "png", None)],
)  # fmt: skip
def test_squares_for_the_encoder_are_the_frames_of_the_file(
    tmp_path: Path, fit: Fit, width: int, height: int, pixels: str, codec: str, shape: Fraction | None
) -> None:
    """Against RGB of full size that OpenCV scales, whatever the pixels, the shape of a pixel and the size."""
    if pixels == "rgb24":
        frames = [cv2.resize(pattern(7)[step], (width, height)) for step in range(7)]
        path = tmp_path / "a.mov"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    else:
        path, _ = write_planes(tmp_path / "a.mkv", width, height, pixels=pixels, codec=codec, shape=shape)
    whole = VideoReader(VideoFile(path))
    expected = np.stack([fit_frame(frame, 48, fit) for frame in whole.read(range(7))])
    reader = VideoReader(VideoFile(path))
    squares = np.stack([as_rgb(frame) for frame in reader.read_squares(range(7), 48, fit)])
    scaled = np.stack([fit_frame(frame, 48, fit) for frame in reader.read(range(7), fitted(48, fit))])
    assert squares.shape == scaled.shape == expected.shape
    assert decibels(scaled, expected) > 38 and decibels(squares, expected) > 32
    assert reader.aspect == whole.aspect == pytest.approx(width * float(shape or 1) / height, abs=0.01)


@pytest.mark.parametrize("turn", [90, -90, 180])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_frames_are_scaled_before_they_are_turned(tmp_path: Path, turn: int, fit: Fit) -> None:
    path = write_video(tmp_path / "a.mp4", pattern(7, 90, 122), turn=turn)
    whole = VideoReader(VideoFile(path))
    expected = np.stack([fit_frame(frame, 40, fit) for frame in whole.read(range(7))])
    reader = VideoReader(VideoFile(path))
    squares = np.stack([as_rgb(frame) for frame in reader.read_squares(range(7), 40, fit)])
    assert decibels(squares, expected) > 40
    assert reader.aspect == whole.aspect == pytest.approx(122 / 90 if turn == 180 else 90 / 122)


def test_what_is_packed_keeps_nothing_else_of_its_source(tmp_path: Path) -> None:
    """Neither its key frames (every fifth) nor its times; repeated frames are repeated; and no byte is by chance."""
    path, _ = write_planes(tmp_path / "a.mkv", 190, 142)
    numbers = [0, 1, 1, 2, 3, 3, 3, 4, 5, 6, 6, 6, 6]
    squares = [encode(VideoReader(VideoFile(path)).read_squares(numbers, 96, "stretch"), 12.5) for _ in range(2)]
    assert squares[0] == squares[1]
    frames = list(VideoReader(VideoFile(path)).read(range(7), lambda *_: (96, 96)))
    write_clip(tmp_path / "b.mp4", [frames[number] for number in numbers], 12.5)
    with av.open(str(tmp_path / "b.mp4")) as container:
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]
    (tmp_path / "b.mp4").write_bytes(squares[0])
    with av.open(str(tmp_path / "b.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == keys
        assert {float(packet.duration * packet.time_base) for packet in packets} == {0.08}
        assert float(container.streams.video[0].duration * container.streams.video[0].time_base) == 13 * 0.08
    read = read_clip(tmp_path / "b.mp4")
    nearest = [int(np.argmin([np.mean((one - each.astype(float)) ** 2) for each in frames])) for one in read]
    assert nearest == numbers
