"""doctor on corpora: every kind of warning on small folders that cause it, and figures that can be counted by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glossfree.cli.doctor import doctor
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.doctor.corpus import guess_corpus
from glossfree.doctor.findings import Diagnosis
from glossfree.errors import CorpusError
from glossfree.video.pack import write_clip

SENTENCE = "am tag regnet es"


def video(path: Path, frames: int = 30, fps: float = 10.0, width: int = 32, height: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, np.full((frames, height, width, 3), 90, np.uint8), fps)
    return path


def corpus(root: Path, rows: Sequence[str], columns: str = "path,text,split") -> Path:
    root.mkdir(exist_ok=True)
    (root / "sentences.csv").write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return root


def plain(root: Path) -> Path:
    """Five clips of 3 s at 10 frames/s, with nothing odd about them."""
    for name in "abcde":
        video(root / f"{name}.mp4")
    rows = [f"a.mp4,{SENTENCE},train", "b.mp4,heute schneit es,dev", "c.mp4,es taut am abend,test"]
    return corpus(root, [*rows, "d.mp4,es taut am morgen,train", "e.mp4,am mittag schneit es,dev"])


def texts(diagnosis: Diagnosis, topic: str, level: str = "warning") -> list[str]:
    return [finding.text for finding in diagnosis.findings if (finding.topic, finding.level) == (topic, level)]


def reasons(diagnosis: Diagnosis) -> dict[str, str]:
    return {clip.id: "; ".join(clip.reasons) for clip in diagnosis.worst}


def test_a_corpus_without_faults_works(tmp_path: Path) -> None:
    diagnosis = doctor([plain(tmp_path / "root")])
    assert (diagnosis.exit_code, diagnosis.worst) == (0, ())
    figures = diagnosis.figures
    assert (figures["corpus"], figures["files"], figures["clips"]) == ("folder", 5, {"train": 2, "dev": 2, "test": 1})
    assert (figures["fps"], figures["aspect"]) == ({"10": 5}, {"1.33": 5})
    assert figures["seconds"]["median"] == pytest.approx(3.0)
    assert figures["seconds"]["all"] == pytest.approx(15.0)
    assert "works" in diagnosis.to_text().split("\n")[0]
    json.dumps(diagnosis.to_dict())


def test_the_sentence_file_stands_for_its_folder(tmp_path: Path) -> None:
    root = plain(tmp_path / "root")
    assert doctor([root / "sentences.csv"]).figures == doctor([root]).figures
    (root / "other.csv").write_text("path,text,split\n")
    with pytest.raises(CorpusError, match=r"sentences\.csv"):
        doctor([root / "other.csv"])


def test_mixed_rates_are_named_with_the_remedy(tmp_path: Path) -> None:
    root = plain(tmp_path / "root {0}")
    video(root / "b.mp4", frames=60, fps=20.0)
    video(root / "c.mp4", frames=30, fps=10.1)  # the same rate, nearly
    diagnosis = doctor([root])
    assert diagnosis.figures["fps"] == {"10": 4, "20": 1}
    [finding] = [finding for finding in diagnosis.findings if finding.topic == "frame rate"]
    assert (finding.level, "--fps 10" in finding.remedy) == ("warning", True)
    assert list(reasons(diagnosis)) == ["b"]
    assert diagnosis.exit_code == 1


def test_mixed_aspects_say_what_stretching_does(tmp_path: Path) -> None:
    root = plain(tmp_path / "root")
    video(root / "c.mp4", width=36, height=64)
    diagnosis = doctor([root])
    assert diagnosis.figures["aspect"] == {"1.33": 4, "0.56": 1}
    [text] = texts(diagnosis, "aspect")
    assert "75 % of the width" in text and "56 % of the height" in text
    assert diagnosis.exit_code == 1


@pytest.mark.parametrize(
    ("row", "frames", "fault", "reason"),
    [
        (f"x.mp4,{SENTENCE},train", 2, "short", "2 frames"),
        (f"x.mp4,{SENTENCE} {SENTENCE} {SENTENCE},train", 7, "fast", "12 words in 0.7 s"),
        ("x.mp4,regen,train", 70, "slow", "1 word in 7.0 s"),
        (f"x.mp4,{SENTENCE} {SENTENCE},train", 311, "long", "31 s"),
    ],
)
def test_a_clip_that_does_not_fit_its_sentence(tmp_path: Path, row: str, frames: int, fault: str, reason: str) -> None:
    root = plain(tmp_path / "root")
    video(root / "x.mp4", frames=frames)
    with (root / "sentences.csv").open("a") as file:
        file.write(row + "\n")
    diagnosis = doctor([root])
    assert diagnosis.figures["faults"][fault] == ["x"]
    assert (diagnosis.exit_code, list(reasons(diagnosis))) == (1, ["x"])
    assert reason in reasons(diagnosis)["x"]


def test_files_that_are_missing_or_broken_are_the_worst(tmp_path: Path) -> None:
    root = plain(tmp_path / "root")
    (root / "broken.mp4").write_bytes(b"no video" * 50)
    with (root / "sentences.csv").open("a") as file:
        file.write("gone.mp4,am morgen,train\nbroken.mp4,am mittag,train\n")
    diagnosis = doctor([root])
    assert [clip.id for clip in diagnosis.worst] == ["gone", "broken"]
    assert diagnosis.exit_code == 1
    assert diagnosis.to_text().count("gone.mp4") == 2, "once as a warning, once among the worst"


def test_a_corpus_of_which_nothing_can_be_read_cannot_work(tmp_path: Path) -> None:
    root = plain(tmp_path / "root")
    for name in "abcde":
        (root / f"{name}.mp4").write_bytes(b"")
    diagnosis = doctor([root])
    assert diagnosis.exit_code == 2
    assert len(texts(diagnosis, "files", "problem")) == 1


def test_a_table_that_cannot_be_used_is_a_problem_with_its_remedy(tmp_path: Path) -> None:
    diagnosis = doctor([corpus(tmp_path / "root", ["a.mp4,train"], "path,split")])
    [finding] = diagnosis.findings
    assert (finding.level, diagnosis.exit_code) == ("problem", 2)
    assert "text" in finding.text and finding.remedy


def test_segments_are_measured_and_those_beyond_the_end_are_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    video(root / "talk.mp4", frames=90)
    rows = ["0,2,train,a", "2.5,5,dev,b", "8,12,test,c", "9.5,,train,d"]
    diagnosis = doctor([corpus(root, [f"talk.mp4,{SENTENCE},{row}" for row in rows], "path,text,start,end,split,id")])
    assert diagnosis.figures["files"] == 1, "each file is opened once"
    assert diagnosis.figures["seconds"]["shortest"] == pytest.approx(1.0), "of c, what the video has"
    assert diagnosis.figures["seconds"]["median"] == pytest.approx(2.0)
    assert (diagnosis.figures["faults"]["beyond"], diagnosis.figures["faults"]["behind"]) == (["c"], ["d"])
    assert list(reasons(diagnosis)) == ["d", "c"]


def test_ten_clips_are_the_worst_the_most_extreme_first(tmp_path: Path) -> None:
    root = tmp_path / "root"
    video(root / "a.mp4", frames=11)
    words = [f"{'wort ' * (10 + number)}{number}" for number in range(13)]
    diagnosis = doctor(
        [corpus(root, [f"a.mp4,{text},train,c{n}" for n, text in enumerate(words)], "path,text,split,id")]
    )
    assert [clip.id for clip in diagnosis.worst] == [f"c{number}" for number in range(12, 2, -1)]
    assert len(diagnosis.figures["faults"]["fast"]) == 13


def test_the_same_sentence_in_two_splits_and_companions_are_reported(tmp_path: Path) -> None:
    root = plain(tmp_path / "root")
    corpus(root, [f"a.mp4,{SENTENCE},train", f"b.mp4,{SENTENCE},dev", "c.mp4,es taut,test"])
    (root / "._a.mp4").write_bytes(b"x")
    (root / "Thumbs.db").write_bytes(b"x")
    diagnosis = doctor([root])
    assert any("more than one split" in text for text in texts(diagnosis, "corpus"))
    assert texts(diagnosis, "other files", "ok")[0].startswith("2 ")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_folders_of_images_count_their_frames(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "root"
    for number in range(50):
        path = root / "clip" / f"images{number:04}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((26, 21, 3), np.uint8))
    diagnosis = doctor([corpus(root, [f"clip,{SENTENCE},train"])])
    assert diagnosis.figures["seconds"]["longest"] == pytest.approx(2.0)
    assert (diagnosis.figures["fps"], diagnosis.figures["aspect"]) == ({"25": 1}, {"0.81": 1})
    assert texts(diagnosis, "frame rate", "warning") == ["1 clip of images without a rate, taken as 25/s"]


HEADER = "name|video|start|end|speaker|orth|translation"


def annotations(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        line = f"{split}clip|v|-1|-1|Signer01|REGEN MORGEN|es regnet am {split}"
        (folder / f"PHOENIX-2014-T.{split}.corpus.csv").write_text(f"{HEADER}\n{line}\n")
    return folder


def test_a_corpus_is_known_by_its_layout(tmp_path: Path) -> None:
    assert guess_corpus(plain(tmp_path / "mine")) == "folder"
    assert guess_corpus(annotations(tmp_path / "tables")) == "phoenix14t-avatar"
    annotations(tmp_path / "release" / "annotations" / "manual")
    assert guess_corpus(tmp_path / "release") == "phoenix14t-avatar"
    (tmp_path / "release" / "features" / "fullFrame-210x260px").mkdir(parents=True)
    assert guess_corpus(tmp_path / "release") == "phoenix14t"
    with pytest.raises(CorpusError, match="--corpus"):
        guess_corpus(tmp_path)


def test_counts_are_compared_with_the_release(tmp_path: Path) -> None:
    diagnosis = doctor([annotations(tmp_path)])
    assert diagnosis.figures["corpus"] == "phoenix14t-avatar"
    assert any("7,096" in text for text in texts(diagnosis, "corpus"))
    named = doctor([tmp_path], corpus="folder")
    assert named.exit_code == 2, "there is no sentence file"


def test_a_prepared_folder_is_judged_by_its_manifest(tmp_path: Path) -> None:
    clips = [
        PackedClip("t1", "train", SENTENCE, "clips/train/t1.mp4", 30, 10.0, aspect=0.8),
        PackedClip("d1", "dev", "es taut", "clips/dev/d1.mp4", 55, 25.0, aspect=1.78),
        PackedClip("e1", "test", "es regnet", "clips/test/e1.mp4", 20, 10.0),
    ]
    for clip in clips[1:]:
        (tmp_path / clip.file).parent.mkdir(parents=True)
        (tmp_path / clip.file).write_bytes(b"x")
    Manifest(tmp_path, tuple(clips), {"name": "folder", "language": "de"}).save()
    diagnosis = doctor([tmp_path])
    assert diagnosis.figures["fps"] == {"10": 2, "25": 1}
    assert diagnosis.figures["aspect"] == {"0.8": 1, "1.78": 1}
    assert any("t1" in text for text in texts(diagnosis, "corpus")), "its packed file is missing"
    assert diagnosis.exit_code == 1


@pytest.mark.parametrize(("split", "name"), [("train", "d.mp4"), ("dev", "e.mp4")])
def test_a_split_with_a_single_clip_is_a_warning(tmp_path: Path, split: str, name: str) -> None:
    root = plain(tmp_path / "root")
    (root / name).unlink()
    header, *rows = (root / "sentences.csv").read_text().splitlines()
    diagnosis = doctor([corpus(root, [row for row in rows if not row.startswith(name)], header)])
    [text] = texts(diagnosis, "clips")
    assert text.startswith(split) and diagnosis.exit_code == 1


def test_pseudo_glosses_of_other_sentences_are_a_warning(tiny: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.corpus, tmp_path / "corpus")
    assert texts(doctor([folder]), "pseudo-glosses") == []
    manifest = Manifest.load(folder)
    for changed in (manifest.clips[1:], (replace(manifest.clips[0], text="neu"), *manifest.clips[1:])):
        replace(manifest, clips=changed).save()
        assert len(texts(doctor([folder]), "pseudo-glosses")) == 1
    manifest.save()
    (folder / "pseudo_glosses.json").write_text("{}")
    assert len(texts(doctor([folder]), "pseudo-glosses")) == 1


def test_what_is_nothing_of_this_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such"):
        doctor([tmp_path / "gone"])
    with pytest.raises(CorpusError, match="cannot be read"):
        doctor([tmp_path / ("long" * 99)])
    with pytest.raises(CorpusError, match="built in"):
        doctor([tmp_path], corpus="wetter")
    with pytest.raises(CorpusError, match="MODEL"):
        doctor([video(tmp_path / "a.mp4")])
    with pytest.raises(CorpusError, match="MODEL"):
        doctor([plain(tmp_path / "root"), tmp_path / "root" / "a.mp4"])
