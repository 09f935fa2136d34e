"""mBART's decoder on video features, with beam search from transformers (section 3.3, eq 6).

B clips, S segments, L tokens, E language width, V vocabulary, n translations per clip; K layers, H heads of width d.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from transformers import GenerationConfig, MBartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from glossfree.models.adapters import Adapters
from glossfree.models.choices import Beams, Decoder, Decoding, Language, LanguageEncoder, Translations
from glossfree.models.language.mbart import MBart, MBartEncoder, causal_mask, over_keys
from glossfree.models.tokens import BOS_ID, EOS_ID, PAD_ID, never_written, shift_right
from glossfree.padded import Padded
from glossfree.settings import Trained, value


class MBartDecoding(Adapters, Decoding):
    """The decoder of the mBART in [language], which has its sizes; its adapters are set here."""

    kind: Literal["mbart"] = "mbart"
    train: Trained = value("adapters", "stated", "what of the decoder trains: LoRA, everything, nothing")

    # stated: query and value, of self- and of cross-attention
    adapter_targets: ClassVar[tuple[str, ...]] = ("q_proj", "v_proj")

    def build(self, language: LanguageEncoder, width: int, vocabulary_size: int) -> MBartDecoder:
        """The decoder that belongs to this encoder."""
        assert isinstance(language, MBartEncoder)
        return MBartDecoder(language.mbart)

    def problems_with(self, language: Language) -> Iterator[str]:
        """Any encoder but mBART's."""
        if not isinstance(language, MBart):
            yield f'decoder.kind "mbart" needs language.kind = "mbart", not "{language.kind}"'


class MBartDecoder(Decoder):
    """Decoder, token table and output layer of an mBART. Its encoder is the model's language encoder."""

    def __init__(self, mbart: MBartForConditionalGeneration) -> None:
        super().__init__()
        self.mbart = mbart

    @property
    def adapted(self) -> torch.nn.Module:
        """The module that gets adapters; its other weights are then frozen."""
        decoder: torch.nn.Module = self.mbart.model.decoder
        return decoder

    def forward(self, video: Padded, labels: Tensor) -> Tensor:
        """Video features Padded (B, S, E) and labels (B, L) -> logits (B, L, V), each from the tokens before it."""
        output = self.mbart(
            encoder_outputs=BaseModelOutput(last_hidden_state=video.values),
            attention_mask=over_keys(video.mask),
            decoder_input_ids=shift_right(labels),
            decoder_attention_mask=causal_mask(labels.shape[1], labels.device),
            use_cache=False,
        )
        logits: Tensor = output.logits
        return logits

    def memory(self, video: Padded) -> Tensor:
        """Video features of one clip, Padded (1, S, E) -> keys and values of cross-attention (2, K, H, S, d)."""
        layers = [layer.encoder_attn for layer in self.mbart.model.decoder.layers]
        keys = torch.cat([_heads(each, each.k_proj(video.values)) for each in layers])
        return torch.stack((keys, torch.cat([_heads(each, each.v_proj(video.values)) for each in layers])))

    def step(self, tokens: Tensor, past: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Last tokens (R,), keys and values of the L before, `past` (2, K, R, H, L, d) -> logits (R, V), the next past.

        All rows are of the clip whose `memory` it is. `generate` computes the same by transformers' cache, which a
        graph of fixed inputs cannot hold.
        """
        decoder: Any = self.mbart.model.decoder
        position = decoder.embed_positions.weight[past.shape[4] + decoder.embed_positions.offset]
        hidden = decoder.layernorm_embedding(decoder.embed_tokens(tokens[:, None]) + position)
        keys, values = [], []
        for number, layer in enumerate(decoder.layers):
            own, cross = layer.self_attn, layer.encoder_attn
            normal = layer.self_attn_layer_norm(hidden)
            keys.append(torch.cat((past[0, number], _heads(own, own.k_proj(normal))), dim=2))
            values.append(torch.cat((past[1, number], _heads(own, own.v_proj(normal))), dim=2))
            hidden = hidden + _attend(own, normal, keys[-1], values[-1])
            normal = layer.encoder_attn_layer_norm(hidden)
            hidden = hidden + _attend(cross, normal, memory[0, number], memory[1, number])
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
        logits = self.mbart.lm_head(decoder.layer_norm(hidden[:, 0])) + self.mbart.final_logits_bias
        return logits, torch.stack((torch.stack(keys), torch.stack(values)))

    @torch.no_grad()
    def generate(
        self, video: Padded, beams: Beams, start_id: int, suppressed: Sequence[int] | None = None
    ) -> Translations:
        """Video features Padded (B, S, E) -> Translations by beam search (`suppressed`: by default `never_written`)."""
        if suppressed is None:
            suppressed = never_written(self.mbart.config.vocab_size)
        # generate()'s type covers all kinds of models and outputs
        output: Any = self.mbart.generate(  # type: ignore[misc]
            encoder_outputs=BaseModelOutput(last_hidden_state=video.values),
            attention_mask=video.mask.long(),
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                decoder_start_token_id=start_id,
                bos_token_id=BOS_ID,
                eos_token_id=EOS_ID,
                pad_token_id=PAD_ID,
                num_beams=beams.num_beams,
                num_return_sequences=beams.num_return_sequences,
                max_new_tokens=beams.max_new_tokens,
                length_penalty=beams.length_penalty,
                suppress_tokens=list(suppressed),
                do_sample=False,
                use_cache=True,
                return_dict_in_generate=True,
                output_scores=True,
                output_logits=beams.num_beams == 1,
            ),
        )
        sequences = output.sequences[:, 1:]
        if beams.num_beams > 1:
            scores = output.sequences_scores
        else:
            scores = _greedy_scores(output.logits, sequences, beams.length_penalty)
        shape = len(video.lengths), beams.num_return_sequences
        return Translations(sequences.view(*shape, -1), scores.view(*shape))


def _heads(attention: Any, rows: Tensor) -> Tensor:
    """(R, L, E) -> (R, H, L, d)."""
    return rows.view(*rows.shape[:2], attention.num_heads, attention.head_dim).transpose(1, 2)


def _attend(attention: Any, rows: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Rows (R, 1, E) to keys and values (R or 1, H, L, d) -> (R, 1, E)."""
    queries = _heads(attention, attention.q_proj(rows)) * attention.head_dim**-0.5
    attended = (queries @ keys.transpose(-1, -2)).softmax(dim=-1) @ values
    mixed: Tensor = attention.out_proj(attended.transpose(1, 2).flatten(2))
    return mixed


def _greedy_scores(step_logits: Sequence[Tensor], sequences: Tensor, length_penalty: float) -> Tensor:
    """Logits of each step (B, V) and token ids (B, L) -> scores (B,), as in beam search."""
    log_probabilities = torch.stack(list(step_logits), dim=1).float().log_softmax(dim=-1)
    token_scores = log_probabilities.gather(-1, sequences[..., None]).squeeze(-1)
    finished = (sequences == EOS_ID).cumsum(dim=1)
    real = (finished == 0) | ((finished == 1) & (sequences == EOS_ID))
    return (token_scores * real).masked_fill(~real, 0.0).sum(dim=1) / real.sum(dim=1) ** length_penalty
