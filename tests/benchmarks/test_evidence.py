"""The page of evidence from invented records: choices, means, deviations, tests, failures, pictures."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.__main__ import put
from benchmarks.evidence import Evidence, p_value, spread, value_of

from benchmarks import evidence
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.metrics import Scores
from glossfree.scoring.significance import compare
from glossfree.scoring.statistics import Statistics
from glossfree.sweeps.cells import Row
from glossfree.sweeps.plan import Plan
from glossfree.sweeps.records import PLAN

WORDS = ("regen", "schnee", "im", "tal", "und", "wind", "heute", "morgen", "kommt")
KEY = "pretrain.objectives.pseudo_gloss.weight"
CONVENTION = convention_for("de")
RNG = random.Random(3)
REFERENCES = [" ".join(RNG.choices(WORDS, k=7)) for _ in range(43)]


def translated(correct: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(w if rng.random() < correct else rng.choice(WORDS) for w in r.split()) for r in REFERENCES]


def statistics(correct: float, seed: int) -> Statistics:
    return Statistics.of(translated(correct, seed), REFERENCES, CONVENTION)


HFA = Row({"row": "hfa"}, "hfa", (), (0, 42), (1.0, 2.0), groups=("methods", "weight"), is_reference=True)
NONE = Row({"row": "none"}, "none", (), (0, 42), (1.0, 2.0), groups=("methods",))
LIGHT = Row({"row": "light"}, "hfa", (), (0,), (), "hfa", ("weight",))


def record(cell: Any, correct: float, **more: Any) -> dict[str, Any]:
    each = statistics(correct, cell.seed)
    scores = Scores.of(each).to_dict()
    stage = {
        "seconds": 120.0,
        "processor_seconds": 90.0,
        "trained": 1_500_000,
        "parameters": 2_000_000,
        "loss": [3.0, 2.0, 2.5],
    }
    return {
        "name": cell.name,
        "state": "done",
        "seed": cell.seed,
        "settings": {},
        "manifest_sha256": "f" * 64,
        "recipe": cell.row.source,
        "supervision": "gloss-free",
        "corpus": "drawn",
        "train_clips": 250,
        "versions": {"glossfree": "0", "torch": "2", "device": "cpu"},
        "stages": {"first": stage, "last": stage},
        "scores": dict.fromkeys(("dev", "test"), scores),
        "sentences": {split: each.packed() for split in ("dev", "test")},
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plan = Plan("p", (HFA, LIGHT, NONE), {"weight": KEY})
    (tmp_path / PLAN).write_text(json.dumps(plan.to_dict()))
    cells = [*zip(HFA.cells([0], [1.0, 2.0]), (0.4, 0.8), strict=True), (HFA.cells([42], [2.0])[0], 0.7)]
    cells += [*zip(NONE.cells([0], [1.0, 2.0]), (0.5, 0.3), strict=True)]
    records = [record(cell, correct) for cell, correct in cells]
    records.append(record(LIGHT.cells([0], [2.0])[0], 0.75, settings={KEY: 2.0}))
    failed = record(NONE.cells([42], [1.0])[0], 0.1, state="failed", problem="train: loss is nan")
    del failed["scores"], failed["sentences"]
    for each in [*records, failed]:
        (tmp_path / f"{each['name']}.json").write_text(json.dumps(each))
    return tmp_path


def bleu4(correct: float, seed: int) -> float:
    return statistics(correct, seed).scores()["bleu4"]


def test_the_page_has_what_the_records_have(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Evidence\n\nSome text.\n")
    for _ in range(2):
        for name, text in evidence.run(folder, page).items():
            put(page, name, text)
    text = page.read_text()
    assert text.startswith("# Evidence\n\nSome text.\n") and text.count("<!-- benchmark: evidence methods -->") == 1
    rows = {line.split(" | ")[0][2:]: line.strip("| ").split(" | ") for line in text.splitlines() if " | " in line}
    table = evidence.group_table(Evidence.load(folder), "methods").splitlines()
    hfa, none = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[2:])
    both = spread([bleu4(0.8, 0), bleu4(0.7, 42)])
    assert hfa[:4] == ["hfa", "2", both, both] and hfa[6:] == ["-", "gloss-free", "2", "3.0", "1.50", "2.00"]
    assert none[:4] == ["none", "1", f"{bleu4(0.5, 0):.2f}", f"{bleu4(0.5, 0):.2f}"] and "±" not in none[2]
    expected = compare(statistics(0.5, 0), statistics(0.8, 0)).metrics["bleu4"].p_randomisation
    assert none[6] == ("< 0.001" if expected < 0.001 else f"{expected:.3f}"), "the seed that both have"
    assert rows["none"][1:3] == [f"**{bleu4(0.5, 0):.2f}**", f"{bleu4(0.3, 0):.2f}"], "the appendix comes last"
    assert "Runs that failed: 1." in text and "`row=none,seed=42`: train: loss is nan" in text
    pictures = sorted(path.name for path in (tmp_path / "images/evidence").iterdir())
    assert pictures == ["axis-weight.svg", "curves-methods.svg", "curves-weight.svg"]
    axis = ElementTree.parse(tmp_path / "images/evidence/axis-weight.svg")
    assert len(list(axis.iter("{http://www.w3.org/2000/svg}circle"))) == 2, "two weights"
    assert all(f"images/evidence/{name}" in text for name in pictures)


def test_what_a_run_learnt_from_stands_beside_its_scores(folder: Path, tmp_path: Path) -> None:
    (folder / "signals").mkdir()
    epochs = [{"stage": "first", "epoch": n, "dev": {"loss": 2.5 / n}, "temperatures": {}} for n in (1, 2)]
    (folder / "signals/hfa.json").write_text(json.dumps(epochs))
    text = evidence.run(folder, tmp_path / "page.md")["evidence signals, hfa"]
    assert text.startswith("### first\n") and "| dev loss | 2.5 | 1.25 |" in text


def test_a_group_is_compared_on_test_when_all_its_rows_are_scored_on_it(folder: Path) -> None:
    path = folder / f"{LIGHT.cells([0], [2.0])[0].name}.json"
    content = json.loads(path.read_text())
    del content["scores"]["test"]
    path.write_text(json.dumps(content))
    loaded = Evidence.load(folder)
    assert (loaded.split("methods"), loaded.split("weight")) == ("test", "dev")
    titles = evidence.group_table(loaded, "weight").splitlines()[0]
    assert "dev BLEU-4" in titles and "test" not in titles


def test_on_dev_each_p_is_corrected_for_the_number_of_comparisons(folder: Path) -> None:
    """Holm: the smallest of two counts twice, the other once, but no less than the smallest."""
    loaded = Evidence.load(folder)
    p = {
        row.name: evidence.p_value(loaded.of_row(row), loaded.of_row(HFA), "dev") or 0.0
        for row in loaded.plan.rows
        if row != HFA
    }
    first, second = sorted(p, key=lambda name: p[name])
    corrected = [min(1.0, 2 * p[first]), max(min(1.0, 2 * p[first]), p[second])]
    lines = [line.strip("| ").split(" | ") for line in evidence.choosing_table(loaded, HFA).splitlines()[2:]]
    assert [line[0] for line in lines] == [first, second]
    assert [line[3:5] for line in lines] == [
        [f"{p[name]:.3f}", f"{each:.3f}"] for name, each in zip((first, second), corrected, strict=True)
    ]
    differences = {"none": bleu4(0.5, 0) - bleu4(0.8, 0), "light": bleu4(0.75, 0) - bleu4(0.8, 0)}
    assert {line[0]: line[2] for line in lines} == {name: f"{each:+.2f}" for name, each in differences.items()}


def test_seeds_count_together_sentence_by_sentence() -> None:
    rows = [[record(cell, correct) for cell in HFA.cells([0, 42], [2.0])] for correct in (0.5, 0.55)]
    summed = [
        Statistics(statistics(correct, 0).table + statistics(correct, 42).table, CONVENTION, {})
        for correct in (0.5, 0.55)
    ]
    assert p_value(*rows, "test") == compare(*summed).metrics["bleu4"].p_randomisation
    assert p_value(rows[0], rows[0], "test") == 1.0
    assert p_value(rows[0][:1], rows[1][1:], "test") is None, "no seed in common"


def test_values_that_a_record_leaves_out_are_defaults() -> None:
    assert value_of({"settings": {KEY: 3.0}}, KEY) == 3.0
    assert value_of({"settings": {}}, "pretrain.mapper") is False
    assert value_of({"settings": {}}, "data.stride") == 1
    assert value_of({"settings": {"data.train_clips": 9}, "train_clips": 9}, "data.train_clips") == 9


def test_one_value_has_no_deviation() -> None:
    assert (spread([]), spread([1.0]), spread([1.0, 3.0])) == ("-", "1.00", "2.00 ± 1.41")


def test_places_and_the_joint_space_stand_with_chance(folder: Path) -> None:
    (cell,) = HFA.cells([0], [2.0])
    path = folder / f"{cell.name}.json"
    values = {name: {"run": 50.0, "chance": 10.0} for name in evidence.PLACES}
    part = {"name": "1-2", "pairs": 7, "values": values}
    signs = {"overall": part, "by_length": [], "by_frequency": [part]}
    sets = {"run": {"f1": 30.0}, "most frequent": {"f1": 20.0}}
    one = {"recall": {"1": 5.0, "5": 15.0, "10": 25.0}, "median_rank": 9.0, "median_rank_by_chance": 21.5}
    measured = {
        "localisation": {"test.pretrain": {"signs": signs, "sets": sets}},
        "retrieval": {"test": {"video to text": one, "text to video": one}},
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | measured))
    loaded = Evidence.load(folder)
    places = evidence.places_table(loaded, "methods").splitlines()
    assert len(places) == 3 and places[2].count("50.00 (10.00)") == 5 and "30.00 (20.00)" in places[2]
    assert "times in training: 1-2" in evidence.parts_table(loaded, HFA) and not evidence.parts_table(loaded, NONE)
    assert evidence.retrieval_table(loaded, "methods").count("9.00 (21.5)") == 2
