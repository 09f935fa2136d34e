"""The paper's model at full size with random weights, on one fixed batch, through the project's own loop and files.

`python -m benchmarks.full_size --lengths 58,58` trains the paper's three stages one after another, records what of the
model each has changed, saves what the last leaves, loads it into another model, compares, and prints all of it as JSON.
A test runs it on short clips (tests/paper/test_full_size.py); as a benchmark it takes 2 clips of 58 frames, 20 steps a
stage and about 10 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.processes import GIGA, finish, peak_gigabytes
from benchmarks.timing import machine, table, wall_seconds
from glossfree.console import Silent
from glossfree.models.choices import Beams, Translations
from glossfree.models.hierarchy import TranslationModel
from glossfree.models.tokens import CODES_AND_MASK, EOS_ID
from glossfree.models.weights import fingerprint, state
from glossfree.objectives.base import Inputs
from glossfree.objectives.gloss_ctc import GLOSSES, GlossCtc
from glossfree.objectives.pseudo_gloss import PSEUDO_GLOSSES, PseudoGloss
from glossfree.pipeline.assemble import adapt, assemble, load_model, prepare, put_mapper, training_stage
from glossfree.pipeline.stages import TrainingStage
from glossfree.pipeline.text_features import encode
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.text.unigram import CODES_25
from glossfree.training.loop import Plan, train
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.video.batch import ClipBatch

RECIPE = "hfa-phoenix14t"
LENGTHS = "58,58"  # frames of the clips
STEPS = {"pretrain": 20, "finetune1": 20, "finetune2": 20}
LABELS = {"pretrain": "pre-training", "finetune1": "fine-tuning, stage 1", "finetune2": "fine-tuning, stage 2"}
PIECE = 4  # the first id of a piece
SENTENCE, PRESENT = 14, 9  # pieces of a sentence; its glosses and pseudo-glosses
BLOCK = 16  # pixels of one colour: 14 x 14 coloured blocks a frame
WRITTEN = 12  # tokens of a translation at most


@dataclass(frozen=True)
class FixedBatch:
    """A loader that gives the same batch `count` times, each time as a step of its own."""

    batch: ClipBatch
    count: int

    def set_epoch(self, epoch: int, position: int = 0) -> None:
        """Every epoch is the same."""

    def steps(self) -> Iterator[list[ClipBatch]]:
        """One batch a step."""
        yield from ([batch] for batch in self)

    def num_steps(self, epochs: int) -> int:
        """Steps of `epochs` epochs."""
        return self.count * epochs

    def skipped(self) -> list[str]:
        """None."""
        return []

    def __iter__(self) -> Iterator[ClipBatch]:
        return iter([self.batch] * self.count)

    def __len__(self) -> int:
        return self.count


@dataclass
class Seen:
    """What a stage did: losses and seconds of its steps; GB at the peak so far.

    Parameters: those that it trains, and all of the parts of the model that it goes through and of its objectives.
    Tensors of the whole model: how many the stage names as trained, how many changed (running statistics among them),
    which changed though the stage does not name them, and which did not though it does.
    """

    losses: list[float]
    seconds: list[float]
    trained: int
    total: int
    named: int
    changed: int
    peak_gigabytes: float
    unexpected: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)


def fixed_batch(recipe: Recipe, lengths: Sequence[int], seed: int = 0) -> ClipBatch:
    """Clips of random coloured blocks, each with a random sentence and random pseudo-glosses of the recipe's sizes."""
    source = torch.Generator().manual_seed(seed)
    pixels, vocabulary = recipe.data.crop_size, recipe.text.vocabulary_size
    language = vocabulary - CODES_AND_MASK + CODES_25.index("de_DE")
    small = torch.randint(0, 256, (sum(lengths), 3, pixels // BLOCK, pixels // BLOCK), generator=source)
    frames = small.to(torch.uint8).repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)
    pieces = torch.randint(PIECE, vocabulary - CODES_AND_MASK, (len(lengths), SENTENCE), generator=source)
    ends = torch.tensor([[EOS_ID, language]]).expand(len(lengths), -1)
    targets: dict[str, Tensor] = {}
    if (options := pseudo_gloss(recipe)) is not None:
        targets[PSEUDO_GLOSSES] = torch.zeros(len(lengths), options.num_pseudo_glosses)
        for row in targets[PSEUDO_GLOSSES]:
            row[torch.randperm(len(row), generator=source)[:PRESENT]] = 1
    if (annotated := gloss_ctc(recipe)) is not None:
        size = len(lengths), min(PRESENT, min(lengths) // 2)
        targets[GLOSSES] = torch.randint(1, annotated.num_glosses + 1, size, generator=source)
    names = tuple(f"clip {number}" for number in range(len(lengths)))
    labels = torch.cat([pieces, ends], dim=1)
    joints = recipe.keypoints.joints_read
    keypoints = torch.rand(sum(lengths), joints, 3, generator=source) if joints else None
    return ClipBatch(names, frames, torch.tensor(lengths), names, labels, targets=targets, keypoints=keypoints)


def pseudo_gloss(recipe: Recipe) -> PseudoGloss | None:
    """The recipe's options of eqs 1-3, or their defaults if another objective needs pseudo-glosses."""
    options = recipe.objective(PseudoGloss)
    if options is None and PSEUDO_GLOSSES in recipe.needs:
        return PseudoGloss()
    return options if isinstance(options, PseudoGloss) else None


def gloss_ctc(recipe: Recipe) -> GlossCtc | None:
    """The recipe's options of recognition, if it has them."""
    options = recipe.objective(GlossCtc)
    return options if isinstance(options, GlossCtc) else None


def assembled(recipe: Recipe) -> TranslationModel:
    """The recipe's model for its own number of tokens, with random weights and without adapters."""
    return assemble(recipe, recipe.text.vocabulary_size)


def inputs_of(recipe: Recipe, model: TranslationModel, batch: ClipBatch) -> Inputs:
    """A model without adapters -> what objectives need: features of the batch's sentences, random prototypes (P, 300).

    There are no document frequencies: every pseudo-gloss may be a target.
    """
    assert batch.labels is not None
    options, annotated, needs = pseudo_gloss(recipe), gloss_ctc(recipe), recipe.needs
    source = torch.Generator().manual_seed(recipe.seed)
    vectors = None
    if options is not None:
        vectors = torch.randn(options.num_pseudo_glosses, options.vector_size, generator=source)
    read = partial(encode, model.hierarchy.language, batch.texts, batch.labels)
    return Inputs(
        vectors=vectors,
        text_features=read() if "text_features" in needs else None,
        text_tokens=read(pooled=False) if "text_tokens" in needs else None,
        glosses=None if annotated is None else tuple(map(str, range(annotated.num_glosses))),
    )


def stage_of(recipe: Recipe, name: str, model: TranslationModel, inputs: Inputs) -> TrainingStage:
    """A model, with adapters in or still without -> one of the recipe's stages, ready to train."""
    prepare(model, recipe, recipe.stage(name))
    return training_stage(model, recipe, recipe.stage(name), inputs)


def new_stage(recipe: Recipe, name: str, batch: ClipBatch) -> TrainingStage:
    """One of the recipe's stages around a model of its own, ready to train on this batch."""
    model = assembled(recipe)
    return stage_of(recipe, name, model, inputs_of(recipe, model, batch))


def plan_of(recipe: Recipe, name: str) -> Plan:
    """One epoch of a stage as the recipe has it; its checkpoint comes after the last step.

    The learning rate rises in the same share of all steps as in the whole stage: 5 of 100 epochs are 0.05 of one.
    """
    settings = recipe.stage(name)
    return Plan(
        epochs=1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup / settings.epochs,
        max_grad_norm=settings.max_grad_norm,
        seed=recipe.seed,
        optimizer=settings.optimizer,
        momentum=settings.momentum,
        schedule=settings.schedule,
        factors=settings.learning_rate_factors,
    )


def train_on(stage: TrainingStage, batch: ClipBatch, steps: int, recipe: Recipe, run: Run) -> Seen:
    """So many steps of the stage on one batch, with the recipe's optimiser -> what it did."""
    before = fingerprints(stage)
    train(stage, FixedBatch(batch, steps), None, plan_of(recipe, stage.name), run, Silent())
    after = fingerprints(stage)
    records = [r for r in run.records() if (r["kind"], r["stage"]) == ("step", stage.name)]
    changed = {name for name, value in after.items() if value != before[name]}
    named = set(stage.trained())
    statistics = set(stage.saved()) - named
    used = nn.ModuleList([*stage.parts().values(), stage.objectives])
    return Seen(
        losses=[record["loss"] for record in records],
        seconds=[record["seconds"] for record in records],
        trained=sum(p.numel() for p in stage.trained().values()),
        total=sum(p.numel() for p in used.parameters()),
        named=len(named),
        changed=len(changed),
        peak_gigabytes=peak_gigabytes(),
        unexpected=sorted(changed - named - statistics),
        untouched=sorted(named - changed),
    )


def fingerprints(model: nn.Module) -> dict[str, str]:
    """{name: SHA-256 of its bytes} of every parameter and statistic, without a copy of any."""
    return {name: fingerprint({name: tensor}) for name, tensor in state(model).items()}


@torch.no_grad()
def answers(model: TranslationModel, batch: ClipBatch) -> tuple[Tensor, Translations, float]:
    """Logits of the batch's own sentences; what the model translates its clips to, with four beams; seconds of that."""
    model.eval()
    assert batch.labels is not None
    logits: Tensor = model.decoder(model.hierarchy.video(batch.frames, batch.lengths), batch.labels)
    language = int(batch.labels[0, -1])
    start = time.perf_counter()
    beams = Beams(max_new_tokens=WRITTEN)
    translations = model.translate(batch.frames, batch.lengths, beams=beams, start_id=language)
    return logits, translations, time.perf_counter() - start


def rehearse(lengths: Sequence[int], steps: dict[str, int], folder: Path) -> dict[str, object]:
    """All three stages on clips of so many frames, saved and loaded -> what they did, as plain data."""
    recipe = load_recipe(RECIPE)
    run, batch, model = Run(folder), fixed_batch(recipe, lengths), assembled(recipe)
    run.folder.mkdir(parents=True, exist_ok=True)
    inputs = inputs_of(recipe, model, batch)
    seen: dict[str, dict[str, Any]] = {}
    for name, count in steps.items():
        stage = stage_of(recipe, name, model, inputs)
        seen[name] = asdict(train_on(stage, batch, count, recipe, run))
    logits, translations, translating = answers(model, batch)
    path = run.weights(stage.name)
    saving = wall_seconds(lambda: save_tensors(path, stage.result()))
    again = assembled(recipe.model_copy(update={"seed": recipe.seed + 1}))
    adapt(again, recipe)
    put_mapper(again, recipe)
    _, translations_unlike, _ = answers(again, batch)
    loading = wall_seconds(lambda: load_model(again, load_tensors(path)[0], where=str(path)))
    logits_again, translations_again, _ = answers(again, batch)
    return {
        "stages": seen,
        "logits_equal": torch.equal(logits, logits_again),
        "logits_spread": float(logits.std()),
        "translations": translations.sequences[:, 0].tolist(),
        "translations_before_loading": translations_unlike.sequences[:, 0].tolist(),
        "translations_again": translations_again.sequences[:, 0].tolist(),
        "weights_gigabytes": path.stat().st_size / GIGA,
        "checkpoint_gigabytes": run.checkpoint(stage.name, "last").stat().st_size / GIGA,
        "seconds": {"save": saving, "load": loading, "translate": translating},
        "threads": torch.get_num_threads(),
        "peak_gigabytes": peak_gigabytes(),
    }


def run(lengths: str = LENGTHS, steps: dict[str, int] = STEPS) -> str:
    """All stages in their own process -> a table in Markdown. Raises AssertionError where loading changes anything."""
    words = ",".join(str(steps[name]) for name in STEPS)
    done = finish("benchmarks.full_size", "--lengths", lengths, "--steps", words)
    seen: dict[str, Any] = json.loads(done.output)
    assert seen["logits_equal"] and seen["translations"] == seen["translations_again"], "loaded weights differ"
    rows = [
        [
            LABELS[name],
            f"{stage['trained']:,} of {stage['total']:,}",
            str(len(stage["losses"])),
            f"{stage['losses'][0]:.3f}",
            f"{stage['losses'][-1]:.3f}",
            f"{median(stage['seconds'][1:]):.1f}",
            f"{stage['peak_gigabytes']:.1f}",
        ]
        for name, stage in seen["stages"].items()
    ]
    header = ["stage", "parameters that train", "steps", "first loss", "last loss", "s a step", "peak so far, GB"]
    seconds = seen["seconds"]
    text = (
        f"One fixed batch of {lengths.replace(',', ' + ')} frames of 224 x 224, random weights, float32, "
        f"{seen['threads']} threads, through the loop of training; medians without the first step; memory is that of "
        f"the process. The weights, {seen['weights_gigabytes']:.2f} GB, are written in {seconds['save']:.1f} s and "
        f"loaded in {seconds['load']:.1f} s; logits and translations are the same afterwards. A checkpoint of stage 2 "
        f"is {seen['checkpoint_gigabytes']:.2f} GB. Translating both clips with 4 beams, {WRITTEN} tokens at most: "
        f"{seconds['translate']:.1f} s. In all {done.seconds / 60:.1f} minutes; peak, with two models at the end: "
        f"{seen['peak_gigabytes']:.1f} GB. {machine()}."
    )
    return f"{table(header, rows)}\n\n{text}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size", description=__doc__)
    parser.add_argument("--lengths", default=LENGTHS, help="frames of each clip")
    parser.add_argument("--steps", default=",".join(map(str, STEPS.values())), help=f"of {', '.join(STEPS)}")
    options = parser.parse_args()
    lengths, steps = ([int(word) for word in text.split(",")] for text in (options.lengths, options.steps))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(rehearse(lengths, dict(zip(STEPS, steps, strict=True)), Path(folder))))


if __name__ == "__main__":
    main()
