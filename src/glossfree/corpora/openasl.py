"""OpenASL -> clips (Shi et al., EMNLP 2022: 96,476 / 966 / 975 sentences of about 2,000 YouTube videos), English.

`openasl-v1.0.tsv`, in ROOT or in ROOT/data, has the columns vid, yid, start, end, raw-text, tokenized-text, gloss and
split (train, valid, test); `raw-text` is the sentence said. The release has no videos: `prep/download.py` in it stores
them as `YID.mp4`, `prep/crop_video.py` cuts them into `VID.mp4` with `%` for `:` and crops these to the signer.
Both are found, in the folders `VIDEOS` and `CLIPS`; cut and cropped ones count first.

Many videos are gone: clips without one are left out, and `check` names the videos.

Read off the release's own scripts; the column `gloss`, whose content is not documented, is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glossfree.corpora.files import Files
from glossfree.corpora.manifest import SPLITS, Clip
from glossfree.corpora.release import problems_of
from glossfree.corpora.videos import Sentence, check_any, existing, read_clips
from glossfree.errors import CorpusError, shortened
from glossfree.files.tables import read_columns, split_of

COUNTS = {"train": 96476, "dev": 966, "test": 975}
LAYOUT = ("openasl-v*.tsv", "data/openasl-v*.tsv")
CLIPS = ("video-clip", "video_clip", "clips")
VIDEOS = ("raw-video", "raw_video", "videos", ".")
_COLUMNS = ("vid", "yid", "start", "end", "raw_text", "split")


def find_table(root: Path) -> Path:
    """ROOT -> its table. Raises CorpusError if there is none."""
    for pattern in LAYOUT:
        if places := sorted(root.glob(pattern)):
            return places[-1]
    raise CorpusError("no openasl-v1.0.tsv in it", where=root, remedy="--root is the folder with data/openasl-v1.0.tsv")


def _read(root: Path) -> tuple[list[Clip], list[str]]:
    """ROOT -> all clips, also those without a file, and notes on the table's rows."""
    path = find_table(root)
    table = read_columns(path, _COLUMNS)
    sentences = []
    for row in table.rows:
        vid, yid, start, end, text, name = (row.fields[column].strip() for column in _COLUMNS)
        split = split_of(name)
        if split not in SPLITS:
            where, remedy = f"{path}, line {row.line}", "one of train, valid, test"
            raise CorpusError(f"split {shortened(name, 40)!r}", where=where, remedy=remedy)
        own = vid.replace(":", "%")
        sentences.append(Sentence(vid, split, text, yid, start, end, own))
    every_clip, notes = read_clips(sentences, Files(root), VIDEOS, CLIPS)
    return every_clip, [*table.notes, *notes]


def clips(root: Path, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split whose video is there, in the order of the table, the first `limit` of them."""
    yield from existing(clip for clip in _read(root)[0] if clip.split == split)[:limit]


def check(root: Path) -> list[str]:
    """ROOT -> counts unlike the release's, missing videos, rows that are no clips, sentences in several splits.

    Raises CorpusError for a table that cannot be used, and if no video is there.
    """
    every_clip, notes = _read(root)
    check_any(every_clip, root, [*VIDEOS, *CLIPS])
    return problems_of(every_clip, COUNTS, notes=notes)
