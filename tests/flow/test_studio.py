"""`glossfree serve` as a process: from start to SIGTERM, with the worker killed in between."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.conftest import Call, Tiny


class Server:
    """A running server, and where it is."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.folder = folder  # of temporary files
        command = [sys.executable, "-m", "glossfree", *map(str, arguments), "--port", "0"]
        environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        address = re.search(r"http://\S+", line)
        assert address, line + self.process.stderr.read()
        self.url = address.group()

    @property
    def worker(self) -> int:
        """The worker's process id; Linux only."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[-1])

    def send(self, clip: Path, **options: object) -> httpx.Response:
        with clip.open("rb") as file:
            url = f"{self.url}v1/translations?wait=true"
            return httpx.post(url, files={"video": file}, data=options, timeout=60)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        assert self.process.stderr is not None
        self.rest = self.process.stderr.read()
        self.process.stderr.close()
        return code


@pytest.fixture
def server(tiny_model: Path, tiny: Tiny) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), "serve", tiny_model, "--allow", tiny.corpus, "--max-upload", 1)
        yield server
        if server.process.poll() is None:
            server.process.kill()
            server.end(signal.SIGKILL)


def clips(tiny: Tiny) -> list[Path]:
    return sorted((tiny.corpus / "clips/test").glob("*.mp4"))


def is_there(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_from_start_to_end(server: Server, tiny: Tiny) -> None:
    clip, *_ = clips(tiny)
    sentences = [each["sentence"] for each in server.send(clip, n_best=2).json()["segments"]]
    by_path = httpx.post(f"{server.url}v1/translations?wait=true", json={"path": str(clip)}, timeout=60).json()
    assert [each["sentence"] for each in by_path["segments"]] == sentences and len(sentences) == 1
    video = httpx.get(f"{server.url}v1/translations/{by_path['id']}/video", headers={"range": "bytes=0-99"})
    assert (video.status_code, video.content) == (206, clip.read_bytes()[:100])
    large = server.folder / "large"
    large.write_bytes(bytes(3_000_000))
    assert server.send(large).status_code == 413
    large.unlink()
    assert server.send(Path(__file__)).status_code == 422
    assert httpx.get(server.url).status_code == 404
    assert len(list(server.folder.iterdir())) == 1
    worker = server.worker
    assert server.end() == -signal.SIGTERM
    assert list(server.folder.iterdir()) == [] and not is_there(worker)
    assert "Traceback" not in server.rest


def test_ctrl_c_is_a_good_end(server: Server) -> None:
    httpx.get(f"{server.url}v1/models", timeout=60)
    assert server.end(signal.SIGINT) == 0
    assert list(server.folder.iterdir()) == [] and "Traceback" not in server.rest


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux for the children of a process")
def test_clients_do_not_notice_that_the_worker_was_killed(server: Server, tiny: Tiny) -> None:
    httpx.get(f"{server.url}v1/models", timeout=60)
    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(server.send, clip, window=0.5) for clip in clips(tiny) * 3]
        time.sleep(0.2)
        os.kill(server.worker, signal.SIGKILL)
        answers = [each.result() for each in pending]
    assert {each.status_code for each in answers} == {200}
    assert "glossfree_worker_restarts_total 1" in httpx.get(f"{server.url}metrics").text


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux for the children of a process")
def test_nothing_is_left_of_a_server_that_was_killed(server: Server) -> None:
    httpx.get(f"{server.url}v1/models", timeout=60)
    worker = server.worker
    server.end(signal.SIGKILL)
    end = time.monotonic() + 20
    while (is_there(worker) or list(server.folder.iterdir())) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_there(worker) and list(server.folder.iterdir()) == []


def test_other_addresses_ask_for_a_token(tiny_model: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, "serve", tiny_model, "--host", "0.0.0.0")
    try:
        plain, _, token = server.url.partition("?token=")
        assert len(token) >= 32
        assert httpx.get(f"{plain}metrics").status_code == 401
        assert httpx.get(f"{plain}metrics", headers={"authorization": f"Bearer {token}"}).status_code == 200
    finally:
        server.end()


def test_mistakes_are_one_line(call: Call, tiny_model: Path, tmp_path: Path) -> None:
    for arguments, problem in (
        (("serve", tmp_path, "--port", 0), "model.json"),
        (("serve", tiny_model, "--host", "203.0.113.1", "--port", 0), "cannot listen"),
        (("studio", tiny_model, "--corpus", tmp_path / "none"), "no such folder"),
    ):
        # in a thread of its own: the browser's tests leave an event loop in this one
        called = ThreadPoolExecutor(1).submit(call, *arguments).result()
        assert called.code == 2 and problem in called.err, called
        assert len([line for line in called.err.splitlines() if line.startswith("glossfree: ")]) == 1
