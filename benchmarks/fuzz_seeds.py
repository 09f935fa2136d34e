"""Small valid inputs of every kind, for `fuzz` to damage: videos, tables, captions, a corpus, a run, a model."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import av
import numpy as np

SENTENCES = ("es taut im süden", "morgen schneit es, später regen", "es wird kalt")
ROWS = [
    {"id": str(number), "split": split, "text": text, "path": f"clip{number}.mp4"}
    for number, (split, text) in enumerate(zip(("train", "dev", "test"), SENTENCES, strict=True))
]
FORMS = {"mp4": "mpeg4", "mkv": "mpeg4", "webm": "libvpx", "avi": "mjpeg"}  # container: encoder


def _delimited(separator: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue()


TABLES: dict[str, bytes] = {
    "sentences.csv": _delimited(",").encode(),
    "sentences.tsv": _delimited("\t").encode(),
    "sentences.jsonl": "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ROWS).encode(),
}
CAPTIONS = {
    "segments.vtt": "WEBVTT\n\n1\n00:00.000 --> 00:00.200\nes taut\n\n00:00.200 --> 00:00.360\nmorgen <b>schnee</b>\n",
    "segments.srt": "1\n00:00:00,000 --> 00:00:00,200\nes taut\n\n2\n00:00:00,200 --> 00:00:00,360\nmorgen schnee\n",
    "segments.eaf": """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"></HEADER>
<TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="200"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="360"/>
</TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="sentence">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>es taut</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>morgen</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
</TIER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
""",
}
RECIPE = """base = "hfa-phoenix14t"
name = "small"
data = { fps = 0.0, frame_size = 28, crop_size = 24, num_workers = 0, max_frames = 40, stride = 3 }
text = { num_pieces = 90 }
vision = { hidden_size = 24, num_layers = 2, num_heads = 2, patch_size = 8, image_size = 24, adapter_layers = 1 }
temporal = { hidden_size = 36, num_layers = 2, num_heads = 2, mlp_size = 40, downsample_after = 1, layer_scale = 0.1 }
language = { hidden_size = 32, num_layers = 1, num_heads = 2, mlp_size = 48, max_positions = 128, train = "all" }
decoder = { train = "all" }
denoise = { epochs = 1, batch_size = 5 }
pretrain = { epochs = 1, batch_size = 5 }
finetune1 = { epochs = 1, batch_size = 5 }
finetune2 = { epochs = 1, batch_size = 5 }
decode = { num_beams = 2, max_new_tokens = 9 }
"""


def write_video(path: Path, size: tuple[int, int] = (46, 34), num_frames: int = 9) -> None:
    """Random frames of width and height `size` at 25 a second, in the container that the name says."""
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(FORMS[path.suffix[1:]], rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if path.suffix == ".avi" else "yuv420p"
        for _ in range(num_frames):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make(folder: Path) -> Path:
    """All valid inputs, in folders under the names that `fuzz.KINDS` has -> the folder."""
    for form in FORMS:
        clip = folder / form / f"clip.{form}"
        clip.parent.mkdir(parents=True)
        write_video(clip)
        row = {**ROWS[0], "path": clip.name}
        (clip.parent / "sentences.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n", encoding="utf-8")
    write_video(folder / "square.mp4", (40, 40))  # no crop: many segments of it are translated quickly
    for name, content in TABLES.items():
        (folder / name).mkdir()
        (folder / name / name).write_bytes(content)
        for row in ROWS:
            shutil.copy(folder / "mp4/clip.mp4", folder / name / row["path"])
    (folder / "utf-16").mkdir()
    shutil.copytree(folder / "sentences.csv", folder / "utf-16", dirs_exist_ok=True)
    (folder / "utf-16/sentences.csv").write_bytes(TABLES["sentences.csv"].decode().encode("utf-16"))
    for name, text in CAPTIONS.items():
        (folder / name).mkdir()
        (folder / name / name).write_text(text, encoding="utf-8")
    words = "".join(f"{text}\n" for text in SENTENCES)
    (folder / "sentences.txt").mkdir()
    for path in (folder / "words.txt", folder / "sentences.txt/sentences.txt"):
        path.write_text(words, encoding="utf-8")
    (folder / "recipe").mkdir()
    (folder / "recipe/recipe.toml").write_text(RECIPE, encoding="utf-8")
    _train(folder)
    _transformers_tokenizer(folder)
    return folder


def _train(folder: Path) -> None:
    from benchmarks.fuzz import call

    corpus, run, recipe = folder / "corpus", folder / "run", folder / "recipe/recipe.toml"
    size = "--train 7 --dev 3 --test 2 --frame-size 28 --workers 1"
    for command in (
        f"prepare wetter {size} --out {corpus}",
        f"glosses {corpus}",
        f"train --recipe {recipe} --corpus {corpus} --run {run}",
        f"export {run} {folder / 'model'}",
    ):
        code, printed, error = call(command.split())
        assert code == 0 and error is None, f"{command}: {printed}{error!r}"
    shutil.copytree(run, folder / "evaluated_run")  # evaluate writes into it; all else here stays as it is


def _transformers_tokenizer(folder: Path) -> None:
    """The model's tokenizer as transformers 5 saves it."""
    from transformers import MBartTokenizer

    target, name = folder / "tokenizer", "sentencepiece.bpe.model"
    target.mkdir()
    shutil.copy(folder / "model/tokenizer" / name, target)
    MBartTokenizer.from_pretrained(target, src_lang="de_DE").save_pretrained(target)
    (target / name).unlink()
