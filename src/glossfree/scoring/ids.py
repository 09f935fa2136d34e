"""Every reference has exactly one hypothesis, under its own id: what is missing, too many or there twice, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import CorpusError, name_some
from glossfree.files.encoding import nfc


def check_ids(predictions: Mapping[str, object] | Iterable[str], clips: Iterable[PackedClip]) -> None:
    """Hold that every clip has exactly one prediction. Raises CorpusError naming missing, extra and duplicate ids."""
    problems = id_problems(list(predictions), [clip.id for clip in clips])
    if problems:
        raise CorpusError(
            "; ".join(problems),
            where="predictions",
            remedy="predict every clip of the split once, under its id in the manifest",
        )


def id_problems(found: Sequence[str], expected: Sequence[str], *, by_line: bool = False) -> list[str]:
    """Ids of hypotheses and of references -> what is wrong, culprits by name; `by_line`: only ids that come twice.

    Ids are compared in composed Unicode form (NFC).
    """
    found, expected = [nfc(id) for id in found], [nfc(id) for id in expected]
    known, seen = set(expected), set(found)
    missing = [] if by_line else [id for id in dict.fromkeys(expected) if id not in seen]
    extra = [] if by_line else [id for id in dict.fromkeys(found) if id not in known]
    problems = (
        _named("without a hypothesis", missing),
        _named("without a reference", extra),
        _named("twice in the hypotheses", _twice(found)),
        _named("twice in the references", _twice(expected)),
    )
    return [problem for problem in problems if problem]


def _twice(ids: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for id in ids:
        if id in seen:
            twice[id] = None
        seen.add(id)
    return list(twice)


def _named(what: str, ids: Sequence[str]) -> str:
    return f"{len(ids):,} {what}: {name_some(ids)}" if ids else ""
