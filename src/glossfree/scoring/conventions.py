"""The conventions under which sentences are scored: the default of each language, and those that papers used.

What is done to both sides before they are compared is a `Convention`: a named setting that is kept with every score,
because a full stop appended to both sides alone moves BLEU-1 and ROUGE-L by four points. The defaults change no text.
`PUBLISHED` are the conventions of public code, each with its source; docs/metrics.md says what sets them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from glossfree.files.encoding import base_language

ROUGE_BETA = 1.2
SMOOTHINGS = ("exp", "floor", "none")
ROUGES = ("mscoco", "seq2seq", "google", "google-stemmed", "word-sets")
AVERAGES = ("corpus", "batches", "shards")


@dataclass(frozen=True)
class Convention:
    """How both sides are prepared and cut into words, and how BLEU treats what is missing.

    `average` is "corpus" (what BLEU is defined over), or what some code reports as BLEU in its place: the mean over
    "batches" of `size` sentences in their order, each weighing as much as it has sentences; or over `size` "shards",
    the processes that decoded: sentence i lies in shard i % size, and the first sentences are repeated until all
    shards are equally long. The other scores are the corpus's in every convention.
    """

    name: str
    tokenize: str = "13a"  # sacrebleu's name for the cutting rule of BLEU
    characters: bool = False  # words are characters, and spaces are none: in ROUGE-L, and in BLEU before `tokenize`
    lowercase: bool = False
    append: str = ""  # put behind every hypothesis and every reference
    smooth_method: str = "exp"
    smooth_value: float | None = None
    effective_order: bool = False
    rouge: str = "mscoco"
    rouge_beta: float = ROUGE_BETA  # of mscoco; 1.0 is plain F1
    average: str = "corpus"
    size: int = 0
    source: str = ""  # whose code it is, in words

    def __post_init__(self) -> None:
        choices = ((self.smooth_method, SMOOTHINGS), (self.rouge, ROUGES), (self.average, AVERAGES))
        for value, known in choices:
            if value not in known:
                raise ValueError(f"convention {self.name}: {value!r} is none of {', '.join(known)}")
        if (self.average == "corpus") != (self.size == 0) or self.size < 0:
            raise ValueError(f"convention {self.name}: no average over {self.average} of size {self.size}")

    def prepare(self, text: str) -> str:
        """One sentence -> the sentence that is compared."""
        return (text.lower() if self.lowercase else text) + self.append

    def spaced(self, prepared: str) -> str:
        """A prepared sentence -> what BLEU cuts into words, with spaces between characters where they are words."""
        return " ".join("".join(prepared.split())) if self.spaces_characters else prepared

    def words(self, prepared: str) -> list[str]:
        """A prepared sentence -> what ROUGE-L counts; never an empty list. seq2seq code splits at any white space."""
        if self.characters:
            return list("".join(prepared.split())) or [""]
        return prepared.split(" ") if self.rouge == "mscoco" else prepared.split() or [""]

    @property
    def spaces_characters(self) -> bool:
        """Whether characters must be spaced for BLEU; sacrebleu's "zh" and "char" separate them themselves."""
        return self.characters and self.tokenize not in ("zh", "char")

    @property
    def appended(self) -> str:
        """What was appended to the text, for the end of a library's signature."""
        return f'|append:"{self.append}"' if self.append else ""

    @property
    def averaged(self) -> str:
        """What BLEU was averaged over, for the end of a library's signature."""
        return "" if self.average == "corpus" else f"|average:{self.average}:{self.size}"


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("plain"),
        Convention("plain-chinese", tokenize="zh", characters=True),
        Convention("plain-characters", tokenize="char", characters=True),
    )
}
# 13a finds one word in a sentence without spaces, and scores identical strings 0.
CONVENTION_OF_LANGUAGE = {"zh": "plain-chinese", "ja": "plain-characters", "th": "plain-characters"}
# raw_corpus_bleu of the changed copies of sacrebleu 1.4.2 that this code carries: their cumulative `scores` overwrite
# the effective order that the library would use.
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
    """The default convention of a spoken language (ISO 639-1), which decides what a word is.

    It changes no text but for `append`, which is put behind both sides.
    """
    return replace(CONVENTIONS[CONVENTION_OF_LANGUAGE.get(base_language(language), "plain")], append=append)


def published_for(language: str) -> list[Convention]:
    """The published conventions as their code treats a language (ISO 639-1)."""
    changes = IN_CHINESE if base_language(language) == "zh" else {}
    return [replace(convention, **changes.get(name, {})) for name, convention in PUBLISHED.items()]
