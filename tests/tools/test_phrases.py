"""Clauses of the `wetter` grammar: where the verb stands, which word a gloss becomes."""

from __future__ import annotations

import random

import pytest
from tools.wetter import words
from tools.wetter.phrases import NIGHT, Event, Scene, event, modifiers, noun_phrase
from tools.wetter.words import Verb


def said(noun: words.Noun, modifier: str = "", part: str = "") -> str:
    return event(noun, modifier, part).main("morgen", ["im norden"])


@pytest.mark.parametrize(
    ("noun", "modifier", "part", "sentence"),
    [
        (words.REGEN, "", "", "morgen regnet es im norden"),
        (words.REGEN, "STARK", "", "morgen fällt im norden kräftiger regen"),
        (words.WIND, "STARK", "", "morgen weht im norden starker wind"),
        (words.FROST, "STARK", "", "morgen gibt es im norden strengen frost"),
        (words.NEBEL, "STARK", "", "morgen hält sich im norden dichter nebel"),
        (words.NEBEL, "STARK", "night", "morgen bildet sich im norden dichter nebel"),
        (words.NEBELFELDER, "", "night", "morgen bilden sich im norden nebelfelder"),
        (words.SCHNEE, "", "", "morgen schneit es im norden"),
        (words.SCHNEE, "", "night", "morgen fällt im norden schnee"),
        (words.SCHNEE, "STARK", "night", "morgen gibt es im norden heftigen schneefall"),
        (words.GEWITTER, "STARK", "", "morgen gibt es im norden heftige gewitter"),
        (words.GEWITTER, "STARK", "evening", "morgen entladen sich im norden heftige gewitter"),
        (words.SCHAUER, "VIEL", "night", "morgen ziehen im norden zahlreiche schauer durch"),
        (words.SONNE, "", "", "morgen scheint die sonne im norden"),
        (words.SONNE, "WENIG", "", "morgen zeigt sich die sonne im norden nur selten"),
        (words.SONNE, "VIEL", "", "morgen gibt es im norden viel sonne"),
        (words.REGEN, "MANCHMAL", "", "morgen regnet es im norden zeitweise"),
        (words.GLATTEIS, "", "", "morgen bildet sich im norden glatteis"),
    ],
)
def test_one_gloss_becomes_the_word_its_company_asks_for(noun, modifier: str, part: str, sentence: str) -> None:
    assert said(noun, modifier, part) == sentence


def test_verb_second_verb_last_and_infinitive() -> None:
    lifts = Event(Verb("löst", "lösen", "auf", True), "der nebel")
    assert lifts.main("morgen", ["im tal"]) == "morgen löst sich der nebel im tal auf"
    assert lifts.main(middle=["im tal"]) == "der nebel löst sich im tal auf"
    assert lifts.subordinate("wo") == "wo sich der nebel auflöst"
    assert lifts.modal("morgen") == "morgen kann sich der nebel auflösen"
    assert event(words.SCHAUER, "", "night").modal("morgen") == "morgen können schauer durchziehen"
    assert event(words.SONNE, "LANG").subordinate("wo") == "wo die sonne lange scheint"


@pytest.mark.parametrize(
    ("noun", "modifier", "case", "phrase"),
    [
        (words.REGEN, "WENIG", "acc", "etwas regen"),
        (words.WOLKEN, "WENIG", "nom", "wenige wolken"),
        (words.GEWITTER, "VIEL", "dat", "zahlreichen gewittern"),
        (words.SCHNEE, "STARK", "dat", "heftigem schneefall"),
        (words.SCHNEE, "", "dat", "schnee"),
    ],
)
def test_noun_phrase(noun: words.Noun, modifier: str, case: str, phrase: str) -> None:
    assert noun_phrase(noun, modifier, case) == phrase


def test_every_modifier_leaves_a_trace_in_the_sentence() -> None:
    for noun in words.NOUNS:
        sentences = [said(noun, modifier) for modifier in modifiers(noun)]
        assert len(set(sentences)) == len(sentences), noun


def test_a_scene_keeps_to_its_season_and_hour() -> None:
    rng = random.Random(7)
    for _ in range(600):
        scene = Scene(rng)
        time = scene.time()
        assert scene.noun(part=time.part).glosses != ("SONNE",) or time.part not in NIGHT
        if scene.season == "summer":
            assert scene.noun().season != "winter"
        assert scene.time(daylight=True).part not in NIGHT
        assert scene.time(day_only=True, single=True).part == ""
        assert not {"SEE", "KUESTE"} & set(scene.place(("SEE", "KUESTE")).glosses)
        assert scene.degrees() >= (15 if scene.season == "summer" else -9)


def test_times_are_told_apart() -> None:
    rng = random.Random(8)
    texts: dict[tuple[str, ...], str] = {}
    for _ in range(4000):
        time = Scene(rng).time()
        assert texts.setdefault(time.glosses, time.text) == time.text
    assert len(set(texts.values())) == len(texts) > 150
    assert texts["NACHT", "FREITAG"] == "in der nacht zum freitag"
    assert texts["MORGEN", "FRUEH"] == "morgen früh"
    assert texts["MONTAG", "FRUEH"] == "am montagmorgen"
    assert texts["FRUEH",] == "am morgen"
