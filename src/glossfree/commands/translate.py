"""`translate`: a model folder and video files -> sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from glossfree.errors import ClipError
from glossfree.sign_translator import SignTranslator, Translation


def translate(model: Path, clips: Sequence[Path], *, num_hypotheses: int = 1) -> Iterator[Translation]:
    """One Translation per clip, in order. All paths are checked before the model is loaded. Raises ClipError."""
    missing = [str(path) for path in clips if not path.exists()]
    if missing:
        raise ClipError(f"no such file: {', '.join(missing)}", remedy="give paths of video files or frame folders")
    translator = SignTranslator.from_pretrained(model)
    for path in clips:
        yield translator.explain(path, num_hypotheses=num_hypotheses)
