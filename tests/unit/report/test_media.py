"""Frames survive the way into the page."""

from __future__ import annotations

import base64
import io

import av
import cv2
import numpy as np

from glossfree.report.media import poster_uri, shrink, strip_uri, video_uri


def payload(uri: str, kind: str) -> bytes:
    head, data = uri.split(",", 1)
    assert head == f"data:{kind};base64"
    return base64.b64decode(data)


def greys(count: int, height: int, width: int) -> np.ndarray:
    """(T, H, W, 3): each frame one grey, brighter and brighter."""
    levels = np.linspace(20, 220, count).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def test_the_clip_is_h264_with_every_frame_and_its_pace():
    data = payload(video_uri(greys(13, 46, 34), 12.5), "video/mp4")
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate or 0) == 12.5
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(stream)]
    assert len(levels) == 13
    assert np.abs(np.array(levels) - np.linspace(20, 220, 13)).max() < 4


def test_thumbnails_are_the_middle_frames_in_order():
    strip = cv2.imdecode(np.frombuffer(payload(strip_uri(greys(12, 40, 30)), "image/jpeg"), np.uint8), 1)
    assert strip.shape == (40, 90, 3)
    expected = np.linspace(20, 220, 12)[[2, 6, 10]]
    levels = [strip[:, 30 * i + 5 : 30 * i + 25].mean() for i in range(3)]
    assert np.abs(np.array(levels) - expected).max() < 3


def test_colours_are_not_swapped():
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 200
    blue_green_red = cv2.imdecode(np.frombuffer(payload(poster_uri(red), "image/jpeg"), np.uint8), 1)
    assert blue_green_red[..., 2].mean() > 150 and blue_green_red[..., 0].mean() < 50


def test_a_clip_of_one_frame_has_one_thumbnail():
    for num_frames, count in ((1, 1), (23, 6), (500, 12)):
        data = payload(strip_uri(greys(num_frames, 40, 30)), "image/jpeg")
        assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape == (40, 30 * count, 3)


def test_pictures_are_never_enlarged():
    assert shrink(greys(2, 30, 20), 192).shape == (2, 30, 20, 3)
    assert shrink(greys(2, 300, 200), 100).shape == (2, 100, 67, 3)
