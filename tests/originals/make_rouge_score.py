"""ROUGE-L of PyPI's rouge-score, which SpaMo uses with its English stemmer. In an environment of its own:

python -m venv ENV && ENV/bin/pip install rouge-score==0.1.2
ENV/bin/python tests/originals/make_rouge_score.py
"""

from __future__ import annotations

from pairs import SETS, Pairs, lower
from rouge_score.rouge_scorer import RougeScorer
from writing import write


def rouge(pairs: Pairs, *, stemmed: bool) -> dict[str, float]:
    """The mean of F1 over sentences, times 100."""
    scorer = RougeScorer(["rougeL"], use_stemmer=stemmed)
    return {"rouge_l": 100 * sum(scorer.score(b, a)["rougeL"].fmeasure for a, b in pairs) / len(pairs)}


def main() -> None:
    """Writes expected/rouge_score-0.1.2.json."""
    sets = {name: SETS[name]() for name in ("german", "chinese", "chinese-spaced")}
    write(
        "rouge_score",
        {
            "google": {name: rouge(pairs, stemmed=False) for name, pairs in sets.items()},
            "google-stemmed": {name: rouge(pairs, stemmed=True) for name, pairs in sets.items()},
            "spamo": {name: rouge(lower(pairs), stemmed=True) for name, pairs in sets.items()},
        },
    )


if __name__ == "__main__":
    main()
