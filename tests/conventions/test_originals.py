"""Each convention gives, to 0.01 point, what the package or the stated formula of the original gives.

The expected values lie in tests/originals/expected with the versions of the packages; tests/originals/make_*.py made
them. Where an original has no package (seq2seq's ROUGE-L) its formula is computed here a second time, naively.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.metrics.bleu import BLEU

from glossfree.scoring.conventions import CONVENTIONS, PUBLISHED, Convention, published_for
from glossfree.scoring.statistics import Statistics

Pairs = list[tuple[str, str]]
POINT = 0.01
SCRIPTS = Path(__file__).parents[1] / "originals"
LANGUAGE = {"german": "de", "german-stripped": "de", "chinese": "zh", "chinese-spaced": "zh"}
FILES = ("sacrebleu-1.4.2", "sacrebleu-2.3.1", "pycocoevalcap-1.2", "rouge_score-0.1.2", "rouge-1.0.1")
OF_A_PACKAGE = {"google": "google", "google-stemmed": "google-stemmed"}  # no convention: a way to compute ROUGE-L


def convention(name: str, of_set: str) -> Convention:
    """A default by its name, or a published one as it treats the language of a set of pairs."""
    if name in OF_A_PACKAGE:
        return Convention(name, rouge=name)
    if name == "identical":  # 13a on Chinese, as code does that knows no Chinese
        return Convention(name)
    if name in CONVENTIONS:
        return CONVENTIONS[name]
    (found,) = [found for found in published_for(LANGUAGE[of_set]) if found.name == name]
    return found


def scores(pairs: Pairs, how: Convention) -> dict[str, float]:
    return Statistics.of([a for a, _ in pairs], [b for _, b in pairs], how).scores()


@pytest.mark.parametrize("file", FILES)
def test_our_scores_are_the_packages(file: str, expected: dict[str, Any], pairs: dict[str, Pairs]) -> None:
    """Every value that a package gave, on all pairs."""
    wrong = {}
    for name, sets in expected[file]["values"].items():
        for of_set, wanted in sets.items():
            used = [(b, b) for _, b in pairs[of_set]] if name == "identical" else pairs[of_set]
            found = scores(used, convention(name, of_set))
            wrong |= {
                (name, of_set, metric): (found[metric], value)
                for metric, value in wanted.items()
                if found[metric] != pytest.approx(value, abs=POINT)
            }
    assert wrong == {}


def test_the_values_were_made_from_these_pairs(expected: dict[str, Any], originals: Any, pairs: Any) -> None:
    assert set(expected) == set(FILES)
    for content in expected.values():
        for name, made in content["pairs"].items():
            assert made == {"number": len(pairs[name]), "sha256": originals.sha256(pairs[name])}
            assert made["number"] >= 500


def test_the_packages_are_those_that_the_scripts_ask_for(expected: dict[str, Any]) -> None:
    asked = [re.findall(r"pip install (\S+)==(\S+)", path.read_text("utf-8")) for path in SCRIPTS.glob("make_*.py")]
    made = {(content["package"].replace("_", "-"), content["version"]) for content in expected.values()}
    assert {package for (package,) in asked} == made


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_convention_is_held(name: str, expected: dict[str, Any]) -> None:
    """BLEU of each has a package's values; ROUGE-L too, or is computed below."""
    metrics = {
        metric
        for content in expected.values()
        for scores in content["values"].get(name, {}).values()
        for metric in scores
    }
    # no ROUGE-L in HFA's code: the default is held for it all the same
    assert metrics >= {"bleu1", "bleu2", "bleu3", "bleu4"} | ({"rouge_l"} if name != "slrt" else set())


def naive_lcs(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """By the definition, front to back."""

    @cache
    def length(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + length(i + 1, j + 1) if a[i] == b[j] else max(length(i + 1, j), length(i, j + 1))

    return length(0, 0)


def seq2seq(hypothesis: list[str], reference: list[str]) -> float:
    """The formula of seq2seq's ROUGE-L; a side without words is one empty word."""
    hypothesis, reference = hypothesis or [""], reference or [""]
    common = naive_lcs(tuple(hypothesis), tuple(reference))
    precision, recall = common / len(hypothesis), common / len(reference)
    beta = precision / (recall + 1e-12)
    return (1 + beta**2) * recall * precision / (recall + beta**2 * precision + 1e-12)


def test_slrt_rouge_of_german(pairs: dict[str, Pairs], originals: Any) -> None:
    sentences = originals.ended(originals.lower(pairs["german"]))
    mean = sum(seq2seq(a.split(), b.split()) for a, b in sentences) / len(sentences)
    assert scores(pairs["german"], convention("slrt", "german"))["rouge_l"] == pytest.approx(100 * mean, abs=POINT)


@pytest.mark.parametrize("of_set", ["chinese", "chinese-spaced"])
def test_slrt_rouge_of_chinese(of_set: str, pairs: dict[str, Pairs], originals: Any) -> None:
    sentences = originals.characters(originals.lower(pairs[of_set]))
    mean = sum(seq2seq(a.split(), b.split()) for a, b in sentences) / len(sentences)
    assert scores(pairs[of_set], convention("slrt", of_set))["rouge_l"] == pytest.approx(100 * mean, abs=POINT)


def corpus_bleu(pairs: Pairs, order: int, tokenize: str) -> float:
    """The installed library's own, not our arithmetic on its counts."""
    metric = BLEU(max_ngram_order=order, tokenize=tokenize, force=True)
    return float(metric.corpus_score([a for a, _ in pairs], [[b for _, b in pairs]]).score)


@pytest.mark.parametrize("of_set", ["german", "chinese"])
def test_batches_weigh_as_much_as_they_have_sentences(of_set: str, pairs: dict[str, Pairs], originals: Any) -> None:
    how, sentences = convention("spamo", of_set), originals.lower(pairs[of_set])
    assert len(sentences) % how.size  # the last batch is a short one
    batches = [sentences[start : start + how.size] for start in range(0, len(sentences), how.size)]
    found = scores(pairs[of_set], how)
    for order in range(1, 5):
        values = [corpus_bleu(batch, order, how.tokenize) for batch in batches]
        weighted = sum(value * len(batch) for value, batch in zip(values, batches, strict=True)) / len(sentences)
        assert found[f"bleu{order}"] == pytest.approx(weighted, abs=POINT)
    assert found["bleu4"] < scores(pairs[of_set], replace(how, average="corpus", size=0))["bleu4"] - 0.1


@pytest.mark.parametrize("processes", [2, 3, 4, 8])
def test_shards_are_filled_with_the_first_sentences(processes: int, pairs: dict[str, Pairs], originals: Any) -> None:
    how, sentences = replace(convention("gfslt-vlp", "german"), size=processes), originals.lower(pairs["german"])
    shards: list[Pairs] = [[] for _ in range(processes)]
    for position in range(-(-len(sentences) // processes) * processes):
        shards[position % processes].append(sentences[position % len(sentences)])
    found = scores(pairs["german"], how)
    for order in range(1, 5):
        mean = sum(corpus_bleu(shard, order, "13a") for shard in shards) / processes
        assert found[f"bleu{order}"] == pytest.approx(mean, abs=POINT)


def test_conventions_differ_on_the_same_sentences(pairs: dict[str, Pairs]) -> None:
    """A test of the pairs: what sets two conventions apart must be seen in them."""
    for of_set in ("german", "chinese-spaced"):
        found = {how.name: scores(pairs[of_set], how) for how in published_for(LANGUAGE[of_set])}
        seen = {tuple(round(values[name], 2) for name in ("bleu1", "bleu4", "rouge_l")) for values in found.values()}
        assert len(seen) == len(found), found
