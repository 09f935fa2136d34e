"""The sentences of the `wetter` grammar: constructions that order phrases twice, once as glosses and once as German.

Gloss order is that of signing: time, place, topic, comment, with intensity, verb and negation last. German puts the
verb second, so whatever opens the sentence throws the rest about. Given its glosses a sentence is determined; nothing
here paraphrases by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tools.wetter import words
from tools.wetter.phrases import (
    GEBEN,
    NIGHT,
    Event,
    Scene,
    Time,
    event,
    join,
    noun_phrase,
)
from tools.wetter.words import Glosses, Noun, Verb

Draft = tuple[list[str], str]  # glosses, text
Construction = Callable[[Scene], Draft]
FEWEST, MOST = 3, 10  # glosses of a sentence
_TURNS = {"STEIGEN": "steigen", "SINKEN": "sinken"}


class Setting:
    """When and where of a clause: its glosses, what opens the German clause, and what stands in its middle.

    A named day opens the clause; a mere part of the day leaves that to the place.
    """

    def __init__(
        self,
        s: Scene,
        *,
        time: float = 0.75,
        place: float = 0.75,
        ranges: float = 0.12,
        avoid: Glosses = (),
        **draw: bool,
    ) -> None:
        self.time: Time | None = s.time(**draw) if s.chance(time) else None
        self.place: tuple[Glosses, str] | None = None
        if s.chance(place) or self.time is None:
            here = s.place(avoid)
            self.place = (here.glosses, here.at)
            if s.chance(ranges):
                there = s.place((*avoid, *here.glosses))
                self.place = ((*here.glosses, "BIS", *there.glosses), f"{here.source} bis {there.target}")
        self.part = self.time.part if self.time else ""

    @property
    def glosses(self) -> list[str]:
        return [*(self.time.glosses if self.time else ()), *(self.place[0] if self.place else ())]

    @property
    def front(self) -> str:
        return self._ordered()[0]

    @property
    def middle(self) -> list[str]:
        return self._ordered()[1:]

    def _ordered(self) -> list[str]:
        found = [x for x in (self.time.text if self.time else "", self.place[1] if self.place else "") if x]
        return found if self.time is None or self.time.names_day else found[::-1]


def _happening(
    s: Scene, part: str = "", *, likely: float = 0.6, kinds: Iterable[str] = (), but: Iterable[str] = ()
) -> tuple[list[str], Event]:
    """A phenomenon with or without modifier: glosses and event; none that has a gloss of `but`."""
    noun = s.noun(part=part, kinds=kinds)
    while set(noun.glosses) & set(but):
        noun = s.noun(part=part, kinds=kinds)
    modifier = s.modifier(noun, likely)
    return [*noun.glosses, *filter(None, [modifier])], event(noun, modifier, part)


def weather(s: Scene) -> Draft:
    """MONTAG NORD REGEN STARK -> "am montag fällt im norden kräftiger regen"."""
    at = Setting(s)
    glosses, what = _happening(s, at.part)
    adverb = s.weigh({"": 6.0, "WIEDER": 1.0, "NOCH": 0.8, "AUCH": 1.0})
    front = join("auch", at.front) if adverb == "AUCH" else at.front
    middle = [*at.middle, adverb.lower()] if adverb in ("WIEDER", "NOCH") else at.middle
    leading = ["AUCH"] if adverb == "AUCH" else []
    trailing = [adverb] if adverb in ("WIEDER", "NOCH") else []
    return [*leading, *at.glosses, *glosses, *trailing], what.main(front, middle)


def possible(s: Scene) -> Draft:
    """ABEND ALPEN GEWITTER MOEGLICH -> "in den alpen können sich am abend gewitter entladen"."""
    at = Setting(s)
    glosses, what = _happening(s, at.part, kinds=("regen", "schnee", "schauer", "gewitter", "nebel", "sturm", "glatt"))
    return [*at.glosses, *glosses, "MOEGLICH"], what.modal(at.front, at.middle)


def absent(s: Scene) -> Draft:
    """SONNTAG ALPEN SCHNEE KEIN -> "am sonntag gibt es in den alpen keinen schnee"."""
    at = Setting(s)
    noun = s.noun(part=at.part, kinds=("regen", "schnee", "schauer", "gewitter", "nebel", "frost", "wolke", "boe"))
    more = s.chance(0.4)
    what = Event(GEBEN, complement=join(noun.negated(), "mehr" if more else ""))
    return [*at.glosses, *noun.glosses, *(["MEHR"] if more else []), "KEIN"], what.main(at.front, at.middle)


def _span(s: Scene, part: str) -> tuple[list[str], str, bool]:
    """One temperature or a range: glosses, words with "grad", and whether it is a range ("a und b" or "a bis b")."""
    low = s.degrees(part)
    glosses, text = words.number(low)
    if s.chance(0.45):
        return list(glosses), f"{text} grad", False
    more, high = words.number(low + s.rng.randint(2, 6))
    return [*glosses, "BIS", *more], f"{text} bis {high} grad", True


def temperature(s: Scene) -> Draft:
    """TAL TEMPERATUR MINUS DREI SINKEN -> "in den tälern sinken die temperaturen auf minus drei grad"."""
    at = Setting(s, ranges=0.0, single=True)
    glosses, span, is_range = _span(s, at.part)
    turns = {"": 3.0}
    if at.part != "morning":
        turns["SINKEN"] = 3.0 if at.part in NIGHT else 1.0
    if at.part not in NIGHT:
        turns["STEIGEN"] = 2.0
    turn = s.weigh(turns)
    if turn:
        what = Event(Verb(_TURNS[turn], _TURNS[turn]), "die temperaturen", True, complement=f"auf {span}")
        return [*at.glosses, "TEMPERATUR", *glosses, turn], what.main(at.front, at.middle)
    name = {"night": "tiefstwerte", "morning": "frühtemperaturen", "evening": "temperaturen"}.get(
        at.part, "höchstwerte"
    )
    lie = f"zwischen {span.replace(' bis ', ' und ')}" if is_range else f"bei {span}"
    what = Event(Verb("liegt", "liegen"), f"die {name}", True, complement=lie)
    return [*at.glosses, "TEMPERATUR", *glosses], what.main(at.front, at.middle)


def degrees(s: Scene) -> Draft:
    """MORGEN RHEIN ZWANZIG GRAD HOECHST -> "morgen werden es am rhein höchstens zwanzig grad"."""
    at = Setting(s, ranges=0.0, single=True)
    glosses, span, is_range = _span(s, at.part)
    limit = "" if is_range else s.pick(("", "HOECHST"))
    adverb = "höchstens" if limit else ""
    what = Event(Verb("werden", "werden"), complement=join(adverb, span))
    return [*at.glosses, *glosses, "GRAD", *filter(None, [limit])], what.main(at.front, at.middle)


def two_temperatures(s: Scene) -> Draft:
    """KUESTE DREI ALPEN MINUS ZWEI GRAD -> "drei grad an der küste und nur minus zwei grad in den alpen"."""
    time = s.time() if s.chance(0.5) else None
    here = s.place()
    there = s.place(here.glosses)
    low = s.degrees(time.part if time else "")
    other = low + s.pick((-7, -5, -4, -3, 3, 4, 5, 7))
    (first, first_word), (second, second_word) = words.number(low), words.number(other)
    text = f"{first_word} grad {here.at} und {'nur' if other < low else 'sogar'} {second_word} grad {there.at}"
    lead = list(time.glosses) if time else []
    return [*lead, *here.glosses, *first, *there.glosses, *second, "GRAD"], join(time.text if time else "", text)


def two_places(s: Scene) -> Draft:
    """NORD REGEN ABER SUED SONNE -> "im norden regnet es aber im süden scheint die sonne"."""
    time = s.time() if s.chance(0.35) else None
    part = time.part if time else ""
    here = s.place()
    there = s.place(here.glosses)
    glosses, one = _happening(s, part, likely=0.3)
    others, two = _happening(s, part, likely=0.3, but=glosses)
    but = s.chance(0.5)
    first = one.main(time.text, [here.at]) if time else one.main(here.at)
    lead = list(time.glosses) if time else []
    text = join(first, "aber" if but else "und", two.main(there.at))
    return [*lead, *here.glosses, *glosses, *(["ABER"] if but else []), *there.glosses, *others], text


def first_then(s: Scene) -> Draft:
    """MONTAG REGEN DANN SONNE -> "am montag regnet es zuerst dann scheint die sonne"."""
    at = Setting(s, place=0.35, ranges=0.0)
    glosses, one = _happening(s, at.part, likely=0.3)
    others, two = _happening(s, at.part, likely=0.5, but=glosses)
    return [*at.glosses, *glosses, "DANN", *others], join(one.main(at.front, [*at.middle, "zuerst"]), two.main("dann"))


def wind(s: Scene) -> Draft:
    """KUESTE WIND NORD WEST STARK -> "an der küste weht starker wind aus nordwest"; or it turns, or gusts."""
    at = Setting(s)
    side = s.pick([(gloss,) for gloss in words.DIRECTIONS] + list(words.CORNERS))
    way = s.weigh({"from": 4, "turn": 1.5, "force": 1.5, "gusts": 2})
    if way == "turn":
        what = Event(Verb("dreht", "drehen"), "der wind", complement=f"auf {words.direction(side)}")
        return [*at.glosses, "WIND", *side, "DREHEN"], what.main(at.front, at.middle)
    if way == "force":
        force, word = words.number(s.rng.randint(5, 11))
        what = Event(Verb("erreicht", "erreichen"), "der wind", complement=f"stärke {word}")
        return [*at.glosses, "WIND", "STARK", *force], what.main(at.front, at.middle)
    modifier = s.weigh({"STARK": 2, "LEICHT": 1, "MAESSIG": 1})
    if way == "gusts":
        gust = s.noun(kinds=("boe",)) if modifier == "STARK" else words.BOEEN
        with_gusts = f"mit {noun_phrase(gust, 'STARK', 'dat')}"
        how = words.ADJECTIVE_OF[modifier]["wind"]
        what = Event(Verb("weht", "wehen"), "der wind", complement=f"{how} {with_gusts}")
        return [*at.glosses, "WIND", modifier, *gust.glosses, "STARK"], what.main(at.front, at.middle)
    what = Event(Verb("weht", "wehen"), noun_phrase(words.WIND, modifier, "nom"), heavy=True,
                 complement=f"aus {words.direction(side)}")  # fmt: skip
    return [*at.glosses, "WIND", *side, modifier], what.main(at.front, at.middle)


_ENDS = {  # how a phenomenon goes away
    "regen": Verb("hört", "hören", "auf"), "schnee": Verb("taut", "tauen"), "schauer": Verb("klingt", "klingen", "ab"),
    "gewitter": Verb("zieht", "ziehen", "ab"), "nebel": Verb("löst", "lösen", "auf", True),
    "wolke": Verb("lockert", "lockern", "auf"), "wind": Verb("schläft", "schlafen", "ein"),
    "sturm": Verb("legt", "legen", "", True), "frost": Verb("lässt", "lassen", "nach"),
    "boe": Verb("lässt", "lassen", "nach"),
}  # fmt: skip
_GROWS = {
    "regen": Verb("verstärkt", "verstärken", "", True), "wind": Verb("frischt", "frischen", "auf"),
    "wolke": Verb("verdichtet", "verdichten", "", True), "frost": Verb("verschärft", "verschärfen", "", True),
    "schauer": Verb("nimmt", "nehmen", "zu"), "nebel": Verb("breitet", "breiten", "aus", True),
    "gewitter": Verb("nimmt", "nehmen", "zu"),
}  # fmt: skip


def _definite(noun: Noun, verb: Verb) -> Event:
    return Event(verb, noun.definite(), noun.plural)


def change(s: Scene) -> Draft:
    """NACHMITTAG TAL NEBEL WEG -> "in den tälern löst sich der nebel am nachmittag auf"."""
    at = Setting(s, time=0.85, place=0.6)
    grows = s.chance(0.4)
    verbs = _GROWS if grows else _ENDS
    noun = s.noun(part=at.part, kinds=tuple(verbs))
    what = _definite(noun, verbs[noun.kind])
    glosses = [*at.glosses, *noun.glosses, "MEHR" if grows else "WEG"]
    slowly = s.chance(0.3)
    text = what.main(at.front, [*at.middle, "langsam" if slowly else ""])
    glosses += ["LANGSAM"] if slowly else []
    if len(glosses) <= 6 and s.chance(0.5):
        others, two = _happening(s, at.part, likely=0.3, but=noun.glosses)
        return [*glosses, *others], join(text, "und", two.main("danach"))
    return glosses, text


def alternate(s: Scene) -> Draft:
    """MORGEN HARZ SONNE WOLKE WECHSEL -> "morgen wechseln sich im harz sonne und wolken ab"; or rain turns to snow."""
    at = Setting(s, daylight=True, time=0.85)
    if s.season == "winter" and s.chance(0.6):
        one, two = s.pick(((words.REGEN, words.SCHNEE), (words.SCHNEE, words.REGEN), (words.NIESEL, words.EISREGEN)))
        what = Event(Verb("geht", "gehen"), one.definite(), complement=f"in {two.word} über")
        return [*at.glosses, *one.glosses, *two.glosses, "WERDEN"], what.main(at.front, at.middle)
    other = s.pick((words.WOLKEN, words.SCHAUER, words.REGENWOLKEN, words.REGENSCHAUER, words.WOLKENFELDER))
    what = Event(Verb("wechselt", "wechseln", "ab", True), f"sonne und {other.word}", True, heavy=True)
    return [*at.glosses, "SONNE", *other.glosses, "WECHSEL"], what.main(at.front, at.middle)
