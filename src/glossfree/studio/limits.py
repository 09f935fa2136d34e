"""What the owner of a server decides: the model, the folders that may be read, and limits for every request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OUT_OF_MEMORY = 77  # exit code of a worker that may not have more
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Limits:
    """Limits of a request and of the server.

    `upload_bytes` of a request's body, `seconds` and `pixels` (of a frame) of a video, `segments` of a translation,
    `n_best` sentences. `receiving`: seconds for an upload. `queue`: translations that wait or run. `timeout`: seconds
    without a sign of life from the worker; `memory`: bytes that it may map beyond what the open model takes. `keep`
    finished translations are remembered, for `keep_seconds`; `kept_bytes` of videos.
    """

    upload_bytes: int = 200_000_000
    seconds: float = 600.0
    pixels: int = 4096 * 2304
    segments: int = 200
    n_best: int = 10
    receiving: float = 600.0
    queue: int = 32
    timeout: float = 120.0
    memory: int = 4 << 30
    keep: int = 200
    keep_seconds: float = 3600.0
    kept_bytes: int = 4_000_000_000


@dataclass(frozen=True)
class Settings:
    """A server. `allowed`: folders whose videos may be named by their path; `corpora` are among them.

    `token` is demanded of every request unless it is "". `hosts`: names besides its own under which the server is
    reached, as behind a proxy. `has_page`: serve the page, not only the API.
    """

    model: Path
    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    hosts: tuple[str, ...] = ()
    allowed: tuple[Path, ...] = ()
    corpora: tuple[Path, ...] = ()
    runs: tuple[Path, ...] = ()
    has_page: bool = False
    limits: Limits = Limits()

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK
