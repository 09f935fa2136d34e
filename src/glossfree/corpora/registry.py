"""All corpora by name. A new one is a file with `clips(root, split)` and a line here.

`CORPORA` is the only place that lists them; the command line, `prepare` and the contract tests go through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from glossfree.avatar import signing, wetter
from glossfree.corpora import (
    bobsl,
    csl_daily,
    dgs_corpus,
    folder,
    how2sign,
    openasl,
    phoenix14t,
    subtitles,
    wmt_slt,
    youtube,
)
from glossfree.corpora.manifest import Clip
from glossfree.errors import CorpusError, did_you_mean


@dataclass(frozen=True)
class Corpus:
    """A corpus: its function `clips(root, split, *, limit=None, **options)`, and facts that `prepare` needs.

    `check(root, **options)` lists what is odd or missing, by name, without reading a frame (`release.problems_of`).
    `options` are the other keywords of both ("counts": clips by split; "seed"; of captions "rules", as
    `sentencing.changed_rules` takes them, "tier" and "language"; of videos "sign_language"). `fps` applies if neither
    clip nor file has a rate.
    `language`: ISO 639-1 code of the sentences, a line of `glossfree.languages`; None: only the user knows it.
    `layout`: patterns below ROOT of the files by which `doctor` knows the corpus.
    `license`: of its data, as the hub calls it; "": none of those that it knows. `is_drawn`: nobody signs in it.
    """

    name: str
    clips: Callable[..., Iterator[Clip]]
    needs_root: bool = True
    language: str | None = None
    fps: float = 25.0
    check: Callable[..., list[str]] | None = None
    options: tuple[str, ...] = ()
    layout: tuple[str, ...] = ()
    license: str = ""
    is_drawn: bool = False

    def check_options(self, options: Iterable[str]) -> None:
        """Raise CorpusError for an option that the corpus does not take."""
        for name in options:
            if name not in self.options:
                takes = " and ".join(self.options) or "no option of this kind"
                raise CorpusError(f"takes no {name}", where=self.name, remedy=f"it takes {takes}")


CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "wetter",
            wetter.clips,
            needs_root=False,
            language="de",
            fps=wetter.FPS,
            options=("counts", "seed"),
            license="apache-2.0",
            is_drawn=True,
        ),
        Corpus(
            "phoenix14t-avatar",
            phoenix14t.drawn_clips,
            language="de",
            fps=signing.FPS,
            check=phoenix14t.check_drawn,
            options=("seed",),
            license=phoenix14t.LICENSE,
            is_drawn=True,
        ),
        Corpus(
            "phoenix14t",
            phoenix14t.clips,
            language="de",
            fps=phoenix14t.FPS,
            check=phoenix14t.check,
            license=phoenix14t.LICENSE,
        ),
        Corpus(
            "csl-daily",
            csl_daily.clips,
            language="zh",
            fps=csl_daily.FPS,
            check=csl_daily.check,
            layout=csl_daily.LAYOUT,
        ),
        Corpus(
            "how2sign",
            how2sign.clips,
            language="en",
            check=how2sign.check,
            layout=how2sign.LAYOUT,
            license="cc-by-nc-4.0",
        ),
        Corpus("openasl", openasl.clips, language="en", check=openasl.check, layout=openasl.LAYOUT),
        Corpus(
            "youtube-asl",
            youtube.asl_clips,
            language="en",
            check=youtube.check_asl,
            options=("rules",),
            layout=youtube.ASL_LISTS,
        ),
        Corpus(
            "youtube-sl25",
            youtube.sl25_clips,
            check=youtube.check_sl25,
            options=("rules", "language", "sign_language"),
            layout=youtube.SL25_LISTS,
        ),
        Corpus("bobsl", bobsl.clips, language="en", check=bobsl.check, options=("rules",), layout=bobsl.LAYOUT),
        Corpus("wmt-slt", wmt_slt.clips, language="de", check=wmt_slt.check, options=("rules",), layout=wmt_slt.LAYOUT),
        Corpus(
            "dgs-corpus",
            dgs_corpus.clips,
            language="de",
            fps=dgs_corpus.FPS,
            check=dgs_corpus.check,
            options=("rules", "language"),
            layout=dgs_corpus.LAYOUT,
        ),
        Corpus(
            "subtitles",
            subtitles.clips,
            check=subtitles.check,
            options=("rules", "tier", "language"),
            layout=subtitles.LAYOUT,
        ),
        Corpus("folder", folder.clips, check=folder.check),
    )
}


def find_corpus(name: str) -> Corpus:
    """A name -> its corpus. Raises CorpusError with the nearest spelling and all choices."""
    if name in CORPORA:
        return CORPORA[name]
    guess = did_you_mean(name.lower(), CORPORA, cutoff=0.4)
    raise CorpusError(f"no such corpus{guess}", where=name, remedy=f"one of {', '.join(CORPORA)}")
