"""Other people's weights -> our models: DINOv2 and mBART, by explicit tables of names.

Both go into plain models, before adapters are put in. Everything is strict: a tensor that has no place, or a place
that has no tensor, is an error that names it, but for the few exceptions that are listed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import MBartForConditionalGeneration

from glossfree.errors import ModelError
from glossfree.models.vision import Dinov2ClassToken
from glossfree.models.weights import Census, load, read_weights

# ours: (original release, Hugging Face), outside of the blocks
DINOV2_NAMES = {
    "embeddings.cls_token": ("cls_token", "embeddings.cls_token"),
    "embeddings.mask_token": ("mask_token", "embeddings.mask_token"),
    "embeddings.position_embeddings": ("pos_embed", "embeddings.position_embeddings"),
    "embeddings.patch_embeddings.projection.weight": (
        "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.weight",
    ),
    "embeddings.patch_embeddings.projection.bias": (
        "patch_embed.proj.bias",
        "embeddings.patch_embeddings.projection.bias",
    ),
    "layernorm.weight": ("norm.weight", "layernorm.weight"),
    "layernorm.bias": ("norm.bias", "layernorm.bias"),
}
# the same within a block: what follows "encoder.layer.3." here and in Hugging Face's files, "blocks.3." in the release
DINOV2_BLOCK_NAMES = {
    "layer_scale1.lambda1": ("ls1.gamma", "layer_scale1.lambda1"),
    "layer_scale2.lambda1": ("ls2.gamma", "layer_scale2.lambda1"),
} | {
    f"{name}.{kind}": (f"{original}.{kind}", f"{hugging_face}.{kind}")
    for kind in ("weight", "bias")
    for name, original, hugging_face in (
        ("norm1", "norm1", "norm1"),
        ("norm2", "norm2", "norm2"),
        ("mlp.fc1", "mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2", "mlp.fc2"),
        ("attention.qkv", "attn.qkv", "attention.qkv"),  # Hugging Face's three are joined first
        ("attention.proj", "attn.proj", "attention.output.dense"),
    )
}
# transformers 5 renamed the attention in memory; files of either kind are around
DINOV2_RENAMED = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}
# the one token table of mBART, under all the names that files give it
MBART_TABLE = "model.shared.weight"
MBART_TABLE_COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
MBART_BIAS = "final_logits_bias"
MBART_IGNORED = ("model.encoder.version", "model.decoder.version")  # markers of early conversions, not weights


def load_dinov2(backbone: Dinov2ClassToken, source: Path) -> Census:
    """DINOv2 from a Hugging Face folder (names of transformers 4 or 5) or the original release's .pth, in place.

    The mask token may be missing: nothing here uses it. Raises ModelError.
    """
    tensors = read_weights(source)
    original = any(name.startswith("blocks.") for name in tensors)
    if not original:
        tensors = _fuse_attention(_without_prefix(tensors, "dinov2."), source)
    column = 0 if original else 1
    blocks = range(len(backbone.model.encoder.layer))
    names = {theirs[column]: ours for ours, theirs in DINOV2_NAMES.items()}
    for block in blocks:
        prefix = f"blocks.{block}." if original else f"encoder.layer.{block}."
        names |= {
            prefix + theirs[column]: f"encoder.layer.{block}.{ours}" for ours, theirs in DINOV2_BLOCK_NAMES.items()
        }
    renamed = {f"model.{names[name]}" if name in names else name: tensor for name, tensor in tensors.items()}
    return load(backbone, renamed, where=str(source), new=("model.embeddings.mask_token",), ignored=("classifier.",))


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Names without the prefix that a model with a head on top puts before them."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _fuse_attention(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Hugging Face's query, key and value, old or new names -> one `attention.qkv`, in DINOv2's own order."""
    fused: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        for new, old in DINOV2_RENAMED.items():
            name = name.replace(new, old)
        match = re.fullmatch(r"(encoder\.layer\.\d+\.attention)\.attention\.(query|key|value)\.(weight|bias)", name)
        if match:
            parts.setdefault(f"{match[1]}.qkv.{match[3]}", {})[match[2]] = tensor
        else:
            fused[name] = tensor
    for name, three in parts.items():
        if len(three) < 3:
            raise ModelError(f"{name}: only {', '.join(three)} present", where=source, remedy="fetch it complete")
        fused[name] = torch.cat([three["query"], three["key"], three["value"]])
    return fused


def load_mbart(model: MBartForConditionalGeneration, source: Path, kept_ids: Sequence[int] | None = None) -> Census:
    """mBART (cc25, or large-50) from a Hugging Face folder, in place. Row i of the token table is row kept_ids[i].

    `kept_ids` come with the trimmed tokenizer; None keeps all rows. The last id of every mBART vocabulary is <mask>:
    if the last kept id is not the table's last row, tokenizer and weights do not belong together. Raises ModelError.
    """
    tensors = read_weights(source)
    if not any(name.startswith("model.") for name in tensors):
        tensors = {f"model.{name}": tensor for name, tensor in tensors.items()}
    tables = [name for name in (MBART_TABLE, *MBART_TABLE_COPIES) if name in tensors]
    if not tables:
        raise ModelError("no token table in it", where=source, remedy="name the folder of an mBART")
    table = tensors[tables[0]]
    for name in tables:
        if not torch.equal(tensors.pop(name), table):
            raise ModelError(f"{name} differs from {tables[0]}", where=source, remedy="mBART has one table, shared")
    bias = tensors.pop(MBART_BIAS, table.new_zeros(1, len(table)))
    if kept_ids is not None:
        if kept_ids[-1] != len(table) - 1:
            problem = f"its table has {len(table)} rows, the tokenizer it was trimmed from {kept_ids[-1] + 1} ids"
            raise ModelError(problem, where=source, remedy="take the tokenizer that belongs to these weights")
        rows = torch.as_tensor(kept_ids)
        table, bias = table[rows], bias[:, rows]
    tensors |= {MBART_TABLE: table, MBART_BIAS: bias}
    census = load(model, tensors, where=str(source), ignored=MBART_IGNORED)
    if kept_ids is None:
        return census
    trimmed = (MBART_TABLE, MBART_BIAS)
    return replace(census, loaded=tuple(name for name in census.loaded if name not in trimmed), trimmed=trimmed)
