"""Any causal language model of transformers, by the folder of its files, behind the attention of `gated` (Sign2GPT).

A folder has config.json, safetensors and tokenizer.json. Its classes are transformers' own: no code of the folder runs.
Importing them takes seconds, so that functions do it which need them: other decoders are listed beside this one.
Sign2GPT's language model is XGLM-1.7B. Models whose attention has projections for query, key and value (XGLM, OPT,
Llama, Qwen and their like) or GPT-2's single one can be used, others are refused by name.

V vocabulary: the rows of its token table, of which the tokenizer may use fewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from glossfree.errors import ModelError
from glossfree.files.disk import read_json
from glossfree.models.adapters import Adapters
from glossfree.models.beam_search import State
from glossfree.models.choices import Decoder, Decoding, Language, LanguageEncoder
from glossfree.models.decoders.gated import ALPHA, DROPOUT, MODEL, NEW, RANK, TRAIN, GatedDecoder
from glossfree.models.tokens import EOS_ID, PAD_ID, SPECIAL_TOKENS
from glossfree.models.weights import Census, load, read_weights, weight_files
from glossfree.settings import MOST_TOKENS, Trained, value

CONFIG = "config.json"
AGAIN = "fetch the folder again, complete"
NOTES = {  # keys of a config.json that say nothing about what the model computes
    *("_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version"),
    *("task_specific_params", "id2label", "label2id", "gradient_checkpointing", "use_cache"),
}
NULL = "none"  # JSON's null, which TOML lacks


class LanguageModelDecoding(Adapters, Decoding):
    """Which language model, and its adapters. Sign2GPT has no language encoder: language.kind = "none"."""

    kind: Literal["language_model"] = "language_model"
    weights: str = value(
        "", "stated", "folder of the model with its tokenizer, or hub:owner/name; empty: random (stated: XGLM-1.7B)"
    )
    train: Trained = TRAIN
    adapter_rank: int = RANK
    adapter_alpha: float = ALPHA
    adapter_dropout: float = DROPOUT
    config: dict[str, Any] = value(
        {}, "derived", "sizes without weights, by the names of the model's config.json; with weights, that file's"
    )
    start_id: int = value(
        -1,
        "derived",
        "token that a sentence starts from, the tokenizer's if there are weights; -1: its last label",
        ge=-1,
    )
    end_id: int = value(EOS_ID, "derived", "token that ends a sentence, the tokenizer's if there are weights", ge=0)

    brings_tokenizer: ClassVar[bool] = True
    # released for XGLM; the last two are GPT-2's
    adapter_targets: ClassVar[tuple[str, ...]] = (
        *("q_proj", "k_proj", "v_proj", "out_proj", "self_attn.o_proj", "self_attn.dense"),
        *("attn.c_attn", "attn.c_proj"),
    )

    @property
    def special_tokens(self) -> int:
        """The end alone, in the ids of its own tokenizer."""
        return 1 if self.weights else SPECIAL_TOKENS

    @property
    def max_positions(self) -> int:
        """Tokens of a sentence at most, where the model says it."""
        positions = (self.config.get(name) for name in ("max_position_embeddings", "n_positions"))
        return next((each for each in positions if isinstance(each, int)), MOST_TOKENS)

    def problems(self) -> Iterator[str]:
        """A model that cannot be built."""
        kind = self.config.get("model_type")
        if kind is None:
            if not self.weights:
                yield "config has no model_type: name decoder.weights, or type and sizes as a config.json does"
            return
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        if not isinstance(kind, str) or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            yield f"config.model_type {kind!r} is no causal language model of transformers"

    def problems_with(self, language: Language) -> Iterator[str]:
        """Any encoder: its token ids would be others."""
        if language.kind != "none":
            yield f'decoder.kind "language_model" needs language.kind = "none", not "{language.kind}"'

    def build(self, language: LanguageEncoder, width: int, vocabulary_size: int) -> LanguageModelDecoder:
        """The decoder. Its language model is random only if there are no weights to be loaded."""
        from transformers.initialization import no_init_weights

        with no_init_weights() if self.weights else nullcontext():
            language_model = language_model_of(self.config, None if self.weights else vocabulary_size)
        return LanguageModelDecoder(self, language_model, width, vocabulary_size)

    def source(self) -> str:
        """The folder of the model."""
        return self.weights

    def as_in(self, folder: Path, start_id: int, end_id: int, vocabulary_size: int) -> LanguageModelDecoding:
        """The options with the architecture of the model in a folder, and the special ids and V of its tokenizer.

        Raises ModelError: no config.json, one that transformers cannot use, fewer rows than the tokenizer has tokens.
        """
        path = folder / CONFIG
        if not path.is_file():
            raise ModelError(f"no {CONFIG}", where=folder, remedy="name a folder of a model as transformers saves it")
        content = {key: item for key, item in read_json(path, ModelError, remedy=AGAIN).items() if key not in NOTES}
        changes = {"config": _with_null(content, None, NULL), "start_id": start_id, "end_id": end_id}
        options = self.model_copy(update=changes)
        for problem in options.problems():
            raise ModelError(problem, where=path, remedy="name a causal language model")
        if "quantization_config" in content:
            raise ModelError("its weights are quantised", where=path, remedy="name the folder of the plain weights")
        rows = _config_of(options.config).vocab_size
        if rows < vocabulary_size:
            problem = f"{rows} rows in the token table, {vocabulary_size} tokens in the tokenizer"
            raise ModelError(problem, where=path, remedy="name a model with its own tokenizer")
        return options

    def load(self, module: Decoder, source: Path, kept_ids: Sequence[int] | None) -> Census:
        """Load a language model's own safetensors, in place. Raises ModelError."""
        assert isinstance(module, LanguageModelDecoder) and kept_ids is None
        model: Any = module.language_model
        odd = [path.name for path in weight_files(source) if path.suffix != ".safetensors"]
        if odd:
            remedy = "save it as safetensors: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER)"
            raise ModelError(f"{odd[0]} is not safetensors", where=source, remedy=remedy)
        tensors = _by_first_name(model, read_weights(source), source)
        unread = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
        own = {MODEL + name: tensor for name, tensor in tensors.items()}
        ignored = tuple(name for name in own if any(re.search(pattern, name) for pattern in unread))
        return load(module, own, where=str(source), new=NEW, ignored=ignored)


class LanguageModelDecoder(GatedDecoder):
    """A causal language model of transformers behind gated attention."""

    def __init__(
        self, options: LanguageModelDecoding, language_model: nn.Module, width: int, vocabulary_size: int
    ) -> None:
        config: Any = language_model.config
        super().__init__(language_model, _layers_of(language_model), options, width, config.hidden_size)
        self.vocabulary_size = vocabulary_size
        self.start_id = None if options.start_id < 0 else options.start_id
        self.end_id = options.end_id
        self.unused = tuple(range(vocabulary_size, config.vocab_size))

    def logits(self, tokens: Tensor, past: State) -> tuple[Tensor, State]:
        """Token ids (R, L) after those of `past` -> logits (R, L, V), the next past."""
        from transformers import DynamicCache

        model: Any = self.language_model
        cache: Any = DynamicCache() if past else None
        for number, (keys, values) in enumerate(zip(past[::2], past[1::2], strict=True)):
            cache.update(keys, values, number)
        logits: Tensor = model(input_ids=tokens, past_key_values=cache, use_cache=cache is not None).logits
        return logits, tuple(each for layer in cache.layers for each in (layer.keys, layer.values)) if past else ()


def language_model_of(config: Mapping[str, Any], vocabulary_size: int | None = None) -> nn.Module:
    """The content of a config.json -> transformers' model, with V = `vocabulary_size` rows in place of its own.

    Raises ModelError if transformers cannot build it.
    """
    from transformers import AutoModelForCausalLM

    built = _config_of(config)
    if vocabulary_size is not None:
        built.vocab_size = vocabulary_size
        built.pad_token_id = PAD_ID  # its own may have no row here
    with _refusing(config):
        model: Any = AutoModelForCausalLM.from_config(built, trust_remote_code=False)  # type: ignore[no-untyped-call]
    model.tie_weights()  # the constructor skips that when it draws no weights
    plain: nn.Module = model.float()
    return plain


def _config_of(config: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    content = _without_code(_with_null(dict(config), NULL, None))
    kind = content.pop("model_type", "")
    with _refusing(config):
        return AutoConfig.for_model(kind, **content)


def _without_code(item: Any) -> Any:
    """A config without keys that choose the code that computes it: transformers would fetch kernels that they name."""
    if isinstance(item, dict):
        plain = {key: each for key, each in item.items() if key != "auto_map" and not key.endswith("implementation")}
        return {key: _without_code(each) for key, each in plain.items()}
    return item


@contextmanager
def _refusing(config: Mapping[str, Any]) -> Iterator[None]:
    """Turn what transformers raises into a ModelError: each model checks its sizes in its own way, or not at all."""
    from huggingface_hub.errors import StrictDataclassError

    causes = (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        AssertionError,
        ImportError,
    )
    try:
        yield
    except (*causes, StrictDataclassError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        where = f"decoder.config of {config.get('model_type')}"
        raise ModelError(f"transformers cannot use it ({reason})", where=where, remedy="correct its sizes") from error


def _layers_of(language_model: nn.Module) -> Sequence[nn.Module]:
    """The layers of a language model, first to last. Raises ModelError if they are not found."""
    config: Any = language_model.config
    for name, module in language_model.named_modules():
        is_named = name.rpartition(".")[2] in ("layers", "h")
        if is_named and isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
            return list(module)
    problem = f"{type(language_model).__name__} has no list of its layers"
    raise ModelError(problem, where="language model", remedy="name a model like XGLM, OPT, GPT-2, Llama or Qwen")


def _by_first_name(model: Any, tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Tensors of a folder -> the same under the names that the model's own have; a shared one once.

    Raises ModelError if two copies of a shared tensor differ.
    """
    prefix = f"{model.base_model_prefix}."
    if not any(name.startswith(prefix) for name in tensors):  # saved without the output layer
        tensors = {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
    first: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        first.setdefault(id(tensor), name)
    names = {name: first[id(tensor)] for name, tensor in model.state_dict(keep_vars=True).items()}
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = names.get(name, name)
        if own in result and not torch.equal(result[own], tensor):
            problem = f"{name} differs from {own}, which the model shares"
            raise ModelError(problem, where=source, remedy=AGAIN)
        result[own] = tensor
    return result


def _with_null(item: Any, old: str | None, new: str | None) -> Any:
    """A config with `new` in place of `old`: None, JSON's null, and "none", which stands for it in TOML."""
    if isinstance(item, dict):
        return {key: _with_null(each, old, new) for key, each in item.items()}
    return new if item == old else item
