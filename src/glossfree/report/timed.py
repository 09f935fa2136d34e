"""The clips of a split -> their pseudo-gloss scores over time, with their true sign spans."""

from __future__ import annotations

import torch

from glossfree.console import Console
from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.objectives.pseudo_gloss import PseudoGlossHead
from glossfree.pipeline.material import Material, sampling_of
from glossfree.report.pointing import TimedClip, segment_middles
from glossfree.training.device import best_device
from glossfree.video.sampler import explain_dead_workers
from glossfree.video.timeline import Timeline


def time_clips(
    hierarchy: HierarchicalEncoder, head: PseudoGlossHead | None, material: Material, split: str, console: Console
) -> dict[str, TimedClip]:
    """Every clip of a split -> {id: its pseudo-glosses in time}; {} without a head, or without clips.

    Both modules are on the best device, in evaluation mode.
    """
    loader = material.clip_loader(split, material.recipe.decode.batch_size)
    if head is None or loader is None:
        return {}
    clips = {clip.id: clip for clip in material.manifest.split(split)}
    sampling = sampling_of(material.recipe)
    timed: dict[str, TimedClip] = {}
    progress = console.progress(f"pseudo-glosses of {split}", len(loader))
    with explain_dead_workers(material.manifest.folder), progress as advance, torch.no_grad():
        for batch in (each.prepared(best_device()) for each in loader):
            scores = head(hierarchy.segments(batch.frames, batch.lengths, batch.level, batch.keypoints))
            for row, (id, length) in enumerate(zip(batch.ids, scores.lengths.tolist(), strict=True)):
                seen = sampling.indices(Timeline.of(clips[id]))
                middles = segment_middles(length, seen, hierarchy.temporal.middles(len(seen)))
                timed[id] = TimedClip(scores.timeline[row, :length].cpu().numpy(), middles, clips[id].spans)
            advance(1)
    return timed
