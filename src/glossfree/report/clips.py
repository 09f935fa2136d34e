"""One translated clip -> a card: the playable clip, both sentences, the pseudo-gloss timeline."""

from __future__ import annotations

from collections.abc import Sequence

from glossfree.report import media
from glossfree.report.data import ReportClip
from glossfree.report.markup import Html, hidden, tag
from glossfree.report.timeline import timeline_table
from glossfree.report.words import marked
from glossfree.scoring.rouge import rouge_l


def legend(clips: Sequence[ReportClip]) -> Html:
    """What the marks of a card mean; only of those that occur on this page."""
    entries = [
        [tag("mark", "missed", class_="missed"), " word of the reference that the translation lacks"],
        [tag("mark", "extra", class_="extra"), " word of the translation that the reference lacks"],
    ]
    if any(clip.timeline is not None for clip in clips):
        heat = "score of a pseudo-gloss over time, scaled to the strongest of the clip"
        dot = "pseudo-gloss of the reference; the number on the right is its score over the whole clip, 0 to 1"
        entries.append([tag("i", "", class_="key heat-key"), " ", heat])
        entries.append([tag("i", "●", class_="dot"), " ", dot])
    if any(clip.spans for clip in clips):
        entries.append([tag("i", "", class_="key truth-key"), " where the avatar truly makes that sign"])
    entries.append(["Click a timeline to jump there; with the keyboard: arrows step a frame, space plays."])
    return tag("p", [tag("span", entry) for entry in entries], class_="legend")


def clips_section(clips: Sequence[ReportClip]) -> Html:
    """Cards of all clips; those that cannot be shown are listed first, with the reason."""
    lost = [clip for clip in clips if clip.frames is None or not len(clip.frames)]
    reasons = [
        tag("li", tag("code", clip.id), f": {clip.problem or 'no frames'} (its sentences are shown below)")
        for clip in lost
    ]
    warning = (
        tag(
            "div", tag("b", f"{len(lost)} of {len(clips)} clips could not be shown."), tag("ul", reasons), class_="warn"
        )
        if lost
        else Html("")
    )
    return tag("div", warning, [_card(clip, number) for number, clip in enumerate(clips, start=1)], id="cards")


def _card(clip: ReportClip, number: int) -> Html:
    is_exact = clip.hypothesis.split() == clip.reference.split()
    overlap = 100 * rouge_l(clip.hypothesis.split(), clip.reference.split())
    badge = (
        tag("span", "word for word", class_="badge exact")
        if is_exact
        else tag("span", f"ROUGE-L {overlap:.0f}", class_="badge", title="of this sentence alone")
    )
    who = clip.signer if clip.signer.lower().startswith("signer") else f"signer {clip.signer}"
    signer = tag("span", who, class_="quiet") if clip.signer else ""
    head = tag("header", tag("h3", tag("span", f"{number}", class_="count"), clip.id), signer, badge)
    shown = clip.frames is not None and len(clip.frames)
    body = [_stage(clip), _timeline(clip)] if shown else [tag("p", clip.problem or "no frames", class_="gone")]
    return tag(
        "article",
        head,
        _sentences(clip),
        tag("div", body, class_="stage-row") if shown else body,
        _alternatives(clip),
        class_="card",
        id=f"clip-{number}",
        data_exact="yes" if is_exact else "no",
        data_text=f"{clip.id} {clip.reference} {clip.hypothesis}".lower(),
    )


def _sentences(clip: ReportClip) -> Html:
    hypothesis, reference = marked(clip.hypothesis, clip.reference)
    likelihood = None if clip.score is None else f"mean log-probability {clip.score:.2f}"
    return tag(
        "dl",
        tag("div", tag("dt", "reference"), tag("dd", reference)),
        tag("div", tag("dt", "translation"), tag("dd", hypothesis, title=likelihood), class_="said"),
        class_="sentences",
    )


def _stage(clip: ReportClip) -> Html:
    assert clip.frames is not None
    height, width = clip.frames.shape[1:3]
    video = tag(
        "video",
        src=media.video_uri(clip.frames, clip.fps),
        poster=media.poster_uri(clip.frames),
        controls=True,
        loop=True,
        muted=True,
        playsinline=True,
        preload="metadata",
        width=width,
        height=height,
        aria_label=f"clip {clip.id}: {clip.reference}",
    )
    button = tag("button", "Play", type="button", class_="play", hidden=True, aria_label=f"Play clip {clip.id}")
    return tag("div", video, button, class_="screen")


def _timeline(clip: ReportClip) -> Html:
    assert clip.frames is not None
    slider = tag(
        "div",
        tag("div", class_="line"),
        class_="playhead",
        role="slider",
        tabindex=0,
        aria_label=f"position in clip {clip.id}",
        aria_valuemin=0,
        aria_valuemax=len(clip.frames) - 1,
        aria_valuenow=0,
        data_frames=len(clip.frames),
        data_fps=f"{clip.fps:g}",
    )
    missing = tag("p", "No pseudo-gloss timeline: this run has no pseudo-gloss head.", class_="quiet")
    return tag(
        "div",
        tag("div", timeline_table(clip), slider, class_="axis-box"),
        tag("output", hidden("under the pointer: "), class_="readout"),
        missing if clip.timeline is None else "",
        class_="timeline-box",
    )


def _alternatives(clip: ReportClip) -> Html:
    if not clip.alternatives:
        return Html("")
    items = [tag("li", text, " ", tag("span", f"{value:.2f}", class_="quiet")) for text, value in clip.alternatives]
    return tag("details", tag("summary", f"{len(items)} other hypotheses"), tag("ol", items), class_="others")
