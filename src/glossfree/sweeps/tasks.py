"""The cells of a sweep that are known so far: their commands, and what has become of each, by its run or its record."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.recipe.schema import Recipe
from glossfree.scoring.predictions import read_scores, scores_path
from glossfree.sweeps.cells import DONE, WAITING, Cell, Row, choices_of, known_cells
from glossfree.sweeps.plan import Plan
from glossfree.sweeps.records import Records, without_signatures
from glossfree.training.run import FAILED, Run

SPLITS = ("dev", "test")


@dataclass(frozen=True)
class How:
    """How cells are trained: corpus, folder of the runs, processes of a run, trackers, and cells at the same time.

    `start`: a run whose stages up to and including `after` are taken by all cells that have a stage of that name.
    """

    corpus: Path
    runs: Path
    processes: int
    track: tuple[str, ...]
    jobs: int
    start: Path | None = None
    after: str = ""

    def commands(self, cell: Cell, splits: Sequence[str]) -> list[list[str]]:
        """The commands that train a cell and score it on `splits`, in order, run by this Python."""
        glossfree = [sys.executable, "-m", "glossfree"]
        if self.processes > 1:
            launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(self.processes)]
            glossfree = [sys.executable, "-m", *launcher, "-m", "--", "glossfree"]
        sets = [word for change in cell.changes for word in ("--set", change)]
        tracks = [word for name in self.track for word in ("--track", name)]
        run, where = str(self.runs / cell.name), ["--corpus", str(self.corpus)]
        if self.start is not None and any(stage.name == self.after for stage in cell.recipe.planned):
            tracks += ["--from", str(self.start), "--after", self.after]
        train = ["train", "--recipe", cell.row.source, *where, "--run", run, "--resume", *sets, *tracks]
        evaluate = [["evaluate", run, "--split", split, *where] for split in splits]
        understand = _understanding(cell.recipe, run) if "test" in splits else ()
        return [[*glossfree, *words] for words in (train, *evaluate, *understand)]


def _understanding(recipe: Recipe, run: str) -> Iterator[list[str]]:
    """The commands that measure on test what else a recipe has learnt: where signs are, a joint space."""
    scoring = [stage.name for stage in recipe.planned if PseudoGloss in map(type, stage.used_objectives.values())]
    if scoring:
        yield ["locate", run, "--split", "test", "--stage", scoring[-1]]
    if any(each.compares_sentences for stage in recipe.planned for each in stage.used_objectives.values()):
        yield ["retrieve", run, "--split", "test"]


@dataclass
class Cells:
    """The cells of a sweep, as far as they are known, and what has become of each, by name."""

    plan: Plan
    how: How
    only: tuple[str, ...]
    earlier: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: Records | None = None
    test: bool = False
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    loaded: dict[str, Cell] = field(default_factory=dict)  # by name: each reads its recipe once

    def known(self) -> list[Cell]:
        """The cells that are to be trained, in that order."""
        cells = known_cells(self.plan.rows, self.outcomes, self.only)
        return [self.loaded.setdefault(cell.name, cell) for cell in cells]

    def waiting(self) -> list[Cell]:
        """Those that have not ended, and that no job trains."""
        return [cell for cell in self._looked() if self.outcomes[cell.name]["state"] == WAITING]

    def is_wanted(self, row: Row) -> bool:
        """Whether a row, or its group, was asked for."""
        return not self.only or bool({row.name, *row.groups} & {*self.only})

    def is_chosen(self, cell: Cell) -> bool:
        """Whether it counts for its row: not another factor of the learning rate, nor a cell to choose from alone."""
        chosen = choices_of(self.plan.rows, self.outcomes)[self.plan.rows.index(cell.row)]
        return self.is_wanted(cell.row) and cell.seed in cell.row.seeds and chosen == cell.factor

    def rows_without_choice(self) -> list[str]:
        """The rows whose cells are not all known, because no factor of the learning rate is chosen for them yet."""
        chosen = choices_of(self.plan.rows, self.outcomes)
        return [row.name for n, row in enumerate(self.plan.rows) if self.is_wanted(row) and chosen[n] is None]

    def splits(self, cell: Cell) -> tuple[str, ...]:
        """The splits that a cell is scored on."""
        return SPLITS if self.test and self.is_chosen(cell) else SPLITS[:1]

    def commands(self, cell: Cell) -> list[list[str]]:
        """The commands that are left of a cell: a run with scores of one split is trained."""
        splits = self.splits(cell)
        left = [split for split in splits if not scores_path(self.how.runs / cell.name, split).is_file()]
        return self.how.commands(cell, left)[len(left) < len(splits) :]

    def begin(self, *, test: bool) -> None:
        """See which cells have all their scores, now also of test or not. Raises RunError as `Records.scores`."""
        self.test = test
        for cell in self._looked():
            if self.outcomes[cell.name]["state"] == DONE:
                self._look(cell)

    def _looked(self) -> list[Cell]:
        """The known cells, each with an outcome: scores decide which cells there are."""
        while new := [cell for cell in self.known() if cell.name not in self.outcomes]:
            for cell in new:
                self._look(cell)
        return self.known()

    def _look(self, cell: Cell) -> None:
        """See what the run or the record of a cell has; write a record that lacks what the run has."""
        run, splits = self.how.runs / cell.name, self.splits(cell)
        recorded = {} if self.records is None else self.records.scores(cell)
        recorded = {split: each for split, each in recorded.items() if split in splits}
        paths = {split: scores_path(run, split) for split in splits}
        scores = {split: read_scores(path).to_dict() for split, path in paths.items() if path.is_file()}
        is_gone = bool(recorded) and not Run(run).recipe.is_file()
        if is_gone:
            scores = recorded
        missing = [split for split in splits if split not in scores]
        outcome: dict[str, Any] = {"state": WAITING if missing else DONE, **({"scores": scores} if scores else {})}
        if missing and is_gone:
            problem = f"its run is gone, and its record has no scores of {', '.join(missing)}"
            outcome |= {"state": FAILED, "problem": problem}
        elif not missing and (seconds := self.earlier.get(cell.name, {}).get("seconds")) is not None:
            outcome["seconds"] = seconds
        self.outcomes[cell.name] = outcome
        if self.records is not None and not is_gone and not missing and recorded != without_signatures(scores):
            self.records.write(cell, run, outcome)

    def ended(self, cell: Cell, outcome: dict[str, Any]) -> None:
        """A cell has ended, with {"seconds"} or {"state", "problem"}: keep its outcome, and its record."""
        seconds = self.earlier.get(cell.name, {}).get("seconds", 0.0) + outcome.get("seconds", 0.0)
        self.earlier[cell.name] = {"seconds": round(seconds, 1)}
        self._look(cell)
        if "problem" in outcome:
            self.outcomes[cell.name] |= outcome
            if self.records is not None and outcome["state"] == FAILED and not self.records.scores(cell):
                self.records.write(cell, self.how.runs / cell.name, self.outcomes[cell.name])
