"""The table of languages: codes as they are written, and every entry against the packages and files that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.errors import CorpusError
from glossfree.languages import ALIASES, PROFILES, base_language, profile_of
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text.unigram import CODES_25, CODES_50

# the spoken languages of the field's corpora
FIELD = set("de en zh ja ko fr es it pt nl pl sv no da fi cs tr ar hi ru el uk".split())  # noqa: SIM905


def test_the_languages_of_the_field_are_there() -> None:
    assert set(PROFILES) >= FIELD
    assert all(profile.code == code and len(code) == 2 for code, profile in PROFILES.items())
    assert len({profile.name for profile in PROFILES.values()}) == len(PROFILES)
    assert set(ALIASES.values()) <= set(PROFILES) and not set(ALIASES) & set(PROFILES)


@pytest.mark.parametrize(
    ("text", "code"),
    [("de", "de"), ("de_DE", "de"), ("DE-at", "de"), (" zh-Hans ", "zh"), ("nb", "no"), ("nn_NO", "no"), ("fil", "tl")],
)
def test_a_code_in_any_spelling(text: str, code: str) -> None:
    assert profile_of(text) is PROFILES[code]
    assert base_language(text) == code


def test_a_language_that_the_table_lacks_has_a_base() -> None:
    assert base_language("yue_Hant-HK") == "yue"


@pytest.mark.parametrize(("text", "guess"), [("german", "did you mean de"), ("xx", "one of af, "), ("", "one of af, ")])
def test_an_unknown_language_is_an_error_that_names_all(text: str, guess: str) -> None:
    with pytest.raises(CorpusError) as caught:
        profile_of(text)
    assert guess in str(caught.value) and "zh" in str(caught.value) and repr(text) in str(caught.value)


def test_every_language_of_mbart_has_one_line() -> None:
    codes = [profile.mbart for profile in PROFILES.values() if profile.mbart]
    assert sorted(codes) == sorted(CODES_50)
    assert all(profile_of(code).mbart == code for code in codes)


def test_the_codes_are_those_of_transformers_and_of_mbarts_files(shared: Path) -> None:
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES

    codes = {profile.mbart for profile in PROFILES.values() if profile.mbart}
    assert codes == set(FAIRSEQ_LANGUAGE_CODES)
    tokenizer = SentenceTokenizer.load(shared / "mbart_cc25", PROFILES["zh"].token)
    assert len(tokenizer) == 250_027 and tokenizer.pieces[tokenizer.start_id] == "zh_CN"
    assert set(tokenizer.pieces[-26:-1]) == codes & set(CODES_25) and len(codes & set(CODES_25)) == 25
