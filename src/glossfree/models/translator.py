"""Frames -> sentences: the hierarchy with mBART's decoder on top (section 3.3, eq 6).

B clips, S segments, L tokens, V vocabulary, n translations per clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, MBartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.language import BOS_ID, EOS_ID, PAD_ID, UNK_ID, shift_right
from glossfree.padded import Padded

CODES_AND_MASK = 26  # the last ids of mBART-cc25's layout: 25 language codes and <mask>


@dataclass(frozen=True)
class Translations:
    """`sequences` (B, n, L) token ids without the start code, `</s>` and then padding at the end, best first.

    `scores` (B, n): log-probability of a sequence over its length to the power of the length penalty.
    """

    sequences: Tensor
    scores: Tensor


class TranslationModel(nn.Module):
    """The hierarchy and mBART. The hierarchy's language encoder must be `mbart.model.encoder` itself."""

    def __init__(self, hierarchy: HierarchicalEncoder, mbart: MBartForConditionalGeneration) -> None:
        super().__init__()
        if hierarchy.language.encoder is not mbart.model.encoder:
            raise ValueError("the hierarchy's language encoder is not the one of this mBART")
        self.hierarchy = hierarchy
        self.mbart = mbart
        self.pad_id: int = mbart.config.pad_token_id or PAD_ID

    def forward(self, frames: Tensor, lengths: Tensor, labels: Tensor, level: str = "frames") -> Tensor:
        """Rows of all clips at `level`, labels (B, L) "pieces </s> code" -> logits (B, L, V)."""
        return self.decode(self.hierarchy(frames, lengths, level).video, labels)

    def decode(self, video: Padded, labels: Tensor) -> Tensor:
        """Video features Padded (B, S, E) and labels (B, L) -> logits (B, L, V), each token given those before it."""
        output = self.mbart(
            encoder_outputs=BaseModelOutput(last_hidden_state=video.values),
            attention_mask=video.mask.long(),
            decoder_input_ids=shift_right(labels, self.pad_id),
            use_cache=False,
        )
        logits: Tensor = output.logits
        return logits

    @torch.no_grad()
    def translate(
        self,
        frames: Tensor,
        lengths: Tensor,
        level: str = "frames",
        *,
        language_id: int,
        num_beams: int = 4,
        max_new_tokens: int = 100,
        length_penalty: float = 1.0,
        num_return_sequences: int = 1,
        suppressed: Sequence[int] | None = None,
    ) -> Translations:
        """Rows of all clips at `level` -> Translations by beam search, the encoder run once.

        `language_id`: the code that the decoder starts from. `suppressed`: ids that are never produced; by default
        <s>, <pad>, <unk> and the last CODES_AND_MASK ids of the vocabulary. The result does not depend on
        the other clips of the batch. The caller sets the module to evaluation mode.
        """
        video = self.hierarchy(frames, lengths, level).video
        vocabulary_size = self.mbart.config.vocab_size
        if suppressed is None:
            suppressed = (BOS_ID, self.pad_id, UNK_ID, *range(vocabulary_size - CODES_AND_MASK, vocabulary_size))
        # generate() is typed for every kind of model and output at once
        output: Any = self.mbart.generate(  # type: ignore[misc]
            encoder_outputs=BaseModelOutput(last_hidden_state=video.values),
            attention_mask=video.mask.long(),
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                decoder_start_token_id=language_id,
                bos_token_id=BOS_ID,
                eos_token_id=EOS_ID,
                pad_token_id=self.pad_id,
                num_beams=num_beams,
                num_return_sequences=num_return_sequences,
                max_new_tokens=max_new_tokens,
                length_penalty=length_penalty,
                suppress_tokens=list(suppressed),
                do_sample=False,
                use_cache=True,
                return_dict_in_generate=True,
                output_scores=True,
                output_logits=num_beams == 1,
            ),
        )
        sequences = output.sequences[:, 1:]
        scores = output.sequences_scores if num_beams > 1 else _greedy_scores(output.logits, sequences, length_penalty)
        return Translations(
            sequences.view(len(lengths), num_return_sequences, -1), scores.view(len(lengths), num_return_sequences)
        )


def _greedy_scores(step_logits: Sequence[Tensor], sequences: Tensor, length_penalty: float) -> Tensor:
    """Logits of each step (B, V) and the ids chosen (B, L) -> scores (B,) as beam search gives them."""
    log_probabilities = torch.stack(list(step_logits), dim=1).float().log_softmax(dim=-1)
    chosen = log_probabilities.gather(-1, sequences[..., None]).squeeze(-1)
    finished = (sequences == EOS_ID).cumsum(dim=1)
    real = (finished == 0) | ((finished == 1) & (sequences == EOS_ID))
    return (chosen * real).masked_fill(~real, 0.0).sum(dim=1) / real.sum(dim=1) ** length_penalty
