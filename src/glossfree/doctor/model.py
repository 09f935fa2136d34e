"""Compares clips with the training clips of a model.

A model's card describes its training clips: rates, aspects, lengths, light, size of the signer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glossfree.corpora.manifest import Segment, source_at
from glossfree.doctor.findings import Diagnosis, Finding, counted
from glossfree.errors import ClipError, GlossfreeError
from glossfree.serving.folder import training_of, verify
from glossfree.video.container import FPS
from glossfree.video.decode import open_source
from glossfree.video.intake import LONGER, OTHER_ASPECT, grey, preview_size
from glossfree.video.pack import packed_size
from glossfree.video.signer import find_signer
from glossfree.video.timeline import FEWEST, SAME_RATE

LOOKED_AT = 16  # frames of a clip, evenly spread, for light and signer
DARK, BRIGHT, FLAT = 40.0, 215.0, 12.0  # limits of brightness and contrast (0-255) in good light
SIGNER_SLACK = 0.3  # of the signer's size in training
LIGHT_SLACK = 0.2  # of the darkest and brightest clip of training


@dataclass(frozen=True)
class ClipLook:
    """Properties of a clip. `brightness` is the mean of a few frames, 0 (black) to 255, `contrast` their deviation.

    `aspect` is 0 for a clip of a prepared folder, which is square like those of training.
    """

    fps: float
    num_frames: int
    seconds: float
    aspect: float
    brightness: float
    contrast: float


def diagnose_model(folder: Path, clips: Sequence[Path], fps: float | None = None) -> Diagnosis:
    """A folder made by `glossfree export`, and video files or folders of images -> Diagnosis.

    `fps`: frames per second of the folders of images, 25 if left out.
    """
    try:
        card = verify(folder)
        training = training_of(card, folder)
    except GlossfreeError as error:
        return Diagnosis(str(folder), (Finding("model", "problem", error.problem, error.remedy or ""),))
    findings = [Finding("model", "ok", f"complete, of glossfree {card.get('glossfree', '?')}"), *_card(training)]
    figures: dict[str, Any] = {"training": training, "clips": {}}
    for path in clips:
        try:
            look, frames = look_at(path, fps or 0.0)
        except ClipError as error:
            findings.append(Finding(path.name, "problem", error.problem, error.remedy or ""))
            continue
        figures["clips"][str(path)] = asdict(look)
        if path.is_dir() and fps is None:
            text = f"images without a rate, taken as {FPS:g} frames/s"
            findings.append(Finding(path.name, "warning", text, "--fps says otherwise, here and in translate"))
        aspect = f"{look.aspect:.2f} wide to 1 high, " if look.aspect else ""
        fine = Finding(path.name, "ok", f"like training: {look.fps:.4g} frames/s, {aspect}{look.seconds:.1f} s")
        findings += list(compare(path.name, look, frames, training)) or [fine]
    return Diagnosis(str(folder), tuple(findings), figures)


def _card(training: Mapping[str, Any]) -> Iterator[Finding]:
    """The properties of the training clips, and those that the card lacks."""
    known = []
    if "fps" in training:
        known.append(" to ".join(dict.fromkeys(f"{fps:.4g}" for fps in training["fps"])) + " frames/s")
    if "aspect" in training:
        known.append(f"{training['aspect'][1]:.2f} wide to 1 high")
    if "seconds" in training:
        known.append(f"clips of {training['seconds'][0]:.1f} to {training['seconds'][2]:.1f} s")
    if known:
        yield Finding("training", "ok", ", ".join(known))
    unknown = [
        word for key, word in {"fps": "rate", "aspect": "aspect", "seconds": "lengths"}.items() if key not in training
    ]
    if unknown:
        text = f"the model does not state its {', '.join(unknown)}: clips cannot be compared in this"
        yield Finding("training", "warning", text, "export it again from its run, with this version of glossfree")


def look_at(path: Path, fps: float = 0.0) -> tuple[ClipLook, list[np.ndarray]]:
    """A video file or a folder of images -> its properties, and a few small frames (h, w, 3) uint8 RGB.

    `fps`: frames per second of a folder, 0: not given. Raises ClipError if it cannot be read.
    """
    timeline = open_source(source_at(path, fps=fps)).timeline
    numbers = np.unique(np.linspace(0, len(timeline) - 1, LOOKED_AT + 2)[1:-1].round().astype(int))
    frames: list[np.ndarray] = []
    aspect = 0.0
    for number in map(int, numbers):  # one at a time: reading all at once would decode the complete video
        reader = open_source(source_at(path, Segment(number, number + 1, "frames")))
        frames += reader.read([0], preview_size)
        aspect = reader.aspect
    small, is_packed = grey(frames), aspect == 1 and packed_size(path) is not None
    look = ClipLook(
        fps=timeline.fps,
        num_frames=len(timeline),
        seconds=timeline.seconds,
        aspect=0.0 if is_packed else aspect,
        brightness=float(small.mean()),
        contrast=float(small.std(axis=(1, 2)).mean()),
    )
    return look, frames


def compare(name: str, look: ClipLook, frames: Sequence[np.ndarray], training: Mapping[str, Any]) -> Iterator[Finding]:
    """A clip, and the profile of training -> a warning or problem for each property that differs too much."""
    if look.num_frames < FEWEST:
        text = f"only {counted(look.num_frames, 'frame')}: no signing is that short"
        yield Finding(name, "problem", text, "is it a picture? name a video, or a folder with all of its frames")
        return
    slowest = training.get("fps", (0.0, 0.0))[0]
    if look.fps < slowest * (1 - SAME_RATE):
        text = f"{look.fps:.4g} frames/s, training had {slowest:.4g}: movement in between is lost"
        yield Finding(name, "warning", text, f"record at {slowest:.4g} frames/s or more")
    aspect = training.get("aspect", (0.0, 0.0, 0.0))[1]
    if aspect and look.aspect and max(look.aspect / aspect, aspect / look.aspect) > OTHER_ASPECT:
        text = f"{look.aspect:.2f} wide to 1 high, training had {aspect:.2f}: translate crops it around the signer"
        yield Finding(name, "warning", text, "better: crop it yourself, so that the signer is as large as in training")
    elif aspect and look.aspect and training.get("signer"):
        crop = find_signer(frames, training["signer"], aspect)
        if crop.how != "centre" and abs(crop.height - 1) > SIGNER_SLACK:
            text = f"the signer is {100 * crop.height:.0f} % as large as in training"
            yield Finding(name, "warning", text, "step closer to the camera, or farther away; or crop the video")
    shortest, _, longest = training.get("seconds", (0.0, 0.0, np.inf))
    if look.seconds > LONGER * longest:
        text = f"{look.seconds:.1f} s, training's longest clip had {longest:.1f} s"
        yield Finding(name, "warning", text, "cut it into sentences, or name its segments: translate --segments FILE")
    elif look.seconds < shortest:
        text = f"{look.seconds:.1f} s, training's shortest clip had {shortest:.1f} s"
        yield Finding(name, "warning", text, "is the sentence complete?")
    light = training.get("light")
    darkest, brightest = (light[0] * (1 - LIGHT_SLACK), light[-1] * (1 + LIGHT_SLACK)) if light else (DARK, BRIGHT)
    if not darkest <= look.brightness <= brightest:
        word = "dark" if look.brightness < darkest else "bright"
        usual = f", training had {light[0]:.0f} to {light[-1]:.0f}" if light else ""
        text = f"very {word}: brightness {look.brightness:.0f} of 255{usual}"
        yield Finding(name, "warning", text, "light from the front, no window behind the signer")
    if look.contrast < FLAT:
        text = f"hardly any contrast: {look.contrast:.0f} (brightness, standard deviation)"
        yield Finding(name, "warning", text, "is there a signer in the picture?")
