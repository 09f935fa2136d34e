"""CSL-Daily -> clips (Zhou et al., CVPR 2021: 18,401 / 1,077 / 1,176 sentences), Chinese.

ROOT, or a folder `csl-daily` or the like in it, has `sentence_label/csl2020ct_v2.pkl`, `sentence_label/split_1.txt`
with `name|split`, and the frames `sentence/frames_512x512/NAME/*.jpg` at 30 frames/s; the folder of the frames may
also be called as in `FRAMES`, and a clip may be a video NAME.mp4 there.

The pickle is a dict whose `info` lists a dict for each clip: `name`, `signer`, and four lists, `label_char`,
`label_word`, `label_postag` and `label_gloss`. The sentence said is `label_char` put together, with its punctuation;
`label_word` is the same sentence cut into words, `label_gloss` what was signed, which only recipes with
`supervision = "glosses"` read.

The release is given on request and was not at hand: this is how the field's public code reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glossfree.corpora.files import Files, is_safe_id
from glossfree.corpora.manifest import SPLITS, Clip, FrameFolder, VideoFile
from glossfree.corpora.release import problems_of
from glossfree.errors import CorpusError, name_groups, shortened
from glossfree.files.encoding import nfc
from glossfree.files.pickles import read_plain_pickle
from glossfree.files.tables import read_columns, split_of

COUNTS = {"train": 18401, "dev": 1077, "test": 1176}
FPS = 30.0
LABELS, SPLIT_FILE = "sentence_label/csl2020ct_v2.pkl", "sentence_label/split_1.txt"
LAYOUT = (LABELS, f"*/{LABELS}")
FRAMES = (
    *("sentence/frames_512x512", "sentence_frames-512x512/frames_512x512", "frames_512x512", "sentence"),
    *("sentence-crop", "videos"),
)
# The split file of the release has the first name, the labels and the frames have the second.
RENAMED = {"S000005_P0004_T00": "S000007_P0003_T00"}
LONGEST = 1000  # characters or glosses of a sentence


def find_top(root: Path) -> Path:
    """ROOT -> the folder that contains `sentence_label/`. Raises CorpusError if there is none."""
    for pattern in LAYOUT:
        if places := sorted(root.glob(pattern)):
            return places[0].parents[1]
    remedy = "--root is the folder with sentence_label/ and the frames"
    raise CorpusError(f"no {LABELS} in it", where=root, remedy=remedy)


def read_labels(path: Path) -> dict[str, dict[str, Any]]:
    """The label file -> name -> its labels. Raises CorpusError: not a plain pickle, another structure."""
    content = read_plain_pickle(path)
    rows = content.get("info") if isinstance(content, dict) else None
    lists = ("label_char", "label_gloss")
    for row in rows if isinstance(rows, list) else [None]:
        labels = row if isinstance(row, dict) else {}
        if not isinstance(labels.get("name"), str) or not all(_is_words(labels.get(name)) for name in lists):
            problem = f"no list `info` of clips with name, {' and '.join(lists)}"
            raise CorpusError(problem, where=path, remedy="download the file again, from its publisher")
    return {nfc(row["name"]): row for row in rows or ()}


def _is_words(words: object) -> bool:
    """Whether it is a list of a sensible number of short texts: a small pickle can hold a very long list."""
    if not isinstance(words, list) or len(words) > LONGEST:
        return False
    return all(isinstance(word, str) and len(word) <= LONGEST for word in words)


def read_splits(path: Path, labels: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The split file -> name -> split, in order. Raises CorpusError with the line: another split, a name twice."""
    splits: dict[str, str] = {}
    for row in read_columns(path, ("name", "split")).rows:
        name, split = row.fields["name"].strip(), split_of(row.fields["split"].strip())
        if name not in labels:
            name = RENAMED.get(name, name)
        where = f"{path}, line {row.line}"
        if not is_safe_id(name) or name in splits:
            problem = f"name {shortened(name)!r} {'twice' if name in splits else 'is not a file name'}"
            raise CorpusError(problem, where=where, remedy="correct the line")
        if split not in SPLITS:
            remedy = f"one of {', '.join(SPLITS)}"
            raise CorpusError(f"split {shortened(split, 40)!r} of {name}", where=where, remedy=remedy)
        splits[name] = split
    return splits


def _read(root: Path) -> tuple[list[Clip], list[str]]:
    """ROOT -> the clips of all splits, and notes on the names that are no clips."""
    top = find_top(root)
    labels = read_labels(top / LABELS)
    splits = read_splits(top / SPLIT_FILE, labels)
    files, clips, silent = Files(top), [], []
    folders = [folder for folder in FRAMES if (top / folder).is_dir()]
    for name, split in splits.items():
        if name not in labels:
            continue
        row = labels[name]
        text, glosses = " ".join("".join(row["label_char"]).split()), tuple(map(nfc, row["label_gloss"]))
        place = files.find(folders, name) or top / FRAMES[0] / name
        source = VideoFile(place) if place.is_file() else FrameFolder(place)
        if text:
            fps = FPS if isinstance(source, FrameFolder) else None
            signer = row.get("signer", "")  # a number; a list in a list in a list may be too long to be written
            who = shortened(str(signer), 40) if isinstance(signer, int | str) else ""
            clips.append(Clip(name, split, nfc(text), source, who, fps=fps, glosses=glosses))
        else:
            silent.append(name)
    lists = {
        "clips without a sentence, left out": silent,
        "names with a split, but without labels, left out": [name for name in splits if name not in labels],
        "names with labels, but without a split, left out": [name for name in labels if name not in splits],
    }
    return clips, name_groups(lists)


def clips(root: Path, split: str, *, limit: int | None = None) -> Iterator[Clip]:
    """ROOT -> the clips of one split in the order of the split file, the first `limit` of them."""
    yield from [clip for clip in _read(root)[0] if clip.split == split][:limit]


def check(root: Path) -> list[str]:
    """ROOT -> counts unlike the release's, missing frames, names without labels or split, sentences in two splits."""
    every_clip, notes = _read(root)
    return problems_of(every_clip, COUNTS, notes=notes, oddity="frame folders missing or empty")
