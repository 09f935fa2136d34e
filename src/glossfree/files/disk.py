"""Files written completely or not at all, and what identifies their content."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from glossfree.errors import CorpusError


def write_atomic(path: Path, text: str) -> None:
    """Write a text file atomically: a temporary file beside it, then a rename. Raises CorpusError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # the folder itself may be the problem
            temporary.unlink()
        raise CorpusError(
            f"cannot be written ({error.strerror})", where=path, remedy="check space and rights"
        ) from error


def digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
