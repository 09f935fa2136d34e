"""YouTube-ASL and YouTube-SL-25 -> clips, one for each sentence of the captions.

The releases are lists of YouTube ids: `youtube_asl_video_ids.txt`, an id a line (Uthus et al., NeurIPS 2023: 11,093
videos), and `youtube-sl-25-metadata.csv`, `ID,LANGUAGE` a line without a header (Tanzer and Zhang, ICLR 2025): the
sign language in ISO 639-3, `???` where it is not known. Downloads may have the name of their bucket in front.

ROOT holds the list, and anywhere below it the videos that the user has, `ID.mp4` or `TITLE [ID].mp4`, and their
captions, `ID.en.vtt`, `ID.en-US.vtt`, `ID.vtt` or the like (also .srt), as yt-dlp names them. Videos of the list that
are missing or have no captions are left out, and `check` names them; many are gone for good. Take captions that people
wrote: nothing in a file says whether a machine heard them.

The releases have no splits: see `recordings.assign_splits`. A hash cannot keep a channel, nor a signer, in one split.

Read off the lists' descriptions and the field's public code. The size of YouTube-SL-25's list could not be confirmed,
and is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from glossfree.corpora.files import VIDEOS, walk
from glossfree.corpora.manifest import Clip
from glossfree.corpora.recordings import Recording, assign_splits, clips_of, problems_of
from glossfree.corpora.sentencing import RULES, changed_rules
from glossfree.errors import CorpusError, name_groups, name_some, shortened
from glossfree.files.encoding import read_text, split_lines
from glossfree.languages import base_language

ASL_VIDEOS = 11_093
ASL_LISTS = ("youtube_asl_video_ids.txt", "*_youtube_asl_video_ids.txt")
SL25_LISTS = ("youtube-sl-25-metadata.csv", "*_youtube-sl-25-metadata.csv")
FORMS = (".vtt", ".srt")  # of several, the first is read
_ID = re.compile(r"[\w-]{11}", re.ASCII)
_FILE = re.compile(r"(?:.*\[([\w-]{11})\]|([\w-]{11}))((?:\.[\w-]+)?)(\.\w+)", re.ASCII)


def asl_clips(root: Path, split: str, *, limit: int | None = None, rules: Mapping[str, str] = {}) -> Iterator[Clip]:
    """ROOT -> the clips of one split of YouTube-ASL, by video and time, the first `limit` of them."""
    return clips_of(_recordings(root, ASL_LISTS, rules, "en")[0], split, limit)


def check_asl(root: Path, *, rules: Mapping[str, str] = {}) -> list[str]:
    """ROOT -> how splits are made, videos missing or without captions, captions that cannot be read."""
    recordings, notes = _recordings(root, ASL_LISTS, rules, "en")
    listed = len(read_list(find_list(root, ASL_LISTS)))
    counts = [f"{listed:,} videos in the list, {ASL_VIDEOS:,} in the release"] if listed != ASL_VIDEOS else []
    return problems_of(recordings, [*counts, *notes])


def sl25_clips(
    root: Path,
    split: str,
    *,
    limit: int | None = None,
    rules: Mapping[str, str] = {},
    language: str | None = None,
    sign_language: str | None = None,
) -> Iterator[Clip]:
    """ROOT -> the clips of one split of YouTube-SL-25, by video and time, the first `limit` of them.

    `language`: that of the captions; `sign_language`: videos in this one alone, all if None.
    """
    return clips_of(_recordings(root, SL25_LISTS, rules, language, sign_language)[0], split, limit)


def check_sl25(
    root: Path, *, rules: Mapping[str, str] = {}, language: str | None = None, sign_language: str | None = None
) -> list[str]:
    """ROOT -> how splits are made, videos missing or without captions, captions that cannot be read."""
    return problems_of(*_recordings(root, SL25_LISTS, rules, language, sign_language))


def find_list(root: Path, patterns: Sequence[str]) -> Path:
    """ROOT -> its list of ids. Raises CorpusError if there is none."""
    for pattern in patterns:
        if places := sorted(root.glob(pattern)):
            return places[0]
    remedy = "--root is the folder with the release's list of ids and your videos"
    raise CorpusError(f"no {patterns[0]} in it", where=root, remedy=remedy)


def read_list(path: Path) -> dict[str, str]:
    """A list of ids -> id -> sign language, "" if the list has none. Raises CorpusError with the line."""
    videos: dict[str, str] = {}
    for number, line in enumerate(split_lines(read_text(path)), start=1):
        video, _, language = (part.strip() for part in line.partition(","))
        if _ID.fullmatch(video):
            videos.setdefault(video, language)
        elif video and number > 1:  # the first line may be a header
            remedy = "an id of 11 letters, digits, - and _ in each line"
            raise CorpusError(f"{shortened(video)!r} is no YouTube id", where=f"{path}, line {number}", remedy=remedy)
    return videos


def _recordings(
    root: Path,
    lists: Sequence[str],
    rules: Mapping[str, str],
    language: str | None,
    sign_language: str | None = None,
) -> tuple[list[Recording], list[str]]:
    """ROOT -> the videos of the list that are there with captions, in its order, and notes."""
    path, own_rules = find_list(root, lists), changed_rules(RULES, rules)
    listed = read_list(path)
    if sign_language is not None and sign_language not in listed.values():
        remedy = f"one of {', '.join(sorted(set(listed.values())))}"
        raise CorpusError(f"no video in sign language {shortened(sign_language, 40)!r}", where=path, remedy=remedy)
    wanted = [name for name, own in listed.items() if sign_language in (None, own)]
    videos, captions = _files(root)
    if not any(name in videos for name in wanted):
        problem = f"none of {len(wanted):,} videos is there: {name_some(wanted, limit=3)}"
        raise CorpusError(problem, where=root, remedy="copy them below --root, as ID.mp4 or TITLE [ID].mp4")
    chosen = {name: _choose(captions.get(name, []), language, name) for name in wanted if name in videos}
    names = [name for name, own in chosen.items() if own]
    splits, notes = assign_splits(root, names)
    spoken = f" in {language}" if language else ""
    culprits = {
        f"videos missing, of {len(wanted):,} in the list": [name for name in wanted if name not in videos],
        f"videos without captions{spoken}": [name for name, own in chosen.items() if not own],
        "videos that the list does not have": sorted(name for name in videos if name not in listed),
    }
    notes += name_groups(culprits)
    recordings = [
        Recording(name, splits[name], videos[name], own, rules=own_rules)
        for name, own in chosen.items()
        if own and name in splits
    ]
    return recordings, notes


def _files(root: Path) -> tuple[dict[str, Path], dict[str, list[tuple[str, Path]]]]:
    """ROOT -> by id, the videos, and the captions with their languages, "" where the name has none."""
    videos: dict[str, Path] = {}
    captions: dict[str, list[tuple[str, Path]]] = {}
    for here, names in walk(root):
        for match in filter(None, map(_FILE.fullmatch, names)):
            video, language, form = match[1] or match[2], match[3].removeprefix("."), match[4].lower()
            if form in VIDEOS and not language:  # yt-dlp calls parts of an unfinished download ID.f137.mp4
                videos.setdefault(video, here / match[0])
            elif form in FORMS:
                captions.setdefault(video, []).append((language, here / match[0]))
    return videos, captions


def _choose(files: list[tuple[str, Path]], language: str | None, video: str) -> Path | None:
    """The captions of a video: in `language`, of this country or that, else those whose name has none; or None.

    Raises CorpusError: several languages, and none named.
    """
    codes = {base_language(code) for code, _ in files} - {""}
    language = base_language(language) if language else None
    if language is None and len(codes) > 1:
        listed = ", ".join(sorted(codes))
        raise CorpusError(f"captions in several languages ({listed})", where=video, remedy="name one with --language")
    wanted = language if language in codes else "" if language else next(iter(codes), "")
    own = [(code != wanted, code, FORMS.index(path.suffix.lower()), path) for code, path in files]
    own = [each for each in own if base_language(each[1]) == wanted]
    return min(own)[-1] if own else None
