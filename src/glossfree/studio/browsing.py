"""Routes that show corpora and runs: clips, predictions beside references, two runs compared, a run under way.

Only folders that the owner named are read: clips play, and predictions are diagnosed, where the corpus of the run is
one of them. Corpora and runs are addressed by their number, never by a path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response

from glossfree.corpora.manifest import Manifest, PackedClip, title_of
from glossfree.errors import GlossfreeError, shortened
from glossfree.files.encoding import nfc
from glossfree.files.parts import Part, is_address
from glossfree.report.curves import read_curves, thin
from glossfree.report.diagnosis import has_repeated_ngram, split_words
from glossfree.report.numbers import read_numbers
from glossfree.report.page import mark_words
from glossfree.scoring.metrics import Scores
from glossfree.scoring.predictions import predictions_path, read_scores, scores_path
from glossfree.studio.reading import (
    SPLITS,
    Json,
    MissingError,
    QueryError,
    compare_lines,
    diagnosis_of,
    manifest_of,
    pseudo_glosses_of,
    scored_lines,
    training_sentences,
)
from glossfree.training.progress import is_complete, read_progress
from glossfree.training.run import Run

MOST = 200  # clips of one answer
HALF, TWICE = 0.5, 2.0  # of the reference's words: shorter and longer hypotheses are pointed out

Limit = Annotated[int, Query(ge=1, le=MOST)]
Offset = Annotated[int, Query(ge=0)]


def browsing(corpora: Sequence[Path], runs: Sequence[Path]) -> APIRouter:
    """Prepared folders and folders of runs -> the routes below /v1 that show them."""
    router = APIRouter(prefix="/v1", tags=["browsing"])
    shelf = Shelf(corpora, runs)

    @router.get("/corpora")
    def list_corpora() -> list[Json]:
        """The prepared corpora of this studio."""
        return [shelf.corpus_summary(number) for number in range(len(shelf.corpora))]

    @router.get("/corpora/{number}/clips")
    def list_clips(number: int, split: str = "", query: str = "", offset: Offset = 0, limit: Limit = 24) -> Json:
        """Clips whose id, sentence, signer or pseudo-glosses contain every word of `query`."""
        return shelf.find_clips(shelf.manifest(number), split, query, offset, limit)

    @router.get("/corpora/{number}/clips/{id:path}/video")
    def show_clip(number: int, id: str) -> Response:
        """The video of a clip."""
        source = shelf.clip_source(number, id)
        if isinstance(source, Part):
            try:
                return Response(source.read(), media_type="video/mp4")
            except OSError as error:
                remedy = "check that the shard is there, and whole"
                raise MissingError(f"cannot be read ({error})", where=source.file, remedy=remedy) from error
        return FileResponse(source, media_type="video/mp4")

    @router.get("/runs")
    def list_runs() -> list[Json]:
        """The runs of this studio, with the splits that they were evaluated on."""
        return [shelf.run_summary(number) for number in range(len(shelf.runs))]

    @router.get("/runs/{number}")
    def show_run(number: int) -> Json:
        """Where a run stands, and its losses over the steps of each stage."""
        return run_progress(shelf.run(number))

    @router.get("/runs/{number}/predictions")
    def list_predictions(
        number: int, split: str = "test", sort: str = "worst", query: str = "", offset: Offset = 0, limit: Limit = 24
    ) -> Json:
        """Hypotheses beside references, sorted "worst", "best" or "order", with what is notable about each."""
        return shelf.predictions(number, split, sort, query, offset, limit)

    @router.get("/runs/{number}/diagnosis")
    def show_diagnosis(number: int, split: str = "test") -> Json:
        """The error analysis of a split of a run whose corpus is open."""
        return shelf.diagnosis(number, split)

    @router.get("/compare")
    def compare_runs(a: int, b: int, split: str = "test", offset: Offset = 0, limit: Limit = 24) -> Json:
        """Run B against run A on the same clips: scores, tests, and the clips with the largest change first."""
        return shelf.compare(a, b, split, offset, limit)

    return router


class Shelf:
    """The corpora and runs that the owner named."""

    def __init__(self, corpora: Sequence[Path], runs: Sequence[Path]) -> None:
        self.corpora = [path.resolve() for path in corpora]
        self.runs = [path.resolve() for path in runs]

    def manifest(self, number: int) -> Manifest:
        """Corpus `number`, read again where it changed."""
        return manifest_of(_pick(self.corpora, number, "corpus"))

    def run(self, number: int) -> Path:
        """The folder of run `number`."""
        return _pick(self.runs, number, "run")

    def corpus_summary(self, number: int) -> Json:
        """What `/corpora` says of a corpus."""
        manifest = self.manifest(number)
        splits: dict[str, int] = defaultdict(int)
        for clip in manifest:
            splits[clip.split] += 1
        problems = [str(problem) for problem in manifest.corpus.get("problems", ())]
        language = manifest.corpus.get("language", "")
        name = title_of(manifest.corpus, manifest.folder.name)
        return {"id": number, "name": name, "language": language, "splits": splits, "problems": problems}

    def find_clips(self, manifest: Manifest, split: str, query: str, offset: int, limit: int) -> Json:
        """See `/corpora/{number}/clips`."""
        glosses = pseudo_glosses_of(manifest.folder)
        found = [
            (clip, glosses.get(clip.text, ()))
            for clip in manifest
            if split in ("", clip.split)
            and _contains(query, clip.id, clip.text, clip.signer, *glosses.get(clip.text, ()))
        ]
        return {"total": len(found), "clips": [clip_facts(*each) for each in found[offset : offset + limit]]}

    def clip_source(self, number: int, id: str) -> Path | Part:
        """The video of a clip, which lies in the folder of its corpus or in a shard. Raises MissingError."""
        manifest = self.manifest(number)
        folder = manifest.folder
        clip = next((clip for clip in manifest if clip.id == nfc(id)), None)
        if clip is not None and clip.num_bytes(folder) is not None:
            source = clip.source(folder)
            if isinstance(source, Part) and is_address(source.file):
                return source
            if Path(source.file if isinstance(source, Part) else source).resolve().is_relative_to(folder):
                return source
        raise MissingError(f"no clip {shortened(id)!r} with a video", where="clip", remedy="choose one of the list")

    def run_summary(self, number: int) -> Json:
        """What `/runs` says of a run; of an unreadable status, why."""
        folder = self.run(number)
        splits = [split for split in SPLITS if predictions_path(folder, split).is_file()]
        try:
            state = read_progress(folder).state
        except GlossfreeError as error:
            state = error.problem
        scores = {each: _scores(folder, each) for each in splits}
        return {"id": number, "name": folder.name, "state": state, "splits": splits, "scores": scores}

    def corpus_of(self, run: Path) -> int | None:
        """The number of the corpus that a run was trained on, if the owner named it."""
        path = Path(str(Run(run).read_json("run.json").get("corpus", ""))).resolve()
        return self.corpora.index(path) if path in self.corpora else None

    def language_of(self, run: Path) -> str:
        """The language of a run's sentences; "" for a run of an older version whose corpus the owner did not name."""
        corpus = self.corpus_of(run)
        if corpus is not None:
            return self.manifest(corpus).language
        data = Run(run).read_json("run.json").get("data")
        return str(data.get("language", "")) if isinstance(data, dict) else ""

    def predictions(self, number: int, split: str, sort: str, query: str, offset: int, limit: int) -> Json:
        """See `/runs/{number}/predictions`."""
        run = self.run(number)
        corpus, language = self.corpus_of(run), self.language_of(run)
        lines = scored_lines(run, split, language)
        copies = frozenset[str]() if corpus is None else training_sentences(self.corpora[corpus])
        found = [line for line in lines if _contains(query, line["id"], line["hypothesis"], line["reference"])]
        match sort:
            case "worst" | "best":
                found.sort(key=lambda line: (line["chrf"], line["id"]), reverse=sort == "best")
            case "order":
                pass
            case _:
                raise QueryError(f"unknown order {sort!r}", where="sort", remedy="worst, best or order")
        return {
            "total": len(found),
            "corpus": corpus,
            "scores": _scores(run, split),
            "predictions": [
                {**line, "findings": findings(line, language, copies), **_marks(line)}
                for line in found[offset : offset + limit]
            ],
        }

    def diagnosis(self, number: int, split: str) -> Json:
        """See `/runs/{number}/diagnosis`. Raises MissingError where the owner did not name the corpus of the run."""
        run = self.run(number)
        corpus = self.corpus_of(run)
        if corpus is None:
            raise MissingError("the corpus of the run is not open", where=run.name, remedy="start it with --corpus too")
        return diagnosis_of(run, split, self.corpora[corpus])

    def compare(self, a: int, b: int, split: str, offset: int, limit: int) -> Json:
        """See `/compare`. Raises QueryError where the two have no clip in common."""
        first, second = self.run(a), self.run(b)
        compared = compare_lines(first, second, split, self.language_of(first))
        clips = [
            {"id": ours["id"], "reference": ours["reference"], "chrf_a": chrf_a, "chrf_b": chrf_b}
            | {
                f"{side}_{key}": value
                for side, line in (("a", ours), ("b", theirs))
                for key, value in _marks(line).items()
            }
            for ours, theirs, chrf_a, chrf_b in compared.clips[offset : offset + limit]
        ]
        return {**compared.facts, "corpus": self.corpus_of(first), "total": len(compared.clips), "clips": clips}


def _pick(folders: Sequence[Path], number: int, kind: str) -> Path:
    if not 0 <= number < len(folders):
        raise MissingError(f"no {kind} {number}", where=kind, remedy="choose one of the list")
    return folders[number]


def clip_facts(clip: PackedClip, pseudo_glosses: Sequence[str]) -> Json:
    """What the page shows of a clip."""
    seconds = clip.times[-1] if clip.times else clip.num_frames / clip.fps if clip.fps else 0.0
    facts = {name: getattr(clip, name) for name in ("id", "split", "text", "signer", "fps", "glosses")}
    return {**facts, "seconds": seconds, "pseudo_glosses": pseudo_glosses}


def _contains(query: str, *texts: str) -> bool:
    """Whether every word of a query is in the texts, in any case."""
    text = " ".join(texts).casefold()
    return all(word in text for word in nfc(query).casefold().split())


def _scores(run: Path, split: str) -> Json | None:
    path = scores_path(run, split)
    if not path.is_file():
        return None
    scores: Scores = read_scores(path)
    return {name: getattr(scores, name) for name in ("bleu4", "rouge_l", "chrf", "exact", "num_sentences")}


def findings(line: Mapping[str, str], language: str, copies: Collection[str]) -> list[str]:
    """What is notable about one hypothesis: exact, empty, copy (of a training sentence), repeats, numbers, short, long.

    `language` "": not known, so that only digits are numbers. `copies`: see `training_sentences`."""
    hypothesis, reference = split_words(line["hypothesis"]), split_words(line["reference"])
    if hypothesis == reference:
        return ["exact"]
    if not hypothesis:
        return ["empty"]
    length = len(hypothesis) / max(1, len(reference))
    numbers = [sorted(read_numbers(line[side], language)) for side in ("hypothesis", "reference")]
    tests = {
        "copy": " ".join(hypothesis) in copies,
        "repeats": has_repeated_ngram(hypothesis),
        "numbers": numbers[0] != numbers[1],
        "short": length <= HALF,
        "long": length >= TWICE,
    }
    return [name for name, holds in tests.items() if holds]


def _marks(line: Mapping[str, str]) -> Json:
    """The words of both sentences, and whether each matches the other sentence."""
    hypothesis, reference = mark_words(line["hypothesis"], line["reference"])
    return {"hypothesis_words": hypothesis, "reference_words": reference}


def run_progress(folder: Path) -> Json:
    """A run's status, and {stage: {quantity: {"step", "train" or "dev": [(step, value)]}}}, thinned for a chart."""
    records: dict[str, list[Json]] = defaultdict(list)
    run = Run(folder)
    if run.steps.is_file():
        for record in filter(is_complete, run.records()):
            records[record["stage"]].append(record)
    curves = {
        stage: {
            name: {kind: thin(points) for kind, points in lines.items() if points}
            for name, lines in read_curves(of_stage).items()
        }
        for stage, of_stage in records.items()
    }
    return {**read_progress(folder).to_dict(), "run": folder.name, "curves": curves}
