"""The list of corpora, and what a wrong name is answered."""

from __future__ import annotations

import inspect

import pytest

from glossfree.corpora.registry import CORPORA, Corpus, find_corpus
from glossfree.errors import CorpusError
from glossfree.languages import PROFILES


def test_the_corpora_are_listed_under_their_names() -> None:
    assert {"wetter", "phoenix14t-avatar", "phoenix14t", "folder"} < set(CORPORA)
    assert [corpus.name for corpus in CORPORA.values()] == list(CORPORA)
    assert [corpus.name for corpus in CORPORA.values() if not corpus.needs_root] == ["wetter"]


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_clips_takes_what_the_entry_says(corpus: Corpus) -> None:
    parameters = inspect.signature(corpus.clips).parameters
    assert list(parameters)[:2] == ["root", "split"]
    assert {"limit", *corpus.options} <= set(parameters)
    assert corpus.check is None or set(corpus.options) <= set(inspect.signature(corpus.check).parameters)
    assert corpus.language is None or corpus.language in PROFILES
    assert corpus.fps > 0


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        *(("weter", "wetter"), ("phoenix14", "phoenix14t"), ("PHOENIX14T", "phoenix14t"), ("folders", "folder")),
        *(("CSLDaily", "csl-daily"), ("how2sing", "how2sign"), ("open-asl", "openasl")),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_and_all_names(name: str, guess: str) -> None:
    with pytest.raises(CorpusError) as caught:
        find_corpus(name)
    names = ", ".join(CORPORA)
    assert str(caught.value) == f"{name}: no such corpus, did you mean {guess!r}? -> one of {names}"


def test_a_name_like_no_other_is_answered_with_all_names() -> None:
    with pytest.raises(CorpusError, match="xyz: no such corpus -> one of wetter, "):
        find_corpus("xyz")


def test_a_right_name_gives_its_corpus() -> None:
    assert find_corpus("folder") is CORPORA["folder"]
