"""The words of the `wetter` grammar: glosses -> German nouns, adjectives, verbs, places, months and numbers.

Tables only, and the endings that go with them; what may stand beside what is said in `phrases.py`. Spoken words
are lower-case and keep their umlauts, glosses are upper-case and spell them out (FRUEH).
"""

from __future__ import annotations

from dataclasses import dataclass

Glosses = tuple[str, ...]

_STRONG = {
    "nom": {"m": "er", "f": "e", "n": "es", "p": "e"},
    "acc": {"m": "en", "f": "e", "n": "es", "p": "e"},
    "dat": {"m": "em", "f": "er", "n": "em", "p": "en"},
}
_KEIN = {"m": "keinen", "f": "keine", "n": "kein", "p": "keine"}
_DER = {"m": "der", "f": "die", "n": "das", "p": "die"}


@dataclass(frozen=True)
class Noun:
    """A phenomenon: its glosses and word, gender (m, f, n, or p for plural), kind and season ("" = any)."""

    glosses: Glosses
    word: str
    gender: str
    kind: str
    season: str = ""
    dative: str = ""

    @property
    def plural(self) -> bool:
        return self.gender == "p"

    def definite(self) -> str:
        """The noun with its article, nominative: "der regen"."""
        return f"{_DER[self.gender]} {self.word}"

    def negated(self) -> str:
        """The noun with "kein", accusative: "keinen regen"."""
        return f"{_KEIN[self.gender]} {self.word}"

    def with_adjective(self, stem: str, case: str = "nom") -> str:
        """The noun without article behind a declined adjective ("" = none): ("kräftig", "dat") -> "kräftigem regen"."""
        word = self.dative if case == "dat" and self.dative else self.word
        return f"{stem}{_STRONG[case][self.gender]} {word}" if stem else word


@dataclass(frozen=True)
class Verb:
    """Third person singular and plural of a verb, its separable particle, and whether it takes "sich"."""

    singular: str
    plural: str
    particle: str = ""
    reflexive: bool = False
    stem: str = ""  # the infinitive without particle, where it is not the plural

    @property
    def infinitive(self) -> str:
        return self.particle + (self.stem or self.plural)


@dataclass(frozen=True)
class Place:
    """A place as its three phrases: where, from where, to where."""

    glosses: Glosses
    at: str
    source: str
    target: str


REGEN = Noun(("REGEN",), "regen", "m", "regen")
SCHNEE = Noun(("SCHNEE",), "schnee", "m", "schnee", "winter")
SCHNEEREGEN = Noun(("SCHNEE", "REGEN"), "schneeregen", "m", "regen", "winter")
NIESEL = Noun(("NIESEL",), "nieselregen", "m", "regen")
EISREGEN = Noun(("EIS", "REGEN"), "eisregen", "m", "regen", "winter")
SCHAUER = Noun(("SCHAUER",), "schauer", "p", "schauer", "", "schauern")
REGENSCHAUER = Noun(("REGEN", "SCHAUER"), "regenschauer", "p", "schauer", "", "regenschauern")
SCHNEESCHAUER = Noun(("SCHNEE", "SCHAUER"), "schneeschauer", "p", "schauer", "winter", "schneeschauern")
HAGEL = Noun(("HAGEL",), "hagel", "m", "hagel")
GEWITTER = Noun(("GEWITTER",), "gewitter", "p", "gewitter", "summer", "gewittern")
HITZEGEWITTER = Noun(("HEISS", "GEWITTER"), "hitzegewitter", "p", "gewitter", "summer", "hitzegewittern")
NEBEL = Noun(("NEBEL",), "nebel", "m", "nebel")
HOCHNEBEL = Noun(("HOCH", "NEBEL"), "hochnebel", "m", "nebel", "winter")
NEBELFELDER = Noun(("NEBEL", "FELD"), "nebelfelder", "p", "nebel", "", "nebelfeldern")
WOLKEN = Noun(("WOLKE",), "wolken", "p", "wolke")
REGENWOLKEN = Noun(("REGEN", "WOLKE"), "regenwolken", "p", "wolke")
WOLKENFELDER = Noun(("WOLKE", "FELD"), "wolkenfelder", "p", "wolke", "", "wolkenfeldern")
SONNE = Noun(("SONNE",), "sonne", "f", "sonne")
WIND = Noun(("WIND",), "wind", "m", "wind")
STURM = Noun(("STURM",), "sturm", "m", "sturm")
BOEEN = Noun(("BOE",), "böen", "p", "boe")
STURMBOEEN = Noun(("STURM", "BOE"), "sturmböen", "p", "boe")
GEWITTERBOEEN = Noun(("GEWITTER", "BOE"), "gewitterböen", "p", "boe", "summer")
FROST = Noun(("FROST",), "frost", "m", "frost", "winter")
BODENFROST = Noun(("BODEN", "FROST"), "bodenfrost", "m", "frost", "winter")
GLAETTE = Noun(("GLATT",), "glätte", "f", "glatt", "winter")
GLATTEIS = Noun(("GLATT", "EIS"), "glatteis", "n", "glatt", "winter")

NOUNS: dict[Noun, float] = {
    REGEN: 5, SCHNEE: 4, SCHNEEREGEN: 1.2, NIESEL: 1, EISREGEN: 1, SCHAUER: 3, REGENSCHAUER: 1, SCHNEESCHAUER: 1.2,
    HAGEL: 1, GEWITTER: 4, HITZEGEWITTER: 1, NEBEL: 3, HOCHNEBEL: 1, NEBELFELDER: 1, WOLKEN: 3, REGENWOLKEN: 1,
    WOLKENFELDER: 1, SONNE: 4, WIND: 3, STURM: 1.5, BOEEN: 1.5, STURMBOEEN: 1.2, GEWITTERBOEEN: 1, FROST: 2,
    BODENFROST: 1, GLAETTE: 1.5, GLATTEIS: 1,
}  # fmt: skip

# One gloss, several adjectives: German says "starker wind", but "kräftiger regen" and "strenger frost".
ADJECTIVE_OF: dict[str, dict[str, str]] = {
    "STARK": {"regen": "kräftig", "schnee": "heftig", "schauer": "kräftig", "gewitter": "heftig", "nebel": "dicht",
              "wolke": "dunkl", "wind": "stark", "sturm": "schwer", "boe": "schwer", "frost": "streng",
              "glatt": "gefährlich", "hagel": "groß"},
    "LEICHT": {"regen": "leicht", "schnee": "leicht", "schauer": "leicht", "gewitter": "schwach", "nebel": "flach",
               "wolke": "locker", "wind": "schwach", "boe": "schwach", "frost": "leicht"},
    "LANG": {"regen": "anhaltend", "schnee": "anhaltend", "nebel": "zäh", "frost": "andauernd"},
    "EINZELN": {"schauer": "einzeln", "gewitter": "einzeln", "wolke": "einzeln", "boe": "vereinzelt"},
    "MAESSIG": {"wind": "mäßig", "frost": "mäßig", "regen": "mäßig"},
}  # fmt: skip


# gloss -> positive, comparative ("" = not compared), seasons in which it is said ("" = any)
ADJECTIVES: dict[str, tuple[str, str, str]] = {
    "WARM": ("warm", "wärmer", "summer mild"),
    "KALT": ("kalt", "kälter", "winter mild"),
    "MILD": ("mild", "milder", "winter mild"),
    "KUEHL": ("kühl", "kühler", "summer mild"),
    "HEISS": ("heiß", "heißer", "summer"),
    "SCHWUEL": ("schwül", "schwüler", "summer"),
    "TROCKEN": ("trocken", "trockener", ""),
    "FEUCHT": ("feucht", "feuchter", ""),
    "NASS": ("nass", "nasser", ""),
    "FREUNDLICH": ("freundlich", "freundlicher", ""),
    "GRAU": ("grau", "grauer", "winter mild"),
    "TRUEB": ("trüb", "trüber", ""),
    "WECHSELHAFT": ("wechselhaft", "wechselhafter", ""),
    "RUHIG": ("ruhig", "ruhiger", ""),
    "SCHOEN": ("schön", "schöner", ""),
    "SONNE": ("sonnig", "sonniger", ""),
    "WIND": ("windig", "windiger", ""),
    "KLAR": ("klar", "klarer", ""),
}
# Adjectives a forecast joins: the feel of the air with the look of the sky.
AIR = ("WARM", "KALT", "MILD", "KUEHL", "HEISS", "SCHWUEL")
SKY = ("TROCKEN", "FEUCHT", "NASS", "FREUNDLICH", "GRAU", "TRUEB", "WECHSELHAFT", "RUHIG", "SONNE", "WIND")
SEASON_WORD: dict[str, tuple[str, str, tuple[str, ...]]] = {  # gloss -> adverb, season, adjectives it goes with
    "SOMMER": ("sommerlich", "summer", ("WARM", "HEISS", "SCHWUEL")),
    "WINTER": ("winterlich", "winter", ("KALT", "GRAU")),
    "HERBST": ("herbstlich", "mild", ("KUEHL", "GRAU")),
    "FRUEHLING": ("frühlingshaft", "mild", ("MILD", "WARM")),
}

DIRECTIONS = {"NORD": "nord", "SUED": "süd", "WEST": "west", "OST": "ost"}
CORNERS = (("NORD", "WEST"), ("NORD", "OST"), ("SUED", "WEST"), ("SUED", "OST"))


def direction(glosses: Glosses) -> str:
    """("NORD", "WEST") -> "nordwest"."""
    return "".join(DIRECTIONS[gloss] for gloss in glosses)


_NAMED = {  # glosses -> article phrases of where, from where, to where; the name; the weight
    "KUESTE": ("an der", "von der", "zur", "küste", 2), "DONAU": ("an der", "von der", "zur", "donau", 2),
    "ELBE": ("an der", "von der", "zur", "elbe", 2), "NORD SEE": ("an der", "von der", "zur", "nordsee", 2),
    "OST SEE": ("an der", "von der", "zur", "ostsee", 2), "RHEIN": ("am", "vom", "zum", "rhein", 2),
    "NORD SEE KUESTE": ("an der", "von der", "zur", "nordseeküste", 0.7),
    "OST SEE KUESTE": ("an der", "von der", "zur", "ostseeküste", 0.7),
    "BODEN SEE": ("am", "vom", "zum", "bodensee", 2), "ALPEN RAND": ("am", "vom", "zum", "alpenrand", 2),
    "SCHWARZ WALD": ("im", "vom", "in den", "schwarzwald", 2), "HARZ": ("im", "vom", "in den", "harz", 2),
    "RHEIN TAL": ("im", "vom", "ins", "rheintal", 0.7), "DONAU TAL": ("im", "vom", "ins", "donautal", 0.7),
    "MITTE": ("in der", "von der", "in die", "mitte", 3), "ALPEN": ("in den", "von den", "zu den", "alpen", 3),
    "INSEL": ("auf den", "von den", "zu den", "inseln", 2), "BERG": ("im", "vom", "ins", "bergland", 2.5),
    "BERLIN": ("in", "von", "nach", "berlin", 2), "FRANKEN": ("in", "von", "nach", "franken", 2),
}  # fmt: skip
_STATES = {"BAYERN": "bayern", "SACHSEN": "sachsen", "HESSEN": "hessen", "THUERINGEN": "thüringen"}


def _places() -> dict[Place, float]:
    """Every place with its weight."""
    places: dict[Place, float] = {}
    sides: list[Glosses] = [(gloss,) for gloss in DIRECTIONS]
    for side in [*sides, *CORNERS]:
        name = direction(side) + "en"
        places[Place(side, f"im {name}", f"von {name}", f"in den {name}")] = 5 if len(side) == 1 else 1.5
    for glosses, (at, source, target, name, weight) in _NAMED.items():
        places[Place(tuple(glosses.split()), f"{at} {name}", f"{source} {name}", f"{target} {name}")] = weight
    for gloss, name in _STATES.items():
        places[Place((gloss,), f"in {name}", f"von {name}", f"nach {name}")] = 2
    for gloss, word in {**_STATES, "DEUTSCHLAND": "deutschland"}.items():
        for prefix in DIRECTIONS:
            name = DIRECTIONS[prefix] + word
            places[Place((prefix, gloss), f"in {name}", f"von {name}", f"nach {name}")] = 0.6
    places[Place(("TAL",), "in den tälern", "von den tälern", "in die täler")] = 2
    return places


PLACES = _places()
ABROAD: dict[str, tuple[str, str]] = {  # gloss -> over where, from where
    "ATLANTIK": ("über dem atlantik", "vom atlantik"),
    "ENGLAND": ("über england", "von england"),
    "FRANKREICH": ("über frankreich", "von frankreich"),
    "POLEN": ("über polen", "von polen"),
    "ITALIEN": ("über italien", "von italien"),
}

WEEKDAYS = {"MONTAG": "montag", "DIENSTAG": "dienstag", "MITTWOCH": "mittwoch", "DONNERSTAG": "donnerstag",
            "FREITAG": "freitag", "SAMSTAG": "samstag", "SONNTAG": "sonntag"}  # fmt: skip
MONTHS = {"JANUAR": "januar", "FEBRUAR": "februar", "MAERZ": "märz", "APRIL": "april", "MAI": "mai", "JUNI": "juni",
          "JULI": "juli", "AUGUST": "august", "SEPTEMBER": "september", "OKTOBER": "oktober", "NOVEMBER": "november",
          "DEZEMBER": "dezember"}  # fmt: skip
MONTHS_OF = {
    "winter": ("NOVEMBER", "DEZEMBER", "JANUAR", "FEBRUAR"),
    "mild": ("MAERZ", "APRIL", "OKTOBER"),
    "summer": ("MAI", "JUNI", "JULI", "AUGUST", "SEPTEMBER"),
}

_ONES = ("null", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf")
_ONE_GLOSSES = ("NULL", "EINS", "ZWEI", "DREI", "VIER", "FUENF", "SECHS", "SIEBEN", "ACHT", "NEUN", "ZEHN", "ELF",
                "ZWOELF")  # fmt: skip
_TEENS = {3: "dreizehn", 4: "vierzehn", 5: "fünfzehn", 6: "sechzehn", 7: "siebzehn", 8: "achtzehn", 9: "neunzehn"}
_TENS = {2: ("ZWANZIG", "zwanzig"), 3: ("DREISSIG", "dreißig")}
_ORDINALS = {1: "ersten", 3: "dritten", 7: "siebten", 8: "achten"}


def number(value: int) -> tuple[Glosses, str]:
    """-39..39 -> glosses and word before a noun: 25 -> (FUENF, ZWANZIG), "fünfundzwanzig"; -1 -> "minus ein"."""
    if value < 0:
        glosses, word = number(-value)
        return ("MINUS", *glosses), f"minus {word}"
    if value <= 12:
        return (_ONE_GLOSSES[value],), _ONES[value]
    tens, ones = divmod(value, 10)
    if tens == 1:
        return (_ONE_GLOSSES[ones], "ZEHN"), _TEENS[ones]
    gloss, word = _TENS[tens]
    return ((gloss,), word) if ones == 0 else ((_ONE_GLOSSES[ones], gloss), f"{_ONES[ones]}und{word}")


def ordinal(day: int) -> tuple[Glosses, str]:
    """A day of the month -> glosses and dative ordinal: 3 -> (DREI,), "dritten"."""
    glosses, word = number(day)
    return glosses, _ORDINALS.get(day) or (word + ("ten" if day < 20 else "sten"))
