"""A pickle from strangers -> plain values, without running anything that it asks for.

A pickle is a program. This reader knows only the instructions that build dict, list, tuple, str, int, float, bool and
None; any other is an error that names it, and so is a class or a function. It is Python's own reader in Python: that
one keeps what it has read in a dict, where the one in C allocates as much as the file says (64 GB in ten bytes).
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError, _Unpickler
from typing import Any, ClassVar, NoReturn

from glossfree.errors import CorpusError, shortened

LARGEST = 500  # MB
_INSTRUCTIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET"),
    *("LONG_BINGET", "MEMOIZE", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG"),
    *("LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST"),
    *("APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("GLOBAL", "STACK_GLOBAL"),  # which say what class or function is asked for: `find_class` refuses it
)
_NAMES = {ord(operation.code): operation.name for operation in pickletools.opcodes}
_DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError, ValueError)


class _Refused(Exception):
    """The name of an instruction, a class or a function that a plain value does not need."""


class _Instructions(dict[int, Callable[[Any], None]]):
    def __missing__(self, code: int) -> NoReturn:
        raise _Refused(_NAMES.get(code, f"instruction {code}"))


def _with_plain_keys(read: Callable[[Any], None]) -> Callable[[Any], None]:
    """An instruction, if it fills a dict one that refuses tuples as keys: the hash of a deep one ends the process."""
    start = {"load_setitem": -2, "load_setitems": 0, "load_dict": 0}.get(read.__name__)
    if start is None:
        return read

    def checked(reader: Any) -> None:
        if any(isinstance(key, tuple) for key in reader.stack[start::2]):
            raise _Refused("a dict with a tuple as key")
        read(reader)

    return checked


class _Reader(_Unpickler):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = _Instructions(
        {code: _with_plain_keys(read) for code, read in _Unpickler.dispatch.items() if _NAMES[code] in _INSTRUCTIONS}
    )

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise _Refused(shortened(f"{module_name}.{global_name}"))


def read_plain_pickle(path: Path) -> Any:
    """A pickle of plain values -> the value; its dicts, lists and tuples may still hold each other many times.

    Raises CorpusError: missing, larger than 500 MB, damaged, or with anything but plain values.
    """
    remedy = "download the file again, from its publisher"
    try:
        if path.stat().st_size > LARGEST * 1e6:
            raise CorpusError(f"a pickle of more than {LARGEST} MB", where=path, remedy=remedy)
        return _Reader(io.BytesIO(path.read_bytes())).load()
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", where=path, remedy="check the path") from error
    except _Refused as error:
        problem = f"a pickle that asks for more than plain values: {error}"
        raise CorpusError(problem, where=path, remedy=remedy) from error
    except (UnpicklingError, struct.error, *_DAMAGE) as error:
        raise CorpusError("a damaged pickle", where=path, remedy=remedy) from error
