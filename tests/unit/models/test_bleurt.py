"""BLEURT from folders of each layout, and damaged ones."""

from __future__ import annotations

import json
import math
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification

from glossfree.errors import ModelError
from glossfree.models import bleurt
from glossfree.models.bleurt import load_bleurt, pair_encoder, score_bleurt

NETWORKS = Path(__file__).parents[2] / "originals/networks"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "morgen", "regnet", "es", "im", "norden", "kalt", "##er", "und"]
HYPOTHESES = ["morgen regnet es", "kalter norden", "", "es regnet im norden und es regnet im norden"]
REFERENCES = ["morgen regnet es im norden", "kalt", "und", "morgen"]
SIZES = {"hidden_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 28}


def formula() -> ModuleType:
    spec = spec_from_file_location("originals_networks", NETWORKS / "formula.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BERT with one logit and its vocabulary, as transformers saves it."""
    torch.manual_seed(5)
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=14, num_labels=1, **SIZES)
    model = BertForSequenceClassification(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path / "bleurt"
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    return path


def edit(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(("layout", "size"), [("base", None), ("20", 12)])
def test_both_layouts_of_bleurt_pytorch_give_its_logits(layout: str, size: int | None, tmp_path: Path) -> None:
    """Made by tests/originals/networks/make_bleurt.py with that package; transformers 5 cannot import it."""
    module = formula()
    stored = json.loads((NETWORKS / "bleurt-pytorch-0.0.1.json").read_text())[layout]
    shapes = {
        name: torch.zeros(shape, dtype=torch.int64 if name.endswith("position_ids") else torch.float32)
        for name, shape in stored["names"].items()
    }
    save_file(module.weights_like(shapes), tmp_path / "model.safetensors")
    model = load_bleurt(tmp_path, {"model_type": "bleurt", "embedding_size": size, **module.SIZES}).eval()
    with torch.no_grad():
        logits = model(**module.inputs()).logits.flatten()
    torch.testing.assert_close(logits, torch.tensor(stored["logits"]), rtol=0, atol=2e-6)
    assert logits.std() > 1e-3, "pairs that differ"


def test_the_score_is_the_mean_of_single_pairs_times_100(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches of three, of different lengths, one pair longer than the network takes."""
    monkeypatch.setattr(bleurt, "BATCH_SIZE", 3)
    score = score_bleurt(HYPOTHESES, REFERENCES, folder)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    encode = pair_encoder(folder, json.loads((folder / "config.json").read_text()))
    singles = []
    for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True):
        ids, first = encode(reference, hypothesis)
        segments = torch.tensor([[0] * first + [1] * (len(ids) - first)])
        with torch.no_grad():
            singles.append(float(model(input_ids=torch.tensor([ids]), token_type_ids=segments).logits))
    assert len(set(singles)) == len(singles)
    assert score.value == pytest.approx(100 * sum(singles) / len(singles), abs=1e-4)
    assert score.signature.startswith("BLEURT|weights:") and "transformers:" in score.signature


def test_a_pair_is_reference_first_and_loses_the_end_of_the_longer(folder: Path) -> None:
    encode = pair_encoder(folder, {"max_position_embeddings": 10})
    assert encode("Morgen regnet ES", "kalter") == ([2, 5, 6, 7, 3, 10, 11, 3], 5)
    assert encode("morgen regnet", "es es es im im im im") == ([2, 5, 6, 3, 7, 7, 7, 8, 8, 3], 4)
    assert encode("", "") == ([2, 3, 3], 2)


def test_sentencepiece_vocabularies_are_read(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("\n".join(REFERENCES * 9), encoding="utf-8")
    options: dict[str, Any] = {"input": str(lines), "vocab_size": 19, "minloglevel": 2, "bos_id": -1, "eos_id": -1}
    train = sentencepiece.SentencePieceTrainer.train
    train(model_prefix=str(tmp_path / "spm"), control_symbols=["[CLS]", "[SEP]"], **options)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    first, last = pieces.piece_to_id("[CLS]"), pieces.piece_to_id("[SEP]")
    left, right = pieces.encode("kalt im norden"), pieces.encode("regnet")
    expected = [first, *left, last, *right, last]
    assert pair_encoder(tmp_path, {})("kalt im norden", "regnet") == (expected, len(left) + 2)
    train(model_prefix=str(tmp_path / "spm"), **options)
    with pytest.raises(ModelError, match=r"spm\.model: has no \[CLS\] and \[SEP\]"):
        pair_encoder(tmp_path, {})


def test_a_missing_folder_is_noted_and_does_not_fail(tmp_path: Path) -> None:
    score = score_bleurt(HYPOTHESES, REFERENCES, tmp_path / "nowhere")
    assert (score.name, score.value, score.note) == ("BLEURT", None, f"no folder {tmp_path}/nowhere")


def test_a_damaged_folder_is_a_mistake_to_mend(folder: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(ModelError, match=match) as caught:
            score_bleurt(HYPOTHESES, REFERENCES, folder)
        assert caught.value.remedy and str(folder) in str(caught.value)

    good = (folder / "config.json").read_text()
    edit(folder, model_type="nothing known")
    refused("nothing known")
    edit(folder, model_type="mbart-like")
    refused("transformers lacks the type mbart-like")
    (folder / "config.json").write_text(good)
    edit(folder, intermediate_size=24)
    refused("intermediate.dense.weight is")
    (folder / "config.json").write_text(good)
    (folder / "vocab.txt").write_text("\n".join([*WORDS, "more"]) + "\n")
    refused("vocabulary has 14 tokens, the network 13")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    edit(folder, id2label={"0": "a", "1": "b", "2": "c"})
    refused("3 outputs for a pair, not one")
    (folder / "config.json").write_text("{")
    refused("config.json: not JSON")


def test_pickles_that_run_something_are_refused(folder: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return sys.exit, (3,)

    (folder / "model.safetensors").unlink()
    torch.save({"bert.pooler.dense.weight": Runs()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        score_bleurt(HYPOTHESES, REFERENCES, folder)


def test_numbers_of_sentences_must_agree(folder: Path) -> None:
    for hypotheses, references in ((["a"], ["a", "b"]), ([], [])):
        with pytest.raises(ValueError, match="hypotheses for"):
            score_bleurt(hypotheses, references, folder)
    value = score_bleurt(["morgen"], ["kalt"], folder).value
    assert value is not None and math.isfinite(value)


def test_the_command_line_scores_with_it_and_goes_on_without(folder: Path, tmp_path: Path, call: Any) -> None:
    files = [tmp_path / "h.txt", tmp_path / "r.txt"]
    for path, texts in zip(files, (HYPOTHESES, REFERENCES), strict=True):
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    command = ("score", "--hypotheses", files[0], "--references", files[1], "--language", "de", "--samples", 11)
    expected = score_bleurt(HYPOTHESES, REFERENCES, folder)
    (learned,) = json.loads(call(*command, "--bleurt", folder, "--json").out)["learned"]
    assert learned["name"] == "BLEURT" and learned["value"] == pytest.approx(expected.value)
    shown = call(*command, "--bleurt", folder)
    assert shown.code == 0 and f"BLEURT  {expected.value:.2f}" in shown.out
    missing = call(*command, "--bleurt", tmp_path / "nowhere")
    assert missing.code == 0 and "BLEURT  -  no folder" in missing.out
    assert "BLEURT" not in call(*command).out
    (folder / "vocab.txt").unlink()
    refused = call(*command, "--bleurt", folder)
    assert refused.code == 2 and refused.err.startswith(f"glossfree: {folder}: no spm.model or ")
