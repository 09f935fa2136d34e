"""Cards of clips: what is said of each."""

from __future__ import annotations

import numpy as np

from glossfree.report.clips import clips_section, legend
from glossfree.report.data import ReportClip

FRAMES = np.full((5, 12, 10, 3), 90, np.uint8)


def test_right_and_wrong_translations_are_told_apart():
    right = ReportClip("a", "am tag sonne", "am tag sonne", 25.0, frames=FRAMES)
    wrong = ReportClip("b", "am tag sonne", "am tag", 25.0, frames=FRAMES)
    html = clips_section([right, wrong])
    assert html.count('data-exact="yes"') == 1 and html.count('data-exact="no"') == 1
    assert "word for word" in html and "ROUGE-L 77" in html  # P = 1, R = 2/3


def test_the_legend_names_only_what_occurs():
    plain = ReportClip("a", "x", "x", 25.0, frames=FRAMES)
    assert "pseudo-gloss" not in legend([plain]) and "avatar" not in legend([plain])


def test_the_search_text_is_lower_case():
    html = clips_section([ReportClip("Clip-A", "Am Tag", "Abend", 25.0, frames=FRAMES)])
    assert 'data-text="clip-a am tag abend"' in html


def test_a_clip_without_frames_keeps_its_sentences():
    html = clips_section([ReportClip("a", "am tag", "abend", 25.0, problem="missing file")])
    assert "missing file" in html and "<video" not in html and "abend" in html
