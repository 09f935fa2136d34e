"""Parts of files, on this disk and at an address."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.object_store import object_store

from glossfree.errors import CorpusError
from glossfree.files import parts
from glossfree.files.parts import Part, as_address, fetch, is_address


@pytest.mark.parametrize("text", ["s3://bucket/corpus", "https://example.net/a/", "gs://b/c", "memory://x"])
def test_an_address_survives_being_a_path(text: str) -> None:
    assert is_address(text) and is_address(Path(text))
    assert as_address(Path(text)) == as_address(text) == text.rstrip("/")


@pytest.mark.parametrize("text", ["corpus", "/data/corpus", "./s3/x", "C:/corpus", "C:\\corpus", "a:b", ""])
def test_a_path_is_no_address(text: str) -> None:
    assert not is_address(text)


def test_a_part_of_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    part = Part("file", 10, 5).below(tmp_path)
    assert part.read() == bytes(range(10, 15)) and part.is_there()
    beyond = Part("file", 98, 5).below(tmp_path)
    assert not beyond.is_there()
    with pytest.raises(OSError, match="ends before byte 103"):
        beyond.read()
    assert not Part("none", 0, 1).below(tmp_path).is_there()


def test_a_part_at_an_address(tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(bytes(range(100)))
    with object_store(tmp_path) as store:
        part = Part(f"{store.address}/a file", 10, 5)
        assert part.below(Path("/nowhere")).read() == bytes(range(10, 15))
        assert fetch(f"{store.address}/a file") == bytes(range(100))
        with pytest.raises(FileNotFoundError):
            fetch(f"{store.address}/none")


def test_what_does_not_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAUSES", (0.0, 0.0))
    (tmp_path / "file").write_bytes(b"12345")
    with object_store(tmp_path) as store:
        store.failures = 2
        assert Part(f"{store.address}/file", 1, 3).read() == b"234"
        store.failures = 9
        with pytest.raises(OSError, match="503"):
            fetch(f"{store.address}/file")
        assert len(store.asked) == 6
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        fetch(f"{store.address}/file")  # nobody is there any more


def test_an_unknown_kind_of_address_says_what_to_install() -> None:
    with pytest.raises(CorpusError, match="glossfree\\[remote\\]"):
        fetch("nowhere://bucket/file")
