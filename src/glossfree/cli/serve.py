"""`serve`: an HTTP API that translates videos; what it shares with `studio`, which adds a page."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli.options import Model
from glossfree.console import Console, Result
from glossfree.errors import GlossfreeError
from glossfree.studio.limits import Limits, Settings

LOCAL, PORT = "127.0.0.1", 8765
PACKAGES = ("fastapi", "uvicorn", "python_multipart")
MEGABYTE = 1_000_000
Host = Annotated[str, typer.Option(help="Address to listen on; any but 127.0.0.1 asks for a token.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")]
Token = Annotated[
    str,
    typer.Option(
        envvar="GLOSSFREE_TOKEN",
        show_default=False,
        help="Token that every request must have; made and printed if --host is not this machine.",
    ),
]
Names = Annotated[
    list[str] | None, typer.Option("--allow-host", help="Another name of the server, as behind a proxy; repeatable.")
]
Allowed = Annotated[
    list[Path] | None, typer.Option("--allow", help="Folder whose videos may be named by path; repeatable.")
]
Upload = Annotated[int, typer.Option(min=1, help="Megabytes of an upload, at most.")]
Seconds = Annotated[float, typer.Option(min=1, help="Seconds of a video, at most.")]
Queue = Annotated[int, typer.Option(min=1, help="Translations that may wait or run.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds without a sign of life after which the worker is killed.")]
Memory = Annotated[int, typer.Option(min=64, help="Megabytes that the worker may need beyond the open model (Linux).")]


@dataclass(frozen=True)
class Stopped(Result):
    """A server that was told to stop."""

    def to_text(self) -> str:
        """One word."""
        return "stopped"


def serve(
    model: Model,
    console: Console,
    host: Host = LOCAL,
    port: Port = PORT,
    token: Token = "",
    allow_host: Names = None,
    allow: Allowed = None,
    max_upload: Upload = 200,
    max_seconds: Seconds = 600,
    queue: Queue = 32,
    timeout: Timeout = 120,
    memory: Memory = 4000,
) -> Stopped:
    """Serve the API until a signal ends it. Raises GlossfreeError: no model, port taken, packages missing."""
    limits = limits_of(max_upload, max_seconds, queue, timeout, memory)
    names, folders = tuple(allow_host or ()), tuple(allow or ())
    return run(Settings(model, host, port, token, names, folders, limits=limits), console)


def limits_of(max_upload: int, max_seconds: float, queue: int, timeout: float, memory: int) -> Limits:
    """Options of the command line -> Limits."""
    return Limits(
        upload_bytes=max_upload * MEGABYTE, seconds=max_seconds, queue=queue, timeout=timeout, memory=memory * MEGABYTE
    )


def run(settings: Settings, console: Console, *, opens: bool = False) -> Stopped:
    """Run a server until a signal ends it; Ctrl-C is how a person stops it, and no error. Raises GlossfreeError."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        remedy = "pip install 'glossfree[studio]'"
        raise GlossfreeError(f"not installed: {', '.join(missing)}", where="studio", remedy=remedy)
    for folder in (*settings.allowed, *settings.corpora, *settings.runs):
        if not folder.is_dir():
            raise GlossfreeError("no such folder", where=folder, remedy="correct the path")
    from glossfree.pipeline.hub import model_folder
    from glossfree.studio.serving import run_server  # the packages of an extra

    with suppress(KeyboardInterrupt):
        run_server(replace(settings, model=model_folder(settings.model)), console, opens=opens)
    return Stopped()
