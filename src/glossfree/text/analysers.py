"""Text of languages whose words no spaces part, or join with their particles -> words with lemma and part of speech.

Each of `ANALYSERS` loads its package, an extra, and returns a function: sentence -> (word, lemma, universal part of
speech) of each word. Tables map the beginning of a package's tag; the longest that matches counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Analyse = Callable[[str], list[tuple[str, str, str]]]

ICTCLAS = {
    "n": "NOUN", "t": "NOUN", "s": "NOUN", "j": "NOUN", "q": "NOUN", "nr": "PROPN", "ns": "PROPN", "nt": "PROPN",
    "nz": "PROPN", "eng": "PROPN", "v": "VERB", "i": "VERB", "l": "VERB", "a": "ADJ", "b": "ADJ", "z": "ADJ",
    "d": "ADV", "m": "NUM", "r": "PRON", "p": "ADP", "f": "ADP", "c": "CCONJ", "u": "PART", "y": "PART", "h": "PART",
    "k": "PART", "e": "INTJ", "o": "INTJ",
}  # fmt: skip
UNIDIC = {
    "名詞": "NOUN", "名詞-固有名詞": "PROPN", "名詞-数詞": "NUM", "代名詞": "PRON", "動詞": "VERB", "形容詞": "ADJ",
    "形状詞": "ADJ", "副詞": "ADV", "連体詞": "DET", "接続詞": "CCONJ", "感動詞": "INTJ", "助動詞": "AUX",
    "助詞": "ADP", "接頭辞": "PART", "接尾辞": "PART", "記号": "PUNCT", "補助記号": "PUNCT",
}  # fmt: skip
SEJONG = {
    "N": "NOUN", "NNP": "PROPN", "NR": "NUM", "NP": "PRON", "VV": "VERB", "VA": "ADJ", "VX": "AUX", "VC": "AUX",
    "MM": "DET", "MAG": "ADV", "MAJ": "CCONJ", "IC": "INTJ", "J": "ADP", "E": "PART", "X": "PART", "XR": "NOUN",
    "S": "PUNCT", "SL": "PROPN", "SH": "NOUN", "SN": "NUM",
}  # fmt: skip


def universal(tag: str, table: Mapping[str, str]) -> str:
    """A tag -> its universal part of speech by the longest beginning that the table has; X without one."""
    return next((table[tag[:length]] for length in range(len(tag), 0, -1) if tag[:length] in table), "X")


def chinese() -> Analyse:
    """Chinese by jieba's dictionary; a word is its own lemma."""
    import rjieba

    return lambda text: [(word, word, universal(tag, ICTCLAS)) for word, tag in rjieba.tag(text)]


def japanese() -> Analyse:
    """Japanese by Sudachi's small dictionary; the lemma is the form that dictionaries list."""
    from sudachipy import Dictionary

    words = Dictionary(dict="small").tokenizer().tokenize
    return lambda text: [
        (word.surface(), word.dictionary_form(), universal("-".join(word.part_of_speech()[:2]), UNIDIC))
        for word in words(text)
    ]


def korean() -> Analyse:
    """Korean by Kiwi; particles and endings are words of their own."""
    from kiwipiepy import Kiwi

    words = Kiwi().tokenize
    return lambda text: [(word.form, word.lemma, universal(word.tag, SEJONG)) for word in words(text)]


def thai() -> Analyse:
    """Thai by PyThaiNLP's dictionary, tagged by its perceptron; a word is its own lemma."""
    from pythainlp.tag import pos_tag
    from pythainlp.tokenize import word_tokenize

    return lambda text: [
        (word, word, tag) for word, tag in pos_tag(word_tokenize(text, keep_whitespace=False), corpus="pud")
    ]


ANALYSERS: dict[str, Callable[[], Analyse]] = {
    "rjieba": chinese,
    "sudachipy": japanese,
    "kiwipiepy": korean,
    "pythainlp": thai,
}
