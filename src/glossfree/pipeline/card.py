"""A trained run -> the model card of its exported folder: `README.md` with the hub's metadata, and `config.json`.

The card says only what the run has recorded. Nothing reads it back and no hash covers it: its owner may rewrite it. The
hub counts downloads by requests of `config.json`; what a model is stands in `model.json`, and is not repeated there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from torch import Tensor

from glossfree import __version__
from glossfree.corpora.manifest import CORPUS, IDENTITY, UNKNOWN, title_of
from glossfree.corpora.registry import CORPORA
from glossfree.errors import GlossfreeError, ModelError, RunError
from glossfree.files.disk import read_json, write_atomic, write_json
from glossfree.models.hierarchy import PREFIXES
from glossfree.pipeline.hub import CONFIG, HUB, README
from glossfree.pipeline.trained import HEAD, TrainedRun
from glossfree.recipe.files import OWN, load_recipe, shipped_recipes
from glossfree.recipe.schema import Recipe
from glossfree.recipe.values import as_toml, differences
from glossfree.scoring.conventions import Convention
from glossfree.scoring.metrics import COLUMNS, Scores
from glossfree.scoring.predictions import predictions_path, read_scores, scores_path
from glossfree.scoring.sentences import pair, read_sentences
from glossfree.scoring.significance import LEVEL, SAMPLES, Interval, intervals
from glossfree.scoring.statistics import Statistics

SPLITS = ("dev", "test", "train")
HUB_METRICS = {"bleu": "bleu", "rouge_l": "rouge", "chrf": "chrf"}  # the hub's names, by how ours begin
SUPERVISION = {
    "gloss-free": "gloss-free: sentences alone",
    "weak": "weakly-supervised: a proxy for glosses, made from the sentences",
    "glosses": "gloss-based: glosses that a person annotated",
}
SAME = 0.005  # points: scores of the predictions are those of the scores file
TEXT = """---
{metadata}
---

# {name}

A model that translates video of signing into written sentences, for glossfree.

## What it is

{facts}

## Settings

{settings}

## Scores

{scores}

## Limits

{limits}

## Use

```python
from glossfree.translator import SignTranslator

translator = SignTranslator.from_pretrained("OWNER/NAME")  # its name on the hub, or its folder
print(translator.translate("clip.mp4"))
```

`glossfree doctor hub:OWNER/NAME clip.mp4` compares a clip with those of training, and
`glossfree translate hub:OWNER/NAME clip.mp4` translates it. No file of the model is executed or unpickled, and each is
checked against its SHA-256 in `model.json`.
"""


@dataclass(frozen=True)
class Evaluated:
    """The scores of a split, and their intervals by metric; {} where the run has not kept the sentences behind them."""

    split: str
    scores: Scores
    intervals: dict[str, Interval]


def write_card(
    folder: Path, trained: TrainedRun, tensors: Mapping[str, Tensor], number: int, *, int8: bool = False
) -> None:
    """Write `README.md` and `config.json` of a run's exported model, of the format `number`, into its folder.

    `int8`: the folder has the weights rounded to 8 bits, `tensors` before that.
    """
    facts = trained.run.read_json("run.json")
    data = facts.get("data") or _data_at(Path(str(facts.get("corpus"))))
    splits = list(evaluated(trained.run.folder))
    text = TEXT.format(
        metadata=metadata(trained.recipe, facts, data, splits),
        name=trained.recipe.name or "model",
        facts=_table(("", ""), _facts(trained, facts, data, tensors)),
        settings=_settings(trained.recipe),
        scores=_scores(splits),
        limits="\n".join(f"- {line}" for line in _limits(data, [each.split for each in splits], int8)),
    )
    write_atomic(folder / README, text, ModelError)
    config = {"library_name": "glossfree", "library_version": __version__, "format": number}
    write_json(folder / CONFIG, config, ModelError)


def identity(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """What a run records of the content of `corpus.json`, so that its card need not find the corpus."""
    return {key: corpus[key] for key in IDENTITY if key in corpus}


def evaluated(run: Path) -> Iterator[Evaluated]:
    """The evaluated splits of a run as it is: not of `evaluate --rerank` or --corpus. Raises RunError: not scores."""
    for split in SPLITS:
        if scores_path(run, split).is_file():
            scores = read_scores(scores_path(run, split))
            yield Evaluated(split, scores, _intervals(predictions_path(run, split), scores))


def metadata(recipe: Recipe, facts: Mapping[str, Any], data: Mapping[str, Any], splits: Sequence[Evaluated]) -> str:
    """The YAML in front of the card. Scores of the training split stand in the text only."""
    corpus = title_of(data)
    results = [
        EvalResult(
            task_type="translation",
            task_name="Sign language translation",
            dataset_type=str(data.get("name", "unknown")),  # the hub's rule: a word of ASCII
            dataset_name=corpus,
            dataset_split=each.split,
            metric_type=next(name for ours, name in HUB_METRICS.items() if key.startswith(ours)),
            metric_name=title,
            metric_value=round(getattr(each.scores, key), 2),
            metric_args=_arguments(each, key),
        )
        for each in splits
        if each.split != "train"
        for key, title in COLUMNS
    ]
    sources = [str(each.get("source", "")) for each in facts.get("weights", {}).values()]
    bases = [source.removeprefix(HUB).partition("@")[0] for source in sources if source.startswith(HUB)]
    card = ModelCardData(
        language=data.get("language"),
        license=_license(data) or None,
        library_name="glossfree",
        pipeline_tag="translation",
        tags=["sign-language", "sign-language-translation", "video", SUPERVISION[recipe.supervision].partition(":")[0]],
        base_model=list(dict.fromkeys(bases)) or None,
        model_name=recipe.name or "model",
        eval_results=results or None,
    )
    if not results:
        card.pop("model_name")
    return card.to_yaml()


def _data_at(corpus: Path) -> dict[str, Any]:
    """Of a run that has not recorded it: what `corpus.json` says, if the corpus is still there."""
    try:
        return identity(read_json(corpus / CORPUS, RunError))
    except RunError:
        return {}


def _license(data: Mapping[str, Any]) -> str:
    corpus = CORPORA.get(str(data.get("name")))
    return "" if corpus is None else corpus.license


def _intervals(predictions: Path, scores: Scores) -> dict[str, Interval]:
    try:
        sides = pair(read_sentences(predictions, "hypotheses"), read_sentences(predictions, "references"))
        statistics = Statistics.of(sides.hypotheses, sides.references, Convention(**scores.convention))
    except (GlossfreeError, TypeError, ValueError):  # no predictions, or scores of another version
        return {}
    again = statistics.scores()
    is_same = all(abs(again[key] - getattr(scores, key)) < SAME for key, _ in COLUMNS)
    return intervals(statistics) if is_same else {}


def _arguments(each: Evaluated, key: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"signature": each.scores.signatures.get(key, UNKNOWN)}
    if key in each.intervals:
        interval = each.intervals[key]
        arguments[f"interval_{100 * LEVEL:.0f}"] = [round(interval.low, 2), round(interval.high, 2)]
    return arguments


def _facts(
    trained: TrainedRun, facts: Mapping[str, Any], data: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, str]]:
    """The rows of "What it is"."""
    recipe = trained.recipe
    weights = {role: str(each.get("source", UNKNOWN)) for role, each in facts.get("weights", {}).items()}
    yield "corpus", title_of(data)
    yield "language of the sentences", str(data.get("language", UNKNOWN))
    yield "licence of the corpus", _license(data) or "not known to glossfree: read its terms"
    yield "recipe", ": ".join(filter(None, (recipe.name, recipe.summary)))
    if recipe.paper:
        yield "method", recipe.paper
    yield "supervision", SUPERVISION[recipe.supervision]
    yield "pretrained weights", "; ".join(f"{role}: {name}" for role, name in weights.items()) or "none"
    if taken := facts.get("taken"):
        start, corpus = Path(str(facts.get("start", UNKNOWN))).name, title_of(facts.get("start_data") or {})
        yield "weights of another run", f"{', '.join(taken)} of {start} (its corpus: {corpus})"
    yield "trained with", f"glossfree {facts.get('glossfree', '?')} on {facts.get('device', UNKNOWN)}"
    yield "last stage", trained.last_stage
    counts = {part: _count(tensors, prefix) for part, prefix in {**PREFIXES, "pseudo-gloss head": HEAD}.items()}
    parts = ", ".join(f"{part} {count:,}" for part, count in counts.items() if count)
    yield "values of the weights", f"{_count(tensors):,}: {parts}"


def _count(tensors: Mapping[str, Tensor], prefix: str = "") -> int:
    return sum(tensor.numel() for name, tensor in tensors.items() if name.startswith(prefix))


def _settings(recipe: Recipe) -> str:
    """What differs from the shipped recipe of the same name."""
    if recipe.name not in {path.stem for path in shipped_recipes()}:
        return f"`{recipe.name}` does not come with glossfree {__version__}: `recipe.toml` has every value."
    changes = differences(load_recipe(recipe.name), recipe, apart_from=OWN)
    named = f"the recipe `{recipe.name}` of glossfree {__version__}"
    if not changes:
        return f"Those of {named}. `recipe.toml` has every value."
    rows = [(f"`{key}`", *(f"`{as_toml(value)}`" for value in pair)) for key, pair in changes.items()]
    return f"{_table(('', 'the recipe', 'this model'), rows)}\n\nThe others are those of {named}."


def _scores(splits: Sequence[Evaluated]) -> str:
    """A table, how the scores were computed, and what makes them incomparable with others."""
    if not splits:
        return "No split was evaluated."
    rows = [
        (each.split, f"{each.scores.num_sentences:,}", *(_cell(each, key) for key, _ in COLUMNS)) for each in splits
    ]
    lines = [f"- {title}: `{each.scores.signatures.get(key, UNKNOWN)}`" for each in splits for key, title in COLUMNS]
    lines += [f"- {each.split}: {note}" for each in splits for note in each.scores.notes]
    lines += [f"- {each.split}: {each.scores.gloss_line}" for each in splits if each.scores.recognition]
    if any(each.intervals for each in splits):
        lines.append(
            f"- in brackets: {100 * LEVEL:.0f} % intervals over the sentences, by bootstrap with {SAMPLES:,} samples; "
            "training again varies, too"
        )
    table = _table(("split", "sentences", *(title for _, title in COLUMNS)), rows)
    return "\n".join([table, "", *dict.fromkeys(lines)])


def _cell(each: Evaluated, key: str) -> str:
    value = f"{getattr(each.scores, key):.2f}"
    return f"{value} ({each.intervals[key].to_text()})" if key in each.intervals else value


def _limits(data: Mapping[str, Any], splits: Sequence[str], int8: bool) -> Iterator[str]:
    corpus = CORPORA.get(str(data.get("name")))
    if corpus is not None and corpus.is_drawn:
        yield "The signers of its corpus are drawn: nothing here says anything about people who sign."
    if splits and "test" not in splits:
        yield "The test split was not evaluated."
    if int8:
        yield "The weights are rounded to 8 bits; scores are those of the model before that."
    yield "Scores hold for the corpus and split that they name; other signers, topics and cameras were not measured."
    yield "A sentence may read well and be wrong: nobody should depend on one alone."


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
