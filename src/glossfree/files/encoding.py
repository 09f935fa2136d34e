"""Text files in UTF-8, or in UTF-16 or UTF-32 with a byte order mark; errors name other encodings and the remedy."""

from __future__ import annotations

import codecs
import shlex
import unicodedata
from pathlib import Path

from glossfree.errors import CorpusError, os_errors_as

SPREADSHEETS = frozenset({".xlsx", ".xlsm", ".xls", ".ods", ".numbers"})
_ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, and of .xls
_MARKS = (  # UTF-32 before UTF-16, whose mark is the start of UTF-32's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a file, line ends unchanged.

    Raises CorpusError: missing, not readable, a spreadsheet, another encoding (named if it is recognised).
    """
    with os_errors_as(CorpusError, "cannot be read", where=path, remedy="check the path"):
        data = path.read_bytes()
    if data.startswith(_ARCHIVES):
        raise spreadsheet_error(path)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and (variant := _guess_utf16(data)):
        problem = f"not UTF-8: it looks like {variant} without a byte order mark"
        raise CorpusError(problem, where=path, remedy=_iconv_command(path, variant))
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper().removesuffix("-SIG")
        problem, remedy = f"not {name} (byte {error.start:,})", "save the file as UTF-8"
        if name == "UTF-8" and _is_text(data, "cp1252"):
            problem, remedy = f"{problem}: it reads as Windows-1252", _iconv_command(path, "WINDOWS-1252")
        raise CorpusError(problem, where=path, remedy=remedy) from error
    if "\0" in text:
        raise CorpusError("contains zero bytes: not a text file", where=path, remedy="check the path")
    return text


def split_lines(text: str) -> list[str]:
    """Text -> its lines, also empty ones. Splits at \\n and \\r\\n only, because a sentence may contain U+2028."""
    if not text:
        return []
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def spreadsheet_error(path: Path) -> CorpusError:
    """The error for a workbook in place of a text file."""
    remedy = "open it and export the sheet as CSV (UTF-8)"
    return CorpusError("a spreadsheet or an archive, not a text file", where=path, remedy=remedy)


def _guess_utf16(data: bytes) -> str:
    """The UTF-16 variant in which the bytes are text, most of it ASCII; "" if neither fits."""
    start = data[:4096]
    zeros = [start[offset::2].count(0) for offset in (0, 1)]
    if not any(zeros) or max(zeros) * 5 < len(start):  # fewer than two in five letters are ASCII
        return ""
    name = "UTF-16LE" if zeros[1] > zeros[0] else "UTF-16BE"
    return name if _is_text(start[: len(start) // 2 * 2], name) else ""


def _is_text(data: bytes, encoding: str) -> bool:
    """Whether all bytes decode to printable characters."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(letter.isprintable() or letter in "\t\n\r\xa0" for letter in text)


def _iconv_command(path: Path, encoding: str) -> str:
    name, copy = shlex.quote(str(path)), shlex.quote(f"{path}.utf8")
    return f"iconv -f {encoding} -t UTF-8 {name} > {copy} && mv {copy} {name}"


def nfc(text: str) -> str:
    """Text in composed form (NFC): the form in which sentences, ids, columns and file names are compared.

    macOS and some editors write `ü` as two characters (NFD), which would make two words of one.
    """
    return unicodedata.normalize("NFC", text)
