"""phoenix14t-avatar: annotation lines become drawn clips; errors name the line."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from glossfree.avatar.signing import SignedSentence
from glossfree.avatar.signs import MAIN_PARAMETERS
from glossfree.corpora import phoenix14t
from glossfree.errors import CorpusError

HEADER = "name|video|start|end|speaker|orth|translation"
LINES = {
    "train": ["a-1|v|0|0|Signer01|MORGEN NORD REGEN|morgen regnet es im norden", "a-2|v|0|0|Signer02|WIND|windig"],
    "dev": ["b-1|v|0|0|Signer01|SUED WIND|wind im süden"],
    "test": ["c-1|v|0|0|Signer03||sonst ist es ruhig", "c-2|v|0|0|Signer03|REGEN|es regnet"],
}


def write(folder: Path, **changed: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in (LINES | changed).items():
        path = folder / f"PHOENIX-2014-T.{split}.corpus.csv"
        path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("below", ["", "annotations/manual"])
def test_lines_become_clips(tmp_path, below):
    write(tmp_path / below)
    first, second = phoenix14t.drawn_clips(tmp_path, "train")
    assert (first.id, first.split, first.text) == ("a-1", "train", "morgen regnet es im norden")
    assert isinstance(first.source, SignedSentence)
    assert first.source.glosses == ("MORGEN", "NORD", "REGEN")
    assert first.spans == first.source.spans
    assert first.fps == first.source.fps == 12.5
    assert len(second.source.render(48)) == second.source.num_frames


def test_a_gloss_is_one_sign_in_all_splits(tmp_path):
    write(tmp_path)
    seen: dict[str, set] = {}
    for split in LINES:
        for clip in phoenix14t.drawn_clips(tmp_path, split):
            for gloss, sign in zip(clip.source.glosses, clip.source.signs, strict=True):
                seen.setdefault(gloss, set()).add(sign)
    assert set(seen) == {"MORGEN", "NORD", "REGEN", "WIND", "SUED"}
    assert all(len(drawn) == 1 for drawn in seen.values())
    for (one,), (other,) in combinations(seen.values(), 2):
        assert sum(getattr(one, name) != getattr(other, name) for name in MAIN_PARAMETERS) >= 2


def test_limit_fps_and_seed(tmp_path):
    write(tmp_path)
    (only,) = phoenix14t.drawn_clips(tmp_path, "train", limit=1)
    (fast,) = phoenix14t.drawn_clips(tmp_path, "train", limit=1, fps=25.0)
    (other,) = phoenix14t.drawn_clips(tmp_path, "train", limit=1, seed=1)
    assert fast.source.num_frames > 1.5 * only.source.num_frames
    assert other.source.seed != only.source.seed
    assert list(phoenix14t.drawn_clips(tmp_path, "train", limit=0)) == []


def test_a_clip_without_glosses_is_kept_and_named(tmp_path):
    write(tmp_path)
    still, _ = phoenix14t.drawn_clips(tmp_path, "test")
    assert still.spans == ()
    assert np.ptp(still.source.poses(), axis=0).max() < 1e-12
    problems = phoenix14t.check_drawn(tmp_path)
    assert "test: clips without a gloss: 1: c-1" in problems
    assert any("train: 2 clips, 7,096" in problem for problem in problems)


def test_check_names_a_clip_of_two_splits(tmp_path):
    write(tmp_path, dev=LINES["train"][:1])
    problems = phoenix14t.check_drawn(tmp_path)
    assert any("'a-1' is in train and in dev" in problem for problem in problems)
    assert any("1 sentence" in problem for problem in problems)


def test_missing_file_and_column(tmp_path):
    with pytest.raises(CorpusError, match=r"PHOENIX-2014-T\.train\.corpus\.csv"):
        next(phoenix14t.drawn_clips(tmp_path, "train"))
    write(tmp_path)
    (tmp_path / "PHOENIX-2014-T.dev.corpus.csv").unlink()
    with pytest.raises(CorpusError, match="dev"):
        next(phoenix14t.drawn_clips(tmp_path, "dev"))
    path = tmp_path / "PHOENIX-2014-T.train.corpus.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("|orth|", "|glosses|"), encoding="utf-8")
    with pytest.raises(CorpusError, match="missing column orth"):
        next(phoenix14t.drawn_clips(tmp_path, "train"))


def test_empty_sentence_names_its_line(tmp_path):
    write(tmp_path, train=[LINES["train"][0], "a-3|v|0|0|Signer01|REGEN| "])
    with pytest.raises(CorpusError, match=r"line 3.*a-3") as caught:
        list(phoenix14t.drawn_clips(tmp_path, "train"))
    assert caught.value.remedy


def test_the_real_annotations(shared):
    counts = {}
    for split in ("train", "dev", "test"):
        clips = list(phoenix14t.drawn_clips(shared / "phoenix14t", split))
        counts[split] = len(clips)
        assert len({clip.signer for clip in clips}) == 9
    assert counts == {"train": 7096, "dev": 519, "test": 642}
    assert clips[0].source.render(56).shape == (clips[0].source.num_frames, 56, 56, 3)
