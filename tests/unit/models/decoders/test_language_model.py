"""Causal language models of transformers as decoders: GPT-2, XGLM, Llama, from a folder, with their own token ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.language_models import SIZES, SURPLUS, save_language_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from glossfree.errors import ModelError
from glossfree.models.adapters import add_lora
from glossfree.models.choices import Beams
from glossfree.models.decoders.language_model import LanguageModelDecoder, LanguageModelDecoding
from glossfree.models.language.mbart import MBart
from glossfree.models.language.none import NoEncoder, Unchanged
from glossfree.models.weights import state
from glossfree.objectives.translation import translation_loss
from glossfree.padded import Padded
from glossfree.text.language_model import LanguageModelTokenizer

E = 14
LENGTHS = torch.tensor([5, 1, 3])
SENTENCES = ["am tag regnet es", "morgen schneit es im norden", "im norden regnet es morgen"]
KINDS = pytest.mark.parametrize("kind", SIZES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: save_language_model(root / kind, kind, SENTENCES) for kind in SIZES}


def options_in(folder: Path) -> LanguageModelDecoding:
    tokenizer = LanguageModelTokenizer.load(folder)
    options = LanguageModelDecoding(weights=str(folder))
    return options.as_in(folder, tokenizer.start_id, tokenizer.end_id, len(tokenizer))


def loaded(folder: Path) -> LanguageModelDecoder:
    options = options_in(folder)
    torch.manual_seed(0)
    decoder = options.build(Unchanged(), E, len(LanguageModelTokenizer.load(folder)))
    options.load(decoder, folder, None)
    return decoder.eval()


def opened(decoder: LanguageModelDecoder) -> LanguageModelDecoder:
    """With open gates, and adapters with which clips differ."""
    torch.manual_seed(2)
    for name, parameter in decoder.named_parameters():
        if name.startswith("gates") or "projection" in name:
            torch.nn.init.normal_(parameter, std=0.4)
        if name.endswith("gamma"):
            torch.nn.init.uniform_(parameter, 0.3, 1.0)
    return decoder


def labels_in(folder: Path) -> Tensor:
    tokenizer = LanguageModelTokenizer.load(folder)
    rows = [torch.tensor(tokenizer.encode(text)) for text in SENTENCES]
    return torch.nn.utils.rnn.pad_sequence(rows, True, -100)


def video_of(rubbish: float = 0.0) -> Padded:
    values = torch.randn(3, 5, E, generator=torch.Generator().manual_seed(1))
    padded = Padded(values, LENGTHS)
    return padded.with_values(values.masked_fill(~padded.mask[..., None], rubbish))


@KINDS
def test_at_the_start_it_is_transformers_own_model_on_its_own_ids(folders: dict[str, Path], kind: str) -> None:
    folder = folders[kind]
    decoder, labels, tokenizer = loaded(folder), labels_in(folder), LanguageModelTokenizer.load(folder)
    add_lora(decoder.adapted, LanguageModelDecoding.adapter_targets, 2, 4.0, 0.0)
    logits = decoder(video_of(), labels)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert logits.shape == (*labels.shape, len(tokenizer) + SURPLUS)
    for row, text in enumerate(SENTENCES):
        ids = tokenizer.encode(text)
        theirs = model(input_ids=torch.tensor([[tokenizer.start_id, *ids[:-1]]])).logits[0]
        torch.testing.assert_close(logits[row, : len(ids)], theirs, rtol=0, atol=1e-5)
    for gate in decoder.gates:
        torch.nn.init.constant_(gate.gamma, 0.5)
    assert not torch.allclose(decoder(video_of(), labels), logits, atol=1e-3)


@KINDS
def test_all_tensors_of_the_folder_are_loaded_and_counted(folders: dict[str, Path], kind: str) -> None:
    options, folder = options_in(folders[kind]), folders[kind]
    decoder = options.build(Unchanged(), E, 40)
    census = options.load(decoder, folder, None)
    own = state(decoder.language_model)
    assert [*census.loaded] == [f"language_model.{name}" for name in own] and not census.ignored
    assert {name.partition(".")[0] for name in census.new} == {"projection", "gates"}
    for name, tensor in load_file(folder / "model.safetensors").items():
        assert torch.equal(own[name], tensor), name
    assert ("lm_head.weight" in own) == (kind == "llama"), "of the others, token table and output are one"


@KINDS
def test_adapters_gates_and_projection_train_and_nothing_else(folders: dict[str, Path], kind: str) -> None:
    decoder, labels = loaded(folders[kind]), labels_in(folders[kind])
    add_lora(decoder.adapted, LanguageModelDecoding.adapter_targets, 2, 4.0, 0.0)
    trained = {name for name, parameter in decoder.named_parameters() if parameter.requires_grad}
    of_the_model = {name for name in trained if name.startswith("language_model.")}
    layers, projections = 2, 2 if kind == "gpt2" else 4
    assert len(of_the_model) == layers * projections * 2 and all(".lora_" in name for name in of_the_model)
    assert all("attn." in name for name in of_the_model)
    assert {name.partition(".")[0] for name in trained - of_the_model} == {"gates", "projection"}
    translation_loss(opened(decoder)(video_of(), labels), labels, 0.1).backward()
    for name, parameter in decoder.named_parameters():
        assert (parameter.grad is not None) == (name in trained), name
        assert parameter.grad is None or parameter.grad.isfinite().all()


@KINDS
def test_padding_and_other_clips_change_nothing(folders: dict[str, Path], kind: str) -> None:
    decoder, labels = opened(loaded(folders[kind])), labels_in(folders[kind])
    logits = decoder(video_of(), labels)
    assert torch.equal(decoder(video_of(float("nan")), labels), logits)
    for row in range(3):
        length, own = int(LENGTHS[row]), labels[row][labels[row] != -100][None]
        single = decoder(Padded(video_of().values[row : row + 1, :length], LENGTHS[row : row + 1]), own)
        torch.testing.assert_close(single[0], logits[row, : own.shape[1]], rtol=0, atol=2e-5)


@KINDS
def test_tokens_one_by_one_with_a_cache_give_the_logits_of_all_at_once(folders: dict[str, Path], kind: str) -> None:
    """With two beams for each clip, which have different tokens."""
    decoder, video = opened(loaded(folders[kind])), video_of()
    tokens = torch.randint(3, 20, (6, 7), generator=torch.Generator().manual_seed(3))
    memories = decoder.read(video)
    whole, _ = decoder.write(tokens, memories)
    parts, past = [], tuple(each[:, :, :0].repeat(2, 1, 1, 1) for m in memories for each in (m.keys, m.values))
    for token in tokens.unbind(dim=1):
        logits, past = decoder.write(token[:, None], memories, past)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=2e-5)


@KINDS
def test_beams_end_with_its_own_end_and_score_as_its_logits(folders: dict[str, Path], kind: str) -> None:
    folder, tokenizer = folders[kind], LanguageModelTokenizer.load(folders[kind])
    decoder, end = opened(loaded(folder)), tokenizer.end_id
    with torch.no_grad():  # as often as any other token
        decoder.language_model.get_output_embeddings().weight[end] *= 3
    beams = Beams(num_beams=3, max_new_tokens=8, num_return_sequences=2)
    result = decoder.generate(video_of(), beams, tokenizer.start_id, tokenizer.never_written)
    ended = 0
    for row in range(3):
        ids = result.sequences[row, 0].tolist()
        ids = ids[: ids.index(end) + 1] if end in ids else ids
        ended += end in ids
        assert not {*ids} & {*tokenizer.never_written, *range(len(tokenizer), len(tokenizer) + SURPLUS)}
        clip = Padded(video_of().values[row : row + 1, : int(LENGTHS[row])], LENGTHS[row : row + 1])
        log_probabilities = decoder(clip, torch.tensor([ids])).detach()[0].log_softmax(dim=-1)
        total = float(log_probabilities.gather(1, torch.tensor(ids)[:, None]).sum())
        assert float(result.scores[row, 0]) == pytest.approx(total / len(ids), abs=1e-4)
    assert ended, "no sentence ends: the test could not fail"


def test_at_xglm_s_sizes_as_much_trains_as_in_mbart_s_decoder_of_those_sizes() -> None:
    """See test_causal: with the rest of the model the published 16.7 million."""
    xglm = {"model_type": "xglm", "d_model": 2048, "num_layers": 24, "attention_heads": 16, "ffn_dim": 8192}
    options = LanguageModelDecoding(config=xglm)
    with torch.device("meta"):
        decoder = options.build(Unchanged(), 512, 256_008)
        add_lora(decoder.adapted, options.adapter_targets, options.adapter_rank, options.adapter_alpha, 0.1)
    trained = sum(parameter.numel() for parameter in decoder.parameters() if parameter.requires_grad)
    assert trained == 24 * ((4 + 3) * 2 * 4 * 2048 + 16) + 513 * 2048
    plain = sum(p.numel() for name, p in decoder.language_model.named_parameters() if "lora_" not in name)
    assert plain == 1_732_907_008, "XGLM-1.7B"


# folders that cannot be used


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """One's own copy of the Llama."""
    for path in folders["llama"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_configuration_of_the_folder_counts_and_null_stays_null(folder: Path) -> None:
    change(folder, rms_norm_eps=0.25, pretraining_tp=None, auto_map={"AutoModelForCausalLM": "evil.Model"})
    options = options_in(folder)
    assert options.config["pretraining_tp"] == "none" and not {"auto_map", "dtype"} & {*options.config}
    config: Any = options.build(Unchanged(), E, 20).language_model.config
    assert (config.rms_norm_eps, config.pretraining_tp) == (0.25, None)
    assert options.max_positions == 130 and options.special_tokens == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "vit"}, "'vit' is no causal language model"),
        ({"vocab_size": 20}, "20 rows in the token table"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"model_type": ["llama"]}, "is no causal language model"),
        ({"hidden_size": "many"}, "transformers cannot use it"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    change(folder, **values)
    with pytest.raises(ModelError, match=message):
        options_in(folder)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_a_configuration_cannot_name_code_to_fetch(folder: Path, key: str) -> None:
    change(folder, **{key: "evil/kernel"})
    options = options_in(folder)
    config: Any = options.build(Unchanged(), E, 20).language_model.config
    assert "evil/kernel" not in repr(vars(config))


@pytest.mark.parametrize("values", [{"hidden_size": -8}, {"num_attention_heads": 0}, {"hidden_size": 2**40}])
def test_sizes_that_no_model_can_have_are_refused(folder: Path, values: dict[str, Any]) -> None:
    change(folder, **values)
    with pytest.raises(ModelError, match="transformers cannot use it"):
        options_in(folder).build(Unchanged(), E, 20)


def test_a_folder_without_a_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config.json"):
        options_in(folder)


def test_weights_that_are_not_safetensors_are_refused(folder: Path) -> None:
    options = options_in(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="not safetensors"):
        options.load(options.build(Unchanged(), E, 20), folder, None)


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_weights_that_are_not_the_model_s_are_refused(folder: Path, change: str) -> None:
    options, path = options_in(folder), folder / "model.safetensors"
    tensors = load_file(path)
    if change == "missing":
        del tensors["model.norm.weight"]
    elif change == "surplus":
        tensors["model.extra.weight"] = torch.zeros(2)
    else:
        tensors["model.norm.weight"] = torch.zeros(7)
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"model\.norm|model\.extra"):
        options.load(options.build(Unchanged(), E, 20), folder, None)


def test_names_without_the_output_layer_and_old_buffers_are_understood(folders: dict[str, Path]) -> None:
    """As the first GPT-2 files have them."""
    folder = folders["gpt2"]
    tensors = load_file(folder / "model.safetensors")
    old = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    old |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 4, 4) for layer in range(2)}
    options, other = options_in(folder), folder.parent / "old"
    other.mkdir()
    save_file(old, other / "model.safetensors")
    decoder = options.build(Unchanged(), E, 20)
    census = options.load(decoder, other, None)
    assert len(census.ignored) == 2 and len(census.loaded) == len(tensors)
    own = state(decoder.language_model)
    assert all(torch.equal(own[name], tensor) for name, tensor in tensors.items())


def test_two_copies_of_a_shared_table_must_be_equal(folders: dict[str, Path], tmp_path: Path) -> None:
    options = options_in(folders["xglm"])
    tensors = load_file(folders["xglm"] / "model.safetensors")
    table = tensors["model.embed_tokens.weight"]
    save_file(tensors | {"lm_head.weight": table.clone()}, tmp_path / "model.safetensors")
    options.load(options.build(Unchanged(), E, 20), tmp_path, None)
    save_file(tensors | {"lm_head.weight": table + 1}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="differs"):
        options.load(options.build(Unchanged(), E, 20), tmp_path, None)


@pytest.mark.parametrize("kind", ["bloom", "gpt_neox", "bert"])
def test_attention_of_another_form_is_refused_by_name(kind: str) -> None:
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 30}
    with pytest.raises(ModelError, match=r"Bloom|GPTNeoX|Bert"):
        LanguageModelDecoding(config={"model_type": kind, **sizes}).build(Unchanged(), E, 60)


def test_sizes_that_contradict_each_other_are_refused() -> None:
    config = {"model_type": "gpt2", "n_embd": 25, "n_head": 4, "n_layer": 1}
    with pytest.raises(ModelError, match="transformers cannot use it"):
        LanguageModelDecoding(config=config).build(Unchanged(), E, 60)


def test_a_recipe_names_a_model_and_no_language_encoder() -> None:
    assert next(LanguageModelDecoding().problems()).startswith("config has no model_type")
    assert not [*LanguageModelDecoding(weights="somewhere").problems()]
    options = LanguageModelDecoding(config={"model_type": "gpt2"})
    assert not [*options.problems_with(NoEncoder())] and [*options.problems_with(MBart())]
