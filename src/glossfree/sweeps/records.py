"""A cell of a sweep -> a JSON file that outlives its run: scores, settings, seconds, curves, counts of each sentence.

It has neither weights nor sentences, which a corpus's licence may not allow to copy. The counts (n-grams, lengths;
see `Statistics.packed`) are enough to test later whether two cells differ. Beside the cells of a plan stands PLAN.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from glossfree.corpora.manifest import MANIFEST, Manifest, title_of
from glossfree.errors import RunError
from glossfree.files.disk import digest, read_json, write_atomic
from glossfree.pipeline.fitting import corpus_of, for_corpus
from glossfree.pipeline.start import MAY_CHANGE
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import explain
from glossfree.scoring.conventions import Convention
from glossfree.scoring.predictions import read_predictions
from glossfree.scoring.statistics import Statistics
from glossfree.sweeps.cells import Cell
from glossfree.training.run import Run, load_facts

PLAN = "plan.json"
CURVES = ("loss", "bleu4")  # of dev after each epoch


@dataclass(frozen=True)
class Records:
    """A folder of records of cells on one corpus."""

    folder: Path
    manifest: Manifest
    manifest_sha256: str

    @classmethod
    def open(cls, folder: Path, corpus: Path) -> Records:
        """Raises CorpusError as `Manifest.load`."""
        return cls(folder, Manifest.load(corpus), digest(corpus / MANIFEST))

    def path(self, cell: Cell) -> Path:
        """The file of a cell."""
        return self.folder / f"{cell.name}.json"

    def scores(self, cell: Cell) -> dict[str, Any]:
        """The scores in the record of a cell by split; {} without a record, or where it tells of a failure.

        Raises RunError if the record is of another recipe or corpus.
        """
        path = self.path(cell)
        if not path.is_file():
            return {}
        record = read_record(path)
        settings = self.settings(cell.recipe)
        old = record["settings"]
        changed = sorted(key for key in {**old, **settings} if old.get(key) != settings.get(key))
        is_same_corpus = record["manifest_sha256"] == self.manifest_sha256
        if record.get("scores") and (changed or not is_same_corpus):
            problem = f"is of other settings ({', '.join(changed)})" if changed else "is of another corpus"
            raise RunError(problem, where=path, remedy="give the row another name, or remove the record")
        return dict(record.get("scores", {}))

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """The values of a recipe that are not the defaults of their keys, by dotted key; of a path its last part."""
        values = explain(for_corpus(recipe, self.manifest), {})
        changed = {key: each.value for key, each in values.items() if each.value != each.default}
        plain = json.loads(json.dumps({key: value for key, value in changed.items() if key not in MAY_CHANGE}))
        return {
            key: PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value
            for key, value in plain.items()
        }

    def write(self, cell: Cell, run: Path, outcome: Mapping[str, Any]) -> None:
        """Write the record of a cell that has ended; of splits that it has no scores of now, the old ones stay.

        Raises RunError.
        """
        with _sound(run):
            record = self._record(cell, run, outcome)
        lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items())
        write_atomic(self.path(cell), "{\n" + ",\n".join(lines) + "\n}\n", RunError, parents=True)

    def _record(self, cell: Cell, run: Path, outcome: Mapping[str, Any]) -> dict[str, Any]:
        row, recipe = cell.row, cell.recipe
        record = {
            "name": cell.name,
            "row": row.name,
            "recipe": recipe.name,
            "changes": list(cell.changes),
            "learning_rate_factor": cell.factor,
            "seed": cell.seed,
            "supervision": recipe.supervision,
            "state": outcome["state"],
            "problem": outcome.get("problem", ""),
            "corpus": title_of(self.manifest.corpus, self.manifest.folder.resolve().name),
            "manifest_sha256": self.manifest_sha256,
            "train_clips": len(corpus_of(recipe, self.manifest).split("train")),
            "settings": self.settings(recipe),
            **self._of_run(run, recipe),
        }
        if scores := outcome.get("scores"):
            record["scores"] = without_signatures(scores)
            record |= {kind: _measured(run, kind) for kind in ("localisation", "retrieval")}
            record["sentences"] = {split: self._packed(run, split, each) for split, each in scores.items()}
            earlier = read_record(self.path(cell)) if self.scores(cell) else {}
            for kept in ("scores", "sentences"):
                record[kept] = {**earlier.get(kept, {}), **record[kept]}
        return record

    def _of_run(self, run: Path, recipe: Recipe) -> dict[str, Any]:
        """What a run knows: versions, hashes of weights, stages taken from another run, and of each that it has trained
        seconds, parameters, best epoch and curves; {} without a run."""
        opened = Run(run)
        if not (run / "run.json").is_file():
            return {}
        facts = opened.read_json("run.json")
        weights = {role: each["files"] for role, each in facts.get("weights", {}).items()}
        stages: dict[str, Any] = {}
        for stage in (each for each in recipe.planned if each.name not in facts["taken"]):
            epochs = [each for each in opened.records() if each["kind"] == "epoch" and each["stage"] == stage.name]
            kept = load_facts(opened.weights(stage.name)) if opened.weights(stage.name).is_file() else {}
            losses = [each["dev"] or each["train"] for each in epochs]
            curves = {key: [round(each[key], 4) for each in losses if key in each] for key in CURVES}
            stages[stage.name] = {
                **{key: round(epochs[-1][key], 1) if epochs else 0.0 for key in ("seconds", "processor_seconds")},
                "epochs": len(epochs),
                "best_epoch": 1 + (losses.index(_best(stage.keep, losses)) if losses else -1),
                **{key: kept.get(key) for key in ("trained", "parameters")},
                **{key: curve for key, curve in curves.items() if curve},
            }
        versions = {"glossfree": facts["glossfree"], "torch": facts["libraries"]["torch"], "device": facts["device"]}
        return {"versions": versions, "weights": weights, "taken": facts["taken"], "stages": stages}

    def _packed(self, run: Path, split: str, scores: Mapping[str, Any]) -> str:
        """The counts of each sentence of a split, in the order of the manifest."""
        predictions = read_predictions(run, split)
        clips = self.manifest.split(split)
        convention = Convention(**scores["convention"])
        hypotheses = [predictions[clip.id].text for clip in clips]
        return Statistics.of(hypotheses, [clip.text for clip in clips], convention).packed()


@contextmanager
def _sound(run: Path) -> Iterator[None]:
    """Raise RunError where a file of a run lacks what training, `evaluate` and the others write."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        remedy = "restore its files, or remove it: the cell is trained again"
        raise RunError(f"damaged ({error!r})", where=run, remedy=remedy) from error


def _measured(run: Path, kind: str) -> dict[str, Any]:
    """What `locate` or `retrieve` has written into a run, by its name without the kind: {"test.pretrain": ...}."""
    files = sorted(run.glob(f"{kind}.*.json"))
    return {path.stem.partition(".")[2]: _rounded(read_json(path, RunError, remedy="remove it")) for path in files}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def _best(keep: str, epochs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The epoch, of their dev losses and scores, whose weights a stage keeps."""
    if keep == "last":
        return epochs[-1]
    return max(epochs, key=lambda each: each[keep] if keep in each and keep != "loss" else -each["loss"])


def without_signatures(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Scores by split as a record keeps them: the convention says what the signatures say."""
    return {split: {key: value for key, value in each.items() if key != "signatures"} for split, each in scores.items()}


def read_record(path: Path) -> dict[str, Any]:
    """A record. Raises RunError: missing, or not a record."""
    record = read_json(path, RunError, remedy="remove it: the cell is trained again")
    if not {"name", "state", "settings", "manifest_sha256"} <= record.keys():
        raise RunError("not a record of a cell", where=path, remedy="remove it: the cell is trained again")
    return record


def sentences_of(record: Mapping[str, Any], split: str) -> Statistics:
    """The counts of each sentence of a split, as a record keeps them."""
    convention = Convention(**record["scores"][split]["convention"])
    return Statistics.unpacked(record["sentences"][split], convention)
