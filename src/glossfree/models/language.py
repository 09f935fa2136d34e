"""mBART as language encoder, as text encoder and as decoder (sections 3.1-3.3).

B clips, S segments, L tokens, E language width, V vocabulary. Token ids are in mBART's fairseq layout: <s> 0, <pad> 1,
</s> 2, <unk> 3, the pieces, the language codes, <mask> last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import MBartConfig, MBartForConditionalGeneration
from transformers.models.mbart.modeling_mbart import MBartEncoder

from glossfree.padded import Padded

BOS_ID, PAD_ID, EOS_ID, UNK_ID = 0, 1, 2, 3
IGNORED = -100


def mbart(
    vocabulary_size: int,
    hidden_size: int,
    num_layers: int,
    num_heads: int,
    mlp_size: int,
    max_positions: int,
    dropout: float,
    pad_id: int = PAD_ID,
) -> MBartForConditionalGeneration:
    """Sizes -> an mBART with random weights: one token table for encoder, decoder and output, scaled by sqrt(E)."""
    config = MBartConfig(  # type: ignore[call-arg]
        vocab_size=vocabulary_size,
        d_model=hidden_size,
        encoder_layers=num_layers,
        decoder_layers=num_layers,
        encoder_attention_heads=num_heads,
        decoder_attention_heads=num_heads,
        encoder_ffn_dim=mlp_size,
        decoder_ffn_dim=mlp_size,
        max_position_embeddings=max_positions,
        dropout=dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        scale_embedding=True,
        pad_token_id=pad_id,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        forced_eos_token_id=None,  # a sentence cut at the token limit must not look finished
        attn_implementation="sdpa",
    )
    model = MBartForConditionalGeneration(config)
    model.tie_weights()  # its constructor leaves that out where it is told to draw no weights
    return model


def shift_right(labels: Tensor, pad_id: int = PAD_ID) -> Tensor:
    """Labels (B, L) "pieces </s> code" -> decoder input (B, L) "code pieces </s>": the last real token goes in front.

    -100 counts as padding. Each row needs at least one token.
    """
    tokens = labels.masked_fill(labels == IGNORED, pad_id)
    last = (tokens != pad_id).sum(dim=1, keepdim=True) - 1
    return torch.cat((tokens.gather(1, last), tokens[:, :-1]), dim=1)


class LanguageEncoder(nn.Module):
    """Segment features -> video features: mBART's encoder, fed by embeddings instead of tokens."""

    def __init__(self, encoder: MBartEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, segments: Padded) -> Padded:
        """Padded (B, S, E) -> Padded (B, S, E). Raises ValueError where S exceeds mBART's positions."""
        if segments.values.shape[1] > self.encoder.max_source_positions:
            raise ValueError(f"{segments.values.shape[1]} segments, {self.encoder.max_source_positions} positions")
        output = self.encoder(inputs_embeds=segments.values, attention_mask=segments.mask.long())
        return segments.with_values(output.last_hidden_state)


class TextEncoder(nn.Module):
    """Sentences -> text features: a second mBART encoder, frozen, without dropout whatever mode its parent is in.

    With `average_padding`, averages run over padding, too: a sentence's then depends on the longest one beside it.
    """

    def __init__(self, encoder: MBartEncoder, average_padding: bool = False) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.average_padding = average_padding
        self.train(False)

    def train(self, mode: bool = True) -> TextEncoder:
        """Stay in evaluation mode: a frozen encoder gives one answer per sentence, which can be kept."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, input_ids: Tensor, pad_id: int = PAD_ID) -> Tensor:
        """Token ids (B, L) "pieces </s> code", padded with pad_id or -100 -> averages over tokens (B, E)."""
        tokens = input_ids.masked_fill(input_ids == IGNORED, pad_id)
        real = tokens != pad_id
        output = self.encoder(input_ids=tokens, attention_mask=real.long())
        return Padded(output.last_hidden_state, real.sum(dim=1)).mean(padding=self.average_padding)
