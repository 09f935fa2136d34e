"""What every corpus must keep, run on each entry of CORPORA over a small root of our own making."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.unit.video.reading import frames_of

from glossfree.console import Silent
from glossfree.corpora.captions import Caption, write_captions
from glossfree.corpora.files import is_safe_id
from glossfree.corpora.manifest import SPLITS, Clip, FrameFolder
from glossfree.corpora.registry import CORPORA, Corpus
from glossfree.doctor.corpus import diagnose_corpus, guess_corpus
from glossfree.errors import GlossfreeError
from glossfree.video.corpus import prepare_corpus
from glossfree.video.pack import Packing, write_clip

SIZE = 35  # pixels: odd, and unlike any source
PER_SPLIT = {"train": 3, "dev": 2, "test": 2}
SENTENCES = (
    "morgen regnet es im norden",
    "am abend wird es kälter",
    "schöne wolken über den bergen",
    "zwölf grad und wind",
    "im süden bleibt es trocken",
    "nachts gibt es frost",
    "es wird ein sonniger tag",
)
GLOSSES = "MORGEN REGEN NORD"


def rows() -> list[tuple[str, str, str]]:
    """(id, split, sentence) of seven clips, every sentence once."""
    splits = [split for split, count in PER_SPLIT.items() for _ in range(count)]
    return [(f"clip-{number}", split, SENTENCES[number]) for number, split in enumerate(splits)]


def picture(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def write_images(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        assert cv2.imwrite(str(folder / f"images{number:04d}.png"), frame)


def phoenix_root(root: Path) -> Path:
    """The official layout with 7 clips of 3 frames; the drawn variant reads its annotations."""
    for split in SPLITS:
        path = root / "annotations/manual" / f"PHOENIX-2014-T.{split}.corpus.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["name|video|start|end|speaker|orth|translation"]
        for clip_id, own_split, text in rows():
            if own_split == split:
                lines.append(f"{clip_id}|{clip_id}/1/*.png|-1|-1|Signer02|{GLOSSES}|{text}")
                frames = picture(np.random.default_rng(1), 3, 26, 21)
                write_images(root / "features/fullFrame-210x260px" / split / clip_id, frames)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def folder_root(root: Path) -> Path:
    """Videos and one image folder, in sub-folders; every second one named by id, the others by path."""
    lines = ["id,path,split,text"]
    for number, (clip_id, split, text) in enumerate(rows()):
        frames = picture(np.random.default_rng(number), 5, 38, 46)
        path = root / f"part {number % 2}" / clip_id
        if number == 4:
            write_images(path, frames)
        else:
            path = path.with_suffix(".mp4")
            write_clip(path, frames, 15.0)
        lines.append(f"{clip_id},,{split},{text}" if number % 2 else f",{path.relative_to(root)},{split},{text}")
    (root / "sentences.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def csl_daily_root(root: Path) -> Path:
    """Labels in a pickle, one folder of images a clip."""
    (root / "sentence_label").mkdir(parents=True)
    labels = []
    for clip_id, _, text in rows():
        write_images(root / "sentence/frames_512x512" / clip_id, picture(np.random.default_rng(1), 4, 26, 21))
        labels.append({"name": clip_id, "signer": 3, "label_char": list(text), "label_gloss": GLOSSES.split()})
    (root / "sentence_label/csl2020ct_v2.pkl").write_bytes(pickle.dumps({"info": labels}))
    lines = ["name|split", *(f"{clip_id}|{split}" for clip_id, split, _ in rows())]
    (root / "sentence_label/split_1.txt").write_text("\n".join(lines), encoding="utf-8")
    return root


def how2sign_root(root: Path) -> Path:
    """Sentences of one video of 25 frames in each split."""
    header = "VIDEO_NAME\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"
    for split, name in (("train", "train"), ("dev", "val"), ("test", "test")):
        write_clip(root / f"video_level/{name}/rgb_front/raw_videos/v-{name}.mp4", noise(25), 25.0)
        lines = [f"v-{name}\t{row[0]}\t0.2\t0.6\t{row[2]}" for row in rows() if row[1] == split]
        path = root / f"sentence_level/{name}/text/en/raw_text/re_aligned/how2sign_realigned_{name}.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return root


def openasl_root(root: Path) -> Path:
    """Sentences of one video of 25 frames in each split."""
    lines = ["vid\tyid\tstart\tend\traw-text\ttokenized-text\tgloss\tsplit"]
    for clip_id, split, text in rows():
        name = {"dev": "valid"}.get(split, split)
        lines.append(f"{clip_id}:0\tv-{split}\t00:00:00.200\t00:00:00.600\t{text}\t{text}\t\t{name}")
    (root / "data").mkdir(parents=True)
    (root / "data/openasl-v1.0.tsv").write_text("\n".join(lines), encoding="utf-8")
    for split in SPLITS:
        write_clip(root / f"raw-video/v-{split}.mp4", noise(25), 25.0)
    return root


def captions(split: str) -> list[Caption]:
    """The sentences of a split, from 0.1 s on, 0.3 s each."""
    texts = [text for _, own_split, text in rows() if own_split == split]
    return [Caption(0.1 + 0.3 * number, 0.4 + 0.3 * number, text) for number, text in enumerate(texts)]


def noise(count: int) -> np.ndarray:
    return picture(np.random.default_rng(count), count, 38, 46)


def bobsl_root(root: Path) -> Path:
    """An episode of a second in each split, aligned by hand."""
    for split in SPLITS:
        write_clip(root / f"videos/50{split}.mp4", noise(25), 25.0)
        (root / "subtitles/manually-aligned").mkdir(parents=True, exist_ok=True)
        write_captions(root / f"subtitles/manually-aligned/50{split}.vtt", captions(split), "vtt")
    names = {"train": ["50train"], "val": ["50dev"], "test": ["50test"], "challenge_test": ["0"]}
    (root / "subset2episode.json").write_text(json.dumps(names), encoding="utf-8")
    return root


def wmt_slt_root(root: Path) -> Path:
    """A broadcast of a second in each split."""
    for split, name in (("train", "focusnews/{}/focusnews.043"), ("dev", "dev/{}/dev.1"), ("test", "test/{}/test.1")):
        write_clip(root / f"{name.format('videos')}.mp4", noise(25), 25.0)
        path = root / f"{name.format('subtitles')}.srt"
        path.parent.mkdir()
        write_captions(path, captions(split), "srt")
    return root


def dgs_corpus_root(root: Path) -> Path:
    """A transcript in each split, in folders of that name; the last sentence is B's. The English is the same."""
    for split in SPLITS:
        *first, last = captions(split)
        tracks = {}
        for person, spoken in (("A", first), ("B", [last])):
            tiers = {"Deutsche_Übersetzung": spoken, "Translation_into_English": spoken, "Lexem_Gebärde_r": spoken[:1]}
            tracks |= {f"{name}_{person}": track for name, track in tiers.items()}
        for camera in ("1a1", "1b1"):
            write_clip(root / split / f"12{split}_{camera}.mp4", noise(50), 50.0)
        write_captions(root / split / f"12{split}.eaf", [], "eaf", tracks=tracks)
    return root


def subtitles_root(root: Path) -> Path:
    """A video in each folder, with captions of another kind."""
    for split, form in zip(SPLITS, ("vtt", "srt", "eaf"), strict=True):
        write_clip(root / split / "show.mp4", noise(25), 25.0)
        write_captions(root / split / f"show.{form}", captions(split), form)
    return root


def youtube_asl_root(root: Path) -> Path:
    """Three videos with captions of their own language, and a list of ids and of splits."""
    (root / "videos").mkdir(parents=True)
    ids = {split: f"{split:_<11}" for split in SPLITS}
    for split, name in ids.items():
        write_clip(root / f"videos/{name}.mp4", noise(25), 25.0)
        write_captions(root / f"videos/{name}.en.vtt", captions(split), "vtt")
    (root / "youtube_asl_video_ids.txt").write_text("\n".join(ids.values()), encoding="utf-8")
    rows = [f"{name},{split}" for split, name in ids.items()]
    (root / "splits.csv").write_text("\n".join(["id,split", *rows]), encoding="utf-8")
    return root


def youtube_sl25_root(root: Path) -> Path:
    path = youtube_asl_root(root) / "youtube_asl_video_ids.txt"
    lines = [f"{name},bfi" for name in path.read_text().split()]
    path.rename(root / "youtube-sl-25-metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


ROOTS: dict[str, Callable[[Path], Path] | None] = {
    "wetter": None,
    "phoenix14t-avatar": phoenix_root,
    "phoenix14t": phoenix_root,
    "csl-daily": csl_daily_root,
    "how2sign": how2sign_root,
    "openasl": openasl_root,
    "youtube-asl": youtube_asl_root,
    "youtube-sl25": youtube_sl25_root,
    "bobsl": bobsl_root,
    "wmt-slt": wmt_slt_root,
    "dgs-corpus": dgs_corpus_root,
    "subtitles": subtitles_root,
    "folder": folder_root,
}


@pytest.fixture(scope="module", params=list(CORPORA))
def corpus_and_root(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Corpus, Path | None]:
    make = ROOTS[request.param]
    return CORPORA[request.param], None if make is None else make(tmp_path_factory.mktemp(request.param))


def all_clips(corpus: Corpus, root: Path | None) -> list[Clip]:
    return [clip for split in SPLITS for clip in corpus.clips(root, split, limit=PER_SPLIT[split])]


def test_every_corpus_has_a_root_here() -> None:
    assert list(ROOTS) == list(CORPORA)
    assert {name for name, make in ROOTS.items() if make} == {
        name for name, corpus in CORPORA.items() if corpus.needs_root
    }


def test_ids_are_unique_over_all_splits_and_are_file_names(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    ids = [clip.id for clip in all_clips(*corpus_and_root)]
    assert len(ids) == 7
    assert len(set(ids)) == 7
    assert [clip_id for clip_id in ids if not is_safe_id(clip_id)] == []


def test_every_clip_has_its_split_and_a_sentence_on_one_line(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    corpus, root = corpus_and_root
    for split in SPLITS:
        for clip in corpus.clips(root, split, limit=PER_SPLIT[split]):
            assert clip.split == split
            assert clip.text == clip.text.strip() != ""
            assert len(clip.text.splitlines()) == 1


def test_no_sentence_stands_in_two_splits(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    texts = [clip.text for clip in all_clips(*corpus_and_root)]
    assert len(set(texts)) == 7


def test_the_limit_takes_the_first_clips(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    corpus, root = corpus_and_root
    whole = [clip.id for clip in corpus.clips(root, "train", limit=3)]
    assert len(whole) == 3
    for limit in (1, 2):
        assert [clip.id for clip in corpus.clips(root, "train", limit=limit)] == whole[:limit]


def test_asking_twice_gives_equal_clips(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    assert all_clips(*corpus_and_root) == all_clips(*corpus_and_root)


def test_frames_come_in_the_size_asked_for_and_the_same_twice(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    corpus, root = corpus_and_root
    for split in SPLITS:
        clip = next(iter(corpus.clips(root, split, limit=1)))
        frames, fps = frames_of(clip, SIZE)
        assert frames.dtype == np.uint8
        assert frames.shape == (len(frames), SIZE, SIZE, 3)
        assert len(frames) >= 3
        assert frames.std() > 1, "a picture, not one colour"
        assert fps == pytest.approx(15.0 if corpus.name == "folder" else corpus.fps)
        again, _ = frames_of(clip, SIZE)
        assert np.array_equal(again, frames)


def test_an_image_folder_has_the_rate_of_the_corpus(tmp_path: Path) -> None:
    [clip] = [clip for clip in all_clips(CORPORA["folder"], folder_root(tmp_path)) if "clip-4" in clip.id]
    assert isinstance(clip.source, FrameFolder)
    frames, fps = frames_of(clip, SIZE)
    assert (len(frames), fps) == (5, CORPORA["folder"].fps)


def test_spans_lie_inside_the_clip_in_order(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    corpus, root = corpus_and_root
    drawn = corpus.name in ("wetter", "phoenix14t-avatar")
    for clip in all_clips(corpus, root):
        assert bool(clip.spans) == drawn
        assert not drawn or tuple(span.gloss for span in clip.spans) == clip.glosses
        ends = [0]
        for span in clip.spans:
            assert span.gloss
            assert ends[-1] <= span.start < span.end
            ends.append(span.end)
        if drawn:
            assert ends[-1] <= clip.source.num_frames  # type: ignore[union-attr]
            assert len(frames_of(clip, 17)[0]) == clip.source.num_frames  # type: ignore[union-attr]


def test_a_sound_root_has_no_problem_but_its_size(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    corpus, root = corpus_and_root
    if corpus.check is None:
        assert not corpus.needs_root
        return
    assert root is not None
    odd = [problem for problem in corpus.check(root) if "in the release" not in problem]
    assert odd == []


def test_an_empty_root_is_an_error_with_a_remedy(corpus_and_root: tuple[Corpus, Path | None], tmp_path: Path) -> None:
    corpus, _ = corpus_and_root
    if corpus.needs_root:
        with pytest.raises(GlossfreeError) as caught:
            list(corpus.clips(tmp_path, "train"))
        assert caught.value.where
        assert caught.value.remedy


def test_a_sound_root_is_packed_whole(corpus_and_root: tuple[Corpus, Path | None], tmp_path: Path) -> None:
    corpus, root = corpus_and_root
    if root is None:
        return
    named = None if corpus.language else "en"
    result = prepare_corpus(
        corpus.name, tmp_path, Packing(SIZE), console=Silent(), root=root, workers=1, language=named
    )
    assert result.manifest.language == (corpus.language or "en")
    assert (result.splits, result.failed, result.exit_code) == (PER_SPLIT, (), 0)
    clips = {clip.id: clip for clip in all_clips(corpus, root)}
    assert all((clip.text, clip.glosses) == (clips[clip.id].text, clips[clip.id].glosses) for clip in result.manifest)
    assert all(clip.num_frames >= 3 for clip in result.manifest)


def test_doctor_knows_the_layout(corpus_and_root: tuple[Corpus, Path | None]) -> None:
    corpus, root = corpus_and_root
    if root is None or corpus.name == "phoenix14t-avatar":  # its root here is a complete release
        return
    assert guess_corpus(root) == corpus.name
    diagnosis = diagnose_corpus(root, None, Silent())
    assert diagnosis.figures["clips"] == PER_SPLIT
    assert [finding.text for finding in diagnosis.findings if finding.level == "problem"] == []


@pytest.mark.parametrize("name", ["how2sign", "openasl", "youtube-asl", "youtube-sl25"])
def test_a_video_that_is_gone_is_named_and_no_failure(name: str, tmp_path: Path) -> None:
    make = ROOTS[name]
    assert make is not None
    root, options = make(tmp_path / "root"), {"language": "en"} if CORPORA[name].language is None else {}
    [video] = [path for path in root.rglob("*.mp4") if "train" in path.name]
    video.unlink()
    result = prepare_corpus(
        name, tmp_path / "out", Packing(SIZE), console=Silent(), root=root, workers=1, strict=True, **options
    )
    assert (result.splits, result.failed, result.exit_code) == ({**PER_SPLIT, "train": 0}, (), 0)
    assert any("missing" in warning and video.stem in warning for warning in result.warnings)
