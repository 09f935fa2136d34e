"""Frame features on disk: the output of a frozen backbone for every frame of a prepared corpus, computed once.

`OUT/features/KEY/` holds `features.json` (how they were computed) and one safetensors file per clip with rows (T, W)
float32, one row per packed frame, not augmented. KEY is a hash of the backbone's weights and the preprocessing: other
weights have another folder. Each file names the packed clip it was computed from, so a repacked clip is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, from_numpy

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import ClipError, CorpusError, name_some
from glossfree.files.disk import atomic, read_json, write_json
from glossfree.video.container import describe_clip
from glossfree.video.dataset import OnBadClip
from glossfree.video.pack import make_clean_folder, read_journal
from glossfree.video.timeline import Sampling, Timeline

FEATURES, ROWS, NOT_READ = "features", "rows", "not_read"
UNREADABLE, STALE = "could not be read", "were packed again since, or are damaged"


def features_key(weights: str, frame_size: int, crop_size: int, *variant: object) -> str:
    """Fingerprint of a backbone's weights, and the pixels of packed and cropped frames -> the name of a folder.

    `variant`: what else changes its rows, if anything does.
    """
    return hashlib.sha256(json.dumps([weights, frame_size, crop_size, *variant]).encode()).hexdigest()[:16]


class FrameStore:
    """A row of numbers for every packed frame of a prepared folder, one file per clip.

    `what` they are, and `about`, the name of the JSON that describes them; `remedy`: the command that makes them.
    """

    what: ClassVar[str]
    about: ClassVar[str]
    corpus: Path
    remedy: str

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        raise NotImplementedError

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of a row."""
        raise NotImplementedError

    def path(self, clip: PackedClip) -> Path:
        """The file of a clip: `clips/train/ID.mp4` -> `FOLDER/train/ID.safetensors`."""
        return (self.folder / clip.file.removeprefix("clips/")).with_suffix(".safetensors")

    def begin(self, about: Mapping[str, Any]) -> None:
        """Make the folder, remove half-written files of a killed run, and describe it. Raises CorpusError."""
        make_clean_folder(self.folder)
        self.describe(about, {})

    def describe(self, about: Mapping[str, Any], not_read: Mapping[str, str]) -> None:
        """Write the JSON: how they were made, and the clips that could not be read with their identities.
        Raises CorpusError."""
        write_json(self.folder / self.about, {**about, NOT_READ: dict(not_read)})

    def described(self) -> dict[str, Any]:
        """What the JSON says. Raises CorpusError."""
        return read_json(self.folder / self.about, remedy=self.remedy)

    def not_read(self) -> dict[str, str]:
        """Clips that could not be read for them, with their identities. Raises CorpusError."""
        unreadable = self.described().get(NOT_READ)
        if not isinstance(unreadable, dict):
            problem = f"cannot be read ({NOT_READ} is {unreadable!r})"
            raise CorpusError(problem, where=self.folder / self.about, remedy=self.remedy)
        return unreadable

    def write(self, clip: PackedClip, rows: Tensor, identity: str) -> None:
        """Save rows (T, *row) of a clip atomically. Raises CorpusError (full disk, rights)."""
        with atomic(self.path(clip), parents=True, also=(SafetensorError,)) as temporary:
            save_file({ROWS: rows.contiguous()}, temporary, metadata={"made_from": identity})

    def read(self, clip: PackedClip, indices: np.ndarray | None = None) -> Tensor:
        """Rows (T, *row) of a clip, or of the frames `indices`. Raises ClipError: missing, damaged, another shape."""
        where = describe_clip(self.path(clip), clip.id)
        try:
            with safe_open(self.path(clip), framework="pt") as file:
                rows: Tensor = file.get_tensor(ROWS)
        except (OSError, SafetensorError) as error:
            raise ClipError(f"{self.what} cannot be read ({error})", where=where, remedy=self.remedy) from error
        expected = (clip.num_frames, *self.row)
        if rows.shape != expected:
            problem = f"{self.what} of shape {tuple(rows.shape)} where {expected} is expected"
            raise ClipError(problem, where=where, remedy=self.remedy)
        return rows if indices is None else rows[from_numpy(indices)]

    def read_sampled(self, clip: PackedClip, sampling: Sampling) -> Tensor:
        """The rows of the frames that `ClipDataset` samples without augmentation. Raises ClipError as `read`."""
        return self.read(clip, sampling.indices(Timeline.of(clip)))

    def has(self, clip: PackedClip, identity: str) -> bool:
        """Whether the rows of a clip are stored and belong to its current packed file."""
        try:
            with safe_open(self.path(clip), framework="pt") as file:
                is_of_clip = (file.metadata() or {}).get("made_from") == identity
                return is_of_clip and file.get_slice(ROWS).get_shape() == [clip.num_frames, *self.row]
        except (OSError, SafetensorError):
            return False

    def drop(self, clip: PackedClip) -> None:
        """Remove the rows of a clip that can no longer be read: they belong to an earlier file."""
        self.path(clip).unlink(missing_ok=True)

    def check(self, clips: Sequence[PackedClip], on_bad_clip: OnBadClip = "stop") -> None:
        """Raise CorpusError, with names, unless the rows of all these clips are here and up to date.

        With "skip", clips that could not be read when they were made may be missing.
        """
        if not (self.folder / self.about).is_file():
            raise CorpusError(self.none_here(), where=self.folder, remedy=self.remedy)
        identities = clip_identities(self.corpus, clips)
        odd = [clip for clip in clips if not self.has(clip, identities[clip.id])]
        known = self.not_read() if odd else {}
        missing = f"have no {self.what}"
        kinds: dict[str, list[str]] = {UNREADABLE: [], missing: [], STALE: []}
        for clip in odd:
            is_unreadable, is_there = known.get(clip.id) == identities[clip.id], self.path(clip).is_file()
            kinds[UNREADABLE if is_unreadable else STALE if is_there else missing].append(clip.id)
        if on_bad_clip == "skip":
            kinds[UNREADABLE] = []
        counted = [f"{len(names)} clips {kind} ({name_some(names)})" for kind, names in kinds.items() if names]
        if counted:
            remedy = self.remedy
            if kinds[UNREADABLE]:  # running the command again would not help
                remedy = f'pack them again with glossfree prepare, or data.on_bad_clip = "skip"; then {remedy}'
            raise CorpusError(" and ".join(counted), where=self.folder, remedy=remedy)

    def none_here(self) -> str:
        """The problem of a folder without any."""
        return f"no {self.what}"


@dataclass(frozen=True)
class FeatureStore(FrameStore):
    """The features under one key in a prepared folder, rows (T, W), W = `width`."""

    what: ClassVar[str] = "features"
    about: ClassVar[str] = "features.json"
    corpus: Path
    key: str
    width: int
    remedy: str

    @property
    def folder(self) -> Path:
        """The folder of this key."""
        return self.corpus / FEATURES / self.key

    @property
    def row(self) -> tuple[int, ...]:
        """(W,)"""
        return (self.width,)

    def none_here(self) -> str:
        """The problem of a folder without features: others may be here."""
        others = ", ".join(sorted(path.name for path in (self.corpus / FEATURES).glob("*") if path.is_dir()))
        return "no features of these weights" + (f"; other weights or sizes have some ({others})" if others else "")


def clip_identities(corpus: Path, clips: Sequence[PackedClip]) -> dict[str, str]:
    """The identity of each clip as it is packed now: its fingerprint in `packed.jsonl`, and the size of its file."""
    journal = read_journal(corpus)
    identities = {}
    for clip in clips:
        fingerprint = journal[clip.id].fingerprint if clip.id in journal else ""
        identities[clip.id] = f"{fingerprint}-{clip.num_bytes(corpus) or 0}"
    return identities
