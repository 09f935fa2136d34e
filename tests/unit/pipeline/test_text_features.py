"""The text encoder runs once per distinct sentence, and not again for a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glossfree.console import Silent
from glossfree.models.language.mbart import MBart, MBartEncoder
from glossfree.padded import Padded
from glossfree.pipeline.assemble import assemble
from glossfree.pipeline.material import Material, gather
from glossfree.pipeline.text_features import TEXT_FEATURES, FrozenTextEncoder, encode, text_features_of
from glossfree.recipe.files import load_recipe
from glossfree.training.run import Run

SENTENCES = ("a", "b", "c")
IDS = [torch.tensor([5, 6, 2, 40]), torch.tensor([7, 8, 9, 10, 11, 2, 40]), torch.tensor([12, 2, 40])]


class Counting(MBartEncoder):
    """Counts the sentences that it reads."""

    sentences = 0

    def read(self, input_ids: Tensor) -> Padded:
        self.sentences += len(input_ids)
        return super().read(input_ids)


def material_of(tiny: Any) -> Material:
    return gather(load_recipe(tiny.recipe), tiny.corpus)


def encoder_of(material: Material, seed: int = 0) -> Counting:
    recipe = material.recipe.model_copy(update={"seed": seed})
    language = assemble(recipe, len(material.tokenizer)).hierarchy.language
    assert isinstance(language, MBartEncoder)
    return Counting(language.encoder)


def small_encoder() -> MBartEncoder:
    torch.manual_seed(0)
    return MBart(hidden_size=18, num_layers=2, num_heads=3, mlp_size=22, max_positions=40, dropout=0.5).build(60)


def test_each_sentence_has_the_features_that_it_has_alone(tiny: Any, tmp_path: Path) -> None:
    material = material_of(tiny)
    encoder = encoder_of(material)
    features = text_features_of(encoder, material, Run(tmp_path), Silent())
    texts = {clip.text for split in ("train", "dev") for clip in material.clips(split)}
    assert set(features) == texts and encoder.sentences == len(texts) >= 10
    assert all(p.requires_grad for p in encoder.parameters()), "frozen for these features only"
    for text, row in features.items():
        (ids,) = material.token_ids([text])
        torch.testing.assert_close(row, encoder.read(ids[None]).mean()[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_run_that_goes_on_reads_them_from_its_folder(tiny: Any, tmp_path: Path, pooled: bool) -> None:
    material, again = material_of(tiny), encoder_of(material_of(tiny))
    first = text_features_of(encoder_of(material), material, Run(tmp_path), Silent(), pooled=pooled)
    features = text_features_of(again, material, Run(tmp_path), Silent(), pooled=pooled)
    assert again.sentences == 0
    assert features.keys() == first.keys() and all(torch.equal(features[text], first[text]) for text in first)
    lengths = {text: len(material.token_ids([text])[0]) for text in first}
    assert all(row.shape == ((32,) if pooled else (lengths[text], 32)) for text, row in features.items())


def test_averages_and_rows_of_tokens_lie_beside_each_other(tiny: Any, tmp_path: Path) -> None:
    material, encoder = material_of(tiny), encoder_of(material_of(tiny))
    rows = text_features_of(encoder, material, Run(tmp_path), Silent(), pooled=False)
    averages = text_features_of(encoder, material, Run(tmp_path), Silent(), pooled=True)
    assert {path.name for path in tmp_path.iterdir()} == set(TEXT_FEATURES.values())
    for text, average in averages.items():
        torch.testing.assert_close(rows[text].mean(dim=0), average, rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", ["weights", "tokens", "damage"])
def test_of_other_weights_or_tokens_or_from_a_damaged_file_they_are_computed_again(
    tiny: Any, tmp_path: Path, change: str
) -> None:
    material = material_of(tiny)
    text_features_of(encoder_of(material), material, Run(tmp_path), Silent())
    encoder = encoder_of(material, seed=int(change == "weights"))
    if change == "tokens":
        recipe = load_recipe(tiny.recipe, ["text.max_tokens=5"])
        material = gather(recipe, tiny.corpus)
    if change == "damage":
        path = tmp_path / TEXT_FEATURES[True]
        path.write_bytes(path.read_bytes()[:-9])
    text_features_of(encoder, material, Run(tmp_path), Silent())
    assert encoder.sentences > 0


@pytest.mark.parametrize("pooled", [True, False])
def test_sentences_are_read_in_evaluation_mode_without_gradients(pooled: bool) -> None:
    encoder, steps = small_encoder().train(), list[int]()
    features = encode(encoder, SENTENCES, IDS, pooled=pooled, on_progress=steps.append)
    assert tuple(features) == SENTENCES and steps == [3]
    for sentence, row in zip(SENTENCES, IDS, strict=True):
        tokens = encoder.eval().read(row[None])
        expected = tokens.mean()[0] if pooled else tokens.values[0]
        torch.testing.assert_close(features[sentence], expected, rtol=0, atol=1e-5)
        assert not features[sentence].requires_grad
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert not torch.allclose(features["a"].flatten()[:18], features["c"].flatten()[:18], atol=1e-3)


def test_a_frozen_text_encoder_stays_what_the_encoder_was() -> None:
    encoder = small_encoder().train()
    labels = torch.nn.utils.rnn.pad_sequence(IDS, batch_first=True, padding_value=-100)
    frozen = FrozenTextEncoder(encoder)
    with torch.no_grad():
        expected = encoder.eval().read(labels)
        for parameter in encoder.train().parameters():
            parameter += 0.3
    tokens = frozen(labels)
    assert torch.equal(tokens.values, expected.values) and tokens.lengths.tolist() == [4, 7, 3]
    assert torch.equal(frozen(labels).values, tokens.values), "without dropout"
    assert not tokens.values.requires_grad
    assert all(parameter.requires_grad for parameter in encoder.parameters()), "the encoder itself trains on"
    assert not isinstance(frozen, torch.nn.Module), "no stage may save or count it"
