"""The records of a plan (`glossfree sweep --plan --records`) -> the tables and pictures of docs/evidence.md.

Nothing is trained: records alone are read. Each table is a block of its own, so that text may stand between.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks import signals
from benchmarks.panels import panel, svg
from benchmarks.timing import table
from glossfree.avatar import wetter
from glossfree.corpora.manifest import SPLITS, Manifest
from glossfree.objectives import OBJECTIVES
from glossfree.recipe.schema import Recipe, StageConfig
from glossfree.scoring.significance import SAMPLES, compare
from glossfree.scoring.statistics import Statistics
from glossfree.sweeps.cells import Row, choices_of
from glossfree.sweeps.plan import Plan
from glossfree.sweeps.records import PLAN, read_record, sentences_of

METRICS = {"bleu4": "BLEU-4", "rouge_l": "ROUGE-L", "chrf": "chrF"}


@dataclass(frozen=True)
class Evidence:
    """A plan, the records of its cells by name, and the factor that was chosen for each row, by name."""

    plan: Plan
    records: dict[str, dict[str, Any]]
    chosen: dict[str, float | None]

    @classmethod
    def load(cls, folder: Path) -> Evidence:
        """A folder of records. Raises RunError for a file that is not a record, OSError without a plan."""
        plan = Plan.of(json.loads((folder / PLAN).read_text(encoding="utf-8")))
        records = [read_record(path) for path in sorted(folder.glob("*.json")) if path.name != PLAN]
        by_name = {record["name"]: record for record in records}
        choices = choices_of(plan.rows, by_name)
        return cls(plan, by_name, {row.name: choices[number] for number, row in enumerate(plan.rows)})

    def of_row(self, row: Row) -> list[dict[str, Any]]:
        """The records with scores of a row, by seed in the plan's order, with the factor that was chosen."""
        factor = self.chosen[row.name]
        cells = [] if factor is None else row.cells(row.seeds, [factor])
        return [record for cell in cells if "scores" in (record := self.records.get(cell.name, {}))]

    def group(self, name: str) -> list[Row]:
        """The rows of a group."""
        return [row for row in self.plan.rows if name in row.groups]

    def groups(self) -> list[str]:
        """The names of all groups, in the order of the plan."""
        return list(dict.fromkeys(group for row in self.plan.rows for group in row.groups))

    def split(self, group: str) -> str:
        """The split that a group is compared on: test once all its rows are scored on it, until then dev."""
        counting = [self.of_row(row) for row in self.group(group)]
        is_tested = all(records and all("test" in each["scores"] for each in records) for records in counting)
        return "test" if is_tested else "dev"

    def failed(self) -> Iterator[str]:
        """A line for each cell that failed."""
        for name, record in self.records.items():
            if record["state"] == "failed":
                yield f"`{name}`: {record['problem']}"


def p_value(a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]], split: str) -> float | None:
    """Records of two rows -> p of their difference in BLEU-4 by approximate randomisation over sentences, two-sided.

    The seeds that both have count together: a sentence is drawn or swapped with all its translations. None without any.
    """
    of_a, of_b = ({each["seed"]: each for each in rows if split in each["scores"]} for rows in (a, b))
    common = of_a.keys() & of_b.keys()
    if not common:
        return None
    summed = [_summed([sentences_of(rows[seed], split) for seed in sorted(common)]) for rows in (of_a, of_b)]
    return compare(*summed).metrics["bleu4"].p_randomisation


def _summed(parts: Sequence[Statistics]) -> Statistics:
    """Translations of the same sentences by several runs -> their counts, summed for each sentence."""
    return replace(parts[0], table=sum((each.table for each in parts[1:]), parts[0].table))


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; of one value only the value; "-" of none."""
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else "-"
    return f"{fmean(values):.2f} ± {stdev(values):.2f}"


def scores_of(records: Sequence[dict[str, Any]], split: str, metric: str) -> list[float]:
    """One score of every record that has it."""
    return [each["scores"][split][metric] for each in records if split in each["scores"]]


def group_table(evidence: Evidence, group: str) -> str:
    """The rows of a group: scores, tests against the references in the group, supervision, cost."""
    split, rows = evidence.split(group), []
    references = [row for row in evidence.group(group) if row.is_reference]
    for row in evidence.group(group):
        if not (records := evidence.of_row(row)):
            continue
        on_split = [f"{spread(scores_of(records, split, metric))}" for metric in METRICS]
        tests = [None if row == other else p_value(records, evidence.of_row(other), split) for other in references]
        factor = evidence.chosen[row.name]
        rows.append(
            [
                row.name,
                str(len(records)),
                *([spread(scores_of(records, "dev", "bleu4"))] if split != "dev" else []),
                *on_split,
                *("-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}" for p in tests),
                records[0]["supervision"],
                "-" if factor is None else f"{factor:g}",
                *costs(records),
            ]
        )
    header = [
        *("row", "n"),
        *(["dev BLEU-4"] if split != "dev" else []),
        *(f"{split} {title}" for title in METRICS.values()),
        *(f"p, {row.name}" for row in references),
        *("supervision", "rate x", "processor minutes", "trained, M", "all, M"),
    ]
    return table(header, rows)


def costs(records: Sequence[dict[str, Any]]) -> list[str]:
    """Mean processor minutes of training; the parameters of the last stage: those that train, and all."""
    known = [record for record in records if record.get("stages")]
    if not known:
        return ["-"] * 3
    minutes = fmean(map(processor_seconds, known)) / 60
    *_, last = known[0]["stages"].values()
    counts = [last.get(key) for key in ("trained", "parameters")]
    return [f"{minutes:.1f}", *("-" if count is None else f"{count / 1e6:.2f}" for count in counts)]


def processor_seconds(record: dict[str, Any]) -> float:
    """What all stages of a run took."""
    return float(sum(stage["processor_seconds"] for stage in record.get("stages", {}).values()))


def rates_table(evidence: Evidence) -> str:
    """Dev BLEU-4 of the seed that chooses with each factor, of every row that chose for itself."""
    rows = []
    factors = list(dict.fromkeys(factor for row in evidence.plan.rows for factor in row.factors))
    for row in evidence.plan.rows:
        if len(row.factors) < 2:
            continue
        cells = {cell.factor: evidence.records.get(cell.name, {}) for cell in row.first()}
        shown = []
        for factor in factors:
            record = cells.get(factor, {})
            text = spread(scores_of([record], "dev", "bleu4")) if "scores" in record else record.get("state", "-")
            shown.append(f"**{text}**" if factor == evidence.chosen[row.name] else text)
        rows.append([row.name, *shown])
    return table(["dev BLEU-4", *(f"x {factor:g}" for factor in factors)], rows) if rows else ""


def choosing_table(evidence: Evidence, reference: Row) -> str:
    """Every row that is compared with a reference on the same clips, on dev, where settings may be chosen.

    p as in the other tables, and as Holm corrects it: so many comparisons find something by chance.
    """
    sizes = {group for group, key in evidence.plan.axes.items() if key == "data.train_clips"}
    rows = [row for row in evidence.plan.rows if row != reference and {*row.groups} & {*reference.groups} - sizes]
    own, tested = evidence.of_row(reference), []
    for row in rows:
        records = evidence.of_row(row)
        if (p := p_value(records, own, "dev")) is not None:
            tested.append((p, row, records))
    lines, corrected = [], 0.0
    for number, (p, row, records) in enumerate(sorted(tested, key=lambda each: each[0])):
        corrected = max(corrected, min(1.0, (len(tested) - number) * p))
        seeds = {each["seed"] for each in records}
        beside = [each for each in own if each["seed"] in seeds]
        difference = fmean(scores_of(records, "dev", "bleu4")) - fmean(scores_of(beside, "dev", "bleu4"))
        cost = fmean(map(processor_seconds, records)) / fmean(map(processor_seconds, own))
        lines.append([row.name, f"{len(records)}", f"{difference:+.2f}", f"{p:.3f}", f"{corrected:.3f}", f"{cost:.2f}"])
    header = ["row", "n", f"dev BLEU-4 beside {reference.name}", "p", "p, Holm", "processor time beside it"]
    return table(header, lines) if lines else ""


PLACES = {  # measures of `locate` -> titles
    "peak inside the sign": "peak in sign, %",
    "mAP inside the sign": "mAP, %",
    "IoU": "IoU, %",
    "start error, s": "start error, s",
    "end error, s": "end error, s",
}


def _measured(records: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """What `locate` or `retrieve` measured on test of records that have it."""
    return [each for record in records for name, each in record.get(kind, {}).items() if name.startswith("test")]


def places_table(evidence: Evidence, group: str) -> str:
    """Where a row's pseudo-gloss scores see signs on test, with chance in brackets, and which: micro F1."""
    rows = []
    for row in evidence.group(group):
        found = [each for each in _measured(evidence.of_row(row), "localisation") if each["signs"] and each["sets"]]
        if not found:
            continue
        values = [[each["signs"]["overall"]["values"][name] for each in found] for name in PLACES]
        cells = [f"{spread([one['run'] for one in each])} ({each[0]['chance']:.2f})" for each in values]
        sets = {name: [each["sets"][name]["f1"] for each in found] for name in ("run", "most frequent")}
        rows.append([row.name, str(len(found)), *cells, f"{spread(sets['run'])} ({sets['most frequent'][0]:.2f})"])
    header = ["row (chance)", "n", *PLACES.values(), "pseudo-gloss F1, % (the most frequent)"]
    return table(header, rows) if rows else ""


def parts_table(evidence: Evidence, row: Row) -> str:
    """The same by length of a sign and by count of its pseudo-gloss in training, of the first seed of a row."""
    rows = []
    for measured in _measured(evidence.of_row(row)[:1], "localisation"):
        for title, key in (("frames of a sign", "by_length"), ("times in training", "by_frequency")):
            for part in (measured["signs"] or {}).get(key, ()):
                values = [part["values"][place] for place in PLACES if place in part["values"]]
                cells = [f"{each['run']:.2f} ({each['chance']:.2f})" for each in values]
                rows.append([f"{title}: {part['name']}", str(part["pairs"]), *cells])
    return table([f"{row.name} (chance)", "signs", *PLACES.values()], rows) if rows else ""


def retrieval_table(evidence: Evidence, group: str) -> str:
    """How well the rows with a joint space find test sentences for videos, and videos for sentences."""
    rows = []
    for row in evidence.group(group):
        found = _measured(evidence.of_row(row), "retrieval")
        if not found:
            continue
        cells = []
        for direction in ("video to text", "text to video"):
            each = [one[direction] for one in found]
            cells += [spread([one["recall"][k] for one in each]) for k in ("1", "5", "10")]
            cells.append(f"{spread([one['median_rank'] for one in each])} ({each[0]['median_rank_by_chance']:g})")
        rows.append([row.name, str(len(found)), *cells])
    titles = [f"{name} {k}" for name in ("V-T", "T-V") for k in ("R@1", "R@5", "R@10", "median rank (chance)")]
    return table(["row", "n", *titles], rows) if rows else ""


def setting(evidence: Evidence) -> str:
    """Corpus, versions, how scores and p-values are made, and the cells that failed."""
    records = [record for record in evidence.records.values() if "scores" in record]
    corpora = {f"`{record['corpus']}` (manifest {record['manifest_sha256'][:12]})" for record in records}
    versions = {
        f"glossfree {each['glossfree']}, torch {each['torch']}, {each['device']}"
        for each in (record["versions"] for record in records if "versions" in record)
    }
    lines = [
        f"{len(records):,} trained runs on {', '.join(sorted(corpora)) or 'no corpus'}; {', '.join(sorted(versions))}.",
        "The rows of a group are compared on test once all of them are trained, until then on dev: mean ± sample "
        "standard deviation over n seeds; a row of one seed shows no deviation.",
        f"p: approximate randomisation over sentences, two-sided, BLEU-4, {SAMPLES:,} samples, on the seeds that both "
        "rows have. It does not cover the variation between trainings.",
        "rate x: factor of every learning rate of the recipe, chosen on dev with one seed, or taken over. "
        "Processor minutes: training with validation, on machines that were busy with other rows as well, so that a "
        "third more or less says nothing. Parameters: of the last stage.",
    ]
    waiting = [row.name for row in evidence.plan.rows if not evidence.of_row(row)]
    if waiting:
        lines.append(
            f"Rows of the plan that are not trained yet, and so not shown ({len(waiting)}): {'; '.join(waiting)}."
        )
    failed = [f"- {line}" for line in evidence.failed()]
    return "\n".join([*lines, "", f"Runs that failed: {len(failed)}.", *([""] if failed else []), *failed])


def corpus_table(folder: Path) -> str:
    """A prepared corpus beside the built-in one that the backbone learnt on: clips, glosses, and what they share."""
    manifest, known, rows = Manifest.load(folder), {*wetter.inventory()}, []
    for split in SPLITS:
        clips = manifest.split(split)
        glosses = Counter(gloss for clip in clips for gloss in clip.glosses)
        shared = {gloss: count for gloss, count in glosses.items() if gloss in known}
        share = 100 * sum(shared.values()) / glosses.total()
        words = fmean(len(clip.text.split()) for clip in clips)
        silent = sum(not clip.glosses for clip in clips)
        counts = [f"{each:,}" for each in (len(clips), len(glosses), len(shared))]
        rows.append(
            [split, *counts, f"{share:.1f}", f"{glosses.total() / len(clips):.1f}", f"{words:.1f}", str(silent)]
        )
    titles = ["clips", "glosses", "of them in wetter", "% of occurrences", "glosses a clip", "words a sentence"]
    return table(["split", *titles, "clips without a gloss"], rows)


def value_of(record: dict[str, Any], key: str) -> Any:
    """The value of a recipe's key in a record, which leaves out defaults."""
    if key == "data.train_clips":
        return record["train_clips"]
    *tables, name = key.split(".")
    if "objectives" in tables:
        options: Any = OBJECTIVES[tables[-1]]
    elif tables and tables[0] in Recipe.model_fields:
        options = type(Recipe.model_fields[tables[0]].default)
    else:
        options = StageConfig if tables else Recipe
    return record["settings"].get(key, options.model_fields[name].default)


def axis_panel(evidence: Evidence, group: str, key: str) -> str:
    """BLEU-4 along a key of the recipe: a line for each recipe, with its deviation over seeds."""
    lines: dict[str, dict[Any, list[float]]] = {}
    for row in evidence.group(group):
        for record in evidence.of_row(row):
            values = lines.setdefault(record["recipe"], {}).setdefault(value_of(record, key), [])
            values += scores_of([record], evidence.split(group), "bleu4")
    ticks = sorted({value for line in lines.values() for value in line}, key=lambda value: (str(type(value)), value))
    drawn = {
        name: [
            (float(ticks.index(value)), fmean(scores), stdev(scores) if len(scores) > 1 else 0.0)
            for value, scores in sorted(line.items(), key=lambda item: ticks.index(item[0]))
            if scores
        ]
        for name, line in lines.items()
    }
    title = f"{evidence.split(group)} BLEU-4, {group}"
    return svg([panel(title, drawn, [f"{tick:g}" if isinstance(tick, float) else str(tick) for tick in ticks])])


def curve_panels(evidence: Evidence, group: str) -> str:
    """Dev loss after each epoch of each stage, a panel for each row (its first seed that has scores)."""
    panels = []
    for row in evidence.group(group):
        for record in evidence.of_row(row)[:1]:
            stages = {name: stage.get("loss", []) for name, stage in record.get("stages", {}).items()}
            lines = {
                name: [(n + 1.0, y, 0.0) for n, y in enumerate(losses)] for name, losses in stages.items() if losses
            }
            last = max((len(line) for line in lines.values()), default=1)
            panels.append(panel(f"{row.name}: dev loss by epoch", lines, ["1", str(last)], span=(1.0, float(last))))
    return svg(panels)


def run(folder: Path, out: Path) -> dict[str, str]:
    """A folder of records -> {name of a block of the page `out`: Markdown}; pictures are written beside the page."""
    evidence = Evidence.load(folder)
    pictures = out.parent / "images" / "evidence"
    pictures.mkdir(parents=True, exist_ok=True)
    blocks = {"evidence setting": setting(evidence)}
    for group in evidence.groups():
        if not any(map(evidence.of_row, evidence.group(group))):
            blocks[f"evidence {group}"] = "No row of this group is trained yet."
            continue
        drawn = {f"curves {group}": curve_panels(evidence, group)}
        if key := evidence.plan.axes.get(group):
            drawn[f"axis {group}"] = axis_panel(evidence, group, key)
        links = []
        for title, picture in drawn.items():
            path = pictures / f"{title.replace(' ', '-')}.svg"
            path.write_text(picture, encoding="utf-8")
            links.append(f"![{title}](images/evidence/{path.name})")
        tables = [make(evidence, group) for make in (group_table, places_table, retrieval_table)]
        blocks[f"evidence {group}"] = "\n\n".join([*filter(None, tables), *reversed(links)])
    for row in (each for each in evidence.plan.rows if each.is_reference):
        if text := parts_table(evidence, row):
            blocks[f"evidence signs, {row.name}"] = text
        if text := choosing_table(evidence, row):
            blocks[f"evidence on dev, {row.name}"] = text
    blocks["evidence learning rates"] = rates_table(evidence)
    for path in sorted((folder / signals.SIGNALS).glob("*.json")):  # what `python -m benchmarks signals` wrote of a run
        text = signals.report(json.loads(path.read_text(encoding="utf-8")))
        blocks[f"evidence signals, {path.stem}"] = text.replace("## ", "### ")
    return blocks
