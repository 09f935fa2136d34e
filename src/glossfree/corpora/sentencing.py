"""Captions -> sentences: broadcast subtitles break sentences in the middle, and hold several at once.

In this order, each step a rule that can be switched off:

1. `clean`: sound descriptions ([APPLAUSE], *Musik*, (LAUGHS) unless it stands within a sentence, APPLAUSE where the
   other captions are not in capitals), music signs and marks of speakers (`>>`, `- `, `JOHN:`) go; captions that are
   empty then are dropped.
2. `split`: a caption with several sentences is cut at their ends; its time is shared by length of text.
3. `join`: what lacks the end of its sentence is joined with what follows, unless a pause lies between, another speaker
   or a song begins or ends, or it would last too long. Captions without punctuation (fewer than one in ten ends a
   sentence) stay as they are.
4. Two sentences of one caption stay together if one of them would be shorter than `shortest`.
5. `shift`, `before` and `after` move and pad the times: signing follows the speech by a few seconds where it is
   interpreted.

The end of a sentence is a full stop, question or exclamation mark or ellipsis before a blank (in Chinese and Japanese
also without one), but not in front of a small letter, nor after an abbreviation, an initial or an ordinal ("3. Mai").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from glossfree.corpora.captions import Caption
from glossfree.corpora.segments import decimal
from glossfree.errors import CorpusError, did_you_mean, shortened

UNPUNCTUATED = 0.1  # captions that end a sentence, below which nothing is joined
LONGEST_NAME = 30  # characters of a speaker's name in capitals, before a colon

_ABBREVIATIONS = re.compile(
    "dr|mr|mrs|ms|prof|st|nr|no|ca|bzw|evtl|ggf|inkl|zzgl|mio|mrd|tsd|vs|jr|sr|hr|fr|mme|mlle|gov|sen|rep|gen|col|lt|sgt"
    "|capt|art|abs|bd|vol"
    r"|\d{1,2}"  # ordinals
    r"|(?:.*\.)?[^\W\d_]",  # initials, z.B
    re.IGNORECASE,
)
_END = re.compile(r"""(?:(?<![.!?…؟।])[.!?…؟।]++["'»”’“)\]]*+(?=\s|$)|[。！？｡]+["'”’」』）]*)""")
_BRACKETS = re.compile(r"\[[^\[\]]*\]|【[^【】]*】")
_SOUND = re.compile(r"[^\W\d_]{5,}")  # in a caption in capitals: APPLAUSE, HE SIGHS, but not NATO
_ASIDES = re.compile(r"(?:^|(?<=[.!?…:>–—-]))(?:\s*(?:\([^()]*\)|（[^（）]*）|\*[^*]*\*))+")
_TURN = re.compile(r"(?:>{2,}|[♪♫♬♩]+|(?<!\S)#+(?!\S))")  # another speaker or a song, anywhere in a caption
_DASH = re.compile(r"[-–—‐](?!\d)\s*")  # another speaker, if a sentence begins behind it
_TRAILING, _LEADING = re.compile(r"\s*(?:(?<!\.)\.{2,}|…)$"), re.compile(r"^(?:\.{2,}|…)\s*")
_UNSPACED = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uff60]")  # Chinese and Japanese


@dataclass(frozen=True)
class Rules:
    """How captions become sentences; times in seconds. See the module's docstring."""

    clean: bool = True
    split: bool = True
    join: bool = True
    pause: float = 1.0  # longest pause within a sentence
    longest: float = 20.0  # longest sentence that is joined
    shortest: float = 1.0
    shift: float = 0.0
    before: float = 0.0
    after: float = 0.0


RULES = Rules()
AS_THEY_ARE = Rules(clean=False, split=False, join=False)  # each caption is a sentence already


def changed_rules(rules: Rules, values: Mapping[str, str]) -> Rules:
    """Rules with other values, each a text ("0.5", "no"). Raises CorpusError: unknown rule, value out of range."""
    types = {field.name: type(field.default) for field in fields(Rules)}
    changes: dict[str, bool | float] = {}
    for name, text in values.items():
        if name not in types:
            problem = f"no rule {shortened(name, 40)!r} for captions{did_you_mean(name, types, cutoff=0.6)}"
            raise CorpusError(problem, where="--set", remedy=f"one of {', '.join(types)}")
        yes_or_no = {"yes": True, "true": True, "no": False, "false": False}.get(text.strip().lower())
        value = yes_or_no if types[name] is bool else decimal(text)
        if value is None or (name != "shift" and value < 0):
            kind = "yes or no" if types[name] is bool else "a number of seconds"
            raise CorpusError(
                f"{name}={shortened(text, 40)} is not {kind}", where="--set", remedy=f"as {_example(name)}"
            )
        changes[name] = value
    return replace(rules, **changes)  # type: ignore[arg-type]


def _example(name: str) -> str:
    return f"{name}={'no' if isinstance(getattr(RULES, name), bool) else getattr(RULES, name)}"


def sentences(captions: Sequence[Caption], rules: Rules = RULES) -> list[Caption]:
    """Captions of one video, sorted by start -> its sentences, in order; those of two tiers are never joined."""
    if rules.clean and sum(any(map(str.islower, caption.text)) for caption in captions) > len(captions) / 2:
        captions = [caption for caption in captions if not _is_sound(caption.text)]
    pieces = [piece for number, caption in enumerate(captions) for piece in _cut(number, caption, rules)]
    if rules.join and _are_punctuated(pieces):
        pieces = _merged(pieces, lambda first, second: _belongs(first, second, rules))
    pieces = _merged(pieces, lambda first, second: _is_short(first, second, rules))
    timed = []
    for number, piece in enumerate(pieces, start=1):
        after = rules.after if number < len(pieces) else 0  # nobody knows how long the video goes on after the last
        start, end = max(0.0, piece.start + rules.shift - rules.before), piece.end + rules.shift + after
        if start < end:
            timed.append(Caption(start, end, piece.text, piece.tier))
    return timed


@dataclass(frozen=True)
class _Piece(Caption):
    """A part of a caption or of several, numbers `first` to `last`; a speaker or song `opens` or `closes` with it."""

    first: int = 0
    last: int = 0
    opens: bool = False
    closes: bool = False


def _is_sound(text: str) -> bool:
    return text.isupper() and _SOUND.search(text) is not None and not _is_whole(text)


def _cut(number: int, caption: Caption, rules: Rules) -> Iterator[_Piece]:
    """A caption -> its sentences and parts of sentences, with their shares of its time."""
    parts: list[tuple[str, bool]] = []
    turns = _TURN.split(caption.text) if rules.clean else [caption.text]
    for turn, text in enumerate(turns):
        cleaned = " ".join(_ASIDES.sub(" ", _BRACKETS.sub(" ", text)).split()) if rules.clean else text
        for part in _split(cleaned) if rules.split else [cleaned]:
            spoken, opens = _without_speaker(part) if rules.clean else (part, False)
            if any(map(str.isalnum, spoken)):
                parts.append((spoken, opens or turn > 0))
    share = (caption.end - caption.start) / max(1, sum(len(text) for text, _ in parts))
    start = caption.start
    for place, (text, opens) in enumerate(parts, start=1):
        is_last = place == len(parts)
        end = caption.end if is_last else start + share * len(text)
        closes = is_last and len(turns) > 1 and not turns[-1].strip()
        yield _Piece(start, end, text, caption.tier, number, number, opens, closes)
        start = end


def _without_speaker(text: str) -> tuple[str, bool]:
    """`- JOHN: Hello.` -> "Hello." and True; without a mark of a speaker, the text and False."""
    dash = _DASH.match(text)
    spoken = text[dash.end() :] if dash and not text[dash.end() :][:1].islower() else text
    name, colon, rest = spoken.partition(":")
    if colon and len(name) <= LONGEST_NAME and name.isupper() and rest[:1] in ("", " "):
        spoken = rest.strip()
    return spoken, spoken != text


def _split(text: str) -> list[str]:
    """Text -> its sentences, and a part of one at the end."""
    ends = [match.end() for match in _END.finditer(text) if not _goes_on(text, match)]
    return [text[start:end].strip() for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def _goes_on(text: str, match: re.Match[str]) -> bool:
    """Whether a sentence goes on after what looks like its end."""
    if text[match.end() : match.end() + 9].lstrip(" \"'„“«(")[:1].islower():
        return True
    words = text[max(0, match.start() - 50) : match.start()].split()
    return match.group() == "." and bool(words) and bool(_ABBREVIATIONS.fullmatch(words[-1].lstrip("\"'„“«(")))


def _is_whole(text: str) -> bool:
    """Whether a text ends with the end of a sentence."""
    tail = text[-60:]
    return any(match.end() == len(tail) and not _goes_on(tail, match) for match in _END.finditer(tail))


def _are_punctuated(pieces: Sequence[_Piece]) -> bool:
    ends = sum(_is_whole(piece.text) for piece in pieces)
    return ends > 0 and ends >= UNPUNCTUATED * len(pieces)


def _resumes(text: str) -> bool:
    """Whether a text begins in the middle of a sentence: with a small letter or an ellipsis."""
    return text[:1].islower() or _LEADING.match(text) is not None


def _belongs(first: _Piece, second: _Piece, rules: Rules) -> bool:
    """Whether a sentence goes on in the next piece."""
    trails = _TRAILING.search(first.text) is not None and _resumes(second.text)
    return (
        (trails or not _is_whole(first.text))
        and not first.closes
        and not second.opens
        and second.tier == first.tier
        and second.start - first.end <= rules.pause
        and second.end - first.start <= rules.longest
    )


def _is_short(first: _Piece, second: _Piece, rules: Rules) -> bool:
    """Whether two sentences share a caption, and one of them lasts too little to stand alone."""
    shorter = min(first.end - first.start, second.end - second.start)
    return first.last == second.first and shorter < rules.shortest


def _merged(pieces: Sequence[_Piece], belong: Callable[[_Piece, _Piece], bool]) -> list[_Piece]:
    """Pieces with each that belongs to the one before added to it."""
    merged: list[_Piece] = []
    for piece in pieces:
        if merged and belong(merged[-1], piece):
            start = merged.pop()
            text, end = _glued(start.text, piece.text), max(start.end, piece.end)
            piece = replace(start, end=end, text=text, last=piece.last, closes=piece.closes)
        merged.append(piece)
    return merged


def _glued(first: str, second: str) -> str:
    """Two parts -> one text. Ellipses that only say that a sentence goes on ("I think... / ...so") are dropped."""
    if _resumes(second):
        first, second = _TRAILING.sub("", first), _LEADING.sub("", second)
    blank = "" if _UNSPACED.match(first[-1:]) and _UNSPACED.match(second[:1]) else " "
    return f"{first}{blank}{second}"
