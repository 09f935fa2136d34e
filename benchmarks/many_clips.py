"""Many clips by `Translator.explain_all`: each batch as the clips come, and batches of similar length out of several.

The model of a finished `make demo` (--demo names its folder) translates the split both ways, in turns, in processor
seconds on one thread. "Frames as decoded": with those that padding adds up to the longest clip of each batch. A minute.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from benchmarks.onnx_form import RUN
from benchmarks.timing import machine, table
from glossfree.corpora.manifest import Manifest
from glossfree.pipeline.trained import TrainedRun
from glossfree.scoring.predictions import Prediction
from glossfree.serving import translations
from glossfree.serving.translations import MOST_BATCHES, PseudoGlossTrack, Translation
from glossfree.translator import SignTranslator
from glossfree.video.intake import ModelClip

READ = {"as they come": 1, "of similar length": MOST_BATCHES}  # batches out of which clips of similar length are sought
ROUNDS = 3


class Noting(SignTranslator):
    """Remembers the frames of its clips, and as many as if all of a batch were as long as the longest."""

    frames = padded = 0

    def answer(
        self, clips: Sequence[ModelClip], num_hypotheses: int, num_tracks: int
    ) -> tuple[Sequence[tuple[Prediction, ...]], Sequence[tuple[PseudoGlossTrack, ...]]]:
        lengths = [len(clip.frames) for clip in clips]
        self.frames += sum(lengths)
        self.padded += max(lengths) * len(lengths)
        return super().answer(clips, num_hypotheses, num_tracks)


def run(demo: Path = Path("runs/demo"), split: str = "test", rounds: int = ROUNDS) -> str:
    """The table in Markdown. Raises AssertionError unless both ways write the same sentences."""
    torch.set_num_threads(1)
    requests = [(demo / "corpus" / clip.file, None) for clip in Manifest.load(demo / "corpus").split(split)]
    translators = {way: Noting.of_run(TrainedRun(demo / RUN)) for way in READ}
    seconds: dict[str, list[float]] = {way: [] for way in READ}
    sentences: dict[str, list[str]] = {}
    for _ in range(rounds):
        for way, batches in READ.items():
            translations.MOST_BATCHES = batches
            start = time.process_time()
            results = list(translators[way].explain_all(requests, num_tracks=0))
            seconds[way].append(time.process_time() - start)
            translations.MOST_BATCHES = MOST_BATCHES
            sentences[way] = [each.text for each in results if isinstance(each, Translation)]
    assert len(set(map(tuple, sentences.values()))) == 1, "the batches change sentences"
    rows = [
        [way, f"{len(requests) / median(seconds[way]):.1f}", f"{each.padded / each.frames:.2f}"]
        for way, each in translators.items()
        if isinstance(each, Noting)
    ]
    together = next(iter(translators.values())).about.batch_size
    note = (
        f"{len(requests)} clips of {split}, {together} in a batch, reading included. Processor seconds on one thread, "
        f"medians of {rounds} in turns. All sentences are equal. {machine()}."
    )
    return f"{table(['batches', 'clips/s', 'frames as decoded, of frames'], rows)}\n\n{note}"
