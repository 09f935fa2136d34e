"""How2Sign -> clips (Duarte et al., CVPR 2021; rows of its re-aligned tables: 31,165 / 1,741 / 2,357), English.

`how2sign_realigned_{train,val,test}.csv`, separated by tabs: VIDEO_ID, VIDEO_NAME, SENTENCE_ID, SENTENCE_NAME,
START_REALIGNED and END_REALIGNED in seconds, SENTENCE. Frames come from the release's videos, VIDEO_NAME.mp4, else from
its clips, SENTENCE_NAME.mp4; the frontal view is the one that the names mean. The release's clips are cut at the times
of the English speech: only videos fit the re-aligned times (github.com/how2sign/how2sign.github.io/issues/9). ROOT is
the folder that the release's download script makes, the one above it, or one folder with tables and videos: see
`TABLES`, `VIDEOS` and `CLIPS`.

There are fewer clips than rows (118 fewer in train), and some rows end before they begin: these are left out, and
`check` names them. Some rows begin after the end of their video: packing names them. A split without its table has no
clips. The number in `..._10-5-rgb_front` (here 5) is taken for the signer's, as the field's code does.

The layout is the download script's; the number of rows is what readers of the tables report.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glossfree.corpora.files import Files
from glossfree.corpora.manifest import SPLITS, Clip, VideoFile
from glossfree.corpora.release import problems_of
from glossfree.corpora.videos import Sentence, check_any, existing, read_clips
from glossfree.errors import CorpusError
from glossfree.files.tables import read_columns

COUNTS = {"train": 31165, "dev": 1741, "test": 2357}
NAMES = {"train": "train", "dev": "val", "test": "test"}  # of the splits in this release
TABLES = (
    "sentence_level/{}/text/en/raw_text/re_aligned/how2sign_realigned_{}.csv",
    *("{}/how2sign_realigned_{}.csv", "how2sign_realigned_{1}.csv"),
)
CLIPS = (
    *("sentence_level/{}/rgb_front/raw_videos", "{}_rgb_front_clips/raw_videos", "{}/clips", "{}/raw_videos"),
    *("clips/{}", "clips", "raw_videos", "."),
)
VIDEOS = (
    *("video_level/{}/rgb_front/raw_videos", "{}_raw_videos/raw_videos", "{}/videos", "{}/raw_videos"),
    *("videos/{}", "videos", "raw_videos", "."),
)
_TOPS = (".", "How2Sign")
CUT = "those of the release are cut at the times of the English speech, and fit their sentences worse than the videos"
LAYOUT = tuple(f"{top}/{table.format(name, name)}" for top in _TOPS for table in TABLES for name in NAMES.values())
_COLUMNS = ("video_name", "sentence_name", "start_realigned", "end_realigned", "sentence")


def _tables(root: Path) -> dict[str, tuple[Path, Path]]:
    """ROOT -> split -> its table and the folder of the release. Raises CorpusError if there is no table at all."""
    tables = {}
    for split, name in NAMES.items():
        places = ((root / top / table.format(name, name), root / top) for top in _TOPS for table in TABLES)
        if place := next((place for place in places if place[0].is_file()), None):
            tables[split] = place
    if not tables:
        remedy = f"--root is the folder with {' or '.join(table.format('train', 'train') for table in TABLES)}"
        raise CorpusError("no how2sign_realigned_train.csv, ..._val.csv or ..._test.csv", where=root, remedy=remedy)
    return tables


def _read(root: Path, split: str) -> tuple[list[Clip], list[str]]:
    """ROOT -> all clips of a split, also those without a file, and notes on its rows."""
    tables = _tables(root)
    if split not in tables:
        return [], []
    (path, top), name = tables[split], NAMES[split]
    table = read_columns(path, _COLUMNS)
    sentences = []
    for row in table.rows:
        video, own, start, end, text = (row.fields[column].strip() for column in _COLUMNS)
        signer = own.split("-")[-2] if own.endswith("-rgb_front") else ""
        sentences.append(Sentence(own, split, text, video, start, end, own, signer))
    clips_in, videos_in = ([folder.format(name) for folder in folders] for folders in (CLIPS, VIDEOS))
    every_clip, notes = read_clips(sentences, Files(top), videos_in, clips_in, own_first=False)
    if whole := sum(isinstance(clip.source, VideoFile) and clip.source.segment is None for clip in every_clip):
        notes.append(f"{split}: {whole:,} clips are files of their own; {CUT}")
    return every_clip, [*(f"{split}: {note}" for note in table.notes), *notes]


def clips(root: Path, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split whose video is there, in the order of the table, the first `limit` of them."""
    yield from existing(_read(root, split)[0])[:limit]


def check(root: Path) -> list[str]:
    """ROOT -> counts unlike the release's, missing videos, rows that are no clips, sentences in several splits.

    Raises CorpusError for tables that cannot be used, and if no video is there.
    """
    read = [_read(root, split) for split in SPLITS]
    every_clip = [clip for here, _ in read for clip in here]
    check_any(every_clip, root, [folder.format("train") for folder in (*VIDEOS, *CLIPS)])
    return problems_of(every_clip, COUNTS, notes=[note for _, notes in read for note in notes])
