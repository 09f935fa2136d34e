"""Bad sentence files, corpora, recipes and outputs on the real command line: one line with the culprit, the path and
the remedy, exit code 2, no traceback, and what lay there before lies there still."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


def missing_column(world: Any) -> Any:
    path = world.table(world.videos, header="id,part,text")
    return world.prepare(), (path, "split")


def duplicate_id(world: Any) -> Any:
    path = world.table(world.videos, (*world.sentences, world.sentences[0]))
    return world.prepare(), (path, "eins")


def empty_sentence(world: Any) -> Any:
    path = world.table(world.videos, (*world.sentences[:2], ("drei", "dev", "  ")))
    return world.prepare(), (path, "4")


def not_utf8(world: Any) -> Any:
    path = world.table(world.videos)
    path.write_bytes(path.read_bytes() + "drei,dev,es wird kühl\n".encode("latin-1"))
    return world.prepare(), (path, "UTF-8")


def quotes_that_swallow_a_row(world: Any) -> Any:
    eins, zwei, *rest = (",".join(row) for row in world.sentences)
    path = world.table(world.videos, ())
    path.write_text("\n".join(["id,split,text", eins.replace(",es", ',"es'), f'{zwei}"', *rest]) + "\n")
    return world.prepare(), (path, "line 2", "line 3")


def no_file_of_the_table_there(world: Any) -> Any:
    world.table(world.videos, tuple((f"x{name}", split, text) for name, split, text in world.sentences))
    return world.prepare(), (world.videos, "xeins", "none of")


def no_such_root(world: Any) -> Any:
    root = world.folder / "nowhere"
    return ("prepare", "folder", "--root", root, "--out", world.folder / "out", "--language", "de"), (root,)


def no_language(world: Any) -> Any:
    return ("prepare", "folder", "--root", world.videos, "--out", world.folder / "out"), ("folder", "--language", "zh")


def another_corpus_in_out(world: Any) -> Any:
    return world.prepare(out=world.corpus), (world.corpus, "wetter")


def unwritable_out(world: Any) -> Any:
    out = world.below_a_file
    return world.prepare(out=out), (out,)


def unwritable_glosses(world: Any) -> Any:
    out = world.below_a_file
    return ("glosses", world.corpus, "--out", out), (out,)


def unwritable_run(world: Any) -> Any:
    out = world.below_a_file
    return ("train", *world.tiny.options, "--run", out), (out,)


def unknown_key(world: Any) -> Any:
    recipe = world.folder / "mine.toml"
    recipe.write_text("[vision]\nhiden_size = 24\n", encoding="utf-8")
    return ("params", "--recipe", recipe), (recipe, "vision.hiden_size", "vision.hidden_size")


def unknown_override(world: Any) -> Any:
    return world.train("--set", "data.strides=2"), ("data.strides", "data.stride")


def not_toml(world: Any) -> Any:
    recipe = world.folder / "mine.toml"
    recipe.write_text("vision = [\n", encoding="utf-8")
    return ("train", "--recipe", recipe, "--corpus", world.corpus, "--run", world.folder / "new"), (recipe,)


def contradiction(world: Any) -> Any:
    return world.train("--set", "vision.num_heads=5"), ("vision.hidden_size 24", "num_heads 5")


def no_such_recipe(world: Any) -> Any:
    return ("params", "--recipe", "hfa-phoenix"), ("hfa-phoenix", "hfa-phoenix14t")


def corpus_without_glosses(world: Any) -> Any:
    (world.corpus / "pseudo_glosses.json").unlink()
    return world.train(), (world.corpus, "glossfree glosses")


def corpus_with_others_prototypes(world: Any) -> Any:
    path = world.corpus / "pseudo_glosses.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "inventory": content["inventory"][1:]}), encoding="utf-8")
    return world.train(), (path, "glossfree glosses")


def corpus_of_another_frame_size(world: Any) -> Any:
    return world.train("--set", "data.frame_size=40"), (world.corpus, "data.frame_size", "28", "40")


def no_corpus(world: Any) -> Any:
    nowhere = world.folder / "nowhere"
    return ("train", "--recipe", world.tiny.recipe, "--corpus", nowhere, "--run", world.folder / "new"), (nowhere,)


def damaged_manifest(world: Any) -> Any:
    path = world.cut(world.corpus / "manifest.jsonl", 0.98)
    return world.train(), (path, "line 21")


def packed_clip_damaged(world: Any) -> Any:
    path = world.cut(world.corpus / "clips/train/wetter-train-00003.mp4")
    return world.train(), ("wetter-train-00003", path, "glossfree prepare")


def no_such_vectors(world: Any) -> Any:
    return ("glosses", world.corpus, "--vectors", world.folder / "cc.de.300.bin"), (world.folder / "cc.de.300.bin",)


def damaged_vectors(world: Any) -> Any:
    path = world.folder / "cc.de.300.vec"
    path.write_text("2 3\nregen 0.1 0.2\n", encoding="utf-8")
    return ("glosses", world.corpus, "--vectors", path), (path,)


def no_tokenizer(world: Any) -> Any:
    return ("vocabulary", "--tokenizer", world.videos, "--corpus", world.corpus), (world.videos,)


def recipe_with_missing_weights(world: Any) -> Any:
    nowhere = world.folder / "dinov2"
    return world.train("--set", f"vision.weights={nowhere}"), (nowhere,)


CASES = (
    missing_column,
    duplicate_id,
    empty_sentence,
    not_utf8,
    quotes_that_swallow_a_row,
    no_file_of_the_table_there,
    no_such_root,
    no_language,
    another_corpus_in_out,
    unwritable_out,
    unwritable_glosses,
    unwritable_run,
    unknown_key,
    unknown_override,
    not_toml,
    contradiction,
    no_such_recipe,
    corpus_without_glosses,
    corpus_with_others_prototypes,
    corpus_of_another_frame_size,
    no_corpus,
    damaged_manifest,
    packed_clip_damaged,
    no_such_vectors,
    damaged_vectors,
    no_tokenizer,
    recipe_with_missing_weights,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_mistake_is_one_line_and_spoils_nothing(world: Any, call: Any, case: Callable[[Any], Any]) -> None:
    world.spoils_nothing(call, case)


def test_a_usage_error_is_exit_code_2_as_well(call: Any) -> None:
    for arguments in (("nosuchverb",), ("translate",), ("prepare", "wetter"), ("inspect", "a", "--nosuchoption")):
        called = call(*arguments)
        assert (called.code, called.out) == (2, "")


def test_debug_shows_where_it_happened(world: Any, call: Any) -> None:
    from glossfree.errors import CorpusError

    with pytest.raises(CorpusError, match="manifest"):
        call("--debug", "inspect", world.folder)
