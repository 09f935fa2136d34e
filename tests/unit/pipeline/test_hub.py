"""hub:owner/name -> a folder: what is asked for, what is taken, and how it fails where there is no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError

from glossfree.errors import ModelError
from glossfree.pipeline.hub import TOKENIZER, WEIGHTS, folder_of


class Hub:
    """A hub of one repository, instead of the real one."""

    def __init__(self, folder: Path, files: tuple[str, ...]) -> None:
        self.folder, self.files = folder, files
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, name: str, *, allow_patterns: list[str]) -> str:
        self.asked.append((name, allow_patterns))
        for file in self.files:
            if any(Path(file).match(pattern) for pattern in allow_patterns):
                (self.folder / file).write_text(file)
        return str(self.folder)


def with_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, *files: str) -> Hub:
    hub = Hub(folder, files)
    monkeypatch.setattr("glossfree.pipeline.hub.snapshot_download", hub)
    return hub


@pytest.mark.parametrize("source", ["dinov2-small", "weights/dinov2.pth", "hub/owner/name", ""])
def test_a_path_is_taken_as_it_is_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    hub = with_hub(monkeypatch, tmp_path, "model.safetensors")
    assert folder_of(source, WEIGHTS) == Path(source)
    assert hub.asked == []


def test_weights_are_fetched_in_one_format_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    others = ("README.md", "tf_model.h5", "model.fp16.safetensors", "onnx_model.onnx", "sentencepiece.bpe.model")
    hub = with_hub(monkeypatch, tmp_path, "config.json", "model.safetensors", "pytorch_model.bin", *others)
    assert folder_of("hub:facebook/dinov2-small", WEIGHTS) == tmp_path
    assert hub.asked == [("facebook/dinov2-small", list(WEIGHTS[0]))]
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_older_formats_and_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = ("config.json", "pytorch_model.bin.index.json", "pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin")
    hub = with_hub(monkeypatch, tmp_path, *files)
    assert folder_of("hub:facebook/mbart-large-cc25", WEIGHTS) == tmp_path
    assert len(hub.asked) == 2
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_a_tokenizer_brings_its_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_hub(monkeypatch, tmp_path, "sentencepiece.bpe.model", "tokenizer_config.json", "model.safetensors")
    assert folder_of("hub:a/b", TOKENIZER) == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"sentencepiece.bpe.model", "tokenizer_config.json"}


def test_a_tokenizer_json_alone_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_hub(monkeypatch, tmp_path, "tokenizer.json", "tokenizer_config.json", "model.safetensors")
    assert folder_of("hub:a/b", TOKENIZER) == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}


def test_a_repository_without_what_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_hub(monkeypatch, tmp_path, "config.json", "tokenizer_config.json")
    with pytest.raises(ModelError, match=r"hub:a/b: has no model\.safetensors or pytorch_model\.bin"):
        folder_of("hub:a/b", WEIGHTS)
    with pytest.raises(ModelError, match=r"has no sentencepiece\.bpe\.model"):
        folder_of("hub:a/b", TOKENIZER)


@pytest.mark.parametrize("name", ["", "dinov2-small", "a/b/c", "../b", "a b/c", "a/b?x=1", "/etc/passwd"])
def test_what_is_no_name_of_a_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    hub = with_hub(monkeypatch, tmp_path, "model.safetensors")
    with pytest.raises(ModelError, match="not the name of a repository -> write hub:owner/name"):
        folder_of(f"hub:{name}", WEIGHTS)
    assert hub.asked == []


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("Got: ConnectError: no such host\nmore about it"),
        HTTPError("proxy refused"),
        HFValidationError("no repository is called that"),
        OSError(28, "No space left on device"),
    ],
)
def test_whatever_goes_wrong_is_one_line_with_a_remedy(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr("glossfree.pipeline.hub.snapshot_download", fails)
    with pytest.raises(ModelError, match="cannot be fetched") as caught:
        folder_of("hub:a/b", WEIGHTS)
    assert caught.value.where == "hub:a/b"
    assert caught.value.remedy and "name the folder" in caught.value.remedy
    assert "\n" not in str(caught.value) and str(error).partition("\n")[0] in str(caught.value)


def test_the_library_itself_refuses_where_it_must_stay_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is replaced but the place of its cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="cannot be fetched"):
        folder_of("hub:glossfree-tests/there-is-none", WEIGHTS)
