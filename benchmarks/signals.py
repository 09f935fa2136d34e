"""`python -m benchmarks signals`: train a recipe as `train` does, and at each epoch's end measure what it learns from.

On one batch of the dev split, in evaluation mode: the gradient of each weighted objective at the frame and segment
features and in each part that trains, as norms and as cosines between objectives. On the whole dev split: how spread
out segments, videos and sentences are (mean cosine of pairs, effective rank), and retrieval in the spaces that
objectives compare videos and sentences in. The objectives' temperatures. For stages that translate, BLEU-4 beside the
loss.

Writes signals.json and signals.md into the run's folder after every epoch. No number of the training changes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import table
from glossfree.cli.terminal import Terminal
from glossfree.console import Console
from glossfree.errors import CorpusError
from glossfree.files.disk import write_atomic, write_json
from glossfree.objectives.base import JointLoss
from glossfree.padded import Padded
from glossfree.pipeline.decode import Decoder, evaluate_clips
from glossfree.pipeline.material import Material
from glossfree.pipeline.stages import TrainingStage
from glossfree.pipeline.start import train_recipe
from glossfree.recipe.files import load_recipe
from glossfree.recipe.schema import Recipe
from glossfree.scoring.retrieval import retrieval
from glossfree.training.checkpoint import Progress
from glossfree.training.device import best_device
from glossfree.training.stage import Stage
from glossfree.video.batch import ClipBatch

SIGNALS = "signals"
Record = dict[str, Any]
Numbers = dict[str, float]


class Signals:
    """What is called after each epoch; keeps a record for each in the run's folder."""

    def __init__(self, material: Material, run: Path) -> None:
        """Raises CorpusError without a dev split, on which all is measured."""
        if not material.clips("dev"):
            raise CorpusError("no dev split to measure on", where=material.manifest.folder, remedy="prepare one")
        self.material, self.path = material, run / f"{SIGNALS}.json"
        self.records: list[Record] = json.loads(self.path.read_text()) if self.path.is_file() else []

    def __call__(self, stage: Stage, progress: Progress, dev: Mapping[str, float]) -> None:
        assert isinstance(stage, TrainingStage)
        record: Record = {"stage": stage.name, "epoch": progress.epoch + 1, "step": progress.step, "dev": dict(dev)}
        record |= {"temperatures": temperatures(stage)}
        stage.eval()
        if stage.reads != "sentences":
            record |= self._measure(stage, dev)
        key = (record["stage"], record["epoch"])
        self.records = [each for each in self.records if (each["stage"], each["epoch"]) != key]  # of a killed run
        self.records.append(record)
        write_json(self.path, self.records)
        write_atomic(self.path.with_suffix(".md"), report(self.records) + "\n")

    def _measure(self, stage: TrainingStage, dev: Mapping[str, float]) -> Record:
        material, config = self.material, self.material.recipe.stage(stage.name)
        loader = material.loader("dev", config)
        assert loader is not None
        loader.set_epoch(0)
        record: Record = gradients(stage, next(iter(loader)).prepared(best_device()))
        record |= spaces(stage, (batch.prepared(best_device()) for batch in loader))
        if config.writes_sentences:
            record["bleu4"] = dev["bleu4"] if "bleu4" in dev else self._bleu4(stage)
        return record

    def _bleu4(self, stage: TrainingStage) -> float:
        """BLEU-4 of dev, with the recipe's beam search."""
        material = self.material
        decoder = Decoder(stage.model, material.tokenizer, material.recipe)
        loader = material.clip_loader("dev", material.recipe.decode.batch_size)
        assert loader is not None
        return evaluate_clips(decoder, loader, material.clips("dev"), material.convention).scores.bleu4


def temperatures(stage: TrainingStage) -> Numbers:
    """Temperatures of the objectives, learnt or fixed, by name: tau_p, tau_t, and 1 / logit scale."""
    found = {}
    for name, parameter in stage.objectives.named_parameters():
        last = name.rpartition(".")[2]
        if last.startswith("log_") and last.endswith("_temperature"):
            found[name.replace("log_", "")] = float(parameter.detach().exp())
        elif last == "logit_scale":
            found[name.replace("logit_scale", "temperature")] = float((-parameter.detach()).exp())
    return found


def gradients(stage: TrainingStage, batch: ClipBatch) -> Record:
    """A batch -> norms {place: {objective: of its weighted loss}} and cosines {place: {"a, b": between two of them}}.

    Places: "frames" (B, T, D) and "segments" (B, S, E), where objectives meet, then the parameters of each part that
    trains. An objective that a place is above has the norm 0 there, and no cosine. Nothing is added to `.grad`.
    """
    levels = stage.levels(batch)
    losses = {
        name: objective(*objective.features(levels, batch))
        if isinstance(objective, JointLoss)
        else objective(levels, batch)
        for name, objective in stage.objectives.items()
    }
    places: dict[str, list[Tensor]] = defaultdict(list)
    for name, level in (("frames", levels.frame), ("segments", levels.segment)):
        if level is not None and level.values.requires_grad:
            places[name] = [level.values]
    for name, parameter in stage.trained().items():
        if not name.startswith("objectives."):
            places[stage.part_of(name)].append(parameter)
    rows = {name: _gradient(stage.weights[name] * loss, places) for name, loss in losses.items()}
    return {
        "norms": {place: {name: float(row[place].norm()) for name, row in rows.items()} for place in places},
        "cosines": {
            place: {
                f"{a}, {b}": float(functional.cosine_similarity(rows[a][place], rows[b][place], dim=0))
                for a, b in combinations(rows, 2)
                if rows[a][place].any() and rows[b][place].any()
            }
            for place in places
        },
    }


def _gradient(loss: Tensor, places: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """A loss -> its gradient at each place, as one vector."""
    tensors = [tensor for each in places.values() for tensor in each]
    found: tuple[Tensor | None, ...]
    if loss.requires_grad:
        found = torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)
    else:
        found = (None,) * len(tensors)
    flat = iter(
        torch.zeros(tensor.numel(), device=tensor.device) if gradient is None else gradient.flatten().float()
        for tensor, gradient in zip(tensors, found, strict=True)
    )
    return {place: torch.cat([next(flat) for _ in each]) for place, each in places.items()}


@torch.no_grad()
def spaces(stage: TrainingStage, batches: Iterable[ClipBatch]) -> Record:
    """Batches of the dev split -> "spaces", {what: spread of its rows}, and "retrieval", {objective: ranks both ways}.

    Rows are segments, the means of video features, and of each joint objective what it compares of a clip and of its
    sentence (the mean of tokens). A space has retrieval if the objective says how similar the two are.
    """
    rows: dict[str, list[Tensor]] = defaultdict(list)
    compared: dict[str, list[tuple[Tensor | Padded, ...]]] = defaultdict(list)
    sentences: list[str] = []
    for batch in batches:
        levels = stage.levels(batch)
        sentences += batch.texts
        if levels.segment is not None:
            rows["segments"].append(levels.segment.pack())
        if levels.video is not None:
            rows["video"].append(levels.video.mean())
        for name, objective in stage.objectives.items():
            if isinstance(objective, JointLoss):
                features = objective.features(levels, batch)
                compared[name].append(features[:2])
                for side, part in zip(("video", "text"), features[:2], strict=True):
                    rows[f"{name}, {side}"].append(part.mean() if isinstance(part, Padded) else part)
    result = {}
    for name, parts in compared.items():
        objective = stage.objectives[name]
        if isinstance(objective, JointLoss) and type(objective).similarity is not JointLoss.similarity:
            matrix = torch.cat(
                [torch.cat([objective.similarity(video, text) for _, text in parts], dim=1) for video, _ in parts]
            )
            ranks = retrieval(matrix.cpu().numpy(), sentences)
            result[name] = {
                way: {"R@1": each.recall[1], "median rank": each.median_rank} for way, each in ranks.items()
            }
    return {"spaces": {name: spread(torch.cat(each)) for name, each in rows.items()}, "retrieval": result}


def spread(rows: Tensor) -> Numbers:
    """Rows (N, W) -> the mean cosine of two different ones, and the effective rank of their directions.

    The effective rank is exp(H(p)), p the singular values of the rows, divided by their norms and with their mean
    subtracted, as shares of their sum (Roy and Vetterli 2007): 1 where all lie on one line, at most min(N - 1, W).
    """
    directions = functional.normalize(rows.double().cpu(), dim=-1)
    number, total = len(rows), directions.sum(dim=0)
    cosine = float((total @ total - directions.square().sum()) / max(1, number * (number - 1)))
    centred = directions - total / number
    singular = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0).sqrt()
    singular = singular[singular > 1e-7 * singular.max()]  # below, a square root of rounding errors
    shares = singular / singular.sum()
    return {"rows": number, "mean cosine": cosine, "effective rank": float((-(shares * shares.log()).sum()).exp())}


def report(records: Sequence[Record]) -> str:
    """Records of epochs -> Markdown: for each stage a table of losses and spaces, and one of gradients."""
    parts = []
    for stage in dict.fromkeys(record["stage"] for record in records):
        own = [record for record in records if record["stage"] == stage]
        parts += [f"## {stage}", _table([_learning(record) for record in own], own)]
        for kind, title in (("norms", "Norms of weighted gradients"), ("cosines", "Cosines between gradients")):
            rows = [_flat(record.get(kind, {})) for record in own]
            if any(rows):
                parts += [f"{title}, one batch of dev:", _table(rows, own)]
        if "bleu4" in own[0]:
            parts.append(selection(own))
    return "\n\n".join(parts)


def selection(records: Sequence[Record]) -> str:
    """The epochs of a stage that translates -> which one the lowest dev loss keeps, and which one the best BLEU-4."""
    by_loss = min(records, key=lambda record: record["dev"]["loss"])
    by_score = max(records, key=lambda record: record["bleu4"])
    kept = [
        f"epoch {each['epoch']} (loss {each['dev']['loss']:.3f}, BLEU-4 {each['bleu4']:.2f})"
        for each in (by_loss, by_score)
    ]
    return f"Lowest dev loss: {kept[0]}. Highest BLEU-4 on dev: {kept[1]}."


def _learning(record: Record) -> Numbers:
    """All numbers of an epoch but gradients."""
    spread_out = {
        f"{name}, {measure}": each[measure]
        for name, each in record.get("spaces", {}).items()
        for measure in ("mean cosine", "effective rank")
    }
    recalls = {
        f"{name}, {way} R@1": each["R@1"]
        for name, of in record.get("retrieval", {}).items()
        for way, each in of.items()
    }
    losses = {f"dev {name}": value for name, value in record["dev"].items() if name != "bleu4"}
    scores = {"BLEU-4": record["bleu4"]} if "bleu4" in record else {}
    return {**losses, **scores, **recalls, **record["temperatures"], **spread_out}


def _flat(values: Mapping[str, Mapping[str, float]]) -> Numbers:
    return {f"{place}: {name}": value for place, each in values.items() for name, value in each.items()}


def _table(rows: Sequence[Numbers], records: Sequence[Record]) -> str:
    """A column for each epoch: there are more measures than epochs fit beside each other."""
    names = dict.fromkeys(name for row in rows for name in row)
    header = ["epoch", *(str(record["epoch"]) for record in records)]
    return table(header, [[name, *(f"{row[name]:.3g}" if name in row else "-" for row in rows)] for name in names])


def measure(recipe: Recipe, corpus: Path, run: Path, console: Console, **options: Any) -> Path:
    """Train a recipe and measure each epoch -> the Markdown file. Options and errors of `train_recipe`; CorpusError."""
    train_recipe(
        recipe, corpus=corpus, run=run, console=console, observe=lambda material: Signals(material, run), **options
    )
    return run / f"{SIGNALS}.md"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks signals", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--recipe", required=True, help="a TOML file, or the name of a shipped recipe")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder made by glossfree prepare")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="may be given several times")
    parser.add_argument("--until", metavar="STAGE", help="the last stage to train")
    parser.add_argument("--from", type=Path, metavar="RUN", dest="start", help="a run whose stages are taken")
    parser.add_argument("--after", metavar="STAGE", help="with --from: its stages up to this one")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    options = vars(parser.parse_args(arguments))
    recipe = load_recipe(options.pop("recipe"), options.pop("set"))
    path = measure(recipe, options.pop("corpus"), options.pop("run"), Terminal(), **options)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
