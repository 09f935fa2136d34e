"""A run's folder: files appear whole or not at all, damage is named, a resumed stage writes its lines again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from glossfree.errors import RunError
from glossfree.training.run import LIBRARIES, Run, environment, load_tensors, save_tensors

RECIPE = 'name = "mine"\n'


def started(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.start(RECIPE, {"corpus": "/there"}, resume=False)
    return run


def test_a_new_run_holds_recipe_facts_and_environment(tmp_path: Path) -> None:
    run = started(tmp_path)
    assert run.recipe.read_text(encoding="utf-8") == RECIPE
    facts = run.read_json("run.json")
    assert facts["corpus"] == "/there"
    assert facts["libraries"].keys() == set(LIBRARIES)
    assert {name: facts[name] for name in environment()} == environment()


def test_a_path_that_is_no_utf8_comes_back(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(RECIPE, {"corpus": "/there/k\udcfchl"}, resume=False)
    assert run.read_json("run.json")["corpus"] == "/there/k\udcfchl"


def test_a_run_is_resumed_only_on_purpose_and_keeps_what_it_began_with(tmp_path: Path) -> None:
    run = started(tmp_path)
    with pytest.raises(RunError, match="holds a run already"):
        run.start(RECIPE, {}, resume=False)
    assert run.reopens(resume=True) and not Run(tmp_path / "other").reopens(resume=False)
    run.start(RECIPE + "seed = 3\n", {"corpus": "/elsewhere"}, resume=True)
    assert run.read_json("run.json")["corpus"] == "/there"
    assert run.recipe.read_text(encoding="utf-8") == RECIPE


def test_a_run_with_a_damaged_status_is_resumed(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.write("status.json", "")
    assert run.reopens(resume=True)


@pytest.mark.parametrize(
    "state, steps, reopened", [("failed", False, False), ("failed", True, True), ("training", False, True)]
)
def test_a_run_that_failed_before_its_first_step_starts_anew(
    tmp_path: Path, state: str, steps: bool, reopened: bool
) -> None:
    run = started(tmp_path)
    run.write_json("status.json", {"state": state})
    if steps:
        run.log({"kind": "step", "stage": "one", "step": 1})
    assert run.reopens(resume=True) is reopened
    if not reopened:
        run.start(RECIPE + "seed = 3\n", {"corpus": "/there"}, resume=False)
        assert run.recipe.read_text(encoding="utf-8") == RECIPE + "seed = 3\n"


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_rubbish(tmp_path: Path) -> None:
    run = started(tmp_path)
    (run.folder / "taken").mkdir()
    (run.folder / "taken" / "child").write_text("")
    with pytest.raises(RunError, match="cannot be written") as caught:
        run.write("taken", "text")
    assert str(run.folder / "taken") in str(caught.value)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(RunError, match="cannot be written"):
        save_tensors(tmp_path / "file" / "w.safetensors", {"a": torch.ones(3)})
    assert list(tmp_path.rglob(".*")) == []


def test_tensors_and_facts_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "w.safetensors"
    tensors = {"a": torch.randn(5, 3).T, "b": torch.tensor(7), "c": torch.randn(4).to(torch.bfloat16)}
    save_tensors(path, tensors, {"epoch": 3, "best_loss": float("inf")})
    found, facts = load_tensors(path)
    assert facts == {"epoch": 3, "best_loss": float("inf")}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    run = started(tmp_path)
    save_tensors(run.checkpoint("pretrain", "last"), {"a": torch.ones(3)})
    run.weights("pretrain").parent.mkdir()
    kept = [path for path in run.folder.rglob("*") if path.is_file()]
    for other in (".mine", "notes.tmp"):
        (run.folder / other).write_text("")
        kept.append(run.folder / other)
    names = (
        ".text_features.safetensors.7.tmp",
        "weights/.pretrain.safetensors.81.tmp",
        "checkpoints/.tmphw5OvL",
        ".run.json.17.tmp",
    )
    for name in names:
        (run.folder / name).write_bytes(b"half")
    run.clear()
    assert sorted(path for path in run.folder.rglob("*") if path.is_file()) == sorted(kept)
    Run(tmp_path / "nowhere").clear()


def test_damaged_and_missing_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(RunError, match="missing") as caught:
        load_tensors(path)
    assert str(path) in str(caught.value)
    save_tensors(path, {"a": torch.ones(99)})
    whole = path.read_bytes()
    for damaged in (whole[:-7], whole[:5], b"", b"\xff" * 60):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="damaged") as caught:
            load_tensors(path)
        assert str(path) in str(caught.value)


def test_json_of_a_run(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.write_json("scores.json", {"bleu4": 1.5, "text": "schön"})
    assert run.read_json("scores.json") == {"bleu4": 1.5, "text": "schön"}
    assert "schön" in (run.folder / "scores.json").read_text(encoding="utf-8")
    with pytest.raises(RunError, match=r"none\.json: cannot be read"):
        run.read_json("none.json")
    run.write("broken.json", "{")
    with pytest.raises(RunError, match="not JSON"):
        run.read_json("broken.json")


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    run = started(tmp_path)
    assert list(run.records()) == []
    lines = [{"kind": "step", "stage": "pretrain", "epoch": 0, "step": n} for n in (1, 2)]
    for line in lines:
        run.log(line)
    with run.steps.open("a") as file:
        file.write('5\n[1]\n{"kind": "epoch"}\n{"stage": "pretr')  # and others by an editor
    assert list(run.records()) == lines
    run.forget("denoise", 0, 0)
    assert run.steps.read_text() == "".join(json.dumps(line) + "\n" for line in lines)


def test_forgetting_drops_what_lies_behind_a_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.forget("denoise", 0, 0)
    assert not run.steps.exists()
    for stage in ("denoise", "pretrain"):
        for epoch, step in ((0, 1), (0, 2), (1, 3), (1, 4)):
            run.log({"kind": "step", "stage": stage, "epoch": epoch, "step": step})
            if step % 2 == 0:
                run.log({"kind": "epoch", "stage": stage, "epoch": epoch, "step": step})
    lines = list(run.records())
    run.forget("pretrain", 2, 4)  # after the last epoch
    assert list(run.records()) == lines
    run.forget("pretrain", 1, 4)  # all steps of the last epoch are saved, its end is not
    assert list(run.records()) == lines[:-1]
    run.forget("pretrain", 1, 3)
    assert list(run.records()) == lines[:-2]
    run.forget("pretrain", 0, 0)
    assert list(run.records()) == lines[:6]


def test_a_log_that_cannot_be_written_is_a_user_s_problem(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.steps.mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        run.log({"stage": "a", "epoch": 0})


def test_a_line_with_other_bytes_is_left_out(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.log(line := {"kind": "step", "stage": "denoise", "epoch": 0, "step": 1})
    run.steps.write_bytes(run.steps.read_bytes() + b'{"stage": "den\xffoise\n' + b"[" * 99_999 + b"\n")
    assert list(run.records()) == [line]


def test_a_stage_is_of_the_run_that_trained_it_and_of_no_other_that_has_one_of_its_name(tmp_path: Path) -> None:
    first, second, third = (Run(tmp_path / name) for name in ("first", "second", "third"))
    histories = (first, None, []), (second, first, ["denoise"]), (third, second, ["denoise", "pretrain"])
    for run, start, taken in histories:
        run.start(RECIPE, {"start": start and str(start.folder), "taken": taken}, resume=False)
    for run, stage in ((first, "denoise"), (first, "pretrain"), (first, "finetune1"), (second, "pretrain")):
        save_tensors(run.weights(stage), {"x": torch.ones(1)}, {})
    found = {stage: third.finisher(stage) for stage in ("denoise", "pretrain", "finetune1")}
    folders = {stage: run and run.folder for stage, run in found.items()}
    assert folders == {"denoise": first.folder, "pretrain": second.folder, "finetune1": None}
    assert second.finisher("finetune1") is None, "its own is another one, and not finished"
