"""The command line: binds each verb to its function, draws progress, and is the only place that prints and exits.

Results go to standard output, everything else to standard error. A user's mistake is one line and exit code 2.
A verb is a function in `corpora`, `training`, `trained` or `scoring`, and a place in VERBS.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import unicodedata
from typing import Annotated

import typer

from glossfree import __version__
from glossfree.cli import corpora, scoring, trained, training
from glossfree.cli import doctor_options as doctor
from glossfree.cli.shared import is_first_process, result
from glossfree.errors import GlossfreeError, Interrupted

INTERRUPTED = 130
NEAR = 40  # characters around one that cannot be written, which are shown
VERBS = (
    doctor.doctor,
    *(corpora.prepare, corpora.inspect, corpora.glosses, corpora.features, corpora.vocabulary),
    *(training.recipe, training.params, training.train, training.sweep, training.status),
    *(trained.evaluate, trained.export, trained.translate, trained.report, trained.demo),
    *(scoring.score, scoring.compare),
)
app = typer.Typer(
    help="Gloss-free sign language translation: video of signing in, sentence out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in VERBS:
    app.command()(verb)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options that stand before the verb."""
    if version:
        result(__version__)
        raise typer.Exit


def escaped(error: UnicodeError) -> tuple[bytes, int]:
    """What a stream's encoding does not have -> JSON's escapes, so that `--json` stays JSON; a codec error handler.

    A byte of a path that the locale could not decode is written as that byte, except where text must be UTF-8.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = []
    for character in error.object[error.start : error.end]:
        is_byte = 0xDC80 <= ord(character) <= 0xDCFF and error.encoding != "utf-8"
        parts.append(os.fsencode(character) if is_byte else json.dumps(character)[1:-1].encode("ascii"))
    return b"".join(parts), error.end


def print_what_it_can() -> None:
    """Let standard output and error escape what their encoding does not have, as in a C locale."""
    codecs.register_error("escaped", escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escaped")


def one_line(text: str) -> str:
    """A message without what a file may have put into it: line breaks and codes that a terminal obeys, as escapes."""
    surrogate = "Cs"  # a byte of a path: the stream knows what to do with it
    return "".join(c if c.isprintable() or unicodedata.category(c) == surrogate else repr(c)[1:-1] for c in text)


def main(arguments: list[str] | None = None) -> None:
    """Run one verb. Exit codes: 0 done, 1 done in part, 2 the input cannot be used, 128 + n stopped by signal n."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print_what_it_can()
    try:
        app([argument for argument in given if argument != "--debug"], prog_name="glossfree")
    except GlossfreeError as error:
        if debug:
            raise
        if is_first_process() or not isinstance(error, Interrupted):
            print(f"glossfree: {one_line(str(error))}", file=sys.stderr)
        sys.exit(128 + error.signal if isinstance(error, Interrupted) else 2)
    except UnicodeEncodeError as error:  # streams escape: this is the name or the content of a file
        if debug:
            raise
        place = error.object[max(0, error.start - NEAR) : error.end + NEAR]
        problem = f"{place!a}: not every character of it can be written in {error.encoding}"
        print(f"glossfree: {problem} -> set LC_ALL=C.UTF-8, and give files names in UTF-8", file=sys.stderr)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer makes this of Ctrl-C, and says nothing
            print("glossfree: interrupted; the same command goes on from here, training with --resume", file=sys.stderr)
        raise
