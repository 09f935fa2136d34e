"""Saved translations, read back by the readers that others use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import webvtt
from pympi.Elan import Eaf
from pysubs2 import SSAFile

from glossfree.corpora.captions import read_captions
from glossfree.corpora.eaf import read_tier
from glossfree.studio import exports
from glossfree.studio.exports import FORMATS, ExportError, export, timeline_rows

SENTENCES = ["in köln <b>regnet</b> & stürmt es", "morgen --> sonne"]


def segment(start: float, end: float, sentence: str, names: list[str], values: list[list[float]]) -> dict[str, Any]:
    times = np.linspace(start, end, 2 * len(values[0]) + 1)[1::2].tolist()
    signs = [{"name": name, "score": 0.5, "start": start, "end": end - 0.25} for name in names]
    timeline = {"names": names, "times": times, "values": values}
    return {"start": start, "end": end, "sentence": sentence, "pseudo_glosses": signs, "timeline": timeline}


def translation(**changes: Any) -> dict[str, Any]:
    segments = [
        segment(0.5, 2.0, SENTENCES[0], ["köln", "regen"], [[0.9, 0.1, 0.0], [0.02, 0.4, 0.6]]),
        segment(2.0, 4.5, SENTENCES[1], ["morgen", "regen"], [[0.8, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.3]]),
    ]
    video = {"seconds": 5.0, "frames_per_second": 25.0, "width": 320, "height": 240}
    values = {"id": "x", "state": "done", "file": "Wetter & Wind.mp4", "video": video, "segments": segments}
    return values | changes


def written(folder: Path, form: str, **changes: Any) -> Path:
    file = export(translation(**changes), form)
    path = folder / file.name
    path.write_bytes(file.content)
    return path


def test_names_keep_the_video_s_and_drop_folders() -> None:
    assert export(translation(), "srt").name == "Wetter & Wind.srt"
    assert export(translation(file="../../etc/a.b.webm"), "srt").name == "a.b.srt"
    assert export(translation(file="C:\\Videos\\a.mov"), "srt").name == "a.srt"
    assert export(translation(file=""), "srt").name == "video.srt"


def test_elan_has_both_tiers_and_links_the_video_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, "eaf")
    name, sentences = read_tier(path, "sentence")
    assert (name, sentences) == ("sentence", [(0.5, 2.0, SENTENCES[0]), (2.0, 4.5, SENTENCES[1])])
    signs = [each for tier in ("pseudo-gloss", "pseudo-gloss 2") for each in read_tier(path, tier)[1]]
    assert sorted(signs) == [(0.5, 1.75, "köln"), (0.5, 1.75, "regen"), (2.0, 4.25, "morgen"), (2.0, 4.25, "regen")]
    root = ElementTree.fromstring(path.read_bytes())
    assert (root.get("VERSION"), root.get("FORMAT")) == ("3.0", "3.0")
    (media,) = root.iter("MEDIA_DESCRIPTOR")
    assert media.get("RELATIVE_MEDIA_URL") == "./Wetter & Wind.mp4"
    assert media.get("MEDIA_URL") == "file:///Wetter & Wind.mp4"  # nothing of this machine
    assert media.get("MIME_TYPE") == "video/mp4"


def test_pympi_reads_the_elan_file(tmp_path: Path) -> None:
    eaf = Eaf(str(written(tmp_path, "eaf")))
    assert sorted(eaf.get_tier_names()) == ["pseudo-gloss", "pseudo-gloss 2", "sentence"]
    assert sorted(eaf.get_annotation_data_for_tier("sentence")) == [
        (500, 2000, SENTENCES[0]),
        (2000, 4500, SENTENCES[1]),
    ]


def test_a_model_without_pseudo_glosses_has_one_tier(tmp_path: Path) -> None:
    segments = [{"start": 0.0, "end": 1.0, "sentence": "a", "pseudo_glosses": []}]
    assert Eaf(str(written(tmp_path, "eaf", segments=segments))).get_tier_names() == dict.fromkeys(["sentence"]).keys()


def test_captions_are_read_by_their_libraries_and_ours(tmp_path: Path) -> None:
    vtt, srt = written(tmp_path, "vtt"), written(tmp_path, "srt")
    assert [(cue.start, cue.end) for cue in webvtt.read(vtt)] == [
        ("00:00:00.500", "00:00:02.000"),
        ("00:00:02.000", "00:00:04.500"),
    ]
    assert [(line.start, line.end) for line in SSAFile.load(str(srt))] == [(500, 2000), (2000, 4500)]
    for path in (vtt, srt):
        assert [caption.text for caption in read_captions(path)] == SENTENCES


def test_json_is_the_translation_without_the_queue() -> None:
    values = json.loads(export(translation(), "json").content)
    assert values["segments"] == translation()["segments"]
    assert not {"id", "state", "progress"} & set(values)


def test_rows_are_in_the_order_of_peaks_and_cells_meet_halfway() -> None:
    rows = dict(timeline_rows(translation()["segments"]))
    assert list(rows) == ["köln", "regen", "morgen"]
    (first, second) = rows["köln"]
    assert first == pytest.approx((0.5, 1.0, 1.0))
    assert second == pytest.approx((1.0, 1.5, (0.1 / 0.9) ** exports.GAMMA))
    assert len(rows["regen"]) == 3  # 0.02 is below 3 % of 0.9


def test_as_many_rows_as_the_page_shows() -> None:
    names = [f"n{number:02d}" for number in range(31)]
    values = [[float(number), 0.0, 0.0] for number in range(31)]
    assert [name for name, _ in timeline_rows([segment(0, 3, "", names, values)])] == names[:20:-1]
    assert len(timeline_rows([segment(n, n + 1, "", names, values) for n in range(13)])) == exports.MOST_ROWS


def test_the_drawing_escapes_texts_and_lies_inside_its_box() -> None:
    root = ElementTree.fromstring(export(translation(), "svg").content)
    texts = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Wetter & Wind.mp4", "köln", "regen", "morgen"} <= texts
    assert any(SENTENCES[0] in text for text in texts)
    width = float(root.get("width", 0))
    for box in list(root.iter("{http://www.w3.org/2000/svg}rect"))[1:]:
        assert 0 <= float(box.get("x", 0)) <= float(box.get("x", 0)) + float(box.get("width", 0)) <= width


def test_a_long_sentence_is_broken_into_lines() -> None:
    long = " ".join(["sonnenschein"] * 30)
    heights = [
        float(
            ElementTree.fromstring(
                export(translation(segments=[{**segment(0, 2, text, ["a"], [[1.0]])}]), "svg").content
            ).get("height", 0)
        )
        for text in ("kurz", long)
    ]
    assert heights[1] > heights[0] + 2 * 19


def test_the_picture_is_the_drawing_in_pixels() -> None:
    pixels = cv2.imdecode(np.frombuffer(export(translation(), "png").content, np.uint8), cv2.IMREAD_COLOR)
    svg = ElementTree.fromstring(export(translation(), "svg").content)
    assert pixels.shape[1] == exports.PNG_ZOOM * float(svg.get("width", 0))
    orange = (pixels[..., 2] > 180) & (pixels[..., 0] < 60)  # BGR
    assert orange.sum() > 1000
    names = pixels[:, : int(140 * exports.PNG_ZOOM)]
    assert (names.max(axis=2) < 100).sum() > 200  # dark letters: a machine without fonts draws them too


def test_a_timeline_without_time_or_names_can_be_drawn() -> None:
    bare = [{"start": 0.0, "end": 0.04, "sentence": ""}]
    assert export(translation(segments=bare, video={}), "svg").content.startswith(b"<svg")


def test_refusals() -> None:
    with pytest.raises(ExportError, match="unknown format 'exe'") as caught:
        export(translation(), "exe")
    assert caught.value.status == 422
    for form in FORMATS:
        with pytest.raises(ExportError, match="nothing is translated") as caught:
            export(translation(segments=[]), form)
        assert caught.value.status == 409
