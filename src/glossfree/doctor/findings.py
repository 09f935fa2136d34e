"""The report of `doctor`: findings with level and remedy, as text, as data, and as an exit code."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from glossfree.console import Result

Level = Literal["ok", "warning", "problem"]
EXIT_CODES: dict[Level, int] = {"ok": 0, "warning": 1, "problem": 2}
_HEADINGS: dict[Level, str] = {"problem": "Problems", "warning": "Warnings", "ok": "Facts"}


@dataclass(frozen=True)
class Finding:
    """One line of a report: topic, level, text and remedy.

    Levels: "problem", it cannot work; "warning", it works, but the user should know; "ok", nothing to do.
    """

    topic: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class BadClip:
    """One of the worst clips of a corpus: its file, and its faults, worst first."""

    id: str
    split: str
    path: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis(Result):
    """All findings about one subject. `figures` are plain values for programs."""

    subject: str
    findings: tuple[Finding, ...]
    figures: dict[str, Any] = field(default_factory=dict)
    worst: tuple[BadClip, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 all ok, 1 warnings, 2 problems."""
        return max((EXIT_CODES[finding.level] for finding in self.findings), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"exit_code": self.exit_code}

    def to_text(self) -> str:
        """The verdict, then problems, warnings, the worst clips, and what is ok; a remedy is below its finding."""
        verdict = "works"
        for level, words in (("warning", "works, with {}"), ("problem", "cannot work like this ({})")):
            if count := sum(finding.level == level for finding in self.findings):
                verdict = words.format(counted(count, level))
        blocks = [[f"{self.subject}: {verdict}"]]
        for level, heading in _HEADINGS.items():
            if level == "ok" and self.worst:
                blocks.append(["Worst clips", *map(_bad_clip_line, self.worst)])
            block = [heading]
            for finding in (finding for finding in self.findings if finding.level == level):
                block.append(f"  {finding.topic}: {finding.text}")
                block += [f"    -> {finding.remedy}"] if finding.remedy else []
            blocks += [block] if len(block) > 1 else []
        return "\n\n".join("\n".join(block) for block in blocks)


def counted(count: int, noun: str) -> str:
    """1, "clip" -> "1 clip"; 1200, "clip" -> "1,200 clips"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _bad_clip_line(clip: BadClip) -> str:
    where = f" ({clip.path})" if clip.path else ""
    return f"  {clip.split} {clip.id}{where}: {'; '.join(clip.reasons)}"
