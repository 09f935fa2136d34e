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

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError, CorpusError, name_some
from glossfree.files.disk import write_atomic
from glossfree.video.dataset import NO_TARGETS, Encode, FeatureClips, NamedTargets, OnBadClip
from glossfree.video.pack import read_journal
from glossfree.video.timeline import Sampling, Timeline

FEATURES, ABOUT, ROWS, NOT_READ = "features", "features.json", "rows", "not_read"


def features_key(weights: str, frame_size: int, crop_size: int) -> str:
    """Fingerprint of a backbone's weights, and the pixels of packed and cropped frames -> the name of a folder."""
    return hashlib.sha256(json.dumps([weights, frame_size, crop_size]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FeatureStore:
    """The features of `width` W under one key in a prepared folder. `remedy`: the command that makes them."""

    corpus: Path
    key: str
    width: int
    remedy: str

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.corpus / FEATURES / self.key

    def path(self, clip: PackedClip) -> Path:
        """The file of a clip: `clips/train/ID.mp4` -> `features/KEY/train/ID.safetensors`."""
        return (self.folder / Path(clip.file).relative_to("clips")).with_suffix(".safetensors")

    def begin(self, about: Mapping[str, Any]) -> None:
        """Make the folder, drop what a killed run left half-written, and describe it. Raises CorpusError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.rglob(".*.tmp"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise CorpusError(f"cannot be made ({error.strerror})", where=self.folder, remedy="check rights") from error
        self.describe(about, {})

    def describe(self, about: Mapping[str, Any], not_read: Mapping[str, str]) -> None:
        """Write `features.json`: what made them, and the clips that could not be read with their stamps (`stamps`).
        Raises CorpusError."""
        facts = {**about, NOT_READ: dict(not_read)}
        write_atomic(self.folder / ABOUT, json.dumps(facts, ensure_ascii=False, indent=1) + "\n")

    def not_read(self) -> dict[str, str]:
        """The clips that could not be read when the features were made, with their stamps. Raises CorpusError."""
        try:
            return dict(json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))[NOT_READ])
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"cannot be read ({error})"
            raise CorpusError(problem, where=self.folder / ABOUT, remedy=self.remedy) from error

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
        """Rows (T, W) of a clip, or of these of its frames. Raises ClipError: missing, damaged, of another shape."""
        path = self.path(clip)
        where = f"clip {clip.id} ({path})"
        try:
            with safe_open(path, framework="pt") as file:
                rows: Tensor = file.get_tensor(ROWS)
        except (OSError, SafetensorError) as error:
            raise ClipError(f"features cannot be read ({error})", where=where, remedy=self.remedy) from error
        expected = (clip.num_frames, self.width)
        if rows.shape != expected:
            problem = f"features of shape {tuple(rows.shape)} where {expected} is expected"
            raise ClipError(problem, where=where, remedy=self.remedy)
        return rows if indices is None else rows[from_numpy(indices)]

    def has(self, clip: PackedClip, stamp: str) -> bool:
        """Whether the features of this clip, as it is packed now, are here."""
        try:
            with safe_open(self.path(clip), framework="pt") as file:
                shape = file.get_slice(ROWS).get_shape()
                return (file.metadata() or {}).get("made_from") == stamp and shape == [clip.num_frames, self.width]
        except (OSError, SafetensorError):
            return False

    def drop(self, clip: PackedClip) -> None:
        """Remove the features of a clip that cannot be read any more: they are of what it was before."""
        with suppress(FileNotFoundError):
            self.path(clip).unlink()

    def check(self, clips: Sequence[PackedClip], on_bad_clip: OnBadClip = "stop") -> None:
        """Raise CorpusError, with names, unless the features of all these clips are here and up to date.

        With "skip" those may be missing that could not be read when the features were made.
        """
        if not (self.folder / ABOUT).is_file():
            others = sorted(path.name for path in (self.corpus / FEATURES).glob("*") if path.is_dir())
            found = f"; there are those of other weights or sizes ({', '.join(others)})" if others else ""
            raise CorpusError(f"no features of these weights{found}", where=self.folder, remedy=self.remedy)
        marks = stamps(self.corpus, clips)
        odd = [clip for clip in clips if not self.has(clip, marks[clip.id])]
        known = self.not_read() if odd else {}
        unreadable = [clip.id for clip in odd if known.get(clip.id) == marks[clip.id]]
        missing = [clip.id for clip in odd if clip.id not in unreadable and not self.path(clip).is_file()]
        stale = [clip.id for clip in odd if clip.id not in {*unreadable, *missing}]
        kinds = {
            "could not be read": [] if on_bad_clip == "skip" else unreadable,
            "have no features": missing,
            "were packed anew since, or are damaged": stale,
        }
        counted = [f"{len(names)} clips {what} ({name_some(names)})" for what, names in kinds.items() if names]
        if counted:
            # the same command cannot read them either
            mend = f'pack them again with glossfree prepare, or data.on_bad_clip = "skip"; then {self.remedy}'
            remedy = mend if kinds["could not be read"] else self.remedy
            raise CorpusError(" and ".join(counted), where=self.folder, remedy=remedy)


def stamps(corpus: Path, clips: Sequence[PackedClip]) -> dict[str, str]:
    """What each clip is, as it is packed now: what it was made from (`packed.jsonl`), and the size of its file."""
    journal = read_journal(corpus)
    marks = {}
    for clip in clips:
        path = corpus / clip.file
        size = path.stat().st_size if path.is_file() else 0
        marks[clip.id] = f"{journal[clip.id].fingerprint if clip.id in journal else ''}-{size}"
    return marks


class StoredFeatures(FeatureClips):
    """The clips of one split as features (T, W) of level "backbone_features", read when asked for; no video is opened.

    Frames are sampled as `ClipDataset` samples them without augmentation. `store.check` comes first; with `on_bad_clip`
    "skip" clips without features are left out, `bad_clips` lists them.
    """

    def __init__(
        self,
        store: FeatureStore,
        clips: Sequence[PackedClip],
        *,
        sampling: Sampling,
        encode: Encode | None = None,
        targets: NamedTargets = NO_TARGETS,
        on_bad_clip: OnBadClip = "stop",
    ) -> None:
        may_skip = on_bad_clip == "skip"
        missing = [clip.id for clip in clips if may_skip and not store.path(clip).is_file()]
        self.store, self.folder, self.sampling = store, store.corpus, sampling
        super().__init__(clips, missing, level="backbone_features", encode=encode, targets=targets)

    def rows(self, clip: PackedClip) -> Tensor:
        """The features (T, W) of a clip's sampled frames. Raises ClipError as `FeatureStore.read`."""
        return self.store.read(clip, self.sampling.indices(Timeline.of(clip)))

    def num_rows(self, clip: PackedClip) -> int:
        """T of a clip; no file is opened."""
        return self.sampling.length(Timeline.of(clip))
