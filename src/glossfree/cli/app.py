"""The command line: the table of verbs, exit codes and error lines.

Results go to standard output, everything else to standard error. A user's mistake is one line and exit code 2.
To add a verb: write a function in a file of its own, and add it to VERBS and `load`.
"""

from __future__ import annotations

import atexit
import codecs
import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from glossfree import __version__
from glossfree.cli.verb import as_command, is_first_process, show
from glossfree.console import Result
from glossfree.errors import GlossfreeError, Interrupted

INTERRUPTED = 130
NEAR = 40  # characters shown around one that cannot be encoded
VERBS = {
    "doctor": "Will this work? Exit code 0: yes; 1: yes, with warnings; 2: no.",
    "prepare": "Pack a corpus once into a folder of small videos with a manifest.",
    "inspect": "Show counts, lengths, vocabulary and problems of a prepared corpus.",
    "glosses": "Extract pseudo-glosses and their prototypes from the sentences.",
    "poses": "Read the keypoints of a prepared corpus from .pose files.",
    "features": "Compute the frame features of a frozen backbone once, for training.",
    "vocabulary": "Count the tokens of a tokenizer trimmed to the training sentences.",
    "recipe": "Print every value of a recipe: how well it is known, and where it differs from its base.",
    "params": "Count trainable and total parameters, per part and stage, without allocating them.",
    "train": "Train the stages of a recipe, one after another.",
    "sweep": "Train and score a recipe with several seeds and settings: mean and deviation.",
    "status": "Show where a run stands: stage, losses, speed, memory, time to go, and whether it is alive.",
    "evaluate": "Translate a split and score it.",
    "retrieve": "Rank a split's sentences for each video, and its videos for each sentence: recall, median rank.",
    "locate": "Measure which pseudo-glosses a run finds in a clip, and where, against true sign times; draw timelines.",
    "export": "Write one self-contained model folder that `translate` loads.",
    "push": "Send a model folder to the hub, as one commit.",
    "translate": "Translate videos of signing into sentences.",
    "studio": "Open a page on this machine: translate videos or a webcam, see why, browse corpora and runs.",
    "serve": "Serve an HTTP API that translates videos.",
    "report": "Write one HTML file: clips with their pseudo-gloss timelines, scores, curves, diagnosis, settings.",
    "demo": "Draw a corpus, train all stages, score unseen sentences and write a report, in minutes on a laptop.",
    "score": "Score any system's sentences: BLEU, ROUGE-L, chrF2, each with its signature and a 95 % interval.",
    "compare": "Test whether system B is better than A: paired tests, sentences won and lost.",
}


# fmt: off
def load(name: str) -> Callable[..., Result]:
    """Import the function of one verb; the others, and what they import, are not loaded."""
    verb: Callable[..., Result]
    match name:
        case "doctor":
            from glossfree.cli.doctor import doctor as verb
        case "prepare":
            from glossfree.cli.prepare import prepare as verb
        case "inspect":
            from glossfree.cli.inspect import inspect as verb
        case "glosses":
            from glossfree.cli.glosses import glosses as verb
        case "poses":
            from glossfree.cli.poses import poses as verb
        case "features":
            from glossfree.cli.features import features as verb
        case "vocabulary":
            from glossfree.cli.vocabulary import vocabulary as verb
        case "recipe":
            from glossfree.cli.recipe import recipe as verb
        case "params":
            from glossfree.cli.params import params as verb
        case "train":
            from glossfree.cli.train import train as verb
        case "sweep":
            from glossfree.cli.sweep import sweep as verb
        case "status":
            from glossfree.cli.status import status as verb
        case "evaluate":
            from glossfree.cli.evaluate import evaluate as verb
        case "retrieve":
            from glossfree.cli.retrieve import retrieve as verb
        case "locate":
            from glossfree.cli.locate import locate as verb
        case "export":
            from glossfree.cli.export import export as verb
        case "push":
            from glossfree.cli.push import push as verb
        case "translate":
            from glossfree.cli.translate import translate as verb
        case "studio":
            from glossfree.cli.studio import studio as verb
        case "serve":
            from glossfree.cli.serve import serve as verb
        case "report":
            from glossfree.cli.report import report as verb
        case "demo":
            from glossfree.cli.demo import demo as verb
        case "score":
            from glossfree.cli.score import score as verb
        case "compare":
            from glossfree.cli.compare import compare as verb
        case _:
            raise KeyError(name)
    return verb
# fmt: on


def command(name: str) -> Any:
    """The command of a verb, with all its options."""
    verb = typer.Typer(add_completion=False)
    verb.command(name, help=VERBS[name])(as_command(load(name)))
    return typer.main.get_command(verb)


class Verbs(TyperGroup):
    """Knows the verbs by name and one line of help, and imports only the one that is asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update({name: TyperCommand(name, help=line) for name, line in VERBS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name. Raises a usage error with the nearest spelling."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, None if known is None else command(args[0]), rest


app = typer.Typer(
    cls=Verbs,
    help="Gloss-free sign language translation: video of signing in, sentence out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options before the verb."""
    if version:
        show(__version__)
        raise typer.Exit


def escaped(error: UnicodeError) -> tuple[bytes, int]:
    """A codec error handler: characters that the stream's encoding lacks -> JSON's escapes, so that JSON stays JSON.

    A byte of a path that the locale could not decode is written as that byte, except where text must be UTF-8.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = []
    for character in error.object[error.start : error.end]:
        is_byte = 0xDC80 <= ord(character) <= 0xDCFF and error.encoding != "utf-8"
        parts.append(os.fsencode(character) if is_byte else json.dumps(character)[1:-1].encode("ascii"))
    return b"".join(parts), error.end


def escape_unencodable() -> None:
    """Make standard output and error escape characters that their encoding lacks, as in a C locale."""
    codecs.register_error("escaped", escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escaped")


def one_line(text: str) -> str:
    """A message with line breaks and control codes, which may come from a file, as escapes."""
    surrogate = "Cs"  # a byte of a path: the stream knows what to do with it
    return "".join(c if c.isprintable() or unicodedata.category(c) == surrogate else repr(c)[1:-1] for c in text)


def run() -> None:
    """`main` as the whole of a process, which then ends without being taken apart: with torch, that takes 0.5 s.

    It ends behind everything else that Python does at its end (threads, children, functions of `atexit`, the streams),
    and in Python's own way after an uncaught exception or if a stream cannot be flushed.
    """
    status: int | None = None

    def end() -> None:
        if status is not None:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # it was closed before the start
                    stream.flush()
            os._exit(status)

    atexit.register(end)  # the first that is registered is the last that is called
    try:
        main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else None
        raise


def main(arguments: list[str] | None = None) -> None:
    """Run one verb. Exit codes: 0 done, 1 done in part, 2 the input cannot be used, 128 + n stopped by signal n."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    escape_unencodable()
    try:
        app([word for word in words if word != "--debug"], prog_name="glossfree")
    except GlossfreeError as error:
        if debug:
            raise
        if is_first_process() or not isinstance(error, Interrupted):
            print(f"glossfree: {one_line(str(error))}", file=sys.stderr)
        sys.exit(128 + error.signal if isinstance(error, Interrupted) else 2)
    except UnicodeEncodeError as error:  # not a stream, which escapes: the name or the content of a file
        if debug:
            raise
        place = error.object[max(0, error.start - NEAR) : error.end + NEAR]
        problem = f"{place!a}: not every character of it can be written in {error.encoding}"
        print(f"glossfree: {problem} -> set LC_ALL=C.UTF-8, and give files names in UTF-8", file=sys.stderr)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # Typer's code for Ctrl-C, for which it prints nothing
            print("glossfree: interrupted; the same command goes on from here, training with --resume", file=sys.stderr)
        raise
