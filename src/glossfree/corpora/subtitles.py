"""Any folder of long videos with captions beside them -> clips, one for each sentence.

`show.mp4` has its captions in `show.vtt`, `show.srt`, `show.ass` (`.ssa`) or `show.eaf`, or in `show.de.vtt` and the
like, where `language` chooses between several. They lie beside the video, else anywhere below ROOT if only one file has
the name. `sentencing` makes sentences of captions, by `rules`; `tier` is that of the .eaf files. The split of a video
is that of its folder (train, dev, test), else as `recordings` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from glossfree.corpora.files import VIDEOS, walk
from glossfree.corpora.manifest import Clip
from glossfree.corpora.recordings import Recording, assign_splits, clips_of, problems_of
from glossfree.corpora.sentencing import RULES, changed_rules
from glossfree.errors import CorpusError, name_groups, name_some
from glossfree.files.encoding import nfc
from glossfree.languages import base_language

FORMS = (".vtt", ".srt", ".ass", ".ssa", ".eaf")  # of several, the first is read
LAYOUT = tuple(f"**/*{form}" for form in FORMS)
_LANGUAGE = re.compile(r"(.+)\.([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*)")  # show.de, show.pt-BR
_Captions = dict[str, list[tuple[str, Path]]]  # stem of a video -> language, "" if the name has none, and file


def clips(
    root: Path,
    split: str,
    *,
    limit: int | None = None,
    rules: Mapping[str, str] = {},
    tier: str | None = None,
    language: str | None = None,
) -> Iterator[Clip]:
    """ROOT -> the clips of one split, by video and time, the first `limit` of them.

    Raises CorpusError: no video with captions, captions in several languages or tiers and none named.
    """
    return clips_of(_recordings(root, rules, tier, language)[0], split, limit)


def check(
    root: Path, *, rules: Mapping[str, str] = {}, tier: str | None = None, language: str | None = None
) -> list[str]:
    """ROOT -> notes on splits, videos without captions and the reverse, files that cannot be read, empty splits.

    Raises CorpusError as `clips` does.
    """
    recordings, notes = _recordings(root, rules, tier, language)
    return problems_of(recordings, notes)


def _named(path: Path) -> list[tuple[str, str]]:
    """`show.de.vtt` -> the stems of videos that it may belong to, each with its language."""
    match = _LANGUAGE.fullmatch(path.stem)
    return [(nfc(path.stem), ""), *([(nfc(match[1]), base_language(match[2]))] if match else [])]


def _recordings(
    root: Path, rules: Mapping[str, str], tier: str | None, language: str | None
) -> tuple[list[Recording], list[str]]:
    """ROOT -> the recordings with captions, in the order of their paths, and notes."""
    own_rules = changed_rules(RULES, rules)
    language = base_language(language) if language else None
    forms = (".eaf",) if tier is not None else FORMS
    videos: dict[str, Path] = {}  # by path relative to ROOT, without its ending
    beside: dict[Path, _Captions] = {}
    anywhere: _Captions = {}
    for here, names in walk(root):
        for path in (here / name for name in names):
            if path.suffix.lower() in VIDEOS:
                videos.setdefault(nfc(path.relative_to(root).with_suffix("").as_posix()), path)
            elif path.suffix.lower() in forms:
                for stem, code in _named(path):
                    beside.setdefault(here, {}).setdefault(stem, []).append((code, path))
                    anywhere.setdefault(stem, []).append((code, path))
    chosen: dict[str, Path] = {}
    for name, video in videos.items():
        stem = nfc(video.stem)
        files = beside.get(video.parent, {}).get(stem) or anywhere.get(stem, [])
        if captions := _choose(files, language, video):
            chosen[name] = captions
    if not chosen:
        remedy = f"NAME.mp4 needs NAME{forms[0]} ({', '.join(forms)}) beside it, or NAME.de{forms[0]}"
        spoken = f" in {language}" if language else ""
        raise CorpusError(f"no video with captions{spoken} in it", where=root, remedy=remedy)
    splits, notes = assign_splits(root, list(chosen))
    stems = {nfc(video.stem) for video in videos.values()}
    used = {path for stem in stems for _, path in anywhere.get(stem, [])}
    unused = {path.relative_to(root).as_posix() for files in anywhere.values() for _, path in files if path not in used}
    culprits = {
        "videos without captions": [name for name in videos if name not in chosen],
        "captions without a video": sorted(unused),
    }
    notes += name_groups(culprits)
    recordings = [
        Recording(name.replace("/", "__"), splits[name], videos[name], path, tier, rules=own_rules)
        for name, path in chosen.items()
        if name in splits
    ]
    return recordings, notes


def _choose(files: list[tuple[str, Path]], language: str | None, video: Path) -> Path | None:
    """The captions of a video: in `language` if names have one, else those that have none; None without any.

    Raises CorpusError: several languages, or several files of one name in different folders.
    """
    codes = {code for code, _ in files}
    wanted = language if language in codes else "" if "" in codes or language else None
    if wanted is None and len(codes) > 1:
        listed = ", ".join(sorted(codes))
        raise CorpusError(f"captions in several languages ({listed})", where=video, remedy="name one with --language")
    own = [path for code, path in files if wanted is None or code == wanted]
    if len({path.parent for path in own}) > 1:
        listed = name_some([str(path) for path in own])
        raise CorpusError(f"several files may be its captions: {listed}", where=video, remedy="put one beside it")
    return min(own, key=lambda path: FORMS.index(path.suffix.lower()), default=None)
