"""transformers' own mBART and beam search with a model's weights: what `MBartDecoder` is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, MBartConfig, MBartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from glossfree.models.adapters import Adapters, add_lora, merge_lora
from glossfree.models.choices import Beams, Translations
from glossfree.models.tokens import BOS_ID, EOS_ID, PAD_ID, never_written
from glossfree.padded import Padded


def of_transformers(mbart: nn.Module, num_heads: int, adapters: Adapters | None = None) -> Any:
    """Our mBART -> transformers' with the same weights. `adapters`: the decoder's; all others are merged."""
    merged: Any = deepcopy(mbart)
    merge_lora(merged if adapters is None else merged.model.encoder)
    tensors = merged.state_dict()
    layers = {
        side: len({name.split(".")[3] for name in tensors if name.startswith(f"model.{side}.layers.")})
        for side in ("encoder", "decoder")
    }
    table = tensors["model.shared.weight"]
    config = MBartConfig(  # type: ignore[call-arg]
        vocab_size=table.shape[0],
        d_model=table.shape[1],
        encoder_layers=layers["encoder"],
        decoder_layers=layers["decoder"],
        encoder_attention_heads=num_heads,
        decoder_attention_heads=num_heads,
        encoder_ffn_dim=tensors["model.decoder.layers.0.fc1.weight"].shape[0],
        decoder_ffn_dim=tensors["model.decoder.layers.0.fc1.weight"].shape[0],
        max_position_embeddings=tensors["model.decoder.embed_positions.weight"].shape[0] - 2,
        scale_embedding=True,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        forced_eos_token_id=None,
        attn_implementation="sdpa",
    )
    theirs: Any = MBartForConditionalGeneration(config).to(table.dtype)
    if adapters is not None:
        decoder = theirs.model.decoder
        add_lora(decoder, adapters.adapter_targets, adapters.adapter_rank, adapters.adapter_alpha, 0.0)
    theirs.load_state_dict(tensors)
    return theirs.eval()


@torch.no_grad()
def generated(
    theirs: Any,
    video: Padded,
    beams: Beams,
    start_id: int,
    suppressed: Sequence[int] | None = None,
    **changes: object,
) -> Translations:
    """transformers' mBART on video features Padded (B, S, E) -> Translations, as `MBartDecoder.generate` gives them.

    `changes`: of transformers' settings. With one beam there is one sentence for each clip.
    """
    banned = never_written(theirs.config.vocab_size) if suppressed is None else suppressed
    settings = {
        "num_beams": beams.num_beams,
        "num_return_sequences": beams.num_return_sequences,
        "max_new_tokens": beams.max_new_tokens,
        "length_penalty": beams.length_penalty,
        "decoder_start_token_id": start_id,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": PAD_ID,
        "suppress_tokens": list(banned),
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": beams.num_beams == 1,
    }
    output = theirs.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=video.values),
        attention_mask=video.mask.long(),
        generation_config=GenerationConfig(**{**settings, **changes}),
    )
    sequences = output.sequences[:, 1:]
    if beams.num_beams > 1:
        scores = output.sequences_scores
    else:  # greedy search has none
        logits = torch.stack(output.logits, dim=1).float()
        chosen = logits.log_softmax(dim=-1).gather(-1, sequences[..., None]).squeeze(-1)
        real = (sequences == EOS_ID).cumsum(dim=1) - (sequences == EOS_ID).long() == 0
        scores = chosen.masked_fill(~real, 0.0).sum(dim=1) / real.sum(dim=1) ** beams.length_penalty
    shape = len(video.lengths), beams.num_return_sequences
    return Translations(sequences.view(*shape, -1), scores.view(*shape))
