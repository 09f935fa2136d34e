"""translate: clips in order, past those that cannot be read; long videos in pieces; forms that editors open."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from glossfree.cli.translate import translate as translate_verb
from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import GlossfreeError, ModelError
from glossfree.serving.translations import Failure, Translation
from glossfree.video.pack import read_clip, write_clip


def translate(model: Path, clips: list[Path], **options: Any) -> list[Translation | Failure]:
    return list(translate_verb(model, clips, Silent(), **options).results)


@pytest.fixture
def long_video(tiny: Any, tmp_path: Path) -> Path:
    """Three clips, twice in a row, cut to 8 seconds."""
    clips = Manifest.load(tiny.corpus).split("test")[:3]
    frames = np.concatenate([read_clip(tiny.corpus / clip.file) for clip in clips] * 2)
    write_clip(tmp_path / "long.mp4", frames[:64], 8)
    return tmp_path / "long.mp4"


def test_one_translation_a_clip_in_the_order_given(tiny: Any, tiny_model: Path) -> None:
    paths = [tiny.corpus / clip.file for clip in reversed(Manifest.load(tiny.corpus).split("dev"))]
    results = translate(tiny_model, paths, hypotheses=2)
    assert [each.path for each in results] == [str(path) for path in paths]
    assert [len(each.hypotheses) for each in results if isinstance(each, Translation)] == [2] * 4


def test_text_has_a_line_for_each_hypothesis(
    tiny: Any, tiny_model: Path, tmp_path: Path, call: Callable[..., Any]
) -> None:
    good = tiny.corpus / Manifest.load(tiny.corpus).split("test")[0].file
    (tmp_path / "bad.mp4").write_text("no video")
    words = ("translate", tiny_model, good, tmp_path / "bad.mp4", "--hypotheses", 3)
    each, _ = (json.loads(line) for line in call(*words, "--json").out.splitlines())
    expected = [f"{good.name}: {one['score']:.3f}\t{one['text']}\n" for one in each["hypotheses"]]
    assert call(*words).out == "".join([*expected, "\n\n\n"]) and len(expected) == 3


def test_a_folder_of_videos_is_a_list_of_videos(tiny: Any, tiny_model: Path, tmp_path: Path, call: Any) -> None:
    clips = [tiny.corpus / clip.file for clip in Manifest.load(tiny.corpus).split("test")[:3]]
    for name, clip in zip(("10.mp4", "9.MP4", "._9.MP4"), clips, strict=True):
        shutil.copyfile(clip, tmp_path / name)
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert [Path(each.path).name for each in translate(tiny_model, [tmp_path])] == ["9.MP4", "10.mp4"]
    (tmp_path / "more").mkdir()
    assert "passed over, name them as well: more" in call("translate", tiny_model, tmp_path).err


def test_bad_clips_do_not_end_it(tiny: Any, tiny_model: Path, tmp_path: Path, call: Callable[..., Any]) -> None:
    good = tiny.corpus / Manifest.load(tiny.corpus).split("test")[0].file
    (tmp_path / "bad.mp4").write_text("no video")
    shown = call("translate", tiny_model, tmp_path / "bad.mp4", good, tmp_path / "none.mp4", "--json")
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [set(line) >= {"path", "error"} for line in lines] == [True, False, True]
    assert lines[1]["hypotheses"] and shown.code == 1
    assert "bad.mp4" in shown.err and "none.mp4" in shown.err
    lines = call("translate", tiny_model, tmp_path / "bad.mp4", good, tmp_path / "none.mp4").out.split("\n")
    assert lines == ["", f"{good.name}: {json.loads(shown.out.splitlines()[1])['text']}", "", ""]
    assert call("translate", tiny_model, tmp_path / "bad.mp4").code == 2


def test_the_model_is_looked_at_before_any_clip(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("")
    with pytest.raises(ModelError, match="no-model"):
        translate(tmp_path / "no-model", [tmp_path / "a.mp4"])


def test_windows_cover_the_video_without_a_stump(long_video: Path, tiny_model: Path) -> None:
    pieces = [each for each in translate(tiny_model, [long_video], window=3) if isinstance(each, Translation)]
    assert [(each.start, each.end) for each in pieces] == [(0, 3), (3, 6), (6, 8)]
    assert [(each.start, each.end) for each in translate(tiny_model, [long_video], window=3.5)] == [(0, 3.5), (3.5, 8)]


def test_segments_of_a_file_are_translated_one_by_one(
    long_video: Path, tiny_model: Path, tmp_path: Path, call: Callable[..., Any]
) -> None:
    (tmp_path / "cut.srt").write_text("1\n00:00:00,500 --> 00:00:02,000\nx\n\n2\n00:00:04,000 --> 00:00:07,000\ny\n\n")
    shown = call("translate", tiny_model, long_video, "--segments", tmp_path / "cut.srt", "--json")
    assert [(json.loads(line)["start"], json.loads(line)["end"]) for line in shown.out.splitlines()] == [
        (0.5, 2.0),
        (4.0, 7.0),
    ]
    plain = call("translate", tiny_model, long_video, "--start", 1, "--end", 3)
    assert plain.out.split("\t")[:2] == ["1.00", "3.00"]


@pytest.mark.parametrize("form", ["srt", "vtt", "eaf"])
def test_translations_are_written_for_editors(
    form: str, long_video: Path, tiny_model: Path, tmp_path: Path, call: Callable[..., Any]
) -> None:
    """And read back as segments."""
    out = tmp_path / f"said.{form}"
    assert call("translate", tiny_model, long_video, "--window", 4, "--format", form, "--out", out).code == 0
    tier = ("--tier", "sentence") if form == "eaf" else ()
    again = call("translate", tiny_model, long_video, "--segments", out, *tier, "--json")
    assert [json.loads(line)["end"] for line in again.out.splitlines()] == [4.0, 8.0]


@pytest.mark.parametrize("window", ["inf", "nan", 0.4, 1e9])
def test_windows_are_between_half_a_second_and_a_day(
    window: str | float, long_video: Path, tiny_model: Path, call: Callable[..., Any]
) -> None:
    done = call("translate", tiny_model, long_video, "--window", window)
    assert done.code == 2 and "--window" in done.err


@pytest.mark.parametrize(
    "options",
    [
        {"start": 1.0, "end": 2.0, "window": 3.0},
        {"start": 2.0, "end": 1.0},
        {"segments": Path("none.srt"), "window": 1},
    ],
)
def test_ways_of_cutting_that_do_not_go_together_are_refused(
    options: dict[str, Any], long_video: Path, tiny_model: Path
) -> None:
    with pytest.raises(GlossfreeError):
        translate(tiny_model, [long_video], **options)
    with pytest.raises(GlossfreeError, match="one video"):
        translate(tiny_model, [long_video, long_video], start=1.0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--format", "srt"), "one .srt file belongs to one video"),
        (("--out", "nowhere/said.txt"), "nowhere/said.txt: cannot be written"),
        (("--format", "vtt", "--json"), "--json and --format vtt"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_model_is_loaded(
    options: tuple[str, ...], problem: str, tmp_path: Path, call: Callable[..., Any]
) -> None:
    clips = [tmp_path / name for name in (("a.mp4",) if "--json" in options else ("a.mp4", "b.mp4"))]
    shown = call("translate", tmp_path / "no-model", *clips, *options)
    assert (shown.code, shown.out) == (2, "") and problem in shown.err


def test_several_clips_are_named(tiny: Any, tiny_model: Path, tmp_path: Path, call: Callable[..., Any]) -> None:
    clip, *_ = Manifest.load(tiny.corpus).split("test")
    for name in ("a.mp4", "b.mp4"):
        shutil.copyfile(tiny.corpus / clip.file, tmp_path / name)
    sentence = call("translate", tiny_model, tmp_path / "a.mp4").out
    assert call("translate", tiny_model, tmp_path).out == f"a.mp4: {sentence}b.mp4: {sentence}"
    assert call("translate", tiny_model, tmp_path, "--out", tmp_path / "said.txt").out == ""
    assert (tmp_path / "said.txt").read_text() == f"a.mp4: {sentence}b.mp4: {sentence}"


def test_one_frame_is_no_clip(tiny_model: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        write_clip(tmp_path / "a.mp4", np.zeros((count, 36, 44, 3), np.uint8), 25)
        (result,) = translate(tiny_model, [tmp_path / "a.mp4"])
        assert isinstance(result, Failure) and "too short" in str(result.error)


def test_a_folder_of_images_has_the_rate_that_is_given(tiny: Any, tiny_model: Path, tmp_path: Path, call: Any) -> None:
    clip, *_ = Manifest.load(tiny.corpus).split("test")
    (tmp_path / "images").mkdir()
    for number, frame in enumerate(read_clip(tiny.corpus / clip.file)):
        cv2.imwrite(str(tmp_path / f"images/{number:03}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    shown = call("translate", tiny_model, tmp_path / "images", "--fps", 8, "--window", 1, "--json")
    pieces = [json.loads(line) for line in shown.out.splitlines()]
    assert {each["fps"] for each in pieces} == {8.0} and "frames/s" not in shown.err
    assert pieces[-1]["end"] == pytest.approx(clip.num_frames / 8) and len(pieces) == round(clip.num_frames / 8)
    assert "images are taken as 25 frames/s: fps (--fps)" in call("translate", tiny_model, tmp_path / "images").err
    assert "--fps" not in call("translate", tiny_model, tiny.corpus / clip.file).err
