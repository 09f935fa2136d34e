"""Fixtures that all tests share."""

from __future__ import annotations

import faulthandler
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # of several: with two threads each they would crawl
    os.environ["OMP_NUM_THREADS"] = "1"  # not the 2 that this file has set in the process that started them
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


# the files that take longest: begun last, one of them would run alone at the end
LONGEST = (
    *("flow/test_sweep", "paper/test_losses", "paper/test_full_size", "flow/test_cluster", "unit/serving/test_onnx"),
    *("flow/test_methods", "flow/test_killed_in_saving"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of LONGEST first, all others in their order."""

    def place(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(LONGEST) if item.nodeid.startswith(f"tests/{name}.py")), len(LONGEST))

    items.sort(key=place)


standard_error = -1


def pytest_configure() -> None:
    """Keep standard error for what is said at the end: nothing is captured here yet."""
    global standard_error
    standard_error = os.dup(sys.__stderr__.fileno()) if sys.__stderr__ else -1


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """A process that has no test left, and does not end, says where it is after five minutes, and ends."""
    if standard_error >= 0:
        faulthandler.dump_traceback_later(300, exit=True, file=standard_error)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with PHOENIX14T's annotations and mBART's tokenizer; a user's machine has none: skip."""
    folder = Path(os.environ.get("GLOSSFREE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "phoenix14t").is_dir():
        pytest.skip("no folder shared/ with PHOENIX14T's annotations beside the checkout")
    return folder


@dataclass(frozen=True)
class Called:
    """What a command returned: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture(scope="session")
def call() -> Call:
    """The command line in this process: `call("inspect", folder)`. An error that is not a user's mistake is raised."""

    def call(*arguments: object) -> Called:
        from glossfree.cli.app import main

        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main([str(argument) for argument in arguments])
            except SystemExit as ended:
                code = ended.code
        return Called(code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())

    return call


@dataclass(frozen=True)
class Tiny:
    """The smallest thing that works: `wetter` with 12, 4 and 5 clips, and a recipe that trains it in a second."""

    recipe: Path
    corpus: Path

    @property
    def options(self) -> tuple[object, ...]:
        """What every training verb needs besides --run."""
        return "--recipe", self.recipe, "--corpus", self.corpus


TINY = """base = "hfa-phoenix14t"
name = "tiny"
text = { num_pieces = 90 }
vision = { hidden_size = 24, num_layers = 2, num_heads = 2, patch_size = 8, image_size = 24, adapter_layers = 1 }
temporal = { hidden_size = 36, num_layers = 2, num_heads = 2, mlp_size = 40, downsample_after = 1, layer_scale = 0.1 }
language = { hidden_size = 32, num_layers = 1, num_heads = 2, mlp_size = 48, max_positions = 128, train = "all" }
decoder = { train = "all" }
denoise = { epochs = 1, batch_size = 5, learning_rate = 3e-3 }
pretrain = { epochs = 1, batch_size = 5, learning_rate = 3e-3 }
finetune1 = { epochs = 1, batch_size = 5, learning_rate = 3e-3, augment = false, batches = "segments" }
finetune2 = { epochs = 1, batch_size = 5, learning_rate = 3e-3 }
decode = { num_beams = 2, max_new_tokens = 9, batch_size = 3 }

[data]
fps = 0.0
frame_size = 28
crop_size = 24
num_workers = 0
max_frames = 40
stride = 3
rotation = 5.0
translation = 1.0
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, call: Call) -> Tiny:
    """Prepared, with pseudo-glosses; no test may write into it."""
    folder = tmp_path_factory.mktemp("tiny")
    recipe, corpus = folder / "tiny.toml", folder / "corpus"
    recipe.write_text(TINY, encoding="utf-8")
    counts = ("--train", 12, "--dev", 4, "--test", 5)
    done = call("prepare", "wetter", *counts, "--frame-size", 28, "--workers", 1, "--out", corpus)
    assert (done.code, call("glosses", corpus).code) == (0, 0)
    return Tiny(recipe, corpus)


@pytest.fixture(scope="session")
def tiny_run(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory, call: Call) -> Path:
    """All stages trained, test and dev evaluated; no test may write into it."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert call("train", *tiny.options, "--run", run).code == 0
    for split in ("dev", "test"):
        assert call("evaluate", run, "--split", split).code == 0
    return run


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path, call: Call) -> Path:
    """The model folder of `tiny_run`; no test may write into it."""
    model = tiny_run.parent / "model"
    assert call("export", tiny_run, model).code == 0
    return model


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A hub of our own in place of the real one, an empty cache, and a token that may write."""
    from tests.hub import WRITER, serving

    with serving() as hub:
        constants = {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
        }
        for name, value in constants.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        monkeypatch.setenv("HF_TOKEN", WRITER)
        yield hub
