"""BLEU as the copies of sacrebleu 1.4.2 in this field's code give it. In an environment of its own:

    python -m venv ENV && ENV/bin/pip install sacrebleu==1.4.2
    ENV/bin/python tests/originals/make_sacrebleu_1.py

The package gives BLEU-4 and the precisions. The copies in Sign2GPT, neccam/slt, SLRT and Uni-Sign are changed to return
BLEU-1..4, each the brevity penalty times the geometric mean of the first n precisions, whatever the effective order.
"""

from __future__ import annotations

import math

import sacrebleu
from pairs import SETS, Pairs, characters, ended, lower
from writing import write


def cumulative(found: sacrebleu.BLEU) -> dict[str, float]:
    """Precisions and brevity penalty -> BLEU-1..4."""
    logs = [math.log(precision) if precision > 0 else -math.inf for precision in found.precisions]
    return {f"bleu{n}": found.bp * math.exp(sum(logs[:n]) / n) for n in range(1, 5)}


def raw(pairs: Pairs) -> dict[str, float]:
    """No tokenisation, no smoothing."""
    return cumulative(sacrebleu.raw_corpus_bleu([a for a, _ in pairs], [[b for _, b in pairs]]))


def wmt(pairs: Pairs, tokenize: str = "13a") -> dict[str, float]:
    """Tokenised, smoothed "exp"."""
    return cumulative(sacrebleu.corpus_bleu([a for a, _ in pairs], [[b for _, b in pairs]], tokenize=tokenize))


def main() -> None:
    """Writes expected/sacrebleu-1.4.2.json."""
    german = SETS["german"]()
    chinese = {name: SETS[name]() for name in ("chinese", "chinese-spaced")}
    write(
        "sacrebleu",
        {
            "plain": {"german": wmt(german)},
            "plain-chinese": {name: wmt(pairs, "zh") for name, pairs in chinese.items()},
            "hfa-as-released": {"german": wmt(ended(german))},
            "sign2gpt": {
                "german": raw(german),
                **{name: raw(characters(pairs)) for name, pairs in chinese.items()},
            },
            "neccam-slt": {"german": raw(ended(lower(german)))},
            "slrt": {
                "german": raw(ended(lower(german))),
                **{name: raw(characters(lower(pairs))) for name, pairs in chinese.items()},
            },
            "uni-sign": {
                "german": wmt(german),
                **{name: wmt(characters(pairs)) for name, pairs in chinese.items()},
            },
            "identical": {name: wmt([(b, b) for _, b in pairs]) for name, pairs in chinese.items()},
        },
    )


if __name__ == "__main__":
    main()
