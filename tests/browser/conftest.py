"""A studio with a tiny model, and Chromium; without Playwright or a browser, all tests of this folder are skipped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest

from glossfree.corpora.manifest import Manifest
from glossfree.video.pack import encode, read_clip

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream"]
WAIT = 60_000  # ms; a machine may be busy


@dataclass
class Page:
    """A page of the studio, and what went wrong in it."""

    page: Any
    address: str
    tolerated: str
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors of the console and of scripts, and requests to anywhere else."""
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("console", self._note_message)
        self.page.on("request", lambda request: self._note(request.url))

    def _note_message(self, message: Any) -> None:
        if message.type == "error" and self.tolerated not in message.text:
            self.problems.append(message.text)

    def _note(self, url: str) -> None:
        if not url.startswith((self.address, "blob:", "data:")):
            self.problems.append(f"request to {url}")


@pytest.fixture(scope="session")
def clips(tiny: Any) -> list[Path]:
    """The videos of the tiny corpus."""
    return [tiny.corpus / clip.file for clip in Manifest.load(tiny.corpus).clips]


@pytest.fixture(scope="session")
def long_video(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several clips after one another."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    path.write_bytes(encode(np.concatenate([read_clip(clip) for clip in clips[:9]]), 8.0))
    return path


@pytest.fixture(scope="session")
def webcam(clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip as Chromium's fake webcam plays it, in a loop."""
    path = tmp_path_factory.mktemp("webcam") / "clip.mjpeg"
    with av.open(str(path), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=15)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for frame in read_clip(clips[0]).repeat(2, axis=0):
            picture = av.VideoFrame.from_ndarray(cv2.resize(frame, (320, 240)), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def playwright_api() -> Any:
    """Playwright's module, where there is a browser for it."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in CHROMIUM")
    return api


@pytest.fixture(scope="module")
def studio(playwright_api: Any, tiny: Any, tiny_run: Path, tiny_model: Path, tmp_path_factory: Any) -> Iterator[str]:
    """The address of a studio with a model, its corpus and two runs."""
    second = tmp_path_factory.mktemp("runs") / "second"
    shutil.copytree(tiny_run, second, ignore=shutil.ignore_patterns("weights", "checkpoints"))
    command = [sys.executable, "-m", "glossfree", "studio", str(tiny_model), "--no-open", "--port", "0"]
    command += ["--corpus", str(tiny.corpus), "--run", str(tiny_run), "--run", str(second)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        line = server.stderr.readline()  # it listens
        if not (found := re.search(r"http://\S+", line)):
            pytest.fail(f"the studio ended: {line}{server.stderr.read()}")
        address = found.group()
        try:
            urllib.request.urlopen(f"{address}v1/models", timeout=120).read()  # answered when the model is open
        except OSError as error:
            server.kill()
            pytest.fail(f"the studio does not answer ({error}): {server.stderr.read()}")
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def kill_driver() -> None:
    """End Playwright's own process, a child of this one: whatever waits for its answer then ends."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended
            if child.name().startswith("node"):
                child.kill()


@pytest.fixture(scope="module")
def chromium(playwright_api: Any, studio: str, webcam: Path) -> Iterator[Any]:
    """Chromium without a window, with a webcam made of a file.

    Begun last and closed with the file's last test: Playwright's event loop lives in this process between its calls,
    and after a session of other tests, some of which fork, closing it has hung.
    """
    fake = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={webcam}"]
    too_long = threading.Timer(WAIT / 1000, kill_driver)  # closing has no time limit of its own
    try:
        with playwright_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *fake])
            yield browser
            too_long.start()
            browser.close()
    finally:
        too_long.cancel()


Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any, studio: str) -> Iterator[Open]:
    """`open_page(view, **options of the context)` -> a Playwright page; the test fails on any error in it.

    `tolerated`: part of messages on the console that are expected.
    """
    contexts, pages = [], []

    def open_it(view: str = "", *, tolerated: str = "\0", **options: Any) -> Any:
        context = chromium.new_context(**{"locale": "en", "permissions": ["camera"], **options})
        context.set_default_timeout(WAIT)
        contexts.append(context)
        watched = Page(context.new_page(), studio, tolerated)
        watched.watch()
        pages.append(watched)
        watched.page.goto(f"{studio}#{view}")
        watched.page.wait_for_selector("h1")
        return watched.page

    yield open_it
    for context in contexts:
        context.close()
    assert [problem for each in pages for problem in each.problems] == []
