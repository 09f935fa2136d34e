"""All corpora by name. A new one is a file with `clips(root, split)` and a line here.

`CORPORA` is the only place that lists them; the command line, `prepare` and the contract tests go through it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glossfree.avatar import signing, wetter
from glossfree.corpora import csl_daily, folder, how2sign, openasl, phoenix14t
from glossfree.corpora.manifest import Clip
from glossfree.errors import CorpusError


@dataclass(frozen=True)
class Corpus:
    """A corpus: its function `clips(root, split, *, limit=None, **options)`, and facts that `prepare` needs.

    `check(root)` lists what is odd or missing, by name, without reading a frame (`release.problems_of`). `options` are
    the other keywords of `clips` ("counts": clips by split; "seed"). `fps` applies if neither clip nor file has a rate.
    `language`: ISO 639-1 code of the sentences, a line of `glossfree.languages`; None: only the user knows it.
    `layout`: patterns below ROOT of the files by which `doctor` knows the corpus.
    """

    name: str
    clips: Callable[..., Iterator[Clip]]
    needs_root: bool = True
    language: str | None = None
    fps: float = 25.0
    check: Callable[[Path], list[str]] | None = None
    options: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()


CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus("wetter", wetter.clips, needs_root=False, language="de", fps=wetter.FPS, options=("counts", "seed")),
        Corpus(
            "phoenix14t-avatar",
            phoenix14t.drawn_clips,
            language="de",
            fps=signing.FPS,
            check=phoenix14t.check_drawn,
            options=("seed",),
        ),
        Corpus("phoenix14t", phoenix14t.clips, language="de", fps=phoenix14t.FPS, check=phoenix14t.check),
        Corpus(
            "csl-daily",
            csl_daily.clips,
            language="zh",
            fps=csl_daily.FPS,
            check=csl_daily.check,
            layout=csl_daily.LAYOUT,
        ),
        Corpus("how2sign", how2sign.clips, language="en", check=how2sign.check, layout=how2sign.LAYOUT),
        Corpus("openasl", openasl.clips, language="en", check=openasl.check, layout=openasl.LAYOUT),
        Corpus("folder", folder.clips, check=folder.check),
    )
}


def find_corpus(name: str) -> Corpus:
    """A name -> its corpus. Raises CorpusError with the nearest spelling and all choices."""
    if name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(name.lower(), list(CORPORA), n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise CorpusError("no such corpus", where=name, remedy=f"{guess}one of {', '.join(CORPORA)}")
