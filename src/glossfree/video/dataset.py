"""Packed clips -> `ClipBatch`es: read, sample, augment, collate.

What a clip looks like in an epoch depends on (seed, epoch, clip id) and on nothing else: not on the number of workers,
not on the order of the clips, not on what was drawn before.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError
from glossfree.video.batch import ClipBatch, Level
from glossfree.video.frames import View, apply, draw_affine
from glossfree.video.pack import read_clip
from glossfree.video.timeline import ALL_FRAMES, Sampling, Timeline

Encode = Callable[[str], list[int]]
OnBadClip = Literal["stop", "skip"]
NamedTargets = Mapping[str, Mapping[str, np.ndarray]]  # {name: {clip id: array}}
IGNORED = -100  # a label that no loss counts
NO_TARGETS: NamedTargets = {}


@dataclass(frozen=True)
class ClipItem:
    """One clip as the network gets it: `frames` (T, 3, H, W) uint8, or (T, D) features computed before.

    With a `view` (2, 3) the frames are (T, H, W, 3) as they were decoded, still to be cropped to `crop_size` by it.
    """

    id: str
    text: str
    frames: Tensor
    labels: Tensor | None  # (L,) int64
    level: Level = "frames"
    view: Tensor | None = None
    crop_size: int = 0
    targets: Mapping[str, Tensor] = field(default_factory=dict)


class Targets:
    """What a clip is compared with: token ids of its sentence, and anything else by name.

    `encode`: sentence -> ids; `others`: {name: {clip id: array}}, float32 or int64. Each distinct sentence is encoded
    once. Raises ValueError if a clip has no entry.
    """

    def __init__(self, clips: Sequence[PackedClip], encode: Encode | None, others: NamedTargets) -> None:
        self.labels: dict[str, Tensor] | None = None
        if encode is not None:
            texts = dict.fromkeys(clip.text for clip in clips)
            self.labels = {text: torch.tensor(encode(text), dtype=torch.int64) for text in texts}
        for name, arrays in others.items():
            missing = [clip.id for clip in clips if clip.id not in arrays]
            if missing:
                raise ValueError(f"{name} lack {len(missing)} clips, the first is {missing[0]!r}")
        self.others = {
            name: {clip.id: torch.from_numpy(np.asarray(arrays[clip.id])) for clip in clips}
            for name, arrays in others.items()
        }

    def item(self, clip: PackedClip, frames: Tensor, level: Level) -> ClipItem:
        """A clip and its frames, with all that belongs to them."""
        labels = None if self.labels is None else self.labels[clip.text]
        others = {name: arrays[clip.id] for name, arrays in self.others.items()}
        return ClipItem(clip.id, clip.text, frames, labels, level, targets=others)


class ClipDataset(Dataset[ClipItem | ClipError | None]):
    """The clips of one split as `ClipItem`s of uint8 frames (T, 3, crop, crop), T = `lengths[index]`.

    `augment` draws frames and view at random, else both are deterministic (centre crop). `on_bad_clip` "stop" raises
    ClipError with id and path (in a loader's worker: hands it over, for the loader to raise); "skip" gives None, which
    `collate` leaves out and `bad_clips` lists. `cache_bytes` keeps decoded frames in memory (see FrameCache).
    `crop_later` hands frames on as they were decoded, with the view that was drawn: an accelerator crops them in the
    step (`ClipBatch.cropped`), and workers have only to decode.
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
    ) -> None:
        if on_bad_clip not in get_args(OnBadClip):
            raise ValueError(f"on_bad_clip is one of {get_args(OnBadClip)}, got {on_bad_clip!r}")
        self.folder, self.clips, self.view = Path(folder), tuple(clips), view
        self.sampling = sampling
        self.augment, self.seed, self.on_bad_clip, self.crop_later = augment, seed, on_bad_clip, crop_later
        self.lengths = [sampling.length(Timeline.of(clip)) for clip in self.clips]
        self.targets = Targets(self.clips, encode, targets)
        self.cache = FrameCache([clip.num_frames for clip in self.clips], view.frame_size, cache_bytes)
        # Shared tensors: workers that outlive an epoch must learn of the next, and tell of the clips they skip.
        self._epoch, self._bad = torch.zeros(1, dtype=torch.int64), torch.zeros(len(self.clips), dtype=torch.bool)
        for shared in (self._epoch, self._bad):
            shared.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.clips)

    def set_epoch(self, epoch: int) -> None:
        """Draw anew from here on, in this process and in all workers."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> ClipItem | ClipError | None:
        clip = self.clips[index]
        rng = clip_rng(self.seed, int(self._epoch), clip.id) if self.augment else None
        indices = self.sampling.indices(Timeline.of(clip), rng)
        matrix = draw_affine(self.view, rng)
        try:
            frames = self._frames(index, indices)
        except ClipError as error:
            if self.on_bad_clip == "skip":
                self._bad[index] = True
                return None
            if get_worker_info() is None:
                raise
            return error  # raised in a worker, it would arrive as a page of traceback instead of one line
        if self.crop_later:
            item = self.targets.item(clip, torch.from_numpy(frames), "frames")
            return replace(item, view=torch.from_numpy(matrix), crop_size=self.view.crop_size)
        planes = apply(frames, matrix, self.view.crop_size)
        return self.targets.item(clip, torch.from_numpy(planes), "frames")

    def bad_clips(self) -> list[str]:
        """The ids of the clips skipped so far, by any worker, in manifest order."""
        return [clip.id for clip, bad in zip(self.clips, self._bad.tolist(), strict=True) if bad]

    def _frames(self, index: int, indices: np.ndarray) -> np.ndarray:
        frames = self.cache.get(index)
        if frames is None and not self.cache.has_room(index):
            return self._read(index, indices)
        if frames is None:
            frames = self._read(index, None)
            self.cache.put(index, frames)
        return np.asarray(frames[indices])

    def _read(self, index: int, indices: np.ndarray | None) -> np.ndarray:
        """Frames of one clip; ClipError names id and path, and tells a file that the manifest does not describe."""
        clip, size = self.clips[index], self.view.frame_size
        path = self.folder / clip.file
        where = f"clip {clip.id} ({path})"
        try:
            frames = read_clip(path, indices)
        except ClipError as error:
            raise ClipError(error.problem, where=where, remedy=error.remedy) from error
        expected = (clip.num_frames if indices is None else len(indices), size, size, 3)
        if frames.shape != expected:
            raise ClipError(
                f"frames of shape {frames.shape} where {expected} is expected",
                where=where,
                remedy="run glossfree prepare again with the recipe's frame_size",
            )
        return frames


class FeatureClips(Dataset[ClipItem]):
    """The clips of one split with features (T, D) of level `level`, `rows(clip)`, T = `lengths[index]`.

    Those of `clips` whose ids are in `missing` have none: they are left out, `bad_clips` lists them.
    """

    def __init__(
        self,
        clips: Sequence[PackedClip],
        missing: Sequence[str],
        *,
        level: Level,
        encode: Encode | None,
        targets: NamedTargets,
    ) -> None:
        absent = set(missing)
        self._missing, self.level = tuple(missing), level
        self.clips = tuple(clip for clip in clips if clip.id not in absent)
        self.lengths = [self.num_rows(clip) for clip in self.clips]
        self.targets = Targets(self.clips, encode, targets)

    def rows(self, clip: PackedClip) -> Tensor:
        """The features (T, D) of a clip."""
        raise NotImplementedError

    def num_rows(self, clip: PackedClip) -> int:
        """T of a clip, without reading its features where that takes time."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> ClipItem:
        clip = self.clips[index]
        return self.targets.item(clip, self.rows(clip), self.level)

    def set_epoch(self, epoch: int) -> None:
        """Nothing is drawn here: every epoch is the same."""

    def bad_clips(self) -> list[str]:
        """The ids of the clips that have no features, in manifest order."""
        return list(self._missing)


class FeatureDataset(FeatureClips):
    """The clips of one split with features computed before: `features[clip id]` (T, D), of level `level`.

    A clip that has none is a ValueError with `on_bad_clip` "stop"; with "skip" it is left out, `bad_clips` lists it.
    """

    def __init__(
        self,
        features: Mapping[str, Tensor],
        clips: Sequence[PackedClip],
        *,
        level: Level,
        encode: Encode | None = None,
        targets: NamedTargets = NO_TARGETS,
        on_bad_clip: OnBadClip = "stop",
    ) -> None:
        missing = [clip.id for clip in clips if clip.id not in features]
        if missing and on_bad_clip == "stop":
            raise ValueError(f"{len(missing)} clips have no features, the first is {missing[0]!r}")
        self.features = features
        super().__init__(clips, missing, level=level, encode=encode, targets=targets)

    def rows(self, clip: PackedClip) -> Tensor:
        """The features (T, D) of a clip."""
        return self.features[clip.id]

    def num_rows(self, clip: PackedClip) -> int:
        """T of a clip."""
        return len(self.features[clip.id])


def clip_rng(seed: int, epoch: int, clip_id: str) -> np.random.Generator:
    """The source of chance for one clip in one epoch, the same on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{clip_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def collate(items: Sequence[ClipItem | ClipError | None]) -> ClipBatch | ClipError:
    """Items -> one packed batch: frames (N, ...) one clip after another, labels (B, L) padded with -100.

    Skipped clips (None) are left out, a batch of skipped clips has B = N = 0; the first ClipError is handed on.
    """
    for item in items:
        if isinstance(item, ClipError):
            return item
    clips = [item for item in items if isinstance(item, ClipItem)]
    if not clips:
        return ClipBatch((), torch.empty(0, 3, 0, 0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), ())
    labels = [item.labels for item in clips if item.labels is not None]
    views = [item.view for item in clips if item.view is not None]
    return ClipBatch(
        ids=tuple(item.id for item in clips),
        frames=_joined([item.frames for item in clips]),
        lengths=torch.tensor([len(item.frames) for item in clips]),
        texts=tuple(item.text for item in clips),
        labels=torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED) if labels else None,
        level=clips[0].level,
        views=torch.stack(views) if views else None,
        crop_size=clips[0].crop_size,
        targets={name: torch.stack([item.targets[name] for item in clips]) for name in clips[0].targets},
    )


def _joined(frames: Sequence[Tensor]) -> Tensor:
    """Rows of all clips in one tensor. Frames go through NumPy, which asks Linux for large pages: 39,000 frames/s of
    224 x 224, against 10,000 with torch.cat, whose time goes into 18,000 page faults for 500 frames."""
    if frames[0].dtype == torch.uint8:
        return torch.from_numpy(np.concatenate([part.numpy() for part in frames]))
    return torch.cat(list(frames))


class FrameCache:
    """Room for the frames (T, size, size, 3) uint8 of the first clips that fit into `limit` bytes together.

    The memory is one anonymous shared mapping: workers that are forked (Linux) fill and read the same pages, so it is
    paid once whatever their number, and it is taken only as it fills. Pickled into a spawned worker (macOS, Windows)
    the cache arrives empty and that worker fills its own. Two workers may write one clip at once: the same bytes.
    """

    def __init__(self, num_frames: Sequence[int], size: int, limit: int) -> None:
        self.num_frames, self.size, self.limit = tuple(num_frames), size, limit
        ends = np.cumsum(np.asarray(self.num_frames, dtype=np.int64)) * size * size * 3
        self.kept = int(np.searchsorted(ends, limit, side="right"))  # the clips 0 .. kept-1 have room
        self._starts = np.concatenate([[0], ends])
        self._bytes = _shared_bytes(int(self._starts[self.kept]))
        self._filled = _shared_bytes(self.kept)

    def __getstate__(self) -> dict[str, Any]:
        return {"num_frames": self.num_frames, "size": self.size, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def has_room(self, index: int) -> bool:
        """Whether this clip belongs to those that are kept."""
        return index < self.kept

    def get(self, index: int) -> np.ndarray | None:
        """The frames (T, size, size, 3) of a clip, not to be written to, or None if they are not here."""
        return self._slot(index) if index < self.kept and self._filled[index] else None

    def put(self, index: int, frames: np.ndarray) -> None:
        """Keep the frames of a clip that `has_room`."""
        self._slot(index)[:] = frames
        self._filled[index] = 1

    def _slot(self, index: int) -> np.ndarray:
        start, end = self._starts[index], self._starts[index + 1]
        return self._bytes[start:end].reshape(self.num_frames[index], self.size, self.size, 3)


def _shared_bytes(count: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, max(count, 1)), dtype=np.uint8)
