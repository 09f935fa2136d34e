"""Sentences -> words with lemma and universal part of speech (section 3.2: pseudo-glosses come from POS tagging).

Three backends share one protocol; `tagger` returns the best one that is installed for a language:
`spacy`      the paper's `de_dep_news_trf`, else `de_core_news_lg`, if the user has installed one;
`hanta`      German, English and Dutch, offline, with models inside its package;
`frequency`  any language: not a tagger; it guesses function words by frequency, and its name says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Protocol

from glossfree.errors import CorpusError
from glossfree.files.encoding import base_language, nfc

KEPT_POS = ("NOUN", "NUM", "ADV", "PRON", "PROPN", "ADJ", "VERB")  # the paper's list
CONTENT, FUNCTION = "CONTENT", "FUNCTION"  # the tags of the frequency backend
SPACY_MODELS = {"de": ("de_dep_news_trf", "de_core_news_lg")}
HANTA_MODELS = {"de": "morphmodel_ger.pgz", "en": "morphmodel_en.pgz", "nl": "morphmodel_dutch.pgz"}

# Prefix of HanTa's tag -> universal POS; the longest matching prefix counts.
STTS = {
    "NN": "NOUN", "NE": "PROPN", "CARD": "NUM", "ADJ": "ADJ", "ADV": "ADV", "PROAV": "ADV", "PWAV": "ADV",
    "PPER": "PRON", "PRF": "PRON", "PDS": "PRON", "PIS": "PRON", "PPOSS": "PRON", "PRELS": "PRON", "PWS": "PRON",
    "ART": "DET", "PDAT": "DET", "PIAT": "DET", "PPOSAT": "DET", "PRELAT": "DET", "PWAT": "DET",
    "VV": "VERB", "VA": "AUX", "VM": "AUX", "AP": "ADP", "PTKVZ": "ADP", "PTK": "PART", "KON": "CCONJ", "KO": "SCONJ",
    "ITJ": "INTJ", "$": "PUNCT",
}  # fmt: skip
C5 = {
    "NN": "NOUN", "NP": "PROPN", "CRD": "NUM", "ORD": "ADJ", "AJ": "ADJ", "AV": "ADV", "PN": "PRON", "EX": "PRON",
    "AT": "DET", "DT": "DET", "DPS": "DET", "VV": "VERB", "VB": "AUX", "VD": "AUX", "VH": "AUX", "VM": "AUX",
    "IN": "ADP", "PR": "ADP", "CJC": "CCONJ", "CJ": "SCONJ", "TO": "PART", "XX": "PART", "POS": "PART", "ITJ": "INTJ",
    "PU": "PUNCT",
}  # fmt: skip
CGN = {
    "N(soort": "NOUN", "N(eigen": "PROPN", "TW": "NUM", "ADJ": "ADJ", "BW": "ADV", "WW": "VERB", "LID": "DET",
    "VNW": "PRON", "VZ": "ADP", "VG(neven": "CCONJ", "VG": "SCONJ", "TSW": "INTJ", "LET": "PUNCT",
}  # fmt: skip
HANTA_TAGS = {"de": STTS, "en": C5, "nl": CGN}
LONGEST_WORD = 100  # letters; HanTa's time grows with their square, and text without blanks is one word

# Corrections of HanTa for German words that are frequent in weather forecasts, from its output on PHOENIX14T's training
# split. General German only; no word with a second reading.
GERMAN_WORDS = {
    "bisschen": ("bisschen", "ADV"),
    "böen": ("böe", "NOUN"),
    "frostfrei": ("frostfrei", "ADJ"),
    "föhn": ("föhn", "NOUN"),
    "hochlagen": ("hochlage", "NOUN"),
    "klart": ("klaren", "VERB"),
    "aufklart": ("aufklaren", "VERB"),
    "aufklaren": ("aufklaren", "VERB"),
    "schauert": ("schauern", "VERB"),
    "starkregen": ("starkregen", "NOUN"),
}
GERMAN_ENDINGS = (  # ending of the word, HanTa's ending of the lemma, the right one
    (("schauer", "schauern", "schauers"), "schau", "schauer"),
    (("böe", "böen"), "bö", "böe"),
    (("böen",), "böen", "böe"),
    (("bayern",), "bayer", "bayern"),
    (("hessen",), "hesse", "hessen"),
    (("sachsen",), "sachse", "sachsen"),
    (("thüringen",), "thüringe", "thüringen"),
    (("nass", "nasse", "nasser", "nasses", "nassen", "nassem"), "naß", "nass"),
    (("fluss", "flusses"), "flus", "fluss"),
    (("böig", "böiger", "böige", "böigen", "böiges", "böigem"), "böiger", "böig"),
)
GERMAN_NUMBER = re.compile(
    "(ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun)"
    "(und(zwan|drei|vier|fünf|sech|sieb|acht|neun)(z|ß)ig|hundert|tausend)"
)

# scripts without spaces: every character is a word
UNSPACED = r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
WORD = re.compile(rf"{UNSPACED}|(?:(?!{UNSPACED})[^\W_])+(?:[-'’](?:(?!{UNSPACED})[^\W_])+|[.,]\d+)*|\S")


@dataclass(frozen=True)
class Token:
    """A word of a sentence, its lemma in lower case, its universal part of speech."""

    word: str
    lemma: str
    pos: str


class Tagger(Protocol):
    """`name`: backend and model, for outputs. `tag`: a sentence -> its tokens, in order."""

    name: str

    def tag(self, sentence: str) -> list[Token]: ...


def split_words(sentence: str) -> list[str]:
    """Sentence -> words and punctuation marks, in NFC; scripts without spaces give single characters."""
    return WORD.findall(nfc(sentence))


class HantaTagger:
    """HanTa (Hanover Tagger): an HMM over morphemes.

    It takes case as evidence, but sign language corpora are in lower case. With `casesensitive=False` each word gets
    the likeliest reading in either case; on PHOENIX14T's training split that corrects "abend", "glätte", "flocken" and
    "donner", otherwise tagged as adverb, adjective or verbs. Case counts in a sentence with a capital after its first
    word.
    """

    def __init__(self, language: str) -> None:
        from HanTa.HanoverTagger import HanoverTagger

        # HanTa unpickles its model, so it must be a file of the installed package.
        self._hanta = HanoverTagger(HANTA_MODELS[language])
        for name in ("analyze_forward", "analyze_viterbi"):  # pure and slow; words repeat
            setattr(self._hanta, name, cache(getattr(self._hanta, name)))
        self._language = language
        self._tags = HANTA_TAGS[language]
        self.name = f"hanta ({HANTA_MODELS[language].removesuffix('.pgz')})"

    def tag(self, sentence: str) -> list[Token]:
        words = split_words(sentence)
        is_cased = any(word[:1].isupper() for word in words[1:])
        readings = self._hanta.tag_sent([word[:LONGEST_WORD] for word in words], casesensitive=is_cased)
        return [
            self._token(word, lemma, tag) if len(word) <= LONGEST_WORD else Token(word, word.lower(), "X")
            for word, (_, lemma, tag) in zip(words, readings, strict=True)
        ]

    def _token(self, word: str, lemma: str, tag: str) -> Token:
        prefixes = (self._tags[tag[:length]] for length in range(len(tag), 0, -1) if tag[:length] in self._tags)
        pos = next(prefixes, "X")
        lowered, lemma = word.lower(), lemma.lower()
        if self._language == "de":
            lemma, pos = _correct_german(lowered, lemma, pos)
        if not any(character.isalnum() for character in lowered):
            pos = "PUNCT"
        elif lowered.isdigit():
            lemma, pos = lowered, "NUM"
        return Token(word, lemma or lowered, pos)


def _correct_german(word: str, lemma: str, pos: str) -> tuple[str, str]:
    """HanTa's reading of a German word in lower case -> the correct lemma and POS."""
    if word in GERMAN_WORDS:
        return GERMAN_WORDS[word]
    if GERMAN_NUMBER.fullmatch(word):
        return word, "NUM"
    for endings, wrong, right in GERMAN_ENDINGS:
        if word.endswith(endings) and lemma.endswith(wrong):
            return lemma.removesuffix(wrong) + right, pos
    return lemma, pos


class SpacyTagger:
    """A spaCy pipeline, installed by the user."""

    def __init__(self, model: str) -> None:
        import spacy

        self._pipeline = spacy.load(model, disable=["parser", "ner"])
        self.name = f"spacy ({model})"

    def tag(self, sentence: str) -> list[Token]:
        return [Token(item.text, item.lemma_.lower(), item.pos_) for item in self._pipeline(nfc(sentence))]


class FrequencyTagger:
    """Not a tagger: every word is its own lemma, and the most frequent ones are taken for function words.

    These are the most frequent word types that together make up `share` of all running words of `sentences`.
    """

    def __init__(self, sentences: Iterable[str], share: float = 0.3) -> None:
        counts = Counter(word.lower() for sentence in sentences for word in split_words(sentence) if word[0].isalnum())
        if not counts:
            raise CorpusError("no sentence to count words in", remedy="name some with text in them")
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        running = accumulate(count for _, count in ordered)
        limit = share * counts.total()
        self._function_words = {word for (word, _), total in zip(ordered, running, strict=True) if total <= limit}
        self.name = f"frequency (no tagger; {len(self._function_words)} commonest words dropped)"

    def tag(self, sentence: str) -> list[Token]:
        return [Token(word, word.lower(), self._pos(word.lower())) for word in split_words(sentence)]

    def _pos(self, word: str) -> str:
        if not any(character.isalnum() for character in word):
            return "PUNCT"
        if word.isdigit():
            return "NUM"
        return FUNCTION if word in self._function_words else CONTENT


def tagger(
    language: str,
    sentences: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Tagger:
    """Language ("de", "de_DE", ...) -> the best tagger that is installed.

    `sentences`: the training sentences, which only the frequency backend reads. `say` gets a line for each tagger that
    is installed but cannot be used. Raises CorpusError where the frequency backend gets no word.
    """
    language = base_language(language)
    spacy_tagger = _spacy_tagger(language, say) if language in SPACY_MODELS else None
    if spacy_tagger:
        return spacy_tagger
    return HantaTagger(language) if language in HANTA_MODELS else FrequencyTagger(sentences)


def _spacy_tagger(language: str, say: Callable[[str], None]) -> SpacyTagger | None:
    """The first spaCy model of a language that is installed and loads."""
    try:
        import spacy

        installed: Any = spacy.util.get_installed_models()
    except Exception as error:  # noqa: BLE001 - importing a broken package may raise anything
        if not (isinstance(error, ModuleNotFoundError) and error.name == "spacy"):
            say(_problem("spaCy cannot be imported", error))
        return None
    for model in SPACY_MODELS[language]:
        if model in installed:
            try:
                return SpacyTagger(model)
            except Exception as error:  # noqa: BLE001 - as above: a pipeline imports what its parts need
                say(_problem(f"spaCy's {model} cannot be loaded", error))
    return None


def _problem(what: str, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{what} ({type(error).__name__}: {first_line[:120]}); using another tagger"
