"""compare: both systems on the same sentences, in any order."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossfree.cli.compare import ChangedSentence, Compared, compare
from glossfree.errors import CorpusError, RunError
from glossfree.scoring.conventions import convention_for
from glossfree.scoring.significance import compare as compare_statistics
from glossfree.scoring.statistics import METRICS, Statistics

REFERENCES = {
    "eins": "heute regnet es im tal",
    "zwei": "morgen scheint die sonne",
    "drei": "der wind weht stark am meer",
    "vier": "es wird kalt",
    "fünf": "nachts klart es auf",
}
A = {**REFERENCES, "eins": "heute schneit es im tal", "drei": "am meer", "vier": "", "fünf": "nachts klart es"}
B = {**REFERENCES, "eins": "schnee", "drei": "der wind weht <b>sehr</b> stark am meer"}


def by_id(path: Path, texts: Mapping[str, str], *, backwards: bool = False) -> Path:
    rows = [json.dumps({"id": id, "text": text}) for id, text in texts.items()]
    path.write_text("\n".join(rows[::-1] if backwards else rows), encoding="utf-8")
    return path


def by_line(path: Path, texts: Mapping[str, str]) -> Path:
    path.write_text("\n".join(texts.values()) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    return (
        by_id(tmp_path / "a.jsonl", A),
        by_id(tmp_path / "b.jsonl", B, backwards=True),
        by_id(tmp_path / "references.jsonl", REFERENCES),
    )


def compared(a: Path, b: Path, references: Path | None, **options: Any) -> Compared:
    """Of files in German, unless the options name another language."""
    if references is not None and references.is_file():
        options = {"language": "de", **options}
    return compare(a, b, references=references, samples=37, **options)


def test_the_comparison_equals_that_of_the_statistics(files: tuple[Path, Path, Path]) -> None:
    result = compared(*files, seed=3)
    plain = convention_for("de")
    of_a, of_b = (Statistics.of([x[id] for id in REFERENCES], list(REFERENCES.values()), plain) for x in (A, B))
    assert result.comparison == compare_statistics(of_a, of_b, samples=37, seed=3)
    assert (result.a, result.b, result.systems.by_line, result.systems.language_from) == (
        "a.jsonl",
        "b.jsonl",
        False,
        "option",
    )
    assert (result.comparison.wins, result.comparison.ties, result.comparison.losses) == (3, 1, 1)
    assert [shown.id for shown in result.worse] == ["eins"]
    assert (result.better[0].id, result.better[0].a, result.better[0].b) == ("vier", "", "es wird kalt")
    assert all(shown.reference == REFERENCES[shown.id] for shown in (*result.better, *result.worse))


def test_by_line_is_the_same(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, references = files
    lines_a, lines = by_line(tmp_path / "a.txt", A), by_line(tmp_path / "references.txt", REFERENCES)
    expected = compared(a, b, references).comparison
    for first, second in ((lines_a, b), (a, by_line(tmp_path / "b.txt", B))):
        result = compared(first, second, references)
        assert result.systems.by_line and result.comparison == expected
    result = compared(lines_a, by_id(tmp_path / "in order.jsonl", B), lines)
    assert result.comparison == expected and result.better[0].id == "vier"  # ids from the side that has them


def test_references_without_ids_need_one_order(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, _ = files
    with pytest.raises(CorpusError, match=r"first at sentence 1\)") as caught:
        compared(a, b, by_line(tmp_path / "references.txt", REFERENCES))
    assert "references with ids" in str(caught.value) and str(b) in str(caught.value)


def test_ids_are_checked_for_both(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, _, references = files
    short = by_id(tmp_path / "short.jsonl", {"eins": "x"})
    for pair in ((a, short), (short, a)):
        with pytest.raises(CorpusError, match="4 without a hypothesis: zwei, drei, vier, fünf") as caught:
            compared(*pair, references)
        assert "short.jsonl" in str(caught.value)


def test_identical_files_are_noted(files: tuple[Path, Path, Path]) -> None:
    a, _, references = files
    result = compared(a, a, references)
    assert "A and B are identical" in result.notes[0] and "too few sentences (5)" in result.notes[1]
    assert result.a == result.b == str(a)  # equal names are written out
    assert "B is better on 0, worse on 0, as good on 5" in result.to_text()


def test_two_systems_that_write_nothing_are_not_taken_for_one_file(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, other = (by_id(tmp_path / name, dict.fromkeys(REFERENCES, "")) for name in ("one.jsonl", "other.jsonl"))
    assert not any("identical" in note for note in compared(one, other, files[2]).notes)
    assert any("identical" in note for note in compared(one, one, files[2]).notes)


def test_text_and_json_are_complete(files: tuple[Path, Path, Path]) -> None:
    result = compared(*files)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["metrics"].keys() == set(METRICS)
    assert (values["wins"], values["samples"], values["worse"][0]["id"]) == (3, 37, "eins")
    text = result.to_text()
    bleu = result.comparison.metrics["bleu4"]
    row = next(line for line in text.splitlines() if line.startswith("BLEU-4"))
    assert len(row) <= 80
    assert row.split()[1:4] == [f"{bleu.a:.2f}", f"{bleu.b:.2f}", f"{bleu.difference:+.2f}"]
    for words in ("A: a.jsonl", "B: b.jsonl", "5 sentences, paired by id", "37 samples, seed 0", "chrF2 of each"):
        assert words in text
    assert text.index("B gains most") < text.index("vier: 0.0 -> 100.0") < text.index("B loses most")


def test_the_page_is_written_to_out(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "new/page.html"
    compared(*files, out=page)
    text = page.read_text(encoding="utf-8")
    assert "a.jsonl" in text and "&lt;b&gt;sehr&lt;/b&gt;" in text and "<b>sehr" not in text
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        compared(*files, out=tmp_path / "file/page.html")


def test_every_text_is_escaped(files: tuple[Path, Path, Path]) -> None:
    evil = '<script>alert("1")</script>'
    sentence = ChangedSentence(evil, evil, evil, evil, 0.0, 1.0)
    result = replace(compared(*files), a=evil, b=evil, notes=(evil,), signatures={"bleu4": evil}, worse=(sentence,))
    assert evil not in result.to_html() and "&lt;script&gt;" in result.to_html()


def test_the_page_shows_sentences_first_and_then_scores(files: tuple[Path, Path, Path]) -> None:
    result = compared(*files)
    page = result.to_html()
    assert re.findall(r'<section id="(.*?)"', page) == ["better", "worse", "scores", "signatures", "limits"]
    assert 'title="not in the reference">schnee</mark>' in page and "(nothing)" in page
    assert f"{result.comparison.metrics['bleu4'].difference:+.2f}" in page and "0 → 100" in page
    assert 'id="worse"' not in replace(result, worse=()).to_html()
    assert not re.search(r"@import|url\(|https?://", page)


def test_unicode_forms_do_not_matter_and_are_noted_for_each_file(tmp_path: Path) -> None:
    texts = {"gr\u00fcn": "es wird k\u00fchl", "b": "es taut"}
    nfd = {unicodedata.normalize("NFD", id): unicodedata.normalize("NFD", text) for id, text in texts.items()}
    a, b = by_id(tmp_path / "a.jsonl", texts), by_id(tmp_path / "b.jsonl", nfd)
    result = compared(a, b, by_id(tmp_path / "r.jsonl", nfd))
    assert result.comparison.ties == 2
    assert [name for name in ("a.jsonl", "b.jsonl", "r.jsonl") if any(name in note for note in result.notes)] == [
        "b.jsonl",
        "r.jsonl",
    ]


def test_runs_of_different_corpora_are_called_that(tiny_run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_run, tmp_path / "other")
    path, facts = other / "predictions.test.jsonl", json.loads((other / "run.json").read_text(encoding="utf-8"))
    moved = {**facts, "corpus": "/corpora/other"}
    named = json.dumps({**moved, "profile": {"seconds": [1.0, 2.0]}})
    same_ids = path.read_text(encoding="utf-8")
    assert not any("corpora" in note for note in compared(tiny_run, other, None).notes)
    path.write_text(same_ids.replace('"id": "', '"id": "x'), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"^(?!.*different corpora)"):
        compared(tiny_run, other, None)
    (other / "run.json").write_text(named, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"different corpora: /corpora/other, .*without a hypothesis"):
        compared(tiny_run, other, None)
    path.write_text(same_ids, encoding="utf-8")
    assert any("/corpora/other" in note for note in compared(tiny_run, other, None).notes)
    (other / "run.json").write_text(json.dumps(moved), encoding="utf-8")  # a copy at another place
    assert not any("corpora" in note for note in compared(tiny_run, other, None).notes)
    (other / "run.json").unlink()
    assert not any("corpora" in note for note in compared(tiny_run, other, None).notes)


def test_more_samples_than_anybody_waits_for_are_refused(call: Any, files: tuple[Path, Path, Path]) -> None:
    hypotheses, _, references = files
    for verb in (("compare", hypotheses, hypotheses), ("score", "--hypotheses", hypotheses)):
        options = (*verb, "--references", references, "--language", "de", "--samples")
        assert (call(*options, 100_001).code, call(*options, 29).code) == (2, 0)
