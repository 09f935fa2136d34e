"""`hub:owner/name`, where a recipe may name a folder: a model hub's files, fetched once into its own cache.

Nothing else in the project asks a network for anything, and this only for a name that a user has written out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]  # httpx's or httpx2's

from glossfree.errors import ModelError

PREFIX = "hub:"
NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# Alternatives, the first that a repository has: mBART lies there in both formats, 2.4 GB each.
WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors", "config.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin", "config.json"),
)
TOKENIZER = (
    ("sentencepiece.bpe.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),  # as transformers 5 saves it
)


def folder_of(source: str, alternatives: Sequence[Sequence[str]]) -> Path:
    """A folder or file as it is; for `hub:owner/name` the folder that its files were fetched into.

    `alternatives` (WEIGHTS, TOKENIZER): names of the files to fetch, those of the first that a repository has; it has
    one if it has its first file, or another that is not JSON. Raises ModelError where there is no such repository, no
    such file in it or no network; what was fetched before needs none.
    """
    if not source.startswith(PREFIX):
        return Path(source)
    name = source.removeprefix(PREFIX)
    if not NAME.fullmatch(name):
        raise ModelError("not the name of a repository", where=source, remedy=f"write {PREFIX}owner/name")
    for patterns in alternatives:
        folder = _fetched(name, patterns)
        others = (path for pattern in patterns for path in folder.glob(pattern) if path.suffix != ".json")
        if (folder / patterns[0]).is_file() or any(others):
            return folder
    expected = " or ".join(patterns[0] for patterns in alternatives)
    raise ModelError(f"has no {expected}", where=source, remedy="name a repository that has")


def _fetched(name: str, patterns: Sequence[str]) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except (OSError, TransportError, HFValidationError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"cannot be fetched ({reason})",
            where=f"{PREFIX}{name}",
            remedy="download it where there is a network, and name the folder",
        ) from error
