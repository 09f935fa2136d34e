"""The whole path on files as people have them: videos in three containers, and PHOENIX14T's official layout.

Nobody's recordings may be shipped, so the pictures are drawn signers at 25 frames/s; everything else is real: encoders
of the wild, a sentence file, PNG frames at 210 x 260 under the release's names. From there on every step is a process
of its own that runs the command line. Sentences are the grammar's own. A recipe this small, on so few clips, learns
nothing: the scores only show that the path reaches its end.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.timing import cpu_seconds, machine, table
from glossfree.avatar import wetter
from glossfree.avatar.signing import SignedSentence
from glossfree.corpora.manifest import SPLITS, Clip
from glossfree.video.pack import read_clip

Call = Callable[..., str]  # arguments of the command line -> its standard output
FPS = 25.0
COUNTS = {"train": 15, "dev": 5, "test": 5}
FRAME_SIZE = 64
CONTAINERS = {  # suffix: encoder and its options
    "mp4": ("libx264", {"preset": "veryfast"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "mkv": ("libx264", {"preset": "veryfast", "bf": "2"}),
}
RECIPE = """base = "hfa-phoenix14t"
name = "real-input"
data = {{ frame_size = {size}, crop_size = {crop}, stride = 2, num_workers = 0 }}
text = {{ num_pieces = 120 }}
vision = {{ hidden_size = 24, num_layers = 2, num_heads = 2, patch_size = 8, image_size = {crop}, adapter_layers = 1 }}
temporal = {{ hidden_size = 36, num_layers = 2, num_heads = 2, mlp_size = 40, downsample_after = 1 }}
language = {{ hidden_size = 32, num_layers = 1, num_heads = 2, mlp_size = 48, train = "all" }}
decoder = {{ train = "all" }}
denoise = {{ epochs = 2, batch_size = 5 }}
pretrain = {{ epochs = 2, batch_size = 5 }}
finetune1 = {{ epochs = 2, batch_size = 5, augment = false, batches = "segments" }}
finetune2 = {{ epochs = 2, batch_size = 5 }}
decode = {{ num_beams = 2, max_new_tokens = 15 }}
"""


@dataclass
class Figures:
    """What was measured on one corpus. `seconds`: wall time of each step, the start of its process included."""

    name: str
    clips: int = 0
    frames: int = 0
    packing: float = 0.0  # frames per second of wall time, decoding and writing
    decoding: float = 0.0  # packed frames per second of processor time
    bleu4: float = 0.0
    translation: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def drawn(counts: Mapping[str, int], height: int) -> Iterator[tuple[Clip, SignedSentence, np.ndarray]]:
    """Clips of `wetter` at 25 frames/s, with their frames (T, height, height, 3)."""
    for split in SPLITS:
        for clip in wetter.clips(None, split, counts=counts, seed=11):
            assert isinstance(clip.source, SignedSentence)
            source = replace(clip.source, fps=FPS)
            yield clip, source, source.render(height)


def video_folder(root: Path, counts: Mapping[str, int] = COUNTS) -> Path:
    """A folder of videos at 320 x 240 as a person keeps them: folders by container, and a sentences.csv with paths."""
    rows = []
    for number, (clip, _, frames) in enumerate(drawn(counts, 240)):
        container = list(CONTAINERS)[number % len(CONTAINERS)]
        path = root / container / f"{clip.id}.{container}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, np.pad(frames, ((0, 0), (0, 0), (40, 40), (0, 0)), mode="edge"))
        rows.append((path.relative_to(root), clip.split, clip.text))
    with (root / "sentences.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "split", "text"), *rows])
    return root


def write_video(path: Path, frames: np.ndarray) -> None:
    """Frames (T, H, W, 3) -> a video in the container that the suffix names."""
    codec, options = CONTAINERS[path.suffix[1:]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=int(FPS), options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))))
        container.mux(stream.encode())


def phoenix_layout(root: Path, counts: Mapping[str, int] = COUNTS) -> Path:
    """PHOENIX14T's official layout: annotations, and a folder of PNG frames at 210 x 260 for each clip."""
    rows: dict[str, list[str]] = {split: ["name|video|start|end|speaker|orth|translation"] for split in SPLITS}
    for clip, source, frames in drawn(counts, 260):
        folder = root / "features/fullFrame-210x260px" / clip.split / clip.id
        folder.mkdir(parents=True)
        for number, frame in enumerate(frames[:, :, 25:235], start=1):
            cv2.imwrite(str(folder / f"images{number:04d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        fields = (clip.id, f"{clip.id}/1/*.png", "-1", "-1", clip.signer, " ".join(source.glosses), clip.text)
        rows[clip.split].append("|".join(fields))
    for split, lines in rows.items():
        path = root / "annotations/manual" / f"PHOENIX-2014-T.{split}.corpus.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def whole_path(
    name: str, corpus: str, root: Path, video: Path, work: Path, call: Call, size: int = FRAME_SIZE
) -> Figures:
    """prepare, glosses, train, evaluate, export, and translate `video` as it came from its owner -> Figures."""
    figures = Figures(name)
    recipe, out, run, model = work / "tiny.toml", work / "corpus", work / "run", work / "model"
    work.mkdir(parents=True, exist_ok=True)
    recipe.write_text(RECIPE.format(size=size, crop=size - 8), encoding="utf-8")

    def timed(verb: str, *arguments: object) -> str:
        start = time.perf_counter()
        output = call(verb, *arguments)
        figures.seconds[verb] = time.perf_counter() - start
        return output

    options = ("--frame-size", size, "--language", "de", "--json")
    prepared = json.loads(timed("prepare", corpus, "--root", root, "--out", out, *options))
    figures.clips, figures.frames, figures.packing = (
        prepared["packed"],
        prepared["frames"],
        prepared["frames_per_second"],
    )
    timed("glosses", out)
    timed("train", "--recipe", recipe, "--corpus", out, "--run", run)
    figures.bleu4 = json.loads(timed("evaluate", run, "--split", "test", "--json"))["bleu4"]
    timed("export", run, model)
    figures.translation = timed("translate", model, video).strip()
    packed = sorted((out / "clips").rglob("*.mp4"))
    frames, seconds = cpu_seconds(lambda: sum(len(read_clip(path)) for path in packed))
    figures.decoding = frames / seconds
    return figures


def process(*arguments: object) -> str:
    """The command line in a process of its own -> standard output. Raises RuntimeError with what it complained of."""
    command = [sys.executable, "-m", "glossfree", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def run() -> str:
    """Both corpora from their files to a translation -> a table in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        videos, phoenix = video_folder(work / "videos"), phoenix_layout(work / "phoenix")
        clip = next((videos / "webm").iterdir())
        frames = next((phoenix / "features/fullFrame-210x260px/test").iterdir())
        found = [
            whole_path("videos: mp4, webm, mkv, 320 x 240", "folder", videos, clip, work / "a", process),
            whole_path(
                "PHOENIX14T layout: PNG, 210 x 260", "phoenix14t", phoenix, frames, work / "b", process, FRAME_SIZE
            ),
        ]
    verbs = list(found[0].seconds)
    header = ["input", "clips", "frames", "packing, frames/s", "reading packed, frames/s", *(f"{v}, s" for v in verbs)]
    rows = [
        [
            figures.name,
            f"{figures.clips:,}",
            f"{figures.frames:,}",
            f"{figures.packing:,.0f}",
            f"{figures.decoding:,.0f}",
            *(f"{figures.seconds[verb]:.1f}" for verb in verbs),
            f"{figures.bleu4:.2f}",
        ]
        for figures in found
    ]
    note = f"Packed at {FRAME_SIZE} x {FRAME_SIZE}; each step is a process, its start included. {machine()}."
    return f"{table([*header, 'test BLEU-4'], rows)}\n\n{note}"
