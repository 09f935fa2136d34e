"""Sentences of a release's table -> clips: a file of its own for each sentence, or a part of a longer video.

Not everybody has all videos of such a release: some were never published, some are gone. Clips without a video are
left out, and `check` names the videos.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glossfree.corpora.files import Files, is_safe_id, safe_id
from glossfree.corpora.manifest import Clip, FrameFolder, Segment, VideoFile, source_at
from glossfree.corpora.release import has_no_source
from glossfree.corpora.segments import segment_of
from glossfree.errors import CorpusError, name_groups, name_some


@dataclass(frozen=True)
class Sentence:
    """One row: a sentence from `start` to `end`, as the table writes them, of `video`; `own`: its file, if cut out."""

    id: str
    split: str
    text: str
    video: str
    start: str
    end: str
    own: str = ""
    signer: str = ""


def read_clips(
    sentences: Iterable[Sentence],
    files: Files,
    folders: Sequence[str],
    own_folders: Sequence[str],
    *,
    own_first: bool = True,
) -> tuple[list[Clip], list[str]]:
    """Sentences -> their clips, in order, and notes on the rows that are no clips, by what is wrong with them.

    Videos are looked for in `folders` below ROOT, files of one sentence in `own_folders`; `own_first`: which of the two
    counts where both are there. The clip of a video that is not there has the place where it should be.
    """
    clips: dict[str, Clip] = {}
    wrong: dict[str, list[str]] = {}
    for sentence in sentences:
        clip_id, text = safe_id(sentence.id), " ".join(sentence.text.split())
        try:
            source = _source(sentence, files, folders, own_folders, own_first)
            if not text:
                raise ValueError("no sentence")
            if clip_id in clips:
                raise ValueError("an id that a row before has")
        except ValueError as error:
            wrong.setdefault(f"{sentence.split}: rows with {error}, left out", []).append(sentence.id)
            continue
        clips[clip_id] = Clip(clip_id, sentence.split, text, source, sentence.signer)
    return list(clips.values()), name_groups(wrong)


def _source(
    sentence: Sentence, files: Files, folders: Sequence[str], own_folders: Sequence[str], own_first: bool
) -> VideoFile | FrameFolder:
    """Where the frames of a sentence are. Raises ValueError: a name that is not a file name, no usable times."""
    if not is_safe_id(sentence.video) or re.search(r"[/\\]|^\.", sentence.own):
        raise ValueError("a video that is not a file name")
    video, own = sentence.video, files.find(own_folders, sentence.own) if sentence.own else None
    place = None if own and own_first else files.find(folders, video)
    if own and not place:
        return source_at(own)
    segment, place = _segment(sentence.start, sentence.end), place or files.root / folders[0] / f"{video}.mp4"
    return source_at(place, segment)


def _segment(start: str, end: str) -> Segment:
    try:
        segment = segment_of({"start": start, "end": end})
    except ValueError as error:
        raise ValueError("wrong times") from error
    if segment is None or segment.end is None:
        raise ValueError("no times")
    return segment


def existing(clips: Iterable[Clip]) -> list[Clip]:
    """The clips whose source exists."""
    return [clip for clip in clips if not has_no_source(clip)]


def check_any(clips: Sequence[Clip], root: Path, folders: Sequence[str]) -> None:
    """Raise CorpusError if there are clips, and the source of none exists."""
    if clips and all(map(has_no_source, clips)):
        names = name_some(sorted({clip.source.path.stem for clip in clips if isinstance(clip.source, VideoFile)}))
        remedy = f"videos are looked for in {', '.join(dict.fromkeys(folders))} below --root"
        raise CorpusError(f"none of the videos is there: {names}", where=root, remedy=remedy)
