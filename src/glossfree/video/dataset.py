"""Packed clips, or their features -> single clips as batches of one: read, sample, augment.

A clip's frames in an epoch depend only on (seed, epoch, clip id): not on the number of workers, the order of the
clips, or earlier draws.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError
from glossfree.files.parts import Coming, Part, is_address
from glossfree.video.batch import ClipBatch, Level
from glossfree.video.container import describe_clip
from glossfree.video.frames import View, draw_affine, warp_frames, warp_points
from glossfree.video.pack import Scratch, read_clip
from glossfree.video.timeline import ALL_FRAMES, Sampling, Timeline

Encode = Callable[[str], list[int]]
Features = tuple[Tensor, Tensor | None]  # of a clip: rows (T, W), keypoints (T, J, 3)
ReadKeypoints = Callable[[PackedClip, np.ndarray], Tensor]  # clip, frames (T,) -> (T, J, 3)
OnBadClip = Literal["stop", "skip"]
NamedTargets = Mapping[str, Mapping[str, np.ndarray]]  # {name: {clip id: array}}
NO_TARGETS: NamedTargets = {}
AT_ONCE = 16  # clips at an address that a loader's process asks for at once


class Targets:
    """The targets of clips: token ids of the sentence, and anything else by name.

    `encode`: sentence -> ids; `others`: {name: {clip id: array}}, float32 or int64. Each distinct sentence is encoded
    once; an array is asked for when its clip is read. Raises ValueError if a clip has no entry.
    """

    def __init__(self, clips: Sequence[PackedClip], encode: Encode | None, others: NamedTargets) -> None:
        texts = dict.fromkeys(clip.text for clip in clips)
        self.labels = (
            None if encode is None else {text: torch.tensor([encode(text)], dtype=torch.int64) for text in texts}
        )
        for name, arrays in others.items():
            known = set(arrays)
            missing = [clip.id for clip in clips if clip.id not in known]
            if missing:
                raise ValueError(f"{name} lack {len(missing)} clips, the first is {missing[0]!r}")
        self.others = others

    def batch(self, clip: PackedClip, rows: Tensor, level: Level) -> ClipBatch:
        """A batch of one clip: its frames or features, and its targets."""
        labels = None if self.labels is None else self.labels[clip.text]
        others = {name: torch.from_numpy(np.asarray(arrays[clip.id]))[None] for name, arrays in self.others.items()}
        return ClipBatch((clip.id,), rows, torch.tensor([len(rows)]), (clip.text,), labels, level, targets=others)


class FrameCache:
    """A cache for the frames (T, size, size, 3) uint8 of the first clips that fit into `limit` bytes together.

    The memory is one anonymous shared mapping. Forked workers (Linux) fill and read the same pages, so any number of
    workers uses it once, and only as it fills. In a spawned worker (macOS, Windows) the unpickled cache is empty, and
    the worker fills its own. If two workers write one clip at once, they write the same bytes.
    """

    def __init__(self, num_frames: Sequence[int], size: int, limit: int) -> None:
        self.num_frames, self.size, self.limit = tuple(num_frames), size, limit
        ends = np.cumsum(np.asarray(self.num_frames, dtype=np.int64)) * size * size * 3
        self.kept = int(np.searchsorted(ends, limit, side="right"))  # the clips 0 .. kept-1 have room
        self._starts = np.concatenate([[0], ends])
        self._bytes = _shared_bytes(int(self._starts[self.kept]))
        self._is_filled = _shared_bytes(self.kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameCache, (self.num_frames, self.size, self.limit)

    def get(self, index: int) -> np.ndarray | None:
        """The frames (T, size, size, 3) of a clip, or None if they are not cached. Do not write to them."""
        return self._slot(index) if index < self.kept and self._is_filled[index] else None

    def put(self, index: int, frames: np.ndarray) -> None:
        """Keep the frames of a clip, if there is room."""
        if index < self.kept:
            self._slot(index)[:] = frames
            self._is_filled[index] = 1

    def _slot(self, index: int) -> np.ndarray:
        start, end = self._starts[index], self._starts[index + 1]
        return self._bytes[start:end].reshape(self.num_frames[index], self.size, self.size, 3)


def _shared_bytes(count: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, max(count, 1)), dtype=np.uint8)


class ClipDataset(Dataset[ClipBatch | ClipError | None]):
    """The clips of one split, each a batch of uint8 frames (T, 3, crop, crop), T = `lengths[index]`.

    With `augment`, frames and view are drawn at random; otherwise both are deterministic (centre crop). `on_bad_clip`
    "stop" raises ClipError with id and path (a loader's worker returns it, and the loader raises it); "skip" returns
    None, which `collate` drops and `bad_clips` lists. `cache_bytes` keeps decoded frames in memory (see FrameCache).
    With `crop_later`, workers only decode: the frames come uncropped, with the view that was drawn, and an accelerator
    crops them (`ClipBatch.prepared`). `keypoints(clip, indices)`: (T, J, 3) of the packed frames; they are cropped as
    the frames are, whatever was drawn.
    """

    def __init__(
        self,
        folder: str | Path,
        clips: Sequence[PackedClip],
        view: View,
        *,
        sampling: Sampling = ALL_FRAMES,
        encode: Encode | None = None,
        targets: NamedTargets = NO_TARGETS,
        augment: bool = False,
        seed: int = 0,
        on_bad_clip: OnBadClip = "stop",
        cache_bytes: int = 0,
        crop_later: bool = False,
        keypoints: ReadKeypoints | None = None,
    ) -> None:
        self.keypoints = keypoints
        self.folder, self.clips, self.view, self.sampling = Path(folder), tuple(clips), view, sampling
        self.augment, self.seed, self.on_bad_clip, self.crop_later = augment, seed, on_bad_clip, crop_later
        self.lengths = [sampling.length(Timeline.of(clip)) for clip in self.clips]
        self.targets = Targets(self.clips, encode, targets)
        self.cache = FrameCache([clip.num_frames for clip in self.clips], view.frame_size, cache_bytes)
        self._coming: dict[int, Coming] = {}
        self._scratch = None if crop_later else Scratch()  # frames that are cropped here are not kept
        # Shared tensors: workers live through all epochs, read the current one, and report the clips that they skip.
        self._epoch, self._is_bad = torch.zeros(1, dtype=torch.int64), torch.zeros(len(self.clips), dtype=torch.bool)
        for shared in (self._epoch, self._is_bad):
            shared.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.clips)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, in this process and in all workers."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> ClipBatch | ClipError | None:
        clip = self.clips[index]
        rng = clip_rng(self.seed, int(self._epoch), clip.id) if self.augment else None
        indices = self.sampling.indices(Timeline.of(clip), rng)
        matrix = draw_affine(self.view, rng)
        try:
            points = None if self.keypoints is None else self.keypoints(clip, indices)
            frames = self._frames(index, indices)
        except ClipError as error:
            if self.on_bad_clip == "skip":
                self._is_bad[index] = True
                return None
            if get_worker_info() is None:
                raise
            return error  # raised in a worker, it would reach the user as a page of traceback
        if self.crop_later:
            batch = self.targets.batch(clip, torch.from_numpy(frames), "frames")
            batch = replace(batch, views=torch.from_numpy(matrix)[None], crop_size=self.view.crop_size)
        else:
            planes = warp_frames(frames, matrix, self.view.crop_size)
            batch = self.targets.batch(clip, torch.from_numpy(planes), "frames")
        return batch if points is None else replace(batch, keypoints=warped(points, matrix, self.view))

    def __getitems__(self, indices: Sequence[int]) -> list[ClipBatch | ClipError | None]:
        """The clips of a batch. Those at an address are asked for together: decoding does not wait for each."""
        sources = {index: self.clips[index].source(self.folder) for index in indices if self.cache.get(index) is None}
        far = {index: part for index, part in sources.items() if isinstance(part, Part) and is_address(part.file)}
        if not far:
            return [self[index] for index in indices]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._coming = {index: Coming.by(pool, part) for index, part in far.items()}
            try:
                return [self[index] for index in indices]
            finally:
                self._coming = {}

    def bad_clips(self) -> list[str]:
        """The ids of the clips skipped so far, by any worker, in manifest order."""
        return [clip.id for clip, is_bad in zip(self.clips, self._is_bad.tolist(), strict=True) if is_bad]

    def _frames(self, index: int, indices: np.ndarray) -> np.ndarray:
        if index >= self.cache.kept:
            return self._read(index, indices)
        frames = self.cache.get(index)
        if frames is None:
            frames = self._read(index, None)
            self.cache.put(index, frames)
        return np.asarray(frames[indices])

    def _read(self, index: int, indices: np.ndarray | None) -> np.ndarray:
        """Frames of one clip. Raises ClipError with id and path, also where the manifest describes another file."""
        clip, size = self.clips[index], self.view.frame_size
        source = self._coming.get(index) or clip.source(self.folder)
        where = describe_clip(str(source), clip.id)
        try:
            frames = read_clip(source, indices, scratch=self._scratch)
        except ClipError as error:
            raise ClipError(error.problem, where=where, remedy=error.remedy) from error
        expected = (clip.num_frames if indices is None else len(indices), size, size, 3)
        if frames.shape != expected:
            problem = f"frames of shape {frames.shape} where {expected} is expected"
            raise ClipError(problem, where=where, remedy="run glossfree prepare again with the recipe's frame_size")
        return frames


class FeatureCache:
    """A cache for the features (T, W), and keypoints (T, J, 3) or None, of the clips that are read first, as long as
    they fit into `limit` bytes together."""

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._kept: dict[str, Features] = {}

    def get(self, id: str) -> Features | None:
        """The features of a clip, or None if they are not cached. Do not write to them."""
        return self._kept.get(id)

    def put(self, id: str, features: Features) -> None:
        """Keep the features of a clip that has none here, if there is room."""
        size = sum(part.nbytes for part in features if part is not None)
        if size <= self._room:
            self._room -= size
            self._kept[id] = features


class FeatureDataset(Dataset[ClipBatch]):
    """The clips of one split with features that were computed before: `read(clip)` -> rows (T, W) of level `level`.

    `lengths`: {clip id: T}. A clip that is not in it is a ValueError with `on_bad_clip` "stop"; with "skip" it is left
    out, and `bad_clips` lists it. `keypoints(clip)`: (T, J, 3) of the crop. `cache_bytes` keeps what was read in memory
    (see FeatureCache).
    """

    def __init__(
        self,
        clips: Sequence[PackedClip],
        lengths: Mapping[str, int],
        read: Callable[[PackedClip], Tensor],
        *,
        level: Level,
        encode: Encode | None = None,
        targets: NamedTargets = NO_TARGETS,
        on_bad_clip: OnBadClip = "stop",
        keypoints: Callable[[PackedClip], Tensor] | None = None,
        cache_bytes: int = 0,
    ) -> None:
        self.keypoints = keypoints
        self.cache = FeatureCache(cache_bytes)
        self._missing = [clip.id for clip in clips if clip.id not in lengths]
        if self._missing and on_bad_clip == "stop":
            raise ValueError(f"{len(self._missing)} clips have no features, the first is {self._missing[0]!r}")
        self.read, self.level = read, level
        self.clips = tuple(clip for clip in clips if clip.id in lengths)
        self.lengths = [lengths[clip.id] for clip in self.clips]
        self.targets = Targets(self.clips, encode, targets)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> ClipBatch:
        clip = self.clips[index]
        features = self.cache.get(clip.id)
        if features is None:
            features = self.read(clip), None if self.keypoints is None else self.keypoints(clip)
            self.cache.put(clip.id, features)
        rows, points = features
        return replace(self.targets.batch(clip, rows, self.level), keypoints=points)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: nothing is drawn, and every epoch is the same."""

    def bad_clips(self) -> list[str]:
        """The ids of the clips that have no features, in manifest order."""
        return list(self._missing)


def warped(points: Tensor, matrix: np.ndarray, view: View) -> Tensor:
    """Keypoints (T, J, 3) of packed frames -> of their crop (see `warp_points`)."""
    return torch.from_numpy(warp_points(points.numpy(), matrix, view.frame_size, view.crop_size))


def clip_rng(seed: int, epoch: int, clip_id: str) -> np.random.Generator:
    """The random state of one clip in one epoch, the same on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{clip_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
