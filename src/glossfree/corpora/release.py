"""What the `check` of any corpus lists: counts unlike the release's, sources missing, what stands in several splits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from glossfree.corpora.files import is_companion
from glossfree.corpora.manifest import SPLITS, Clip, FrameFolder, VideoFile, overlap_warning
from glossfree.errors import name_some
from glossfree.files.encoding import nfc


def has_no_source(clip: Clip) -> bool:
    """Whether the clip's video does not exist, or its folder of frames is missing or empty."""
    if isinstance(clip.source, VideoFile):
        return not clip.source.path.is_file()
    if not isinstance(clip.source, FrameFolder):
        return False
    try:
        with os.scandir(clip.source.path) as entries:
            return all(is_companion(entry.name) for entry in entries)
    except OSError:
        return True


def problems_of(
    clips: Sequence[Clip],
    counts: Mapping[str, int],
    *,
    notes: Iterable[str] = (),
    oddity: str = "videos missing",
    is_odd: Callable[[Clip], bool] = has_no_source,
) -> list[str]:
    """The clips of all splits -> their problems, one line each, then `notes`, then sentences in several splits.

    `counts`: clips of each split in the official release; a split that it leaves out is not counted. The sources of
    clips that are odd, those without one unless `is_odd` says otherwise, are listed by name under `oddity`.
    """
    problems = []
    first_split: dict[str, str] = {}
    for clip in clips:
        if first_split.setdefault(clip.id, clip.split) != clip.split:
            problems.append(f"name {clip.id!r} is in {first_split[clip.id]} and in {clip.split}")
    for split in SPLITS:
        here = [clip for clip in clips if clip.split == split]
        if len(here) != counts.get(split, len(here)):
            problems.append(f"{split}: {len(here):,} clips, {counts[split]:,} in the release")
        if odd := [_source_name(clip) for clip in here if is_odd(clip)]:
            names = list(dict.fromkeys(odd))
            of_clips = f" ({len(odd):,} clips)" if len(odd) > len(names) else ""
            problems.append(f"{split}: {oddity}: {len(names):,}{of_clips}: {name_some(names)}")
    problems += notes
    warning = overlap_warning(clips)
    return [*problems, warning] if warning else problems


def _source_name(clip: Clip) -> str:
    """The name of a clip's video or folder of frames; the clip's own if it is drawn."""
    match clip.source:
        case VideoFile(path):
            return nfc(path.stem)
        case FrameFolder(path):
            return nfc(path.name)
        case _:
            return clip.id
