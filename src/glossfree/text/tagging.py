"""Sentences -> words with lemma and universal part of speech (section 3.2: pseudo-glosses come from POS tagging).

The backends share one protocol; `tagger` returns the first one that is installed for a language:
`spacy`      a model that the user has installed, for German the paper's `de_dep_news_trf`;
`hanta`      German, English and Dutch, offline, with models inside its package;
an analyser  Chinese, Japanese, Korean and Thai, each by a package that finds their words (`text.analysers`);
`simplemma`  lemmas of some forty languages, but no tags: function words are guessed by frequency, and its name says so;
`frequency`  any language: the same with words in place of lemmas.
`glossfree.languages` says which of them know a language.
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
from glossfree.files.encoding import nfc
from glossfree.languages import HALF_WIDTH, PROFILES, profile_of
from glossfree.text.analysers import ANALYSERS, universal

KEPT_POS = ("NOUN", "NUM", "ADV", "PRON", "PROPN", "ADJ", "VERB")  # the paper's list
CONTENT, FUNCTION = "CONTENT", "FUNCTION"  # the tags of the frequency backend

# Beginning of HanTa's tag -> universal POS; the longest that matches counts.
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

# scripts without spaces (Thai, Burmese, Khmer, kana, Chinese): every character is a word
UNSPACED = r"[\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
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


def is_mark(word: str) -> bool:
    """Whether no character of a word is a letter or a digit."""
    return not any(character.isalnum() for character in word)


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
        model = PROFILES[language].hanta
        self._hanta = HanoverTagger(model)
        for name in ("analyze_forward", "analyze_viterbi"):  # pure and slow; words repeat
            setattr(self._hanta, name, cache(getattr(self._hanta, name)))
        self._language = language
        self._tags = HANTA_TAGS[language]
        self.name = f"hanta ({model.removesuffix('.pgz')})"

    def tag(self, sentence: str) -> list[Token]:
        words = split_words(sentence)
        is_cased = any(word[:1].isupper() for word in words[1:])
        readings = self._hanta.tag_sent([word[:LONGEST_WORD] for word in words], casesensitive=is_cased)
        return [
            self._token(word, lemma, tag) if len(word) <= LONGEST_WORD else Token(word, word.lower(), "X")
            for word, (_, lemma, tag) in zip(words, readings, strict=True)
        ]

    def _token(self, word: str, lemma: str, tag: str) -> Token:
        pos = universal(tag, self._tags)
        lowered, lemma = word.lower(), lemma.lower()
        if self._language == "de":
            lemma, pos = _correct_german(lowered, lemma, pos)
        if is_mark(lowered):
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
        items = self._pipeline(nfc(sentence))
        return [Token(item.text, (item.lemma_ or item.text).lower(), item.pos_) for item in items]


class AnalyserTagger:
    """A package that finds words as well as their lemmas and tags. Full-width forms of ASCII become half-width."""

    def __init__(self, package: str) -> None:
        self._analyse = ANALYSERS[package]()
        self.name = package

    def tag(self, sentence: str) -> list[Token]:
        words = self._analyse(nfc(sentence).translate(HALF_WIDTH))
        return [
            Token(word, lemma.lower(), "PUNCT" if is_mark(word) else pos)
            for word, lemma, pos in words
            if not word.isspace()
        ]


class FrequencyTagger:
    """Not a tagger: the most frequent lemmas are taken for function words.

    These are the most frequent ones that together make up `share` of all running words of `sentences`. Without
    `lemmatise`, every word in lower case is its own lemma.
    """

    def __init__(
        self,
        sentences: Iterable[str],
        share: float = 0.3,
        lemmatise: Callable[[str], str] = str.lower,
        name: str = "frequency",
    ) -> None:
        self._lemma = cache(lemmatise)
        words = (word for sentence in sentences for word in split_words(sentence))
        counts = Counter(self._lemma(word) for word in words if word[0].isalnum())
        if not counts:
            raise CorpusError("no sentence to count words in", remedy="name some with text in them")
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        running = accumulate(count for _, count in ordered)
        limit = share * counts.total()
        self._function_words = {word for (word, _), total in zip(ordered, running, strict=True) if total <= limit}
        self.name = f"{name} (no tagger; {len(self._function_words)} commonest words dropped)"

    def tag(self, sentence: str) -> list[Token]:
        lemmas = ((word, self._lemma(word)) for word in split_words(sentence))
        return [Token(word, lemma, self._pos(lemma)) for word, lemma in lemmas]

    def _pos(self, lemma: str) -> str:
        if is_mark(lemma):
            return "PUNCT"
        if lemma.isdigit():
            return "NUM"
        return FUNCTION if lemma in self._function_words else CONTENT


def tagger(
    language: str,
    sentences: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Tagger:
    """Language ("de", "de_DE", ...) -> the best tagger that is installed.

    `sentences`: the training sentences, which only backends that are no taggers read. `say` gets a line for each
    tagger that is installed but cannot be used. Raises CorpusError: unknown language, or no word to count.
    """
    profile = profile_of(language)
    if profile.spacy and (spacy_tagger := _spacy_tagger(profile.spacy, say)):
        return spacy_tagger
    if profile.hanta:
        return HantaTagger(profile.code)
    if profile.analyser and (analyser := _analyser_tagger(profile.analyser, say)):
        return analyser
    if profile.simplemma and (lemmatise := _lemmatiser(profile.simplemma)):
        return FrequencyTagger(sentences, lemmatise=lemmatise, name="simplemma")
    return FrequencyTagger(sentences)


def _analyser_tagger(package: str, say: Callable[[str], None]) -> AnalyserTagger | None:
    """The tagger of a package, if it is installed and loads."""
    try:
        return AnalyserTagger(package)
    except ImportError as error:
        if error.name != package:
            say(_problem(f"{package} cannot be used", error))
        return None


def _lemmatiser(code: str) -> Callable[[str], str] | None:
    """simplemma's lemmas of words in lower case; None if it is not installed."""
    try:
        from simplemma import lemmatize
    except ModuleNotFoundError:
        return None
    return lambda word: str(lemmatize(word.lower(), code)).lower()


def _spacy_tagger(models: Sequence[str], say: Callable[[str], None]) -> SpacyTagger | None:
    """The first of some spaCy models that is installed and loads."""
    try:
        import spacy

        installed: Any = spacy.util.get_installed_models()
    except Exception as error:  # noqa: BLE001 - importing a broken package may raise anything
        if not (isinstance(error, ModuleNotFoundError) and error.name == "spacy"):
            say(_problem("spaCy cannot be imported", error))
        return None
    for model in models:
        if model in installed:
            try:
                return SpacyTagger(model)
            except Exception as error:  # noqa: BLE001 - as above: a pipeline imports what its parts need
                say(_problem(f"spaCy's {model} cannot be loaded", error))
    return None


def _problem(what: str, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{what} ({type(error).__name__}: {first_line[:120]}); using another tagger"
