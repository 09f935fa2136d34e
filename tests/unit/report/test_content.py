"""diagnose: content words and names as the project's tagger sees them, and a run's own files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, RunError
from glossfree.report.content import diagnose_sentences, diagnose_split, names_in, translations_of
from glossfree.scoring.predictions import read_predictions
from glossfree.text.tagging import Token

GERMAN = [
    *("am rhein scheint die sonne", "im norden regen", "am rhein und an der elbe zehn grad", "an der elbe regen"),
    *("er scheint im norden", "deutschlands nordsee", "über deutschland liegt ein tief"),
]


def test_content_words_and_names_of_lower_case_german() -> None:
    found = diagnose_sentences(
        {"a": "am rhein scheint die sonne", "b": "er kommt aus deutschlands norden"},
        {"a": "an der elbe scheint die sonne", "b": "über deutschland regnet es"},
        training=GERMAN,
        language="de",
        signers={"a": "1", "b": "2"},
    )
    assert found.names is not None
    # deutschlands and deutschland are one name
    assert (found.names.in_references, found.names.in_hypotheses, found.names.right) == (2, 2, 1)
    unsupported = dict(found.support.commonest_unsupported)
    assert "rhein" in unsupported and not {"er", "die", "aus", "scheinen", "deutschland"} & unsupported.keys()
    assert found.copies.hypotheses == 50.0 and len(found.by_signer) == 2


def test_a_word_is_a_name_where_most_of_its_places_say_so() -> None:
    readings = {"x": ["PROPN", "PROPN", "PROPN", "PROPN", "NOUN"], "y": ["PROPN", "PROPN", "PROPN", "NOUN"]}

    def tag(sentence: str) -> list[Token]:
        word, place = sentence.split()
        return [Token(word.upper(), f"{word}-lemma", readings[word][int(place)])]

    sentences = [f"{word} {place}" for word, found in readings.items() for place in range(len(found))]
    assert names_in(sentences, tag) == {"x": "x-lemma"}


def test_a_language_without_a_tagger_has_content_words_but_no_names() -> None:
    found = diagnose_sentences({"a": "明天下雨"}, {"a": "今天下雨 15 度"}, training=["今天下雪"], language="zh")
    assert found.names is None and found.support.reference_words > 0
    assert found.numbers.missed == 1


@pytest.mark.parametrize("language", ["de", "zh", "en", "xx"])
def test_nothing_to_read_is_no_error(language: str) -> None:
    assert diagnose_sentences({}, {}, training=[], language=language).num_sentences == 0
    found = diagnose_sentences({"a": ""}, {"a": "."}, training=[], language=language)
    assert (found.support.unsupported, found.names) == (None, None)


def test_a_run_is_diagnosed_from_its_own_files(tiny: Any, tiny_run: Path) -> None:
    manifest = Manifest.load(tiny.corpus)
    hypotheses, references = translations_of(tiny_run, manifest, "test")
    found = diagnose_split(hypotheses, references, manifest, "test")
    assert (found.num_sentences, found.num_training) == (5, 12)
    assert sum(group.num_sentences for group in found.by_length) == 5
    clips = manifest.split("test")
    predictions = read_predictions(tiny_run / "predictions.test.jsonl")
    assert list(hypotheses.items()) == [(clip.id, predictions[clip.id].text) for clip in clips]
    assert list(references.items()) == [(clip.id, clip.text) for clip in clips]


def test_ids_that_do_not_fit_are_named(tiny: Any, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    path = run / "predictions.test.jsonl"
    others = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    path.write_text("".join(others), encoding="utf-8")
    manifest = Manifest.load(tiny.corpus)
    with pytest.raises(CorpusError, match=manifest.split("test")[0].id):
        translations_of(run, manifest, "test")
    path.unlink()
    with pytest.raises(RunError, match="glossfree evaluate"):
        translations_of(run, manifest, "test")
