"""Learned metrics: sentences -> one score each by somebody's trained network, averaged and given on the scale 0-100.

BLEURT (Sellam et al. 2020; Pu et al. 2021) comes from a folder that the user names; nothing is fetched, and no file can
run anything (safetensors, or torch's format read with `weights_only=True`). What is not at hand is said in a note and
has no score; a folder that is at hand but damaged is a ModelError.

COMET (Rei et al. 2020) is named and refused. Its usual models read the source's text, and a video has none: to put the
reference in its place would score a copy of it with itself. Models that take hypothesis and reference alone
(`unified_metric`, as UniTE) would do, but unbabel-comet 2.2.7 asks for transformers < 5 and numpy < 2 (installed in
spite of that it fails, in `concat_sequences`), and unpickles its checkpoints unrestricted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from torch import Tensor, nn

from glossfree.errors import ModelError
from glossfree.files.disk import digest
from glossfree.models.weights import load, read_weights, weight_files

SENTENCES = 32  # of a forward pass
LONGEST = 512  # tokens of a pair, as BLEURT was trained
PIECES = ("spm.model", "sentencepiece.bpe.model")  # names of a sentencepiece vocabulary
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
)  # of all others; without one, transformers makes up its own
FETCH = "fetch the folder again, complete"
REFERENCE_ONLY = "unified_metric"  # COMET's models that can do without a source


@dataclass(frozen=True)
class LearnedScore:
    """A metric's mean over the sentences times 100, or None with a `note` that says why; what it was computed with."""

    name: str
    value: float | None
    note: str
    signature: str = ""


def learned_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    bleurt: Path | None = None,
    comet: Path | None = None,
    device: torch.device | None = None,
) -> list[LearnedScore]:
    """BLEURT and COMET of hypotheses against references. Raises ModelError for a folder that cannot be used, ValueError
    if there is no sentence or their numbers differ."""
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    scores: dict[str, tuple[Path | None, Callable[[Path], LearnedScore]]] = {
        "BLEURT": (bleurt, lambda folder: _bleurt(hypotheses, references, folder, device or torch.device("cpu"))),
        "COMET": (comet, _comet),
    }
    found = []
    for name, (folder, score) in scores.items():
        if folder is None:
            found.append(LearnedScore(name, None, f"not asked for: --{name.lower()} FOLDER"))
        elif not folder.is_dir():
            found.append(LearnedScore(name, None, f"no folder {folder}"))
        else:
            found.append(score(folder))
    return found


def _bleurt(hypotheses: Sequence[str], references: Sequence[str], folder: Path, place: torch.device) -> LearnedScore:
    config = _json(folder / "config.json")
    model = bleurt_model(folder, config).to(place).eval()
    encode = pair_encoder(folder, config)

    def score(batch: list[tuple[str, str]]) -> Tensor:
        inputs = _padded([encode(reference, hypothesis) for hypothesis, reference in batch])
        logits: Tensor = model(**{name: ids.to(place) for name, ids in inputs.items()}).logits
        return logits[:, 0]

    value = _mean(score, hypotheses, references)
    mark = f"BLEURT|{_mark(weight_files(folder))}|transformers:{transformers.__version__}"
    return LearnedScore("BLEURT", value, "mean over sentences, times 100", mark)


def bleurt_model(folder: Path, config: dict[str, Any]) -> nn.Module:
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
            sizes["classifier_dropout_prob"] = 0.0  # of training; RemBERT wants a number
            prefix, built = "rembert.", transformers.RemBertConfig(**{**sizes, "num_labels": 1})
        tensors = {
            re.sub("^bleurt[.]", prefix, name).replace("embedding_projection", "embedding_hidden_mapping_in"): tensor
            for name, tensor in tensors.items()
        }
    else:
        try:
            built = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (ValueError, OSError) as error:
            raise ModelError(f"of a kind that transformers lacks ({kind})", where=folder, remedy=FETCH) from error
    try:
        build: Any = transformers.AutoModelForSequenceClassification.from_config
        model: nn.Module = build(built)
    except ValueError as error:
        raise ModelError(f"{kind} does not classify sequences", where=folder, remedy="name BLEURT's folder") from error
    if built.num_labels != 1:
        raise ModelError(f"says {built.num_labels} numbers of a pair, not one", where=folder, remedy="name BLEURT's")
    places = [name for name in tensors if name.endswith("embeddings.position_ids")]  # 0, 1, 2 ...: no weights
    load(model, tensors, where=str(folder), ignored=places)
    return model


def pair_encoder(folder: Path, config: dict[str, Any]) -> Callable[[str, str], tuple[list[int], int]]:
    """A folder -> what turns (reference, hypothesis) into token ids, and how many of them are of the first segment.

    [CLS] reference [SEP] hypothesis [SEP]; of what is too long, the longer of both loses its last token, again and
    again, as BLEURT does it. Raises ModelError.
    """
    longest = min(LONGEST, int(config.get("max_position_embeddings", LONGEST)))
    pieces = next((folder / name for name in PIECES if (folder / name).is_file()), None)
    if pieces is None:
        if not any((folder / name).is_file() for name in VOCABULARIES):
            raise ModelError(f"no {' or '.join((*PIECES, *VOCABULARIES))}", where=folder, remedy=FETCH)
        try:
            # of the layout of bleurt-pytorch, transformers knows no tokenizer: it is BERT's
            chosen = transformers.BertTokenizer if config.get("model_type") == "bleurt" else transformers.AutoTokenizer
            words = chosen.from_pretrained(folder, local_files_only=True)
        except (ValueError, OSError, KeyError) as error:
            raise ModelError("its vocabulary cannot be read", where=folder, remedy=FETCH) from error
        first, last, size = words.cls_token_id, words.sep_token_id, len(words)
    else:
        try:
            model = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
        except (RuntimeError, OSError) as error:
            raise ModelError("its vocabulary cannot be read", where=pieces, remedy=FETCH) from error
        first, last, size = model.piece_to_id("[CLS]"), model.piece_to_id("[SEP]"), len(model)
        if model.unk_id() in (first, last):
            raise ModelError("has no [CLS] and [SEP]", where=pieces, remedy="name BLEURT's folder")
    if size > config.get("vocab_size", size):
        problem = f"{size} tokens, its network knows {config['vocab_size']}"
        raise ModelError(problem, where=folder, remedy="weights and vocabulary must belong together")

    def ids_of(text: str) -> list[int]:
        if pieces is not None:
            return list(model.encode(text))
        return list(words(text, add_special_tokens=False)["input_ids"])

    def encode(reference: str, hypothesis: str) -> tuple[list[int], int]:
        left, right = ids_of(reference), ids_of(hypothesis)
        while len(left) + len(right) > longest - 3:
            (left if len(left) > len(right) else right).pop()
        return [first, *left, last, *right, last], len(left) + 2

    return encode


def _padded(pairs: Sequence[tuple[list[int], int]]) -> dict[str, Tensor]:
    """Pairs as `pair_encoder` gives them -> (B, L) ids, mask and segments (0 = the reference's)."""
    length = max(len(ids) for ids, _ in pairs)
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = {name: torch.zeros(len(pairs), length, dtype=torch.int64) for name in names}
    for row, (ids, first) in enumerate(pairs):
        inputs["input_ids"][row, : len(ids)] = torch.tensor(ids)
        inputs["attention_mask"][row, : len(ids)] = 1
        inputs["token_type_ids"][row, first : len(ids)] = 1
    return inputs


def _comet(folder: Path) -> LearnedScore:
    """Why there is none, for the model that lies in the folder."""
    settings = folder / "hparams.yaml"
    if not settings.is_file():
        raise ModelError("is missing", where=settings, remedy="name a folder as COMET's are laid out")
    match = re.search(r"^class_identifier:\s*(\w+)", settings.read_text(encoding="utf-8", errors="replace"), re.M)
    kind = match[1] if match else "of no kind"
    if kind == REFERENCE_ONLY:
        note = "unbabel-comet does not run beside transformers 5: score the sentences in an environment of its own"
    else:
        note = "reads the source's text, and a video has none"
    return LearnedScore("COMET", None, f"{folder} ({kind}): {note}")


def _mean(score: Callable[[list[tuple[str, str]]], Tensor], *texts: Sequence[str]) -> float:
    """Hypotheses and references, scored batch by batch -> 100 times the mean, summed in float64."""
    with torch.inference_mode():
        found = torch.cat([score(batch).double().cpu() for batch in _batches(list(zip(*texts, strict=True)))])
    return 100 * float(found.mean())


def _batches(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Pairs of similar length together: padding costs as much as words."""
    ordered = sorted(pairs, key=lambda pair: sum(map(len, pair)))
    for start in range(0, len(ordered), SENTENCES):
        yield ordered[start : start + SENTENCES]


def _mark(files: Sequence[Path]) -> str:
    return "weights:" + "+".join(digest(path)[:12] for path in files)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError("is missing, or no JSON", where=path, remedy=FETCH) from error
