"""Text files: known encodings are read, others are named with the command that converts them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from glossfree.errors import CorpusError
from glossfree.files.encoding import read_text, split_lines

TEXT = "id\ttext\r\neins\tes wird kühl in münchen\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_obeyed_and_line_ends_are_kept(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "a.csv") == TEXT


def test_utf_16_of_either_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe" + TEXT.encode("utf-16-le"))
    assert read_text(tmp_path / "a.csv") == read_text(tmp_path / "b.csv") == TEXT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (TEXT.encode("cp1252"), ["not UTF-8 (byte 23)", "Windows-1252", "iconv -f WINDOWS-1252 -t UTF-8"]),
        ("„nein“ – 5 €".encode("cp1252"), ["not UTF-8 (byte 0)", "Windows-1252"]),
        (TEXT.encode("utf-16-le"), ["UTF-16LE", "byte order mark", "iconv -f UTF-16LE -t UTF-8"]),
        (TEXT.encode("utf-16-be"), ["UTF-16BE", "iconv -f UTF-16BE"]),
        (b"\xff\xfe" + TEXT.encode("utf-16-le")[:-1], ["not UTF-16"]),
        (b"id,te\0xt" * 9, ["zero bytes"]),
        (b"PK\x03\x04" + bytes(99), ["spreadsheet", "export", "CSV"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", ["spreadsheet"]),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, data: bytes, words: list[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(CorpusError) as caught:
        read_text(path)
    assert [word for word in words if word not in str(caught.value)] == []
    assert caught.value.where == str(path)
    assert caught.value.remedy
    assert len(str(caught.value).replace(str(path), "")) < 250


def test_bytes_that_are_no_text_are_not_taken_for_windows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,text\n\xe4\x03\x04\n")
    with pytest.raises(CorpusError) as caught:
        read_text(tmp_path / "a.csv")
    assert "Windows" not in str(caught.value)


@pytest.mark.skipif(shutil.which("iconv") is None, reason="no iconv here")
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
def test_the_command_mends_the_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "my table.csv"  # with a blank in its name
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(CorpusError) as caught:
        read_text(path)
    subprocess.run(str(caught.value.remedy), shell=True, check=True)
    assert read_text(path) == TEXT
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(CorpusError, match="cannot be read") as caught:
            read_text(path)
        assert caught.value.where == str(path)


def test_lines_end_at_line_feeds_alone() -> None:
    assert split_lines("") == []
    assert split_lines("\n") == [""]
    assert split_lines("eins\r\n\nein\u2028satz\x85\n") == ["eins", "", "ein\u2028satz\x85"]


def test_zeros_in_a_wide_encoding_are_no_text_either(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,text\n1,es\0taut\n".encode("utf-16"))
    with pytest.raises(CorpusError, match="zero bytes"):
        read_text(tmp_path / "a.csv")
