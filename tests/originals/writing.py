"""How the scripts beside this one store what a package gives: as JSON, with its version and the pairs' sha256."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from pairs import SETS, sha256

EXPECTED = Path(__file__).parent / "expected"
Values = dict[str, dict[str, dict[str, float]]]  # {what was computed: {set of pairs: {metric: score, 0-100}}}


def write(package: str, values: Values) -> None:
    """Writes expected/PACKAGE-VERSION.json."""
    used = sorted({name for sets in values.values() for name in sets})
    content = {
        "package": package,
        "version": version(package),
        "pairs": {name: {"number": len(SETS[name]()), "sha256": sha256(SETS[name]())} for name in used},
        "values": {
            what: {name: {metric: round(score, 6) for metric, score in scores.items()} for name, scores in sets.items()}
            for what, sets in values.items()
        },
    }
    path = EXPECTED / f"{package}-{version(package)}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")
