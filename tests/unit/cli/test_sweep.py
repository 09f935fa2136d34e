"""sweep: which cells are run, what is refused before, what is reported. What a cell is: test_cell_run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from glossfree.cli import sweep as module
from glossfree.cli.cell_run import CellRun
from glossfree.cli.slurm import Slurm
from glossfree.cli.sweep import sweep
from glossfree.console import Silent
from glossfree.errors import CorpusError, Interrupted, RecipeError, RunError
from glossfree.recipe.files import load_recipe
from glossfree.scoring.metrics import score

GRID = ["pretrain.objectives.pseudo_gloss.weight=1,10"]
WORDS = ["es", "taut", "morgen", "im", "norden", "und", "im", "süden", "wird", "es", "kalt"]


class Stub(CellRun):
    """Says what it is told to, at once: how many of eleven words are right, or an error."""

    said: dict[str, Any]  # name of a cell -> right words, an error, or an exception
    ran: list[str]

    def __call__(self, stopping: Any = None, tell: Any = None) -> dict[str, Any]:
        found = self.outcome()
        if found["state"] == "done":
            return found
        self.ran.append(self.folder.name)
        says = self.said[self.folder.name]
        if isinstance(says, Exception):
            raise says
        if isinstance(says, str):
            found = {"state": "failed", "problem": says}
        else:
            hypothesis = " ".join([*WORDS[:says], *["x"] * (len(WORDS) - says)])
            found = {"state": "done", "scores": {"dev": score([hypothesis], [" ".join(WORDS)]).to_dict()}}
        (self.folder / "cell.json").write_text(json.dumps(found))
        return found


NAMES = [f"pretrain.objectives.pseudo_gloss.weight={weight},seed={seed}" for weight in (1, 10) for seed in (0, 42)]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    Stub.said, Stub.ran = dict(zip(NAMES, (4, 6, 8, 11), strict=True)), []
    monkeypatch.setattr(module, "CellRun", Stub)
    return Stub


def start(tiny: Any, runs: Path, *, grid: list[str] = GRID, **options: Any) -> module.Sweep:
    given: dict[str, Any] = {"corpus": tiny.corpus, "seeds": [0, 42], "console": Silent(), "grid": grid, **options}
    return sweep(tiny.recipe, runs=runs, **given)


def test_every_cell_is_run_once_and_reported_with_mean_and_deviation(
    tiny: Any, tmp_path: Path, stub: type[Stub]
) -> None:
    found = start(tiny, tmp_path / "runs")
    assert stub.ran == NAMES and found.failed == []
    first, second = found.points()
    assert (first["point"], first["split"], first["n"]) == ({"pretrain.objectives.pseudo_gloss.weight": 1.0}, "dev", 2)
    # BLEU-1 of k right words of eleven, of the same length, is k / 11; a sample of two deviates by |a - b| / sqrt 2
    assert first["bleu1"]["mean"] == pytest.approx(100 * 5 / 11)
    assert first["bleu1"]["deviation"] == pytest.approx(100 * 2 / 11 / 2**0.5)
    assert second["bleu1"]["mean"] == pytest.approx(100 * 9.5 / 11)
    assert json.loads((tmp_path / "runs/sweep.json").read_text()) == found.to_dict()
    lines = found.to_text().splitlines()
    assert lines[0].split() == ["grid", "point", "split", "n", *(f"BLEU-{n}" for n in (1, 2, 3, 4)), "ROUGE-L", "chrF"]
    assert lines[2].startswith("pretrain.objectives.pseudo_gloss.weight=1   dev    2  45.45 ± 12.86 ")
    assert lines[3].startswith("pretrain.objectives.pseudo_gloss.weight=10  dev    2  86.36 ± 19.28 ")
    assert lines[4] == "mean ± sample standard deviation over n seeds" and len(lines) == 5


def test_each_cell_has_its_recipe(tiny: Any, tmp_path: Path, stub: type[Stub]) -> None:
    start(tiny, tmp_path, overrides=["finetune2.epochs=2"])
    wanted = load_recipe(tiny.recipe, ["finetune2.epochs=2", "pretrain.objectives.pseudo_gloss.weight=10", "seed=42"])
    assert load_recipe(tmp_path / NAMES[3] / "cell.toml") == wanted


def test_a_cell_that_fails_is_named_and_the_others_go_on(tiny: Any, tmp_path: Path, stub: type[Stub]) -> None:
    stub.said[NAMES[1]] = "train: loss is nan"
    found = start(tiny, tmp_path)
    assert stub.ran == NAMES and found.failed == [f"{NAMES[1]}: train: loss is nan"]
    first, second = found.points()
    assert (first["n"], second["n"]) == (1, 2)
    assert first["bleu1"] == {"mean": pytest.approx(100 * 4 / 11), "deviation": None}
    assert found.to_text().splitlines()[-1] == f"failed: {NAMES[1]}: train: loss is nan"
    stub.said[NAMES[1]] = 6
    stub.ran.clear()
    again = start(tiny, tmp_path, resume=True)
    assert stub.ran == [NAMES[1]] and again.failed == [] and next(again.points())["n"] == 2


def test_a_point_without_scores_has_none(tiny: Any, tmp_path: Path, stub: type[Stub]) -> None:
    stub.said = dict.fromkeys(NAMES, "train: is odd")
    found = start(tiny, tmp_path)
    assert next(found.points())["bleu4"] == {"mean": None, "deviation": None}
    assert found.to_text().splitlines()[2].split() == [
        "pretrain.objectives.pseudo_gloss.weight=1",
        "dev",
        "0",
        *"------",
    ]


def test_a_stop_ends_the_sweep_and_it_goes_on(tiny: Any, tmp_path: Path, stub: type[Stub]) -> None:
    stub.said[NAMES[2]] = Interrupted("sweep stopped")
    with pytest.raises(Interrupted):
        start(tiny, tmp_path)
    kept = json.loads((tmp_path / "sweep.json").read_text())
    assert [cell["state"] for cell in kept["cells"]] == ["done", "done", "waiting", "waiting"]
    stub.said[NAMES[2]] = 8
    stub.ran.clear()
    with pytest.raises(RunError, match="--resume"):
        start(tiny, tmp_path)
    assert start(tiny, tmp_path, resume=True).failed == [] and stub.ran == NAMES[2:]


def test_seeds_and_points_can_be_added(tiny: Any, tmp_path: Path, stub: type[Stub]) -> None:
    start(tiny, tmp_path, grid=["pretrain.objectives.pseudo_gloss.weight=1"])
    assert [row["n"] for row in start(tiny, tmp_path, resume=True).points()] == [2, 2] and stub.ran == NAMES


def test_another_recipe_or_corpus_is_refused_before_anything_is_written(
    tiny: Any, tmp_path: Path, stub: type[Stub]
) -> None:
    start(tiny, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(RunError, match=r"finetune2.epochs: 1, now 2"):
        start(tiny, tmp_path, overrides=["finetune2.epochs=2"], resume=True)
    other = tmp_path.parent / "other"
    shutil.copytree(tiny.corpus, other)
    manifest = other / "manifest.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(RunError, match="another corpus"):
        start(tiny, tmp_path, corpus=other, resume=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    start(tiny, tmp_path, overrides=["data.num_workers=1"], resume=True)  # no number depends on it


def test_what_cannot_be_swept_is_refused_at_once(
    tiny: Any, tmp_path: Path, stub: type[Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = ["finetune1.epochs=0", "finetune2.epochs=0"]
    with pytest.raises(RecipeError, match="nothing to score"):
        start(tiny, tmp_path / "runs", overrides=without)
    with pytest.raises(CorpusError, match="no manifest"):
        start(tiny, tmp_path / "runs", corpus=tmp_path)
    with pytest.raises(RunError, match="no such tracker"):
        start(tiny, tmp_path / "runs", track=["paper"])
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RunError, match="pip install"):
        start(tiny, tmp_path / "runs", slurm=Slurm())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="--processes"):
        start(tiny, tmp_path / "runs")
    assert stub.ran == [] and not (tmp_path / "runs").exists()


def test_test_is_scored_only_when_asked(
    tiny: Any, tmp_path: Path, stub: type[Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(tiny, tmp_path / "dev").facts["splits"] == ["dev"]
    seen: list[tuple[str, ...]] = []

    class Seen(Stub):
        def __call__(self, stopping: Any = None, tell: Any = None) -> dict[str, Any]:
            seen.append(self.splits)
            return {"state": "failed", "problem": "enough"}

        def outcome(self) -> dict[str, Any]:
            return {"state": "failed", "problem": "enough"}

    monkeypatch.setattr(module, "CellRun", Seen)
    start(tiny, tmp_path / "test", test=True)
    assert seen == [("dev", "test")] * 4


def test_what_is_appended_is_said(tiny: Any, tmp_path: Path, stub: type[Stub]) -> None:
    found = start(tiny, tmp_path, overrides=['scores.append=" ."'])
    assert found.to_text().splitlines()[-1] == '" ." behind every hypothesis and reference'


def test_the_command_line_binds_it(tiny: Any, tmp_path: Path, stub: type[Stub], call: Any) -> None:
    words = ("sweep", *tiny.options, "--seeds", "0,42", "--grid", GRID[0])
    done = call(*words, "--runs", tmp_path / "a", "--json")
    assert done.code == 0 and [row["n"] for row in json.loads(done.out)["points"]] == [2, 2]
    stub.said[NAMES[0]] = "train: is odd"
    done = call(*words, "--runs", tmp_path / "b")
    assert done.code == 1 and done.out.splitlines()[-1] == f"failed: {NAMES[0]}: train: is odd"
    refused = call(*words, "--runs", tmp_path / "c", "--slurm-gpus", 4)
    assert refused.code == 2 and "without --slurm" in refused.err
    refused = call("sweep", *tiny.options, "--runs", tmp_path / "c", "--seeds", "none")
    assert refused.code == 2 and "--seeds none" in refused.err and not (tmp_path / "c").exists()
