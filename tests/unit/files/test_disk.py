from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from glossfree.errors import CorpusError, ModelError, RunError
from glossfree.files.disk import LEFTOVERS, atomic, digest, read_json, write_atomic, write_json


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "words.txt"
    with pytest.raises(CorpusError, match=r"cannot be written \(No such file"):
        write_atomic(path, "text")
    with atomic(path, parents=True) as temporary:
        temporary.write_text("half", encoding="utf-8")
        assert not path.exists() and list(path.parent.glob(LEFTOVERS)) == [temporary]
        temporary.write_text("all", encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["words.txt"]
    assert path.read_text(encoding="utf-8") == "all"


def test_a_file_that_its_writer_made_private_gets_the_rights_of_a_new_one(tmp_path: Path) -> None:
    weights, plain = tmp_path / "a.safetensors", tmp_path / "plain"
    plain.touch()
    with atomic(weights) as temporary:
        save_file({"words": np.zeros(3, np.float32)}, temporary)
    assert weights.stat().st_mode == plain.stat().st_mode


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "größer\n")
    write = Path.write_bytes

    def disk_full(self: Path, data: bytes) -> int:
        write(self, data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(CorpusError, match=r"cannot be written \(No space left on device\)") as caught:
        write_atomic(path, "zwei\n")
    assert caught.value.where == str(path)
    assert path.read_text(encoding="utf-8") == "größer\n"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("problem", [ValueError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_alone(tmp_path: Path, problem: BaseException) -> None:
    path = tmp_path / "words.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(type(problem)), atomic(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        raise problem
    assert [entry.read_text(encoding="utf-8") for entry in tmp_path.iterdir()] == ["old"]


def test_a_folder_is_atomic_too(tmp_path: Path) -> None:
    with atomic(tmp_path / "model", ModelError) as temporary:
        temporary.mkdir()
        (temporary / "weights").write_text("w", encoding="utf-8")
    assert (tmp_path / "model/weights").is_file()
    with pytest.raises(ValueError, match="half"), atomic(tmp_path / "other", ModelError) as temporary:
        (temporary / "part").mkdir(parents=True)
        raise ValueError("half")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_what_prevents_writing_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match=r"file/below: cannot be written \((File exists|Not a directory)\) -> check"):
        write_atomic(tmp_path / "file/below", "text", RunError, parents=True)
    with pytest.raises(CorpusError, match=r"cannot be written \(Is a directory\)"):
        write_atomic(tmp_path, b"bytes")
    also = (TypeError,)
    with pytest.raises(CorpusError, match=r"cannot be written \(no frames\)"), atomic(tmp_path / "a", also=also):
        raise TypeError("no frames")


def test_json_round_trips_and_its_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    write_json(path, {"name": "Süd", "counts": [1, 2]})
    assert read_json(path) == {"name": "Süd", "counts": [1, 2]}
    assert "Süd" in path.read_text(encoding="utf-8")
    for text in ("{", "[1]", "[" * 100_000, "1"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ModelError, match=r"facts.json: not .*JSON.* -> make it again"):
            read_json(path, ModelError, remedy="make it again")
    path.write_bytes(b"\xff{}")
    with pytest.raises(CorpusError, match="not JSON"):
        read_json(path)
    with pytest.raises(CorpusError, match=r"cannot be read \(No such file"):
        read_json(tmp_path / "none.json")


def test_a_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    write_atomic(path, b"abc")
    assert digest(path) == hashlib.sha256(b"abc").hexdigest()
