"""The ViT with `vision.moving_patches` below 1, or frozen blocks in bf16: what that saves, and what it changes.

Rows in bf16 are there where the processor computes in it.

`python -m benchmarks moving`: processor seconds at full size, in turns, on one thread: features of a clip of 58 drawn
frames, coded as H.264, and the visual part of a training step (forward and back through the adapters). About 4 minutes.
`python -m benchmarks moving --run R`: a run with this backbone, which was trained without savings, translates its dev
split with them: sentences that stay, BLEU-4, and how far the features move (relative to how they differ in a clip).
`python -m benchmarks moving --run R --teach FOLDER`: R's backbone, of any kind, teaches a small ViT its features of the
training frames, for `vision.weights`: from nothing, such a ViT learns little of a small corpus. About 6 minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.loader import signer
from benchmarks.onnx_form import bleu4, same
from benchmarks.timing import in_turns, machine, processor_seconds, table
from glossfree.console import Silent
from glossfree.corpora.manifest import Manifest, PackedClip
from glossfree.export import export_model
from glossfree.models.backbones.dinov2 import NEIGHBOURS, Dinov2, Dinov2ClassToken
from glossfree.models.hierarchy import VisualEncoder
from glossfree.pipeline.assemble import adapt_vision, visual_encoder
from glossfree.recipe.files import load_recipe
from glossfree.serving.translations import Failure, Translation
from glossfree.training.device import fast_precisions
from glossfree.training.run import Run
from glossfree.translator import SignTranslator
from glossfree.video.pack import read_clip, write_clip


@dataclass(frozen=True)
class Saving:
    """The share of patches that frozen blocks compute, and their precision."""

    share: float = 1.0
    precision: str = "fp32"

    def __str__(self) -> str:
        return f"{self.share:g}" + (f", {self.precision}" if self.precision != "fp32" else "")


RECIPE = "hfa-phoenix14t"
SAVINGS = (Saving(), Saving(0.5), Saving(0.25), Saving(0.125), Saving(1.0, "bf16"), Saving(0.5, "bf16"))
COLUMN = "moving patches, precision"
FRAMES, ROUNDS = 58, 3
SMALL = {"num_layers": 4, "num_heads": 4, "mlp_ratio": 2, "patch_size": 8}  # of the ViT that is taught
EPOCHS, BATCH, LEARNING_RATE = 3, 128, 1e-3


def run(recipe: str = RECIPE, num_frames: int = FRAMES, rounds: int = ROUNDS) -> str:
    """The table of seconds in Markdown."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    visuals = {str(saving): encoder(recipe, saving) for saving in possible()}
    frames = drawn(num_frames, load_recipe(recipe).data.crop_size)
    seconds = [
        in_turns({name: kind(each, frames) for name, each in visuals.items()}, rounds, seconds_of=processor_seconds)
        for kind in (looks, trains)
    ]
    torch.set_num_threads(threads)
    rows = [[name, *(f"{each[name]:.2f} ({each[name] / each['1']:.2f})" for each in seconds)] for name in visuals]
    note = (
        f"A clip of {num_frames} frames of {frames.shape[-1]} x {frames.shape[-1]} pixels, random weights, "
        f"one thread, medians of {rounds}, in turns; in brackets the part of the whole model's. {machine()}."
    )
    return f"{table([COLUMN, 'features, s', 'training, visual part, s'], rows)}\n\n{note}"


def possible() -> list[Saving]:
    """Those that save anything on this device."""
    return [saving for saving in SAVINGS if saving.precision in {"fp32", *fast_precisions()}]


def encoder(recipe: str, saving: Saving) -> VisualEncoder:
    """The visual encoder of a recipe with adapters, the same random weights for all savings."""
    settings = {"vision.moving_patches": saving.share, "vision.frozen_precision": saving.precision}
    chosen = load_recipe(recipe, [f"{name}={value}" for name, value in settings.items()])
    torch.manual_seed(0)
    visual = visual_encoder(chosen)
    adapt_vision(visual, chosen)
    return visual


def drawn(num_frames: int, pixels: int) -> Tensor:
    """Frames as a packed clip has them (T, 3, pixels, pixels) uint8."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, signer(num_frames, seed=0), 25.0)
        frames = torch.from_numpy(read_clip(path)).movedim(3, 1)
    resized = torch.nn.functional.interpolate(frames.float(), size=(pixels, pixels), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def looks(visual: VisualEncoder, frames: Tensor) -> Callable[[], object]:
    """Features without gradients."""

    def work() -> object:
        with torch.no_grad():
            return visual.eval().look(frames)

    return work


def trains(visual: VisualEncoder, frames: Tensor) -> Callable[[], object]:
    """Forward, and back to the adapters."""
    return lambda: visual.train()(frames).square().sum().backward()


def of_run(run: Path, savings: Sequence[Saving] | None = None) -> str:
    """The table of a run's sentences in Markdown; the first of `savings` is what the others are compared with."""
    translator, corpus, clips = _opened(run, "dev")
    paths, references = [(corpus / clip.file, None) for clip in clips], [clip.text for clip in clips]
    visual = translator.model.hierarchy.visual
    assert isinstance(visual.backbone, Dinov2ClassToken)
    visual.frames_per_pass, visual.within_clips = NEIGHBOURS, True
    visual.backbone.num_frozen = len(visual.backbone.model.encoder.layer) - 1
    frames = [torch.from_numpy(translator.intake.read(path).frames) for path, _ in paths]
    sentences: dict[Saving, list[str]] = {}
    rows, whole = [], list[Tensor]()
    for saving in savings or possible():
        visual.backbone.share, visual.backbone.frozen_in_bf16 = saving.share, saving.precision == "bf16"
        sentences[saving] = [_text(each) for each in translator.explain_all(paths, num_tracks=0)]
        with torch.no_grad():
            features = [visual.look(each) for each in frames]
        whole = whole or features
        moved = sum(float((new - old).square().sum()) for new, old in zip(features, whole, strict=True))
        differ = sum(float((old - old.mean(0)).square().sum()) for old in whole)
        kept = same(sentences[saving], next(iter(sentences.values())))
        score = bleu4(sentences[saving], references)
        rows.append([str(saving), f"{(moved / differ) ** 0.5:.3f}", kept, f"{score:.2f}"])
    header = [COLUMN, "features moved by", "sentences that stay", "dev BLEU-4"]
    note = f"{len(clips)} clips of dev, of {run.name}; moved by: 1 is as far as frames of a clip are from their mean."
    return f"{table(header, rows)}\n\n{note} {machine()}."


def _text(outcome: Translation | Failure) -> str:
    assert isinstance(outcome, Translation), outcome
    return outcome.text


def _opened(run: Path, split: str) -> tuple[SignTranslator, Path, Sequence[PackedClip]]:
    """A run -> its model, its corpus, and the clips of a split."""
    corpus = Path(Run(run).read_json("run.json")["corpus"])
    with tempfile.TemporaryDirectory() as folder:
        export_model(run, Path(folder) / "model", Silent())
        translator = SignTranslator.from_pretrained(Path(folder) / "model")
    assert isinstance(translator, SignTranslator)
    return translator, corpus, Manifest.load(corpus).split(split)


def teach(run: Path, folder: Path, epochs: int = EPOCHS) -> str:
    """A small ViT learns a backbone's features, standardised, frame by frame; its weights -> how it can be used."""
    translator, corpus, clips = _opened(run, "train")
    videos = [torch.from_numpy(translator.intake.read(corpus / clip.file).frames) for clip in clips]
    with torch.no_grad():
        goals = torch.cat([translator.model.hierarchy.visual.look(video) for video in videos])
    frames, goals = torch.cat(videos), (goals - goals.mean(0)) / goals.std(0).clamp(min=1e-6)
    torch.manual_seed(0)
    width, size = goals.shape[1], frames.shape[-1]
    options = SMALL | {"hidden_size": width, "image_size": size, "train": "all", "adapter_layers": 0}
    student = Dinov2.model_validate(options).build()
    eye = VisualEncoder(student, width, width)
    for weight in student.parameters():
        if weight.dim() == 2 and weight.requires_grad:
            torch.nn.init.xavier_uniform_(weight)
        elif weight.dim() == 3:  # positions and class token: as large as what patches tell
            torch.nn.init.normal_(weight, std=0.5)
    optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE)
    steps = -(-epochs * len(frames) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    error = 1.0
    for _ in range(steps):
        chosen = torch.randint(len(frames), (BATCH,))
        loss = (eye.look(frames[chosen]) - goals[chosen]).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        error += (float(loss.detach()) - error) / 100
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name.removeprefix("model."): weight for name, weight in student.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    settings = " ".join(f"--set vision.{name}={value}" for name, value in {"kind": "dinov2", **options}.items())
    return f"{error:.2f} of the features' variance is left. {settings} --set vision.weights={folder}"


def main(words: Sequence[str]) -> str:
    """The table of the run that the command line names, or what it teaches."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks moving", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run; without --teach, one whose backbone is a ViT")
    parser.add_argument("--teach", type=Path, metavar="FOLDER", help="where the weights of a small ViT are put")
    options = parser.parse_args(words)
    return of_run(options.run) if options.teach is None else teach(options.run, options.teach)
