"""What a corpus of 10 to 3,000 hours takes: bytes, core-hours, GPU-hours and money of each step, and where designs end.

Rates of one core are measured here; operations are counted from the recipe's numbers; what nobody can measure on this
machine is an assumption, listed with its value. Everything else is arithmetic. About two minutes on one core.
"""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from benchmarks.flops import pretraining_flops, translation_flops, vision_flops
from benchmarks.loader import VIEW, epochs_of, packed, rate, signer
from benchmarks.timing import cpu_seconds, machine, table
from glossfree.corpora.manifest import Clip, Manifest, PackedClip, SignSpan, VideoFile
from glossfree.errors import ClipError
from glossfree.recipe.files import load_recipe
from glossfree.video.pack import Packing, fingerprint
from glossfree.video.prepare import Task, _pack
from glossfree.video.sampler import ClipSampler

RECIPE, HOURS = "hfa-phoenix14t", (10, 100, 1_000, 3_000)
FPS, CLIP_FRAMES, TOKENS = 25.0, 116, 20  # of a source; a clip and a sentence, as PHOENIX14T's
FEATURE_BYTES = 4
MANY = 20_000  # clips of a manifest that is measured
EPOCHS = 10  # of a corpus of 1,000 hours and more nobody trains the recipe's 200
HOUR, GIGA, TERA = 3600, 1e9, 1e12


@dataclass(frozen=True)
class Assumptions:
    """What was not measured. Prices are round figures in dollars, for comparing designs with each other."""

    source_megabits: float = 2.5  # per second, of 720p video as platforms deliver it
    gpu_teraflops: float = 100.0  # sustained in bfloat16: a third of the 312 that an A100's data sheet says
    gpu_hour: float = 2.0
    core_hour: float = 0.04
    gigabyte_month: float = 0.023
    million_requests: float = 0.4

    def to_text(self) -> str:
        """One line a value."""
        return table(
            ["assumption", "value"],
            [
                ["source video, Mbit/s", f"{self.source_megabits:g}"],
                ["one GPU, sustained in bfloat16, TFLOP/s", f"{self.gpu_teraflops:g}"],
                ["an hour of a GPU, of a core, $", f"{self.gpu_hour:g}, {self.core_hour:g}"],
                ["a GB in a bucket for a month, $", f"{self.gigabyte_month:g}"],
                ["a million requests to a bucket, $", f"{self.million_requests:g}"],
                ["frames/s of the video, frames a clip, tokens a sentence", f"{FPS:g}, {CLIP_FRAMES}, {TOKENS}"],
            ],
        )


@dataclass(frozen=True)
class Rates:
    """Measured: frames per second of one core, bytes, and what one clip of a manifest costs."""

    packing: float
    frame_bytes: float
    loading: float
    clip_seconds: float
    clip_bytes: float
    plan_seconds: float
    matrix: float  # operations per second of one core

    def to_text(self) -> str:
        """One line a value."""
        return table(
            ["one core, measured", "value"],
            [
                ["packing 720p H.264 at 256 x 256, frames/s", f"{self.packing:,.0f}"],
                ["a packed frame, bytes", f"{self.frame_bytes:,.0f}"],
                ["reading and augmenting, 256 -> 224, frames/s", f"{self.loading:,.0f}"],
                ["opening the manifest, s for 100,000 clips", f"{1e5 * self.clip_seconds:.1f}"],
                ["memory of the manifest, MB for 100,000 clips", f"{1e5 * self.clip_bytes / 1e6:,.0f}"],
                ["planning an epoch, s for 100,000 clips", f"{1e5 * self.plan_seconds:.2f}"],
                ["float32 products, GFLOP/s", f"{self.matrix / GIGA:,.0f}"],
            ],
        )


def video_720p(folder: Path) -> Path:
    """The loader's signer at 1280 x 720, as H.264 that a camera could have written."""
    path = folder / "source.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=int(FPS), options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for frame in signer(CLIP_FRAMES, seed=0):
            large = cv2.resize(frame, (582, 720), interpolation=cv2.INTER_CUBIC)
            picture = np.pad(large, ((0, 0), (349, 349), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def manifest_costs(folder: Path, clips: int) -> tuple[float, float, float]:
    """Seconds and bytes of opening a manifest, and seconds of planning an epoch, for each clip."""
    spans = tuple(SignSpan(f"GLOSS{number}", 10 * number, 10 * number + 8) for number in range(7))
    text = "am tag scheint im süden verbreitet die sonne und im norden regnet es"
    one = PackedClip("", "train", text, "clips/train/clip.mp4", CLIP_FRAMES, FPS, "signer1", spans, 1.78)
    lines = (one.to_json().replace('"id": ""', f'"id": "clip-{number:07}"') for number in range(clips))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _, seconds = cpu_seconds(lambda: Manifest.load(folder))
    tracemalloc.start()
    manifest = Manifest.load(folder)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    lengths = [CLIP_FRAMES + number % 50 for number in range(len(manifest.clips))]
    _, planning = cpu_seconds(lambda: ClipSampler(lengths, batch_size=16, shuffle=True, seed=0).plan(1))
    return seconds / clips, kept / clips, planning / clips


def measure(clips: int = MANY) -> Rates:
    """All rates, of one thread."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            packing = Packing()
            clip = Clip("clip", "train", "wind", VideoFile(video_720p(folder)))
            task = Task(clip, folder, "packed.mp4", packing, fingerprint(clip, packing))
            (_, record), seconds = cpu_seconds(lambda: _pack(task))
            assert not isinstance(record, ClipError), record
            loading = rate(epochs_of(folder, packed(folder, VIEW), VIEW))
            costs = manifest_costs(folder, clips)
            sides = torch.randn(2048, 384), torch.randn(384, 1536)
            _, product = cpu_seconds(lambda: sides[0] @ sides[1], repeats=20)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
    matrix = 2.0 * 2048 * 384 * 1536 / product
    return Rates(CLIP_FRAMES / seconds, record.num_bytes / CLIP_FRAMES, loading, *costs, matrix)


@dataclass(frozen=True)
class Costs:
    """What each step takes for one hour of video, from rates and assumptions; times in hours."""

    clips: float
    source_gigabytes: float
    packed_gigabytes: float
    feature_gigabytes: float
    packing_cores: float
    feature_cores: float
    feature_gpus: float
    epoch_gpus: float  # an epoch of pre-training and one of fine-tuning, from video
    cached_gpus: float  # the same from features
    reading_cores: float  # both epochs
    feeding_cores: float  # that one GPU keeps busy


def costs(rates: Rates, assumed: Assumptions) -> Costs:
    """Rates -> costs of an hour of video with the paper's recipe."""
    recipe, clip = load_recipe(RECIPE), [CLIP_FRAMES]
    frames = HOUR * FPS
    clips = frames / CLIP_FRAMES
    gpu = assumed.gpu_teraflops * TERA
    parts = [pretraining_flops(recipe, clip), translation_flops(recipe, clip, TOKENS)]
    whole = sum(part.total for stage in parts for part in stage.values())
    above = sum(part.total for stage in parts for name, part in stage.items() if name != "ViT")
    forward = vision_flops(recipe, 1).forward
    return Costs(
        clips=clips,
        source_gigabytes=assumed.source_megabits * HOUR / 8 / 1000,
        packed_gigabytes=frames * rates.frame_bytes / GIGA,
        feature_gigabytes=frames * recipe.vision.hidden_size * FEATURE_BYTES / GIGA,
        packing_cores=frames / rates.packing / HOUR,
        feature_cores=frames * forward / rates.matrix / HOUR,
        feature_gpus=frames * forward / gpu / HOUR,
        epoch_gpus=clips * whole / gpu / HOUR,
        cached_gpus=clips * above / gpu / HOUR,
        reading_cores=2 * frames / rates.loading / HOUR,
        feeding_cores=gpu / (whole / 2 / CLIP_FRAMES) / rates.loading,
    )


def run(clips: int = MANY) -> str:
    """Measure, reckon -> tables in Markdown."""
    assumed, rates = Assumptions(), measure(clips)
    each = costs(rates, assumed)
    note = f"{machine()}. Times are processor time of one core. Nothing here was run on a GPU."
    parts = [assumed.to_text(), rates.to_text(), data_table(each), money_table(each, assumed), ends_table(each, rates)]
    return "\n\n".join([*parts, note])


def data_table(each: Costs) -> str:
    """Hours of video -> files and the work before training."""
    header = [
        *("hours", "clips", "source, GB", "packed, GB", "shards of 256 MB", "features, GB"),
        *("packing, core-hours", "features, core-hours", "features, GPU-hours"),
    ]
    rows = [
        [
            f"{hours:,}",
            f"{hours * each.clips:,.0f}",
            *(f"{hours * size:,.0f}" for size in (each.source_gigabytes, each.packed_gigabytes)),
            f"{np.ceil(hours * each.packed_gigabytes / 0.256):,.0f}",
            f"{hours * each.feature_gigabytes:,.1f}",
            *(f"{hours * time:,.1f}" for time in (each.packing_cores, each.feature_cores, each.feature_gpus)),
        ]
        for hours in HOURS
    ]
    return table(header, rows)


def money_table(each: Costs, assumed: Assumptions) -> str:
    """Hours of video -> what training takes, and dollars of everything."""
    header = [
        *("hours", f"GPU-hours, {EPOCHS} + {EPOCHS} epochs from video", "from features", "core-hours of reading video"),
        *("$ packing", "$ from video", "$ from features", "$ a month in a bucket", "$ of requests"),
    ]
    rows = []
    for hours in HOURS:
        video, cached, reading = (
            EPOCHS * hours * time for time in (each.epoch_gpus, each.cached_gpus, each.reading_cores)
        )
        features = hours * each.feature_gpus
        dollars = [
            hours * each.packing_cores * assumed.core_hour,
            video * assumed.gpu_hour + reading * assumed.core_hour,
            (cached + features) * assumed.gpu_hour,
            hours * each.packed_gigabytes * assumed.gigabyte_month,
            2 * EPOCHS * hours * each.clips / 1e6 * assumed.million_requests,
        ]
        rows.append(
            [f"{hours:,}", *(f"{time:,.1f}" for time in (video, cached, reading)), *(f"{d:,.2f}" for d in dollars)]
        )
    return table(header, rows)


def ends_table(each: Costs, rates: Rates) -> str:
    """Designs -> the hours of video at which each one ends, and why."""
    week = 7 * 24.0
    ends: Sequence[tuple[str, str, float]] = [
        ("packing on two cores", "a night of 12 hours", 2 * 12 / each.packing_cores),
        ("packing on sixteen cores", "a week", 16 * week / each.packing_cores),
        ("one file a clip", "a million files", 1e6 / each.clips),
        ("features on two cores", "a week", 2 * week / each.feature_cores),
        ("features on a disk of 1 TB", "its bytes", 1000 / each.feature_gigabytes),
        ("manifest in the memory of every process", "4 GB", 4e9 / rates.clip_bytes / each.clips),
        ("opening the manifest", "a minute", 60 / rates.clip_seconds / each.clips),
        (f"one GPU, {EPOCHS} + {EPOCHS} epochs from video", "a week", week / (EPOCHS * each.epoch_gpus)),
        (f"one GPU, {EPOCHS} + {EPOCHS} epochs from features", "a week", week / (EPOCHS * each.cached_gpus)),
    ]
    rows = [[design, limit, f"{hours:,.0f}"] for design, limit, hours in ends]
    text = table(["design", "its limit", "reached at hours of video"], rows)
    return f"{text}\n\nOne GPU that trains from video eats what {each.feeding_cores:.1f} cores read and augment."
