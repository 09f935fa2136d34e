"""inspect: figures that can be counted by hand, and every problem by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from glossfree.corpora.inspection import inspect
from glossfree.corpora.manifest import Manifest, PackedClip, SignSpan
from glossfree.errors import CorpusError

SPANS = (SignSpan("MORGEN", 1, 3), SignSpan("REGEN", 4, 7))
CLIPS = (
    PackedClip("t1", "train", "morgen regnet es", "clips/train/t1.mp4", 30, 10.0, "ada", SPANS),
    PackedClip("t2", "train", "morgen regnet es", "clips/train/t2.mp4", 50, 10.0, "bob", SPANS[:1]),
    PackedClip("t3", "train", "es taut", "clips/train/t3.mp4", 10, 5.0, "ada", glosses=("TAUEN",)),
    PackedClip("d1", "dev", "morgen taut es im süden", "clips/dev/d1.mp4", 25, 25.0),
    PackedClip("e1", "test", "nachts taut es nachts", "clips/test/e1.mp4", 40, 20.0),
)
BYTES = {"t1": 1000, "t2": 2000, "t3": 3000, "d1": 500, "e1": 700}
ABOUT = {"name": "mine", "language": "de", "frame_size": 33, "problems": []}


def save(folder: Path, clips: tuple[PackedClip, ...] = CLIPS, **about: object) -> Path:
    for clip in clips:
        path = folder / clip.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * BYTES.get(clip.id, 7))
    Manifest(folder, clips, {**ABOUT, **about}).save()
    return folder


def test_the_figures_of_a_split_are_those_counted_by_hand(tmp_path: Path) -> None:
    inspection = inspect(save(tmp_path))
    train = inspection.splits["train"]
    assert (train.clips, train.frames, train.min_frames, train.max_frames) == (3, 90, 10, 50)
    assert train.hours == pytest.approx((3 + 5 + 2) / 3600)
    assert train.mean_frames == pytest.approx(30)
    assert (train.sentences, train.words, train.vocabulary, train.singletons) == (2, 8, 4, 1)
    assert train.mean_words == pytest.approx(8 / 3)
    assert (train.signers, train.spans, train.glossed, train.unseen_words) == (2, 3, 1, None)
    assert train.megabytes == pytest.approx(0.006)
    assert list(inspection.splits) == ["train", "dev", "test"]
    assert inspection.problems == ()


def test_words_that_training_has_not_are_counted_once_each(tmp_path: Path) -> None:
    inspection = inspect(save(tmp_path))
    assert inspection.splits["dev"].unseen_words == 2  # im, süden
    assert inspection.splits["test"].unseen_words == 1  # nachts, twice
    assert (inspection.splits["test"].words, inspection.splits["test"].vocabulary) == (4, 3)


def test_the_total_is_over_all_splits(tmp_path: Path) -> None:
    total = inspect(save(tmp_path)).total
    assert (total.clips, total.frames, total.sentences, total.words) == (5, 155, 4, 17)
    assert (total.vocabulary, total.min_frames, total.max_frames, total.unseen_words) == (7, 10, 50, None)


def test_the_values_are_plain_enough_for_json(tmp_path: Path) -> None:
    values = json.loads(json.dumps(inspect(save(tmp_path)).to_dict()))
    assert values["splits"]["dev"]["frames"] == 25
    assert values["total"]["clips"] == 5
    assert (values["out"], values["corpus"]["name"], values["problems"]) == (str(tmp_path), "mine", [])


def test_the_table_has_a_column_for_each_split_and_ends_with_the_problems(tmp_path: Path) -> None:
    inspection = inspect(save(tmp_path))
    lines = inspection.to_text().split("\n")
    assert lines[0] == f"{tmp_path}: mine, language de, frame size 33"
    assert lines[2].split() == ["train", "dev", "test", "all"]
    assert lines[3].split() == ["clips", "3", "1", "1", "5"]
    [unseen] = [line for line in lines if line.startswith("vocabulary not in train")]
    assert unseen.split()[-2:] == ["2", "1"]
    assert len(unseen) < len(lines[2]), "no figure stands below all"
    assert lines[-1] == "no problems"


def test_packed_files_that_are_missing_or_empty_are_named(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / CLIPS[0].file).unlink()
    (tmp_path / CLIPS[1].file).unlink()
    (tmp_path / CLIPS[3].file).write_bytes(b"")
    inspection = inspect(tmp_path)
    assert inspection.problems == ("packed files missing: 2: t1, t2", "packed files of 0 bytes: 1: d1")
    assert inspection.splits["train"].megabytes == pytest.approx(0.003)
    assert "problem: packed files missing: 2: t1, t2" in inspection.to_text()


def test_of_many_culprits_ten_are_named(tmp_path: Path) -> None:
    clips = tuple(replace(CLIPS[2], id=f"t{number}", text=f"satz {number}") for number in range(13))
    save(tmp_path, (*clips, *CLIPS[3:]))
    (tmp_path / CLIPS[2].file).unlink()
    [problem] = inspect(tmp_path).problems
    assert problem.startswith("packed files missing: 13: t0, t1, ")
    assert problem.endswith(", t9 and 3 more")


def test_what_is_odd_in_the_manifest_is_named(tmp_path: Path) -> None:
    odd = (
        replace(CLIPS[0], text="  "),
        replace(CLIPS[1], num_frames=0),
        replace(CLIPS[3], text="es taut"),
        replace(CLIPS[4], split="val"),
        CLIPS[2],
    )
    assert inspect(save(tmp_path, odd)).problems == (
        "empty sentences: 1: t1",
        "clips without frames or rate: 1: t2",
        "clips in splits other than train, dev, test: 1: e1",
        "no clips in split test",
        "1 sentence occurs in more than one split (2 clips): scores on them show memory",
    )


def test_what_packing_could_not_read_is_told_again(tmp_path: Path) -> None:
    save(tmp_path, problems=[{"id": "t9", "message": "clip t9 (x.mp4): no frames in it -> drop the clip"}])
    assert inspect(tmp_path).problems == ("not packed: clip t9 (x.mp4): no frames in it -> drop the clip",)


def test_a_folder_without_corpus_file_is_a_problem_not_an_error(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "corpus.json").unlink()
    inspection = inspect(tmp_path)
    assert inspection.problems == ("corpus.json is missing or empty: language and frame size are unknown",)
    assert "no name" in inspection.to_text()


def test_an_empty_manifest_has_no_clips_in_any_split(tmp_path: Path) -> None:
    inspection = inspect(save(tmp_path, ()))
    assert inspection.problems == ("no clips in split train or dev or test",)
    assert inspection.total.clips == 0
    assert inspection.splits == {}


def test_a_folder_that_was_not_prepared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="glossfree prepare"):
        inspect(tmp_path)
