"""A model's folder and clips -> findings: do the clips look like those that the model was trained on?

A model says in its card what its training looked like: rates, aspects, lengths, light, the signer's size. Models that
were exported before it did say nothing, and are told so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.corpora.manifest import FrameFolder, Segment, VideoFile
from glossfree.doctor.findings import Diagnosis, Finding
from glossfree.errors import ClipError, GlossfreeError
from glossfree.translator import verify
from glossfree.video.decode import open_source
from glossfree.video.frames import resize
from glossfree.video.intake import LONGER, OTHER_ASPECT, grey
from glossfree.video.pack import packed_size
from glossfree.video.signer import find_signer
from glossfree.video.timeline import FEWEST, SAME_RATE

SIZES = {"fps": 2, "aspect": 3, "seconds": 3, "light": 3}  # numbers of each range in the card
LOOKED_AT, HEIGHT = 16, 240  # frames of a clip, evenly spread, and their pixels, for light and signer
DARK, BRIGHT, FLAT = 40.0, 215.0, 12.0  # brightness and contrast (0-255) that no camera in good light gives
SIGNER_SLACK = 0.3  # of the signer's size in training
LIGHT_SLACK = 0.2  # beyond the darkest and brightest clip of training


@dataclass(frozen=True)
class ClipLook:
    """What a clip looks like, and a few of its frames (h, w, 3) uint8 RGB, at most HEIGHT high.

    `aspect` is 0 for a clip of a prepared folder: it was made square as training's were. `brightness`: mean of these
    frames, 0 (black) to 255; `contrast`: its standard deviation within them.
    """

    fps: float
    num_frames: int
    seconds: float
    aspect: float
    brightness: float
    contrast: float
    frames: tuple[np.ndarray, ...]


def diagnose_model(folder: Path, clips: Sequence[Path]) -> Diagnosis:
    """A folder made by `glossfree export`, and video files or folders of images -> Diagnosis."""
    try:
        card = verify(folder)
    except GlossfreeError as error:
        return Diagnosis(str(folder), (Finding("model", "problem", error.problem, error.remedy or ""),))
    training = card.get("training")
    training = training if isinstance(training, Mapping) else {}
    findings = [
        Finding("model", "ok", f"complete, of glossfree {card.get('glossfree', '?')}"),
        *_model_findings(training),
    ]
    figures: dict[str, Any] = {"training": dict(training), "clips": {}}
    for path in clips:
        try:
            look = look_at(path)
        except ClipError as error:
            findings.append(Finding(path.name, "problem", error.problem, error.remedy or ""))
            continue
        odd = list(clip_findings(path.name, look, training))
        findings += odd or [Finding(path.name, "ok", _described(look))]
        figures["clips"][str(path)] = {
            "fps": look.fps,
            "num_frames": look.num_frames,
            "seconds": look.seconds,
            "aspect": look.aspect,
            "brightness": look.brightness,
            "contrast": look.contrast,
        }
    return Diagnosis(str(folder), tuple(findings), figures)


def look_at(path: Path) -> ClipLook:
    """A video file or a folder of images -> ClipLook. Raises ClipError if it cannot be read."""
    source = FrameFolder(path) if path.is_dir() else VideoFile(path)
    timeline = open_source(source, path.stem).timeline
    shown = np.unique(np.linspace(0, len(timeline) - 1, LOOKED_AT + 2)[1:-1].round().astype(int))
    frames: list[np.ndarray] = []
    aspect = 0.0
    for number in map(int, shown):  # each on its own: a long video is not decoded from its beginning to its end
        part = type(source)(path, Segment(number, number + 1, "frames"))
        (frame,) = open_source(part, path.stem).read([0])
        aspect = frame.shape[1] / frame.shape[0]
        height = min(HEIGHT, frame.shape[0])
        frames.append(resize(frame, max(1, round(height * aspect)), height))
    small, is_packed = grey(frames), aspect == 1 and packed_size(path) is not None
    return ClipLook(
        fps=timeline.fps,
        num_frames=len(timeline),
        seconds=timeline.seconds,
        aspect=0.0 if is_packed else aspect,
        brightness=float(small.mean()),
        contrast=float(small.std(axis=(1, 2)).mean()),
        frames=tuple(frames),
    )


def clip_findings(name: str, look: ClipLook, training: Mapping[str, Any]) -> Iterator[Finding]:
    """A clip, and what the card says of training -> what differs too much, each a warning, or a problem."""
    if look.num_frames < FEWEST:
        text = f"only {look.num_frames} frame{'' if look.num_frames == 1 else 's'}: no signing is that short"
        yield Finding(name, "problem", text, "is it a picture? name a video, or a folder with all of its frames")
        return
    fps, aspect, seconds = (numbers(training, key) for key in ("fps", "aspect", "seconds"))
    if fps and look.fps < fps[0] * (1 - SAME_RATE):
        text = f"{look.fps:.4g} frames/s, training had {fps[0]:.4g}: movement in between is lost"
        yield Finding(name, "warning", text, f"record at {fps[0]:.4g} frames/s or more")
    if aspect and look.aspect and max(look.aspect / aspect[1], aspect[1] / look.aspect) > OTHER_ASPECT:
        text = f"{look.aspect:.2f} wide to 1 high, training had {aspect[1]:.2f}: translate crops it around the signer"
        yield Finding(name, "warning", text, "better: crop it yourself, so that the signer is as large as in training")
    elif aspect and look.aspect:
        yield from _signer_findings(name, look, training.get("signer"), aspect[1])
    if seconds and look.seconds > LONGER * seconds[-1]:
        text = f"{look.seconds:.1f} s, training's longest clip had {seconds[-1]:.1f} s"
        yield Finding(name, "warning", text, "cut it into sentences, or name its segments: translate --segments FILE")
    elif seconds and look.seconds < seconds[0]:
        text = f"{look.seconds:.1f} s, training's shortest clip had {seconds[0]:.1f} s"
        yield Finding(name, "warning", text, "is the whole sentence in it?")
    yield from _light_findings(name, look, numbers(training, "light"))


def _signer_findings(name: str, look: ClipLook, profile: Any, aspect: float) -> Iterator[Finding]:
    """The signer's size where nothing is cropped: the crop in which they are as large as in training tells it."""
    if not isinstance(profile, dict):
        return
    try:
        crop = find_signer(look.frames, profile, aspect)
    except (KeyError, TypeError, ValueError):  # no profile of this version
        return
    if crop.how != "centre" and abs(crop.height - 1) > SIGNER_SLACK:
        text = f"the signer is {100 * crop.height:.0f} % as large as in training"
        yield Finding(name, "warning", text, "step closer to the camera, or farther away; or crop the video")


def _light_findings(name: str, look: ClipLook, trained: Sequence[float]) -> Iterator[Finding]:
    darkest = trained[0] * (1 - LIGHT_SLACK) if trained else DARK
    brightest = trained[-1] * (1 + LIGHT_SLACK) if trained else BRIGHT
    if not darkest <= look.brightness <= brightest:
        word = "dark" if look.brightness < darkest else "bright"
        than = f", training had {trained[0]:.0f} to {trained[-1]:.0f}" if trained else ""
        text = f"very {word}: brightness {look.brightness:.0f} of 255{than}"
        yield Finding(name, "warning", text, "light from the front, no window behind the signer")
    if look.contrast < FLAT:
        text = f"hardly any contrast: {look.contrast:.0f} (brightness, standard deviation)"
        yield Finding(name, "warning", text, "is there a signer in the picture?")


def numbers(training: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """A range of the card -> its numbers, ascending; () where the card does not say or holds something else."""
    values = training.get(key)
    if not isinstance(values, list) or len(values) != SIZES[key]:
        return ()
    if not all(isinstance(value, int | float) and 0 < value < 1e6 for value in values):
        return ()
    return tuple(sorted(map(float, values)))


def _model_findings(training: Mapping[str, Any]) -> Iterator[Finding]:
    """What training looked like, and what the card leaves out that matters."""
    fps, aspect, seconds = (numbers(training, key) for key in ("fps", "aspect", "seconds"))
    known = (
        [f"{fps[0]:.4g} to {fps[1]:.4g} frames/s" if fps[:1] != fps[1:] else f"{fps[0]:.4g} frames/s"] if fps else []
    )
    known += [f"{aspect[1]:.2f} wide to 1 high"] if aspect else []
    known += [f"clips of {seconds[0]:.1f} to {seconds[2]:.1f} s"] if seconds else []
    if known:
        yield Finding("training", "ok", ", ".join(known))
    unsaid = [word for word, value in (("rate", fps), ("aspect", aspect), ("lengths", seconds)) if not value]
    if unsaid:
        text = f"the model does not say its {', '.join(unsaid)}: clips cannot be compared with it in this"
        yield Finding("training", "warning", text, "export it again from its run, with this version of glossfree")


def _described(look: ClipLook) -> str:
    aspect = f"{look.aspect:.2f} wide to 1 high, " if look.aspect else ""
    return f"like training: {look.fps:.4g} frames/s, {aspect}{look.seconds:.1f} s"
