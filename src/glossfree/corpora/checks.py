"""What every corpus checks in the same way: ids that are file names, sentences in two splits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from glossfree.corpora.manifest import Clip, PackedClip
from glossfree.files.encoding import nfc

_UNSAFE = re.compile(r"[^\w.+=@-]")  # \w is Unicode: letters with umlauts stay
_LONGEST_ID = 150  # characters; with the pack's suffix and a temporary name still below the 255 bytes of common systems


def is_safe_id(clip_id: str) -> bool:
    """Whether an id is a valid file name on every common system: no separator, no leading dot, not too long."""
    fits = len(clip_id.encode("utf-8")) <= _LONGEST_ID
    return bool(clip_id) and fits and not _UNSAFE.search(clip_id) and not clip_id.startswith(".")


def safe_id(name: str) -> str:
    """Any name -> an id that is a file name; a name that had to change gets 8 hex digits, so that no two collide."""
    if is_safe_id(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8")).hexdigest()[:8]
    stem = _UNSAFE.sub("_", name).lstrip(".")
    while len(stem.encode("utf-8")) > _LONGEST_ID - 9:
        stem = stem[:-1]
    return f"{stem}-{digest}"


def overlap_warning(clips: Sequence[Clip | PackedClip]) -> str | None:
    """One line with the number of sentences, and of clips, that are in two splits or more; None if there are none."""
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(nfc(clip.text), set()).add(clip.split)
    shared = {text for text, names in splits.items() if len(names) > 1}
    if not shared:
        return None
    concerned = sum(nfc(clip.text) in shared for clip in clips)
    noun = "sentence occurs" if len(shared) == 1 else "sentences occur"
    return f"{len(shared):,} {noun} in more than one split ({concerned:,} clips): scores on them show memory"
