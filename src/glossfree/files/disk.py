"""Atomic writes, JSON files and digests of files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from glossfree.errors import CorpusError, GlossfreeError, os_errors_as

PRIVATE = 0o600  # rights that safetensors gives its files, whatever the user has asked for
UMASK = os.umask(0o077)  # the only way to read it is to set it, for all threads: once, here
os.umask(UMASK)
LEFTOVERS = ".*.tmp"  # matches the temporary files of a killed process


@contextmanager
def atomic(
    path: Path,
    error: type[GlossfreeError] = CorpusError,
    *,
    parents: bool = False,
    also: tuple[type[Exception], ...] = (),
) -> Iterator[Path]:
    """Yield a temporary path next to `path` for a file or a folder; rename it on success, remove it on failure.

    `parents`: create missing parent folders. An OSError, or one of `also`, becomes an `error` with the reason.
    """
    causes: tuple[type[Exception], ...] = (OSError, *also)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _share(temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):  # whatever prevented the write may prevent this too
                shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)
    except causes as cause:
        reason = getattr(cause, "strerror", None) or cause
        raise error(f"cannot be written ({reason})", where=path, remedy="check free space and permissions") from cause


def _share(file: Path) -> None:
    """Give a file that its writer made private the rights of any new file: others translate with the same weights."""
    if file.is_file() and stat.S_IMODE(file.stat().st_mode) == PRIVATE:
        with suppress(OSError):  # a file system without rights
            file.chmod(0o666 & ~UMASK)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same folder out, for the time of a block; it is made if it is missing.

    Raises CorpusError if another one is at work there, or it cannot be made. No lock on Windows, or on a file
    system that has none.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    remedy = "choose another folder, or check its rights"
    with os_errors_as(CorpusError, "cannot be written", where=folder, remedy=remedy):
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            remedy = "wait until it has ended, or stop it"
            raise CorpusError("another process is packing into it", where=folder, remedy=remedy) from cause
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(number)


def write_atomic(
    path: Path, content: str | bytes, error: type[GlossfreeError] = CorpusError, *, parents: bool = False
) -> None:
    """Write a file atomically, text as UTF-8. Raises `error`; see `atomic`."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with atomic(path, error, parents=parents) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, values: Any, error: type[GlossfreeError] = CorpusError, *, parents: bool = False) -> None:
    """Write indented JSON atomically. Raises `error`; see `atomic`."""
    write_atomic(path, json.dumps(values, ensure_ascii=False, indent=1) + "\n", error, parents=parents)


def read_json(path: Path, error: type[GlossfreeError] = CorpusError, *, remedy: str = "") -> dict[str, Any]:
    """Read the object in a JSON file. Raises `error` with `remedy`: missing, unreadable, not JSON, not an object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise error(f"cannot be read ({cause.strerror})", where=path, remedy=remedy) from cause
    except (ValueError, RecursionError) as cause:
        raise error(f"not JSON ({cause})", where=path, remedy=remedy) from cause
    if not isinstance(values, dict):
        raise error("not a JSON object", where=path, remedy=remedy)
    return values


def digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
