"""Recipe -> modules: the same for the same seed, and what of them trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from glossfree.assemble import LANGUAGE_TARGETS, VISION_TARGETS, Parts, assemble
from glossfree.config import load_recipe
from glossfree.models.language import TextEncoder
from glossfree.models.weights import load, state

V = 53


def parts_of(tiny: Any, *overrides: str) -> Parts:
    return assemble(load_recipe(tiny.recipe, overrides), V)


def names_of(module: torch.nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny: Any) -> None:
    one, two, other = parts_of(tiny), parts_of(tiny), parts_of(tiny, "seed=1")
    for module in ("visual", "temporal", "mbart"):
        first, second, third = (getattr(parts, module).state_dict() for parts in (one, two, other))
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert any(not torch.equal(first[name], third[name]) for name in first)


def test_sizes_come_from_the_recipe(tiny: Any) -> None:
    parts = parts_of(tiny)
    assert parts.mbart.config.vocab_size == V
    assert parts.visual.projection.out_features == 36
    assert parts.head(torch.ones(5, 11)).projection.in_features == 32
    assert parts.translation().hierarchy.mapper is not None
    assert parts.pretraining(torch.ones(5, 11)).hierarchy.mapper is None


@pytest.mark.parametrize("vision", ["adapters", "all", "none"])
@pytest.mark.parametrize("language", ["adapters", "all", "none"])
def test_what_trains_after_adapting(tiny: Any, vision: str, language: str) -> None:
    parts = parts_of(tiny, f"vision.train={vision}", f"language.train={language}")
    parts.adapt()
    backbone, mbart = names_of(parts.visual.backbone), names_of(parts.mbart)
    if vision == "adapters":
        assert backbone and all("lora_" in name for name in backbone)
        assert all("layer.1." in name or "layers.1." in name for name in backbone)  # the top one of two blocks
        assert {target for target in VISION_TARGETS for name in backbone if f".{target}." in name}
    else:
        assert bool(backbone) == (vision == "all")
        assert not any("lora_" in name for name in backbone)
    if language == "adapters":
        assert mbart and all("lora_" in name for name in mbart)
        assert all(name.split(".lora_")[0].rsplit(".", 1)[1] in LANGUAGE_TARGETS for name in mbart)
        assert any("encoder_attn" in name for name in mbart) and any("encoder.layers" in name for name in mbart)
    else:
        assert (len(mbart) == len(list(parts.mbart.parameters()))) == (language == "all")
        assert bool(mbart) == (language == "all")
    assert names_of(parts.temporal) == [name for name, _ in parts.temporal.named_parameters()]
    marked = {id(parameter) for parameter in parts.trainable}
    for module in (parts.visual, parts.temporal, parts.mbart):
        assert all((id(p) in marked) == p.requires_grad for p in module.parameters())


def test_thaw_undoes_a_freeze_and_thaws_nothing_else(tiny: Any) -> None:
    parts = parts_of(tiny, "language.train=adapters")
    parts.adapt()
    before = [names_of(module) for module in (parts.visual, parts.temporal, parts.mbart)]
    for module in (parts.visual, parts.temporal, parts.mbart):
        module.requires_grad_(False)
    parts.thaw()
    assert [names_of(module) for module in (parts.visual, parts.temporal, parts.mbart)] == before


def test_adapters_change_nothing_before_the_first_step(tiny: Any) -> None:
    parts, frames = parts_of(tiny), torch.randint(0, 256, (5, 3, 24, 24), dtype=torch.uint8)
    parts.visual.eval()
    before = parts.visual(frames)
    parts.adapt()
    torch.testing.assert_close(parts.visual.eval()(frames), before)


def test_text_features_are_the_text_encoder_s_for_each_sentence_alone(tiny: Any) -> None:
    parts = parts_of(tiny)
    parts.mbart.train()
    ids = [torch.tensor([5, 6, 2, 40]), torch.tensor([7, 8, 9, 10, 11, 2, 40]), torch.tensor([12, 2, 40])]
    sentences = ["a", "b", "c"]
    found = parts.text_features(sentences, ids, batch_size=2)
    assert list(found) == sentences
    encoder = TextEncoder(parts.mbart.model.encoder)
    for sentence, row in zip(sentences, ids, strict=True):
        torch.testing.assert_close(found[sentence], encoder(row[None])[0])
        assert found[sentence].shape == (32,) and not found[sentence].requires_grad
    assert not torch.allclose(found["a"], found["c"])


def test_text_features_leave_the_encoder_trainable(tiny: Any) -> None:
    parts = parts_of(tiny)
    parts.text_features(["a"], [torch.tensor([5, 2, 40])])
    assert all(parameter.requires_grad for parameter in parts.mbart.parameters())


@pytest.mark.parametrize("average_padding", [False, True])
def test_a_kept_text_encoder_is_a_frozen_copy_that_is_handed_over(tiny: Any, average_padding: bool) -> None:
    parts = parts_of(tiny, "language.train=adapters", f"pretrain.average_padding={str(average_padding).lower()}")
    before = {name: tensor.clone() for name, tensor in parts.mbart.model.encoder.state_dict().items()}
    parts.keep_text_encoder()
    assert all(parameter.requires_grad for parameter in parts.mbart.parameters())
    parts.adapt()
    model = parts.pretraining(torch.ones(5, 11))
    encoder = model.text_encoder
    assert encoder is not None and encoder.average_padding == model.average_padding == average_padding
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    found = encoder.encoder.state_dict()
    assert found.keys() == before.keys() and all(torch.equal(found[name], before[name]) for name in before)
    own = {parameter.data_ptr() for parameter in parts.mbart.parameters()}
    assert not own & {parameter.data_ptr() for parameter in encoder.parameters()}
    assert parts.text_encoder is None and parts.pretraining(torch.ones(5, 11)).text_encoder is None


def test_what_is_loaded_next_is_not_drawn_first(tiny: Any) -> None:
    """Constants (positions, normalisation) are there all the same: loaded, the model is the one that was saved."""
    recipe = load_recipe(tiny.recipe)
    drawn = assemble(recipe, 53).translation()
    state_before = torch.get_rng_state()
    parts = assemble(recipe, 53, to_be_loaded=True)
    with torch.no_grad():
        for parameter in (*parts.visual.parameters(), *parts.temporal.parameters(), *parts.mbart.parameters()):
            parameter.fill_(float("nan"))
    loaded = parts.translation()
    load(loaded, {name: tensor.clone() for name, tensor in state(drawn).items()})
    frames = torch.randint(0, 256, (5, 3, 24, 24), dtype=torch.uint8)
    lengths, labels = torch.tensor([3, 2]), torch.tensor([[5, 6, 2, 40], [7, 2, 40, -100]])
    assert torch.equal(drawn.eval()(frames, lengths, labels), loaded.eval()(frames, lengths, labels))
    torch.set_rng_state(state_before)
    assert float(assemble(recipe, 53).temporal.output.weight.detach().std()) > 0.01, "and afterwards all is drawn again"
