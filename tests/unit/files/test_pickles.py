"""Plain values out of pickles of every protocol; whatever else a pickle asks for is refused and never done."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from glossfree.errors import CorpusError
from glossfree.files import pickles
from glossfree.files.pickles import read_plain_pickle

SHARED = ["你", "好", "！"]
PLAIN: dict[Any, Any] = {
    "info": [{"name": "S000000_P0000_T00", "signer": 0, "label_char": SHARED, "again": SHARED, "length": -70_000}],
    "numbers": (1, 2.5, 10**30, True, None, float("inf")),
    3: {"nested": {"deeper": [(), [], {}, ("one",), (1, 2), (1, 2, 3, 4)]}, "long": "字" * 70_000},
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refusal(path: Path) -> CorpusError:
    with pytest.raises(CorpusError) as caught:
        read_plain_pickle(path)
    assert caught.value.where == str(path)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    read = read_plain_pickle(write(tmp_path / "a.pkl", pickle.dumps(PLAIN, protocol)))
    assert read == PLAIN
    assert read["info"][0]["label_char"] is read["info"][0]["again"]


class Bomb:
    """What a stranger writes: unpickling it runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bomb_does_not_go_off_and_is_named(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    path = write(tmp_path / "a.pkl", pickle.dumps({"info": [Bomb(mark)]}, protocol))
    assert f"{os.system.__module__}.system" in refusal(path).problem
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "a bomb that cannot go off tests nothing"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (datetime.date(2021, 3, 4), "datetime.date"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        (print, "builtins.print"),
        (slice(1), "builtins.slice"),
        ({1, 2}, "EMPTY_SET"),
        (frozenset("a"), "FROZENSET"),
        (b"bytes", "SHORT_BINBYTES"),
        (bytearray(b"x"), "BYTEARRAY8"),
    ],
)
def test_anything_but_plain_values_is_refused_by_its_name(tmp_path: Path, value: object, name: str) -> None:
    problem = refusal(write(tmp_path / "a.pkl", pickle.dumps([value], 5))).problem
    assert name in problem and "more than plain values" in problem


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x80\x04]\x82\x01.", "EXT1"),
        (b"Pname\n.", "PERSID"),
        (b"\x8c\x01aQ.", "BINPERSID"),
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "INST"),
        (b"]]b.", "BUILD"),
        (b"]\xff.", "instruction 255"),
    ],
)
def test_instructions_that_build_objects_are_refused(tmp_path: Path, data: bytes, name: str) -> None:
    assert name in refusal(write(tmp_path / "a.pkl", data)).problem


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle at all",
        pickle.dumps(PLAIN)[:-50],
        b"\x80\x04.",
        b"}K\x01a.",
        b"(K\x01d.",
        b"h\x07.",
        b"I" + b"9" * 5000 + b"\n.",
        b"X\x04\x00\x00\x00\xff\xff\xff\xff.",
        b"r\x01",
        b"\x8e" + struct.pack("<Q", 2**62),
    ],
)
def test_a_damaged_pickle_is_an_error(tmp_path: Path, data: bytes) -> None:
    refusal(write(tmp_path / "a.pkl", data))


def test_a_few_bytes_cannot_fill_the_memory(tmp_path: Path) -> None:
    """The reader in C makes a table of 2**33 places for the first of these, one of a terabyte for the second."""
    for data in (
        b"\x80\x04]r" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x8d" + struct.pack("<Q", 2**40) + b"x.",
        b"\x95" + struct.pack("<Q", 2**40) + b"].",
    ):
        path = write(tmp_path / "a.pkl", data)
        try:
            assert read_plain_pickle(path) == []
        except CorpusError as error:
            assert "damaged" in error.problem


def test_files_that_are_missing_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in refusal(tmp_path / "a.pkl").problem
    monkeypatch.setattr(pickles, "LARGEST", 1e-4)
    assert "more than 0.0001 MB" in refusal(write(tmp_path / "a.pkl", pickle.dumps("x" * 200))).problem


@pytest.mark.parametrize("end", [b"Ns.", b"Nu.", b"Nd."])
def test_a_deep_tuple_as_key_does_not_end_the_process(tmp_path: Path, end: bytes) -> None:
    start = {b"Ns.": b"\x80\x04})", b"Nu.": b"\x80\x04}()", b"Nd.": b"\x80\x04()"}[end]
    (tmp_path / "deep.pkl").write_bytes(start + b"\x85" * 300_000 + end)
    with pytest.raises(CorpusError, match="tuple as key"):
        read_plain_pickle(tmp_path / "deep.pkl")
