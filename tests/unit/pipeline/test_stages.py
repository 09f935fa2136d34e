"""What a stage trains: after a step exactly that has changed, and the rest is the same bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from benchmarks.transformers_mbart import of_transformers
from tests.unit.pipeline.batches import TEXTS, V, clip_batch, inputs, part_of_batch, text_batch
from torch import Tensor, nn

from glossfree.models.weights import load, state
from glossfree.objectives.base import Inputs
from glossfree.objectives.contrastive import contrastive_loss
from glossfree.objectives.pseudo_gloss import pseudo_gloss_loss
from glossfree.objectives.translation import translation_loss
from glossfree.pipeline.assemble import adapt, assemble, put_mapper, training_stage
from glossfree.pipeline.denoising import TextBatch
from glossfree.pipeline.stages import TrainingStage
from glossfree.pipeline.text_features import FrozenTextEncoder
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.loop import Plan
from glossfree.training.step import backward
from glossfree.video.batch import ClipBatch

STAGES = ("denoise", "pretrain", "finetune1", "finetune2")
# all objectives in one stage: means over clips, frames and tokens, and a comparison of clips
MIXED = """
name = "mixed"
supervision = "glosses"
stages = ["mixed"]
[mixed]
epochs = 1
batch_size = 3
mapper = true
objectives.pseudo_gloss.weight = 3.0
objectives.contrastive = { weight = 0.5, token = false }
objectives.sign_contrast = { weight = 0.7, min_reach = 0, zipf = 0.1 }
objectives.gloss_ctc.weight = 0.3
objectives.gloss_translation.weight = 0.4
objectives.gloss_to_text.weight = 0.6
objectives.translation.weight = 2.0
learning_rate_factors = { vision = 0.1, decoder = 2.0, pseudo_gloss = 5.0 }
"""

PARTS = ("vision", "temporal", "language", "mapper", "decoder")
OWNERS = {*PARTS, "pseudo_gloss", "contrastive", "gloss_ctc", "gloss_translation"}  # those that have parameters


def recipe_of(tiny: Any, vision: str = "adapters", language: str = "all", decoder: str = "", *more: str) -> Recipe:
    trained = (f"vision.train={vision}", f"language.train={language}", f"decoder.train={decoder or language}")
    return load_recipe(tiny.recipe, [*trained, *more])


def mixed_recipe(tiny: Any, folder: Path, *overrides: str) -> Recipe:
    path = folder / "mixed.toml"
    path.write_text(f"base = {str(tiny.recipe)!r}\n{MIXED}", encoding="utf-8")
    return load_recipe(path, overrides)


def batch_for(stage: TrainingStage) -> Any:
    return text_batch() if stage.reads == "sentences" else clip_batch()


def build(recipe: Recipe, name: str) -> TrainingStage:
    model, stage = assemble(recipe, V), recipe.stage(name)
    if stage.adapters:
        adapt(model, recipe)
    if stage.mapper:
        put_mapper(model, recipe)
    return training_stage(model, recipe, stage, inputs())


def stage_of(name: str, tiny: Any, **train: str) -> TrainingStage:
    return build(recipe_of(tiny, **train), name)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def one_step(stage: TrainingStage) -> set[str]:
    """Train a step -> names of the parameters and statistics that are not what they were."""
    before = state_of(stage)
    stage.set_training()
    optimizer = torch.optim.AdamW(stage.trained().values(), lr=0.01, weight_decay=0.1)
    stage(batch_for(stage))["loss"].backward()
    optimizer.step()
    return {name for name, tensor in state_of(stage).items() if not torch.equal(before[name], tensor)}


def all_names(stage: TrainingStage, parameters: set[str]) -> set[str]:
    """Parameters under all names that they have in the stage's state (shared ones have several)."""
    known = dict(stage.named_parameters(remove_duplicate=False))
    chosen = {id(known[name]) for name in parameters}
    return {name for name, parameter in known.items() if id(parameter) in chosen}


def is_statistic(name: str) -> bool:
    return name.rsplit(".", 1)[-1] in {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize("language", ["all", "adapters", "none"])
@pytest.mark.parametrize("vision", ["all", "adapters", "none"])
@pytest.mark.parametrize("name", STAGES)
def test_exactly_what_a_stage_names_has_changed_after_a_step(tiny: Any, name: str, vision: str, language: str) -> None:
    stage = stage_of(name, tiny, vision=vision, language=language)
    changed = one_step(stage)
    named = all_names(stage, set(stage.trained()))
    if name == "pretrain":  # segments take the place of tokens: the token table has no gradient
        named = {n for n in named if "embed_tokens" not in n and "shared" not in n and "lm_head" not in n}
    assert {n for n in changed if not is_statistic(n)} == named
    statistics = {n for n in state_of(stage) if is_statistic(n)}
    moved = statistics if name in ("pretrain", "finetune2") else set()
    assert {n for n in changed if is_statistic(n)} == moved


@pytest.mark.parametrize("trains", [("vision",), ("temporal",), ("language",), ("mapper", "decoder"), ("decoder",)])
def test_parts_that_are_not_named_stay_bit_equal_and_evaluate(tiny: Any, trains: tuple[str, ...]) -> None:
    """Also where one module holds another part's: mBART's decoder holds its whole mBART, with the encoder."""
    recipe = recipe_of(tiny, "all", "all", "", f"finetune2.train={list(trains)}")
    stage = build(recipe, "finetune2")
    before = state_of(stage.model)
    one_step(stage)
    modes: dict[str, set[bool]] = {}
    for part, module in stage.model.modules_of():
        modes.setdefault(part, set()).add(module.training)
    assert modes == {part: {part in trains} for part in ("vision", "temporal", "language", "mapper", "decoder")}
    for part, name, parameter in stage.model.parameters_of():
        may_change = part in trains and not name.endswith("mask_token")
        assert torch.equal(before[name], parameter) != may_change, name
    after = stage.model.state_dict()
    statistics = {name for name in before if is_statistic(name)}
    moved = {name for name in statistics if not torch.equal(after[name], before[name])}
    assert moved == (statistics if "vision" in trains else set())


def test_dropout_acts_in_the_parts_that_train_alone(tiny: Any) -> None:
    """Twice the same batch: the frozen parts make the same of it, those that train do not."""
    stage = stage_of("finetune1", tiny)
    stage.set_training()
    batch, hierarchy = clip_batch(), stage.model.hierarchy
    video = [hierarchy.video(batch.frames, batch.lengths).values for _ in range(2)]
    assert torch.equal(*video), "vision, temporal and language evaluate, and the mapper has no dropout"
    assert stage(batch)["loss"] != stage(batch)["loss"], "the decoder drops"
    stage.eval()
    assert stage(batch)["loss"] == stage(batch)["loss"]
    later = stage_of("finetune2", tiny)
    later.set_training()
    assert all(module.training for module in later.modules())


def test_a_part_of_which_nothing_may_train_evaluates_even_where_it_is_named(tiny: Any) -> None:
    stage = stage_of("pretrain", tiny, language="none")
    assert "language" in stage.trains
    stage.set_training()
    assert {module.training for part, module in stage.model.modules_of() if part == "language"} == {False}
    assert {module.training for part, module in stage.model.modules_of() if part == "temporal"} == {True}


@pytest.mark.parametrize("vision", ["all", "adapters", "none"])
def test_the_first_translation_stage_trains_mapper_and_decoder_alone(tiny: Any, vision: str) -> None:
    names = set(stage_of("finetune1", tiny, vision=vision).trained())
    assert names
    assert all(name.startswith(("model.hierarchy.mapper.", "model.decoder.mbart.model.decoder.")) for name in names)
    with_adapters = set(stage_of("finetune1", tiny, language="adapters").trained())
    decoder = {name for name in with_adapters if ".decoder." in name}
    assert decoder and all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in decoder)
    assert with_adapters - decoder == {n for n in names if n.startswith("model.hierarchy.mapper.")}


def test_a_later_stage_trains_what_an_earlier_one_has_frozen(tiny: Any) -> None:
    recipe = recipe_of(tiny)
    first = build(recipe, "finetune1")
    few = len(first.trained())
    second = training_stage(first.model, recipe, recipe.stage("finetune2"), inputs())
    assert second.trained().keys() == stage_of("finetune2", tiny).trained().keys()
    assert len(second.trained()) > few


def test_every_trained_parameter_belongs_to_a_part_or_to_an_objective(tiny: Any, tmp_path: Path) -> None:
    stage = build(mixed_recipe(tiny, tmp_path), "mixed")
    owners: dict[str, set[str]] = {}
    for name in stage.trained():
        owners.setdefault(stage.part_of(name), set()).add(name)
    assert set(owners) == OWNERS
    assert owners["contrastive"] == {"objectives.contrastive.logit_scale"}
    assert all(name.startswith("objectives.pseudo_gloss.head.") for name in owners["pseudo_gloss"])
    assert all(name.startswith("model.hierarchy.visual.") for name in owners["vision"])
    assert all(name.startswith("model.decoder.") for name in owners["decoder"])


def test_a_step_moves_each_parameter_by_the_factor_of_its_part_or_objective(tiny: Any, tmp_path: Path) -> None:
    """SGD without momentum: the rate, times the factor, times the gradient."""
    recipe = mixed_recipe(tiny, tmp_path, "mixed.optimizer=sgd", "mixed.momentum=0", "mixed.weight_decay=0")
    config, stage = recipe.stage("mixed"), build(recipe, "mixed").eval()
    plan = Plan(
        1, 0.5, config.weight_decay, 0.0, 1e9, 0, optimizer=config.optimizer, momentum=config.momentum,
        factors=config.learning_rate_factors,
    )  # fmt: skip
    optimizer = plan.optimizer_of(stage)
    assert [group["factor"] for group in optimizer.param_groups] != [1.0]
    before = {name: parameter.detach().clone() for name, parameter in stage.trained().items()}
    stage(clip_batch())["loss"].backward()
    for group in optimizer.param_groups:
        group["lr"] = 0.5 * group["factor"]
    optimizer.step()
    factors = {"vision": 0.1, "decoder": 2.0, "pseudo_gloss": 5.0}
    moved = set()
    for name, parameter in stage.trained().items():
        factor = factors.get(stage.part_of(name), 1.0)
        if parameter.grad is None:
            assert "embed_tokens" in name or "mask_token" in name, name
            continue
        expected = before[name] - torch.tensor(0.5 * factor) * parameter.grad
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=1e-8, msg=name)
        moved |= {stage.part_of(name)} if not torch.equal(parameter, before[name]) else set()
    assert moved == OWNERS


def test_only_what_a_stage_goes_through_is_moved(tiny: Any) -> None:
    stage = stage_of("pretrain", tiny)
    stage.move(torch.device("meta"))
    assert all(p.is_meta for part in (*stage.parts().values(), stage.objectives) for p in part.parameters())
    assert not any(p.is_meta for p in stage.model.decoder.mbart.model.decoder.layers.parameters())


@pytest.mark.parametrize("name", STAGES)
def test_a_checkpoint_holds_what_changes_and_each_tensor_once(tiny: Any, name: str) -> None:
    stage = stage_of(name, tiny)
    saved = stage.saved()
    known = dict(stage.named_parameters(remove_duplicate=False))
    assert set(stage.trained()) == {n for n in saved if n in known}
    assert len({tensor.data_ptr() for tensor in saved.values()}) == len(saved)
    changed = one_step(stage)
    assert changed - set(saved) - all_names(stage, set(stage.trained())) == set()


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_leaves_is_its_parts_and_its_objectives(tiny: Any, name: str) -> None:
    stage, other = stage_of(name, tiny), stage_of(name, tiny)
    one_step(stage)
    result = stage.result()
    expected = {"denoise": {"hierarchy.language", "decoder"}, "pretrain": {f"hierarchy.{p}" for p in PRETRAINED}}
    whole = {f"hierarchy.{p}" for p in (*PRETRAINED, "mapper")} | {"decoder"}
    tops = {".".join(n.split(".")[:2]) if n.startswith("hierarchy.") else n.split(".")[0] for n in result}
    objectives = {"objectives"} if name == "pretrain" else set()
    assert tops == expected.get(name, whole) | objectives
    load(other, {**state(other), **{n if n.startswith("objectives.") else f"model.{n}": t for n, t in result.items()}})
    batch = batch_for(stage)
    with torch.no_grad():
        losses, loaded = stage.eval()(batch), other.eval()(batch)
    assert losses.keys() == loaded.keys() and all(torch.equal(losses[n], loaded[n]) for n in losses)


PRETRAINED = ("visual", "temporal", "language")


def test_losses_are_the_equations_of_the_paper_and_their_sum_is_weighted(tiny: Any) -> None:
    batch = clip_batch()
    weights = ("pretrain.objectives.pseudo_gloss.weight=11.0", "pretrain.objectives.contrastive.weight=0.7")
    stage = build(recipe_of(tiny, "adapters", "all", "", *weights), "pretrain").eval()
    gloss_loss, contrast_loss = stage.objectives["pseudo_gloss"], stage.objectives["contrastive"]
    with torch.no_grad():
        losses = stage(batch)
        levels = stage.model.hierarchy(batch.frames, batch.lengths, prefix=contrast_loss.prefix)
        gloss = pseudo_gloss_loss(gloss_loss.head(levels.segment).scores, batch.targets["pseudo_glosses"])
        text = torch.stack([inputs().text_features[text] for text in TEXTS])
        contrast = contrastive_loss(levels.video.mean(), text, contrast_loss.scale())
    assert levels.video.lengths.tolist() == [length + 1 for length in levels.segment.lengths.tolist()]
    torch.testing.assert_close(losses["pseudo_gloss"], gloss)
    torch.testing.assert_close(losses["contrastive"], contrast)
    torch.testing.assert_close(losses["loss"], 0.7 * contrast + 11 * gloss)
    assert set(losses) == {"loss", "pseudo_gloss", "contrastive"}

    stage = stage_of("finetune2", tiny).eval()
    with torch.no_grad():
        video = stage.model.hierarchy.video(batch.frames, batch.lengths)
        expected = translation_loss(stage.model.decoder(video, batch.labels), batch.labels, 0.2)
        torch.testing.assert_close(stage(batch)["loss"], expected)
        torch.testing.assert_close(stage(batch)["translation"], expected)


@pytest.mark.parametrize("name", ["pretrain", "finetune2", "mixed"])
@pytest.mark.parametrize("cut", [([0, 2], [1]), ([2], [1, 0])])
def test_a_step_in_several_batches_has_the_gradients_of_one(
    tiny: Any, tmp_path: Path, name: str, cut: tuple[list[int], ...]
) -> None:
    """Evaluation mode: without dropout, and with BatchNorm's statistics held, which alone depend on the batch."""
    recipe = mixed_recipe(tiny, tmp_path) if name == "mixed" else recipe_of(tiny)
    whole, results = clip_batch(), []
    for batches in ([whole], [part_of_batch(whole, clips) for clips in cut]):
        stage = build(recipe, name).eval()
        losses = backward(stage, batches, Accelerator())
        grads = {n: p.grad for n, p in stage.trained().items() if p.grad is not None}
        results.append(({n: value.detach() for n, value in losses.items()}, grads))
    (losses, grads), (cut_losses, cut_grads) = results
    assert len(grads) > 40 and grads.keys() == cut_grads.keys()
    assert len(losses) == {"pretrain": 3, "finetune2": 2, "mixed": 8}[name]
    for mine, theirs in ((losses, cut_losses), (grads, cut_grads)):
        assert mine.keys() == theirs.keys()
        for each, value in mine.items():
            torch.testing.assert_close(theirs[each], value, rtol=1e-4, atol=1e-5, msg=each)


def test_each_loss_counts_a_batch_by_what_it_is_a_mean_over(tiny: Any, tmp_path: Path) -> None:
    stage = build(mixed_recipe(tiny, tmp_path), "mixed")
    glosses = {"gloss_ctc": 2.0, "gloss_translation": 8.0, "gloss_to_text": 9.0}
    assert stage.units(clip_batch()) == {"pseudo_gloss": 3.0, "sign_contrast": 16.0, "translation": 12.0, **glosses}
    assert stage.units(part_of_batch(clip_batch(), [2])) == {
        "pseudo_gloss": 1.0, "sign_contrast": 5.0, "translation": 3.0, **dict.fromkeys(glosses, 0.0)
    }  # fmt: skip
    assert stage.compares_clips and not stage_of("finetune2", tiny).compares_clips
    assert stage_of("denoise", tiny).units(text_batch()) == {"translation": 12.0}


def test_segment_features_lead_to_the_same_loss_as_their_clips(tiny: Any) -> None:
    stage, batch = stage_of("finetune1", tiny).eval(), clip_batch()
    with torch.no_grad():
        segments = stage.model.hierarchy.segments(batch.frames, batch.lengths)
        packed = ClipBatch(batch.ids, segments.pack(), segments.lengths, TEXTS, batch.labels, level="segment_features")
        torch.testing.assert_close(stage(packed)["loss"], stage(batch)["loss"])


def test_padding_of_noised_sentences_is_not_seen(tiny: Any) -> None:
    stage = stage_of("denoise", tiny).eval()
    batch = text_batch()
    wider = TextBatch(batch.ids, nn.functional.pad(batch.input_ids, (0, 4), value=1), batch.labels, batch.lengths)
    with torch.no_grad():
        torch.testing.assert_close(stage(batch)["loss"], stage(wider)["loss"])


def test_noised_sentences_are_mbart_s_own_objective(tiny: Any) -> None:
    stage, batch = stage_of("denoise", tiny).eval(), text_batch()
    start = torch.tensor([[40, 5, 6, 2, 40], [40, 7, 8, 9, 2], [40, 11, 2, 40, 1]])
    with torch.no_grad():
        logits = of_transformers(stage.model.decoder.mbart, recipe_of(tiny).language.num_heads)(
            input_ids=batch.input_ids, attention_mask=(batch.input_ids != 1).long(), decoder_input_ids=start
        ).logits
        torch.testing.assert_close(stage(batch)["loss"], translation_loss(logits, batch.labels, 0.2))


def test_a_text_encoder_reads_the_batch_and_is_no_part_of_the_stage(tiny: Any) -> None:
    """So a run that goes on from this one needs none, whatever its own recipe says."""
    recipe = recipe_of(tiny, "adapters", "adapters", "", "pretrain.objectives.contrastive.average_padding=true")
    model = assemble(recipe, V)
    encoder = FrozenTextEncoder(model.hierarchy.language)
    adapt(model, recipe)
    vectors = inputs().vectors
    stage = training_stage(
        model, recipe, recipe.stage("pretrain"), Inputs(vectors=vectors, text_encoder=encoder)
    ).eval()
    batch, contrast = clip_batch(), stage.objectives["contrastive"]
    with torch.no_grad():
        video = model.hierarchy(batch.frames, batch.lengths, prefix=contrast.prefix).video
        expected = contrastive_loss(
            video.values.mean(dim=1), encoder(batch.labels).values.mean(dim=1), contrast.scale()
        )
        torch.testing.assert_close(stage(batch)["contrastive"], expected)
    usual = stage_of("pretrain", tiny, language="adapters")
    assert stage.result().keys() == usual.result().keys()
    assert stage.saved().keys() == usual.saved().keys()
