"""`features`: every frame of a prepared corpus, seen once by a frozen backbone, for many runs to train from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer

from glossfree import __version__
from glossfree.cli.options import Overrides, PreparedFolder
from glossfree.console import Console, Result
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.errors import ClipError
from glossfree.files.disk import digest
from glossfree.models.hierarchy import VisualEncoder
from glossfree.models.weights import fingerprint, state
from glossfree.pipeline.assemble import visual_encoder
from glossfree.pipeline.features import deciding_settings, store_of, usual_recipe
from glossfree.pipeline.material import check_frames, view_of
from glossfree.pipeline.weights import (
    WEIGHTS,
    encoder_files,
    folder_of,
    load_backbone,
)
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.training.device import best_device
from glossfree.video.dataset import ClipDataset
from glossfree.video.features import stamps
from glossfree.video.sampler import explain_dead_workers
from glossfree.video.timeline import Sampling


@dataclass(frozen=True)
class FeaturesReport(Result):
    """What was computed, what was there before, and which clips could not be read."""

    folder: str
    written: int
    kept: int
    bad: tuple[str, ...]
    width: int
    frames_per_second: float

    @property
    def exit_code(self) -> int:
        """1 if a clip could not be read."""
        return int(bool(self.bad))

    def to_text(self) -> str:
        """A line for people, and one for each clip that could not be read."""
        speed = f"{self.frames_per_second:.0f} frames/s"
        lines = [f"{self.folder}: {self.written} clips written, {self.kept} there before, {speed}"]
        return "\n".join([*lines, *(f"not read: {problem}" for problem in self.bad)])


def features(
    corpus: PreparedFolder,
    encoder: Annotated[str, typer.Option(help="Weights of DINOv2 (folder, .pth, hub:owner/name), or a run or model.")],
    console: Console,
    overrides: Overrides = None,
    recipe: Annotated[str | None, typer.Option(help="Sizes and crop; else the run's, or the light recipe's.")] = None,
) -> FeaturesReport:
    """Write the features of every clip of a prepared corpus, going on where an earlier call stopped.

    `encoder`: what vision.weights may name. `recipe`: sizes and crop; by default those of a run or model folder of
    ours, else of the light recipe. Raises ModelError, RecipeError, CorpusError (full disk).
    """
    source = folder_of(encoder, WEIGHTS)
    chosen = load_recipe(recipe or usual_recipe(source), overrides or ())
    manifest = Manifest.load(corpus)
    check_frames(chosen, manifest)
    visual = visual_encoder(chosen)
    load_backbone(visual.backbone, chosen.vision, source)
    store = store_of(chosen, manifest.folder, visual, encoder)
    about = {
        "encoder": encoder,
        "files": {file.name: digest(file) for file in encoder_files(source)},
        "weights": fingerprint(state(visual.backbone)),
        "width": store.width,
        **{key.partition(".")[2]: content for key, content in deciding_settings(chosen).items()},
        "glossfree": __version__,
    }
    store.begin(about)
    marks = stamps(manifest.folder, manifest.clips)
    due = [clip for clip in manifest.clips if not store.has(clip, marks[clip.id])]
    bad: dict[str, str] = {}
    frames, begun = 0, time.perf_counter()
    with explain_dead_workers(manifest.folder), console.progress("features", len(due)) as advance:
        for clip, rows in _seen(chosen, manifest, due, visual):
            if isinstance(rows, ClipError):
                store.drop(clip)
                bad[clip.id] = str(rows)
            else:
                store.write(clip, rows, marks[clip.id])
                frames += len(rows)
            advance(1)
    store.describe(about, {clip: marks[clip] for clip in bad})
    speed = frames / max(time.perf_counter() - begun, 1e-9)
    written, kept = len(due) - len(bad), len(manifest.clips) - len(due)
    return FeaturesReport(str(store.folder), written, kept, tuple(bad.values()), store.width, speed)


def _seen(recipe: Recipe, manifest: Manifest, clips: Sequence[PackedClip], visual: VisualEncoder) -> Any:
    """Each clip with its rows (T, W), or with the error that stands in the way; decoded beside, by loader processes."""
    device, longest = best_device(), max((clip.num_frames for clip in clips), default=1)
    dataset = ClipDataset(manifest.folder, clips, view_of(recipe), sampling=Sampling(max_frames=longest))
    # one item a time, in order; errors come as items, and the collating default would not take them
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=recipe.data.num_workers, collate_fn=lambda item: item
    )
    visual.to(device).eval()
    items = iter(loader) if recipe.data.num_workers else _one_by_one(dataset)
    with torch.no_grad():
        for clip, item in zip(clips, items, strict=True):
            yield clip, item if isinstance(item, ClipError) else visual.look(item.frames.to(device)).float().cpu()


def _one_by_one(dataset: ClipDataset) -> Any:
    """The items of a dataset in this process, a clip that cannot be read as its error."""
    for index in range(len(dataset)):
        try:
            yield dataset[index]
        except ClipError as error:
            yield error
