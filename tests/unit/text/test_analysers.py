"""Packages that find the words of a language: words, lemmas and parts of speech of sentences judged by hand."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from glossfree.languages import PROFILES
from glossfree.text.analysers import ANALYSERS, ICTCLAS, SEJONG, UNIDIC, universal
from glossfree.text.tagging import KEPT_POS, tagger

JUDGED = {
    "zh": ("明天，我和１０个朋友去火车站！", "明天/NOUN 我/PRON 10/NUM 个/NOUN 朋友/NOUN 去/VERB 火车站/NOUN"),
    "ja": ("明日は北海道で雪が降りました。", "明日/NOUN 北海道/PROPN 雪/NOUN 降る/VERB"),
    "ko": ("저는 친구와 학교에 갔어요.", "저/PRON 친구/NOUN 학교/NOUN 가다/VERB"),
    "th": ("อากาศ ร้อนมาก", "อากาศ/NOUN ร้อน/ADJ มาก/ADV"),
}


@pytest.mark.parametrize("language", JUDGED)
def test_sentences_without_a_spacy_model(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    package = PROFILES[language].analyser
    pytest.importorskip(package)
    monkeypatch.setitem(sys.modules, "spacy", None)
    sentence, judged = JUDGED[language]
    analyser = tagger(language)
    tokens = analyser.tag(sentence)
    assert analyser.name == package
    assert " ".join(f"{token.lemma}/{token.pos}" for token in tokens if token.pos in KEPT_POS) == judged
    assert not any(token.pos == "X" or token.word.isspace() for token in tokens)
    assert analyser.tag("") == []


def test_every_analyser_belongs_to_a_language() -> None:
    assert {profile.analyser for profile in PROFILES.values() if profile.analyser} == set(ANALYSERS)


@pytest.mark.parametrize(
    ("tag", "table", "pos"),
    [
        ("n", ICTCLAS, "NOUN"), ("nrt", ICTCLAS, "PROPN"), ("vn", ICTCLAS, "VERB"), ("uj", ICTCLAS, "PART"),
        ("x", ICTCLAS, "X"), ("名詞-固有名詞", UNIDIC, "PROPN"), ("名詞-普通名詞", UNIDIC, "NOUN"),
        ("VV-I", SEJONG, "VERB"), ("VX", SEJONG, "AUX"), ("NNP", SEJONG, "PROPN"), ("NNB", SEJONG, "NOUN"),
        ("XR", SEJONG, "NOUN"), ("XSN", SEJONG, "PART"), ("W_URL", SEJONG, "X"), ("", SEJONG, "X"),
    ],
)  # fmt: skip
def test_the_longest_beginning_of_a_tag_counts(tag: str, table: dict[str, str], pos: str) -> None:
    assert universal(tag, table) == pos


def test_without_the_package_characters_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    for name in ("spacy", "rjieba"):
        monkeypatch.setitem(sys.modules, name, None)
    assert tagger("zh", ["今天下雨"], say=lines.append).name.startswith("frequency") and lines == []


def test_a_package_that_lacks_something_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: str) -> None:
        raise ModuleNotFoundError("No module named 'sudachidict_small'", name="sudachidict_small")

    lines: list[str] = []
    monkeypatch.setitem(sys.modules, "spacy", None)
    monkeypatch.setitem(sys.modules, "sudachipy", SimpleNamespace(Dictionary=broken))
    assert tagger("ja", ["雨"], say=lines.append).name.startswith("frequency")
    assert len(lines) == 1 and "sudachipy" in lines[0] and "sudachidict_small" in lines[0]
