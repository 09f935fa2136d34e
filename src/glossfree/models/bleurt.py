"""BLEURT: hypotheses and references -> the mean score of a trained network, times 100.

BLEURT (Sellam et al. 2020; Pu et al. 2021) is loaded from a folder that the user names. Nothing is downloaded, and no
file in it can run code (safetensors, or torch's format read with `weights_only=True`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from glossfree.errors import ModelError
from glossfree.files.disk import digest, read_json
from glossfree.models.weights import load, read_weights, weight_files

BATCH_SIZE = 32
MAX_TOKENS = 512  # of a pair, as BLEURT was trained
SENTENCEPIECE_FILES = ("spm.model", "sentencepiece.bpe.model")
# of all other vocabularies; without one, transformers invents a vocabulary
VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json")
FETCH_AGAIN = "fetch the folder again, complete"
NAME_BLEURT = "name BLEURT's folder"

Encoder = Callable[[str, str], tuple[list[int], int]]


@dataclass(frozen=True)
class LearnedScore:
    """A metric's mean over the sentences times 100, or None with a `note` that says why; `signature`: its weights."""

    name: str
    value: float | None
    note: str
    signature: str = ""


def score_bleurt(
    hypotheses: Sequence[str], references: Sequence[str], folder: Path, *, device: torch.device | None = None
) -> LearnedScore:
    """BLEURT of hypotheses against references; the value is None if the folder does not exist.

    Raises ModelError for a folder that cannot be used, ValueError if there is no sentence or their numbers differ.
    """
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    if not folder.is_dir():
        return LearnedScore("BLEURT", None, f"no folder {folder}")
    config = read_json(folder / "config.json", ModelError, remedy=FETCH_AGAIN)
    device = device or torch.device("cpu")
    model = load_bleurt(folder, config).to(device).eval()
    encode = pair_encoder(folder, config)
    # pairs of similar length share a batch, since padding costs as much as words
    texts = sorted(zip(references, hypotheses, strict=True), key=lambda pair: sum(map(len, pair)))
    pairs = [encode(reference, hypothesis) for reference, hypothesis in texts]
    with torch.inference_mode():
        scores = [
            model(**_pad(pairs[start : start + BATCH_SIZE], device)).logits[:, 0].double().cpu()
            for start in range(0, len(pairs), BATCH_SIZE)
        ]
    weights = "+".join(digest(path)[:12] for path in weight_files(folder))
    signature = f"BLEURT|weights:{weights}|transformers:{transformers.__version__}"
    return LearnedScore("BLEURT", 100 * float(torch.cat(scores).mean()), "mean over sentences, times 100", signature)


def load_bleurt(folder: Path, config: dict[str, Any]) -> nn.Module:
    """A folder with BLEURT as PyTorch -> a model with one logit, its weights strictly loaded.

    Type "bleurt" is the layout of the package bleurt-pytorch, which transformers 5 cannot import: with `embedding_size`
    (BLEURT-20) it is RemBERT, without (bleurt-base and -large) BERT, under other names. Any other type is a sequence
    classifier of transformers. Raises ModelError.
    """
    tensors = read_weights(folder)
    built: Any
    kind = config.get("model_type")
    if kind == "bleurt":
        sizes = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
        if config.get("embedding_size") is None:
            prefix, built = "bert.", transformers.BertConfig(**{**sizes, "num_labels": 1})
        else:
            sizes["input_embedding_size"] = sizes.pop("embedding_size")
            sizes["classifier_dropout_prob"] = 0.0  # only used in training; RemBERT requires a number
            prefix, built = "rembert.", transformers.RemBertConfig(**{**sizes, "num_labels": 1})
        tensors = {
            re.sub("^bleurt[.]", prefix, name).replace("embedding_projection", "embedding_hidden_mapping_in"): tensor
            for name, tensor in tensors.items()
        }
    else:
        try:
            built = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (ValueError, OSError) as error:
            raise ModelError(f"transformers lacks the type {kind}", where=folder, remedy=FETCH_AGAIN) from error
    if built.num_labels != 1:
        raise ModelError(f"has {built.num_labels} outputs for a pair, not one", where=folder, remedy=NAME_BLEURT)
    try:
        build: Any = transformers.AutoModelForSequenceClassification.from_config
        model: nn.Module = build(built)
    except ValueError as error:
        raise ModelError(f"{kind} does not classify sequences", where=folder, remedy=NAME_BLEURT) from error
    positions = [name for name in tensors if name.endswith("embeddings.position_ids")]  # 0, 1, 2 ...: no weights
    load(model, tensors, where=str(folder), ignored=positions)
    return model


def pair_encoder(folder: Path, config: dict[str, Any]) -> Encoder:
    """A folder -> a function: (reference, hypothesis) -> token ids, and how many of them are of the first segment.

    [CLS] reference [SEP] hypothesis [SEP]. As in BLEURT, a pair that is too long loses the last token of its longer
    side until it fits. Raises ModelError.
    """
    max_tokens = min(MAX_TOKENS, int(config.get("max_position_embeddings", MAX_TOKENS)))
    ids_of, first, last, size = _read_vocabulary(folder, config)
    if size > config.get("vocab_size", size):
        problem = f"the vocabulary has {size} tokens, the network {config['vocab_size']}"
        raise ModelError(problem, where=folder, remedy="use the vocabulary of these weights")

    def encode(reference: str, hypothesis: str) -> tuple[list[int], int]:
        left, right = ids_of(reference), ids_of(hypothesis)
        while len(left) + len(right) > max_tokens - 3:
            (left if len(left) > len(right) else right).pop()
        return [first, *left, last, *right, last], len(left) + 2

    return encode


def _read_vocabulary(folder: Path, config: dict[str, Any]) -> tuple[Callable[[str], list[int]], int, int, int]:
    """A folder -> a function from text to ids, the ids of [CLS] and [SEP], the number of tokens."""
    words: Any
    path = next((folder / name for name in SENTENCEPIECE_FILES if (folder / name).is_file()), folder)
    if path == folder and not any((folder / name).is_file() for name in VOCABULARY_FILES):
        problem = f"no {' or '.join((*SENTENCEPIECE_FILES, *VOCABULARY_FILES))}"
        raise ModelError(problem, where=folder, remedy=FETCH_AGAIN)
    try:
        if path != folder:
            words = sentencepiece.SentencePieceProcessor(model_file=str(path))
        else:  # transformers knows no tokenizer for the layout of bleurt-pytorch: it is BERT's
            kind = transformers.BertTokenizer if config.get("model_type") == "bleurt" else transformers.AutoTokenizer
            words = kind.from_pretrained(folder, local_files_only=True)
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise ModelError("its vocabulary cannot be read", where=path, remedy=FETCH_AGAIN) from error
    if path == folder:
        return partial(words.encode, add_special_tokens=False), words.cls_token_id, words.sep_token_id, len(words)
    first, last = words.piece_to_id("[CLS]"), words.piece_to_id("[SEP]")
    if words.unk_id() in (first, last):
        raise ModelError("has no [CLS] and [SEP]", where=path, remedy=NAME_BLEURT)
    return words.encode, first, last, len(words)


def _pad(pairs: Sequence[tuple[list[int], int]], device: torch.device) -> dict[str, Tensor]:
    """B pairs from `pair_encoder` -> (B, L) ids, mask and segments (0 = the reference's), on a device."""
    ids = [torch.tensor(ids) for ids, _ in pairs]
    segments = [(torch.arange(len(ids)) >= first).long() for ids, first in pairs]
    inputs = {"input_ids": ids, "attention_mask": [torch.ones_like(row) for row in ids], "token_type_ids": segments}
    return {name: pad_sequence(rows, batch_first=True).to(device) for name, rows in inputs.items()}
