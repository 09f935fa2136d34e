"""The demo's model on its own test sentences, filmed as people film: at other rates, with stillness, in wide pictures.

`python -m benchmarks conditions` needs a finished demo (`make demo`; --demo names its folder) and takes about ten
minutes on two cores. The signers are filmed at each rate and written as ordinary H.264 files. "before" reads them as
versions up to 0.1.0 did: all frames, whatever their rate, stretched to a square.

At the demo's 8 frames/s a sign takes whole eighths of a second, nearly always three. Drawn anew at another rate it does
not: these rows measure another rhythm of signing too. "same movement" keeps the rhythm: poses between two frames are
interpolated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.timing import machine, table
from glossfree.avatar import wetter
from glossfree.avatar.draw import draw_clip
from glossfree.avatar.signing import SignedSentence
from glossfree.corpora.manifest import Clip, Manifest
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.statistics import Statistics
from glossfree.serving.translations import Translation, Translator
from glossfree.translator import SignTranslator
from glossfree.video.intake import Intake

CLIPS = 120  # of the split, the first ones
SIZE = 128  # pixels that the signers are drawn at: as the demo's 64, but that they are not packed clips
RATES = (12.0, 24.0, 30000 / 1001)  # frames per second
Film = Callable[[SignedSentence], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class Condition:
    """A way of filming: `film(drawing)` -> frames (T, H, W, 3) and frames per second."""

    name: str
    film: Film


def same_movement(drawing: SignedSentence, fps: float) -> np.ndarray:
    """The movement of a drawing, filmed at another rate: the pose in the middle of each new frame."""
    poses = drawing.poses()
    middles = (np.arange(round(len(poses) / drawing.fps * fps)) + 0.5) / fps
    own = (np.arange(len(poses)) + 0.5) / drawing.fps
    between = np.stack([np.interp(middles, own, values) for values in poses.T], axis=1)
    return draw_clip(between, drawing.signer, SIZE, fps, np.random.default_rng(drawing.seed))


def at_rate(fps: float, *, still: float = 0.0, keep_rhythm: bool = True) -> Film:
    """The same signing at another rate; the signer stands still for `still` seconds before and after."""

    def film(drawing: SignedSentence) -> tuple[np.ndarray, float]:
        frames = same_movement(drawing, fps) if keep_rhythm else replace(drawing, fps=fps).render(SIZE)
        pause = round(still * fps)
        rng = np.random.default_rng(drawing.seed)
        ends = [np.repeat(frame[None], pause, axis=0) for frame in (frames[0], frames[-1])]
        noisy = [np.clip(end + rng.normal(0, 2, end.shape), 0, 255).astype(np.uint8) for end in ends]
        return np.concatenate([noisy[0], frames, noisy[1]]), fps

    return film


def in_wide_picture(share: float, centre: float, *, fps: float = wetter.FPS, still: float = 0.0) -> Film:
    """The same in a picture of 16:9: `share` of its height, about `centre` of its width, before a plain wall."""

    def film(drawing: SignedSentence) -> tuple[np.ndarray, float]:
        frames, rate = at_rate(fps, still=still)(drawing)
        height = round(SIZE / share / 2) * 2
        width = round(height * 16 / 9 / 2) * 2
        left = min(max(0, round(centre * width - SIZE / 2)), width - SIZE)
        top = height - SIZE
        around = (top, 0, left, width - SIZE - left)
        return np.stack([cv2.copyMakeBorder(frame, *around, cv2.BORDER_REPLICATE) for frame in frames]), rate

    return film


CONDITIONS = (
    Condition("as in training, 8 frames/s", at_rate(wetter.FPS)),
    *(Condition(f"{fps:.4g} frames/s, same movement", at_rate(fps)) for fps in RATES),
    *(Condition(f"{fps:.4g} frames/s, drawn anew", at_rate(fps, keep_rhythm=False)) for fps in RATES),
    Condition("half a second of stillness at either end", at_rate(wetter.FPS, still=0.5)),
    Condition("two seconds of stillness, 25 frames/s", at_rate(25.0, still=2.0)),
    Condition("16:9, all of the height, left", in_wide_picture(1.0, 0.3)),
    Condition("16:9, all of the height, right", in_wide_picture(1.0, 0.75)),
    Condition("16:9, 60 % of the height, left", in_wide_picture(0.6, 0.3)),
    Condition("16:9, 60 % of the height, right", in_wide_picture(0.6, 0.75)),
    Condition("16:9, 60 %, 29.97 frames/s, stillness", in_wide_picture(0.6, 0.35, fps=30000 / 1001, still=1.0)),
)


def run(demo: Path = Path("runs/demo"), split: str = "test", limit: int = CLIPS) -> str:
    """A finished demo -> BLEU-4 of its model under each condition, before and now."""
    manifest = Manifest.load(demo / "corpus")
    clips = {clip.id: clip for clip in wetter.clips(None, split, limit=limit)}
    wanted = [clip for clip in manifest.split(split) if clip.id in clips]
    translator = SignTranslator.from_pretrained(demo / "model")
    now = translator.intake
    before = Intake(now.view, replace(now.sampling, fps=0.0), now.fit)
    rows = []
    packed = [(demo / "corpus" / clip.file, None) for clip in wanted]
    as_packed = score(translator, packed, [clip.text for clip in wanted])
    rows.append(["the packed clips themselves", "", f"{as_packed:.2f}", ""])
    for condition in CONDITIONS:
        with tempfile.TemporaryDirectory() as folder:
            files = [(write(Path(folder), clips[clip.id], condition.film), None) for clip in wanted]
            figures = []
            for intake in (before, now):
                translator.intake = intake
                figures.append(score(translator, files, [clip.text for clip in wanted]))
            translator.intake = now
        rows.append([condition.name, *(f"{figure:.2f}" for figure in figures), f"{figures[1] - as_packed:+.2f}"])
    note = f"BLEU-4 of {len(wanted)} sentences of {split}. {machine()}."
    return "\n".join([table(["filmed", "before", "now", "against packed"], rows), "", note])


def score(translator: Translator, requests: list[tuple[Path, None]], references: list[str]) -> float:
    """BLEU-4 of the translations of some files; one that fails counts as an empty sentence."""
    results = translator.explain_all(requests, num_tracks=0)
    texts = [each.text if isinstance(each, Translation) else "" for each in results]
    return Statistics.of(texts, references, convention_for("de")).scores()["bleu4"]


def write(folder: Path, clip: Clip, film: Film) -> Path:
    """A clip as somebody's camera keeps it."""
    assert isinstance(clip.source, SignedSentence)
    frames, fps = film(clip.source)
    path = folder / f"{clip.id}.mp4"
    with av.open(str(path), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path
