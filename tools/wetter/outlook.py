"""More constructions of the `wetter` grammar: pressure systems, air, warnings, what stays and turns, snow, greetings.

The same shape as those of `grammar.py`: a `Scene` draws glosses, the words follow from them.
"""

from __future__ import annotations

from tools.wetter import words
from tools.wetter.grammar import Draft, Setting
from tools.wetter.phrases import (
    BLEIBEN,
    FALLEN,
    SEIN,
    WERDEN,
    Event,
    Scene,
    event,
    join,
    noun_phrase,
)
from tools.wetter.words import Noun, Verb

_AIR_FROM = {
    "SUED": ("WARM", "MILD", "HEISS", "SCHWUEL", "TROCKEN", "FEUCHT"),
    "NORD": ("KALT", "MILD", "KUEHL", "TROCKEN", "FEUCHT"),
}
_FLAT = ("KUESTE", "SEE", "INSEL", "ELBE", "RHEIN", "DONAU", "TAL", "BERLIN", "NORD")  # no snow line worth a word


def _loaded(s: Scene, kinds: tuple[str, ...], part: str = "") -> tuple[Noun, str]:
    """A phenomenon and its modifier as a noun phrase needs them ("" or an adjective or amount)."""
    noun = s.noun(part=part, kinds=kinds)
    modifier = s.modifier(noun)
    return noun, "" if modifier == "MANCHMAL" else modifier


def system(s: Scene) -> Draft:
    """ENGLAND TIEF BAYERN REGEN STARK BRINGEN -> "ein tief über england bringt in bayern kräftigen regen"."""
    at = Setting(s, place=0.5, ranges=0.0)
    centre = s.pick(words.ABROAD)
    name = s.weigh({"TIEF": 1, "HOCH": 1})
    who = f"ein {name.lower()} {words.ABROAD[centre][0]}"
    if name == "TIEF":
        noun, modifier = _loaded(s, ("regen", "schnee", "schauer", "gewitter", "wolke", "boe"), at.part)
        what, load = noun_phrase(noun, modifier, "acc"), [*noun.glosses, *filter(None, [modifier])]
    else:
        gloss = s.adjective(("WARM", "KALT", "MILD", "TROCKEN", "HEISS", "RUHIG", "SCHOEN", "FREUNDLICH"), at.part)
        thing = "luft" if gloss in ("WARM", "KALT", "MILD", "TROCKEN", "HEISS") else "wetter"
        what = f"{words.ADJECTIVES[gloss][0]}{'e' if thing == 'luft' else 'es'} {thing}"
        load = [gloss, thing.upper()]
    time = at.time.text if at.time else ""
    where = at.place[1] if at.place else ""
    text = join(time, "bringt", who, where, what) if time else join(who, "bringt", where, what)
    return [
        *(at.time.glosses if at.time else ()),
        centre,
        name,
        *(at.place[0] if at.place else ()),
        *load,
        "BRINGEN",
    ], text


def air(s: Scene) -> Draft:
    """DIENSTAG WEST LUFT MILD BAYERN KOMMEN -> "am dienstag strömt milde luft von westen nach bayern"."""
    time = s.time() if s.chance(0.7) else None
    if s.chance(0.4):
        glosses: tuple[str, ...] = (s.pick(words.ABROAD),)
        source = words.ABROAD[glosses[0]][1]
    else:
        glosses = s.pick([(gloss,) for gloss in words.DIRECTIONS] + list(words.CORNERS))
        source = f"von {words.direction(glosses)}en"
    gloss = s.adjective(_AIR_FROM["SUED"] if set(glosses) & {"SUED", "ITALIEN"} else _AIR_FROM["NORD"])
    more = s.chance(0.35)
    adjective = words.ADJECTIVES[gloss][1 if more else 0]
    target = s.place(glosses)
    what = Event(Verb("strömt", "strömen"), f"{adjective}e luft", heavy=True, complement=f"{source} {target.target}")
    lead = list(time.glosses) if time else []
    extra = ["MEHR"] if more else []
    return [*lead, *glosses, "LUFT", *extra, gloss, *target.glosses, "KOMMEN"], what.main(time.text if time else "")


def path(s: Scene) -> Draft:
    """HEUTE HARZ SACHSEN SCHAUER ZIEHEN -> "heute ziehen schauer vom harz nach sachsen"; fronts and rain areas too."""
    time = s.time() if s.chance(0.75) else None
    part = time.part if time else ""
    way = s.weigh({"front": 2, "area": 1, "noun": 2.5, "spread": 2})
    lead = list(time.glosses) if time else []
    front = time.text if time else ""
    here = s.place()
    there = s.place(here.glosses)
    if way == "spread":
        noun = s.noun(part=part, kinds=("regen", "nebel", "wolke", "schnee", "schauer"))
        what = Event(Verb("breitet", "breiten", "aus", True), noun.definite(), noun.plural)
        return [*lead, *noun.glosses, "BIS", *there.glosses, "AUSBREITEN"], what.main(front, [f"bis {there.target}"])
    route = f"{here.source} {there.target}"
    glosses = [*here.glosses, *there.glosses]
    if way == "front":
        kind = s.pick(("KALT", "WARM"))
        what = Event(Verb("zieht", "ziehen"), f"eine {words.ADJECTIVES[kind][0]}front", complement=route)
        return [*lead, kind, "FRONT", *glosses, "ZIEHEN"], what.main(front)
    if way == "area":
        kind = s.pick(("REGEN", "TIEF")) if s.season != "winter" else s.pick(("REGEN", "SCHNEE", "TIEF"))
        name = {"REGEN": "regengebiet", "SCHNEE": "schneefallgebiet", "TIEF": "tiefdruckgebiet"}[kind]
        what = Event(Verb("zieht", "ziehen"), f"ein {name}", complement=route)
        return [*lead, kind, "GEBIET", *glosses, "ZIEHEN"], what.main(front)
    noun = s.noun(part=part, kinds=("schauer", "gewitter", "wolke"))
    modifier = s.modifier(noun, 0.5)
    what = Event(Verb("zieht", "ziehen"), noun_phrase(noun, modifier, "nom"), True, complement=route)
    return [*lead, *glosses, *noun.glosses, *filter(None, [modifier]), "ZIEHEN"], what.main(front)


def warning(s: Scene) -> Draft:
    """BAYERN GEWITTER STARK WARNUNG -> "in bayern wird vor heftigen gewittern gewarnt"; or take care on the roads."""
    at = Setting(s, ranges=0.0)
    way = s.weigh({"warn": 3, "road": 1.5, "danger": 2})
    if way == "road":
        noun = s.noun(part=at.part, kinds=("glatt", "nebel", "regen", "schnee"))
        modifier = s.modifier(noun)
        what = event(noun, modifier, at.part)
        glosses = [*at.glosses, "STRASSE", *noun.glosses, *filter(None, [modifier]), "AUFPASSEN"]
        return glosses, join("vorsicht auf den straßen", what.main(at.front, at.middle))
    if way == "danger":
        options = {
            ("SCHNEE", "STURM"): "schneesturm",
            ("GLATT",): "glätte",
            ("HOCH", "WASSER"): "hochwasser",
            ("STURM",): "sturm",
        }
        if s.season != "winter":
            options = {("WALD", "HEISS"): "waldbrand", ("HOCH", "WASSER"): "hochwasser", ("GEWITTER",): "unwetter"}
        glosses_of = s.pick(options)
        strong = s.weigh({"": 2, "STARK": 1, "LEICHT": 1})
        adjective = {"": "", "STARK": "große", "LEICHT": "geringe"}[strong]
        what = Event(Verb("besteht", "bestehen"), join(adjective, f"{options[glosses_of]}gefahr"), heavy=True)
        return [*at.glosses, *glosses_of, "GEFAHR", *filter(None, [strong])], what.main(at.front, at.middle)
    noun = s.noun(
        part=at.part, kinds=("regen", "schnee", "gewitter", "nebel", "sturm", "boe", "frost", "glatt", "hagel")
    )
    modifier = "" if s.chance(0.25) or noun is words.NIESEL else "STARK"
    what = Event(Verb("wird", "werden"), "", complement=f"vor {noun_phrase(noun, modifier, 'dat')} gewarnt")
    return [*at.glosses, *noun.glosses, *filter(None, [modifier]), "WARNUNG"], what.main(at.front, at.middle)


def _seasonal(s: Scene) -> tuple[list[str], str]:
    """An adjective of the season: HERBST KUEHL, "herbstlich kühl"."""
    season = s.pick([gloss for gloss, (_, of, _) in words.SEASON_WORD.items() if of == s.season])
    adverb, _, adjectives = words.SEASON_WORD[season]
    gloss = s.pick(adjectives)
    return [season, gloss], f"{adverb} {words.ADJECTIVES[gloss][0]}"


def _quality(s: Scene, part: str = "") -> tuple[list[str], str]:
    """What the weather is like: one adjective, graded, of a season, or two joined."""
    way = s.weigh({"plain": 2, "very": 1.5, "season": 3.5, "both": 3, "not": 1})
    gloss = s.adjective(words.AIR if way in ("very", "both", "not") else (), part)
    word = words.ADJECTIVES[gloss][0]
    if way == "very":
        return [gloss, "STARK"], f"sehr {word}"
    if way == "not":
        return [gloss, "NICHT"], f"nicht so {word}"
    if way == "season":
        return _seasonal(s)
    if way == "both":
        other = s.adjective(("TROCKEN", "WIND") if gloss in ("HEISS", "SCHWUEL") else words.SKY, part)
        return [other, gloss], f"{words.ADJECTIVES[other][0]} und {word}"
    return [gloss], word


def outlook(s: Scene) -> Draft:
    """AUCH DIENSTAG BAYERN TROCKEN WARM BLEIBEN -> "auch am dienstag bleibt es in bayern trocken und warm"."""
    until = s.chance(0.15)
    at = Setting(s, place=0.6 if not until else 0.9, time=0.0 if until else 0.85)
    verb, glosses = s.weigh({(BLEIBEN, "BLEIBEN"): 2, (WERDEN, "WERDEN"): 2, (SEIN, ""): 1})
    if until:
        verb, glosses = BLEIBEN, "BLEIBEN"
    if verb is WERDEN and s.chance(0.6):
        gloss = s.adjective(part=at.part)
        degree, word = (["MEHR"], "") if s.chance(0.6) else (["MEHR", "STARK"], "deutlich")
        described, quality = [gloss, *degree], join(word, words.ADJECTIVES[gloss][1])
    else:
        described, quality = _quality(s, at.part)
    what = Event(verb, complement=quality)
    if until:
        day = s.pick(words.WEEKDAYS)
        text = what.main(f"bis {words.WEEKDAYS[day]}", at.middle if at.time else [at.front])
        return ["BIS", day, *at.glosses, *described, glosses], text
    also = verb is not WERDEN and s.chance(0.35)
    text = what.main(join("auch" if also else "", at.front), at.middle)
    return [*(["AUCH"] if also else []), *at.glosses, *described, *filter(None, [glosses])], text


def expected(s: Scene) -> Draft:
    """WOCHENENDE KUESTE WETTER TROCKEN ERWARTEN -> "am wochenende erwartet uns an der küste trockenes wetter"."""
    at = Setting(s)
    gloss = s.adjective(("FREUNDLICH", "TROCKEN", "NASS", "GRAU", "TRUEB", "WECHSELHAFT", "RUHIG", "SONNE", "WIND",
                         "SCHOEN", "KALT", "WARM", "KUEHL", "MILD"), at.part)  # fmt: skip
    described, quality = [gloss], words.ADJECTIVES[gloss][0]
    way = s.weigh({"": 4, "very": 3, "season": 3})
    if way == "season":
        described, quality = _seasonal(s)
    elif way == "very":
        described, quality = [gloss, "STARK"], f"sehr {quality}"
    what = Event(Verb("erwartet uns", "erwarten uns"), f"{quality}es wetter", heavy=True)
    return [*at.glosses, "WETTER", *described, "ERWARTEN"], what.main(at.front, at.middle)


def where(s: Scene) -> Draft:
    """NACHT WO KLAR MINUS ACHT GRAD -> "wo der himmel klar bleibt werden es in der nacht minus acht grad"."""
    time = s.time()
    clear = Event(BLEIBEN, "der himmel", complement="klar")
    fog = Event(Verb("hält", "halten", reflexive=True), "der nebel")
    lifts = Event(Verb("löst", "lösen", "auf", True), "der nebel")
    snow, rain = Event(Verb("schneit", "schneien")), Event(Verb("regnet", "regnen"))
    options: dict[tuple[str, ...], Event] = {
        ("KLAR",): clear,
        ("NEBEL",): fog,
        ("NEBEL", "WEG"): lifts,
        ("REGEN",): rain,
    }
    if s.season != "summer":
        options[("SCHNEE",)] = snow
    if time.part not in ("night", "evening"):
        options[("SONNE", "LANG")] = event(words.SONNE, "LANG")
    condition = s.pick(options)
    opening = options[condition].subordinate("wo")
    lead = [*time.glosses, "WO", *condition]
    if condition in (("NEBEL",), ("REGEN",), ("SCHNEE",)) or s.chance(0.4):
        low = s.degrees(time.part)
        glosses, text = words.number(low)
        highest = s.chance(0.4)
        what = Event(Verb("werden", "werden"), complement=join("höchstens" if highest else "", f"{text} grad"))
        return [*lead, *glosses, "GRAD", *(["HOECHST"] if highest else [])], what.main(opening, [time.text])
    described, quality = _quality(s, time.part)
    return [*lead, *described, "WERDEN"], Event(WERDEN, complement=quality).main(opening, [time.text])


def snow(s: Scene) -> Draft:
    """HARZ SECHS HUNDERT METER SCHNEE -> "im harz schneit es oberhalb von sechshundert metern"; also its line."""
    s.season = "winter"
    at = Setting(s, ranges=0.0, avoid=_FLAT)
    way = s.weigh({"above": 2, "line": 2, "fresh": 2})
    hundreds = s.pick((2, 3, 4, 5, 6, 7, 8, 9, 11, 12))
    glosses, word = words.number(hundreds)
    height = [*glosses, "HUNDERT", "METER"]
    if way == "above":
        what = Event(Verb("schneit", "schneien"), complement=f"oberhalb von {word}hundert metern")
        return [*at.glosses, *height, "SCHNEE"], what.main(at.front, at.middle)
    if way == "line":
        turn, verb = s.weigh({("SINKEN", Verb("sinkt", "sinken")): 1, ("STEIGEN", Verb("steigt", "steigen")): 1})
        what = Event(verb, "die schneefallgrenze", complement=f"auf {word}hundert meter")
        return [*at.glosses, "SCHNEE", "GRENZE", *height, turn], what.main(at.front, at.middle)
    glosses, word = words.number(s.pick((2, 3, 5, 8, 10, 12, 15, 20, 25, 30)))
    up_to = s.chance(0.5)
    what = Event(FALLEN, join("bis zu" if up_to else "", word, "zentimeter neuschnee"), True, heavy=True)
    extra = ["HOECHST"] if up_to else []
    return [*at.glosses, "NEU", "SCHNEE", *glosses, "ZENTIMETER", *extra], what.main(at.front, at.middle)


def sunshine(s: Scene) -> Draft:
    """MORGEN BAYERN SONNE ACHT STUNDE -> "morgen scheint die sonne in bayern acht stunden lang"."""
    at = Setting(s, day_only=True, single=True)
    glosses, word = words.number(s.rng.randint(2, {"winter": 8, "mild": 11, "summer": 15}[s.season]))
    what = Event(Verb("scheint", "scheinen"), "die sonne", complement=f"{word} stunden lang")
    return [*at.glosses, "SONNE", *glosses, "STUNDE"], what.main(at.front, at.middle)


def header(s: Scene) -> Draft:
    """WETTER MONTAG DREI MAI BAYERN -> "so wird das wetter am montag dem dritten mai in bayern"."""
    day, date = s.pick(words.WEEKDAYS), s.date()
    place = s.place() if s.chance(0.5) else None
    text = f"so wird das wetter am {words.WEEKDAYS[day]} dem {date.text[3:]}"
    return ["WETTER", day, *date.glosses, *(place.glosses if place else ())], join(text, place.at if place else "")


def greeting(s: Scene) -> Draft:
    """GUT ABEND ZUSCHAUER MORGEN KALT MEHR -> "guten abend liebe zuschauer morgen wird es kälter"."""
    hour, said = s.pick((("ABEND", "guten abend"), ("TAG", "guten tag"), ("FRUEH", "guten morgen")))
    time = s.time(day_only=True)
    if s.chance(0.5):
        gloss = s.adjective()
        tail, text = [gloss, "MEHR"], Event(WERDEN, complement=words.ADJECTIVES[gloss][1]).main(time.text)
    else:
        noun = s.noun(part=time.part)
        tail, text = list(noun.glosses), event(noun, "", time.part).main(time.text)
    return ["GUT", hour, "ZUSCHAUER", *time.glosses, *tail], join(said, "liebe zuschauer", text)


def farewell(s: Scene) -> Draft:
    """WUENSCHEN SCHOEN ABEND MONTAG SEHEN -> "ich wünsche ihnen einen schönen abend wir sehen uns am montag wieder"."""
    gloss, word, gender = s.pick(
        (("ABEND", "abend", "m"), ("WOCHENENDE", "wochenende", "n"), ("NACHT", "nacht", "f"), ("TAG", "tag", "m"),
         ("WOCHE", "woche", "f"), ("SONNTAG", "sonntag", "m"))
    )  # fmt: skip
    nice, stem = s.pick((("SCHOEN", "schön"), ("RUHIG", "ruhig"), ("GUT", "gut")))
    article, ending = {"m": ("einen", "en"), "f": ("eine", "e"), "n": ("ein", "es")}[gender]
    glosses, text = ["WUENSCHEN", nice, gloss], f"ich wünsche ihnen {article} {stem}{ending} {word}"
    day = s.weigh({"MORGEN": 2, **dict.fromkeys(words.WEEKDAYS, 1)})
    again = "morgen" if day == "MORGEN" else f"am {words.WEEKDAYS[day]}"
    return [*glosses, day, "SEHEN"], f"{text} wir sehen uns {again} wieder"
