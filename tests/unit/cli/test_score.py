"""score: sides, language, conventions, and notes on odd texts."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossfree.cli.score import Scored, score
from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import CorpusError, RunError
from glossfree.scoring import metrics
from glossfree.scoring.conventions import convention_for, published_for
from glossfree.scoring.predictions import Prediction, predictions_path, scores_path, write_predictions
from glossfree.scoring.statistics import METRICS

REFERENCES = ("heute regnet es im tal", "morgen scheint die sonne", "der wind weht stark am meer")
HYPOTHESES = ("heute schneit es im tal", "morgen scheint die sonne", "wind am meer")


def lines(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    return lines(tmp_path / "hypotheses.txt", HYPOTHESES), lines(tmp_path / "references.txt", REFERENCES)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with predictions of three test clips of a Dutch corpus."""
    clips = [PackedClip(f"clip-{n}", "test", text, f"{n}.mp4", 7, 25.0) for n, text in enumerate(REFERENCES)]
    Manifest(tmp_path / "corpus", tuple(clips), {"language": "nl"}).save()
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"corpus": str(tmp_path / "corpus")}))
    predictions = {clip.id: Prediction(text, -1.0) for clip, text in zip(clips, HYPOTHESES, strict=True)}
    write_predictions(predictions_path(folder, "test"), predictions, {clip.id: clip.text for clip in clips[::-1]})
    return folder


def scored(hypotheses: Path, references: Path | None = None, **options: Any) -> Scored:
    """Of files in German, unless the options name another language."""
    if references is not None and references.is_file():
        options = {"language": "de", **options}
    return score(hypotheses, references=references, console=Silent(), samples=23, **options)


def of_texts(folder: Path, hypotheses: Sequence[str], references: Sequence[str], **options: Any) -> Scored:
    return scored(lines(folder / "h.txt", hypotheses), lines(folder / "r.txt", references), **options)


def test_the_scores_equal_those_of_two_lists(sides: tuple[Path, Path]) -> None:
    result = scored(*sides)
    expected = metrics.score(HYPOTHESES, REFERENCES, language="de")
    (row,) = result.rows
    assert row.scores == {name: getattr(expected, name) for name in METRICS}
    assert row.signatures == expected.signatures
    systems = result.systems
    assert (len(systems.references), systems.by_line) == (3, True)
    assert (systems.language, systems.language_from) == ("de", "option")
    assert result.notes == ()
    for name, interval in row.intervals.items():
        assert interval.low <= row.scores[name] <= interval.high


@pytest.mark.parametrize(("language", "words"), [(None, "not named"), ("german", "did you mean de")])
def test_files_need_a_language(sides: tuple[Path, Path], language: str | None, words: str) -> None:
    with pytest.raises(CorpusError, match=words) as caught:
        score(sides[0], references=sides[1], console=Silent(), language=language)
    assert "one of af, " in str(caught.value)


def test_a_corpus_without_a_language_is_scored_in_the_one_that_is_named(run: Path) -> None:
    manifest = Manifest.load(run.parent / "corpus")
    Manifest(manifest.folder, manifest.clips, {}).save()
    with pytest.raises(CorpusError, match="not named"):
        scored(run)
    assert scored(run, language="nl").systems.language == "nl"


def test_a_run_is_scored_against_its_own_corpus(run: Path) -> None:
    result = scored(run)
    expected = metrics.score(HYPOTHESES, REFERENCES, language="nl")
    assert result.rows[0].scores["bleu4"] == expected.bleu4
    assert (result.systems.references.source, result.systems.by_line) == (run.parent / "corpus", False)
    assert (result.systems.language, result.systems.language_from) == ("nl", "corpus")
    assert scored(run, language="de").systems.language_from == "option"


def test_a_run_whose_corpus_is_gone_needs_references(run: Path, sides: tuple[Path, Path]) -> None:
    (run.parent / "corpus").rename(run.parent / "elsewhere")
    with pytest.raises(RunError, match="no longer at") as caught:
        scored(run)
    assert "--references" in str(caught.value)
    assert scored(run, run.parent / "elsewhere").rows == scored(run, run.parent / "elsewhere", language="nl").rows
    for broken in ("{}", "[]", "no json"):
        (run / "run.json").write_text(broken)
        with pytest.raises(RunError, match=r"run.json: .* -> add --references"):
            scored(run)
    (run / "run.json").unlink()
    with pytest.raises(RunError, match=r"run.json: .* -> add --references"):
        scored(run)
    with pytest.raises(CorpusError, match="no references"):
        scored(sides[0])


def test_all_conventions_stand_side_by_side(sides: tuple[Path, Path]) -> None:
    result = scored(*sides, conventions=True)
    assert [row.convention for row in result.rows[1:]] == published_for("de")
    for row in result.rows:
        expected = metrics.score(HYPOTHESES, REFERENCES, convention=row.convention)
        assert row.scores == pytest.approx({name: getattr(expected, name) for name in METRICS})
    text = result.to_text()
    for row in result.rows[1:]:
        assert f"{row.convention.name}: {row.convention.source}\n" in text
        assert row.signatures["bleu4"] in text and row.signatures["rouge_l"] in text
    table = text[text.index("\nconvention ") :].splitlines()[3:]
    assert [line.split()[:5] for line in table[: len(result.rows)]] == [
        [row.convention.name, *(f"{row.scores[f'bleu{order}']:.2f}" for order in (1, 2, 3, 4))] for row in result.rows
    ]


def test_the_text_names_every_score_with_interval_and_signature(sides: tuple[Path, Path]) -> None:
    result = scored(*sides)
    text = result.to_text()
    row = result.rows[0]
    assert f"{row.scores['chrf']:.2f}  {row.intervals['chrf'].low:.2f} to {row.intervals['chrf'].high:.2f}" in text
    assert [title in text for title in ("BLEU-1", "ROUGE-L", "chrF2", "exact match", "length ratio")] == [True] * 5
    assert all(signature in text for signature in row.signatures.values())
    assert "3 sentences, paired by line; language de; " in text
    assert "23 bootstrap samples, seed 0" in text


def test_json_has_the_default_at_the_top(sides: tuple[Path, Path]) -> None:
    result = scored(*sides, conventions=True)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["scores"] == values["conventions"][0]["scores"] == result.rows[0].scores
    assert values["intervals"]["bleu4"].keys() == {"low", "high"}
    assert values["convention"]["name"] == "plain" and values["level"] == 0.95


def test_the_seed_changes_the_intervals(sides: tuple[Path, Path]) -> None:
    assert scored(*sides, seed=1) == scored(*sides, seed=1)
    assert scored(*sides, seed=1).rows[0].scores == scored(*sides, seed=2).rows[0].scores
    assert scored(*sides, seed=1).rows[0].intervals != scored(*sides, seed=2).rows[0].intervals


def test_the_default_changes_no_text(tmp_path: Path) -> None:
    odd = [" heute  regnet es ", "Morgen\tSchnee !"]
    assert of_texts(tmp_path, odd, odd).rows[0].scores["exact"] == 100
    for other in ("heute regnet es", " Heute  regnet es ", " heute  regnet es  "):
        assert of_texts(tmp_path, [other, odd[1]], odd).rows[0].scores["exact"] == 50
    # "a  b" has an empty word between two blanks: P = 2/2, R = 2/3, F with b = 1.2
    f = 2.44 * (2 / 3) / (2 / 3 + 1.44)
    assert of_texts(tmp_path, ["a b"], ["a  b"]).rows[0].scores["rouge_l"] == pytest.approx(100 * f)


@pytest.mark.parametrize(
    ("hypotheses", "references", "language", "words"),
    [
        (REFERENCES, REFERENCES, "de", "identical"),
        (["今天下雨", ""], ["今天下雪", "明天"], "de", "2 of 2 references hold no space"),
        (["今天下雨", ""], ["今天下雪", "明天"], "zh", "1 hypotheses are empty"),
        (["a", "b c "], ["a  b", "b c"], "de", "1 references hold blanks"),
        (["a", "b c "], ["a  b", "b c"], "de", "1 hypotheses hold blanks"),
        (["a b", "c d"], ["a b", "  "], "de", "1 references are empty"),
    ],
)
def test_odd_texts_are_noted(
    tmp_path: Path, hypotheses: Sequence[str], references: Sequence[str], language: str, words: str
) -> None:
    result = of_texts(tmp_path, hypotheses, references, language=language)
    assert [note for note in result.notes if words in note]
    assert all(note in result.to_text() for note in result.notes)


def test_plain_texts_are_not(tmp_path: Path) -> None:
    assert of_texts(tmp_path, ["今天 下雨 了"], ["今天下雨"], language="zh_CN").notes == ()
    assert of_texts(tmp_path, ["ja", "es regnet"], ["nein", "es schneit"]).notes == ()


@pytest.mark.parametrize("language", ["de", "zh", "ja", "en", "ko"])
@pytest.mark.parametrize("hypotheses", [["", ""], ["", "今天 下雨"], ["a", "  "], ["!?", "\u3000"]])
@pytest.mark.parametrize("references", [["今天下雨", "ß"], ["", "a  b"], ["", ""]])
def test_no_text_gives_nan(tmp_path: Path, hypotheses: list[str], references: list[str], language: str) -> None:
    result = of_texts(tmp_path, hypotheses, references, language=language, conventions=True)
    for row in result.rows:
        assert all(math.isfinite(value) for value in row.scores.values())
        assert all(math.isfinite(interval.low + interval.high) for interval in row.intervals.values())


def test_a_note_if_the_run_was_scored_with_an_appended_stop(run: Path) -> None:
    assert not any("behind every sentence" in note for note in scored(run).notes)
    for append, expected in (("", 0), (" .", 1)):
        result = metrics.score(HYPOTHESES, REFERENCES, convention=convention_for("nl", append=append))
        scores_path(run, "test").write_text(json.dumps(result.to_dict()), encoding="utf-8")
        notes = scored(run).notes
        assert sum('with " ." behind every sentence' in note for note in notes) == expected


def test_a_note_if_the_run_was_trained_with_glosses(run: Path) -> None:
    for supervision, expected in (("", 0), ("weak", 0), ("glosses", 1)):
        result = replace(metrics.score(HYPOTHESES, REFERENCES, language="de"), supervision=supervision)
        scores_path(run, "test").write_text(json.dumps(result.to_dict()), encoding="utf-8")
        assert sum("run: trained with annotated glosses" in note for note in scored(run).notes) == expected


def test_unicode_forms_do_not_change_the_scores_and_are_noted(tmp_path: Path) -> None:
    texts = ["über nacht wird es kühl", "schöne grüße aus köln"]
    nfd = [unicodedata.normalize("NFD", text) for text in texts]
    same = of_texts(tmp_path, texts, texts)
    for sides in ((nfd, texts), (texts, nfd), (nfd, nfd)):
        result = of_texts(tmp_path, *sides)
        assert result.rows[0].scores == same.rows[0].scores
        assert any("2 of 2" in note for note in result.notes)


def test_each_file_has_notes_on_how_it_was_read(tmp_path: Path) -> None:
    path = lines(tmp_path / "h.csv", ["id;Sentence", "a;es taut", "b;es friert heute sehr"])
    result = scored(path, path)
    assert [note for note in result.notes if "sentence" in note.lower() and "h.csv" in note] == list(result.notes[:2])
    assert all(note in result.to_text() for note in result.notes)
