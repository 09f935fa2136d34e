"""ROUGE-L of PyPI's rouge, which Uni-Sign uses. In an environment of its own:

    python -m venv ENV && ENV/bin/pip install rouge==1.0.1
    ENV/bin/python tests/originals/make_rouge.py

The package refuses a sentence without words; such a pair counts 0 here. So does a pair of nothing but full stops.
"""

from __future__ import annotations

from pairs import SETS, Pairs, characters
from rouge import Rouge
from writing import write


def rouge(pairs: Pairs) -> dict[str, float]:
    """The mean of rouge-l's F over sentences, times 100."""
    total = 0.0
    for hypothesis, reference in pairs:
        if hypothesis.replace(".", "").strip() and reference.replace(".", "").strip():
            total += Rouge(metrics=["rouge-l"]).get_scores(hypothesis, reference)[0]["rouge-l"]["f"]
    return {"rouge_l": 100 * total / len(pairs)}


def main() -> None:
    """Writes expected/rouge-1.0.1.json."""
    values = {"german": rouge(SETS["german"]())}
    values |= {name: rouge(characters(SETS[name]())) for name in ("chinese", "chinese-spaced")}
    write("rouge", {"uni-sign": values})


if __name__ == "__main__":
    main()
