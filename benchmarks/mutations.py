"""Valid content of a file -> the same with random damage, as disks, transfers, editors, scripts and attackers do it.

Each mutation is a function of the bytes and a random state, and the same for the same state.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

Mutation = Callable[[bytes, random.Random], bytes]
NUMBERS = ("-1", "0", "1e309", "nan", "-0.5", "1" + "0" * 30, "2147483648", "4294967295", "0x10", "１２", "1.5.2", "")
TOML_VALUES = (
    "true",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    '"x"',
    "[]",
    "{}",
    "1979-05-27",
    "9" * 25,
    "2147483648",
    "[[1]]",
)
MARKUP = ("&lt;", "&#0;", "&unknown;", "<!--", "]]>", '<!DOCTYPE a [<!ENTITY b "bb">]>', "<a", '"', "'", "\\", "\t")
ODD_TEXT = (
    "\0",
    "\ufeff",
    "\u2028",
    "\u202e",
    "e\u0301",
    "\ud7ff",
    "🙂" * 9,
    "x" * 70_000,
    "-->",
    "\r",
    "\x1b[2J",
    "..",
)
EXTREME = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 8, b"\xff" * 8)
LARGEST_CHUNK = 400  # bytes that one mutation moves


def _chunk(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.randint(1, LARGEST_CHUNK))


def flip(content: bytes, rng: random.Random) -> bytes:
    """Some bytes become others."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 40)) if content else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    """The end is missing; sometimes everything."""
    return content[: rng.choice((0, 1, *(rng.randrange(len(content) + 1) for _ in range(8))))]


def duplicate(content: bytes, rng: random.Random) -> bytes:
    """A chunk comes twice, or many times."""
    start, end = _chunk(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 1, 50)) + content[end:]


def insert(content: bytes, rng: random.Random) -> bytes:
    """Random bytes in between."""
    start, end = _chunk(content, rng)
    return content[:start] + rng.randbytes(end - start) + content[start:]


def delete(content: bytes, rng: random.Random) -> bytes:
    """A chunk is missing."""
    start, end = _chunk(content, rng)
    return content[:start] + content[end:]


def blank(content: bytes, rng: random.Random) -> bytes:
    """A chunk of zeros, as after a crash of the file system."""
    start, end = _chunk(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def swap_chunks(content: bytes, rng: random.Random) -> bytes:
    """Two chunks changed places."""
    first, middle, last = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:first] + content[middle:last] + content[first:middle] + content[last:]


def huge_length(content: bytes, rng: random.Random) -> bytes:
    """An extreme number of four or eight bytes, where the file may keep a length."""
    at, number = rng.randrange(min(len(content), 4096) + 1), rng.choice(EXTREME)
    return content[:at] + number + content[at + len(number) :]


BYTES: tuple[Mutation, ...] = (flip, flip, cut, duplicate, insert, delete, blank, swap_chunks, huge_length)


def swap_lines(content: bytes, rng: random.Random) -> bytes:
    """Two lines changed places."""
    lines = content.splitlines(keepends=True)
    for _ in range(len(lines) and 1):
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def repeat_line(content: bytes, rng: random.Random) -> bytes:
    """A line comes twice, is missing, or is cut."""
    lines = content.splitlines(keepends=True)
    if lines:
        at = rng.randrange(len(lines))
        line = lines[at]
        lines[at : at + 1] = rng.choice(([line, line], [], [line[: len(line) // 2]], [line, b"\n"]))
    return b"".join(lines)


def extreme_number(content: bytes, rng: random.Random) -> bytes:
    """A number becomes an extreme one."""
    places = list(re.finditer(rb"\d+(\.\d+)?", content))
    if not places:
        return flip(content, rng)
    place = rng.choice(places)
    return content[: place.start()] + rng.choice(NUMBERS).encode() + content[place.end() :]


def odd_text(content: bytes, rng: random.Random) -> bytes:
    """Markup, control characters, quotation marks, or a very long word in between."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice((*MARKUP, *ODD_TEXT)).encode() + content[at:]


def other_encoding(content: bytes, rng: random.Random) -> bytes:
    """As another editor saves it."""
    text = content.decode("utf-8", "replace")
    encoding = rng.choice(("utf-16", "utf-16-le", "utf-8-sig", "cp1252", "utf-32"))
    return text.replace("\n", rng.choice(("\n", "\r\n", "\r"))).encode(encoding, "replace")


def other_separator(content: bytes, rng: random.Random) -> bytes:
    """All separators of one kind become others."""
    return content.replace(rng.choice((b",", b"\t", b'"', b"\n")), rng.choice((b";", b"|", b"\t", b",", b"")))


TEXT: tuple[Mutation, ...] = (
    *(flip, cut, duplicate, delete, blank),
    *(swap_lines, repeat_line, extreme_number, extreme_number, odd_text, odd_text, other_encoding, other_separator),
)


def _other_value(rng: random.Random) -> Any:
    deep: Any = 0
    for _ in range(60):
        deep = [deep]
    options: tuple[Any, ...] = (
        None,
        True,
        -1,
        0,
        0.5,
        1e308,
        math.nan,
        math.inf,
        10**30,
        2**31,
        "",
        "x",
        "../x",
        "\ud800",
        [],
        {},
        [[]],
    )
    return rng.choice((*options, deep, {"x": 1}, "y" * 9000, [0] * 3000, ["a", "a"]))


def change_value(value: Any, rng: random.Random) -> Any:
    """A JSON value -> the same with one value in it exchanged, missing, doubled or under another name."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return _other_value(rng)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    kind = rng.random()
    if kind < 0.1:
        del changed[key]
    elif kind < 0.2 and isinstance(changed, dict):
        changed[rng.choice((f"{key}x", "", key.upper()))] = changed.pop(key)
    elif kind < 0.2:
        changed.insert(key, changed[rng.randrange(len(changed))])
    else:
        changed[key] = change_value(value[key], rng)
    return changed


def json_value(content: bytes, rng: random.Random) -> bytes:
    """A file with one JSON value -> the same with a change in it."""
    try:
        value = json.loads(content)
    except ValueError:
        return odd_text(content, rng)
    return json.dumps(change_value(value, rng)).encode()


def json_line(content: bytes, rng: random.Random) -> bytes:
    """A file with a JSON value in each line -> the same with a change in one."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    at = rng.randrange(len(lines))
    lines[at] = json_value(lines[at], rng) + b"\n"
    return b"".join(lines)


def toml_value(content: bytes, rng: random.Random) -> bytes:
    """A value of a TOML file becomes one of another type."""
    places = list(re.finditer(rb"(?<== )([^,\n}\]]+)", content))
    if not places:
        return odd_text(content, rng)
    place = rng.choice(places)
    return content[: place.start()] + rng.choice(TOML_VALUES).encode() + content[place.end() :]


def safetensors_header(content: bytes, rng: random.Random) -> bytes:
    """A change in the JSON header, whose length is right again."""
    length = int.from_bytes(content[:8], "little")
    header = json_value(content[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def sentencepiece_piece(content: bytes, rng: random.Random) -> bytes:
    """A piece becomes empty, another's double, of another kind or score; or the table of characters is damaged."""
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        proto.ParseFromString(content)
        piece = rng.choice(proto.pieces)
    except (DecodeError, IndexError):
        return flip(content, rng)
    change = rng.randrange(5)
    if change == 0:
        piece.piece = rng.choice(("", rng.choice(proto.pieces).piece, "<unk>", "▁", "de_DE", "a\0b", "x" * 5000))
    elif change == 1:
        piece.type = rng.randint(1, 6)
    elif change == 2:
        piece.score = rng.choice((math.nan, math.inf, -math.inf, 1e38, -1e38, 0.0))
    elif change == 3:
        proto.normalizer_spec.precompiled_charsmap = rng.randbytes(rng.randint(1, 300))
    else:
        proto.trainer_spec.byte_fallback = not proto.trainer_spec.byte_fallback
    return bytes(proto.SerializeToString())


BY_SUFFIX: dict[str, tuple[Mutation, ...]] = {
    ".json": (*TEXT, *(json_value,) * 10),
    ".jsonl": (*TEXT, *(json_line,) * 10),
    ".toml": (*TEXT, *(toml_value,) * 10),
    ".model": (*BYTES, *(sentencepiece_piece,) * 10),
    ".safetensors": (*BYTES, *(safetensors_header,) * 6),
    **dict.fromkeys((".csv", ".tsv", ".txt", ".eaf", ".vtt", ".srt"), TEXT),
}


def mutate(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """One to four mutations, of those that fit a file of this name; any others are of bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(BY_SUFFIX.get(suffix, BYTES))(content, rng)
    return content
