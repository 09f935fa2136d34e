"""The cells of a sweep that are known so far: their commands, and what has become of each, by its run or its record."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glossfree.errors import GlossfreeError
from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.scoring.predictions import measured_path, read_scores, scores_path
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

    def train(self, cell: Cell) -> list[str]:
        """The command that trains a cell, run by this Python."""
        sets = [word for change in cell.changes for word in ("--set", change)]
        tracks = [word for name in self.track for word in ("--track", name)]
        where = ["--corpus", str(self.corpus), "--run", str(self.runs / cell.name)]
        if self.start is not None and any(stage.name == self.after for stage in cell.recipe.planned):
            tracks += ["--from", str(self.start), "--after", self.after]
        return [*_glossfree(self.processes), "train", "--recipe", cell.row.source, *where, "--resume", *sets, *tracks]

    def measures(self, cell: Cell, splits: Sequence[str]) -> dict[Path, list[str]]:
        """The commands that score a trained cell on `splits`, each by the file that it writes.

        On test, also those that measure what else it has learnt: where signs are, a joint space.
        """
        run, stages = self.runs / cell.name, cell.recipe.planned
        evaluate = [*_glossfree(self.processes), "evaluate", str(run)]
        commands = {
            scores_path(run, split): [*evaluate, "--split", split, "--corpus", str(self.corpus)] for split in splits
        }
        if "test" not in splits:
            return commands
        pointing = [each.name for each in stages if PseudoGloss in map(type, each.used_objectives.values())]
        if pointing:
            words = ["locate", str(run), "--split", "test", "--stage", pointing[-1]]
            commands[measured_path(run, "localisation", "test", pointing[-1])] = [*_glossfree(), *words]
        if any(each.compares_sentences for stage in stages for each in stage.used_objectives.values()):
            words = ["retrieve", str(run), "--split", "test"]
            commands[measured_path(run, "retrieval", "test")] = [*_glossfree(), *words]
        return commands


def _glossfree(processes: int = 1) -> list[str]:
    """The words that start it with this Python, in so many processes."""
    if processes == 1:
        return [sys.executable, "-m", "glossfree"]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, "-m", *launcher, "-m", "--", "glossfree"]


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
        is_trained = any(scores_path(self.how.runs / cell.name, split).is_file() for split in self.splits(cell))
        return [*([] if is_trained else [self.how.train(cell)]), *self._left(cell)]

    def _left(self, cell: Cell) -> list[list[str]]:
        """The commands whose files its run lacks."""
        measures = self.how.measures(cell, self.splits(cell))
        return [words for file, words in measures.items() if not file.is_file()]

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

    def _look(self, cell: Cell, *, anew: bool = False) -> None:
        """See what the run or the record of a cell has; a run that is damaged is a failure of this cell alone.

        `anew`: write the record again, whatever scores it has. Raises RunError as `Records.scores`.
        """
        recorded = {} if self.records is None else self.records.scores(cell)
        try:
            self._see(cell, recorded, anew)
        except GlossfreeError as error:
            self.outcomes[cell.name] = {"state": FAILED, "problem": str(error)}

    def _see(self, cell: Cell, recorded: dict[str, Any], anew: bool) -> None:
        """Note what the run or the record of a cell has; write a record that lacks what the run has."""
        run, splits = self.how.runs / cell.name, self.splits(cell)
        recorded = {split: each for split, each in recorded.items() if split in splits}
        paths = {split: scores_path(run, split) for split in splits}
        scores = {split: read_scores(path).to_dict() for split, path in paths.items() if path.is_file()}
        is_gone = bool(recorded) and not Run(run).recipe.is_file()
        if is_gone:
            scores = recorded
        missing = [split for split in splits if split not in scores]
        is_done = not missing and (is_gone or not self._left(cell))
        outcome: dict[str, Any] = {"state": DONE if is_done else WAITING, **({"scores": scores} if scores else {})}
        earlier = self.earlier.get(cell.name, {})
        if missing and is_gone:
            problem = f"its run is gone, and its record has no scores of {', '.join(missing)}"
            outcome |= {"state": FAILED, "problem": problem}
        elif (kept := "seconds" if is_done else "job") in earlier:  # SLURM is asked about a job that is known
            outcome[kept] = earlier[kept]
        self.outcomes[cell.name] = outcome
        is_news = anew or recorded != without_signatures(scores)
        if self.records is not None and is_done and not is_gone and is_news:
            self.records.write(cell, run, outcome)

    def ended(self, cell: Cell, outcome: dict[str, Any]) -> None:
        """A cell has ended, with {"seconds"} or {"state", "problem"}: keep its outcome, and its record."""
        seconds = self.earlier.get(cell.name, {}).get("seconds", 0.0) + outcome.get("seconds", 0.0)
        self.earlier[cell.name] = {"seconds": round(seconds, 1)}
        self._look(cell, anew="problem" not in outcome)  # a measurement may be new where no score is
        if "problem" not in outcome and self.outcomes[cell.name]["state"] == WAITING:
            problem = "its commands ended well and left no results: was it trained on another copy of the corpus?"
            outcome = {"state": FAILED, "problem": problem}
        if "problem" in outcome:
            self.outcomes[cell.name] |= outcome
            if self.records is not None and outcome["state"] == FAILED and not self.records.scores(cell):
                with suppress(GlossfreeError):  # the run of a cell that failed may be damaged
                    self.records.write(cell, self.how.runs / cell.name, self.outcomes[cell.name])
