"""What a recipe leaves to its corpus: the frame rate, and the language of the sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError, ModelError
from glossfree.pipeline.fitting import for_corpus
from glossfree.pipeline.material import tokenizer_of
from glossfree.recipe.files import load_recipe
from glossfree.text.tokenizer import SentenceTokenizer

TEXTS = ("jutro pada deszcz", "dzisiaj świeci słońce")


def corpus(folder: Path, language: str, rates: tuple[float, float] = (12.5, 12.5)) -> Manifest:
    clips = [
        PackedClip(f"{number}", "train", text, f"{number}.mp4", 11, rate)
        for number, (text, rate) in enumerate(zip(TEXTS, rates, strict=True))
    ]
    return Manifest(folder, tuple(clips), {"language": language} if language else {})


@pytest.mark.parametrize(
    ("language", "overrides", "expected"),
    [
        ("de", [], "de_DE"),
        ("pl", [], "pl_PL"),
        ("da", [], "da"),
        ("pl", ['text.language="cs_CZ"'], "cs_CZ"),
        ("", ['text.language="cs_CZ"'], "cs_CZ"),
    ],
)
def test_the_language_is_that_of_the_recipe_else_of_the_corpus(
    tiny: Any, tmp_path: Path, language: str, overrides: list[str], expected: str
) -> None:
    recipe, manifest = load_recipe(tiny.recipe, overrides), corpus(tmp_path, language)
    assert for_corpus(recipe, manifest).text.language == expected
    tokenizer = tokenizer_of(recipe, manifest)
    assert isinstance(tokenizer, SentenceTokenizer) and tokenizer.language == expected
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == list(TEXTS)


def test_without_either_it_is_asked_for(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus\.json: names no language"):
        for_corpus(load_recipe(tiny.recipe), corpus(tmp_path, ""))


def test_a_pretrained_tokenizer_without_the_language_names_the_setting(tiny: Any, tmp_path: Path) -> None:
    SentenceTokenizer.train(TEXTS, 40, "de_DE").save(tmp_path / "mbart")
    (tmp_path / "mbart" / "tokenizer.json").unlink()
    recipe, manifest = load_recipe(tiny.recipe, [f"text.tokenizer={tmp_path / 'mbart'}"]), corpus(tmp_path, "da")
    with pytest.raises(ModelError, match=r"no language 'da'.*text\.language"):
        tokenizer_of(recipe, manifest)


def test_the_rate_is_that_of_the_recipe_else_of_the_corpus(tiny: Any, tmp_path: Path) -> None:
    free, fixed = (load_recipe(tiny.recipe, [f"data.fps={rate}"]) for rate in (0, 8))
    assert for_corpus(free, corpus(tmp_path, "pl")).data.fps == 12.5
    mixed = corpus(tmp_path, "pl", (12.5, 25.0))
    assert for_corpus(fixed, mixed).data.fps == 8
    with pytest.raises(CorpusError, match=r"data\.fps=\d"):
        for_corpus(free, mixed)
