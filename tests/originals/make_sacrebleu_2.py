"""BLEU as code on sacrebleu's later interface gives it: GFSLT-VLP, HFA, SpaMo. In an environment of its own:

python -m venv ENV && ENV/bin/pip install sacrebleu==2.3.1
ENV/bin/python tests/originals/make_sacrebleu_2.py
"""

from __future__ import annotations

from pairs import SETS, Pairs, ended, lower
from sacrebleu.metrics import BLEU, CHRF
from writing import write


def bleu(pairs: Pairs, tokenize: str = "13a") -> dict[str, float]:
    """Corpus BLEU of the n-grams up to n, n = 1..4, as SpaMo asks for them one by one."""
    hypotheses, references = [a for a, _ in pairs], [[b for _, b in pairs]]
    return {
        f"bleu{n}": BLEU(max_ngram_order=n, tokenize=tokenize, force=True).corpus_score(hypotheses, references).score
        for n in range(1, 5)
    }


def chrf(pairs: Pairs) -> dict[str, float]:
    """chrF2 of the corpus."""
    return {"chrf": CHRF().corpus_score([a for a, _ in pairs], [[b for _, b in pairs]]).score}


def shards(pairs: Pairs, processes: int) -> dict[str, float]:
    """The plain mean over processes. torch's DistributedSampler deals the sentences out one by one, and starts again
    with the first ones until every process has as many."""
    order = list(range(len(pairs)))
    order += order[: -len(pairs) % processes]
    parts = [bleu([pairs[i] for i in order[process::processes]]) for process in range(processes)]
    return {name: sum(part[name] for part in parts) / processes for name in parts[0]}


def batches(pairs: Pairs, size: int, tokenize: str = "13a") -> dict[str, float]:
    """The mean over batches in their order, each with the weight of its sentences, as Lightning logs it."""
    parts = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    scores = [bleu(part, tokenize) for part in parts]
    return {
        name: sum(score[name] * len(part) for score, part in zip(scores, parts, strict=True)) / len(pairs)
        for name in scores[0]
    }


def main() -> None:
    """Writes expected/sacrebleu-2.3.1.json."""
    german = SETS["german"]()
    chinese = {name: SETS[name]() for name in ("chinese", "chinese-spaced")}
    write(
        "sacrebleu",
        {
            "plain": {"german": bleu(german) | chrf(german)},
            "plain-chinese": {name: bleu(pairs, "zh") | chrf(pairs) for name, pairs in chinese.items()},
            "plain-characters": {name: bleu(pairs, "char") for name, pairs in chinese.items()},
            "hfa-as-released": {"german": bleu(ended(german)) | chrf(ended(german))},
            "gfslt-vlp": {name: shards(lower(SETS[name]()), 4) for name in ("german", "german-stripped")},
            "spamo": {
                "german": batches(lower(german), 16),
                **{name: batches(lower(pairs), 16, "zh") for name, pairs in chinese.items()},
            },
        },
    )


if __name__ == "__main__":
    main()
