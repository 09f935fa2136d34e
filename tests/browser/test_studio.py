"""The studio as a person uses it, in Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glossfree.corpora.eaf import read_tier
from glossfree.video.decode import VideoFile, open_source

pytestmark = pytest.mark.slow
Open = Callable[..., Any]
VIEWS = ("translate", "browse", "predictions", "compare", "watch")


def upload(page: Any, path: Path) -> None:
    """Choose a file and wait for its translation."""
    page.set_input_files("#file", path)
    page.wait_for_selector(".timeline")


def until(page: Any, condition: str) -> None:
    """Wait for a condition; the page's security policy forbids Playwright's own way, which evaluates a string."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"never: {condition}")


def now(page: Any) -> float:
    """The second that the player shows."""
    until(page, "!document.querySelector('.screen video').seeking")
    return float(page.evaluate("document.querySelector('.screen video').currentTime"))


def translation(page: Any) -> dict[str, Any]:
    """What the API says of the translation that a page shows."""
    id = page.url.rpartition("/")[2]
    values: dict[str, Any] = page.evaluate("(id) => fetch(`/v1/translations/${id}`).then((r) => r.json())", id)
    return values


def test_a_video_becomes_a_sentence_with_its_timeline(open_page: Open, clips: list[Path]) -> None:
    page = open_page()
    upload(page, clips[0])
    (segment,) = translation(page)["segments"]
    assert page.locator(".sentence").inner_text() == (segment["sentence"] or "The model found no sentence.")
    assert page.locator(".readings li").count() == len(segment["n_best"]) - 1
    assert set(page.locator(".tracks .name").all_inner_texts()) == set(segment["timeline"]["names"])
    until(page, "document.querySelector('.screen video').readyState >= 2")
    sentence = page.locator(".sentence").inner_text()
    page.reload()  # the address keeps the translation
    page.wait_for_selector(".timeline")
    assert page.locator(".sentence").inner_text() == sentence


def test_a_dropped_file_and_an_example(open_page: Open) -> None:
    page = open_page()
    page.locator(".example").first.click()
    page.wait_for_selector(".timeline")
    page.get_by_role("button", name="New video").click()
    dropped = """() => { const data = new DataTransfer();
        data.items.add(new File(['no video'], 'notes.txt', {type: 'text/plain'}));
        document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data})); }"""
    page.wait_for_selector(".drop")
    page.evaluate(dropped)
    assert "notes.txt" in page.get_by_role("alert").inner_text()


def test_the_timeline_moves_the_player(open_page: Open, clips: list[Path]) -> None:
    page = open_page()
    upload(page, clips[0])
    timeline = open_source(VideoFile(clips[0])).timeline
    seconds, frame = timeline.seconds, 1 / timeline.fps
    slider = page.get_by_role("slider", name="Position in the video")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 10)
    assert now(page) == pytest.approx(seconds / 2, abs=seconds / box["width"] + 1e-3)
    assert float(slider.get_attribute("aria-valuenow")) == pytest.approx(now(page), abs=0.01)
    names = page.locator(".tracks .name").all_inner_texts()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    assert page.locator(".name.hovered").all_inner_texts() == names[:1]
    slider.focus()
    page.keyboard.press("Home")
    assert now(page) == 0
    page.keyboard.press("ArrowRight")
    assert now(page) == pytest.approx(frame, abs=1e-3)
    page.keyboard.press("ArrowLeft")
    assert now(page) == 0
    page.keyboard.press("End")
    assert now(page) == pytest.approx(seconds, abs=frame)
    page.keyboard.press("Home")
    page.evaluate("document.querySelector('.screen video').loop = true")  # it plays until it is paused
    page.keyboard.press("Space")
    until(page, "document.querySelector('.screen video').currentTime > 0.2")
    # the playhead moves along
    until(page, f"document.querySelector('.over .line').getBoundingClientRect().left > {box['x'] + 1}")
    page.keyboard.press("Space")
    assert page.evaluate("document.querySelector('.screen video').paused")
    name = page.locator(".tracks .name").last
    name.click()
    minutes, rest = re.search(r"go to (\d+):([\d.]+)", name.get_attribute("aria-label")).groups()
    assert now(page) == pytest.approx(60 * int(minutes) + float(rest), abs=0.06)


def test_all_that_can_be_saved(open_page: Open, clips: list[Path], tmp_path: Path) -> None:
    page = open_page()
    upload(page, clips[0])
    sentence = translation(page)["segments"][0]["sentence"]
    begins = {"vtt": b"WEBVTT", "srt": b"1\n", "json": b"{", "svg": b"<svg", "png": b"\x89PNG", "eaf": b"<?xml"}
    for form, start in begins.items():
        page.locator(".menu summary").click()
        with page.expect_download() as download:
            page.locator(f".menu a[download$='.{form}']").click()
        path = tmp_path / f"saved.{form}"
        download.value.save_as(path)
        assert download.value.suggested_filename == f"{clips[0].stem}.{form}"
        assert path.read_bytes().startswith(start)
    assert [text for _, _, text in read_tier(tmp_path / "saved.eaf", "sentence")[1]] == [sentence]
    assert json.loads((tmp_path / "saved.json").read_text(encoding="utf-8"))["segments"][0]["sentence"] == sentence


def test_the_webcam_start_stop_retake(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Use the webcam").click()
    until(page, "document.querySelectorAll('.checks .good, .checks .bad').length >= 2")
    for again in (True, False):
        page.get_by_role("button", name="Record", exact=True).click()
        page.wait_for_selector("text=/Recording \\d+ s/")
        page.wait_for_timeout(1500)
        page.get_by_role("button", name="Stop").click()
        page.wait_for_selector("text=Your recording")
        if again:
            page.get_by_role("button", name="Record again").click()
    page.get_by_role("button", name="Translate this").click()
    page.wait_for_selector(".timeline")
    assert translation(page)["video"]["seconds"] > 1
    assert page.evaluate("document.querySelector('.mirror')") is None


def test_without_a_camera_it_says_what_to_do(open_page: Open) -> None:
    page = open_page()
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no')); }")
    page.get_by_role("button", name="Use the webcam").click()
    assert "Allow the camera" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("button", name="Choose a file").is_visible()


def test_after_an_unreadable_file_the_next_one_works(open_page: Open, clips: list[Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged <b>.mp4"
    damaged.write_bytes(b"this is no video" * 100)
    page = open_page(locale="de-DE")
    page.set_input_files("#file", damaged)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "damaged <b>.mp4: Diese Datei lässt sich nicht als Video lesen" in alert.inner_text()
    upload(page, clips[1])


def test_a_file_of_300_mb_is_refused_before_it_is_sent(open_page: Open, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(300_000_000)
    page = open_page()
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    page.set_input_files("#file", large)
    alert = page.get_by_role("alert").inner_text()
    assert "300 MB" in alert and "200 MB" in alert
    assert sent == []


def test_a_server_that_is_gone_and_a_translation_that_is_forgotten(open_page: Open, clips: list[Path]) -> None:
    page = open_page("translate/nothing", tolerated="Failed to load")
    page.get_by_role("alert").wait_for()
    assert "no longer kept" in page.get_by_role("alert").inner_text()
    page.route("**/v1/translations", lambda route: route.abort())
    page.set_input_files("#file", clips[0])
    page.get_by_text("does not answer").wait_for()
    page.unroute("**/v1/translations")
    upload(page, clips[0])


def test_two_tabs_each_show_their_own(open_page: Open, clips: list[Path]) -> None:
    pages = [open_page(), open_page()]
    for page, clip in zip(pages, clips, strict=False):
        page.set_input_files("#file", clip)
    for page, clip in zip(pages, clips, strict=False):
        page.wait_for_selector(".timeline")
        assert page.locator(".file").inner_text() == translation(page)["file"] == clip.name


def test_segments_are_split_moved_merged_and_translated_again(open_page: Open, long_video: Path) -> None:
    page = open_page()
    upload(page, long_video)
    before = [(each["start"], each["end"]) for each in translation(page)["segments"]]
    assert len(before) > 2  # far longer than training's clips: cut
    assert page.locator(".transcript li").count() == len(before)
    assert page.get_by_role("button", name="Translate again").is_hidden()
    edge = page.get_by_role("slider", name="End of segment 1", exact=True)
    edge.scroll_into_view_if_needed()
    box, lane = edge.bounding_box(), page.locator(".segments").bounding_box()
    page.mouse.move(box["x"] + 6, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 6 - lane["width"] * 0.5 / before[-1][1], box["y"] + 10, steps=5)
    page.mouse.up()
    moved = float(edge.get_attribute("aria-valuenow"))
    assert moved == pytest.approx(before[0][1] - 0.5, abs=0.05)
    page.locator(".block .body").nth(1).click()
    page.get_by_role("button", name="Merge with next").click()
    page.get_by_role("button", name="Translate again").click()
    page.wait_for_selector(".block.fresh", state="detached")
    page.wait_for_selector(".timeline")
    after = [(each["start"], each["end"]) for each in translation(page)["segments"]]
    assert len(after) == len(before) - 1
    assert after[0][1] == after[1][0] == pytest.approx(moved, abs=0.01)
    assert after[2:] == before[3:]
    page.locator(".block .body").first.focus()
    page.keyboard.press("Tab")  # to an edge: the keyboard moves it too
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".block.fresh").count() == 2
    page.locator(".over .line").scroll_into_view_if_needed()
    slider = page.get_by_role("slider", name="Position in the video")
    slider.click(position={"x": lane["width"] * sum(after[1]) / 2 / after[-1][1], "y": 10})
    page.get_by_role("button", name="Split here").click()
    assert page.locator(".block").count() == len(after) + 1
    page.get_by_role("button", name="Discard changes").click()
    assert page.locator(".block.fresh").count() == 0


def test_browse_search_and_translate_a_clip(open_page: Open) -> None:
    page = open_page("browse")
    page.wait_for_selector(".clip")
    page.get_by_label("Split").select_option("test")
    until(page, "document.querySelectorAll('.clip').length === 5")
    sentence = page.locator(".clip .text").first.inner_text()
    page.get_by_role("searchbox").fill(sentence)
    until(page, "document.querySelectorAll('.clip').length < 5")
    player = page.locator(".clip .player").first
    player.click()
    until(page, "!document.querySelector('.clip video').paused")
    page.get_by_role("link", name="Translate", exact=True).last.click()
    page.wait_for_selector(".timeline")


def test_predictions_compare_and_watch(open_page: Open) -> None:
    page = open_page("predictions")
    page.wait_for_selector(".pair")
    assert page.locator(".pair").count() == 5
    page.get_by_text("What goes wrong").click()
    page.wait_for_selector(".facts")
    page.goto(page.url.partition("#")[0] + "#compare")
    page.wait_for_selector(".balance")
    assert page.locator(".balance .ties").inner_text() == "equal on 5"
    page.goto(page.url.partition("#")[0] + "#watch")
    page.wait_for_selector(".chart polyline")
    assert page.locator(".tile b").first.inner_text() == "finished"


def test_german_and_dark_are_kept(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    page.get_by_role("button", name="Deutsch").click()
    page.get_by_role("button", name=re.compile("Hell oder dunkel")).click()
    page.get_by_role("button", name=re.compile("Hell oder dunkel")).click()
    page.reload()
    page.wait_for_selector("h1")
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dataset.theme]") == ["de", "dark"]
    assert page.get_by_role("button", name="Datei wählen").is_visible()
    assert max(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) < 60


@pytest.mark.parametrize("width", [360, 768, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_error_and_no_sideways_scrolling(
    open_page: Open, clips: list[Path], width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for view in (*VIEWS, "result"):
        if view == "result":
            page.goto(page.url.partition("#")[0])
            upload(page, clips[0])
        else:
            page.goto(page.url.partition("#")[0] + f"#{view}")
            page.wait_for_selector({"browse": ".clip", "watch": ".chart"}.get(view, ".pair, .drop"))
        page.wait_for_load_state("networkidle")
        found = axe.run(page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], view
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
