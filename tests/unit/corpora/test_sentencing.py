"""Captions as broadcasters write them, and the sentences that they hold."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from glossfree.corpora.captions import Caption
from glossfree.corpora.sentencing import AS_THEY_ARE, RULES, Rules, changed_rules, sentences
from glossfree.errors import CorpusError

OLDIES = ["Oh what a night", "Welcome back to the show.", "late December"]


def captions(*texts: str, length: float = 3.0, pause: float = 0.25) -> list[Caption]:
    """Captions of 3 s, a quarter of a second apart, from 7 s on."""
    starts = [7 + number * (length + pause) for number in range(len(texts))]
    return [Caption(start, start + length, text) for start, text in zip(starts, texts, strict=True)]


def texts(*spoken: str, **rules: float) -> list[str]:
    return [caption.text for caption in sentences(captions(*spoken), Rules(**rules))]  # type: ignore[arg-type]


def test_a_sentence_broken_over_captions_is_one_from_first_to_last() -> None:
    broken = captions("Morgen regnet es im Norden,", "im Süden aber", "scheint die Sonne.", "Gute Nacht!")
    assert sentences(broken) == [
        Caption(7, 16.5, "Morgen regnet es im Norden, im Süden aber scheint die Sonne."),
        Caption(16.75, 19.75, "Gute Nacht!"),
    ]


def test_a_caption_of_several_sentences_is_cut_by_length_of_text() -> None:
    # 12 + 8 characters in 10 s
    assert sentences([Caption(100, 110, "Es regnet so. Nun denn.")]) == [
        Caption(100, pytest.approx(100 + 10 * 13 / 22), "Es regnet so."),
        Caption(pytest.approx(100 + 10 * 13 / 22), 110, "Nun denn."),
    ]


def test_an_end_and_a_beginning_in_one_caption() -> None:
    first, second = sentences(captions("Im Norden fällt heute", "Regen. Am Abend wird es", "kalt."))
    assert (first.text, second.text) == ("Im Norden fällt heute Regen.", "Am Abend wird es kalt.")
    assert first.start == 7
    assert first.end == second.start == pytest.approx(10.25 + 3 * 6 / 22)
    assert second.end == 16.5


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        (
            ["[APPLAUSE]", "Welcome back.", "♪♪", "# Happy birthday to you. #"],
            ["Welcome back.", "Happy birthday to you."],
        ),
        (["*Spannende Musik*", "Gut so. *Applaus* Danke."], ["Gut so.", "Danke."]),
        (["(LAUGHS) (COUGHS) Come in.", "The minister (CDU) left."], ["Come in.", "The minister (CDU) left."]),
        ([">> JOHN: I am here. >> Where?"], ["I am here.", "Where?"]),
        (["- Who is it? - It is me."], ["Who is it?", "It is me."]),
        (["-5 Grad sind es heute."], ["-5 Grad sind es heute."]),
        (["Das ist gut", "- so sagt er - und richtig."], ["Das ist gut - so sagt er - und richtig."]),
        (["Wir sehen", "- Ich komme gleich."], ["Wir sehen", "Ich komme gleich."]),
        (["Um 20:15 Uhr: der Film."], ["Um 20:15 Uhr: der Film."]),
        (["...", "–", "?!"], []),
        (["# Oh what a night #", "Welcome back", "to the show.", "♪ late", "December ♪"], OLDIES),
        (["Er sprach", "vor der", "NATO", "APPLAUS", "heute."], ["Er sprach vor der NATO", "heute."]),
        (["THIS IS ALL", "IN CAPITALS.", "APPLAUSE"], ["THIS IS ALL IN CAPITALS.", "APPLAUSE"]),
    ],
)
def test_marks_go_and_speakers_stay_apart(spoken: list[str], expected: list[str]) -> None:
    assert texts(*spoken, shortest=0) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "Am 3. Oktober kommt Dr. Meier z. B. mit ca. 20 Leuten.",
        "The U.S. government met Mr. J. R. Smith.",
        "Der Kurs stieg um 3.5 Prozent.",
    ],
)
def test_a_dot_that_ends_no_sentence(sentence: str) -> None:
    assert texts(sentence, shortest=0) == [sentence]
    words = sentence.split()
    for place in range(1, len(words)):
        assert texts(" ".join(words[:place]), " ".join(words[place:])) == [sentence]


@pytest.mark.parametrize("sentence", ["„Halt!“ rief er laut.", "Well... maybe not."])
def test_a_mark_before_a_small_letter_ends_no_sentence(sentence: str) -> None:
    assert texts(sentence, shortest=0) == [sentence]


def test_ellipses_between_parts_go_and_those_of_an_end_stay() -> None:
    assert texts("I do not know...", "...if that is true.", "But...", "No!") == [
        "I do not know if that is true.",
        "But...",
        "No!",
    ]


def test_chinese_is_cut_and_joined_without_blanks() -> None:
    assert texts("明天北方有雨。今晚", "会很冷。", "晚安!", shortest=0) == ["明天北方有雨。", "今晚会很冷。", "晚安!"]


def test_captions_without_punctuation_stay_as_they_are() -> None:
    spoken = [f"words without an end {number}" for number in range(12)]
    assert texts(*spoken) == spoken
    assert texts(*spoken, "The end.") == [*spoken, "The end."], "one in thirteen: by chance"
    assert len(texts(*spoken, "The end.", "Well. Done. It is.")) < 12, "punctuated: joined"


def test_a_long_pause_ends_a_sentence_and_so_does_length() -> None:
    parts = [Caption(0, 2, "Im Norden"), Caption(3.5, 5, "regnet es"), Caption(5, 9, "und im Süden.")]
    assert [each.text for each in sentences(parts)] == ["Im Norden", "regnet es und im Süden."]
    assert [each.text for each in sentences(parts, Rules(pause=2))] == ["Im Norden regnet es und im Süden."]
    assert [each.text for each in sentences(parts, Rules(pause=2, longest=8.5))] == [
        "Im Norden regnet es",
        "und im Süden.",
    ]


def test_what_overlaps_lasts_to_the_later_end() -> None:
    overlapping = [Caption(0, 5, "Im Norden"), Caption(2, 4, "regnet es.")]
    assert sentences(overlapping) == [Caption(0, 5, "Im Norden regnet es.")]


def test_what_is_too_short_stays_with_its_neighbour_in_the_caption() -> None:
    assert texts("Ja. Das ist richtig und gut.", "Nein.") == ["Ja. Das ist richtig und gut.", "Nein."]
    assert texts("Ja.", "Nein.", shortest=5) == ["Ja.", "Nein."], "in two captions"
    assert texts("Ja. Das ist richtig und gut.", shortest=0.25) == ["Ja.", "Das ist richtig und gut."]


def test_tiers_are_not_joined() -> None:
    both = [Caption(0, 2, "Im Norden", "A"), Caption(2, 4, "Ja.", "B"), Caption(4, 6, "regnet es.", "A")]
    assert [each.text for each in sentences(both)] == ["Im Norden", "Ja.", "regnet es."]


def test_times_are_moved_and_padded_but_not_before_the_start_nor_behind_the_last() -> None:
    spoken = [Caption(0.25, 2, "Eins."), Caption(3, 5, "Zwei.")]
    moved = sentences(spoken, Rules(shift=2.5, before=0.5, after=0.75))
    assert [(each.start, each.end) for each in moved] == [(2.25, 5.25), (5, 7.5)]
    moved = sentences(spoken, Rules(shift=-2.5, before=0.5))
    assert [(each.start, each.end) for each in moved] == [(0, 2.5)], "what ends before the video begins is dropped"


def test_each_rule_can_be_switched_off() -> None:
    spoken = captions("[MUSIC] Im Norden", "regnet es. Im Süden nicht.")
    assert sentences(spoken, AS_THEY_ARE) == spoken
    assert texts("[MUSIC] Im Norden", "regnet es. Im Süden nicht.", split=False) == [
        "Im Norden regnet es. Im Süden nicht."
    ]
    assert len(texts("Im Norden", "regnet es. Im Süden nicht.", join=False)) == 3


def test_no_word_and_no_time_is_lost_or_made() -> None:
    """Whatever the captions, the words stay in order, and times inside the captions that they come from."""
    rng = random.Random(5)
    words = ["Regen", "im", "Süden.", "Norden,", "kalt!", "wird", "es?", "z.", "B.", "3.", "Mai…"]
    for _ in range(200):
        start, spoken = 0.0, []
        for _ in range(rng.randint(1, 9)):
            start, length = start + rng.choice([0, 0.5, 3]), rng.choice([0.5, 2, 6])
            spoken.append(Caption(start, start + length, " ".join(rng.choices(words, k=rng.randint(1, 6)))))
            start += length
        made = sentences(spoken, Rules(clean=False))
        ours, theirs = (" ".join(each.text for each in every).replace("…", "") for every in (made, spoken))
        assert ours.split() == theirs.split()
        assert [each.start for each in made] == sorted(each.start for each in made)
        assert all(first.end <= second.start + 1e-9 for first, second in pairwise(made))
        assert (made[0].start, made[-1].end) == (spoken[0].start, spoken[-1].end)


@pytest.mark.parametrize("sign", [".", "(", "*", "[", ">> ", "- ", "a. ", "A:", "♪", "\u3002", "..."])
def test_a_long_text_of_signs_takes_no_longer_than_another(sign: str) -> None:
    started = time.process_time()
    sentences([Caption(0, 5, sign * 20_000 + "x")])
    assert time.process_time() - started < 5, "quadratic: a minute"


def test_rules_are_read_from_text() -> None:
    values = {"pause": "0,5", "join": "no", "shift": "-2.5", "clean": "True"}
    assert changed_rules(RULES, values) == Rules(pause=0.5, join=False, shift=-2.5)
    assert changed_rules(AS_THEY_ARE, {}) == AS_THEY_ARE


@pytest.mark.parametrize(
    ("values", "piece"),
    [
        ({"pauses": "1"}, "did you mean 'pause'"),
        ({"pause": "long"}, "pause=long is not a number of seconds"),
        ({"before": "-1"}, "before=-1 is not"),
        ({"join": "1.5"}, "join=1.5 is not yes or no"),
    ],
)
def test_wrong_rules_are_named(values: dict[str, str], piece: str) -> None:
    with pytest.raises(CorpusError, match=piece):
        changed_rules(RULES, values)
