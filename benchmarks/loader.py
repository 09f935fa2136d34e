"""Frames per second of one loader process: packed clips, against the habit of the field (PNG frames, one by one).

Both end with what the network needs of a training clip at 224 x 224, augmented with probability 0.5 each by rotation,
resizing and translation; both run in one process with one thread, on the same clips, in the same minute. The habit is
given OpenCV; with PIL, which the field uses, it took a third longer still.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.timing import cpu_seconds, machine, table
from glossfree.corpora.manifest import PackedClip
from glossfree.video.dataset import ClipDataset, clip_rng
from glossfree.video.frames import View, draw_affine, warp_frames
from glossfree.video.pack import read_clip, write_clip
from glossfree.video.sampler import ClipLoader, ClipSampler

LENGTHS = (63, 117, 141, 75, 104)  # frames; PHOENIX14T's median is about 110
HEIGHT, WIDTH = 260, 210  # PHOENIX14T's frames
VIEW = View(256, 224)
SMALL = View(64, 56, translation=2.5)  # as in recipes for laptops
EPOCHS = 3  # a quarter of all clips is neither rotated nor resized: one epoch of five clips says little
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def signer(num_frames: int, seed: int) -> np.ndarray:
    """A dark figure with two moving hands before a grey wall, with sensor noise -> (T, 260, 210, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    wall = np.linspace(150, 190, WIDTH, dtype=np.float32)[None, :, None].repeat(HEIGHT, axis=0).repeat(3, axis=2)
    cv2.ellipse(wall, (105, 250), (70, 110), 0, 0, 360, (45, 45, 60), -1)
    cv2.ellipse(wall, (105, 95), (28, 38), 0, 0, 360, (205, 165, 145), -1)
    speed, phase = rng.uniform(0.1, 0.3, size=4), rng.uniform(0, 6, size=4)
    frames = np.empty((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    for step, frame in enumerate(frames):
        picture, swing = wall.copy(), np.sin(speed * step + phase)
        for side, (x, y) in zip((-1, 1), swing.reshape(2, 2), strict=True):
            hand = (int(105 + side * 50 + 30 * x), int(180 + 45 * y))
            cv2.line(picture, (105 + side * 60, 190), hand, (50, 50, 65), 18)
            cv2.circle(picture, hand, 14, (205, 165, 145), -1)
        frame[:] = np.clip(picture + rng.normal(0, 2, size=picture.shape), 0, 255)
    return frames


def rate(work: Callable[[], int]) -> float:
    """Frames per second of processor time; `work` returns its number of frames."""
    frames, seconds = cpu_seconds(work, repeats=2)
    return frames / seconds


def habit(folder: Path, rng: np.random.Generator) -> torch.Tensor:
    """One folder of PNG frames -> (T, 3, 224, 224) float32: read, rotate, resize, move, scale, normalise, crop, each in
    its own pass over each frame."""
    rotate, resize, move = rng.random(3) < VIEW.augment_probability
    angle = rng.uniform(-VIEW.rotation, VIEW.rotation)
    scale = 1 + rng.uniform(-VIEW.resize, VIEW.resize)
    shift = rng.uniform(-VIEW.translation, VIEW.translation, size=2)
    left, top = rng.integers(0, VIEW.frame_size - VIEW.crop_size + 1, size=2)
    size, frames = (WIDTH, HEIGHT), []
    centre = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    for path in sorted(folder.iterdir()):
        frame = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        if rotate:
            frame = cv2.warpAffine(frame, cv2.getRotationMatrix2D(centre, angle, 1.0), size)
        if resize:
            frame = cv2.warpAffine(frame, cv2.getRotationMatrix2D(centre, 0.0, scale), size)
        if move:
            frame = cv2.warpAffine(frame, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), size)
        frame = cv2.resize(frame, (VIEW.frame_size, VIEW.frame_size), interpolation=cv2.INTER_CUBIC)
        values = (frame.astype(np.float32) / 255 - MEAN) / STD
        frames.append(torch.from_numpy(values).permute(2, 0, 1))
    return torch.stack(frames)[:, :, top : top + VIEW.crop_size, left : left + VIEW.crop_size].contiguous()


def packed(folder: Path, view: View) -> list[PackedClip]:
    """Write the clips as `glossfree prepare` does, at the size of a view."""
    clips = []
    for seed, length in enumerate(LENGTHS):
        size = (view.frame_size, view.frame_size)
        frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in signer(length, seed)])
        name = f"{view.frame_size}-{seed}.mp4"
        write_clip(folder / name, frames, 25.0)
        clips.append(PackedClip(str(seed), "train", "wind", name, length, 25.0))
    return clips


def epochs_of(folder: Path, clips: list[PackedClip], view: View, cache_bytes: int = 0) -> Callable[[], int]:
    """Some epochs of the loader as training sees them -> the number of their frames."""
    dataset = ClipDataset(folder, clips, view, augment=True, cache_bytes=cache_bytes)
    loader = ClipLoader(dataset, ClipSampler(dataset.lengths, batch_size=4, shuffle=True, seed=0))

    def run_epochs() -> int:
        frames = 0
        for epoch in range(EPOCHS):
            loader.set_epoch(epoch)
            frames += sum(len(batch.frames) for batch in loader)
        return frames

    return run_epochs


def habit_epochs(folder: Path) -> int:
    """The same epochs, each clip with the same draw of what is switched on -> the number of their frames."""
    folders = sorted(folder.iterdir())
    return sum(len(habit(path, clip_rng(0, epoch, path.name))) for epoch in range(EPOCHS) for path in folders)


def augmented(frames: np.ndarray) -> int:
    """Draw and apply twenty views to one clip -> the number of frames."""
    rng = np.random.default_rng(0)
    return sum(len(warp_frames(frames, draw_affine(VIEW, rng), VIEW.crop_size)) for _ in range(20))


def run() -> str:
    """Measure everything -> a table in Markdown."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            rates = _measure(Path(name))
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    ratio = rates["packed clips, 256 -> 224 uint8"] / rates["PNG 210 x 260, frame by frame, 224 float32"]
    rows = [[label, f"{value:,.0f}"] for label, value in rates.items()]
    text = table(["loader: one process, one core", "frames/s"], rows)
    return f"{text}\n\nPacked over PNG: {ratio:.1f} times. {machine()}."


def _measure(folder: Path) -> dict[str, float]:
    clips, small = packed(folder, VIEW), packed(folder, SMALL)
    for seed, length in enumerate(LENGTHS):
        (folder / "png" / str(seed)).mkdir(parents=True)
        for step, frame in enumerate(signer(length, seed)):
            cv2.imwrite(str(folder / "png" / str(seed) / f"{step:04d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    kept, cached = read_clip(folder / clips[0].file), epochs_of(folder, small, SMALL, cache_bytes=10**9)
    cached()  # the first epoch fills the cache
    return {
        "decoding alone, 256": rate(lambda: sum(len(read_clip(folder / clip.file)) for clip in clips)),
        "augmentation and crop alone, 256 -> 224": rate(lambda: augmented(kept)),
        "packed clips, 256 -> 224 uint8": rate(epochs_of(folder, clips, VIEW)),
        "PNG 210 x 260, frame by frame, 224 float32": rate(lambda: habit_epochs(folder / "png")),
        "packed clips, 64 -> 56 uint8": rate(epochs_of(folder, small, SMALL)),
        "the same from the cache": rate(cached),
    }
