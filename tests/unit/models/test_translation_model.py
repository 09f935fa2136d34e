"""The complete model: its parts, their parameters, what may train, and translation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from glossfree.models.adapters import add_lora
from glossfree.models.backbones.dinov2 import Dinov2
from glossfree.models.choices import Beams, Decoder
from glossfree.models.decoders.gru import RecurrentDecoding
from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.hierarchy import PREFIXES, HierarchicalEncoder, Mapper, TranslationModel, VisualEncoder
from glossfree.models.language.mbart import MBart, MBartEncoder
from glossfree.models.language.none import Unchanged
from glossfree.models.temporal.local_attention import LocalAttention
from glossfree.objectives.translation import translation_loss

D, E, VOCABULARY, PIXELS = 14, 18, 60, 28
LANGUAGE_ID = VOCABULARY - 20
LENGTHS = torch.tensor([11, 4, 1, 7])


def model_of(kind: str = "mbart", mapper: bool = True) -> TranslationModel:
    torch.manual_seed(5)
    language = (
        MBart(hidden_size=E, num_layers=2, num_heads=3, mlp_size=22, max_positions=40, dropout=0.0)
        .build(VOCABULARY)
        .mbart
    )
    encoder = MBartEncoder(language.model.encoder, language) if kind == "mbart" else Unchanged()
    hierarchy = HierarchicalEncoder(
        VisualEncoder(
            Dinov2(hidden_size=12, num_layers=2, num_heads=3, mlp_ratio=2, patch_size=14, image_size=PIXELS).build(),
            12,
            D,
        ),
        LocalAttention(
            hidden_size=D,
            num_layers=3,
            num_heads=1,
            mlp_size=20,
            window_size=7,
            downsample_after=2,
            dropout=0.0,
            drop_path=0.0,
            layer_scale=0.5,
        ).build(E),
        encoder,
        Mapper(E) if mapper else None,
    )
    decoder: Decoder = MBartDecoder(language)
    if kind != "mbart":
        decoder = RecurrentDecoding(hidden_size=10, num_layers=2).build(encoder, E, VOCABULARY)
    return TranslationModel(hierarchy, decoder, VOCABULARY)


def frames() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (int(LENGTHS.sum()), 3, PIXELS, PIXELS), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("kind", ["mbart", "gru"])
def test_every_parameter_and_module_belongs_to_one_part(kind: str) -> None:
    model = model_of(kind)
    assert list(model.parts()) == ["vision", "temporal", "language", "mapper", "decoder"]
    assert [*model.parts(), "keypoints"] == list(PREFIXES), "this model reads none"
    owned = list(model.parameters_of())
    assert [name for _, name, _ in owned] == [name for name, _ in model.named_parameters()]
    assert {id(p) for _, _, p in owned} == {id(p) for p in model.parameters()}
    modules = list(model.modules_of())
    assert len({id(module) for _, module in modules}) == len(modules)
    expected = {id(m) for part in model.parts().values() for m in part.modules()}
    assert {id(module) for _, module in modules} == expected
    for part, name, _ in owned:
        assert name.startswith(PREFIXES[part])


def test_tensors_shared_in_mbart_belong_to_the_encoder() -> None:
    """The decoder holds a complete mBART, but its encoder and token table belong to the language encoder."""
    model = model_of()
    owner = {id(p): part for part, _, p in model.parameters_of()}
    whole = model.decoder.mbart
    assert {owner[id(p)] for p in whole.model.encoder.parameters()} == {"language"}
    assert owner[id(whole.lm_head.weight)] == owner[id(whole.model.shared.weight)] == "language"
    assert {owner[id(p)] for p in whole.model.decoder.layers.parameters()} == {"decoder"}
    of_module = {id(module): part for part, module in model.modules_of()}
    assert {of_module[id(m)] for m in whole.model.encoder.modules()} == {"language"}
    assert {of_module[id(m)] for m in (whole, whole.model, *whole.model.decoder.modules())} == {"decoder"}


def test_a_model_without_mapper_has_no_such_part_until_it_is_put_in() -> None:
    model = model_of(mapper=False)
    assert "mapper" not in model.parts()
    model.train_only(["decoder"])
    mapper = Mapper(E)
    model.put_mapper(mapper)
    assert model.parts()["mapper"] is model.hierarchy.mapper is mapper
    model.train_only(["mapper"])
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        f"hierarchy.mapper.{name}" for name, _ in mapper.named_parameters()
    }


@pytest.mark.parametrize("parts", [("vision",), ("temporal", "mapper"), ("language", "decoder"), (), tuple(PREFIXES)])
def test_only_the_named_parts_train_and_of_them_what_may(parts: tuple[str, ...]) -> None:
    model = model_of()
    add_lora(model.hierarchy.visual.backbone, ["qkv"], 2, 4.0, 0.0)
    add_lora(model.hierarchy.language.adapted, ["q_proj"], 2, 4.0, 0.0)
    model.note_trainable()
    may = {name for name, p in model.named_parameters() if p.requires_grad}
    model.train_only(["temporal"])  # whatever trained before
    model.train_only(parts)
    for part, name, parameter in model.parameters_of():
        assert parameter.requires_grad == (part in parts and name in may), name
    assert "hierarchy.visual.projection.weight" in may and "hierarchy.temporal.output.weight" in may
    assert not any("language" in name and "lora_" not in name for name in may)


@pytest.mark.parametrize("kind", ["mbart", "gru"])
def test_a_clip_is_translated_the_same_alone_from_frames_and_from_segments(kind: str) -> None:
    model = model_of(kind).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.35, generator=torch.Generator().manual_seed(parameter.numel()))
    beams = Beams(max_new_tokens=12, num_return_sequences=3)
    options = {"beams": beams, "start_id": LANGUAGE_ID}
    together = model.translate(frames(), LENGTHS, **options)
    assert together.sequences.shape[:2] == together.scores.shape == (4, 3)
    assert len({tuple(clip[0].tolist()) for clip in together.sequences}) > 1, "clips alike: the test could not fail"
    with torch.no_grad():
        segments = model.hierarchy.segments(frames(), LENGTHS)
    again = model.translate(segments.pack(), segments.lengths, "segment_features", **options)
    assert torch.equal(again.sequences, together.sequences)
    for row, clip in enumerate(frames().split(LENGTHS.tolist())):
        alone = model.translate(clip, LENGTHS[row : row + 1], **options)
        length = alone.sequences.shape[-1]
        assert torch.equal(alone.sequences[0], together.sequences[row, :, :length])
        assert (together.sequences[row, :, length:] == 1).all()
        torch.testing.assert_close(alone.scores[0], together.scores[row], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["mbart", "gru"])
def test_the_loss_of_a_sentence_reaches_every_parameter(kind: str) -> None:
    model = model_of(kind).train()
    labels = torch.tensor([[5, 2, LANGUAGE_ID], [7, 2, LANGUAGE_ID], [5, 2, LANGUAGE_ID], [7, 2, LANGUAGE_ID]])
    video = model.hierarchy(frames(), LENGTHS).video
    translation_loss(model.decoder(video, labels), labels, 0.2).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
