"""What each stage trains: after a step exactly that has changed, and the rest is the same bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from glossfree.assemble import Parts, assemble
from glossfree.config import load_recipe
from glossfree.denoising import TextBatch
from glossfree.losses import (
    contrastive_divergence,
    contrastive_loss,
    pseudo_gloss_loss,
    sigmoid_pseudo_gloss_loss,
    translation_loss,
)
from glossfree.models.weights import load
from glossfree.recipe import PretrainConfig, Recipe
from glossfree.stages import STAGES, BaseStage, DenoisingStage, PretrainingStage, TranslationStage, objectives
from glossfree.training.step import backward
from glossfree.video.batch import ClipBatch

V, P, B = 53, 7, 3
LENGTHS = torch.tensor([7, 4, 5])
TEXTS = ("es taut", "morgen schneit es", "nachts wird es kalt")


def recipe_of(tiny: Any, vision: str = "adapters", language: str = "all") -> Recipe:
    return load_recipe(tiny.recipe, [f"vision.train={vision}", f"language.train={language}"])


def clip_batch() -> ClipBatch:
    source = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (int(LENGTHS.sum()), 3, 24, 24), dtype=torch.uint8, generator=source)
    labels = torch.tensor([[5, 6, 2, 40, -100], [7, 8, 9, 2, 40], [11, 2, 40, -100, -100]])
    targets = (torch.rand(B, P, generator=source) > 0.6).float()
    return ClipBatch(("a", "b", "c"), frames, LENGTHS, TEXTS, labels, targets)


def text_batch() -> TextBatch:
    noised = torch.tensor([[5, 52, 2, 40, 1], [7, 52, 9, 2, 40], [52, 2, 40, 1, 1]])
    return TextBatch(TEXTS, noised, clip_batch().labels, torch.tensor([4, 5, 3]))


def text_features(width: int = 32) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(2)
    return {text: torch.randn(width, generator=source) for text in TEXTS}


def build(name: str, parts: Parts) -> BaseStage:
    if name == "denoise":
        return DenoisingStage(parts.mbart, 1, 0.1)
    parts.adapt()
    if name == "pretrain":
        vectors = torch.randn(P, 300, generator=torch.Generator().manual_seed(3))
        return PretrainingStage(parts.pretraining(vectors), text_features(), 10.0, 1.0)
    return TranslationStage(name, parts.translation(), 0.2, name == "finetune1")


def stage_of(name: str, tiny: Any, **train: str) -> BaseStage:
    return build(name, assemble(recipe_of(tiny, **train), V))


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def one_step(stage: BaseStage) -> set[str]:
    """Train a step -> names of the parameters and statistics that are not what they were."""
    before = state_of(stage.model)
    stage.set_training()
    optimizer = torch.optim.AdamW(stage.trained().values(), lr=0.01, weight_decay=0.1)
    stage(text_batch() if stage.name == "denoise" else clip_batch())["loss"].backward()
    optimizer.step()
    return {name for name, tensor in state_of(stage.model).items() if not torch.equal(before[name], tensor)}


def all_names(stage: BaseStage, parameters: set[str]) -> set[str]:
    """Parameters under all names that they have in the model's state (shared ones have several)."""
    known = dict(stage.model.named_parameters(remove_duplicate=False))
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
        named = {n for n in named if "embed_tokens" not in n}
    assert {n for n in changed if not is_statistic(n)} == named
    statistics = {n for n in state_of(stage.model) if is_statistic(n)}
    moved = statistics if name in ("pretrain", "finetune2") else set()
    assert {n for n in changed if is_statistic(n)} == moved


@pytest.mark.parametrize("vision", ["all", "adapters", "none"])
def test_the_first_translation_stage_trains_mapper_and_decoder_alone(tiny: Any, vision: str) -> None:
    names = set(stage_of("finetune1", tiny, vision=vision).trained())
    assert names
    assert all(name.startswith(("hierarchy.mapper.", "mbart.model.decoder.")) for name in names)
    with_adapters = set(stage_of("finetune1", tiny, language="adapters").trained())
    decoder = {name for name in with_adapters if "decoder" in name}
    assert decoder and all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in decoder)
    assert set(with_adapters - decoder) == {n for n in names if n.startswith("hierarchy.mapper.")}


def test_frozen_parts_stay_in_evaluation_mode(tiny: Any) -> None:
    stage = stage_of("finetune1", tiny)
    stage.set_training()
    hierarchy = stage.model.hierarchy
    for part in (hierarchy.visual, hierarchy.temporal, hierarchy.language):
        assert not any(module.training for module in part.modules())
    assert hierarchy.mapper.training and stage.model.mbart.model.decoder.training
    later = stage_of("finetune2", tiny)
    later.set_training()
    assert all(module.training for module in later.modules())


def test_thawing_after_the_first_stage_trains_what_the_recipe_names(tiny: Any) -> None:
    parts = assemble(recipe_of(tiny), V)
    first = build("finetune1", parts)
    few = len(first.trained())
    parts.thaw()
    second = TranslationStage("finetune2", first.model, 0.2, False)
    assert set(second.trained()) == set(stage_of("finetune2", tiny).trained())
    assert len(second.trained()) > few


@pytest.mark.parametrize("name", STAGES)
def test_a_checkpoint_holds_what_changes_and_each_tensor_once(tiny: Any, name: str) -> None:
    stage = stage_of(name, tiny)
    saved = stage.saved()
    known = dict(stage.model.named_parameters(remove_duplicate=False))
    assert set(stage.trained()) == {n for n in saved if n in known}
    assert len({tensor.data_ptr() for tensor in saved.values()}) == len(saved)
    changed = one_step(stage)
    missing = changed - set(saved) - all_names(stage, set(stage.trained()))
    assert missing == set()


def test_losses_are_the_equations_of_the_paper(tiny: Any) -> None:
    batch = clip_batch()
    stage = stage_of("pretrain", tiny).eval()
    with torch.no_grad():
        found = stage(batch)
        output = stage.model(batch.frames, batch.lengths)
    text = torch.stack([stage.text_features[t] for t in TEXTS])
    gloss = pseudo_gloss_loss(output.gloss.scores, batch.gloss_targets)
    contrast = contrastive_loss(output.video, text, output.logit_scale)
    torch.testing.assert_close(found["pseudo_gloss"], gloss)
    torch.testing.assert_close(found["contrastive"], contrast)
    torch.testing.assert_close(found["loss"], contrast + 10 * gloss)

    stage = stage_of("finetune2", tiny).eval()
    with torch.no_grad():
        logits = stage.model(batch.frames, batch.lengths, batch.labels)
        torch.testing.assert_close(stage(batch)["loss"], translation_loss(logits, batch.labels, 0.2))


@pytest.mark.parametrize("name", ["pretrain", "finetune2"])
def test_a_step_in_several_batches_has_the_gradients_of_one(tiny: Any, name: str) -> None:
    """Evaluation mode: without dropout, and with BatchNorm's statistics held, which alone depend on the batch."""
    whole, found = clip_batch(), []
    rows = whole.frames.split(LENGTHS.tolist())
    pieces = [
        ClipBatch(
            tuple(whole.ids[i] for i in clips), torch.cat([rows[i] for i in clips]), LENGTHS[clips],
            tuple(TEXTS[i] for i in clips), whole.labels[clips], whole.gloss_targets[clips],
        )
        for clips in ([0, 2], [1])
    ]  # fmt: skip
    for batches in ([whole], pieces):
        stage = stage_of(name, tiny).eval()
        losses = backward(stage, batches, Accelerator())
        grads = {n: p.grad for n, p in stage.trained().items() if p.grad is not None}
        found.append(({n: value.detach() for n, value in losses.items()}, grads))
    (losses, grads), (cut_losses, cut_grads) = found
    assert len(grads) > 40 and grads.keys() == cut_grads.keys()
    for mine, theirs in ((losses, cut_losses), (grads, cut_grads)):
        for each, value in mine.items():
            torch.testing.assert_close(theirs[each], value, rtol=1e-4, atol=1e-5, msg=each)


def test_padding_of_noised_sentences_is_not_seen(tiny: Any) -> None:
    stage = stage_of("denoise", tiny).eval()
    batch = text_batch()
    wider = TextBatch(batch.ids, nn.functional.pad(batch.input_ids, (0, 4), value=1), batch.labels, batch.lengths)
    with torch.no_grad():
        torch.testing.assert_close(stage(batch)["loss"], stage(wider)["loss"])


def stage_with_text_encoder(tiny: Any) -> tuple[PretrainingStage, dict[str, Tensor]]:
    """A stage whose text features depend on the batch, and mBART's encoder as it was before adapters."""
    recipe = load_recipe(tiny.recipe, ["pretrain.average_padding=true", "language.train=adapters"])
    parts = assemble(recipe, V)
    before = state_of(parts.mbart.model.encoder)
    parts.keep_text_encoder()
    parts.adapt()
    vectors = torch.randn(P, 300, generator=torch.Generator().manual_seed(3))
    return PretrainingStage(parts.pretraining(vectors), {}, 10.0, 1.0), before


def test_a_text_encoder_of_the_model_reads_the_batch_and_stays_what_mbart_was(tiny: Any) -> None:
    stage, before = stage_with_text_encoder(tiny)
    batch = clip_batch()
    with torch.no_grad():
        output = stage.eval().model(batch.frames, batch.lengths, batch.labels)
        found = stage(batch)["contrastive"]
        hidden = stage.model.text_encoder.encoder(
            input_ids=batch.labels.masked_fill(batch.labels == -100, 1), attention_mask=(batch.labels != -100).long()
        ).last_hidden_state
    torch.testing.assert_close(found, contrastive_loss(output.video, hidden.mean(dim=1), output.logit_scale))
    changed = one_step(stage)
    assert changed and not any(name.startswith("text_encoder.") for name in changed)
    after = state_of(stage.model.text_encoder.encoder)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def test_a_text_encoder_is_not_left_behind(tiny: Any) -> None:
    """So a run that goes on from this one needs none, whatever its own recipe says."""
    stage, _ = stage_with_text_encoder(tiny)
    left = stage.left_behind()
    assert not any(name.startswith("text_encoder.") for name in [*left, *stage.saved()])
    other = stage_of("pretrain", tiny, language="adapters")
    assert other.left_behind().keys() == left.keys()
    load(other.model, left)
    assert torch.equal(other.model.token, stage.model.token)


def test_a_recipe_chooses_what_stands_for_eq_3_and_eq_4() -> None:
    assert objectives(PretrainConfig()) == (pseudo_gloss_loss, contrastive_loss)
    settings = {"pseudo_gloss_loss": "sigmoid_cross_entropy", "contrastive_loss": "divergence"}
    gloss, contrast = objectives(PretrainConfig(**settings, identity_sharpness=3.5))
    assert gloss is sigmoid_pseudo_gloss_loss
    video, text = torch.randn(2, B, 5, generator=torch.Generator().manual_seed(4)).unbind(0)
    scale = torch.tensor(6.0)
    assert contrast(video, text, scale) == contrastive_divergence(video, text, scale, 3.5)
    assert contrast(video, text, scale) != contrastive_divergence(video, text, scale)


def test_a_choice_for_one_equation_moves_that_loss_alone(tiny: Any) -> None:
    batch, found = clip_batch(), {}
    for key, value in (("", ""), ("pseudo_gloss_loss", "sigmoid_cross_entropy"), ("contrastive_loss", "divergence")):
        model = stage_of("pretrain", tiny).model
        settings = PretrainConfig(**({key: value} if key else {}))
        stage = PretrainingStage(model, text_features(), 1.0, 1.0, *objectives(settings)).eval()
        with torch.no_grad():
            found[key] = stage(batch)
    plain, gloss, contrast = found.values()
    assert torch.equal(gloss["contrastive"], plain["contrastive"])
    assert torch.equal(contrast["pseudo_gloss"], plain["pseudo_gloss"])
    # a head of random weights: scores are small, so the sigmoid's loss is close to ln 2 and the plain one is not
    assert float(gloss["pseudo_gloss"]) == pytest.approx(0.6931, abs=0.05) != float(plain["pseudo_gloss"])
    assert abs(float(contrast["contrastive"] - plain["contrastive"])) > 1e-3
    for losses in found.values():
        torch.testing.assert_close(losses["loss"], losses["contrastive"] + losses["pseudo_gloss"])
