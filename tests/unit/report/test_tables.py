"""Tables of scores, pointing, settings and times."""

from __future__ import annotations

import re

from glossfree.report.spans import Pointing
from glossfree.report.tables import duration, facts, pointing_section, scores_section, settings_section
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.metrics import score


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_better_row_is_marked():
    better, worse = score(["a b c d e"], ["a b c d e"]), score(["a b c d x"], ["a b c d e"])
    html = scores_section({"ours": {"test": better}, "theirs": {"test": worse}})
    ours, theirs = re.findall(r"<tr><th scope=\"row\">(?:ours|theirs)</th>.*?</tr>", html)
    assert ours.count("<strong>") == 6 and "<strong>" not in theirs
    assert "BLEU-1 BLEU-2 BLEU-3 BLEU-4 ROUGE-L chrF" in text(html)


def test_one_row_alone_is_not_best():
    assert "(best)" not in scores_section({"ours": {"dev": score(["a"], ["a"])}})


def test_splits_have_tables_of_their_own():
    one = score(["a b"], ["a b"])
    html = scores_section({"ours": {"dev": one, "test": one}, "theirs": {"test": one}})
    assert html.count("<caption>") == 2


def test_pointing_stands_beside_chance():
    found = text(pointing_section({"test": Pointing(1234, 5, 6, {0: 61.25, 2: 80.0}, {0: 11.0, 2: 20.5})}))
    assert "test 1,234 61.2 % 11.0 % 80.0 % 20.5 %" in found
    assert "Not shown" in found and "mAP by chance" not in found  # not measured: no column


def test_mean_average_precision_stands_beside_its_own_chance():
    measured = Pointing(7, 5, 6, {0: 61.25, 2: 80.0}, {0: 11.0, 2: 20.5}, {0: 55.55, 2: 70.0}, {0: 14.25, 2: 24.0})
    older = Pointing(3, 2, 2, {0: 50.0, 2: 60.0}, {0: 10.0, 2: 20.0})
    found = text(pointing_section({"test": measured, "dev": older}))
    assert "mAP by chance mAP within 2 frames by chance" in found
    assert "test 7 61.2 % 11.0 % 80.0 % 20.5 % 55.5 % 14.2 % 70.0 % 24.0 %" in found
    assert "dev 3 50.0 % 10.0 % 60.0 % 20.0 % - - - -" in found


def test_nested_settings_are_flat_and_complete():
    html = settings_section(
        {"name": "demo", "train": {"lr": 6e-4, "lora": {"rank": 4, "on": ["q", "v"]}, "cache": False}}
    )
    found = text(html)
    for expected in ("general name demo", "lr 0.0006", "lora.rank 4", "lora.on q, v", "cache no"):
        assert expected in found


def test_numbers_are_not_taken_for_truth_values():
    assert "epochs 1" in text(facts({"epochs": 1})) and "warmup 0.0" in text(facts({"warmup": 0.0}))
    assert "resume yes" in text(facts({"resume": True}))


def test_times_are_read_by_people():
    assert [duration(s) for s in (5.25, 59.9, 61.0, 7325.0)] == ["5.2 s", "1 min 00 s", "1 min 01 s", "2 h 02 min"]


def test_rows_of_different_conventions_are_not_compared_and_both_are_explained():
    one = score(["a b c d x"], ["a b c d e"])
    other = score(["a b c d e"], ["a b c d e"], convention=convention_for("de", append=" ."))
    html = scores_section({"ours": {"test": one}, "again": {"test": one}, "theirs": {"test": other}})
    assert "(best)" not in html
    found = text(html)
    assert "How the scores of ours, again are computed" in found
    assert "How the scores of theirs are computed" in found
    assert html.count("<details>") == 2 and html.count("|append:&quot; .&quot;") == 6
    assert text(scores_section({"ours": {"test": one}, "again": {"test": one}})).count("How these scores") == 1
