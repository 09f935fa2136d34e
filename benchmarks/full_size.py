"""The paper's model at full size with random weights, on one fixed batch, through the project's own loop and files.

`python -m benchmarks.full_size --lengths 58,58` trains all three stages one after another, notes what of the model each
has changed, saves the last, loads it into new modules, compares, and prints what it saw as JSON. A test runs it on
short clips (tests/paper/test_full_size.py); as a benchmark it takes 2 clips of 58 frames, 20 steps a stage and about 10
minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.processes import GIGA, finish, peak_gigabytes
from benchmarks.timing import machine, table, wall_seconds
from glossfree.assemble import Parts, assemble
from glossfree.config import load_recipe
from glossfree.models.translator import TranslationModel, Translations
from glossfree.models.weights import fingerprint, load, state
from glossfree.progress import Silent
from glossfree.recipe import Recipe, StageConfig
from glossfree.stages import BaseStage, PretrainingStage, TranslationStage
from glossfree.text.tokenizer import CODES_25, SentenceTokenizer
from glossfree.training.loop import Plan, train
from glossfree.training.run import Run, load_tensors, save_tensors
from glossfree.video.batch import ClipBatch

RECIPE = "hfa-phoenix14t"
LENGTHS = "58,58"  # frames of the clips
STEPS = {"pretrain": 20, "finetune1": 20, "finetune2": 20}
LABELS = {"pretrain": "pre-training", "finetune1": "fine-tuning, stage 1", "finetune2": "fine-tuning, stage 2"}
PIECE, EOS = 4, SentenceTokenizer.eos_id  # the first id of a piece; the end of a sentence
SENTENCE, GLOSSES = 14, 9  # pieces of a sentence; its pseudo-glosses
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
    """What a stage did: losses and seconds of its steps; parameters that it trains, and in all; GB at the peak so far.

    Tensors: how many it names, how many changed (running statistics among them), which changed though the stage does
    not name them, and which did not though it does.
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
    codes, pixels = len(CODES_25) + 1, recipe.data.crop_size
    vocabulary, language = recipe.text.vocabulary_size, CODES_25.index(recipe.text.language)
    small = torch.randint(0, 256, (sum(lengths), 3, pixels // BLOCK, pixels // BLOCK), generator=source)
    frames = small.to(torch.uint8).repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)
    pieces = torch.randint(PIECE, vocabulary - codes, (len(lengths), SENTENCE), generator=source)
    ends = torch.tensor([[EOS, vocabulary - codes + language]]).expand(len(lengths), -1)
    targets = torch.zeros(len(lengths), recipe.pseudo_glosses.num_pseudo_glosses)
    for row in targets:
        row[torch.randperm(len(row), generator=source)[:GLOSSES]] = 1
    names = tuple(f"clip {number}" for number in range(len(lengths)))
    labels = torch.cat([pieces, ends], dim=1)
    return ClipBatch(names, frames, torch.tensor(lengths), names, labels, targets)


def assembled(recipe: Recipe) -> Parts:
    """The recipe's modules for its own number of tokens, with random weights and without adapters."""
    return assemble(recipe, recipe.text.vocabulary_size)


def pretraining_stage(parts: Parts, batch: ClipBatch) -> PretrainingStage:
    """Eqs 1-5 on the batch: its sentences' features first, then the adapters, then the stage."""
    recipe = parts.recipe
    assert batch.labels is not None
    features = parts.text_features(batch.texts, batch.labels)
    parts.adapt()
    sizes = recipe.pseudo_glosses.num_pseudo_glosses, recipe.pseudo_glosses.vector_size
    vectors = torch.randn(sizes, generator=torch.Generator().manual_seed(recipe.seed))
    weights = recipe.pretrain
    return PretrainingStage(
        parts.pretraining(vectors), features, weights.pseudo_gloss_weight, weights.contrastive_weight
    )


def translation_stage(name: str, parts: Parts, model: TranslationModel) -> TranslationStage:
    """Eq 6, `finetune1` (mapper and decoder) or `finetune2` (all that trains)."""
    parts.thaw()
    settings: StageConfig = getattr(parts.recipe, name)
    return TranslationStage(name, model, settings.label_smoothing, name == "finetune1")


def plan_of(recipe: Recipe, stage: str) -> Plan:
    """One epoch of a stage as the recipe has it; its checkpoint comes after the last step."""
    settings: StageConfig = getattr(recipe, stage)
    return Plan(
        epochs=1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        max_grad_norm=settings.max_grad_norm,
        seed=recipe.seed,
    )


def train_on(stage: BaseStage, batch: ClipBatch, steps: int, recipe: Recipe, run: Run) -> Seen:
    """So many steps of the stage on one batch, with the recipe's optimiser -> what was seen."""
    before = fingerprints(stage.model)
    train(stage, FixedBatch(batch, steps), None, plan_of(recipe, stage.name), run, Silent())
    after = fingerprints(stage.model)
    records = [r for r in run.records() if (r["kind"], r["stage"]) == ("step", stage.name)]
    changed = {name for name, value in after.items() if value != before[name]}
    named = set(stage.trained())
    statistics = set(stage.saved()) - named
    return Seen(
        losses=[record["loss"] for record in records],
        seconds=[record["seconds"] for record in records],
        trained=sum(p.numel() for p in stage.trained().values()),
        total=sum(p.numel() for p in stage.model.parameters()),
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
    logits: Tensor = model(batch.frames, batch.lengths, batch.labels)
    language = int(batch.labels[0, -1])
    start = time.perf_counter()
    found = model.translate(batch.frames, batch.lengths, language_id=language, max_new_tokens=WRITTEN)
    return logits, found, time.perf_counter() - start


def rehearse(lengths: Sequence[int], steps: dict[str, int], folder: Path) -> dict[str, object]:
    """All three stages on clips of so many frames, saved and loaded -> what was seen, as plain data."""
    recipe = load_recipe(RECIPE)
    kept, batch, parts = Run(folder), fixed_batch(recipe, lengths), assembled(recipe)
    kept.folder.mkdir(parents=True, exist_ok=True)
    stage: BaseStage = pretraining_stage(parts, batch)
    seen = {"pretrain": asdict(train_on(stage, batch, steps["pretrain"], recipe, kept))}
    model = parts.translation()
    for name in ("finetune1", "finetune2"):
        stage = translation_stage(name, parts, model)
        seen[name] = asdict(train_on(stage, batch, steps[name], recipe, kept))
    logits, translations, translating = answers(model, batch)
    path = kept.weights("finetune2")
    saving = wall_seconds(lambda: save_tensors(path, state(model)))
    fresh = assembled(recipe.model_copy(update={"seed": recipe.seed + 1}))
    fresh.adapt()
    again = fresh.translation()
    _, translations_unlike, _ = answers(again, batch)
    loading = wall_seconds(lambda: load(again, load_tensors(path)[0], where=str(path)))
    logits_again, translations_again, _ = answers(again, batch)
    return {
        "stages": seen,
        "logits_equal": torch.equal(logits, logits_again),
        "logits_spread": float(logits.std()),
        "translations": translations.sequences[:, 0].tolist(),
        "translations_before_loading": translations_unlike.sequences[:, 0].tolist(),
        "translations_again": translations_again.sequences[:, 0].tolist(),
        "weights_gigabytes": path.stat().st_size / GIGA,
        "checkpoint_gigabytes": kept.checkpoint("finetune2", "last").stat().st_size / GIGA,
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
    given = parser.parse_args()
    lengths, steps = ([int(word) for word in text.split(",")] for text in (given.lengths, given.steps))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(rehearse(lengths, dict(zip(STEPS, steps, strict=True)), Path(folder))))


if __name__ == "__main__":
    main()
