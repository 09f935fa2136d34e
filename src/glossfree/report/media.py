"""Frames (T, H, W, 3) uint8 RGB -> an H.264 clip and a strip of thumbnails, as data: URIs for a page."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from glossfree.video.pack import encode

VIDEO_SIZE = 192  # pixels of the longer side; smaller clips keep their size
VIDEO_OPTIONS = {"crf": "25", "preset": "fast", "g": "12", "bf": "0"}  # short groups: jumping to a frame is instant
THUMBNAIL_SIZE = 88
FRAMES_PER_THUMBNAIL, MAX_THUMBNAILS = 4, 12
JPEG_QUALITY = 78


def video_uri(frames: np.ndarray, fps: float) -> str:
    """A clip that every browser plays (H.264, 4:2:0, MP4)."""
    return _uri("video/mp4", encode(shrink(frames, VIDEO_SIZE), fps, options=VIDEO_OPTIONS))


def strip_uri(frames: np.ndarray) -> str:
    """A few frames side by side in one JPEG; each is the middle one of an equal part of the clip."""
    count = max(1, min(MAX_THUMBNAILS, round(len(frames) / FRAMES_PER_THUMBNAIL)))
    middles = (np.arange(count) + 0.5) * len(frames) / count
    return _jpeg(np.concatenate(list(shrink(frames[middles.astype(int)], THUMBNAIL_SIZE)), axis=1))


def poster_uri(frames: np.ndarray) -> str:
    """The first frame, which some browsers need to show a clip before it plays."""
    return _jpeg(shrink(frames[:1], VIDEO_SIZE)[0])


def shrink(frames: np.ndarray, longer_side: int) -> np.ndarray:
    """Frames (T, H, W, 3) -> the same pictures, at most `longer_side` pixels, never enlarged."""
    height, width = frames.shape[1:3]
    factor = longer_side / max(height, width)
    if factor >= 1:
        return frames
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def _jpeg(picture: np.ndarray) -> str:
    is_written, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert is_written, "OpenCV writes JPEG"
    return _uri("image/jpeg", data.tobytes())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
