"""Hypotheses and references -> scores: BLEU-1..4 and chrF2 (sacrebleu), ROUGE-L, exact match, length ratio.

All scores lie on 0-100, the length ratio is a quotient. What is done to both sides before they are compared is a
`Convention`: a named setting that is kept with the score, because a full stop appended to both sides alone moves
BLEU-1 and ROUGE-L by four points. The default changes nothing.

ROUGE-L, per sentence, on words split at single spaces: P = LCS / length of hypothesis, R = LCS / length of reference,
F = (1 + b^2) P R / (R + b^2 P) with b = 1.2, and 0 where P or R is 0; averaged over sentences. An empty sentence
counts as one empty word, as in the captioning code that this field inherited the measure from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from glossfree.corpora.manifest import PackedClip
from glossfree.errors import CorpusError

MAX_ORDER = 4
ROUGE_BETA = 1.2
NAMED_IDS = 5  # so many culprits are named in an error


@dataclass(frozen=True)
class Convention:
    """How both sides are prepared and cut into words, and how BLEU treats what is missing."""

    name: str
    tokenize: str = "13a"  # sacrebleu's name for the cutting rule of BLEU
    characters: bool = False  # ROUGE-L over characters without spaces (languages written without spaces)
    lowercase: bool = False
    append: str = ""  # put behind every hypothesis and every reference
    smooth_method: str = "exp"
    smooth_value: float | None = None
    effective_order: bool = False
    rouge_beta: float = ROUGE_BETA

    def prepare(self, text: str) -> str:
        """One sentence -> the sentence that is compared."""
        return (text.lower() if self.lowercase else text) + self.append

    @property
    def note(self) -> str:
        """What the library's own signature cannot know, to be put behind it."""
        return f"|append:{self.append.strip()}" if self.append else ""

    def words(self, text: str) -> list[str]:
        """A prepared sentence -> what ROUGE-L counts; never an empty list."""
        return list("".join(text.split())) or [""] if self.characters else text.split(" ")


CONVENTIONS = {
    "plain": Convention("plain"),
    "plain-chinese": Convention("plain-chinese", tokenize="zh", characters=True),
    "plain-characters": Convention("plain-characters", tokenize="char", characters=True),
}
# 13a finds one word in a sentence without spaces, and scores identical strings 0.
CONVENTION_OF_LANGUAGE = {"zh": "plain-chinese", "ja": "plain-characters", "th": "plain-characters"}


@dataclass(frozen=True)
class Scores:
    """The scores of one set of hypotheses: 0-100, except `length_ratio` (hypothesis words / reference words)."""

    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    rouge_l: float
    chrf: float
    exact: float
    length_ratio: float
    num_sentences: int
    signatures: dict[str, str] = field(default_factory=dict)
    convention: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scores:
        """Inverse of `to_dict`. Raises TypeError where a field is missing or unknown."""
        return cls(**values)


def convention_for(language: str, *, append: str = "") -> Convention:
    """The default convention of a spoken language (ISO 639-1): no text is changed, unless there is something to append
    to both sides; the language decides what a word is."""
    return replace(CONVENTIONS[CONVENTION_OF_LANGUAGE.get(language.partition("_")[0], "plain")], append=append)


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    language: str = "de",
    convention: Convention | None = None,
) -> Scores:
    """Hypotheses and their references, in the same order -> Scores under one convention.

    BLEU-n is the corpus BLEU of n-grams up to n, each with its own signature. Raises ValueError when there is no
    sentence or the two lists differ in length.
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    if not references:
        raise ValueError("no sentence to score")
    convention = convention or convention_for(language)
    prepared = [convention.prepare(text) for text in hypotheses]
    expected = [convention.prepare(text) for text in references]
    (bleu1, bleu2, bleu3, bleu4), ratio, signatures = _bleu(prepared, expected, convention)
    chrf = CHRF(lowercase=convention.lowercase)
    chrf_score = float(chrf.corpus_score(prepared, [expected]).score)
    signatures["chrf"] = f"{chrf.get_signature().format()}{convention.note}"
    signatures["rouge_l"] = rouge_signature(convention)
    pairs = list(zip(prepared, expected, strict=True))
    rouge = [rouge_l(convention.words(a), convention.words(b), beta=convention.rouge_beta) for a, b in pairs]
    return Scores(
        bleu1=bleu1,
        bleu2=bleu2,
        bleu3=bleu3,
        bleu4=bleu4,
        rouge_l=100.0 * sum(rouge) / len(pairs),
        chrf=chrf_score,
        exact=100.0 * sum(a == b for a, b in pairs) / len(pairs),
        length_ratio=ratio,
        num_sentences=len(pairs),
        signatures=signatures,
        convention=asdict(convention),
    )


def _bleu(
    hypotheses: list[str], references: list[str], convention: Convention
) -> tuple[list[float], float, dict[str, str]]:
    """Prepared sentences -> (BLEU-1..4, length ratio, signatures).

    N-grams are counted once: BLEU-n is sacrebleu's arithmetic on the counts up to n, as with max_ngram_order=n.
    """
    smoothing: dict[str, Any] = {
        "smooth_method": convention.smooth_method,
        "smooth_value": convention.smooth_value,
        "effective_order": convention.effective_order,
    }
    metric = BLEU(
        tokenize=convention.tokenize,
        lowercase=convention.lowercase,  # `prepare` did it already: this is for the signature
        max_ngram_order=MAX_ORDER,
        force=bool(convention.append),  # no warning about the full stops that we put there
        **smoothing,
    )
    whole = metric.corpus_score(hypotheses, [references])
    signature = f"{metric.get_signature().format()}{convention.note}"
    values, signatures = [], {}
    for order in range(1, MAX_ORDER + 1):
        counts = whole.counts[:order], whole.totals[:order], whole.sys_len, whole.ref_len
        values.append(float(BLEU.compute_bleu(*counts, **smoothing, max_ngram_order=order).score))
        signatures[f"bleu{order}"] = f"order:{order}|{signature}"
    return values, whole.sys_len / whole.ref_len if whole.ref_len else 0.0, signatures


def rouge_signature(convention: Convention) -> str:
    """What defines our ROUGE-L, in one line."""
    unit = "characters" if convention.characters else "single-spaces"
    case = "lc" if convention.lowercase else "mixed"
    return f"nrefs:1|case:{case}|tok:{unit}|beta:{convention.rouge_beta}|average:sentences{convention.note}"


def rouge_l(hypothesis: Sequence[str], reference: Sequence[str], *, beta: float = ROUGE_BETA) -> float:
    """Two sequences of words -> F in [0, 1] over their longest common subsequence; 0 where nothing is common."""
    common = longest_common_subsequence(hypothesis, reference)
    if common == 0:
        return 0.0
    precision, recall = common / len(hypothesis), common / len(reference)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest sequence that both contain in order, with gaps: one row of the table at a time."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, start=1):
            above = row[j]
            row[j] = diagonal + 1 if word == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]


def check_ids(predictions: Mapping[str, object] | Iterable[str], clips: Iterable[PackedClip]) -> None:
    """Hold that every clip has exactly one prediction. Raises CorpusError naming missing, extra and duplicate ids."""
    found, expected = list(predictions), [clip.id for clip in clips]
    known, seen = set(expected), set(found)
    problems = [
        _named("without a prediction", [id for id in expected if id not in seen]),
        _named("predicted but not in the split", [id for id in dict.fromkeys(found) if id not in known]),
        _named("predicted twice", _duplicates(found)),
        _named("twice in the split", _duplicates(expected)),
    ]
    if any(problems):
        raise CorpusError(
            "; ".join(problem for problem in problems if problem),
            where="predictions",
            remedy="predict every clip of the split once, under its id in the manifest",
        )


def _duplicates(ids: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return list(dict.fromkeys(id for id in ids if id in seen or seen.add(id)))  # type: ignore[func-returns-value]


def _named(what: str, ids: Sequence[str]) -> str:
    if not ids:
        return ""
    more = f", and {len(ids) - NAMED_IDS} more" if len(ids) > NAMED_IDS else ""
    return f"{len(ids)} {what}: {', '.join(ids[:NAMED_IDS])}{more}"


COLUMNS = (
    ("bleu1", "BLEU-1"),
    ("bleu2", "BLEU-2"),
    ("bleu3", "BLEU-3"),
    ("bleu4", "BLEU-4"),
    ("rouge_l", "ROUGE-L"),
    ("chrf", "chrF"),
)


def scores_table(rows: Mapping[str, Mapping[str, Scores]]) -> str:
    """{model: {split: Scores}} -> a plain-text table for the terminal, one line per model and split.

    Below it, what was put behind the sentences of a model, if anything was: its scores compare with no others.
    """
    lines = [("model", "split", *(title for _, title in COLUMNS), "sentences")]
    for name, splits in rows.items():
        for split, scores in splits.items():
            values = [f"{getattr(scores, key):.2f}" for key, _ in COLUMNS]
            lines.append((name, split, *values, f"{scores.num_sentences:,}"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        left = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        text.append("  ".join(left + right).rstrip())
    notes = []
    for name, splits in rows.items():
        appended = {str(scores.convention.get("append", "")) for scores in splits.values()} - {""}
        notes += [f'{name}: "{append}" behind every hypothesis and reference' for append in sorted(appended)]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:], *notes])
