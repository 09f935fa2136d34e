"""The training data of the WMT-SLT shared task (Swiss German Sign Language, German): SRF and FocusNews -> clips.

As its Zenodo archives unpack (confirmed by the task's baseline and by sign-language-datasets, for 2022):
`focusnews/{videos,subtitles}/focusnews.043.{mp4,srt}` and `srf/parallel/{videos,subtitles}/srf.2020-03-13.{mp4,srt}`;
the monolingual subtitles beside are not read. `dev` and `test`, which were published later, have the same two folders.
ROOT holds any of these. A subtitle is a sentence: the task cut them (`--set split=yes`, `--set join=yes` for files that
are not cut).

Without `dev` and `test`, whole broadcasts are set aside (`recordings`). The numbers of the releases could not be
confirmed, and are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from glossfree.corpora.manifest import Clip
from glossfree.corpora.recordings import Recording, assign_splits, clips_of, problems_of
from glossfree.corpora.sentencing import Rules, changed_rules
from glossfree.errors import CorpusError, name_groups

RULES = Rules(split=False, join=False)
PARTS = {"focusnews": "train", "srf/parallel": "train", "srf": "train", "dev": "dev", "test": "test"}
LAYOUT = tuple(f"{part}/subtitles/*.srt" for part, split in PARTS.items() if split == "train")
_REMEDY = "--root is the folder that holds focusnews/, srf/ or both"


def clips(root: Path, split: str, *, limit: int | None = None, rules: Mapping[str, str] = {}) -> Iterator[Clip]:
    """ROOT -> the clips of one split, by broadcast and time, the first `limit` of them. Raises CorpusError."""
    return clips_of(_recordings(root, rules)[0], split, limit)


def check(root: Path, *, rules: Mapping[str, str] = {}) -> list[str]:
    """ROOT -> notes on splits, missing videos and subtitles, shared sentences. Raises CorpusError."""
    recordings, notes = _recordings(root, rules)
    return problems_of(recordings, notes)


def _recordings(root: Path, rules: Mapping[str, str]) -> tuple[list[Recording], list[str]]:
    """ROOT -> the broadcasts with subtitles, and notes."""
    own = changed_rules(RULES, rules)
    recordings: list[Recording] = []
    without = []
    for part, split in PARTS.items():
        videos, subtitles = root / part / "videos", root / part / "subtitles"
        files = sorted(subtitles.glob("*.srt")) if subtitles.is_dir() else []
        recordings += [Recording(path.stem, split, videos / f"{path.stem}.mp4", path, rules=own) for path in files]
        known = {path.stem for path in files}
        without += [path.stem for path in sorted(videos.glob("*.mp4")) if path.stem not in known]
    if not recordings:
        raise CorpusError("no folder with subtitles of SRF or FocusNews", where=root, remedy=_REMEDY)
    notes = name_groups({"videos without subtitles": without})
    if {recording.split for recording in recordings} == {"train"}:
        splits, more = assign_splits(root, [recording.id for recording in recordings])
        recordings = [replace(each, split=splits[each.id]) for each in recordings if each.id in splits]
        notes += more
    return recordings, notes
