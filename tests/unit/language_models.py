"""Small causal language models with random weights and tokenizers of their own, as transformers saves them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 130},
    "xglm": {"d_model": 24, "num_layers": 2, "attention_heads": 4, "ffn_dim": 30, "max_position_embeddings": 130},
    "llama": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 30,
        "max_position_embeddings": 130,
    },
}
SURPLUS = 3  # rows of the token table that the tokenizer does not use, as in many released models


def save_language_model(folder: Path, kind: str, sentences: Iterable[str], seed: int = 1) -> Path:
    """A model of SIZES with a tokenizer trained on the sentences -> its folder, as transformers saves both."""
    tokenizer, names = {"gpt2": _gpt2, "xglm": _xglm, "llama": _llama}[kind](list(sentences))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    fast.save_pretrained(folder)
    ids = {f"{role}_token_id": fast.convert_tokens_to_ids(names[f"{role}_token"]) for role in ("bos", "eos")}
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **SIZES[kind], **ids, pad_token_id=1, vocab_size=len(fast) + SURPLUS)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    return folder


def _gpt2(sentences: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """Pieces of bytes; nothing is put around a sentence."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"])
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}


def _xglm(sentences: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """A unigram model; `</s>` stands in front of a sentence, and ends it in training."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("</s> $A", special_tokens=[("</s>", 2)])
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def _llama(sentences: list[str]) -> tuple[Tokenizer, dict[str, str]]:
    """Pieces of characters, and bytes for those that it does not know; `<s>` in front."""
    special = ["<unk>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    tokenizer.train_from_iterator(sentences, trainers.BpeTrainer(vocab_size=380, special_tokens=[*special, *bytes_]))
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
