"""report: scores of the run, evenly spaced clips, and errors that name what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from glossfree.cli import report as cli
from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest
from glossfree.errors import CorpusError, RunError
from glossfree.pipeline.material import sampling_of
from glossfree.pipeline.trained import TrainedRun
from glossfree.report.build import load_scores, time_stages
from glossfree.report.timed import time_clips
from glossfree.scoring.conventions import PUBLISHED
from glossfree.training.run import Run
from glossfree.translator import SignTranslator
from glossfree.video.timeline import Timeline


def report(runs: list[Path], **options: Any) -> Path:
    return cli.report(runs, Silent(), **options).path


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_page_shows_scores_settings_and_clips(tiny: Any, copy: Path) -> None:
    page = report([copy], clips=2)
    assert page == copy / "report.html"
    text = page.read_text(encoding="utf-8")
    clips = Manifest.load(tiny.corpus).split("test")
    shown = [clip.id for clip in clips if f"{clip.id}<" in text or f">{clip.id}" in text or clip.id in text]
    assert shown == [clips[0].id, clips[2].id]
    assert "BLEU-4" in text and "max_new_tokens" in text and text.count("<video") == 2
    assert clips[0].text in text


def test_the_first_run_is_diagnosed_and_scored_under_every_convention(copy: Path) -> None:
    text = report([copy], clips=0).read_text(encoding="utf-8")
    for name in ("plain", *PUBLISHED):
        assert f'<th scope="row">{name}</th>' in text
    for part in ("95 % interval", "5 sentences of test, against 12 training sentences", "mAP", "Scores by signer"):
        assert part in text


def test_runs_stand_side_by_side(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "another")
    page = report([copy, tmp_path / "another"], clips=0, out=tmp_path / "page.html")
    assert "another" in page.read_text(encoding="utf-8")
    namesake = Path(shutil.copytree(copy, tmp_path / "of another" / copy.name))
    text = report([copy, namesake], clips=0, out=tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(text.count(str(each)) for each in (copy, namesake))
    with pytest.raises(RunError, match="nothing"):
        report([copy, tmp_path / "nothing"])
    with pytest.raises(RunError, match="cannot be written"):
        report([copy], clips=0, out=page / "page.html")


def test_a_clip_whose_file_is_gone_is_named(tiny: Any, copy: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.corpus, tmp_path / "corpus")
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**facts, "corpus": str(tmp_path / "corpus")}))
    gone = tmp_path / "corpus" / Manifest.load(tiny.corpus).split("test")[1].file
    gone.unlink()
    with pytest.raises(CorpusError) as caught:
        report([copy])
    assert gone.stem in str(caught.value) and str(tmp_path / "corpus") in str(caught.value)


def test_without_predictions_the_page_names_the_command_that_makes_them(copy: Path) -> None:
    (copy / "predictions.test.jsonl").unlink()
    with pytest.raises(RunError, match=r"glossfree evaluate .* --split test"):
        report([copy])
    assert not (copy / "report.html").exists()


def test_timelines_equal_those_of_the_translator(tiny: Any, tiny_run: Path) -> None:
    trained = TrainedRun(tiny_run)
    recipe, translator, material = trained.recipe, SignTranslator.of_run(trained), trained.material()
    timed = time_clips(translator.model.hierarchy, translator.head, material, "test", Silent())
    for clip in Manifest.load(tiny.corpus).split("test"):
        num_frames = len(sampling_of(recipe).indices(Timeline.of(clip)))
        timeline = timed[clip.id].timeline
        assert timeline.shape == (-(-num_frames // 2), len(translator.pseudo_glosses))
        assert len(timed[clip.id].middles) == len(timeline) and timed[clip.id].spans == clip.spans
        tracks = translator.explain(tiny.corpus / clip.file, num_tracks=1).tracks
        column = timeline[:, translator.pseudo_glosses.index(tracks[0].pseudo_gloss)]
        torch.testing.assert_close(torch.tensor(column), torch.tensor(tracks[0].timeline), atol=1e-5, rtol=1e-3)
    translator.head = None
    assert time_clips(translator.model.hierarchy, translator.head, material, "test", Silent()) == {}


def test_scores_and_seconds_are_read_from_the_run(tiny_run: Path, tmp_path: Path) -> None:
    assert set(load_scores(tiny_run)) == {"dev", "test"}
    assert load_scores(tmp_path) == {}
    seconds = time_stages(Run(tiny_run))
    assert list(seconds) == ["denoise", "pretrain", "finetune1", "finetune2"]
    assert min(seconds.values()) > 0


def test_ids_that_do_not_match_are_named(tiny: Any, copy: Path) -> None:
    path = copy / "predictions.test.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), encoding="utf-8")
    with pytest.raises(CorpusError, match=Manifest.load(tiny.corpus).split("test")[0].id):
        report([copy])
