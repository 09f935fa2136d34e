"""Recipe -> the model: the same for the same seed, what of it trains, what each stage adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from glossfree.errors import RecipeError
from glossfree.models.decoders.gru import RecurrentDecoder
from glossfree.models.decoders.mbart import MBartDecoding
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.language.mbart import MBart
from glossfree.models.language.none import Unchanged
from glossfree.models.temporal.linear import LinearModule
from glossfree.models.weights import load, state
from glossfree.objectives.base import Inputs
from glossfree.pipeline.assemble import adapt, assemble, prepare, put_mapper, restored, training_stage
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe

V = 53
WITHOUT_MBART = """
name = "recurrent"
stages = ["translate"]
temporal = { kind = "linear", hidden_size = 36 }
language = { kind = "none", hidden_size = 20 }
decoder = { kind = "gru", hidden_size = 10, num_layers = 2 }
translate = { epochs = 1, objectives = { translation = {} } }
"""


def recipe_of(tiny: Any, *overrides: str) -> Recipe:
    return load_recipe(tiny.recipe, overrides)


def names_of(module: torch.nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def adapted(recipe: Recipe) -> TranslationModel:
    model = assemble(recipe, V)
    adapt(model, recipe)
    return model


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny: Any) -> None:
    one, two, other = (assemble(recipe_of(tiny, seed), V) for seed in ("seed=0", "seed=0", "seed=1"))
    assert list(one.parts()) == ["vision", "temporal", "language", "decoder"]
    for name, part in one.parts().items():
        first, second, third = part.state_dict(), two.parts()[name].state_dict(), other.parts()[name].state_dict()
        assert all(torch.equal(first[each], second[each]) for each in first)
        assert any(not torch.equal(first[each], third[each]) for each in first)


def test_sizes_come_from_the_recipe(tiny: Any) -> None:
    model = assemble(recipe_of(tiny), V)
    assert model.vocabulary_size == model.decoder.mbart.lm_head.out_features == V
    assert model.hierarchy.visual.projection.weight.shape == (36, 24)
    assert model.hierarchy.temporal.output.weight.shape == (32, 36)
    assert model.decoder.mbart is model.hierarchy.language.mbart
    assert model.hierarchy.mapper is None


def test_parts_are_those_that_the_recipe_names(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "recurrent.toml"
    path.write_text(f"base = {str(tiny.recipe)!r}\n{WITHOUT_MBART}", encoding="utf-8")
    model = adapted(load_recipe(path))
    kinds = [type(part) for part in (model.hierarchy.temporal, model.hierarchy.language, model.decoder)]
    assert kinds == [LinearModule, Unchanged, RecurrentDecoder]
    labels = torch.tensor([[5, 6, 2, 40], [7, 2, 40, -100]])
    logits = model.decoder(model.hierarchy.video(frames_of(5), torch.tensor([3, 2])), labels)
    assert logits.shape == (2, 4, V)
    assert len(names_of(model.decoder)) == len(list(model.decoder.parameters()))


@pytest.mark.parametrize("vision", ["adapters", "all", "none"])
@pytest.mark.parametrize("language", ["adapters", "all", "none"])
@pytest.mark.parametrize("decoder", ["adapters", "all", "none"])
def test_what_trains_after_adapting(tiny: Any, vision: str, language: str, decoder: str) -> None:
    recipe = recipe_of(tiny, f"vision.train={vision}", f"language.train={language}", f"decoder.train={decoder}")
    model = adapted(recipe)
    whole = model.decoder.mbart
    backbone = names_of(model.hierarchy.visual.backbone)
    if vision == "adapters":
        assert backbone and all("lora_" in name and "layer.1." in name for name in backbone)  # the top one of two
        assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in backbone} == set(recipe.vision.adapter_targets)
    else:
        assert bool(backbone) == (vision == "all") and not any("lora_" in name for name in backbone)
    for train, module, targets in (
        (language, whole.model.encoder.layers, MBart.adapter_targets),
        (decoder, whole.model.decoder.layers, MBartDecoding.adapter_targets),
    ):
        names = names_of(module)
        if train == "adapters":
            assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in names} == set(targets) == {"q_proj", "v_proj"}
        else:
            assert (len(names) == len(list(module.parameters()))) == bool(names) == (train == "all")
    assert any("encoder_attn" in name for name in names_of(whole.model.decoder)) == (decoder != "none")
    temporal = model.hierarchy.temporal
    assert names_of(temporal) == [name for name, _ in temporal.named_parameters()]
    assert names_of(model.hierarchy.visual.norm) == ["weight", "bias"]


def test_the_token_table_trains_where_both_sides_of_mbart_train_as_a_whole(tiny: Any) -> None:
    for language in ("adapters", "all", "none"):
        for decoder in ("adapters", "all", "none"):
            model = adapted(recipe_of(tiny, f"language.train={language}", f"decoder.train={decoder}"))
            table = model.decoder.mbart.model.shared.weight
            assert table.requires_grad == (language == decoder == "all"), (language, decoder)


def test_adapters_have_the_sizes_of_their_own_tables(tiny: Any) -> None:
    ranks = ("vision.adapter_rank=2", "language.adapter_rank=3", "decoder.adapter_rank=5")
    trained = ("language.train=adapters", "decoder.train=adapters", "decoder.adapter_alpha=10.0")
    model = adapted(recipe_of(tiny, *ranks, *trained))
    sizes: dict[str, set[int]] = {}
    for part, name, parameter in model.parameters_of():
        if "lora_A" in name:
            sizes.setdefault(part, set()).add(parameter.shape[0])
    assert sizes == {"vision": {2}, "language": {3}, "decoder": {5}}
    projection = model.decoder.mbart.model.decoder.layers[0].self_attn.q_proj
    assert projection.scaling == 2.0 and projection.dropout.p == 0.1


def test_a_freeze_of_an_earlier_stage_does_not_outlast_the_adapters(tiny: Any) -> None:
    recipe = recipe_of(tiny, "language.train=adapters")
    model, expected = assemble(recipe, V), adapted(recipe)
    model.train_only(["decoder"])
    adapt(model, recipe)
    assert names_of(model) == names_of(expected)
    model.train_only([])
    assert names_of(model) == []
    model.train_only(list(model.parts()))
    assert names_of(model) == names_of(expected)


def test_adapters_change_nothing_before_the_first_step(tiny: Any) -> None:
    recipe, frames = recipe_of(tiny, "language.train=adapters", "decoder.train=adapters"), frames_of(5)
    model = assemble(recipe, V).eval()
    lengths, labels = torch.tensor([3, 2]), torch.tensor([[5, 6, 2, 40], [7, 2, 40, -100]])
    before = model.decoder(model.hierarchy.video(frames, lengths), labels)
    adapt(model, recipe)
    after = model.eval().decoder(model.hierarchy.video(frames, lengths), labels)
    torch.testing.assert_close(after, before)


def frames_of(number: int) -> torch.Tensor:
    return torch.randint(0, 256, (number, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def test_a_stage_puts_in_what_it_adds_and_no_more_than_once(tiny: Any) -> None:
    recipe = recipe_of(tiny, "language.train=adapters", "decoder.train=adapters")
    model = assemble(recipe, V)
    seen = []
    for stage in recipe.stages:
        before = model.hierarchy.mapper
        prepare(model, recipe, stage)
        adapters = sum("lora_A" in name for name, _ in model.named_parameters())
        seen.append((stage.name, adapters, model.hierarchy.mapper is not None))
        assert before is None or model.hierarchy.mapper is before
    number = seen[1][1]
    assert number > 5
    assert seen == [
        ("denoise", 0, False), ("pretrain", number, False), ("finetune1", number, True), ("finetune2", number, True)
    ]  # fmt: skip
    put_mapper(model, recipe)
    assert model.hierarchy.mapper is before


def test_a_restored_model_takes_the_weights_of_the_last_stage(tiny: Any) -> None:
    """Constants (positions, normalisation) are there although nothing is drawn: the loaded model is the saved one."""
    recipe = recipe_of(tiny, "language.train=adapters")
    drawn = assemble(recipe, V)
    adapt(drawn, recipe)
    put_mapper(drawn, recipe)
    random_state = torch.get_rng_state()
    model = restored(recipe, V)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    load(model, {name: tensor.clone() for name, tensor in state(drawn).items()})
    frames, lengths = frames_of(5), torch.tensor([3, 2])
    labels = torch.tensor([[5, 6, 2, 40], [7, 2, 40, -100]])
    logits = [each.eval().decoder(each.hierarchy.video(frames, lengths), labels) for each in (drawn, model)]
    assert torch.equal(*logits)
    assert names_of(model) == names_of(drawn)
    torch.set_rng_state(random_state)
    weight = assemble(recipe, V).hierarchy.temporal.output.weight
    assert float(weight.detach().std()) > 0.01, "and afterwards all is drawn again"


def test_a_model_is_restored_as_the_stage_that_is_asked_for_has_it(tiny: Any) -> None:
    recipe = recipe_of(tiny, "language.train=adapters")
    models = {stage.name: restored(recipe, V, stage.name) for stage in recipe.planned}
    adapters = {name: any("lora_" in each for each in state(model)) for name, model in models.items()}
    assert adapters == {"denoise": False, "pretrain": True, "finetune1": True, "finetune2": True}
    mappers = {name for name, model in models.items() if model.hierarchy.mapper is not None}
    assert mappers == {"finetune1", "finetune2"}


def test_a_stage_has_the_objectives_that_have_a_weight(tiny: Any) -> None:
    """Of weight 0 nothing is built, nor required: neither vectors nor text features are there."""
    recipe = recipe_of(
        tiny, "pretrain.objectives.pseudo_gloss.weight=0", "pretrain.objectives.contrastive.weight=0",
        "pretrain.objectives.sign_contrast.weight=0.7",
    )  # fmt: skip
    stage = training_stage(adapted(recipe), recipe, recipe.stage("pretrain"), Inputs())
    assert list(stage.objectives) == ["sign_contrast"] and stage.weights == {"sign_contrast": 0.7}
    assert stage.level == "frame" and not stage.compares_clips
    assert list(stage.parts()) == ["vision", "temporal"]
    assert recipe.stage("pretrain").needs == set() and not recipe.stage("pretrain").compares_clips


@pytest.mark.parametrize(
    ("name", "level", "reads", "parts"),
    [
        ("denoise", "logits", "sentences", ["language", "decoder"]),
        ("pretrain", "video", "clips", ["vision", "temporal", "language"]),
        ("finetune1", "logits", "segments", ["vision", "temporal", "language", "mapper", "decoder"]),
        ("finetune2", "logits", "clips", ["vision", "temporal", "language", "mapper", "decoder"]),
    ],
)
def test_a_stage_looks_as_high_as_its_objectives(
    tiny: Any, name: str, level: str, reads: str, parts: list[str]
) -> None:
    recipe = recipe_of(tiny)
    model = adapted(recipe)
    if recipe.stage(name).mapper:
        put_mapper(model, recipe)
    inputs = Inputs(vectors=torch.randn(7, 300), text_features={"a": torch.randn(32)})
    stage = training_stage(model, recipe, recipe.stage(name), inputs)
    assert (stage.name, stage.level, stage.reads, list(stage.parts())) == (name, level, reads, parts)
    assert stage.trains == recipe.stage(name).train


def test_a_stage_in_which_nothing_can_train_is_refused(tiny: Any) -> None:
    recipe = recipe_of(tiny, "language.train=none", 'finetune1.train=["language"]')
    with pytest.raises(RecipeError, match=r"finetune1\.train: nothing of language can train"):
        training_stage(adapted(recipe), recipe, recipe.stage("finetune1"), Inputs())
