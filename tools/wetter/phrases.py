"""The phrases of the `wetter` grammar: times, places, temperatures and events, each as glosses and German words.

A `Scene` draws them for one sentence and keeps them consistent: no snow in July, no sun at night. Everything that the
words depend on (case, number, time of day, kind of phenomenon) can be read off the glosses: the draw chooses glosses,
and the words follow.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from tools.wetter import words
from tools.wetter.words import Glosses, Noun, Place, Verb

T = TypeVar("T")
NIGHT = ("night", "evening")


@dataclass(frozen=True)
class Time:
    """When: glosses, words, part of the day ("" = the whole day), and whether a day is named (it then comes first)."""

    glosses: Glosses
    text: str
    part: str = ""
    names_day: bool = True


@dataclass(frozen=True)
class Event:
    """What happens: a verb, its subject and what follows it.

    `heavy` subjects are indefinite and come late ("weht im norden starker wind"); "es" and definite ones come early.
    """

    verb: Verb
    subject: str = "es"
    plural: bool = False
    heavy: bool = False
    complement: str = ""

    def main(self, front: str = "", middle: Iterable[str] = ()) -> str:
        """A main clause, verb second; with no `front` the subject opens it."""
        finite = self.verb.plural if self.plural else self.verb.singular
        if front:
            return join(front, finite, *self._field(middle), self.verb.particle)
        return join(self.subject, finite, *self._field(middle, opened=True), self.verb.particle)

    def modal(self, front: str, middle: Iterable[str] = ()) -> str:
        """The same with "können": the infinitive goes to the end."""
        can = "können" if self.plural else "kann"
        return join(front, can, *self._field(middle), self.verb.infinitive)

    def subordinate(self, opening: str, middle: Iterable[str] = ()) -> str:
        """The same after a conjunction: the finite verb goes to the end, its particle grown on."""
        finite = self.verb.plural if self.plural else self.verb.singular
        return join(opening, *self._field(middle), self.verb.particle + finite)

    def _field(self, middle: Iterable[str], opened: bool = False) -> list[str]:
        """What stands between the two parts of the verb."""
        reflexive = "sich" if self.verb.reflexive else ""
        if opened:
            return [reflexive, *middle, self.complement]
        if self.heavy:
            return [reflexive, *middle, self.subject, self.complement]
        if self.subject == "es":
            return ["es", reflexive, *middle, self.complement]
        return [reflexive, self.subject, *middle, self.complement]


def join(*parts: str) -> str:
    """The non-empty parts with one space between them."""
    return " ".join(part for part in parts if part)


GEBEN = Verb("gibt", "geben")
FALLEN = Verb("fällt", "fallen")
SEIN = Verb("ist", "sind", stem="sein")
WERDEN = Verb("wird", "werden")
BLEIBEN = Verb("bleibt", "bleiben")
_BARE = {  # what happens when a phenomenon is signed alone: a verb of its own
    "REGEN": Event(Verb("regnet", "regnen")),
    "SONNE": Event(Verb("scheint", "scheinen"), "die sonne"),
    "WIND": Event(SEIN, complement="windig"),
    "STURM": Event(Verb("stürmt", "stürmen")),
    "GLATT": Event(WERDEN, complement="glatt"),
}
_SUN = {
    "VIEL": Event(GEBEN, complement="viel sonne"),
    "WENIG": Event(Verb("zeigt", "zeigen", reflexive=True), "die sonne", complement="nur selten"),
    "LANG": Event(Verb("scheint", "scheinen"), "die sonne", complement="lange"),
    "MANCHMAL": Event(Verb("kommt", "kommen", "heraus"), "die sonne", complement="ab und zu"),
}


def noun_phrase(noun: Noun, modifier: str, case: str) -> str:
    """A phenomenon and its modifier gloss ("" = none) in a case: (SCHNEE, "STARK", "acc") -> "heftigen schneefall"."""
    if modifier in ("VIEL", "WENIG"):
        if noun.plural:
            return noun.with_adjective("zahlreich" if modifier == "VIEL" else "wenig", case)
        return f"{'viel' if modifier == 'VIEL' else 'etwas'} {noun.word}"
    adjective = words.ADJECTIVE_OF.get(modifier, {}).get(noun.kind, "")
    if noun is words.SCHNEE and adjective:
        noun = replace(noun, word="schneefall")
    return noun.with_adjective(adjective, case)


def modifiers(noun: Noun) -> list[str]:
    """The modifier glosses a phenomenon can take, "" among them."""
    if noun is words.SONNE:
        return ["", *_SUN]
    fitting = [gloss for gloss, of in words.ADJECTIVE_OF.items() if noun.kind in of and noun is not words.NIESEL]
    if noun is words.REGENWOLKEN:
        fitting.remove("LEICHT")
    amounts = {"regen": ["VIEL", "WENIG", "MANCHMAL"], "schnee": ["VIEL", "WENIG", "MANCHMAL"]}
    if noun.plural:
        amounts = {kind: ["VIEL", "WENIG"] for kind in ("schauer", "gewitter", "wolke")}
    return ["", *fitting, *amounts.get(noun.kind, ["MANCHMAL"] if noun.kind == "wind" else [])]


def event(noun: Noun, modifier: str = "", part: str = "") -> Event:
    """A phenomenon, its modifier and the part of the day -> the event; the verb is chosen by all three."""
    if noun is words.SONNE and modifier:
        return _SUN[modifier]
    if modifier == "MANCHMAL":
        plain = event(noun, "", part)
        adverb = "gelegentlich" if noun.kind == "wind" else "zeitweise"
        if plain.heavy:
            return replace(plain, subject=f"{adverb} {plain.subject}")
        return replace(plain, complement=join(adverb, plain.complement))
    if not modifier and noun.glosses[0] in _BARE and len(noun.glosses) == 1:
        return _BARE[noun.glosses[0]]
    if noun is words.SCHNEE and not modifier and part not in NIGHT:
        return Event(Verb("schneit", "schneien"))
    verb = _verb(noun, modifier, part)
    if verb is GEBEN:
        return Event(verb, complement=noun_phrase(noun, modifier, "acc"))
    return Event(verb, noun_phrase(noun, modifier, "nom"), noun.plural, heavy=True)


def _verb(noun: Noun, modifier: str, part: str) -> Verb:
    """The verb that goes with a phenomenon at a time of day; "geben" (with the accusative) where none does."""
    if noun.kind == "regen" or (noun.kind == "schnee" and modifier in ("", "VIEL", "WENIG")):
        return FALLEN
    if noun.kind == "schauer" and part in NIGHT:
        return Verb("zieht", "ziehen", "durch")
    if noun.kind == "gewitter" and part in (*NIGHT, "afternoon"):
        return Verb("entlädt", "entladen", reflexive=True)
    if noun.kind == "nebel":
        if part in NIGHT:
            return Verb("bildet", "bilden", reflexive=True)
        return Verb("liegt", "liegen") if part == "morning" else Verb("hält", "halten", reflexive=True)
    if noun.kind == "wolke":
        return Verb("zieht", "ziehen", "durch" if modifier in ("EINZELN", "LEICHT", "WENIG") else "auf")
    if noun.kind in ("wind", "sturm"):
        return Verb("weht", "wehen") if noun.kind == "wind" else Verb("tobt", "toben")
    if noun is words.GLATTEIS:
        return Verb("bildet", "bilden", reflexive=True)
    return GEBEN


class Scene:
    """The draws of one sentence, consistent with one season."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.season = self.weigh({"winter": 4, "mild": 3.5, "summer": 3})

    def pick(self, options: Iterable[T]) -> T:
        """One of the options, each as likely."""
        return self.rng.choice(list(options))

    def weigh(self, options: Mapping[T, float]) -> T:
        """One of the options, by weight."""
        return self.rng.choices(list(options), list(options.values()))[0]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def time(self, *, daylight: bool = False, day_only: bool = False, single: bool = False) -> Time:
        """When: a day, a part of a day, both, or a date. `daylight` keeps night and evening out, `single` all
        that is longer than a day."""
        kind = self.weigh(
            {
                "day": 4,
                "both": 0 if day_only else 4,
                "part": 0 if day_only else 3,
                "date": 1.6,
                "month": 0 if single else 0.7,
            }
        )
        if kind == "day":
            return self._day(single)
        if kind in ("date", "month"):
            return self.date(phase=kind == "month")
        parts = {"FRUEH": 2.0, "MITTAG": 1.5, "NACHMITTAG": 2.0, "TAG": 1.0 if kind == "part" else 0.0}
        if not daylight:
            parts |= {"NACHT": 4.0, "ABEND": 2.0}
        part = self.weigh(parts)
        name = {"FRUEH": "morning", "MITTAG": "noon", "NACHMITTAG": "afternoon", "NACHT": "night", "ABEND": "evening"}
        if kind == "part":
            text = {"FRUEH": "am morgen", "MITTAG": "am mittag", "NACHMITTAG": "am nachmittag", "TAG": "tagsüber"}
            text |= {"NACHT": "in der nacht", "ABEND": "am abend"}
            return Time((part,), text[part], name.get(part, ""), names_day=False)
        word = {"FRUEH": "früh", "MITTAG": "mittag", "NACHMITTAG": "nachmittag", "NACHT": "nacht", "ABEND": "abend"}[
            part
        ]
        if self.chance(0.4):
            day = self.pick(("HEUTE", "MORGEN"))
            return Time((day, part), f"{day.lower()} {word}", name[part])
        day = self.pick(words.WEEKDAYS)
        if part == "NACHT":
            return Time((part, day), f"in der nacht zum {words.WEEKDAYS[day]}", name[part])
        word = "morgen" if part == "FRUEH" else word
        return Time((day, part), f"am {words.WEEKDAYS[day]}{word}", name[part])

    def _day(self, single: bool) -> Time:
        """A whole day, the weekend or the week."""
        simple = {"HEUTE": "heute", "MORGEN": "morgen", "UEBERMORGEN": "übermorgen", "WOCHENENDE": "am wochenende"}
        gloss = self.weigh(
            {**dict.fromkeys(simple, 2.0), "WOCHE": 0 if single else 1.5, **dict.fromkeys(words.WEEKDAYS, 1.0)}
        )
        if gloss == "WOCHE":
            which = self.pick(("MITTE", "ENDE", "NAECHST"))
            text = {"MITTE": "mitte der woche", "ENDE": "ende der woche", "NAECHST": "in der nächsten woche"}[which]
            return Time((which, gloss) if which == "NAECHST" else (gloss, which), text)
        return Time((gloss,), simple.get(gloss) or f"am {words.WEEKDAYS[gloss]}")

    def date(self, *, phase: bool = False) -> Time:
        """A date ("am dritten mai") or a phase of a month ("anfang mai") of the season."""
        month = self.pick(words.MONTHS_OF[self.season])
        if phase:
            which = self.pick(("ANFANG", "MITTE", "ENDE"))
            return Time((which, month), f"{which.lower()} {words.MONTHS[month]}")
        glosses, ordinal = words.ordinal(self.rng.randint(1, 30))
        return Time((*glosses, month), f"am {ordinal} {words.MONTHS[month]}")

    def place(self, avoid: Iterable[str] = ()) -> Place:
        """A place with none of the glosses to avoid."""
        avoid = set(avoid)
        while True:
            place = self.weigh(words.PLACES)
            if not avoid & set(place.glosses):
                return place

    def noun(self, *, part: str = "", kinds: Iterable[str] = ()) -> Noun:
        """A phenomenon of the season and of the part of the day."""
        kinds = tuple(kinds)
        fitting = {
            noun: weight
            for noun, weight in words.NOUNS.items()
            if (not noun.season or noun.season == self.season or (noun.season == "winter" and self.season == "mild"))
            and (not kinds or noun.kind in kinds)
            and not (noun is words.SONNE and part in NIGHT)
            and not (noun is words.HITZEGEWITTER and part == "morning")
        }
        return self.weigh(fitting)

    def modifier(self, noun: Noun, likely: float = 0.6) -> str:
        """A modifier gloss that the phenomenon takes, "" with probability 1 - `likely`."""
        options = modifiers(noun)
        if len(options) == 1 or not self.chance(likely):
            return ""
        return self.weigh({gloss: 2.0 if gloss == "STARK" else 1.0 for gloss in options[1:]})

    def degrees(self, part: str = "") -> int:
        """A temperature of the season and part of the day, in degrees Celsius."""
        low, high = {"winter": (-9, 8), "mild": (3, 18), "summer": (15, 32)}[self.season]
        return self.rng.randint(low, high) - {"night": 7, "morning": 4}.get(part, 0)

    def adjective(self, glosses: Iterable[str] = (), part: str = "") -> str:
        """The gloss of an adjective of the season and the part of the day."""
        fitting = [g for g in glosses or words.ADJECTIVES if self.season in (words.ADJECTIVES[g][2] or self.season)]
        return self.pick([gloss for gloss in fitting if part not in NIGHT or gloss not in ("SONNE", "HEISS", "SCHOEN")])
