"""Frames per second of one loader process: packed clips, against the two habits of the field.

GFSLT-VLP's: a folder of PNG frames, each of which is rotated, resized, moved and scaled in a pass of its own.
Sign2GPT's: JPEGs of the final size in one file (there an LMDB), cropped; nothing is augmented here, which favours it.
Both end with normalised float32 of 224 x 224, and are given OpenCV; with PIL, which the field uses, they take longer.

Packed clips are augmented with probability 0.5 each by rotation, resizing and translation. A step takes uint8, and the
model normalises it on its own device, a pass of its backbone after the other; in the rows of float32, that is done
here, too. All run in one process with one thread, on the same clips, in turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.formats import in_rgb
from benchmarks.timing import cpu_seconds, machine, table
from glossfree.corpora.manifest import PackedClip
from glossfree.video.dataset import ClipDataset, clip_rng
from glossfree.video.frames import View, draw_affine, warp_frames
from glossfree.video.pack import SUFFIXES, Codec, read_clip, write_clip
from glossfree.video.sampler import ClipLoader, ClipSampler

LENGTHS = (63, 117, 141, 75, 104)  # frames; PHOENIX14T's median is about 110
HEIGHT, WIDTH = 260, 210  # PHOENIX14T's frames
VIEW = View(256, 224)
SMALL = View(64, 56, translation=2.5)  # as in recipes for laptops
EPOCHS = 3  # a quarter of all clips is neither rotated nor resized: one epoch of five clips says little
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
ROUNDS = 3
PASS = 16  # frames that go through the backbone at once
RAW, H264, PNG, JPEG = (
    "raw, 256 -> 224",
    "H.264, 256 -> 224",
    "GFSLT-VLP's way, PNG 210 x 260",
    "Sign2GPT's way, JPEG 256",
)


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


def rates_of(works: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Frames per second of processor time, the best of ROUNDS turns; each work returns its number of frames."""
    rates = dict.fromkeys(works, 0.0)
    for _ in range(ROUNDS):
        for name, work in works.items():
            frames, seconds = cpu_seconds(work, repeats=1)
            rates[name] = max(rates[name], frames / seconds)
    return rates


def in_passes(planes: torch.Tensor) -> int:
    """Normalise (N, 3, H, W) uint8 as the model does, a pass of the backbone after the other -> N."""
    scale, shift = (torch.from_numpy(each)[:, None, None] for each in (1 / (255 * STD), -MEAN / STD))
    rows: Iterator[int] = (len(torch.addcmul(shift, part.float(), scale)) for part in planes.split(PASS))
    return sum(rows)


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
        frame = in_rgb(cv2.imread(str(path)))
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


def jpeg_habit(path: Path, ends: list[int], rng: np.random.Generator) -> torch.Tensor:
    """JPEGs of 256 x 256 in one file, behind each other -> (T, 3, 224, 224) float32, cropped and normalised."""
    data, frames = np.memmap(path, np.uint8, "r"), []
    left, top = rng.integers(0, VIEW.frame_size - VIEW.crop_size + 1, size=2)
    for start, end in zip([0, *ends], ends, strict=False):
        frame = in_rgb(cv2.imdecode(data[start:end], cv2.IMREAD_COLOR))
        frame = frame[top : top + VIEW.crop_size, left : left + VIEW.crop_size]
        frames.append(torch.from_numpy((frame.astype(np.float32) / 255 - MEAN) / STD).permute(2, 0, 1))
    return torch.stack(frames)


def write_jpegs(path: Path, frames: np.ndarray) -> list[int]:
    """Frames (T, 256, 256, 3) into one file -> where each ends."""
    parts = [
        cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        for frame in frames
    ]
    path.write_bytes(b"".join(part.tobytes() for part in parts))
    ends: list[int] = np.cumsum([len(part) for part in parts]).tolist()
    return ends


def packed(folder: Path, view: View, codec: Codec = "h264") -> list[PackedClip]:
    """Write the clips as `glossfree prepare` does, at the size of a view."""
    clips = []
    for seed, length in enumerate(LENGTHS):
        size = (view.frame_size, view.frame_size)
        frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in signer(length, seed)])
        name = f"{view.frame_size}-{seed}{SUFFIXES[codec]}"
        write_clip(folder / name, frames, 25.0, codec=codec)
        clips.append(PackedClip(str(seed), "train", "wind", name, length, 25.0))
    return clips


def epochs_of(
    folder: Path, clips: list[PackedClip], view: View, *, cache_bytes: int = 0, as_floats: bool = False
) -> Callable[[], int]:
    """Some epochs of the loader as training sees them -> the number of their frames."""
    dataset = ClipDataset(folder, clips, view, augment=True, cache_bytes=cache_bytes)
    loader = ClipLoader(dataset, ClipSampler(dataset.lengths, batch_size=4, shuffle=True, seed=0))

    def run_epochs() -> int:
        frames = 0
        for epoch in range(EPOCHS):
            loader.set_epoch(epoch)
            frames += sum(in_passes(batch.frames) if as_floats else len(batch.frames) for batch in loader)
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
            rates, sizes = _measure(Path(name))
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    rows = [[label, f"{value:,.0f}", *_times(label, rates), sizes.get(label, "")] for label, value in rates.items()]
    header = ["loader: one process, one core", "frames/s", "times GFSLT-VLP's", "times Sign2GPT's", "bytes a frame"]
    return f"{table(header, rows)}\n\n{machine()}."


def _times(label: str, rates: dict[str, float]) -> list[str]:
    """How many times faster than either habit; nothing for parts of a loader, and other sizes."""
    if not label.startswith((RAW, H264)):
        return ["", ""]
    return [f"{rates[label] / rates[habit]:.1f}" for habit in (PNG, JPEG)]


def _measure(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    clips, raw, small = packed(folder, VIEW), packed(folder, VIEW, "raw"), packed(folder, SMALL)
    rng, jpegs = np.random.default_rng(0), []
    for seed, length in enumerate(LENGTHS):
        (folder / "png" / str(seed)).mkdir(parents=True)
        for step, frame in enumerate(signer(length, seed)):
            cv2.imwrite(str(folder / "png" / str(seed) / f"{step:04d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        path = folder / f"{seed}.jpegs"
        jpegs.append((path, write_jpegs(path, read_clip(folder / raw[seed].file))))
    kept, cached = read_clip(folder / clips[0].file), epochs_of(folder, small, SMALL, cache_bytes=10**9)
    cached()  # the first epoch fills the cache
    works: dict[str, Callable[[], int]] = {
        "reading alone, H.264": lambda: sum(len(read_clip(folder / clip.file)) for clip in clips),
        "reading alone, raw": lambda: sum(len(read_clip(folder / clip.file)) for clip in raw),
        "augmentation and crop alone, 256 -> 224": lambda: augmented(kept),
        f"{RAW}, uint8": epochs_of(folder, raw, VIEW),
        f"{RAW}, float32": epochs_of(folder, raw, VIEW, as_floats=True),
        f"{H264}, uint8": epochs_of(folder, clips, VIEW),
        f"{H264}, float32": epochs_of(folder, clips, VIEW, as_floats=True),
        PNG: lambda: habit_epochs(folder / "png"),
        JPEG: lambda: sum(len(jpeg_habit(path, ends, rng)) for path, ends in jpegs),
        "H.264, 64 -> 56, uint8": epochs_of(folder, small, SMALL),
        "the same from the cache": cached,
    }
    files = {RAW: [folder / clip.file for clip in raw], H264: [folder / clip.file for clip in clips]}
    files |= {PNG: list((folder / "png").rglob("*.png")), JPEG: [path for path, _ in jpegs]}
    each = {name: f"{sum(path.stat().st_size for path in paths) / sum(LENGTHS):,.0f}" for name, paths in files.items()}
    sizes = {f"{name}, uint8" if name in (RAW, H264) else name: size for name, size in each.items()}
    return rates_of(works), sizes
