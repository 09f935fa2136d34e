"""A server whose worker is a stub: every way in which a worker can fail, in milliseconds and without a model."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from glossfree.studio import supervisor
from glossfree.studio.app import create_app
from glossfree.studio.limits import Limits, Settings

STUB = Path(__file__).with_name("stub_worker.py")
URL = "http://127.0.0.1:8765"
Start = Callable[..., TestClient]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a server in this process: `start(queue=2)` sets limits, `start(settings={...})` anything else."""
    monkeypatch.setattr(supervisor, "WORKER", (sys.executable, str(STUB)))
    clients: list[TestClient] = []

    def start(*, settings: dict[str, Any] | None = None, url: str = URL, **limits: Any) -> TestClient:
        values = {"model": tmp_path / "model", "limits": Limits(**limits), **(settings or {})}
        values["model"].mkdir(exist_ok=True)
        client = TestClient(create_app(Settings(**values)), url, raise_server_exceptions=False)
        clients.append(client)
        client.__enter__()
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


def send(client: TestClient, content: str, *, wait: bool = True, name: str = "clip.mp4", **fields: object) -> Any:
    """Upload a "video" -> the response."""
    data = {key: str(value) for key, value in fields.items()}
    query = "?wait=true" if wait else ""
    return client.post(f"/v1/translations{query}", files={"video": (name, content.encode())}, data=data)


def finished(client: TestClient, id: str, seconds: float = 20.0) -> dict[str, Any]:
    """Poll a translation until it is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        values: dict[str, Any] = client.get(f"/v1/translations/{id}").json()
        if values["state"] in ("done", "failed", "cancelled"):
            return values
        time.sleep(0.02)
    raise AssertionError(f"not over after {seconds} s: {values}")
