"""Words, lemmas and parts of speech by three backends."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from glossfree.errors import CorpusError
from glossfree.languages import PROFILES
from glossfree.text.tagging import (
    CONTENT,
    FUNCTION,
    KEPT_POS,
    FrequencyTagger,
    HantaTagger,
    Token,
    split_words,
    tagger,
)

UNIVERSAL = set(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()  # noqa: SIM905
)
# Judged by hand: content words of made-up forecasts in lower case.
JUDGED = {
    "am abend ziehen dichte wolken auf": "abend/NOUN ziehen/VERB dicht/ADJ wolke/NOUN",
    "es bleibt trocken bei dreiundzwanzig grad": "es/PRON bleiben/VERB trocken/ADJ dreiundzwanzig/NUM grad/NOUN",
    "im norden weht ein kräftiger wind": "norden/NOUN wehen/VERB kräftig/ADJ wind/NOUN",
    "heute fallen nur einzelne flocken": "heute/ADV fallen/VERB nur/ADV einzeln/ADJ flocke/NOUN",
    "der regen lässt langsam nach": "regen/NOUN lassen/VERB langsam/ADJ",
    "mit schauern und gewittern rechnen wir in hamburg": (
        "schauer/NOUN gewitter/NOUN rechnen/VERB wir/PRON hamburg/PROPN"
    ),
    "blitz und donner gibt es dort selten": "blitz/NOUN donner/NOUN geben/VERB es/PRON dort/ADV selten/ADJ",
    "morgens bildet sich glätte": "morgens/ADV bilden/VERB sich/PRON glätte/NOUN",
}


@pytest.fixture(scope="module")
def hanta() -> HantaTagger:
    return HantaTagger("de")


def content(tokens: list[Token]) -> str:
    return " ".join(f"{token.lemma}/{token.pos}" for token in tokens if token.pos in KEPT_POS)


def test_lower_case_german(hanta: HantaTagger) -> None:
    """Two words of 36 are wrong: "einzelne flocken", read as a pronoun and a verb."""
    right = total = 0
    for sentence, judged in JUDGED.items():
        tokens = hanta.tag(sentence)
        assert [token.word for token in tokens] == sentence.split()
        right += sum(item in content(tokens).split() for item in judged.split())
        total += len(judged.split())
    assert (right, total) == (34, 36)


def test_ignoring_case_beats_taking_lower_case_for_evidence(hanta: HantaTagger) -> None:
    right = {True: 0, False: 0}
    for sentence, judged in JUDGED.items():
        for cased in right:
            tags = hanta._hanta.tag_sent(sentence.split(), casesensitive=cased)
            tokens = [hanta._token(*item) for item in tags]
            right[cased] += sum(item in judged.split() for item in content(tokens).split())
    assert right[False] > right[True]


def test_case_counts_where_the_text_has_it(hanta: HantaTagger) -> None:
    assert content(hanta.tag("heute fallen nur einzelne flocken")).endswith("flocken/VERB")
    assert content(hanta.tag("Heute fallen nur einzelne Flocken")).endswith("flocke/NOUN")
    tokens = hanta.tag("Morgen regnet es in Berlin, und der Wind weht.")
    assert content(tokens) == "morgen/ADV regnen/VERB es/PRON berlin/PROPN wind/NOUN wehen/VERB"
    assert [token.pos for token in tokens if not token.word.isalpha()] == ["PUNCT", "PUNCT"]


@pytest.mark.parametrize(
    ("word", "lemma", "pos"),
    [
        ("graupelschauern", "graupelschauer", "NOUN"),
        ("sturmböen", "sturmböe", "NOUN"),
        ("böen", "böe", "NOUN"),
        ("westthüringen", "westthüringen", "NOUN"),
        ("einunddreißig", "einunddreißig", "NUM"),
        ("fünfhundert", "fünfhundert", "NUM"),
        ("starkregen", "starkregen", "NOUN"),
        ("17", "17", "NUM"),
    ],
)
def test_known_slips_are_mended(hanta: HantaTagger, word: str, lemma: str, pos: str) -> None:
    assert Token(word, lemma, pos) in hanta.tag(f"im westen gibt es {word}")


@pytest.fixture(scope="module")
def dutch() -> HantaTagger:
    return HantaTagger("nl")  # 6 s: ten times as many tags


def test_dutch(dutch: HantaTagger) -> None:
    assert content(dutch.tag("de twee honden lopen snel")) == "twee/NUM hond/NOUN lopen/VERB snel/ADJ"


def test_every_tag_of_hanta_has_a_universal_one(hanta: HantaTagger, dutch: HantaTagger) -> None:
    for each in (hanta, HantaTagger("en"), dutch):
        names = each._hanta.int2tag
        tags = [names[number] for number in names if number > 0 and -number in names and names[number] != "UNKNOWN"]
        assert len(tags) > 40
        assert {each._token("wort", "wort", tag).pos for tag in tags} <= UNIVERSAL
        assert set(each._tags.values()) <= UNIVERSAL


@pytest.mark.parametrize(
    ("tag", "pos"),
    [
        ("NN", "NOUN"), ("NNA", "NOUN"), ("NE", "PROPN"), ("CARD", "NUM"), ("PROAV", "ADV"), ("PWAV", "ADV"),
        ("PIS", "PRON"), ("PIAT", "DET"), ("PDS", "PRON"), ("PDAT", "DET"), ("PPOSS", "PRON"), ("PPOSAT", "DET"),
        ("PRELS", "PRON"), ("PRELAT", "DET"), ("PWS", "PRON"), ("PWAT", "DET"), ("VV(PP)", "VERB"), ("VA(FIN)", "AUX"),
        ("VM(INF)", "AUX"), ("ADJ(D)", "ADJ"), ("APPRART", "ADP"), ("KON", "CCONJ"), ("KOUS", "SCONJ"),
        ("PTKVZ", "ADP"), ("PTKNEG", "PART"), ("XY", "X"),
    ],
)  # fmt: skip
def test_stts(hanta: HantaTagger, tag: str, pos: str) -> None:
    assert hanta._token("wort", "wort", tag).pos == pos


def test_english() -> None:
    assert content(tagger("en_XX").tag("the two dogs were running to the sea")) == "two/NUM dog/NOUN run/VERB sea/NOUN"


def test_splitting_words() -> None:
    assert split_words("Nord-Süd, -3,5 °C o'neil …") == ["Nord-Süd", ",", "-", "3,5", "°", "C", "o'neil", "…"]
    assert split_words("明天 Berlin下雨。") == ["明", "天", "Berlin", "下", "雨", "。"]
    assert split_words("mu\u0308nchen") == ["münchen"]
    assert split_words(" \t") == []


def test_an_empty_sentence_has_no_tokens(hanta: HantaTagger) -> None:
    assert hanta.tag("  ") == []


FRENCH = ["la pluie et la neige", "la mer et le vent", "le soleil et la lune 12 !"]


def test_languages_without_a_tagger_drop_the_commonest_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("spacy", "simplemma"):
        monkeypatch.setitem(sys.modules, name, None)
    french = tagger("fr_XX", FRENCH)
    assert french.name.startswith("frequency (no tagger; 1 ")
    assert [(token.lemma, token.pos) for token in french.tag("La pluie , 12")] == [
        ("la", FUNCTION), ("pluie", CONTENT), (",", "PUNCT"), ("12", "NUM"),
    ]  # fmt: skip
    assert FrequencyTagger(FRENCH, share=0.6)._function_words == {"la", "et", "le"}
    assert FrequencyTagger(FRENCH, share=0.01)._function_words == set()


def test_lemmas_of_simplemma_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "la" and "le" are one lemma, which occurs six times among seventeen words."""
    monkeypatch.setitem(sys.modules, "spacy", None)
    lemmas = {"la": "le", "pluies": "pluie", "lunes": "Lune"}
    fake = SimpleNamespace(lemmatize=lambda word, code: lemmas.get(word, word) if code == "fr" else "")
    monkeypatch.setitem(sys.modules, "simplemma", fake)
    french = tagger("fr", [*FRENCH, "la nuit"])
    assert french.name == "simplemma (no tagger; 0 commonest words dropped)"
    french = tagger("fr", [*FRENCH, "pluies et lunes"])
    assert [(token.word, token.lemma) for token in french.tag("La Pluies, lunes")] == [
        ("La", "le"), ("Pluies", "pluie"), (",", ","), ("lunes", "lune"),
    ]  # fmt: skip


def test_simplemma_knows_every_language_that_names_it() -> None:
    known = pytest.importorskip("simplemma.strategies.dictionaries.dictionary_factory").SUPPORTED_LANGUAGES
    assert {profile.simplemma for profile in PROFILES.values() if profile.simplemma} <= known
    assert tagger("pl", ["psy biegają po lesie"]).tag("psy")[0].lemma == "pies"


def test_the_frequency_tagger_needs_sentences() -> None:
    with pytest.raises(CorpusError, match="no sentence"):
        tagger("fr", ["...", ""])


def fake_spacy(monkeypatch: pytest.MonkeyPatch, installed: list[str]) -> list[str]:
    """A spaCy that calls every word a noun; the names of the models it loads."""
    loaded: list[str] = []

    def load(name: str, disable: list[str]) -> object:
        loaded.append(name)
        return lambda text: [SimpleNamespace(text=word, lemma_=word.title(), pos_="NOUN") for word in text.split()]

    util = SimpleNamespace(get_installed_models=lambda: installed)
    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load, util=util))
    return loaded


def test_spacy_comes_first_where_its_model_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = fake_spacy(monkeypatch, ["en_core_web_sm", "de_core_news_lg"])
    german = tagger("de_DE")
    assert (german.name, loaded) == ("spacy (de_core_news_lg)", ["de_core_news_lg"])
    assert german.tag("und regen") == [Token("und", "und", "NOUN"), Token("regen", "regen", "NOUN")]
    fake_spacy(monkeypatch, ["de_core_news_lg", "de_dep_news_trf"])
    assert tagger("de").name == "spacy (de_dep_news_trf)"  # the paper's


def test_spacy_is_never_required(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_spacy(monkeypatch, ["de_core_news_sm"])
    assert tagger("de").name == "hanta (morphmodel_ger)"
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert tagger("de").name == "hanta (morphmodel_ger)"


class BrokenPackage(Exception):
    """What nobody has thought of."""


BROKEN = [
    ImportError("cannot import name 'x' from 'thinc'"),
    ModuleNotFoundError("No module named 'thinc'", name="thinc"),
    ValueError("numpy.dtype size changed\nmore about it"),
    OSError("libcublas.so.11: cannot open shared object file"),
    RuntimeError("no validator found"),
    AttributeError("no attribute 'x'"),
    BrokenPackage("any"),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_a_spacy_whose_import_fails_is_passed_over_with_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    """A real package that raises when it is imported."""
    (tmp_path / "spacy").mkdir()
    arguments = f"{error.args[0]!r}" + (", name='thinc'" if isinstance(error, ModuleNotFoundError) else "")
    kind = type(error).__name__
    start = "class BrokenPackage(Exception): pass\n" if kind == "BrokenPackage" else ""
    (tmp_path / "spacy/__init__.py").write_text(f"{start}raise {kind}({arguments})\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spacy", raising=False)
    lines: list[str] = []
    assert tagger("de", say=lines.append).name == "hanta (morphmodel_ger)"
    assert len(lines) == 1 and "spaCy" in lines[0] and kind in lines[0] and "\n" not in lines[0]
    assert "no tagger" in tagger("fr", ["la pluie"], say=lines.append).name and len(lines) == 2
    assert "no tagger" in tagger("ga", ["an fhearthainn"], say=lines.append).name and len(lines) == 2  # spaCy has none


def test_a_model_that_cannot_be_loaded_leaves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = fake_spacy(monkeypatch, ["de_core_news_lg", "de_dep_news_trf"])
    works, lines = sys.modules["spacy"].load, []

    def load(name: str, disable: list[str]) -> object:
        if name == "de_dep_news_trf":
            raise BrokenPackage("[E002] Can't find factory for 'transformer'")
        return works(name, disable)

    monkeypatch.setattr(sys.modules["spacy"], "load", load)
    assert tagger("de", say=lines.append).name == "spacy (de_core_news_lg)"
    assert loaded == ["de_core_news_lg"]
    assert len(lines) == 1 and "de_dep_news_trf" in lines[0] and "factory" in lines[0]
    fake_spacy(monkeypatch, ["de_dep_news_trf"])
    monkeypatch.setattr(sys.modules["spacy"], "load", load)
    assert tagger("de", say=lines.append).name == "hanta (morphmodel_ger)"
    assert lines == 2 * lines[:1]


def test_a_spacy_that_is_absent_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    lines: list[str] = []
    assert tagger("de", say=lines.append).name == "hanta (morphmodel_ger)"
    assert lines == []


def test_a_file_without_blanks_takes_no_minutes(hanta: HantaTagger) -> None:
    """HanTa alone would analyse this word for minutes."""
    word = "regen" * 9000
    tokens = hanta.tag(f"im {word} im norden")
    assert [token.word for token in tokens] == ["im", word, "im", "norden"]
    assert tokens[1] == Token(word, word, "X") and tokens[3].pos == "NOUN"
