"""What the studio keeps of a split's files, and that it is of the files as they are now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glossfree.corpora.manifest import MANIFEST, Manifest, PackedClip
from glossfree.scoring.predictions import Prediction, predictions_path, write_predictions
from glossfree.studio.reading import compare_lines, diagnosis_of, scored_lines, training_sentences

REFERENCES = {"c": "am montag drei grad", "d": "im norden stürmt es", "e": "die sonne scheint"}
HYPOTHESES = {"c": "am montag drei grad", "d": "im süden", "e": "zzz zzzzz zzzzzzz"}


def write(run: Path, hypotheses: dict[str, str]) -> Path:
    run.mkdir(exist_ok=True)
    predictions = {id: Prediction(text, -0.5) for id, text in hypotheses.items()}
    write_predictions(predictions_path(run, "test"), predictions, {id: REFERENCES[id] for id in hypotheses})
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", HYPOTHESES)


def corpus_of(folder: Path, text: str) -> Path:
    clips = [PackedClip("a", "train", text, "a.mp4", 50, 25.0)]
    clips += [PackedClip(id, "test", text, f"{id}.mp4", 50, 25.0) for id, text in REFERENCES.items()]
    Manifest(folder, tuple(clips), {"name": "wetter", "language": "de"}).save()
    return folder


def test_a_split_is_computed_once_while_its_files_are_unchanged(run: Path, tmp_path: Path) -> None:
    corpus, other = corpus_of(tmp_path / "corpus", "Morgen regnet es."), write(tmp_path / "other", HYPOTHESES)
    for compute in (
        lambda: scored_lines(run, "test", "de"),
        lambda: compare_lines(run, other, "test", "de"),
        lambda: diagnosis_of(run, "test", corpus),
        lambda: training_sentences(corpus),
    ):
        assert compute() is compute()


@pytest.mark.parametrize(
    ("text", "later"),
    [("die sonne scheint", 1), ("die sonne scheint ", 0)],  # as many bytes, and the same time: a copy keeps the times
)
def test_new_predictions_are_read(run: Path, tmp_path: Path, text: str, later: int) -> None:
    other, path = write(tmp_path / "other", HYPOTHESES), predictions_path(run, "test")
    before = path.stat()
    first, second, third = (line["chrf"] for line in scored_lines(run, "test", "de"))
    assert (first, third) == (100, 0)
    assert compare_lines(run, other, "test", "de").facts["ties"] == 3
    write(run, {**HYPOTHESES, "e": text})
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns + later))
    assert [line["chrf"] for line in scored_lines(run, "test", "de")] == [100, second, 100]
    compared = compare_lines(run, other, "test", "de")
    assert (compared.facts["ties"], compared.facts["losses"]) == (2, 1)
    ours, _, chrf_a, chrf_b = compared.clips[0]
    assert (ours["id"], chrf_a, chrf_b) == ("e", 100, 0)


def test_a_new_manifest_is_read(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", "Morgen, regnet es.")
    assert training_sentences(corpus) == {"morgen regnet es"}
    time = (corpus / MANIFEST).stat().st_mtime_ns
    corpus_of(corpus, "Heute nicht!")
    os.utime(corpus / MANIFEST, ns=(time, time))
    assert training_sentences(corpus) == {"heute nicht"}


def test_scores_are_those_of_the_language(run: Path) -> None:
    write(run, {"c": "ａｍ montag drei grad"})  # of full width
    unknown, chinese = (scored_lines(run, "test", language)[0]["chrf"] for language in ("", "zh"))
    assert unknown < chinese == 100
