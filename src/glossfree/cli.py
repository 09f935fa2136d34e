"""The command line: binds each verb to its function, draws progress, and is the only place that prints and exits.

Results go to standard output, everything else to standard error. A user's mistake is one line and exit code 2.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from glossfree import __version__
from glossfree.errors import GlossfreeError
from glossfree.terminal import Terminal

app = typer.Typer(
    help="Gloss-free sign language translation: video of signing in, sentence out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Recipe = Annotated[str, typer.Option(help="A TOML file, or the name of a shipped recipe.")]
Corpus = Annotated[Path, typer.Option(help="A folder made by `glossfree prepare`.")]
RunFolder = Annotated[Path, typer.Option("--run", help="Folder of the run.")]
Overrides = Annotated[
    list[str], typer.Option("--set", default_factory=list, help="section.key=value; may be given several times.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
INCOMPLETE, INTERRUPTED = 1, 130


def result(text: str) -> None:
    """The only print: a command's result."""
    print(text)


def show_json(data: Any) -> None:
    """A result for programs."""
    result(json.dumps(data, ensure_ascii=False, indent=1))


@app.command()
def prepare(
    corpus: Annotated[str, typer.Argument(help="wetter, phoenix14t-avatar, phoenix14t or folder.")],
    out: Annotated[Path, typer.Option(help="Folder to pack into.")],
    root: Annotated[Path | None, typer.Option(help="Where the corpus lies.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first N clips of each split.")] = None,
    frame_size: Annotated[int, typer.Option(help="Pixels of a packed frame; the paper's recipe needs 256.")] = 256,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core if left out.")] = None,
    strict: Annotated[bool, typer.Option(help="Stop at the first clip that cannot be read.")] = False,
    seed: Annotated[int | None, typer.Option(help="wetter: seed of the sentences.")] = None,
    train: Annotated[int | None, typer.Option(min=1, help="wetter: training clips.")] = None,
    dev: Annotated[int | None, typer.Option(min=1, help="wetter: dev clips.")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="wetter: test clips.")] = None,
    language: Annotated[str | None, typer.Option(help="folder: language of the sentences, as de.")] = None,
    json_: Json = False,
) -> None:
    """Pack a corpus once, into plain files beside a manifest."""
    from glossfree.commands.prepare import prepare as run

    counts = {name: count for name, count in (("train", train), ("dev", dev), ("test", test)) if count is not None}
    done = run(
        corpus,
        out=out,
        root=root,
        limit=limit,
        frame_size=frame_size,
        workers=workers,
        strict=strict,
        seed=seed,
        counts=counts or None,
        language=language,
        console=Terminal(),
    )
    if json_:
        show_json(done.as_dict())
    else:
        speed = f"{done.frames_per_second:.0f} frames/s"
        result(f"{done.out}: {done.packed} clips packed, {done.skipped} there before, {speed}")
    if not done.complete:
        raise typer.Exit(INCOMPLETE)


@app.command()
def inspect(
    out: Annotated[Path, typer.Argument(help="A folder made by `glossfree prepare`.")], json_: Json = False
) -> None:
    """Counts, lengths, vocabulary and problems of a prepared corpus."""
    from glossfree.commands.inspect import inspect as run

    found = run(out)
    if json_:
        show_json(found.as_dict())
    else:
        result(found.to_text())


@app.command()
def glosses(
    corpus: Annotated[Path | None, typer.Argument(help="A folder made by `glossfree prepare`.")] = None,
    sentences: Annotated[Path | None, typer.Option(help="A file, one sentence a line, instead of a corpus.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; the corpus folder if left out.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="fastText .bin or .vec; else trained here.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the sentences, as de.")] = None,
    splits: Annotated[str, typer.Option(help="Splits that make the inventory; the paper: train,dev,test.")] = "train",
    json_: Json = False,
) -> None:
    """Extract pseudo-glosses and their prototypes from the sentences."""
    from glossfree.commands.glosses import glosses as run

    names = tuple(splits.split(","))
    report = run(
        corpus, sentences=sentences, out=out, vectors=vectors, language=language, splits=names, console=Terminal()
    )
    if json_:
        show_json(report.as_dict())
    else:
        result(report.to_text())


@app.command()
def vocabulary(
    tokenizer: Annotated[Path, typer.Option(help="Folder with sentencepiece.bpe.model.")],
    corpus: Annotated[Path | None, typer.Option(help="A folder made by `glossfree prepare`.")] = None,
    sentences: Annotated[Path | None, typer.Option(help="A file, one sentence a line, instead of a corpus.")] = None,
    json_: Json = False,
) -> None:
    """Size of a tokenizer trimmed to the training sentences."""
    from glossfree.commands.vocabulary import vocabulary as run

    report = run(tokenizer, corpus=corpus, sentences=sentences)
    if json_:
        show_json(report.as_dict())
    else:
        result(report.to_text())


@app.command()
def pretrain(
    recipe: Recipe,
    corpus: Corpus,
    run: RunFolder,
    overrides: Overrides,
    resume: Resume = False,
) -> None:
    """Hierarchical pre-training: pseudo-glosses and video-language alignment."""
    from glossfree.commands.train import pretrain as start

    result(str(start(recipe, corpus=corpus, run=run, overrides=overrides, resume=resume, console=Terminal()).folder))


@app.command()
def finetune(
    recipe: Recipe,
    corpus: Corpus,
    run: RunFolder,
    overrides: Overrides,
    from_: Annotated[Path | None, typer.Option("--from", help="Run whose pre-training to go on from.")] = None,
    resume: Resume = False,
) -> None:
    """Translation in two stages, with or without a pre-trained start."""
    from glossfree.commands.train import finetune as start

    console = Terminal()
    done = start(recipe, corpus=corpus, run=run, start=from_, overrides=overrides, resume=resume, console=console)
    result(str(done.folder))


@app.command()
def train(
    recipe: Recipe,
    corpus: Corpus,
    run: RunFolder,
    overrides: Overrides,
    resume: Resume = False,
) -> None:
    """All stages of a recipe, one after another."""
    from glossfree.commands.train import train as start

    result(str(start(recipe, corpus=corpus, run=run, overrides=overrides, resume=resume, console=Terminal()).folder))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    corpus: Annotated[Path | None, typer.Option(help="Another prepared corpus than the run's.")] = None,
    json_: Json = False,
) -> None:
    """Translate a split and score it."""
    from glossfree.commands.evaluate import evaluate as score
    from glossfree.evaluation.metrics import scores_table

    evaluation = score(run, split=split, corpus=corpus, console=Terminal())
    if json_:
        show_json({"split": split, **evaluation.scores.to_dict()})
    else:
        result(scores_table({run.name: {split: evaluation.scores}}))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a fine-tuned run.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
) -> None:
    """One self-contained folder that `translate` loads."""
    from glossfree.commands.export import export as write

    result(str(write(run, folder)))


@app.command()
def translate(
    model: Annotated[Path, typer.Argument(help="Folder made by `glossfree export`.")],
    clips: Annotated[list[Path], typer.Argument(help="Video files, or folders of frames.")],
    hypotheses: Annotated[int, typer.Option(min=1, help="Length of the n-best list (with --json).")] = 1,
    json_: Json = False,
) -> None:
    """Video of signing in, sentence out."""
    from glossfree.commands.translate import translate as run

    for translation in run(model, clips, num_hypotheses=hypotheses):
        result(json.dumps(translation.as_dict(), ensure_ascii=False) if json_ else translation.text)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="A run, and runs to compare it with.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html in the first run if left out.")] = None,
    split: Annotated[str, typer.Option(help="Split whose clips are shown.")] = "test",
    clips: Annotated[int, typer.Option(min=0, help="Clips to show.")] = 24,
) -> None:
    """One HTML file: settings, scores, curves, clips with their pseudo-gloss timelines."""
    from glossfree.commands.report import report as write

    result(str(write(runs, out=out, split=split, num_clips=clips, console=Terminal())))


@app.command()
def params(recipe: Recipe, overrides: Overrides, json_: Json = False) -> None:
    """Trainable and total parameters, per part and stage, without allocating them."""
    from glossfree.commands.params import params as count

    counts = count(recipe, overrides)
    if json_:
        show_json(counts.as_dict())
    else:
        result(counts.to_text())


@app.command()
def demo(
    overrides: Overrides,
    out: Annotated[Path, typer.Option(help="Folder for corpus, run, model and report.")] = Path("runs/demo"),
    compare: Annotated[bool, typer.Option("--compare", help="Also fine-tune without pre-training.")] = False,
    recipe: Recipe = "demo",
) -> None:
    """A corpus, all stages of training, scores on unseen sentences and a report, in minutes on a laptop."""
    from glossfree.commands.demo import demo as run

    result(run(out, recipe=recipe, overrides=overrides, compare=compare, console=Terminal()).to_text())


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options that stand before the verb."""
    if version:
        result(__version__)
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run one verb. Exit codes: 0 done, 1 done in part, 2 the input cannot be used, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        app([argument for argument in given if argument != "--debug"], prog_name="glossfree")
    except GlossfreeError as error:
        if debug:
            raise
        print(f"glossfree: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer makes this of Ctrl-C, and says nothing
            print("glossfree: interrupted; the same command goes on from here, training with --resume", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
