"""Pseudo-glosses of sentences: which split counts, targets, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glossfree.errors import CorpusError
from glossfree.text.pseudo_glosses import ClipTargets, PseudoGlosses, extract
from glossfree.text.tagging import Token, tagger


class Capitals:
    """Words in capitals are nouns, digits numerals, the rest determiners; the lemma is the word in lower case."""

    name = "capitals"

    def tag(self, sentence: str) -> list[Token]:
        kinds = (("NOUN", str.isupper), ("NUM", str.isdigit), ("DET", bool))
        return [Token(w, w.lower(), next(pos for pos, fits in kinds if fits(w))) for w in sentence.split()]


SPLITS = {
    "train": ["der WIND weht", "SONNE und WIND und WIND", "bei 7 GRAD"],
    "dev": ["der NEBEL und die SONNE"],
    "test": ["HAGEL"],
}


@pytest.fixture
def pseudo_glosses() -> PseudoGlosses:
    return extract(SPLITS, Capitals(), language="de")


def test_the_inventory_is_the_training_splits(pseudo_glosses: PseudoGlosses) -> None:
    assert pseudo_glosses.inventory == ("7", "grad", "sonne", "wind")
    assert pseudo_glosses.counts == {"7": 1, "grad": 1, "sonne": 1, "wind": 3}
    assert (pseudo_glosses.kept, pseudo_glosses.dropped) == ({"NOUN": 5, "NUM": 1}, {"DET": 5})
    assert (len(pseudo_glosses), pseudo_glosses.backend, pseudo_glosses.language, pseudo_glosses.splits) == (
        4,
        "capitals",
        "de",
        ("train",),
    )


def test_other_splits_change_nothing_but_their_own_sentences(pseudo_glosses: PseudoGlosses) -> None:
    alone = extract({"train": SPLITS["train"]}, Capitals(), language="de")
    assert (alone.inventory, alone.counts, alone.kept, alone.dropped) == (
        pseudo_glosses.inventory, pseudo_glosses.counts, pseudo_glosses.kept, pseudo_glosses.dropped,
    )  # fmt: skip
    with pytest.raises(CorpusError, match="without pseudo-glosses"):
        alone.targets(SPLITS["dev"][0])


def test_all_splits_when_they_are_named() -> None:
    pseudo_glosses = extract(SPLITS, Capitals(), splits=("train", "dev", "test"), language="de")
    assert pseudo_glosses.inventory == ("7", "grad", "hagel", "nebel", "sonne", "wind")
    assert pseudo_glosses.counts["sonne"] == 2


def test_targets_are_multi_hot_over_the_inventory(pseudo_glosses: PseudoGlosses) -> None:
    targets = pseudo_glosses.targets("SONNE und WIND und WIND")
    assert targets.dtype == np.float32
    assert targets.tolist() == [0, 0, 1, 1]
    assert pseudo_glosses.targets("der NEBEL und die SONNE").tolist() == [0, 0, 1, 0]
    assert pseudo_glosses.of_sentence("der NEBEL und die SONNE") == ("nebel", "sonne")
    assert pseudo_glosses.of_sentence("SONNE und WIND und WIND") == ("sonne", "wind", "wind")
    assert pseudo_glosses.targets("HAGEL").sum() == 0


def test_targets_of_clips_are_made_when_they_are_asked_for(pseudo_glosses: PseudoGlosses) -> None:
    texts = {"one": "SONNE und WIND und WIND", "two": "der NEBEL und die SONNE", "three": "HAGEL"}
    targets = ClipTargets(pseudo_glosses, texts)
    assert {id: row.tolist() for id, row in targets.items()} == {
        id: pseudo_glosses.targets(text).tolist() for id, text in texts.items()
    }
    assert (len(targets), "two" in targets, "four" in targets) == (3, True, False)
    with pytest.raises(CorpusError, match="without pseudo-glosses"):
        ClipTargets(pseudo_glosses, {**texts, "four": "FROST"})


def test_a_saved_file_is_the_same(pseudo_glosses: PseudoGlosses, tmp_path: Path) -> None:
    pseudo_glosses.save(tmp_path / "glosses.json")
    loaded = PseudoGlosses.load(tmp_path / "glosses.json")
    assert loaded == pseudo_glosses
    assert loaded.sha256 == pseudo_glosses.sha256
    assert loaded.targets("bei 7 GRAD").tolist() == [1, 1, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["glosses.json"]


def test_without_sentences_only_the_inventory_is_left(pseudo_glosses: PseudoGlosses, tmp_path: Path) -> None:
    bare = pseudo_glosses.without_sentences()
    bare.save(tmp_path / "glosses.json")
    assert "WIND" not in (tmp_path / "glosses.json").read_text()
    assert PseudoGlosses.load(tmp_path / "glosses.json").inventory == pseudo_glosses.inventory
    assert pseudo_glosses.targets("der WIND weht").sum() == 1  # the original is as it was


def test_the_hash_follows_the_content(pseudo_glosses: PseudoGlosses) -> None:
    assert extract(SPLITS, Capitals(), language="de").sha256 == pseudo_glosses.sha256
    assert extract({**SPLITS, "train": SPLITS["train"][:2]}, Capitals(), language="de").sha256 != pseudo_glosses.sha256


def test_bad_files(pseudo_glosses: PseudoGlosses, tmp_path: Path) -> None:
    path = tmp_path / "glosses.json"
    with pytest.raises(CorpusError, match=r"glosses\.json: no pseudo-glosses -> make it with: glossfree glosses"):
        PseudoGlosses.load(path)
    pseudo_glosses.save(path)
    content = json.loads(path.read_text())
    for change in ({"inventory": ["7", "grad", "regen", "wind"]}, {"format": 99}, {"language": "en"}):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(CorpusError, match="altered"):
            PseudoGlosses.load(path)
    for broken in ("", "[]", "{}", json.dumps({**content, "extra": 1}), json.dumps({**content, "inventory": None})):
        path.write_text(broken)
        with pytest.raises(CorpusError, match="not a file of pseudo-glosses"):
            PseudoGlosses.load(path)


def test_nothing_to_extract_from() -> None:
    with pytest.raises(CorpusError, match=r"no sentence in train -> splits here: dev, train"):
        extract({"train": [], "dev": ["WIND"]}, Capitals(), language="de")
    with pytest.raises(CorpusError, match="no content word"):
        extract({"train": ["und der die", ""]}, Capitals(), language="de")


def test_progress_counts_sentences() -> None:
    calls: list[None] = []
    extract(SPLITS, Capitals(), on_progress=lambda: calls.append(None), language="de")
    assert len(calls) == 5


def test_german() -> None:
    pseudo_glosses = extract(
        {"train": ["morgen fallen im süden fünf liter regen", "es regnete gestern"]}, tagger("de"), language="de"
    )
    assert pseudo_glosses.inventory == (
        "es",
        "fallen",
        "fünf",
        "gestern",
        "liter",
        "morgen",
        "regen",
        "regnen",
        "süden",
    )


def test_a_decomposed_sentence_is_the_same_sentence() -> None:
    nfd = "in mu\u0308nchen wird es ku\u0308hl"
    one = extract({"train": ["in münchen wird es kühl"]}, tagger("de"), language="de")
    two = extract({"train": [nfd]}, tagger("de"), language="de")
    assert one == two
    assert "münchen" in two.inventory
    assert two.of_sentence(nfd) == one.of_sentence("in münchen wird es kühl")


def test_half_a_character_is_refused(pseudo_glosses: PseudoGlosses, tmp_path: Path) -> None:
    """JSON can spell one, UTF-8 cannot, and so it has no hash."""
    path = tmp_path / "pseudo_glosses.json"
    pseudo_glosses.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "inventory": ["\ud800", *content["inventory"][1:]]}))
    with pytest.raises(CorpusError) as caught:
        PseudoGlosses.load(path)
    assert caught.value.where == str(path) and len(str(caught.value)) < 300
