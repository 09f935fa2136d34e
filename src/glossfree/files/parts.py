"""Bytes of a larger file, on this disk or at any address that fsspec reads (`https://`, `s3://`, `gs://`, ...)."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glossfree.errors import CorpusError

PAUSES = (0.2, 1.0, 5.0)  # seconds before an address that did not answer is asked again
CLIENT_ERRORS = (  # that are no OSErrors
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(?=[^/])(?!\\)", re.IGNORECASE)


def is_address(text: str | os.PathLike[str]) -> bool:
    """Whether it names a place that fsspec reads, and no path; also after `Path` made one slash of two."""
    return _ADDRESS.match(os.fspath(text)) is not None


def as_address(text: str | os.PathLike[str]) -> str:
    """An address with its two slashes, which `Path` takes away, and without one at the end."""
    return _ADDRESS.sub(r"\1://", os.fspath(text), count=1).rstrip("/")


def cache_folder() -> Path:
    """Where copies of what lies at addresses are: GLOSSFREE_CACHE, else glossfree in XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("GLOSSFREE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glossfree"


@dataclass(frozen=True)
class Part:
    """Bytes [offset, offset + size) of `file`: a path relative to some folder, a path, or an address."""

    file: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.file}, {self.size:,} bytes from {self.offset:,}"

    def below(self, folder: Path) -> Part:
        """The part with a relative path taken as one below `folder`; an address stays as it is."""
        return self if is_address(self.file) else replace(self, file=str(folder / self.file))

    def read(self) -> bytes:
        """The bytes. Raises OSError: missing, too short, no answer."""
        if is_address(self.file):
            data = fetch(self.file, self.offset, self.size)
        else:
            with Path(self.file).open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        if len(data) != self.size:
            raise OSError(f"{self.file} ends before byte {self.offset + self.size:,}")
        return data

    def is_there(self) -> bool:
        """Whether a file on this disk is long enough. An address is not asked: that would take as long as reading."""
        if is_address(self.file):
            return True
        try:
            return Path(self.file).stat().st_size >= self.offset + self.size
        except OSError:
            return False


@dataclass(frozen=True)
class Coming(Part):
    """A part that another thread reads meanwhile."""

    future: Future[bytes]

    @classmethod
    def by(cls, pool: Executor, part: Part) -> Coming:
        """Begin to read."""
        return cls(part.file, part.offset, part.size, pool.submit(part.read))

    def read(self) -> bytes:
        """The bytes, as soon as they are here. Raises OSError as `Part.read`."""
        return self.future.result()


def fetch(address: str, offset: int = 0, size: int | None = None) -> bytes:
    """Bytes of a file at an address, all by default. What does not answer is asked again, after each of PAUSES.

    Raises FileNotFoundError; OSError: no answer, no permission, a server without byte ranges; CorpusError: an address
    of an unknown kind, or of one whose package is not installed.
    """
    system, path = _opened(address)
    end = None if size is None else offset + size
    for pause in (*PAUSES, None):
        try:
            with _as_oserror():
                data: bytes = system.cat_file(path, start=offset if end is not None else None, end=end)
            if size is not None and len(data) > size:
                raise PermissionError(f"{address}: its server sends whole files only, and no ranges of bytes")
            return data
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _opened(address: str) -> tuple[Any, str]:
    """The file system of an address, which fsspec keeps for each process, and the path in it."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address, **_timeouts(address))
    except (ImportError, ValueError) as error:
        kind = address.partition("://")[0]
        remedy = 'pip install "glossfree[remote]" reads https, s3 and gs; for others see fsspec\'s documentation'
        raise CorpusError(f"{kind} cannot be read ({error})", where=address, remedy=remedy) from error
    return system, path


def _timeouts(address: str) -> dict[str, Any]:
    """For a web server: seconds after which it counts as one that does not answer."""
    if not address.startswith(("http://", "https://")):
        return {}
    from aiohttp import ClientTimeout

    return {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=10, sock_read=30)}}


@contextmanager
def _as_oserror() -> Iterator[None]:
    """What clients of addresses raise becomes OSError, as most of it is already."""
    loaded = [(sys.modules.get(module), name) for module, name in CLIENT_ERRORS]
    errors = tuple(getattr(module, name) for module, name in loaded if module is not None)
    try:
        yield
    except errors as error:
        raise OSError(str(error) or type(error).__name__) from error
