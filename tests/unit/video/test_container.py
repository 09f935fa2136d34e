"""Real-world files: each frame has its own time, and only the file itself can show that it is truncated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.unit.video.reading import read_video

from glossfree.corpora.manifest import Segment, VideoFile
from glossfree.errors import ClipError
from glossfree.video.container import probe, scan
from glossfree.video.decode import VideoReader

RATE = 25
CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9", ".avi": "mpeg4"}


def numbered(count: int, height: int = 36, width: int = 52) -> np.ndarray:
    """Frames that say their own number by their brightness."""
    return np.stack([np.full((height, width, 3), 20 + 4 * (number % 50), np.uint8) for number in range(count)])


def numbers(frames: np.ndarray) -> list[int]:
    """Of the first 50 frames."""
    return [round((float(frame.mean()) - 20) / 4) for frame in frames]


def write(
    path: Path,
    frames: np.ndarray,
    *,
    times: Sequence[float] | None = None,
    rate: Fraction | int = RATE,
    codec: str = "",
    sound: float = 0.0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A video file with frames at their times (seconds), and with so many seconds of sound."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec or CODECS[path.suffix], rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000) if times is not None else 1 / Fraction(rate)
        voice_codec = "aac" if path.suffix in (".mp4", ".mov") else "libopus"
        voice = container.add_stream(voice_codec, rate=48000, layout="mono") if sound else None
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if voice is not None:
            for start in range(0, int(sound * 48000), 960):
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
                tone.sample_rate, tone.pts = 48000, start
                container.mux(voice.encode(tone))
            container.mux(voice.encode())
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm"])
def test_sound_longer_than_the_picture_truncates_nothing(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", numbered(31), sound=3.0)
    frames, fps = read_video(path)
    assert (len(frames), fps) == (31, 25.0)


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_a_cut_out_of_a_recording_begins_late(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", numbered(31), times=[7.2 + number / 25 for number in range(31)])
    frames, fps = read_video(path)
    assert len(frames) == 31 and fps == pytest.approx(25, rel=1e-3)
    assert numbers(read_video(path, Segment(0.4, 0.8))[0]) == list(range(10, 20))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm"])
def test_a_phones_frames_have_their_own_times(tmp_path: Path, suffix: str) -> None:
    times = [*(number / 30 for number in range(30)), *(1 + number / 5 for number in range(20))]
    path = write(tmp_path / f"a{suffix}", numbered(50), times=times, rate=30)
    timeline = scan(path).timeline
    assert len(timeline) == 50 and not timeline.is_constant
    assert np.abs(timeline.times - times).max() <= 1e-3 and timeline.seconds == pytest.approx(5, abs=2e-3)
    assert numbers(read_video(path)[0]) == list(range(50))
    assert numbers(read_video(path, Segment(1.0, 2.0))[0]) == [30, 31, 32, 33, 34]


def test_a_clock_that_jumped_by_a_year_is_an_error(tmp_path: Path) -> None:
    year = 365 * 24 * 3600
    path = write(tmp_path / "a.mkv", numbered(3), times=[0.0, 0.04, year])
    with pytest.raises(ClipError, match="3 frames in 13,140 hours") as caught:
        scan(path, "regen-3")
    assert "regen-3" in str(caught.value) and "setpts" in caught.value.remedy


def test_vp8_packets_without_a_visible_frame_are_not_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = np.clip(numbered(80).astype(int) + rng.integers(-9, 9, (80, 36, 52, 3)), 0, 255).astype(np.uint8)
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "60k"}
    path = write(tmp_path / "a.webm", noise, codec="libvpx", options=options)
    assert read_video(path)[0].shape == (80, 36, 52, 3)
    assert scan(path).timeline.seconds == pytest.approx(80 / 25, abs=0.01)


def test_a_live_recording_has_no_duration(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm", numbered(31), container_options={"live": "1"})
    assert len(read_video(path)[0]) == 31
    fragmented = write(tmp_path / "b.mp4", numbered(31), container_options={"movflags": "frag_keyframe+empty_moov"})
    assert len(read_video(fragmented)[0]) == 31


def test_a_fragmented_file_that_was_cut_is_truncated(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    noise = np.random.default_rng(0).integers(0, 80, (97, 36, 52, 3), dtype=np.uint8)
    path = write(tmp_path / "a.mp4", noise, container_options=options, options={"g": "12"})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    with pytest.raises(ClipError, match="truncated"):
        read_video(path)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm", ".avi"])
@pytest.mark.parametrize(("start", "end"), [(0.0, 0.52), (3.0, 4.0), (9.48, 9.6), (5.52, None)])
def test_a_segment_equals_the_slice_of_its_video(tmp_path: Path, suffix: str, start: float, end: float | None) -> None:
    path = write(tmp_path / f"a{suffix}", numbered(240), options={"g": "60"})
    whole, _ = read_video(path)
    assert len(whole) == 240
    part, fps = read_video(path, Segment(start, end))
    assert fps == pytest.approx(25) and np.array_equal(part, whole[round(start * 25) : end and round(end * 25)])


def test_a_segment_of_a_long_video_decodes_little_more_than_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4", numbered(1500), options={"g": "50"})
    reader = VideoReader(VideoFile(path, Segment(50, 52)), "a")
    decoded: list[int] = []
    decode = VideoReader._decoded

    def counted(self: VideoReader, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        for number, frame in decode(self, first):
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(VideoReader, "_decoded", counted)
    assert len(list(reader.read(range(50)))) == 50 and len(decoded) <= 150


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 52, 36, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        voice = container.add_stream("aac", rate=48000, layout="mono")
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")))
        container.mux(cover.encode())
        for start in range(0, 48000, 960):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 48000, start
            container.mux(voice.encode(tone))
        container.mux(voice.encode())
    with pytest.raises(ClipError, match="no video stream"):
        read_video(tmp_path / "song.mp4")
    with pytest.raises(ClipError, match="no video stream"):
        probe(tmp_path / "song.mp4")


def test_pixels_that_are_not_square_are_widened(tmp_path: Path) -> None:
    path = tmp_path / "camcorder.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 36, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for frame in numbered(5, 36, 48):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert read_video(path)[0].shape == (5, 36, 64, 3)
    assert (probe(path).width, probe(path).height) == (64, 36)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("flags", ["", "faststart", "frag_keyframe+empty_moov"])
@pytest.mark.parametrize(("turn", "size"), [(0, (48, 36)), (90, (36, 48)), (-90, (36, 48)), (180, (48, 36))])
def test_the_header_of_a_phones_video_says_how_it_was_held(
    tmp_path: Path, suffix: str, flags: str, turn: int, size: tuple[int, int]
) -> None:
    path = tmp_path / f"phone{suffix}"
    with av.open(str(path), "w", container_options={"movflags": flags} if flags else None) as container:
        sound = container.add_stream("aac", rate=48000, layout="mono")  # the first track, and it is not turned
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 36, "yuv420p"
        stream.set_display_rotation(turn)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        tone.sample_rate, tone.pts = 48000, 0
        container.mux(sound.encode(tone))
        for frame in numbered(5, 36, 48):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
        container.mux(sound.encode())
    info = probe(path)
    assert (info.width, info.height) == size
    assert read_video(path)[0].shape[1:3] == size[::-1]
