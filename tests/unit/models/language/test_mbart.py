"""mBART's encoder: parity with transformers, padding, reading sentences, weights from files as others write them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.transformers_mbart import of_transformers
from safetensors.torch import save_file
from transformers import MBartConfig, MBartForConditionalGeneration

from glossfree.errors import ModelError
from glossfree.models.adapters import add_lora
from glossfree.models.language.mbart import MBart, MBartEncoder, load_mbart
from glossfree.models.mbart import MBartNetwork
from glossfree.models.weights import state
from glossfree.padded import Padded

VOCABULARY, E = 70, 18


def language(dropout: float = 0.1, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = (
        MBart(hidden_size=E, num_layers=2, num_heads=3, mlp_size=22, max_positions=40, dropout=dropout)
        .build(VOCABULARY)
        .mbart
    )
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
    plain = of_transformers(model, 3).model.encoder
    add_lora(model.model.encoder, ["q_proj", "v_proj"], 2, 4.0, 0.1)
    segments = Padded(torch.randn(2, 7, E), torch.tensor([7, 4]))
    ours = MBartEncoder(model.model.encoder)(segments)
    theirs = plain(inputs_embeds=segments.values, attention_mask=segments.mask.long()).last_hidden_state
    assert ours.lengths.tolist() == [7, 4]
    torch.testing.assert_close(ours.pack(), Padded(theirs, segments.lengths).pack(), rtol=0, atol=1e-5)


def test_language_encoder_gives_a_clip_the_same_alone_and_in_a_batch() -> None:
    encoder = MBartEncoder(language().model.encoder).eval()
    values = torch.randn(3, 11, E)
    lengths = torch.tensor([11, 1, 6])
    together = encoder(Padded(values, lengths))
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(Padded(values[row : row + 1, :length], lengths[row : row + 1]))
        torch.testing.assert_close(together.values[row, :length], alone.values[0], rtol=0, atol=1e-5)


def test_more_segments_than_positions_are_refused() -> None:
    with pytest.raises(ModelError, match="41 segments, but only 40 positions"):
        MBartEncoder(language().model.encoder)(Padded(torch.zeros(1, 41, E), torch.tensor([41])))


def test_sentences_are_read_token_by_token() -> None:
    encoder = MBartEncoder(language().model.encoder).eval()
    ids = torch.tensor([[5, 6, 7, 2, 60], [8, 2, 60, -100, -100]])
    tokens = encoder.read(ids)
    assert tokens.values.shape == (2, 5, E) and tokens.lengths.tolist() == [5, 3]
    for row, length in enumerate((5, 3)):
        hidden, _ = encoder.encoder(encoder.encoder.embed_tokens(ids[row : row + 1, :length]))
        torch.testing.assert_close(tokens.values[row, :length], hidden[0], rtol=0, atol=1e-5)
    assert torch.equal(tokens.values, encoder.read(ids.masked_fill(ids < 0, 1)).values)
    assert (ids == -100).sum() == 2, "the argument was changed"


def test_the_encoder_keeps_its_mbart_without_registering_it() -> None:
    options = MBart(hidden_size=E, num_layers=2, num_heads=3, mlp_size=22, max_positions=40)
    encoder = options.build(VOCABULARY)
    assert encoder.encoder is encoder.mbart.model.encoder
    assert not any("decoder" in name for name, _ in encoder.named_parameters())
    assert encoder.adapted is encoder.encoder


def test_a_copy_of_the_encoder_is_independent() -> None:
    encoder = MBart(hidden_size=E, num_layers=2, num_heads=3, mlp_size=22, max_positions=40).build(VOCABULARY).eval()
    ids = torch.tensor([[5, 6, 2, 60]])
    copied, before = encoder.copied().eval(), encoder.read(ids).values.clone()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.3
    assert torch.equal(copied.read(ids).values, before) and not torch.equal(encoder.read(ids).values, before)
    own = {parameter.data_ptr() for parameter in encoder.parameters()}
    assert not own & {parameter.data_ptr() for parameter in copied.parameters()}


def test_dropout_is_where_the_number_says() -> None:
    torch.manual_seed(0)
    segments = Padded(torch.randn(1, 5, E), torch.tensor([5]))
    noisy, silent = (MBartEncoder(language(rate).model.encoder).train() for rate in (0.5, 0.0))
    assert not torch.equal(noisy(segments).values, noisy(segments).values)
    assert torch.equal(silent(segments).values, silent(segments).values)


ROWS, SMALL = 61, 12
KEPT = [0, 1, 2, 3, 9, 30, 17, *range(35, 61)]


@pytest.fixture(scope="module")
def original_mbart() -> MBartForConditionalGeneration:
    torch.manual_seed(1)
    model = MBartForConditionalGeneration(
        MBartConfig(
            vocab_size=ROWS, d_model=SMALL, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3,
            decoder_attention_heads=3, encoder_ffn_dim=20, decoder_ffn_dim=20, max_position_embeddings=22,
            scale_embedding=True,
        )
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.normal_(model.final_logits_bias)
    return model


def empty_mbart(rows: int) -> MBartNetwork:
    return (
        MBart(hidden_size=SMALL, num_layers=2, num_heads=3, mlp_size=20, max_positions=22, dropout=0.1)
        .build(rows)
        .mbart.eval()
    )


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
    parts = model.model
    memory, _ = parts.encoder(parts.encoder.embed_tokens(tokens[None]))
    ours = model.logits(parts.decoder(parts.decoder.embed_tokens(tokens[None]), memory=memory)[0])
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
