"""Records of cells: what they keep, that they stand for runs that are gone, and what they hold no sentence of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossfree.errors import RunError
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.predictions import read_predictions, read_scores, scores_path
from glossfree.scoring.statistics import Statistics
from glossfree.sweeps.cells import Cell, Row
from glossfree.sweeps.plan import Plan
from glossfree.sweeps.records import Records, read_record, sentences_of, without_signatures
from glossfree.sweeps.tasks import Cells, How


@pytest.fixture
def cell(tiny: Any) -> Cell:
    return Cell(Row({"row": "tiny"}, str(tiny.recipe), (), (0,)), 0)


def outcome(run: Path) -> dict[str, Any]:
    return {
        "state": "done",
        "scores": {split: read_scores(scores_path(run, split)).to_dict() for split in ("dev", "test")},
    }


def test_a_record_keeps_what_the_run_knew(tiny: Any, tiny_run: Path, tmp_path: Path, cell: Cell) -> None:
    records = Records.open(tmp_path / "records", tiny.corpus)
    records.write(cell, tiny_run, outcome(tiny_run))
    record = read_record(records.path(cell))
    assert records.scores(cell) == without_signatures(outcome(tiny_run)["scores"])
    assert [*record["stages"]] == ["denoise", "pretrain", "finetune1", "finetune2"]
    stage = record["stages"]["finetune2"]
    assert stage["epochs"] == stage["best_epoch"] == len(stage["loss"]) == 1 and stage["seconds"] > 0
    assert 0 < stage["trained"] <= stage["parameters"] and record["train_clips"] == 12
    assert (record["state"], record["seed"], record["row"]) == ("done", 0, "tiny")
    text = records.path(cell).read_text()
    sentences = [clip.text for clip in records.manifest if clip.split != "train"]
    sentences += [each.text for split in ("dev", "test") for each in read_predictions(tiny_run, split).values()]
    assert not any(sentence in text for sentence in sentences if sentence) and str(tiny.corpus.parent) not in text
    clips = records.manifest.split("test")
    hypotheses = [read_predictions(tiny_run, "test")[clip.id].text for clip in clips]
    expected = Statistics.of(hypotheses, [clip.text for clip in clips], convention_for("de"))
    assert {**expected.scores(), "chrf": 0.0} == pytest.approx(sentences_of(record, "test").scores(), abs=2e-3)


def test_a_record_names_the_corpus_of_a_user_without_its_path(
    tiny: Any, tiny_run: Path, tmp_path: Path, cell: Cell
) -> None:
    records = Records.open(tmp_path, tiny.corpus)
    for corpus, name in (({"name": "folder", "title": "Meine Videos"}, "Meine Videos"), ({}, tiny.corpus.name)):
        named = replace(records.manifest, corpus={**corpus, "language": "de"})
        replace(records, manifest=named).write(cell, tiny_run, outcome(tiny_run))
        assert read_record(records.path(cell))["corpus"] == name


def test_scores_of_test_stay_in_a_record_whatever_a_later_sweep_finds(
    tiny: Any, tiny_run: Path, tmp_path: Path, cell: Cell
) -> None:
    run = tmp_path / cell.name
    shutil.copytree(tiny_run, run)
    how, records = How(tiny.corpus, tmp_path, 1, (), 1), Records.open(tmp_path / "records", tiny.corpus)
    for file in how.measures(cell, ("dev", "test")):
        if not file.exists():  # of locate and retrieve
            file.write_text("{}")

    def swept(*, test: bool) -> Cells:
        cells = Cells(Plan("one", (cell.row,)), how, (), records=records)
        cells.begin(test=test)
        return cells

    assert swept(test=True).outcomes[cell.name]["state"] == "done"
    before = records.path(cell).read_text()
    assert set(swept(test=False).outcomes[cell.name]["scores"]) == {"dev"} and records.path(cell).read_text() == before
    scores_path(run, "test").write_text("{")  # nobody asks for it
    assert set(swept(test=False).outcomes[cell.name]["scores"]) == {"dev"}
    scores_path(run, "test").unlink()
    changed = read_scores(scores_path(run, "dev"))
    scores_path(run, "dev").write_text(json.dumps({**changed.to_dict(), "chrf": 1.5}))
    swept(test=False)
    record = read_record(records.path(cell))
    assert (record["scores"]["dev"]["chrf"], set(record["sentences"])) == (1.5, {"dev", "test"})
    assert record["scores"]["test"] == json.loads(before)["scores"]["test"]
    swept(test=True).ended(cell, {"state": "failed", "problem": "evaluate: exit code 2"})
    assert read_record(records.path(cell)) == record


def test_a_record_is_of_one_recipe_and_one_corpus(tiny: Any, tiny_run: Path, tmp_path: Path, cell: Cell) -> None:
    records = Records.open(tmp_path, tiny.corpus)
    assert records.scores(cell) == {}
    records.write(cell, tiny_run, outcome(tiny_run))
    other = Cell(Row({"row": "tiny"}, str(tiny.recipe), ("data.stride=2",), (0,)), 0)
    with pytest.raises(RunError, match=r"data\.stride"):
        records.scores(other)
    harmless = Cell(Row({"row": "tiny"}, str(tiny.recipe), ("data.num_workers=3", "name=x"), (0,)), 0)
    assert records.scores(harmless) == records.scores(cell)
    with pytest.raises(RunError, match="another corpus"):
        Records(tmp_path, records.manifest, "0" * 64).scores(cell)
    records.write(cell, tiny_run, {"state": "failed", "problem": "train: loss is nan"})
    assert records.scores(other) == {}, "what failed is tried again with whatever settings"
    records.path(cell).write_text("{}")
    with pytest.raises(RunError, match="not a record"):
        records.scores(cell)


def test_a_cell_with_a_record_is_not_trained_again(tiny: Any, tiny_run: Path, tmp_path: Path, call: Any) -> None:
    runs, records = tmp_path / "runs", tmp_path / "records"
    words = ("sweep", *tiny.options, "--seeds", 0, "--records", records, "--resume", "--json")
    shutil.copytree(tiny_run, runs / "seed=0")
    (runs / "seed=0/scores.test.json").unlink()
    assert call(*words, "--runs", runs).code == 0
    shutil.rmtree(runs / "seed=0")
    again = call(*words, "--runs", runs)
    assert again.code == 0 and [cell["state"] for cell in json.loads(again.out)["cells"]] == ["done"]
    tested = call(*words, "--runs", runs, "--test")
    (cell,) = json.loads(tested.out)["cells"]
    assert tested.code == 1 and cell["problem"] == "its run is gone, and its record has no scores of test"
    assert read_record(records / "seed=0.json")["state"] == "done", "and the record stays"


def test_a_record_keeps_what_was_measured_besides_translation(
    tiny: Any, tiny_run: Path, tmp_path: Path, cell: Cell, call: Any
) -> None:
    """Also where it is measured after the scores are known: by a sweep that was stopped in between and goes on."""
    run, records = tmp_path / cell.name, Records.open(tmp_path / "records", tiny.corpus)
    shutil.copytree(tiny_run, run)
    records.write(cell, run, outcome(run))
    cells = Cells(Plan("one", (cell.row,)), How(tiny.corpus, tmp_path, 1, (), 1), (), records=records)
    cells.begin(test=True)
    assert cells.outcomes[cell.name]["state"] == "waiting" and read_record(records.path(cell))["retrieval"] == {}
    assert call("locate", run, "--split", "test", "--stage", "pretrain").code == 0
    assert call("retrieve", run, "--split", "test").code == 0
    cells.ended(cell, {"seconds": 1.0})
    record = read_record(records.path(cell))
    measured = json.loads((run / "retrieval.test.json").read_text())["video to text"]["recall"]["5"]
    assert record["retrieval"]["test"]["video to text"]["recall"]["5"] == round(measured, 3)
    assert record["localisation"]["test.pretrain"]["stage"] == "pretrain"


def test_on_test_a_cell_is_also_asked_where_signs_are_and_for_its_joint_space(cell: Cell, tmp_path: Path) -> None:
    how = How(tmp_path, tmp_path, 1, (), 1)
    measures = how.measures(cell, ("dev", "test"))
    verbs = {file.name: words[words.index("glossfree") + 1] for file, words in measures.items()}
    assert verbs == {
        **{f"scores.{split}.json": "evaluate" for split in ("dev", "test")},
        "localisation.test.pretrain.json": "locate",
        "retrieval.test.json": "retrieve",
    }
    assert len(how.measures(cell, ("dev",))) == 1
    several = [*How(tmp_path, tmp_path, 2, (), 1).measures(cell, ("dev", "test")).values()]
    assert ["torch.distributed.run" in words for words in several] == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("run.json", "{}"), ("run.json", "{")),
        ("steps.jsonl", '{"kind": "epoch", "stage": "pretrain", "step": 3, "epoch": 0}\n'),
        *(("predictions.dev.jsonl", ""), ("scores.dev.json", "{")),
    ],
)
def test_a_run_that_is_damaged_is_a_failure_of_its_cell_alone(
    tiny: Any, tiny_run: Path, tmp_path: Path, name: str, text: str
) -> None:
    row = Row({"row": "tiny"}, str(tiny.recipe), (), (0, 1))
    damaged, sound = row.cells((0, 1), (1.0,))
    for cell in (damaged, sound):
        shutil.copytree(tiny_run, tmp_path / cell.name)
    (tmp_path / damaged.name / name).write_text(text)
    records = Records.open(tmp_path / "records", tiny.corpus)
    cells = Cells(Plan("one", (row,)), How(tiny.corpus, tmp_path, 1, (), 1), (), records=records)
    cells.begin(test=False)
    assert [cells.outcomes[cell.name]["state"] for cell in (damaged, sound)] == ["failed", "done"]
    assert name in cells.outcomes[damaged.name]["problem"] or "damaged" in cells.outcomes[damaged.name]["problem"]
    assert records.path(sound).is_file() and not records.path(damaged).exists()
    cells.ended(damaged, {"state": "failed", "problem": "train: exit code 2"})
    assert cells.outcomes[damaged.name]["problem"] == "train: exit code 2"
