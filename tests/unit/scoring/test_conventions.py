"""Conventions: their effect on a sentence, and the default of each language."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glossfree.languages import PROFILES
from glossfree.scoring.conventions import CONVENTIONS, PUBLISHED, Convention, convention_for, published_for


@pytest.mark.parametrize("name", CONVENTIONS)
def test_no_default_changes_a_sentence(name):
    for text in ("Heute  Regen im Süden .", " 今天 有雨", ""):
        assert CONVENTIONS[name].prepare(text) == text


def test_lowercase_and_append():
    assert Convention("x", lowercase=True, append=" .").prepare("Heute Regen") == "heute regen ."


def test_words_and_characters():
    assert Convention("x").words("a  b") == ["a", "", "b"]
    assert Convention("x", rouge="seq2seq").words("a  b ") == ["a", "b"]
    assert Convention("x", rouge="seq2seq").words(" ") == [""]
    assert Convention("x", characters=True).words("今 天") == ["今", "天"]
    assert Convention("x", characters=True).words(" ") == Convention("x").words("") == [""]
    assert Convention("x", tokenize="none", characters=True).spaced("今天 有") == "今 天 有"
    assert Convention("x", tokenize="zh", characters=True).spaced("今天 有") == "今天 有", "sacrebleu cuts it"


@pytest.mark.parametrize(
    ("language", "name"),
    [("de", "plain"), ("zh", "plain-chinese"), ("zh_CN", "plain-chinese"), ("ja", "plain-characters")],
)
def test_the_default_of_a_language(language, name):
    assert convention_for(language) == replace(CONVENTIONS[name], half_width=name != "plain")
    assert convention_for(language, append=" .").append == " ."


@pytest.mark.parametrize("language", PROFILES)
def test_every_language_has_a_default(language):
    convention, profile = convention_for(language), PROFILES[language]
    assert (convention.tokenize, convention.characters) == (profile.bleu, profile.characters)
    assert convention.half_width == profile.half_width and not convention.lowercase


def test_full_width_forms_become_ascii_and_nothing_else_changes():
    ascii_forms = "".join(map(chr, range(0x21, 0x7F)))
    full_width = "".join(chr(ord(letter) + 0xFEE0) for letter in ascii_forms)
    assert convention_for("zh").prepare(full_width) == ascii_forms
    assert convention_for("ja").prepare("ＷｉＦｉ，１０　度。「雨」ｱ") == "WiFi,10 度。「雨」ｱ"
    assert convention_for("de").prepare(full_width) == convention_for("th").prepare(full_width) == full_width


def test_published_conventions_have_a_source_and_settings_for_chinese():
    assert [convention.name for convention in published_for("de")] == list(PUBLISHED)
    assert all(convention.source for convention in PUBLISHED.values())
    assert published_for("de") == list(PUBLISHED.values())
    chinese = {convention.name: convention for convention in published_for("zh-CN")}
    assert chinese["slrt"].characters and not PUBLISHED["slrt"].characters
    assert (chinese["slrt"].append, PUBLISHED["slrt"].append) == ("", " .")
    assert chinese["spamo"].tokenize == "zh"


@pytest.mark.parametrize(
    "wrong", [{"smooth_method": "add-k"}, {"rouge": "w"}, {"average": "batches"}, {"size": 4}, {"average": "mean"}]
)
def test_invalid_conventions_are_refused(wrong):
    with pytest.raises(ValueError, match="convention x"):
        Convention("x", **wrong)
