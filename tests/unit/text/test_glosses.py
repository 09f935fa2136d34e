"""Annotated glosses: ids of the training split, saved with the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossfree.errors import CorpusError
from glossfree.text.glosses import GLOSSES, GlossVocabulary

VOCABULARY = GlossVocabulary.of([("REGEN", "MORGEN"), (), ("ÖSTLICH", "REGEN", "REGEN")])


def test_ids_are_sorted_and_begin_behind_the_blank() -> None:
    assert VOCABULARY.inventory == ("MORGEN", "REGEN", "ÖSTLICH") and len(VOCABULARY) == 3
    assert VOCABULARY.ids(("REGEN", "REGEN", "MORGEN")) == [2, 2, 1]


def test_glosses_that_training_has_not_are_left_out() -> None:
    assert VOCABULARY.ids(("TAUEN", "ÖSTLICH", "FÖHN")) == [3]
    assert VOCABULARY.ids(()) == []


def test_a_saved_vocabulary_is_loaded_as_it_was(tmp_path: Path) -> None:
    VOCABULARY.save(tmp_path / GLOSSES)
    assert GlossVocabulary.load(tmp_path / GLOSSES) == VOCABULARY


@pytest.mark.parametrize("content", ["{", "{}", '{"inventory": [7]}', "[]"])
def test_another_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / GLOSSES
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError) as caught:
        GlossVocabulary.load(path)
    assert str(path) in str(caught.value.where) and caught.value.remedy
