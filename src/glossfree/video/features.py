"""Frame features on disk: what a frozen backbone makes of every frame of a prepared corpus, computed once.

`OUT/features/KEY/` holds `features.json` (what made them) and one safetensors file per clip with rows (T, W) float32,
one row per packed frame, not augmented. KEY follows from the backbone's weights and the preprocessing: other weights
are another folder, never a wrong answer. Each file says what clip it was made from: one packed anew is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, from_numpy
from torch.utils.data import Dataset

from glossfree.corpora.manifest import PackedClip, write_atomic
from glossfree.errors import ClipError, CorpusError
from glossfree.video.dataset import ClipItem, Encode, Targets
from glossfree.video.journal import read_journal
from glossfree.video.sampling import sample_frames, sampled_length

FEATURES, ABOUT, ROWS = "features", "features.json", "rows"
NAMED = 3  # so many culprits are named in an error


def features_key(weights: str, frame_size: int, crop_size: int) -> str:
    """Fingerprint of a backbone's weights, and the pixels of packed and cropped frames -> the name of a folder."""
    return hashlib.sha256(json.dumps([weights, frame_size, crop_size]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FeatureStore:
    """The features under one key in a prepared folder. `remedy`: the command that makes them."""

    corpus: Path
    key: str
    remedy: str

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.corpus / FEATURES / self.key

    def path(self, clip: PackedClip) -> Path:
        """The file of a clip: `clips/train/ID.mp4` -> `features/KEY/train/ID.safetensors`."""
        return (self.folder / Path(clip.file).relative_to("clips")).with_suffix(".safetensors")

    def describe(self, about: Mapping[str, Any]) -> None:
        """Write `features.json`. Raises CorpusError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CorpusError(f"cannot be made ({error.strerror})", where=self.folder, remedy="check rights") from error
        write_atomic(self.folder / ABOUT, json.dumps(dict(about), ensure_ascii=False, indent=1) + "\n")

    def write(self, clip: PackedClip, rows: Tensor, stamp: str) -> None:
        """Rows (T, W) of a clip, the whole file or nothing. Raises CorpusError (full disk, rights)."""
        path = self.path(clip)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({ROWS: rows.contiguous()}, temporary, metadata={"made_from": stamp})
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                temporary.unlink()
            reason = getattr(error, "strerror", None) or error
            raise CorpusError(f"cannot be written ({reason})", where=path, remedy="check space and rights") from error

    def read(self, clip: PackedClip, indices: np.ndarray | None = None) -> Tensor:
        """Rows (T, W) of a clip, or of these of its frames. Raises ClipError: missing, damaged, of another length."""
        path = self.path(clip)
        where = f"clip {clip.id} ({path})"
        try:
            with safe_open(path, framework="pt") as file:
                rows: Tensor = file.get_tensor(ROWS)
        except (OSError, SafetensorError) as error:
            raise ClipError(f"features cannot be read ({error})", where=where, remedy=self.remedy) from error
        if len(rows) != clip.num_frames:
            raise ClipError(f"features of {len(rows)} of {clip.num_frames} frames", where=where, remedy=self.remedy)
        return rows if indices is None else rows[from_numpy(indices)]

    def has(self, clip: PackedClip, stamp: str) -> bool:
        """Whether the features of this clip, as it is packed now, are here."""
        try:
            with safe_open(self.path(clip), framework="pt") as file:
                shape = file.get_slice(ROWS).get_shape()
                return (file.metadata() or {}).get("made_from") == stamp and shape[0] == clip.num_frames
        except (OSError, SafetensorError):
            return False

    def check(self, clips: Sequence[PackedClip]) -> None:
        """Raise CorpusError, with names, unless the features of all these clips are here and up to date."""
        if not (self.folder / ABOUT).is_file():
            others = sorted(path.name for path in (self.corpus / FEATURES).glob("*") if path.is_dir())
            found = f"; there are those of other weights or sizes ({', '.join(others)})" if others else ""
            raise CorpusError(f"no features of these weights{found}", where=self.folder, remedy=self.remedy)
        marks = stamps(self.corpus, clips)
        odd = [clip for clip in clips if not self.has(clip, marks[clip.id])]
        if odd:
            missing = [clip.id for clip in odd if not self.path(clip).is_file()]
            stale = [clip.id for clip in odd if clip.id not in missing]
            counted = [
                f"{len(names)} clips {what} ({', '.join(names[:NAMED])}{', ...' if len(names) > NAMED else ''})"
                for names, what in ((missing, "have no features"), (stale, "were packed anew since, or are damaged"))
                if names
            ]
            raise CorpusError(" and ".join(counted), where=self.folder, remedy=self.remedy)


def stamps(corpus: Path, clips: Sequence[PackedClip]) -> dict[str, str]:
    """What each clip is, as it is packed now: what it was made from (`packed.jsonl`), and the size of its file."""
    journal = read_journal(corpus)
    marks = {}
    for clip in clips:
        path = corpus / clip.file
        size = path.stat().st_size if path.is_file() else 0
        marks[clip.id] = f"{journal[clip.id].fingerprint if clip.id in journal else ''}-{size}"
    return marks


class StoredFeatures(Dataset[ClipItem]):
    """The clips of one split as features (T, W) of level "backbone_features", read when asked for; no video is opened.

    Frames are sampled as `ClipDataset` samples them without augmentation.
    """

    def __init__(
        self,
        store: FeatureStore,
        clips: Sequence[PackedClip],
        *,
        stride: int,
        max_frames: int,
        encode: Encode | None = None,
        gloss_targets: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.store, self.folder, self.clips = store, store.corpus, tuple(clips)
        self.stride, self.max_frames = stride, max_frames
        self.lengths = [sampled_length(clip.num_frames, stride, max_frames) for clip in self.clips]
        self.targets = Targets(self.clips, encode, gloss_targets)

    def __len__(self) -> int:
        return len(self.clips)

    def set_epoch(self, epoch: int) -> None:
        """Nothing is drawn here: every epoch is the same."""

    def bad_clips(self) -> list[str]:
        """None: what is missing was refused before."""
        return []

    def __getitem__(self, index: int) -> ClipItem:
        clip = self.clips[index]
        indices = sample_frames(clip.num_frames, stride=self.stride, max_frames=self.max_frames)
        return self.targets.item(clip, self.store.read(clip, indices), "backbone_features")
