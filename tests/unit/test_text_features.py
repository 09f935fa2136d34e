"""The text encoder runs once per distinct sentence, and not again for a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glossfree.assemble import Parts, assemble
from glossfree.config import load_recipe
from glossfree.material import Material, gather
from glossfree.models.language import TextEncoder
from glossfree.progress import Silent
from glossfree.text_features import TEXT_FEATURES, text_features_of
from glossfree.training.run import Run


class Counting(Parts):
    """Counts the sentences that the text encoder reads."""

    read = 0

    def text_features(self, sentences: Any, ids: Any, **options: Any) -> dict[str, Tensor]:
        sentences = list(sentences)
        self.read += len(sentences)
        return super().text_features(sentences, ids, **options)


def material_of(tiny: Any) -> Material:
    return gather(load_recipe(tiny.recipe), tiny.corpus)


def parts_of(material: Material, seed: int = 0) -> Counting:
    recipe = material.recipe.model_copy(update={"seed": seed})
    parts = assemble(recipe, len(material.tokenizer))
    return Counting(recipe, parts.visual, parts.temporal, parts.mbart)


def test_each_sentence_has_the_features_that_it_has_alone(tiny: Any, tmp_path: Path) -> None:
    material = material_of(tiny)
    parts = parts_of(material)
    found = text_features_of(parts, material, Run(tmp_path), Silent())
    texts = {clip.text for split in ("train", "dev") for clip in material.clips(split)}
    assert set(found) == texts and parts.read == len(texts) >= 10
    assert all(p.requires_grad for p in parts.mbart.model.encoder.parameters()), "frozen for these features only"
    encoder = TextEncoder(parts.mbart.model.encoder)
    for text, features in found.items():
        (ids,) = material.token_ids([text])
        torch.testing.assert_close(features, encoder(ids[None])[0], rtol=0, atol=1e-5)


def test_a_run_that_goes_on_finds_them_again(tiny: Any, tmp_path: Path) -> None:
    material = material_of(tiny)
    first = text_features_of(parts_of(material), material, Run(tmp_path), Silent())
    again = parts_of(material)
    found = text_features_of(again, material, Run(tmp_path), Silent())
    assert again.read == 0
    assert found.keys() == first.keys() and all(torch.equal(found[text], first[text]) for text in first)


@pytest.mark.parametrize("change", ["weights", "tokens", "damage"])
def test_of_other_weights_or_tokens_or_from_a_damaged_file_they_are_computed_again(
    tiny: Any, tmp_path: Path, change: str
) -> None:
    material = material_of(tiny)
    text_features_of(parts_of(material), material, Run(tmp_path), Silent())
    parts = parts_of(material, seed=int(change == "weights"))
    if change == "tokens":
        recipe = load_recipe(tiny.recipe, ["text.max_tokens=5"])
        material = gather(recipe, tiny.corpus)
    if change == "damage":
        path = tmp_path / TEXT_FEATURES
        path.write_bytes(path.read_bytes()[:-9])
    text_features_of(parts, material, Run(tmp_path), Silent())
    assert parts.read > 0
