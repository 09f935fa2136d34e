"""Weights of DINOv2 and mBART from folders and files as others write them, with random content."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, MBartConfig, MBartForConditionalGeneration

from glossfree.errors import ModelError
from glossfree.models.language import mbart
from glossfree.models.pretrained import load_dinov2, load_mbart
from glossfree.models.vision import Dinov2ClassToken, dinov2
from glossfree.models.weights import state

WIDTH, BLOCKS, HEADS = 20, 11, 4  # more than ten blocks: number 1 is a prefix of number 10


@pytest.fixture(scope="module")
def reference() -> Dinov2Model:
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=BLOCKS, num_attention_heads=HEADS, mlp_ratio=2, image_size=56
    )
    model = Dinov2Model(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def empty_backbone(blocks: int = BLOCKS) -> Dinov2ClassToken:
    return dinov2(WIDTH, blocks, HEADS, 2, 14, 56).eval()


def original_names(reference: Dinov2Model) -> dict[str, Tensor]:
    """The state dict as the original release writes it, spelled out here once more."""
    theirs = reference.state_dict()
    tensors = {
        "cls_token": theirs["embeddings.cls_token"],
        "pos_embed": theirs["embeddings.position_embeddings"],
        "mask_token": theirs["embeddings.mask_token"],
        "patch_embed.proj.weight": theirs["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": theirs["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": theirs["layernorm.weight"],
        "norm.bias": theirs["layernorm.bias"],
    }
    for n in range(BLOCKS):
        block, old = f"blocks.{n}.", f"encoder.layer.{n}."
        tensors[block + "ls1.gamma"] = theirs[old + "layer_scale1.lambda1"]
        tensors[block + "ls2.gamma"] = theirs[old + "layer_scale2.lambda1"]
        for kind in ("weight", "bias"):
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                tensors[f"{block}{name}.{kind}"] = theirs[f"{old}{name}.{kind}"]
            three = [theirs[f"{old}attention.{letter}_proj.{kind}"] for letter in "qkv"]
            tensors[f"{block}attn.qkv.{kind}"] = torch.cat(three)
            tensors[f"{block}attn.proj.{kind}"] = theirs[f"{old}attention.o_proj.{kind}"]
    return tensors


def write(reference: Dinov2Model, kind: str, folder: Path) -> Path:
    if kind == "transformers 4":  # what save_pretrained of either version writes
        reference.save_pretrained(folder)
        assert any(".attention.attention.query." in name for name in load_file(folder / "model.safetensors"))
        return folder
    if kind == "transformers 5":
        save_file(reference.state_dict(), folder / "model.safetensors")
        return folder
    if kind == "with a classifier":
        tensors = {f"dinov2.{name}": tensor for name, tensor in reference.state_dict().items()}
        torch.save({**tensors, "classifier.weight": torch.ones(2, 40)}, folder / "pytorch_model.bin")
        return folder
    torch.save(original_names(reference), folder / "dinov2_vits14_pretrain.pth")
    return folder / "dinov2_vits14_pretrain.pth"


@pytest.mark.parametrize("kind", ["transformers 4", "transformers 5", "with a classifier", "original"])
def test_dinov2_from_every_kind_of_file(reference: Dinov2Model, kind: str, tmp_path: Path) -> None:
    backbone = empty_backbone()
    census = load_dinov2(backbone, write(reference, kind, tmp_path))
    assert set(census.loaded) == set(state(backbone))
    assert census.new == census.trimmed == ()
    assert census.ignored == (("classifier.weight",) if kind == "with a classifier" else ())
    images = torch.randn(2, 3, 56, 42)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), reference(images).pooler_output, rtol=0, atol=1e-5)


def test_a_missing_mask_token_is_new(reference: Dinov2Model, tmp_path: Path) -> None:
    tensors = original_names(reference)
    del tensors["mask_token"]
    torch.save(tensors, tmp_path / "weights.pth")
    assert load_dinov2(empty_backbone(), tmp_path / "weights.pth").new == ("model.embeddings.mask_token",)


def test_dinov2_that_does_not_fit_is_refused_by_name(reference: Dinov2Model, tmp_path: Path) -> None:
    source = write(reference, "original", tmp_path)
    with pytest.raises(ModelError, match=r"blocks\.10\..* has no place"):
        load_dinov2(empty_backbone(BLOCKS - 1), source)
    with pytest.raises(ModelError, match=r"encoder\.layer\.11\..* is missing"):
        load_dinov2(empty_backbone(BLOCKS + 1), source)
    with pytest.raises(ModelError, match="position_embeddings is"):
        load_dinov2(dinov2(WIDTH, BLOCKS, HEADS, 2, 14, 70), source)
    tensors = reference.state_dict()
    del tensors["encoder.layer.3.attention.k_proj.bias"]
    save_file(tensors, tmp_path / "broken.safetensors")
    with pytest.raises(ModelError, match=r"encoder\.layer\.3\.attention\.qkv\.bias: only query, value"):
        load_dinov2(empty_backbone(), tmp_path / "broken.safetensors")
    torch.save({**original_names(reference), "register_tokens": torch.ones(1, 4, WIDTH)}, source)
    with pytest.raises(ModelError, match="register_tokens has no place"):
        load_dinov2(empty_backbone(), source)


ROWS, E = 61, 12
KEPT = [0, 1, 2, 3, 9, 30, 17, *range(35, 61)]


@pytest.fixture(scope="module")
def original_mbart() -> MBartForConditionalGeneration:
    torch.manual_seed(1)
    model = MBartForConditionalGeneration(
        MBartConfig(
            vocab_size=ROWS, d_model=E, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3,
            decoder_attention_heads=3, encoder_ffn_dim=20, decoder_ffn_dim=20, max_position_embeddings=22,
            scale_embedding=True,
        )
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.normal_(model.final_logits_bias)
    return model


def empty_mbart(rows: int) -> MBartForConditionalGeneration:
    return mbart(rows, E, 2, 3, 20, 22, 0.1).eval()


def test_mbart_rows_follow_their_pieces_bit_for_bit(
    original_mbart: MBartForConditionalGeneration, tmp_path: Path
) -> None:
    original_mbart.save_pretrained(tmp_path)
    model = empty_mbart(len(KEPT))
    census = load_mbart(model, tmp_path, KEPT)
    assert census.trimmed == ("model.shared.weight", "final_logits_bias")
    assert len(census.loaded) == len(state(model)) - 2
    for new, old in enumerate(KEPT):
        assert torch.equal(model.lm_head.weight[new], original_mbart.model.shared.weight[old])
    tokens = torch.tensor([4, 6, 5, 2, len(KEPT) - 3])
    old_tokens = torch.tensor(KEPT)[tokens]
    ours = model(input_ids=tokens[None], decoder_input_ids=tokens[None]).logits
    theirs = original_mbart(input_ids=old_tokens[None], decoder_input_ids=old_tokens[None]).logits
    torch.testing.assert_close(ours, theirs[..., KEPT], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["all names of the table", "without prefix", "with version markers"])
def test_mbart_from_older_files(original_mbart: MBartForConditionalGeneration, kind: str, tmp_path: Path) -> None:
    tensors = dict(original_mbart.state_dict())
    assert "lm_head.weight" in tensors
    if kind == "without prefix":  # as MBartModel, which has no output layer, writes it
        tensors = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    elif kind == "with version markers":
        tensors["model.encoder.version"] = torch.ones(1)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    model = empty_mbart(ROWS)
    census = load_mbart(model, tmp_path)
    assert census.trimmed == ()
    assert census.ignored == (("model.encoder.version",) if kind == "with version markers" else ())
    assert set(census.loaded) == set(state(model))
    assert torch.equal(model.model.shared.weight, original_mbart.model.shared.weight)
    expected = torch.zeros(1, ROWS) if kind == "without prefix" else original_mbart.final_logits_bias
    assert torch.equal(model.final_logits_bias, expected)


def test_mbart_that_does_not_fit_is_refused(original_mbart: MBartForConditionalGeneration, tmp_path: Path) -> None:
    original_mbart.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="61 rows, the tokenizer it was trimmed from 60 ids"):
        load_mbart(empty_mbart(5), tmp_path, [0, 1, 2, 3, 59])
    with pytest.raises(ModelError, match="the model has"):
        load_mbart(empty_mbart(len(KEPT) + 1), tmp_path, KEPT)
    tensors = dict(original_mbart.state_dict())
    torch.save({**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1}, tmp_path / "untied.bin")
    with pytest.raises(ModelError, match=r"lm_head\.weight differs"):
        load_mbart(empty_mbart(ROWS), tmp_path / "untied.bin")
    save_file({"model.nothing": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="no token table"):
        load_mbart(empty_mbart(ROWS), tmp_path / "other.safetensors")
