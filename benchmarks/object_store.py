"""A folder as an object store on localhost: HTTP with ranges, which may fail, be slow, and counts what is asked."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

PATIENCE = 10  # seconds


@dataclass
class Store:
    """`failures`: how many of the next answers are errors of the server. `latency`: seconds before each answer.
    `awaited`: before any answer, so many requests must have been open at once; after PATIENCE seconds nobody waits for
    them any more. Without `ranges` every answer is the whole file."""

    folder: Path
    address: str = ""
    failures: int = 0
    latency: float = 0.0
    awaited: int = 0
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def object_store(folder: Path) -> Iterator[Store]:
    """Serve a folder until the end of the block."""
    store, lock, open_now = Store(folder), threading.Condition(), 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            nonlocal open_now
            with lock:
                open_now += 1
                store.most_at_once = max(store.most_at_once, open_now)
                store.asked.append(self.path)
                fails, store.failures = store.failures > 0, max(0, store.failures - 1)
                lock.notify_all()
                if not lock.wait_for(lambda: store.most_at_once >= store.awaited, PATIENCE):
                    store.awaited = 0
            time.sleep(store.latency)
            if fails:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.answer(with_body=True)
            with lock:
                open_now -= 1

        def answer(self, *, with_body: bool) -> None:
            path = store.folder / unquote(self.path).lstrip("/")
            data = path.read_bytes() if path.is_file() else b""
            code, first, last = 200 if path.is_file() else 404, 0, len(data) - 1
            if (
                store.ranges
                and code == 200
                and (wanted := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")))
            ):
                code, first, last = 206, int(wanted[1]), min(int(wanted[2]), last)
                if first > last:
                    code, first, last = 416, 0, -1
            self.send_response(code)
            if code == 206:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            if with_body:
                self.wfile.write(data[first : last + 1])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
