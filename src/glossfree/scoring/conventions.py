"""The conventions under which sentences are scored: the default of each language, and those that papers used.

A `Convention` says how both sides are prepared before they are compared. It is stored with every score: a full stop
appended to both sides raises BLEU-1 and ROUGE-L by four points. The defaults change no text, but for the width of
Chinese and Japanese letters and marks. `PUBLISHED` holds the conventions of public code, each with its source;
docs/metrics.md explains the differences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from glossfree.languages import HALF_WIDTH, profile_of

ROUGE_BETA = 1.2
SMOOTHINGS = ("exp", "floor", "none")
ROUGES = ("mscoco", "seq2seq", "google", "google-stemmed", "word-sets")
AVERAGES = ("corpus", "batches", "shards")


@dataclass(frozen=True)
class Convention:
    """How both sides are prepared and tokenised, how BLEU is smoothed, and how ROUGE-L is computed.

    `average` is "corpus", as BLEU is defined, or a mean that some code reports instead: over "batches" of `size`
    consecutive sentences, weighted by their number of sentences; or over `size` "shards", one for each process that
    decoded: shard i % size has sentence i, and the first sentences are repeated until all shards are equally long.
    The other scores always cover the corpus.
    """

    name: str
    tokenize: str = "13a"  # sacrebleu's name for the tokenizer of BLEU
    characters: bool = False  # each character except spaces is a word: in ROUGE-L, and in BLEU before `tokenize`
    half_width: bool = False  # full-width letters, digits, marks and spaces become ASCII
    lowercase: bool = False
    append: str = ""  # appended to every hypothesis and reference
    smooth_method: str = "exp"
    smooth_value: float | None = None
    effective_order: bool = False
    rouge: str = "mscoco"
    rouge_beta: float = ROUGE_BETA  # of mscoco; 1.0 is plain F1
    average: str = "corpus"
    size: int = 0
    source: str = ""  # whose code uses it

    def __post_init__(self) -> None:
        choices = ((self.smooth_method, SMOOTHINGS), (self.rouge, ROUGES), (self.average, AVERAGES))
        for value, known in choices:
            if value not in known:
                raise ValueError(f"convention {self.name}: {value!r} is none of {', '.join(known)}")
        if (self.average == "corpus") != (self.size == 0) or self.size < 0:
            raise ValueError(f"convention {self.name}: no average over {self.average} of size {self.size}")

    def prepare(self, text: str) -> str:
        """One sentence -> the sentence that is compared."""
        text = text.translate(HALF_WIDTH) if self.half_width else text
        return (text.lower() if self.lowercase else text) + self.append

    def spaced(self, prepared: str) -> str:
        """A prepared sentence -> the input of BLEU's tokenizer, with spaces between characters where they are words."""
        return " ".join("".join(prepared.split())) if self.spaces_characters else prepared

    def words(self, prepared: str) -> list[str]:
        """A prepared sentence -> the words of ROUGE-L, never an empty list. seq2seq code splits at any white space."""
        if self.characters:
            return list("".join(prepared.split())) or [""]
        return prepared.split(" ") if self.rouge == "mscoco" else prepared.split() or [""]

    @property
    def spaces_characters(self) -> bool:
        """Whether to put spaces between characters for BLEU; sacrebleu's "zh" and "char" do so themselves."""
        return self.characters and self.tokenize not in ("zh", "char")

    @property
    def changed(self) -> str:
        """What is done to the text besides its case, as a suffix of sacrebleu's signature."""
        return "|width:half" * self.half_width + (f'|append:"{self.append}"' if self.append else "")

    @property
    def averaged(self) -> str:
        """What BLEU is averaged over, as a suffix of sacrebleu's signature."""
        return "" if self.average == "corpus" else f"|average:{self.average}:{self.size}"


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("plain"),
        Convention("plain-chinese", tokenize="zh", characters=True),
        Convention("plain-characters", tokenize="char", characters=True),
    )
}
# 13a takes a sentence without spaces for one word: BLEU-4 of identical strings would be 0.
OF_TOKENIZER = {convention.tokenize: convention for convention in CONVENTIONS.values()}
# raw_corpus_bleu in the modified copies of sacrebleu 1.4.2 that this code ships: their cumulative `scores` override
# the library's effective order.
RAW = Convention("raw", tokenize="none", smooth_method="floor", smooth_value=0.0)

PUBLISHED = {
    convention.name: convention
    for convention in (
        Convention("gfslt-vlp", lowercase=True, average="shards", size=4, source="GFSLT-VLP (ICCV 2023)"),
        replace(RAW, name="sign2gpt", source="Sign2GPT (ICLR 2024)"),
        Convention("hfa-as-released", append=" .", source="HFA's released code; BeyondGloss; sltbaselines with --eval"),
        replace(RAW, name="neccam-slt", lowercase=True, append=" .", source="neccam/slt (CVPR 2020)"),
        Convention(
            "spamo", lowercase=True, rouge="google-stemmed", average="batches", size=16, source="SpaMo (NAACL 2025)"
        ),
        replace(RAW, name="slrt", lowercase=True, append=" .", rouge="seq2seq", source="SLRT TwoStream (NeurIPS 2022)"),
        Convention("uni-sign", rouge="word-sets", source="Uni-Sign (ICLR 2025)"),
    )
}
IN_CHINESE: dict[str, dict[str, Any]] = {
    "sign2gpt": {"characters": True},
    "spamo": {"tokenize": "zh"},
    "slrt": {"characters": True, "append": ""},
    "uni-sign": {"characters": True},
}


def convention_for(language: str, *, append: str = "") -> Convention:
    """The default convention of a spoken language (ISO 639-1), see `glossfree.languages`. Raises CorpusError."""
    profile = profile_of(language)
    return replace(OF_TOKENIZER[profile.bleu], half_width=profile.half_width, append=append)


def published_for(language: str) -> list[Convention]:
    """The published conventions as their code treats a language (ISO 639-1)."""
    changes = IN_CHINESE if profile_of(language).code == "zh" else {}
    return [replace(convention, **changes.get(name, {})) for name, convention in PUBLISHED.items()]
