"""Videos and image folders below ROOT, looked up by path or by name in any Unicode form; ids that are file names.

Prepared folders and the companion files of operating systems are skipped. Links are followed, but each folder is
visited once, so that circular links end.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from glossfree.corpora.manifest import CORPUS, MANIFEST
from glossfree.files.encoding import nfc

VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts"})
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_COMPANIONS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"})

_UNSAFE = re.compile(r"[^\w.+=@-]")  # \w is Unicode: letters with umlauts stay
_LONGEST_ID = 150  # bytes; leaves room for suffixes in the 255 that common file systems allow
_Names = dict[str, list[str]]


def is_companion(name: str) -> bool:
    """Whether a file or folder is hidden (`._x`, `.DS_Store`) or was created by an operating system."""
    return name.startswith(".") or name.lower() in _COMPANIONS


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """ROOT -> it and each folder below it, with sorted names of files; skips companions and prepared folders."""
    above = [parent.stat() for parent in root.resolve().parents]  # a link to one of them is circular too
    seen = {(status.st_dev, status.st_ino) for status in above}
    for place, folders, files in os.walk(root, followlinks=True):
        here = Path(place)
        try:
            status = here.stat()
        except OSError:  # removed meanwhile, or no permission
            folders.clear()
            continue
        is_known = (status.st_dev, status.st_ino) in seen
        if is_known or (here != root and {MANIFEST, CORPUS} & set(files)):
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # Real folders before links, so that a folder is listed under its own path.
        visible = [name for name in folders if not is_companion(name)]
        folders[:] = sorted(visible, key=lambda name: ((here / name).is_symlink(), name))
        yield here, sorted(name for name in files if not is_companion(name))


class Files:
    """The files below ROOT. Listings are cached, so create a new instance for each reading of a corpus."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, tuple[_Names, _Names]] = {}

    @cached_property
    def sources(self) -> dict[str, list[Path]]:
        """Stem of a video or name of an image folder (NFC) -> its paths, in the order of the walk."""
        sources: dict[str, list[Path]] = {}
        for here, names in walk(self.root):
            suffixes = [Path(name).suffix.lower() for name in names]
            for name, suffix in zip(names, suffixes, strict=True):
                if suffix in VIDEOS:
                    sources.setdefault(nfc(Path(name).stem), []).append(here / name)
            if here != self.root and not IMAGES.isdisjoint(suffixes):
                sources.setdefault(nfc(here.name), []).append(here)
        return sources

    def by_id(self, name: str) -> list[Path]:
        """A file's stem or name, or an image folder's name -> all matching paths below ROOT."""
        name = nfc(name)
        if name not in self.sources and PurePosixPath(name).suffix.lower() in VIDEOS:
            return [path for path in self.sources.get(PurePosixPath(name).stem, []) if nfc(path.name) == name]
        return self.sources.get(name, [])

    def by_path(self, relative: PurePosixPath) -> list[Path]:
        """A path relative to ROOT -> the file or folder there; a path without an ending -> all videos of that name."""
        if os.path.exists(self.root / relative):  # noqa: PTH110 - False for a name that the system refuses, too
            return [self.root / relative]
        parents = [self.root]
        for part in relative.parts[:-1]:
            parents = [parent / name for parent in parents for name in self._names(parent)[0].get(nfc(part), [])]
        last = nfc(relative.name)
        exact = [parent / name for parent in parents for name in self._names(parent)[0].get(last, [])]
        if exact or relative.suffix.lower() in VIDEOS:
            return exact
        return [parent / name for parent in parents for name in self._names(parent)[1].get(last, [])]

    def find(self, folders: Iterable[str], name: str) -> Path | None:
        """The video or folder of images with this name in the first of the folders below ROOT that has one, or None."""
        name = nfc(name)
        for folder in (self.root / each for each in folders):
            full, stems = self._names(folder)
            if names := stems.get(name) or full.get(name):
                return folder / names[0]
        return None

    def _names(self, folder: Path) -> tuple[_Names, _Names]:
        """NFC -> names in a folder, by their full names, and of videos by their stems."""
        if folder not in self._listings:
            names: _Names = {}
            stems: _Names = {}
            try:
                listed = sorted(path.name for path in folder.iterdir())
            except OSError:
                listed = []
            for name in listed:
                names.setdefault(nfc(name), []).append(name)
                if Path(name).suffix.lower() in VIDEOS and not is_companion(name):
                    stems.setdefault(nfc(Path(name).stem), []).append(name)
            self._listings[folder] = names, stems
        return self._listings[folder]


def is_safe_id(clip_id: str) -> bool:
    """Whether an id is a valid file name on every common system: no separator, no leading dot, not too long."""
    fits = len(clip_id.encode("utf-8")) <= _LONGEST_ID
    return bool(clip_id) and fits and not _UNSAFE.search(clip_id) and not clip_id.startswith(".")


def safe_id(name: str) -> str:
    """Any name -> an id that is a file name. A changed name gets 8 digits of its hash, so that no two collide."""
    if is_safe_id(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8")).hexdigest()[:8]
    stem = _UNSAFE.sub("_", name).lstrip(".")
    while len(stem.encode("utf-8")) > _LONGEST_ID - 9:
        stem = stem[:-1]
    return f"{stem}-{digest}"
