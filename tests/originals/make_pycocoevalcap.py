"""ROUGE-L of the captioning code that most of this field inherited (beta 1.2). In an environment of its own:

python -m venv ENV && ENV/bin/pip install pycocoevalcap==1.2
ENV/bin/python tests/originals/make_pycocoevalcap.py
"""

from __future__ import annotations

from pairs import SETS, Pairs, characters, ended, lower
from pycocoevalcap.rouge.rouge import Rouge
from writing import write


def rouge(pairs: Pairs) -> dict[str, float]:
    """The mean over sentences, times 100."""
    hypotheses = {number: [a] for number, (a, _) in enumerate(pairs)}
    references = {number: [b] for number, (_, b) in enumerate(pairs)}
    return {"rouge_l": 100 * float(Rouge().compute_score(references, hypotheses)[0])}


def main() -> None:
    """Writes expected/pycocoevalcap-1.2.json."""
    german = SETS["german"]()
    chinese = {name: rouge(characters(SETS[name]())) for name in ("chinese", "chinese-spaced")}
    write(
        "pycocoevalcap",
        {
            "plain": {"german": rouge(german)},
            "plain-chinese": chinese,
            "plain-characters": chinese,
            "hfa-as-released": {"german": rouge(ended(german))},
            "sign2gpt": {"german": rouge(german), **chinese},
            "neccam-slt": {"german": rouge(ended(lower(german)))},
            # its metrics come from nlg-eval, which reads files of lines and strips each of them
            "gfslt-vlp": {"german-stripped": rouge(lower(SETS["german-stripped"]()))},
        },
    )


if __name__ == "__main__":
    main()
