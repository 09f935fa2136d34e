"""A push from a process of its own, through the environment that users set; killed while it sends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.hub import WRITER, Repository, serving

NAME = "someone/weather"


@pytest.mark.slow
def test_a_push_that_is_killed_leaves_what_was_there(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "glossfree", "push", str(tiny_model), NAME, "--yes"]
    with serving() as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": WRITER,
            "HF_HOME": str(tmp_path),
        }
        hub.repositories[NAME] = Repository()
        before = hub.repositories[NAME].commit("main", {"README.md": b"of before"})
        hub.holds = threading.Event()
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
            assert hub.is_held.wait(100), "nothing was sent"
            process.kill()
        hub.holds.set()
        hub.holds = None
        assert hub.repositories[NAME].branches == {"main": before}
        assert hub.repositories[NAME].files() == {"README.md": b"of before"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == f"{hub.url}/{NAME}/commit/{hub.repositories[NAME].branches['main']}"
        assert "model.safetensors" in hub.repositories[NAME].files()
