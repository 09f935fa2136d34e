"""The causal decoder: a plain language model at the start, its gates, its cache, what trains, weights of an mBART."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.transformers_mbart import of_transformers
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from glossfree.errors import ModelError, RecipeError
from glossfree.models.adapters import add_lora
from glossfree.models.decoders.causal import CausalDecoder, CausalDecoding
from glossfree.models.decoders.gru import RecurrentDecoding
from glossfree.models.language.mbart import MBart
from glossfree.models.language.none import Unchanged
from glossfree.models.tokens import shift_right
from glossfree.models.weights import load, state
from glossfree.objectives.translation import translation_loss
from glossfree.padded import Padded

E, V = 14, 60
CODE = V - 20
SIZES = {"hidden_size": 18, "num_layers": 2, "num_heads": 3, "mlp_size": 22, "max_positions": 40}
OPTIONS = CausalDecoding.model_validate(SIZES)
LABELS = torch.tensor([[5, 6, 7, 2, CODE], [8, 2, CODE, -100, -100], [4, 4, 2, CODE, -100]])
LENGTHS = torch.tensor([5, 1, 3])
ROWS, KEPT = 67, [0, 1, 2, 3, 9, 5, *range(41, 67)]


def decoder_of(seed: int = 0) -> CausalDecoder:
    torch.manual_seed(seed)
    return OPTIONS.build(Unchanged(), E, V).eval()


def opened(decoder: CausalDecoder) -> CausalDecoder:
    """With open gates, and weights with which clips differ."""
    torch.manual_seed(2)
    for name, parameter in decoder.named_parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.4)
        elif name.endswith("gamma"):
            torch.nn.init.uniform_(parameter, 0.3, 1.0)
    return decoder


def video_of(rubbish: float = 0.0) -> Padded:
    values = torch.randn(3, 5, E, generator=torch.Generator().manual_seed(1))
    padded = Padded(values, LENGTHS)
    return padded.with_values(values.masked_fill(~padded.mask[..., None], rubbish))


def plain_logits(decoder: CausalDecoder, labels: Tensor) -> Tensor:
    """Those of transformers' causal mBART with the same weights: it sees no video."""
    mbart = MBart.model_validate(SIZES).build(decoder.vocabulary_size).mbart
    theirs = of_transformers(mbart, OPTIONS.num_heads).model.decoder
    for layer in theirs.layers:
        del layer.encoder_attn, layer.encoder_attn_layer_norm
    load(theirs, state(decoder.language_model))
    hidden = theirs(input_ids=shift_right(labels)).last_hidden_state
    return functional.linear(hidden, decoder.language_model.embed_tokens.weight)


def test_at_the_start_it_is_the_plain_language_model() -> None:
    decoder = decoder_of()
    add_lora(decoder.adapted, OPTIONS.adapter_targets, 2, 4.0, 0.0)
    logits = decoder(video_of(), LABELS)
    torch.testing.assert_close(logits, plain_logits(decoder_of(), LABELS), rtol=0, atol=1e-6)
    for gate in decoder.gates:
        torch.nn.init.constant_(gate.gamma, 0.5)
    assert not torch.allclose(decoder(video_of(), LABELS), logits, atol=1e-3)


def test_at_the_start_the_gates_get_gradients_and_the_video_does_once_they_are_open() -> None:
    decoder, video = decoder_of(), video_of()
    add_lora(decoder.adapted, OPTIONS.adapter_targets, 2, 4.0, 0.0)
    video.values.requires_grad_()
    for opening in (0.0, 0.1):
        for gate in decoder.gates:
            torch.nn.init.constant_(gate.gamma, opening)
        decoder.zero_grad()
        video.values.grad = None
        translation_loss(decoder(video, LABELS), LABELS).backward()
        for gate in decoder.gates:
            assert gate.gamma.grad is not None and (gate.gamma.grad != 0).all()
        assert video.values.grad is not None and bool(video.values.grad.any()) == (opening > 0)
        assert decoder.projection.weight.grad is not None
        assert bool(decoder.projection.weight.grad.any()) == (opening > 0)


def test_adapters_gates_and_projection_train_and_nothing_else() -> None:
    decoder = decoder_of()
    add_lora(decoder.adapted, OPTIONS.adapter_targets, 2, 4.0, 0.0)
    trained = {name for name, parameter in decoder.named_parameters() if parameter.requires_grad}
    of_the_model = {name for name in trained if name.startswith("language_model.")}
    assert all(".self_attn." in name and ".lora_" in name for name in of_the_model)
    assert len(of_the_model) == 2 * 4 * 2  # layers, projections, A and B
    rest = {name.partition(".")[0] for name in trained - of_the_model}
    assert rest == {"gates", "projection"}
    assert len([name for name in trained if name.startswith("gates.0.")]) == 1 + 3 * 2


def test_at_the_sizes_of_xglm_as_much_trains_as_is_published() -> None:
    """16.7 million (HFA, Table 3), of which the vision and the temporal module of both papers have 12,883,456."""
    options = CausalDecoding(hidden_size=2048, num_layers=24, mlp_size=8192)
    with torch.device("meta"):
        decoder = options.build(Unchanged(), 512, V)
        add_lora(decoder.adapted, options.adapter_targets, options.adapter_rank, options.adapter_alpha, 0.1)
    trained = sum(parameter.numel() for parameter in decoder.parameters() if parameter.requires_grad)
    assert trained == 24 * ((4 + 3) * 2 * 4 * 2048 + 16) + 513 * 2048
    assert round((trained + 12_883_456) / 1e6, 1) == 16.7


def test_padding_is_never_read() -> None:
    decoder = opened(decoder_of())
    logits = decoder(video_of(), LABELS)
    assert torch.equal(decoder(video_of(float("nan")), LABELS), logits)


def test_tokens_one_by_one_with_a_cache_give_the_logits_of_all_at_once() -> None:
    """With two beams for each clip, which have different tokens."""
    decoder, video = opened(decoder_of()).double(), video_of()
    video = video.with_values(video.values.double())
    tokens = torch.randint(3, 34, (6, 7), generator=torch.Generator().manual_seed(3))
    memories = decoder.read(video)
    whole, _ = decoder.write(tokens, memories)
    parts, past = [], (torch.zeros(6, 3, 0, 6, dtype=torch.float64),) * 4
    for token in tokens.unbind(dim=1):
        logits, past = decoder.write(token[:, None], memories, past)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-10)
    twice = Padded(video.values.repeat_interleave(2, dim=0), LENGTHS.repeat_interleave(2))
    torch.testing.assert_close(decoder.write(tokens, decoder.read(twice))[0], whole, rtol=0, atol=1e-10)


def mbart_folder(folder: Path, **sizes: int) -> Path:
    """An mBART of the decoder's sizes, with a table of ROWS rows and a bias, as transformers saves it."""
    torch.manual_seed(5)
    mbart = MBart.model_validate(SIZES | sizes).build(ROWS).mbart
    mbart.final_logits_bias.copy_(torch.randn(1, ROWS))
    save_file({name: tensor.clone() for name, tensor in state(mbart).items()}, folder / "model.safetensors")
    return folder


def test_weights_are_those_of_an_mbarts_decoder(tmp_path: Path) -> None:
    decoder = OPTIONS.build(Unchanged(), E, len(KEPT)).eval()
    census = OPTIONS.load(decoder, mbart_folder(tmp_path), KEPT)
    torch.manual_seed(5)
    mbart = MBart.model_validate(SIZES).build(ROWS).mbart
    bias = torch.randn(1, ROWS)
    own, theirs = state(decoder.language_model), state(mbart.model.decoder)
    assert set(own) == {name for name in theirs if "encoder_attn" not in name}
    for name, tensor in own.items():
        assert torch.equal(tensor, theirs[name][KEPT] if name == "embed_tokens.weight" else theirs[name]), name
    assert torch.equal(decoder.output_bias, bias[:, KEPT])
    assert len(census.loaded) == len(own) - 1 and len(census.trimmed) == 2
    assert {name.partition(".")[0] for name in census.new} == {"projection", "gates"}
    assert all("encoder" in name for name in census.ignored)

    labels = torch.tensor([[5, 4, 2, 9]])
    logits = decoder(Padded(video_of().values[:1], LENGTHS[:1]), labels)
    torch.testing.assert_close(logits, plain_logits(decoder, labels) + bias[:, KEPT])


def test_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fc1"):
        OPTIONS.load(OPTIONS.build(Unchanged(), E, len(KEPT)), mbart_folder(tmp_path, mlp_size=24), KEPT)


def test_a_decoder_without_foreign_weights_says_so(tmp_path: Path) -> None:
    options = RecurrentDecoding(hidden_size=6, num_layers=1)
    with pytest.raises(RecipeError, match="no foreign weights"):
        options.load(options.build(Unchanged(), E, V), tmp_path, None)


def test_heads_divide_the_width() -> None:
    assert list(CausalDecoding(hidden_size=18, num_heads=4).problems()) == [
        "hidden_size 18 is not a multiple of num_heads 4"
    ]
