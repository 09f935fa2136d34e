"""Runs the server until a signal ends it."""

from __future__ import annotations

import asyncio
import secrets
import socket
import webbrowser
from dataclasses import replace

import uvicorn

from glossfree.console import Console
from glossfree.errors import GlossfreeError
from glossfree.studio.app import create_app
from glossfree.studio.limits import Settings

GRACE = 3  # seconds that open requests get when the server is told to stop


def run_server(settings: Settings, console: Console, *, opens: bool = False) -> None:
    """Serve until SIGINT or SIGTERM. `opens`: show the page in a browser.

    Raises GlossfreeError if the port cannot be had or the model cannot be opened.
    """
    if not settings.token and not settings.is_local:
        settings = replace(settings, token=secrets.token_urlsafe(24))
    listening = _listen(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE, server_header=False
    )
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if server.started:
            address = address_of(settings, listening.getsockname()[1])
            console.say(f"{address}   (Ctrl-C ends it)")
            if settings.token:
                console.say("whoever has the token in this address, or in `Authorization: Bearer`, may use the server")
            if opens:
                await asyncio.to_thread(webbrowser.open, address)
        supervising = app.state.service.supervising
        await asyncio.wait({serving, supervising}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        if not supervising.cancelled():
            supervising.result()  # raises what ended it

    asyncio.run(serve())


def address_of(settings: Settings, port: int) -> str:
    """Where a person finds the server; with the token, if it wants one."""
    host = "127.0.0.1" if settings.host in ("", "0.0.0.0", "::") else settings.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={settings.token}" if settings.token else "")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        problem = f"cannot listen ({error.strerror})"
        where = f"{settings.host}:{settings.port}"
        raise GlossfreeError(
            problem, where=where, remedy="name another --port or --host; 0 is any free port"
        ) from error
