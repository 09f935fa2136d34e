"""What a translation gets right and wrong, with the project's tagger: for a run, or for any two sides of sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from glossfree.corpora.manifest import Manifest
from glossfree.errors import RunError
from glossfree.report import diagnosis
from glossfree.report.diagnosis import Diagnosis, words
from glossfree.scoring.conventions import Convention
from glossfree.scoring.predictions import predictions_path, read_predictions
from glossfree.scoring.sentences import check_ids
from glossfree.text.pseudo_glosses import KEPT
from glossfree.text.tagging import Token, tagger

CONTENT_POS = KEPT - {"PRON"}  # a pronoun is kept as a pseudo-gloss, but says nothing that needs support
NAME = "PROPN"
NAME_SHARE = 0.75  # in lower-case text the tagger takes a word for a name here and there: most readings decide
TRAINING = "train"


def translations_of(run: Path, manifest: Manifest, split: str) -> tuple[dict[str, str], dict[str, str]]:
    """A run folder -> ({id: hypothesis}, {id: reference}), both in the manifest's order, where references come from.

    Raises RunError where the split was not translated yet, CorpusError where clips and predictions do not match.
    """
    path = predictions_path(run, split)
    if not path.is_file():
        remedy = f"glossfree evaluate {run} --split {split}"
        raise RunError(f"no predictions for {split}", where=run, remedy=remedy)
    predictions, clips = read_predictions(path), manifest.split(split)
    check_ids(predictions, [clip.id for clip in clips])
    return {clip.id: predictions[clip.id].text for clip in clips}, {clip.id: clip.text for clip in clips}


def diagnose_sentences(
    hypotheses: Mapping[str, str],
    references: Mapping[str, str],
    *,
    training: Sequence[str],
    language: str,
    signers: Mapping[str, str] | None = None,
    convention: Convention | None = None,
) -> Diagnosis:
    """{id: hypothesis}, {id: reference} and training sentences -> Diagnosis, content words and names by the tagger.

    Without training sentences every word counts as unseen. Raises ValueError where the ids differ.
    """
    known = [*training, *references.values()]
    tag = tagger(language, known).tag if any(words(text) for text in known) else _no_tokens
    tagged = lru_cache(maxsize=None)(tag)

    def content(sentence: str) -> frozenset[str]:
        return frozenset(token.lemma for token in tagged(sentence) if token.pos in CONTENT_POS)

    lemmas = names_in([*known, *hypotheses.values()], tagged)

    def names(sentence: str) -> frozenset[str]:
        return frozenset(lemmas[token.word.lower()] for token in tagged(sentence) if token.word.lower() in lemmas)

    return diagnosis.diagnose(
        hypotheses,
        references,
        training=training,
        content=content,
        names=names if lemmas else None,
        signers=signers,
        language=language,
        convention=convention,
    )


def diagnose_split(
    hypotheses: Mapping[str, str],
    references: Mapping[str, str],
    manifest: Manifest,
    split: str,
    *,
    training: Sequence[str] | None = None,
    language: str | None = None,
    convention: Convention | None = None,
) -> Diagnosis:
    """The same for a split of a corpus, which knows signers; training sentences and language too, if none are given.

    Raises CorpusError where the corpus has no such split, or no training sentences and none are given.
    """
    return diagnose_sentences(
        hypotheses,
        references,
        training=[clip.text for clip in manifest.split(TRAINING)] if training is None else training,
        language=language or manifest.language,
        signers={clip.id: clip.signer for clip in manifest.split(split)},
        convention=convention,
    )


def _no_tokens(sentence: str) -> list[Token]:
    """Stands in for a tagger where there is no word to read."""
    return []


def names_in(sentences: Sequence[str], tag: Callable[[str], list[Token]]) -> dict[str, str]:
    """Sentences -> {word in lower case: its lemma as a name}, of the words that the tagger mostly takes for names.

    Lower-case text offers no capital to go by, and one reading alone is unsure: HanTa calls "schauer" a name in one
    of five places. Of PHOENIX14T's training words, those that it calls names in over three quarters of their places
    are names but for a few. A tagger without proper names (the frequency backend) gives {}.
    """
    places: Counter[str] = Counter()
    lemmas: dict[str, Counter[str]] = {}
    for sentence, times in Counter(sentences).items():
        for token in tag(sentence):
            word = token.word.lower()
            places[word] += times
            if token.pos == NAME:
                lemmas.setdefault(word, Counter())[token.lemma] += times
    return {
        word: found.most_common(1)[0][0] for word, found in lemmas.items() if found.total() > NAME_SHARE * places[word]
    }
