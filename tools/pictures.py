"""The README's pictures, made from a demo that has run: `python tools/pictures.py runs/demo`.

`docs/images/clip.webp`: one test clip, its translation, its true signs and its strongest pseudo-glosses over time.
`docs/images/report.png` and `studio.png`: the top of the report, and a translation in the studio, as Chromium shows
them (skipped where there is no Chromium).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from glossfree.avatar import wetter
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.translator import SignTranslator, Translation

IMAGES = Path(__file__).parents[1] / "docs/images"
SIZE = 256  # pixels of the signer
WIDTH, HEIGHT, MARGIN, LABELS, ROW = 800, 366, 12, 150, 24
ROWS = 9  # true signs and pseudo-glosses together
INK, QUIET, PAPER, HEAT, TRUTH = (34, 34, 40), (120, 120, 128), (255, 255, 255), (196, 120, 20), (90, 160, 60)
FONT = cv2.FontFace("sans")
PORT = 8799


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="folder that `make demo` has written")
    demo: Path = parser.parse_args().demo
    translator = SignTranslator.from_pretrained(demo / "model")
    manifest = Manifest.load(demo / "corpus")
    clip = next(clip for clip in manifest.split("test") if len(clip.spans) >= 6)  # the first that shows much
    translation = translator.explain(manifest.folder / clip.file, num_tracks=ROWS - 1)
    frames = animation(clip, translation)
    IMAGES.mkdir(exist_ok=True)
    movie = cv2.Animation()
    movie.frames = [frame[..., ::-1].copy() for frame in frames]
    movie.durations = [int(1000 / clip.fps)] * (len(frames) - 1) + [1500]
    if not cv2.imwriteanimation(str(IMAGES / "clip.webp"), movie, [cv2.IMWRITE_WEBP_QUALITY, 60]):
        raise SystemExit("OpenCV cannot write WebP here")
    screenshot(demo / "report.html", IMAGES / "report.png")
    photograph_studio(demo, IMAGES / "studio.png")


def animation(clip: PackedClip, translation: Translation) -> np.ndarray:
    """(T, HEIGHT, WIDTH, 3) uint8 RGB: the signer, the timeline with a moving playhead, both sentences."""
    drawn = next(each for each in wetter.clips(None, "test") if each.id == clip.id)
    signer = drawn.source.render(SIZE)
    still = canvas(clip, translation)
    left, right = MARGIN * 2 + SIZE + LABELS, WIDTH - MARGIN
    pages = []
    for number, picture in enumerate(signer):
        page = still.copy()
        page[MARGIN : MARGIN + SIZE, MARGIN : MARGIN + SIZE] = picture
        x = left + round((right - left) * (number + 0.5) / len(signer))
        cv2.line(page, (x, MARGIN), (x, MARGIN + SIZE), INK, 1)
        pages.append(page)
    return np.stack(pages)


def canvas(clip: PackedClip, translation: Translation) -> np.ndarray:
    """All that does not move."""
    page = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    left, right, top = MARGIN * 2 + SIZE + LABELS, WIDTH - MARGIN, MARGIN + 4
    scale = (right - left) / clip.num_frames
    write(page, "true signs", (left - LABELS, top + 16), QUIET)
    for span in clip.spans:
        corners = (left + round(span.start * scale), top), (left + round(span.end * scale) - 2, top + ROW - 6)
        cv2.rectangle(page, *corners, TRUTH, -1)
        write(page, span.gloss[:7], (corners[0][0] + 2, top + 13), PAPER, 10)
    strongest = max(max(track.timeline) for track in translation.tracks)
    by_time = sorted(translation.tracks, key=lambda track: int(np.argmax(track.timeline)))
    for row, track in enumerate(by_time, start=1):
        y = top + row * (ROW + 3)
        write(page, track.pseudo_gloss, (left - LABELS, y + 16), INK)
        edges = np.linspace(left, right, len(track.timeline) + 1).round().astype(int)
        for score, begin, end in zip(track.timeline, edges[:-1], edges[1:], strict=True):
            weight = score / strongest
            color = tuple(round(p + (h - p) * weight) for p, h in zip((244, 244, 246), HEAT, strict=True))
            cv2.rectangle(page, (int(begin), y), (int(end) - 1, y + ROW - 4), color, -1)
    y = MARGIN + SIZE + 40
    for name, text in (("signed", clip.text), ("translated", translation.text)):
        write(page, name, (MARGIN, y), QUIET)
        write(page, text, (MARGIN + 90, y), INK)
        y += 30
    return page


def write(page: np.ndarray, text: str, place: tuple[int, int], color: tuple[int, int, int], size: int = 14) -> None:
    """Text with its base line at `place`."""
    cv2.putText(page, text, place, color, FONT, size)


def find_browser() -> str | None:
    """The path of Chromium, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def photograph_studio(demo: Path, picture: Path) -> None:
    """An example of the demo's corpus, translated in the studio, as a PNG."""
    browser = find_browser()
    if browser is None:
        return
    from playwright.sync_api import sync_playwright  # of the tests

    server = [sys.executable, "-m", "glossfree", "studio", demo / "model", "--corpus", demo / "corpus"]
    running = subprocess.Popen([*map(str, server), "--no-open", "--port", str(PORT)])
    try:
        for _ in range(100):
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/models").read()
                break
            time.sleep(0.2)
        with sync_playwright() as playwright:
            window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = window.new_page(viewport={"width": 1100, "height": 940}, locale="en", color_scheme="light")
            page.goto(f"http://127.0.0.1:{PORT}/")
            page.locator(".example").nth(1).click()
            page.get_by_role("slider", name="Position in the video").click()
            page.wait_for_timeout(1000)
            page.evaluate("() => scrollTo(0, 0)")
            page.screenshot(path=picture)
            window.close()
    finally:
        running.terminate()
        running.wait()


def screenshot(page: Path, picture: Path) -> None:
    """The top of an HTML page as a PNG."""
    browser = find_browser()
    if browser is None:
        return
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1100,900"]
    subprocess.run(
        [browser, *options, f"--screenshot={picture}", page.resolve().as_uri()], check=True, stderr=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main()
