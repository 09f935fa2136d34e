"""Bad runs and model folders on the real command line: one line with the culprit, the path and the remedy, exit code 2,
no traceback, and what lay there before lies there still."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest


def unwritable_model(world: Any) -> Any:
    out = world.below_a_file
    return ("export", world.run, out), (out.parent,)


def unwritable_report(world: Any) -> Any:
    out = world.below_a_file
    return ("report", world.run, "--out", out), (out,)


def model_where_something_is(world: Any) -> Any:
    return ("export", world.run, world.corpus), (world.corpus, "not empty")


def model_where_a_file_is(world: Any) -> Any:
    return ("export", world.run, world.below_a_file.parent), (world.below_a_file.parent, "is a file")


def model_without_a_file(world: Any) -> Any:
    (world.model / "tokenizer/sentencepiece.bpe.model").unlink()
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "sentencepiece.bpe.model")


def model_without_card(world: Any) -> Any:
    (world.model / "model.json").unlink()
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "model.json")


def model_with_broken_card(world: Any) -> Any:
    world.cut(world.model / "model.json")
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "model.json")


def model_with_altered_weights(world: Any) -> Any:
    path = world.model / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "model.safetensors")


def model_with_altered_recipe(world: Any) -> Any:
    world.edit(world.model / "recipe.toml", "stride = 3", "stride = 2")
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "recipe.toml")


def model_whose_recipe_does_not_fit(world: Any) -> Any:
    """Altered together with its hash."""
    recipe = world.edit(world.model / "recipe.toml", "hidden_size = 36", "hidden_size = 40")
    card = json.loads((world.model / "model.json").read_text())
    card["files"]["recipe.toml"] = hashlib.sha256(recipe.read_bytes()).hexdigest()
    (world.model / "model.json").write_text(json.dumps(card))
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model / "model.safetensors", "36", "40")


def no_such_clip(world: Any) -> Any:
    return ("translate", world.model, world.videos / "vier.mp4"), (world.videos / "vier.mp4",)


def folder_without_images_or_videos(world: Any) -> Any:
    empty = world.folder / "empty"
    empty.mkdir()
    return ("translate", world.model, empty), (empty, "no images")


def resumed_with_another_recipe(world: Any) -> Any:
    run = world.run
    command = ("train", *world.tiny.options, "--run", run, "--resume", "--set", "finetune2.learning_rate=1e-3")
    return command, (run / "recipe.toml", "another recipe", "finetune2.learning_rate: 0.003, now 0.001")


def resumed_on_another_corpus(world: Any) -> Any:
    path = world.corpus / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[0]["text"] = "quallen zischen über xylophone"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ("train", "--recipe", world.tiny.recipe, "--corpus", world.corpus, "--run", world.run, "--resume")
    return command, (world.run, world.tiny.corpus)


def run_not_to_be_resumed(world: Any) -> Any:
    return ("train", *world.tiny.options, "--run", world.run), (world.run, "--resume")


def start_of_other_sizes(world: Any) -> Any:
    words = ("--from", world.run, "--after", "pretrain", "--run", world.folder / "new")
    options = (*words, "--set", "temporal.hidden_size=40")
    return ("train", *world.tiny.options, *options), (world.run / "weights/pretrain.safetensors", "36", "40")


def start_that_is_no_run(world: Any) -> Any:
    start = world.folder / "nothing"
    return ("train", *world.tiny.options, "--from", start, "--run", world.folder / "new"), (start, "not a run")


def run_with_damaged_weights(world: Any) -> Any:
    path = world.cut(world.run / "weights/finetune2.safetensors")
    return ("evaluate", world.run), (path, "damaged")


def run_with_damaged_recipe(world: Any) -> Any:
    (world.run / "recipe.toml").write_text("vision = [", encoding="utf-8")
    return ("evaluate", world.run), (world.run / "recipe.toml", "TOML")


def run_with_damaged_facts(world: Any) -> Any:
    world.cut(world.run / "run.json")
    return ("evaluate", world.run), (world.run / "run.json", "JSON")


def run_that_has_not_finished(world: Any) -> Any:
    for stage in ("finetune1", "finetune2"):
        (world.run / f"weights/{stage}.safetensors").unlink()
    return ("export", world.run, world.folder / "new"), (world.run, "finetune1, finetune2")


def run_that_was_not_evaluated(world: Any) -> Any:
    (world.run / "predictions.test.jsonl").unlink()
    return ("report", world.run), (world.run, "glossfree evaluate")


def report_beside_no_run(world: Any) -> Any:
    return ("report", world.run, world.folder / "nothing"), (world.folder / "nothing",)


# what 0.1.0 wrote into a run, shortened: it named no stages, and its losses were keys of theirs
EARLIER = """name = "tiny"
seed = 0

[vision]
backbone = "dinov2"
hidden_size = 24

[pseudo_glosses]
num_pseudo_glosses = 2322

[denoise]
epochs = 1

[pretrain]
epochs = 1
pseudo_gloss_weight = 10.0
contrastive_weight = 1.0

[finetune2]
epochs = 1
label_smoothing = 0.2
"""
REFUSED = ("written by an earlier version of glossfree", "start its run anew")


def earlier_run(world: Any) -> Any:
    """A run of 0.1.0."""
    (world.run / "recipe.toml").write_text(EARLIER, encoding="utf-8")
    return world.run


def evaluate_a_run_of_an_earlier_version(world: Any) -> Any:
    run = earlier_run(world)
    return ("evaluate", run), (run / "recipe.toml", *REFUSED)


def export_a_run_of_an_earlier_version(world: Any) -> Any:
    run = earlier_run(world)
    return ("export", run, world.folder / "new"), (run / "recipe.toml", *REFUSED)


def resume_a_run_of_an_earlier_version(world: Any) -> Any:
    run = earlier_run(world)
    return ("train", *world.tiny.options, "--run", run, "--resume"), (run / "recipe.toml", *REFUSED)


def resume_a_run_of_an_earlier_version_with_its_own_recipe(world: Any) -> Any:
    run = earlier_run(world)
    words = ("--recipe", run / "recipe.toml", "--corpus", world.corpus, "--run", run, "--resume")
    return ("train", *words), (run / "recipe.toml", *REFUSED)


def start_from_a_run_of_an_earlier_version(world: Any) -> Any:
    run = earlier_run(world)
    return world.train("--from", run), (run / "recipe.toml", *REFUSED)


def features_of_a_run_of_an_earlier_version(world: Any) -> Any:
    run = earlier_run(world)
    return ("features", world.corpus, "--encoder", run), (run / "recipe.toml", *REFUSED)


def print_a_recipe_of_an_earlier_version(world: Any) -> Any:
    """One that a person wrote: only differences from what was then the paper."""
    recipe = world.folder / "mine.toml"
    recipe.write_text("[pretrain]\npseudo_gloss_weight = 1.0\n", encoding="utf-8")
    return ("recipe", recipe), (recipe, *REFUSED)


def model_of_an_earlier_version(world: Any) -> Any:
    world.edit(world.model / "model.json", '"format": 2', '"format": 1')
    return ("translate", world.model, world.videos / "eins.mp4"), (world.model, "format 1")


def evaluate_no_such_split(world: Any) -> Any:
    return ("evaluate", world.run, "--split", "tset"), ("tset", "test")


CASES = (
    unwritable_model,
    unwritable_report,
    model_where_something_is,
    model_where_a_file_is,
    model_without_a_file,
    model_without_card,
    model_with_broken_card,
    model_with_altered_weights,
    model_with_altered_recipe,
    model_whose_recipe_does_not_fit,
    no_such_clip,
    folder_without_images_or_videos,
    resumed_with_another_recipe,
    resumed_on_another_corpus,
    run_not_to_be_resumed,
    start_of_other_sizes,
    start_that_is_no_run,
    run_with_damaged_weights,
    run_with_damaged_recipe,
    run_with_damaged_facts,
    run_that_has_not_finished,
    run_that_was_not_evaluated,
    report_beside_no_run,
    evaluate_no_such_split,
    evaluate_a_run_of_an_earlier_version,
    export_a_run_of_an_earlier_version,
    resume_a_run_of_an_earlier_version,
    resume_a_run_of_an_earlier_version_with_its_own_recipe,
    start_from_a_run_of_an_earlier_version,
    features_of_a_run_of_an_earlier_version,
    print_a_recipe_of_an_earlier_version,
    model_of_an_earlier_version,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_mistake_is_one_line_and_spoils_nothing(world: Any, call: Any, case: Callable[[Any], Any]) -> None:
    world.spoils_nothing(call, case)
