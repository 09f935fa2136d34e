"""mBART-large-cc25's encoder: segments -> video features, and sentences -> text features (sections 3.1-3.3, 4.2).

B clips, S segments, L tokens, E language width, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from glossfree.errors import ModelError
from glossfree.models.adapters import Adapters
from glossfree.models.choices import Language, LanguageEncoder
from glossfree.models.mbart import MBartNetwork, Sizes, Stack
from glossfree.models.tokens import IGNORED, PAD_ID
from glossfree.models.weights import Census, load, read_weights
from glossfree.padded import Padded
from glossfree.settings import DEEPEST, WIDEST, Trained, value

# mBART's one token table, and its other names in files
MBART_TABLE = "model.shared.weight"
MBART_TABLE_COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
MBART_BIAS = "final_logits_bias"
MBART_IGNORED = ("model.encoder.version", "model.decoder.version")  # markers of early conversions, not weights


class MBart(Adapters, Language):
    """Sizes of mBART, also for `decoder.kind = "mbart"`, and the adapters of its encoder."""

    kind: Literal["mbart"] = "mbart"
    num_layers: int = value(12, "stated", "layers of encoder and of decoder", ge=1, le=DEEPEST)
    num_heads: int = value(16, "stated", "attention heads", ge=1, le=WIDEST)
    mlp_size: int = value(4096, "stated", "width of the MLPs", ge=1, le=WIDEST)
    max_positions: int = value(1024, "derived", "positions (mBART's table has two more rows)", ge=8, le=WIDEST)
    dropout: float = value(0.1, "assumed", "dropout of mBART", ge=0, lt=1)
    train: Trained = value("adapters", "stated", "what of the encoder trains: LoRA, everything, nothing")

    adapter_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")  # stated: query and value
    reads_text: ClassVar[bool] = True

    def build(self, vocabulary_size: int) -> MBartEncoder:
        """The encoder of an mBART with random weights, which it keeps for the decoder.

        One token table serves encoder, decoder and output; embeddings are scaled by sqrt(E).
        """
        sizes = Sizes(
            vocabulary_size,
            *(self.hidden_size, self.num_layers, self.num_heads),
            *(self.mlp_size, self.max_positions, self.dropout),
        )
        mbart = MBartNetwork(sizes)
        return MBartEncoder(mbart.model.encoder, mbart)

    def load(self, module: LanguageEncoder, source: Path, kept_ids: Sequence[int] | None) -> Census:
        """Load mBART's own files, encoder and decoder, in place. Raises ModelError."""
        assert isinstance(module, MBartEncoder)
        return load_mbart(module.mbart, source, kept_ids)


class MBartEncoder(LanguageEncoder):
    """mBART's encoder, on embeddings (segments) or tokens."""

    def __init__(self, encoder: Stack, whole: MBartNetwork | None = None) -> None:
        """`whole`: the mBART of this encoder, for its decoder."""
        super().__init__()
        self.encoder = encoder
        self._whole = (whole,)  # in a tuple: its decoder is another part of the model and must not be registered here

    @property
    def mbart(self) -> MBartNetwork:
        """The mBART that this encoder belongs to."""
        (whole,) = self._whole
        assert whole is not None
        return whole

    def copied(self) -> MBartEncoder:
        """An independent copy of the encoder, without the rest of its mBART."""
        return MBartEncoder(copy.deepcopy(self.encoder))

    @property
    def adapted(self) -> nn.Module:
        """The module that gets adapters; its other weights are then frozen."""
        return self.encoder

    def forward(self, segments: Padded) -> Padded:
        """Padded (B, S, E) -> Padded (B, S, E). Raises ModelError if S exceeds mBART's positions."""
        if segments.values.shape[1] > self.encoder.max_positions:
            problem = f"{segments.values.shape[1]} segments, but only {self.encoder.max_positions} positions"
            raise ModelError(problem, where="mBART", remedy="raise its max_positions, or lower data.max_frames")
        hidden, _ = self.encoder(segments.values, segments.mask)
        return segments.with_values(hidden)

    def read(self, input_ids: Tensor) -> Padded:
        """Token ids (B, L), padded with -100 or <pad> -> token features Padded (B, L, E)."""
        tokens = input_ids.masked_fill(input_ids == IGNORED, PAD_ID)
        real = tokens != PAD_ID
        hidden, _ = self.encoder(self.encoder.embed_tokens(tokens), real)
        return Padded(hidden, real.sum(dim=1))


def load_mbart(model: MBartNetwork, source: Path, kept_ids: Sequence[int] | None = None) -> Census:
    """mBART (cc25, or large-50) from a Hugging Face folder, in place (see `mbart_tensors`). Raises ModelError."""
    tensors = mbart_tensors(source, kept_ids)
    census = load(model, tensors, where=str(source), ignored=MBART_IGNORED)
    return census if kept_ids is None else with_trimmed(census, MBART_TABLE, MBART_BIAS)


def mbart_tensors(source: Path, kept_ids: Sequence[int] | None = None) -> dict[str, Tensor]:
    """The folder of an mBART -> its tensors by name, with one token table and the bias of the output.

    Row i of the table is row kept_ids[i] of the file. `kept_ids` come with the trimmed tokenizer; None keeps all rows.
    The last id of every mBART vocabulary is <mask>: if the last kept id is not the table's last row, tokenizer and
    weights do not match. Raises ModelError.
    """
    tensors = read_weights(source)
    if not any(name.startswith("model.") for name in tensors):
        tensors = {f"model.{name}": tensor for name, tensor in tensors.items()}
    tables = [name for name in (MBART_TABLE, *MBART_TABLE_COPIES) if name in tensors]
    if not tables:
        raise ModelError("no token table in these weights", where=source, remedy="name the folder of an mBART")
    table = tensors[tables[0]]
    for name in tables:
        if not torch.equal(tensors.pop(name), table):
            raise ModelError(
                f"{name} differs from {tables[0]}",
                where=source,
                remedy="mBART shares one table: fetch the weights again",
            )
    bias = tensors.pop(MBART_BIAS, table.new_zeros(1, len(table)))
    if kept_ids is not None:
        if kept_ids[-1] != len(table) - 1:
            problem = f"its table has {len(table)} rows, the tokenizer it was trimmed from {kept_ids[-1] + 1} ids"
            raise ModelError(problem, where=source, remedy="use the tokenizer that belongs to these weights")
        rows = torch.as_tensor(kept_ids)
        table, bias = table[rows], bias[:, rows]
    return tensors | {MBART_TABLE: table, MBART_BIAS: bias}


def with_trimmed(census: Census, *trimmed: str) -> Census:
    """The census in which these tensors count as trimmed."""
    return replace(census, loaded=tuple(name for name in census.loaded if name not in trimmed), trimmed=trimmed)
