"""The keypoints of a prepared folder: a row for each packed frame (see `video.poses`).

`OUT/poses/` holds `poses.json` (joints, source, version) and one safetensors file per clip with rows (T, J, 3) float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from glossfree import __version__
from glossfree.console import Console, Result
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import ClipError, CorpusError
from glossfree.video.container import describe_clip
from glossfree.video.dataset import Encode, FeatureDataset, NamedTargets, OnBadClip, warped
from glossfree.video.features import FeatureStore, FrameStore, clip_identities
from glossfree.video.frames import View, draw_affine
from glossfree.video.pack import make_clean_folder
from glossfree.video.poses import ABOUT, POSES, SUFFIX, beside, read_pose
from glossfree.video.timeline import Sampling, Timeline


@dataclass(frozen=True)
class KeypointStore(FrameStore):
    """The keypoints of a prepared folder, rows (J, 3). `joints`: their names."""

    what: ClassVar[str] = "keypoints"
    about: ClassVar[str] = ABOUT
    corpus: Path
    joints: tuple[str, ...]
    remedy: str = "glossfree prepare again with --poses, or glossfree poses CORPUS --root FOLDER"

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.corpus / POSES

    @property
    def row(self) -> tuple[int, ...]:
        """(J, 3)"""
        return (len(self.joints), 3)

    def read_cropped(self, clip: PackedClip, sampling: Sampling, view: View) -> Tensor:
        """Points (T, J, 3) of the frames that are sampled without augmentation, in fractions of the central crop."""
        return warped(self.read_sampled(clip, sampling), draw_affine(view), view)

    @classmethod
    def of(cls, corpus: Path, num_joints: int = 0) -> KeypointStore:
        """The keypoints that a prepared folder has. Raises CorpusError: none, or not of `num_joints` (0: any)."""
        store = cls(corpus, ())
        if not (store.folder / cls.about).is_file():
            raise CorpusError(store.none_here(), where=corpus, remedy=store.remedy)
        joints = store.described().get("joints")
        if not isinstance(joints, list) or not joints or not all(isinstance(joint, str) for joint in joints):
            raise CorpusError("names no joints", where=store.folder / cls.about, remedy=store.remedy)
        if num_joints and len(joints) != num_joints:
            raise CorpusError(
                f"keypoints of {len(joints)} joints, and the recipe's keypoints.num_joints is {num_joints}",
                where=store.folder,
                remedy=f"--set keypoints.num_joints={len(joints)}",
            )
        return cls(corpus, tuple(joints))


def read_keypoints(manifest: Manifest, root: Path, console: Console) -> PosesReport:
    """A prepared folder, and a folder of `.pose` files, made of its clips or their sources -> its keypoints.

    The file of a clip is `ROOT/SPLIT/ID.pose` or `ROOT/ID.pose`. Raises CorpusError as `write_keypoints`.
    """
    if not root.is_dir():
        raise CorpusError("no such folder", where=root, remedy=f"--root is the folder of the {SUFFIX} files")

    def read(clip: PackedClip) -> tuple[np.ndarray, tuple[str, ...]]:
        in_split, timeline = root / clip.split / f"{clip.id}{SUFFIX}", Timeline.of(clip)
        path = in_split if in_split.is_file() else root / in_split.name
        keypoints = beside(read_pose(path, clip.id), timeline, describe_clip(path, clip.id))
        return keypoints.packed(timeline, manifest.corpus.get("fit", "stretch")), keypoints.joints

    return write_keypoints(manifest, read, {"source": f"{SUFFIX} files"}, console)


def stored_clips(
    clips: Sequence[PackedClip],
    features: FeatureStore,
    keypoints: KeypointStore | None,
    sampling: Sampling,
    view: View,
    encode: Encode,
    targets: NamedTargets,
    on_bad_clip: OnBadClip,
    cache_bytes: int,
) -> FeatureDataset:
    """Clips with the features, and keypoints, that are stored of them; with "skip", those that have all of it."""
    stores = [features] if keypoints is None else [features, keypoints]
    return FeatureDataset(
        clips,
        {
            clip.id: sampling.length(Timeline.of(clip))
            for clip in clips
            if on_bad_clip == "stop" or all(each.path(clip).is_file() for each in stores)
        },
        lambda clip: features.read_sampled(clip, sampling),
        level="backbone_features",
        encode=encode,
        targets=targets,
        on_bad_clip=on_bad_clip,
        keypoints=None if keypoints is None else lambda clip: keypoints.read_cropped(clip, sampling, view),
        cache_bytes=cache_bytes,
    )


@dataclass(frozen=True)
class PosesReport(Result):
    """What was written, and which clips have no keypoints."""

    folder: str
    written: int
    joints: int
    bad: tuple[tuple[str, str], ...]  # (clip id, problem)

    @property
    def exit_code(self) -> int:
        """1 if a clip has none."""
        return int(bool(self.bad))

    def to_text(self) -> str:
        """A line for people, and one for each clip without keypoints."""
        lines = [f"{self.folder}: keypoints of {self.written} clips, {self.joints} joints"]
        return "\n".join([*lines, *(f"without: {problem}" for _, problem in self.bad)])


def write_keypoints(
    manifest: Manifest,
    read: Callable[[PackedClip], tuple[np.ndarray, tuple[str, ...]]],
    about: Mapping[str, str],
    console: Console,
) -> PosesReport:
    """Write the keypoints of every packed clip; `read` -> points (T, J, 3) and joints, or raises ClipError.

    `about`: their source, for `poses.json`, which is written last. Raises CorpusError: none could be read, full disk.
    """
    identities = clip_identities(manifest.folder, manifest.clips)
    store, bad = KeypointStore(manifest.folder, ()), dict[str, ClipError]()
    make_clean_folder(store.folder)
    with console.progress("keypoints", len(manifest.clips)) as advance:
        for clip in manifest.clips:
            try:
                points, joints = read(clip)
                if joints != (store.joints or joints):
                    problem = f"its {len(joints)} joints are not the {len(store.joints)} of the clips before it"
                    raise ClipError(problem, where=f"clip {clip.id}", remedy="make all with the same tool and settings")
                if not store.joints:  # until one can be read, nothing of an earlier call is touched
                    store = KeypointStore(manifest.folder, joints)
                    (store.folder / store.about).unlink(missing_ok=True)
                store.write(clip, torch.from_numpy(points), identities[clip.id])
            except ClipError as error:
                bad[clip.id] = error
            advance(1)
    problems = tuple((clip, str(error)) for clip, error in bad.items())
    if not store.joints:
        raise CorpusError(f"none of {len(bad)} clips has keypoints; the first: {problems[0][1]}", where=manifest.folder)
    for clip in manifest.clips:
        if clip.id in bad:
            store.drop(clip)
    facts = {"joints": list(store.joints), **about, "glossfree": __version__}
    store.describe(facts, {clip: identities[clip] for clip in bad})
    return PosesReport(str(store.folder), len(manifest.clips) - len(bad), len(store.joints), problems)
