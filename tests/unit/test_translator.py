"""A model folder: checked file by file, restored as it was trained, and asked about clips."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tests.unit.video.reading import read_video

from glossfree.corpora.manifest import Manifest, Segment
from glossfree.errors import ClipError, ModelError
from glossfree.models.choices import Translations
from glossfree.pipeline.assemble import assemble
from glossfree.pipeline.material import sampling_of, view_of
from glossfree.serving.folder import verify
from glossfree.serving.translations import Failure
from glossfree.text.tokenizer import SentenceTokenizer
from glossfree.text.unigram import CODES_25, CODES_50
from glossfree.translator import SignTranslator
from glossfree.video.dataset import ClipDataset


@pytest.fixture(scope="module")
def translator(tiny_model: Path) -> SignTranslator:
    return SignTranslator.from_pretrained(tiny_model)


@pytest.fixture
def spoilt(tiny_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def clips_of(tiny: Any) -> list[Path]:
    return [tiny.corpus / clip.file for clip in Manifest.load(tiny.corpus).split("test")]


def test_every_file_of_a_good_folder_stands_on_the_card(tiny_model: Path) -> None:
    files = {str(path.relative_to(tiny_model)) for path in tiny_model.rglob("*") if path.is_file()}
    assert set(verify(tiny_model)["files"]) == files - {"model.json", "README.md", "config.json"}


def test_one_bit_or_one_file_less_is_noticed(spoilt: Path) -> None:
    for name in verify(spoilt)["files"]:
        path = spoilt / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError, match=f"{name} was altered"):
            SignTranslator.from_pretrained(spoilt)
        path.unlink()
        with pytest.raises(ModelError, match=f"{name} is missing"):
            SignTranslator.from_pretrained(spoilt)
        path.write_bytes(whole)
    verify(spoilt)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1, "files": 3}', "null"])
def test_a_damaged_card_is_named(spoilt: Path, text: str) -> None:
    (spoilt / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json"):
        verify(spoilt)


@pytest.mark.parametrize("number", [1, 3])
def test_a_card_of_another_format_is_refused(spoilt: Path, number: int) -> None:
    card = verify(spoilt)
    assert card["timeline"] is True
    (spoilt / "model.json").write_text(json.dumps({**card, "format": number}))
    with pytest.raises(ModelError, match=f"format {number}"):
        verify(spoilt)


def test_a_folder_made_on_windows(spoilt: Path) -> None:
    card = verify(spoilt)
    files = {name.replace("/", "\\"): sha256 for name, sha256 in card["files"].items()}
    (spoilt / "model.json").write_text(json.dumps({**card, "files": files}))
    assert verify(spoilt) == card and any("/" in name for name in card["files"])


def test_a_packed_clip_gives_the_frames_of_evaluation(tiny: Any, translator: SignTranslator) -> None:
    clips = Manifest.load(tiny.corpus).split("test")
    dataset = ClipDataset(tiny.corpus, clips, view_of(translator.recipe), sampling=sampling_of(translator.recipe))
    for index, clip in enumerate(clips):
        read = translator.intake.read(tiny.corpus / clip.file)
        assert np.array_equal(read.frames, dataset[index].frames)  # type: ignore[union-attr]
        assert (read.num_frames, read.fps, read.notes) == (clip.num_frames, clip.fps, ())


def test_a_folder_of_images_is_brought_to_the_models_rate(
    tiny: Any, translator: SignTranslator, tmp_path: Path
) -> None:
    """Images count as 25 frames/s, the model sees every third of 8."""
    frames, _ = read_video(clips_of(tiny)[0])
    for number, frame in enumerate(np.repeat(frames, 3, axis=0)):
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), cv2.cvtColor(np.repeat(frame, 2, axis=0), cv2.COLOR_RGB2BGR))
    read = translator.intake.read(tmp_path)
    assert (read.frames.shape[1:], read.num_frames, read.fps) == ((3, 24, 24), 3 * len(frames), 25.0)
    assert len(read.frames) == -(-round(3 * len(frames) / 25 * 8) // 3)
    assert translator.explain(tmp_path).to_dict()["model_fps"] == 8
    said = translator.explain(tmp_path, fps=24)
    assert any("25 frames/s" in note for note in read.notes) and not any("25 frames/s" in note for note in said.notes)
    assert (said.fps, said.frames) == (24.0, translator.explain(clips_of(tiny)[0]).frames)
    assert translator.translate(tmp_path, fps=24) == said.text
    for fps in (-8.0, 0.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="fps in"):
            translator.explain(tmp_path, fps=fps)


def test_what_cannot_be_read_is_a_clip_error(translator: SignTranslator, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("kein Video")
    for path in (tmp_path / "a.mp4", tmp_path / "none.mp4", tmp_path):
        with pytest.raises(ClipError):
            translator.translate(path)


def test_explaining_is_translating_with_reasons(tiny: Any, translator: SignTranslator) -> None:
    path = clips_of(tiny)[0]
    explained = translator.explain(path, num_hypotheses=3, num_tracks=4)
    assert len(explained.hypotheses) == 3 and len(explained.tracks) == 4
    assert explained.hypotheses[0].text == explained.text
    assert list(translator.middles(5)) == [0, 2, 4]
    assert {len(track.timeline) for track in explained.tracks} == {-(-explained.frames // 2)}
    assert translator.explain(path, num_tracks=0).tracks == ()
    scores = [track.score for track in explained.tracks]
    assert scores == sorted(scores, reverse=True)
    assert translator.explain(path, num_tracks=10_000).tracks[:4] == explained.tracks
    assert json.loads(json.dumps(explained.to_dict()))["hypotheses"][1] == {
        "text": explained.hypotheses[1].text,
        "score": explained.hypotheses[1].score,
    }


def test_translating_twice_is_the_same(tiny: Any, translator: SignTranslator) -> None:
    path = clips_of(tiny)[1]
    first = translator.explain(path, num_hypotheses=2)
    assert translator.explain(path, num_hypotheses=2) == first
    assert translator.translate(path) == translator.explain(path).text


def test_clips_together_are_clips_alone(tiny: Any, translator: SignTranslator) -> None:
    frames = [torch.from_numpy(translator.intake.read(path).frames) for path in clips_of(tiny)[:3]]
    lengths = torch.tensor([len(part) for part in frames])
    together = translator.decoder.hypotheses(torch.cat(frames), lengths, 2)
    tracks = translator.tracks(torch.cat(frames), lengths, 3)
    for row, part in enumerate(frames):
        length = torch.tensor([len(part)])
        alone = translator.decoder.hypotheses(part, length, 2)[0]
        assert [h.score for h in alone] == pytest.approx([h.score for h in together[row]], abs=1e-5)
        found = translator.tracks(part, length, 3)[0]
        assert [track.pseudo_gloss for track in found] == [track.pseudo_gloss for track in tracks[row]]
        assert [len(track.timeline) for track in found] == [len(track.timeline) for track in tracks[row]]


@pytest.mark.parametrize("codes", [CODES_25, CODES_50])
def test_no_code_of_the_tokenizer_is_ever_written(
    translator: SignTranslator, codes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mBART-large-50 has 52 codes, twice as many as mBART-large-cc25: the model wants to write nothing else."""
    tokenizer = SentenceTokenizer(translator.tokenizer._model, codes=codes, language="de_DE")
    model: Any = assemble(translator.recipe, len(tokenizer))
    eager = SignTranslator(translator.recipe, tokenizer, model)
    with torch.no_grad():
        model.decoder.mbart.final_logits_bias[0, -len(codes) - 1 :] += 1e4
    frames = torch.randint(0, 256, (9, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    translations: list[Translations] = []

    def translate(*arguments: Any, **options: Any) -> Translations:
        translations.append(type(model).translate(model, *arguments, **options))
        return translations[0]

    monkeypatch.setattr(model, "translate", translate)
    eager.decoder.hypotheses(frames, torch.tensor([9]))
    written = set(translations[0].sequences.flatten().tolist())
    assert written - {tokenizer.eos_id, tokenizer.pad_id}
    assert not written & set(range(len(tokenizer) - len(codes) - 1, len(tokenizer)))


def test_without_a_head_there_is_no_timeline(tiny: Any, translator: SignTranslator) -> None:
    plain = SignTranslator(translator.recipe, translator.tokenizer, translator.model)
    path = clips_of(tiny)[0]
    assert plain.explain(path).tracks == () and plain.explain(path).to_dict()["pseudo_glosses"] == []
    assert plain.translate(path) == translator.translate(path)


def test_a_batch_gives_each_clip_its_own_sentence_and_passes_over_bad_ones(
    tiny: Any, translator: SignTranslator, tmp_path: Path
) -> None:
    paths = [*clips_of(tiny)[:2], tmp_path / "none.mp4", *clips_of(tiny)[2:4]]
    results = list(translator.explain_all([(path, None) for path in paths], batch_size=3))
    assert [result.path if isinstance(result, Failure) else result.text for result in results] == [
        str(path) if path.parent == tmp_path else translator.translate(path) for path in paths
    ]


def test_a_segment_is_a_part_of_the_video(tiny: Any, translator: SignTranslator) -> None:
    path = clips_of(tiny)[0]
    part = translator.explain(path, Segment(0.5, 1.25))
    assert (part.num_frames, part.start, part.end) == (6, 0.5, 1.25)
    with pytest.raises(ClipError, match="beyond the end"):
        translator.translate(path, Segment(90.0))
