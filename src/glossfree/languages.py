"""The spoken languages in one table: everything that the project decides by the language of a corpus.

A language is a line of `PROFILES`. A corpus names its language, or the user does; there is no default.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from glossfree.errors import CorpusError


@dataclass(frozen=True)
class Profile:
    """What depends on a spoken language.

    code        ISO 639-1
    mbart       its code in mBART: large-cc25 or, for the languages added later, large-50; "" if neither has one
    spacy       spaCy's models, the best first; one is used if the user has installed it
    hanta       HanTa's model, inside its package
    analyser    the package (an extra) that finds its words, where spaces do not, with lemma and part of speech
    simplemma   its code in simplemma (an extra), which knows lemmas but no parts of speech; the others make it needless
    bleu        sacrebleu's tokenizer; "zh" and "char" count characters, and so does ROUGE-L then
    half_width  scores take the full-width letters, digits and marks of CJK text for their ASCII forms: mBART's
                tokenizer writes only these, whatever the references have
    """

    code: str
    name: str
    mbart: str = ""
    spacy: tuple[str, ...] = ()
    hanta: str = ""
    analyser: str = ""
    simplemma: str = ""
    bleu: str = "13a"
    half_width: bool = False

    @property
    def token(self) -> str:
        """What a tokenizer in mBART's layout calls the language: mBART's code or, without one, ISO 639-1's."""
        return self.mbart or self.code

    @property
    def characters(self) -> bool:
        """Whether scores count characters in place of words."""
        return self.bleu in ("zh", "char")


def _sizes(pipeline: str) -> tuple[str, ...]:
    return tuple(f"{pipeline}_{size}" for size in ("lg", "md", "sm"))


CHINESE = ("zh_core_web_trf", *_sizes("zh_core_web"))
JAPANESE = ("ja_core_news_trf", *_sizes("ja_core_news"))
# full-width forms -> ASCII, and the ideographic space -> a space
HALF_WIDTH = {code + 0xFEE0: code for code in range(0x21, 0x7F)} | {0x3000: 0x20}
# spaCy's small models are left out where HanTa has a model: on lower-case text, as corpora have it, HanTa is better.
PROFILES = {
    profile.code: profile
    for profile in (
        Profile("af", "Afrikaans", "af_ZA"),
        Profile("ar", "Arabic", "ar_AR", simplemma="ar"),
        Profile("az", "Azerbaijani", "az_AZ"),
        Profile("bg", "Bulgarian", simplemma="bg"),
        Profile("bn", "Bengali", "bn_IN"),
        Profile("ca", "Catalan", spacy=("ca_core_news_trf", *_sizes("ca_core_news")), simplemma="ca"),
        Profile("cs", "Czech", "cs_CZ", simplemma="cs"),
        Profile("cy", "Welsh", simplemma="cy"),
        Profile("da", "Danish", spacy=("da_core_news_trf", *_sizes("da_core_news")), simplemma="da"),
        Profile("de", "German", "de_DE", ("de_dep_news_trf", "de_core_news_lg"), "morphmodel_ger.pgz"),
        Profile("el", "Greek", spacy=_sizes("el_core_news"), simplemma="el"),
        Profile("en", "English", "en_XX", ("en_core_web_trf", "en_core_web_lg"), "morphmodel_en.pgz"),
        Profile("es", "Spanish", "es_XX", ("es_dep_news_trf", *_sizes("es_core_news")), simplemma="es"),
        Profile("et", "Estonian", "et_EE", simplemma="et"),
        Profile("fa", "Persian", "fa_IR", simplemma="fa"),
        Profile("fi", "Finnish", "fi_FI", _sizes("fi_core_news"), simplemma="fi"),
        Profile("fr", "French", "fr_XX", ("fr_dep_news_trf", *_sizes("fr_core_news")), simplemma="fr"),
        Profile("ga", "Irish", simplemma="ga"),
        Profile("gl", "Galician", "gl_ES", simplemma="gl"),
        Profile("gu", "Gujarati", "gu_IN"),
        Profile("he", "Hebrew", "he_IL", simplemma="he"),
        Profile("hi", "Hindi", "hi_IN", simplemma="hi"),
        Profile("hr", "Croatian", "hr_HR", _sizes("hr_core_news"), simplemma="hbs"),
        Profile("hu", "Hungarian", simplemma="hu"),
        Profile("id", "Indonesian", "id_ID", simplemma="id"),
        Profile("is", "Icelandic", simplemma="is"),
        Profile("it", "Italian", "it_IT", _sizes("it_core_news"), simplemma="it"),
        Profile("ja", "Japanese", "ja_XX", JAPANESE, analyser="sudachipy", bleu="char", half_width=True),
        Profile("ka", "Georgian", "ka_GE", simplemma="ka"),
        Profile("kk", "Kazakh", "kk_KZ"),
        Profile("km", "Khmer", "km_KH", bleu="char"),
        Profile("ko", "Korean", "ko_KR", _sizes("ko_core_news"), analyser="kiwipiepy"),
        Profile("lt", "Lithuanian", "lt_LT", _sizes("lt_core_news"), simplemma="lt"),
        Profile("lv", "Latvian", "lv_LV", simplemma="lv"),
        Profile("mk", "Macedonian", "mk_MK", _sizes("mk_core_news"), simplemma="mk"),
        Profile("ml", "Malayalam", "ml_IN", simplemma="ml"),
        Profile("mn", "Mongolian", "mn_MN"),
        Profile("mr", "Marathi", "mr_IN"),
        Profile("ms", "Malay", simplemma="ms"),
        Profile("my", "Burmese", "my_MM", bleu="char"),
        Profile("ne", "Nepali", "ne_NP"),
        Profile("nl", "Dutch", "nl_XX", ("nl_core_news_lg",), "morphmodel_dutch.pgz"),
        Profile("no", "Norwegian", spacy=_sizes("nb_core_news"), simplemma="nb"),
        Profile("pl", "Polish", "pl_PL", _sizes("pl_core_news"), simplemma="pl"),
        Profile("ps", "Pashto", "ps_AF"),
        Profile("pt", "Portuguese", "pt_XX", _sizes("pt_core_news"), simplemma="pt"),
        Profile("ro", "Romanian", "ro_RO", _sizes("ro_core_news"), simplemma="ro"),
        Profile("ru", "Russian", "ru_RU", _sizes("ru_core_news"), simplemma="ru"),
        Profile("si", "Sinhala", "si_LK"),
        Profile("sk", "Slovak", simplemma="sk"),
        Profile("sl", "Slovenian", "sl_SI", ("sl_core_news_trf", *_sizes("sl_core_news")), simplemma="sl"),
        Profile("sq", "Albanian", simplemma="sq"),
        Profile("sv", "Swedish", "sv_SE", _sizes("sv_core_news"), simplemma="sv"),
        Profile("sw", "Swahili", "sw_KE", simplemma="sw"),
        Profile("ta", "Tamil", "ta_IN"),
        Profile("te", "Telugu", "te_IN"),
        Profile("th", "Thai", "th_TH", analyser="pythainlp", bleu="char"),
        Profile("tl", "Tagalog", "tl_XX", simplemma="tl"),
        Profile("tr", "Turkish", "tr_TR", simplemma="tr"),
        Profile("uk", "Ukrainian", "uk_UA", ("uk_core_news_trf", *_sizes("uk_core_news")), simplemma="uk"),
        Profile("ur", "Urdu", "ur_PK"),
        Profile("vi", "Vietnamese", "vi_VN"),
        Profile("xh", "Xhosa", "xh_ZA"),
        Profile("zh", "Chinese", "zh_CN", CHINESE, analyser="rjieba", bleu="zh", half_width=True),
    )
}
ALIASES = {"fil": "tl", "iw": "he", "nb": "no", "nn": "no"}


def base_language(language: str) -> str:
    """A language code in any common spelling, also of a language that is not in the table -> its base.

    "zh_CN" and "zh-Hans" are "zh", "nb" is "no".
    """
    base = language.strip().replace("-", "_").partition("_")[0].lower()
    return ALIASES.get(base, base)


def profile_of(language: str) -> Profile:
    """A language code in any common spelling -> its profile. Raises CorpusError."""
    code = base_language(language)
    if code not in PROFILES:
        remedy = f"{_guess(code)}one of {', '.join(PROFILES)}"
        raise CorpusError("no such language", where=repr(language), remedy=remedy)
    return PROFILES[code]


def _guess(text: str) -> str:
    """ "german" -> "did you mean de (German)? "; "" for what resembles no name."""
    codes = {profile.name.lower(): code for code, profile in PROFILES.items()}
    near = difflib.get_close_matches(text, codes, n=1, cutoff=0.7)
    return f"did you mean {codes[near[0]]} ({PROFILES[codes[near[0]]].name})? " if near else ""


def unnamed_language(where: object) -> CorpusError:
    """The error where neither a corpus nor the user names the language of sentences."""
    remedy = f"name it with --language, one of {', '.join(PROFILES)}"
    return CorpusError("the language of its sentences is not named", where=str(where), remedy=remedy)
