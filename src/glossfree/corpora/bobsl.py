"""BOBSL (BBC-Oxford British Sign Language) -> clips, one for each subtitle that is aligned with the signing.

Two layouts are read. Releases up to 1.2, as their README lists them: `videos/ID.mp4`, `subset2episode.json` (names of
splits -> episodes) and `subtitles/{manually-aligned,audio-aligned-heuristic-correction,audio-aligned}/ID.vtt`. Release
1.4, as the field's code reads it (its own README could not be consulted): `original_data/videos/mp4/ID.mp4`,
`original_data/metadata/subset2episode.json`, `manual_annotations/signing_aligned_subtitles/ID.vtt` and
`automatic_annotations/signing_aligned_subtitles/{auto_sat_aligned,audio_aligned_heuristic_correction}/ID.vtt`.

Of each episode the best subtitles are read: aligned by hand, else by a model (SAT), else with the audio, moved by
2.7 s, the mean delay of the signing (README of github.com/hannahbull/subtitle_align). Dev and test have episodes
aligned by hand only, if there are any. A subtitle is a sentence; one aligned by hand that contains "[" is not signed
(the same repository leaves it out).

Numbers of episodes (same README): 1,658 / 32 / 250; 16 / 4 / 35 of them aligned by hand. The challenge episodes have no
subtitles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from glossfree.corpora.manifest import SPLITS, Clip
from glossfree.corpora.recordings import Recording, clips_of, problems_of
from glossfree.corpora.sentencing import Rules, changed_rules
from glossfree.errors import CorpusError, name_groups
from glossfree.files.disk import read_json

EPISODES = {"train": 1658, "dev": 32, "test": 250}
ALIGNED_BY_HAND = {"train": 16, "dev": 4, "test": 35}
DELAY = 2.7  # seconds from speech to signing, mean
RULES = Rules(split=False, join=False)
_SPLITS = {"train": ("train",), "dev": ("val", "dev"), "test": ("test", "public_test")}
_VIDEOS = ("videos", "original_data/videos/mp4", "original_data/videos")
LAYOUT = ("subset2episode.json", "metadata/subset2episode.json", "original_data/metadata/subset2episode.json")
_AUTOMATIC = "automatic_annotations/signing_aligned_subtitles"
HAND, MODEL, AUDIO = "by hand", "by a model", "with the audio"
_SUBTITLES = (  # best first
    (HAND, "subtitles/manually-aligned"),
    (HAND, "manual_annotations/signing_aligned_subtitles"),
    (MODEL, f"{_AUTOMATIC}/auto_sat_aligned"),
    (AUDIO, "subtitles/audio-aligned-heuristic-correction"),
    (AUDIO, f"{_AUTOMATIC}/audio_aligned_heuristic_correction"),
    (AUDIO, "subtitles/audio-aligned"),
)
_REMEDY = "--root is the release's folder, with subset2episode.json, videos and subtitles"


def clips(root: Path, split: str, *, limit: int | None = None, rules: Mapping[str, str] = {}) -> Iterator[Clip]:
    """ROOT -> the clips of one split, by episode and time, the first `limit` of them. Raises CorpusError."""
    return clips_of((recording for _, recording in _recordings(root, split, rules)[0]), split, limit)


def check(root: Path, *, rules: Mapping[str, str] = {}) -> list[str]:
    """ROOT -> how episodes are aligned, numbers unlike the release's, missing files. Raises CorpusError."""
    notes, every = [], []
    for split in SPLITS:
        recordings, missing = _recordings(root, split, rules)
        every += [recording for _, recording in recordings]
        kinds = [kind for kind, _ in recordings]
        if others := [kind for kind in kinds if kind != HAND]:
            counts = ", ".join(f"{others.count(kind):,} {kind}" for kind in dict.fromkeys(others))
            notes.append(f"{split}: episodes that are not aligned by hand, but {counts}")
        expected = EPISODES if others else ALIGNED_BY_HAND
        if len(kinds) != expected[split]:
            notes.append(f"{split}: {len(kinds):,} episodes with subtitles, {expected[split]:,} in the release")
        notes += name_groups({f"{split}: episodes without subtitles": missing})
    return problems_of(every, notes)


def _recordings(root: Path, split: str, rules: Mapping[str, str]) -> tuple[list[tuple[str, Recording]], list[str]]:
    """The episodes of a split with how they are aligned, in the order of the file, and those without subtitles."""
    path = next((root / name for name in LAYOUT if (root / name).is_file()), None)
    if path is None:
        raise CorpusError(f"no {LAYOUT[0]} in it", where=root, remedy=_REMEDY)
    subsets = read_json(path, remedy=_REMEDY)
    listed: Any = next((subsets[name] for name in _SPLITS[split] if name in subsets), [])
    if not isinstance(listed, list):
        raise CorpusError(f"{split} is not a list of names", where=path, remedy="download it again")
    names = [str(name) for name in listed]
    folder = next((root / name for name in _VIDEOS if (root / name).is_dir()), root / _VIDEOS[0])
    subtitles = {name: best for name in names if (best := _subtitles(root, name)) is not None}
    if split != "train" and any(kind == HAND for kind, _ in subtitles.values()):
        subtitles = {name: best for name, best in subtitles.items() if best[0] == HAND}
        names = list(subtitles)
    recordings = []
    for name, (kind, file) in subtitles.items():
        own = changed_rules(replace(RULES, shift=DELAY) if kind == AUDIO else RULES, rules)
        unsigned = "[" if kind == HAND else ""
        recordings.append((kind, Recording(name, split, folder / f"{name}.mp4", file, rules=own, unsigned=unsigned)))
    return recordings, [name for name in names if name not in subtitles]


def _subtitles(root: Path, episode: str) -> tuple[str, Path] | None:
    """How an episode is aligned at best, and its subtitles; None without any."""
    files = ((kind, root / folder / f"{episode}.vtt") for kind, folder in _SUBTITLES)
    return next(((kind, path) for kind, path in files if path.is_file()), None)
