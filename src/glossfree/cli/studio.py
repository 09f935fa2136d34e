"""`studio`: a page on this machine that shows what a model understands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossfree.cli import serve
from glossfree.cli.options import Model
from glossfree.console import Console
from glossfree.studio.limits import Settings

Corpora = Annotated[list[Path] | None, typer.Option("--corpus", help="Prepared corpus to browse; repeatable.")]
Runs = Annotated[list[Path] | None, typer.Option("--run", help="Run to watch and compare; repeatable.")]


def studio(
    model: Model,
    console: Console,
    corpus: Corpora = None,
    run: Runs = None,
    host: serve.Host = serve.LOCAL,
    port: serve.Port = serve.PORT,
    token: serve.Token = "",
    allow_host: serve.Names = None,
    allow: serve.Allowed = None,
    max_upload: serve.Upload = 200,
    max_seconds: serve.Seconds = 600,
    queue: serve.Queue = 32,
    timeout: serve.Timeout = 120,
    memory: serve.Memory = 4000,
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> serve.Stopped:
    """Serve the API and the page until a signal ends it. Raises GlossfreeError: no model, port taken."""
    limits = serve.limits_of(max_upload, max_seconds, queue, timeout, memory)
    names, folders = tuple(allow_host or ()), tuple(allow or ())
    settings = Settings(
        model, host, port, token, names, folders, tuple(corpus or ()), tuple(run or ()), has_page=True, limits=limits
    )
    return serve.run(settings, console, opens=opens)
