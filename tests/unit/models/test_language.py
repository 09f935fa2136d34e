"""mBART's parts: parity with transformers, padding, shifting, the frozen text encoder."""

from __future__ import annotations

import pytest
import torch
from transformers.models.mbart.modeling_mbart import MBartEncoder, shift_tokens_right

from glossfree.models.adapters import add_lora
from glossfree.models.language import LanguageEncoder, TextEncoder, mbart, shift_right
from glossfree.padded import Padded

VOCABULARY, E = 70, 18


def language(dropout: float = 0.1, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = mbart(VOCABULARY, E, num_layers=2, num_heads=3, mlp_size=22, max_positions=40, dropout=dropout)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_one_token_table_scaled_and_positions_with_two_more_rows() -> None:
    model = language()
    table = model.model.shared.weight
    assert model.model.encoder.embed_tokens.weight is table
    assert model.model.decoder.embed_tokens.weight is table
    assert model.lm_head.weight is table
    assert model.model.encoder.embed_positions.weight.shape == (42, E)
    torch.testing.assert_close(model.model.encoder.embed_tokens(torch.tensor([9])), table[9:10] * E**0.5)


def test_language_encoder_is_mbarts_encoder_on_embeddings() -> None:
    model = language().eval()
    plain = MBartEncoder(model.config)
    plain.load_state_dict(model.model.encoder.state_dict())
    plain.eval()
    add_lora(model.model.encoder, ["q_proj", "v_proj"], 2, 4.0, 0.1)
    segments = Padded(torch.randn(2, 7, E), torch.tensor([7, 4]))
    ours = LanguageEncoder(model.model.encoder)(segments)
    theirs = plain(inputs_embeds=segments.values, attention_mask=segments.mask.long()).last_hidden_state
    assert ours.lengths.tolist() == [7, 4]
    torch.testing.assert_close(ours.pack(), Padded(theirs, segments.lengths).pack(), rtol=0, atol=1e-5)


def test_language_encoder_gives_a_clip_the_same_alone_and_in_a_batch() -> None:
    encoder = LanguageEncoder(language().model.encoder).eval()
    values = torch.randn(3, 11, E)
    lengths = torch.tensor([11, 1, 6])
    together = encoder(Padded(values, lengths))
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(Padded(values[row : row + 1, :length], lengths[row : row + 1]))
        torch.testing.assert_close(together.values[row, :length], alone.values[0], rtol=0, atol=1e-5)


def test_more_segments_than_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="41 segments, 40 positions"):
        LanguageEncoder(language().model.encoder)(Padded(torch.zeros(1, 41, E), torch.tensor([41])))


def test_shift_right_is_mbarts_with_ignored_labels() -> None:
    labels = torch.tensor([[5, 6, 2, 60, -100], [7, 2, 60, -100, -100], [8, 9, 8, 2, 60]])
    shifted = shift_right(labels)
    # a shorter row still ends in its language code: an input whose label is ignored
    assert shifted.tolist() == [[60, 5, 6, 2, 60], [60, 7, 2, 60, 1], [60, 8, 9, 8, 2]]
    assert torch.equal(shifted, shift_tokens_right(labels, 1))
    assert labels[0, 4] == -100, "the argument was changed"


def test_text_features_are_averages_over_real_tokens() -> None:
    model = language().eval()
    ids = torch.tensor([[5, 6, 7, 2, 60], [8, 2, 60, -100, -100]])
    features = TextEncoder(model.model.encoder)(ids)
    for row, length in enumerate((5, 3)):
        hidden = model.model.encoder(input_ids=ids[row : row + 1, :length]).last_hidden_state
        torch.testing.assert_close(features[row], hidden[0].mean(dim=0), rtol=0, atol=1e-5)
    torch.testing.assert_close(features, TextEncoder(model.model.encoder)(ids.masked_fill(ids < 0, 1)))


def test_the_text_encoder_stays_frozen_and_without_dropout() -> None:
    parent = torch.nn.ModuleDict({"text": TextEncoder(language(dropout=0.5).model.encoder)}).train()
    ids = torch.tensor([[5, 6, 2, 60]])
    assert not any(module.training for module in parent["text"].modules())
    assert not any(p.requires_grad for p in parent.parameters())
    features = parent["text"](ids)
    assert torch.equal(features, parent["text"](ids))
    assert not features.requires_grad


def test_dropout_is_where_the_number_says() -> None:
    torch.manual_seed(0)
    segments = Padded(torch.randn(1, 5, E), torch.tensor([5]))
    noisy, silent = (LanguageEncoder(language(rate).model.encoder).train() for rate in (0.5, 0.0))
    assert not torch.equal(noisy(segments).values, noisy(segments).values)
    assert torch.equal(silent(segments).values, silent(segments).values)


def test_averages_over_padding_too_depend_on_the_longest_sentence_of_the_batch() -> None:
    model = language()
    short, long = torch.tensor([[9, 2, 60]]), torch.tensor([[9, 2, 60, -100, -100], [8, 7, 6, 2, 60]])
    real, padded = TextEncoder(model.model.encoder), TextEncoder(model.model.encoder, average_padding=True)
    torch.testing.assert_close(real(long)[:1], real(short))
    torch.testing.assert_close(padded(short), real(short))
    torch.testing.assert_close(padded(long)[1:], real(long)[1:])
    assert not torch.allclose(padded(long)[:1], padded(short), atol=1e-2)
    tokens = long.masked_fill(long == -100, 1)
    hidden = model.model.encoder(input_ids=tokens, attention_mask=(tokens != 1).long()).last_hidden_state
    torch.testing.assert_close(padded(long), sum(hidden[:, position] for position in range(5)) / 5)
