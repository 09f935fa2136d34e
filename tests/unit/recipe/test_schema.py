"""The values of a recipe: their meanings, stages that build on each other, and contradictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from glossfree.errors import RecipeError
from glossfree.objectives import OBJECTIVES
from glossfree.objectives.contrastive import Contrastive
from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.objectives.translation import Translation
from glossfree.recipe.files import load_recipe, parse_recipe
from glossfree.recipe.schema import CHOICES, Recipe, StageConfig
from glossfree.settings import Standing

PAPER = "hfa-phoenix14t"
SECTIONS = [type(f.default) for f in Recipe.model_fields.values() if isinstance(f.default, BaseModel)]
ENTRIES = [entry for registry, _ in CHOICES.values() for entry in registry.values()]


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every value that a recipe may have, except names of tables (`kind`, a stage's name) and tables."""
    models: list[type[BaseModel]] = [Recipe, *SECTIONS, *ENTRIES, StageConfig, *OBJECTIVES.values()]
    for model in models:
        for name, field in model.model_fields.items():
            if name != "kind" and not field.exclude and not isinstance(field.default, BaseModel):
                yield f"{model.__name__}.{name}", field


@pytest.mark.parametrize(("key", "field"), [pytest.param(key, field, id=key) for key, field in fields()])
def test_every_field_has_a_meaning_and_a_standing(key: str, field: FieldInfo) -> None:
    assert field.description
    assert isinstance(field.json_schema_extra, dict)
    assert field.json_schema_extra["standing"] in get_args(Standing)


def test_a_recipe_cannot_be_changed_in_place() -> None:
    recipe = load_recipe(PAPER)
    for section, name in (
        (recipe, "seed"),
        (recipe.data, "stride"),
        (recipe.vision, "kind"),
        (recipe.stages[1], "keep"),
    ):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, name, 3)
    with pytest.raises(ValueError, match="frozen"):
        recipe.stages[1].objectives["contrastive"].weight = 0.0


def test_a_recipe_without_stages_trains_nothing() -> None:
    assert (Recipe().stages, Recipe().planned, Recipe().needs) == ((), (), set())
    assert Recipe().objective(Translation) is None


def test_stages_are_found_by_name_and_planned_where_they_have_epochs() -> None:
    recipe = load_recipe(PAPER)
    epochs = {"denoise": 0, "pretrain": 100, "finetune1": 100, "finetune2": 200}
    assert {stage.name: stage.epochs for stage in recipe.stages} == epochs
    assert {name: recipe.stage(name).epochs for name in epochs} == epochs
    assert [stage.name for stage in recipe.planned] == ["pretrain", "finetune1", "finetune2"]
    with pytest.raises(KeyError):
        recipe.stage("warmup")


def in_a_row(**starts: str) -> Recipe:
    """Stages of one epoch that translate, with their `start`; "-" for one without epochs."""
    stages: dict[str, Any] = {
        name: {
            "start": start.strip("-"),
            "epochs": 0 if start == "-" else 1,
            "train": ["decoder"],
            "objectives": {"translation": {}},
        }
        for name, start in starts.items()
    }
    return parse_recipe({"stages": [*stages], **stages})


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ({"a": "", "b": "", "c": ""}, {"a": (), "b": ("a",), "c": ("a", "b")}),
        ({"a": "none", "b": "none", "c": ""}, {"a": (), "b": (), "c": ("b",)}),
        ({"a": "", "b": "", "c": "a", "d": ""}, {"c": ("a",), "d": ("a", "c")}),
        ({"a": "", "b": "none", "c": "b", "d": "a"}, {"b": (), "c": ("b",), "d": ("a",)}),
        ({"a": "", "b": "-", "c": ""}, {"c": ("a",)}),
        ({"a": "-", "b": ""}, {"b": ()}),
    ],
)
def test_a_stage_builds_on_the_one_before_it_or_on_the_one_that_it_names(
    starts: dict[str, str], expected: dict[str, tuple[str, ...]]
) -> None:
    recipe = in_a_row(**starts)
    assert {name: recipe.parents(name) for name in expected} == expected


def test_an_objective_of_weight_0_needs_nothing() -> None:
    pretrain = "pretrain.objectives"
    assert load_recipe(PAPER).needs == {"pseudo_glosses", "text_features"}
    assert load_recipe(PAPER, [f"{pretrain}.contrastive.average_padding=true"]).needs == {
        *("pseudo_glosses", "text_encoder")
    }
    without_glosses = load_recipe(PAPER, [f"{pretrain}.pseudo_gloss.weight=0"])
    assert (without_glosses.needs, without_glosses.stage("pretrain").compares_clips) == ({"text_features"}, True)
    without_contrast = load_recipe(PAPER, [f"{pretrain}.contrastive.weight=0"])
    assert (without_contrast.needs, without_contrast.stage("pretrain").compares_clips) == ({"pseudo_glosses"}, False)
    assert [*without_contrast.stage("pretrain").objectives] == ["pseudo_gloss", "contrastive"]
    assert [*without_contrast.stage("pretrain").used_objectives] == ["pseudo_gloss"]


def test_a_stage_without_epochs_needs_nothing() -> None:
    recipe = load_recipe(PAPER, ["pretrain.epochs=0"])
    assert recipe.needs == set()
    assert recipe.stage("pretrain").needs == {"pseudo_glosses", "text_features"}


def test_the_last_planned_use_of_an_objective_counts() -> None:
    smoothing = [
        f"{stage}.objectives.translation.label_smoothing={n / 10}" for n, stage in ((3, "finetune1"), (4, "finetune2"))
    ]
    for more, expected in (([], 0.4), (["finetune2.epochs=0"], 0.3)):
        options = load_recipe(PAPER, [*smoothing, *more]).objective(Translation)
        assert isinstance(options, Translation) and options.label_smoothing == expected
    recipe = load_recipe(PAPER, ["pretrain.objectives.pseudo_gloss.weight=0"])
    assert recipe.objective(PseudoGloss) is None
    assert isinstance(recipe.objective(Contrastive), Contrastive)


def test_a_stage_writes_sentences_where_an_objective_looks_at_logits_of_clips() -> None:
    recipe = load_recipe(PAPER)
    assert [stage.name for stage in recipe.stages if stage.writes_sentences] == ["finetune1", "finetune2"]


def problems(*overrides: str) -> list[str]:
    """The paper's recipe with overrides -> its problems."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recipe, "problems", lambda recipe: iter(()))
        recipe = load_recipe(PAPER, overrides)
    return list(recipe.problems())


CONTRADICTIONS = [
    # within a chosen part
    (["vision.hidden_size=385"], [["vision.hidden_size 385", "num_heads 6"]]),
    (["vision.adapter_layers=13"], [["vision.adapter_layers", "num_layers"]]),
    (["temporal.hidden_size=510"], [["temporal.hidden_size 510", "num_heads 8"]]),
    (["temporal.hidden_size=24"], [["temporal.hidden_size 24", "num_heads 8", "even"]]),
    (["temporal.window_size=6"], [["temporal.window_size", "odd"]]),
    (["temporal.downsample_after=5"], [["temporal.downsample_after", "num_layers"]]),
    (["language.hidden_size=1000"], [["language.hidden_size 1000", "num_heads 16"]]),
    # between parts
    (["vision.kind=convnet", "vision.train=adapters"], [['vision.train "adapters"', "convnet", '"all"']]),
    (["language.kind=none", "decoder.kind=gru"], [["pretrain", 'language.kind "none"']]),
    (
        ["language.kind=none", "language.train=adapters", "pretrain.epochs=0"],
        [['language.train "adapters"', '"none"'], ['decoder.kind "mbart"', 'language.kind = "mbart"']],
    ),
    (
        ["language.kind=none", "decoder.kind=gru", "pretrain.epochs=0", "denoise.epochs=2"],
        [["denoise", "language.kind"]],
    ),
    (
        [
            "language.kind=none",
            "decoder.kind=gru",
            "pretrain.epochs=0",
            "supervision=glosses",
            "finetune2.objectives.gloss_to_text.weight=1",
        ],
        [["finetune2", "language.kind"]],
    ),
    (["data.crop_size=280"], [["data.crop_size 280", "data.frame_size 256"]]),
    (["data.crop_size=223"], [["data.crop_size 223", "vision.patch_size 14"]]),
    (
        ["vision.features=cached"],
        [
            ["vision.train", '"none"'],
            *(["cached", f"{stage}.augment"] for stage in ("pretrain", "finetune1", "finetune2")),
        ],
    ),
    (["language.weights=mbart-large-cc25"], [["language.weights", "text.tokenizer"]]),
    (["decoder.kind=causal", "decoder.weights=mbart"], [["decoder.weights", "text.tokenizer"]]),
    (["decoder.kind=language_model", "decoder.weights=xglm"], [["language_model", "language.kind"]]),
    (
        ["language.kind=none", "decoder.kind=language_model", "decoder.weights=xglm", "text.tokenizer=mbart"],
        [["text.tokenizer", "decoder.weights"], ["pretrain", "language.kind"]],
    ),
    # between stages
    (["finetune1.start=denoise"], [["finetune1.start", "'denoise'"]]),
    (["finetune1.start=finetune2"], [["finetune1.start", "'finetune2'"]]),
    (["finetune1.start=finetune1"], [["finetune1.start", "'finetune1'"]]),
    (["finetune2.adapters=false"], [["finetune2.adapters", "stay"]]),
    *(
        ([f"vision.{saving}", "pretrain.adapters=false"], [["pretrain.adapters", f"vision.{saving[:14]}", "frozen"]])
        for saving in ("frozen_precision=bf16", "moving_patches=0.5")
    ),
    (["vision.frozen_precision=bf16", "pretrain.epochs=0", "finetune1.adapters=false"], []),  # which trains no vision
    (["vision.frozen_precision=bf16", "finetune2.adapters=false"], [["finetune2.adapters", "stay"]]),
    (
        [
            *("vision.frozen_precision=bf16", "vision.features=cached", "vision.weights=a", "vision.train=none"),
            *(
                f"{stage}.{setting}=false"
                for stage in ("pretrain", "finetune1", "finetune2")
                for setting in ("adapters", "augment")
            ),
        ],
        [],
    ),
    (["finetune2.mapper=false"], [["finetune2.mapper", "stays"]]),
    (["pretrain.learning_rate_factors.translation=0.1"], [["pretrain.learning_rate_factors", "'translation'"]]),
    (["finetune1.learning_rate_factors.vison=0.1"], [["finetune1.learning_rate_factors", "'vison'"]]),
    # within a stage
    (
        ["pretrain.objectives.contrastive.pooling=first", "pretrain.objectives.contrastive.token=false"],
        [["pretrain.objectives.contrastive.pooling", "token"]],
    ),
    (["finetune2.objectives.sign_contrast.margin=5"], [["finetune2.objectives.sign_contrast.margin 5", "scale_free"]]),
    (["finetune2.objectives.translation.weight=0"], [["finetune2.objectives", "nothing to minimise"]]),
    (
        ['finetune1.train=["vision"]', "finetune1.batches=segments", "finetune1.augment=false"],
        [["finetune1.train", "depends on vision"], ["finetune1.batches", "vision"]],
    ),
    (['pretrain.train=["mapper","decoder"]'], [["pretrain.train", "mapper, decoder"]]),
    (['pretrain.train=["language"]', "pretrain.objectives.contrastive.weight=0"], [["pretrain.train", "language"]]),
    (["denoise.epochs=2", 'denoise.train=["temporal"]'], [["denoise.train", "temporal"]]),
    (["finetune1.mapper=false", 'finetune1.train=["mapper"]'], [["finetune1.train", "mapper"]]),
    (["pretrain.batch_size=1"], [["pretrain.batch_size 1", "negatives"]]),
    (["finetune1.batches=segments"], [["finetune1.batches", "augment"]]),
    (
        ["finetune2.batches=segments", "finetune2.augment=false"],
        [["finetune2.batches", "vision and temporal"]],
    ),
    (
        ["finetune1.batches=segments", "finetune1.augment=false", "finetune1.objectives.sign_contrast.weight=1"],
        [["finetune1.objectives.sign_contrast", "frame", '"segments"']],
    ),
    (["denoise.epochs=2", "denoise.objectives.contrastive.weight=1"], [["denoise.objectives.contrastive", "video"]]),
    (
        ["denoise.epochs=2", "denoise.objectives.sign_contrast.weight=1"],
        [["denoise.objectives.sign_contrast", "frame"]],
    ),
    (["pretrain.noise=tail"], [['pretrain.noise "tail"', '"sentences", not "clips"']]),
    (["pretrain.keep=bleu4"], [['pretrain.keep "bleu4"', "logits"]]),
    (["denoise.epochs=2", "denoise.keep=chrf"], [['denoise.keep "chrf"', "translate"]]),
]


@pytest.mark.parametrize(("overrides", "expected"), CONTRADICTIONS, ids=lambda each: each[0] if each else None)
def test_values_that_contradict_each_other_are_named(overrides: list[str], expected: list[list[str]]) -> None:
    listed = problems(*overrides)
    assert len(listed) == len(expected), listed
    for problem, pieces in zip(listed, expected, strict=True):
        assert [piece for piece in pieces if piece not in problem] == [], problem


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["pretrain.batch_size=1", "pretrain.objectives.contrastive.weight=0"],
        ["finetune2.objectives.translation.weight=0", "finetune2.epochs=0"],
        ["pretrain.keep=bleu4", "pretrain.epochs=0"],
        ["finetune2.keep=rouge_l"],
        ["finetune2.start=none"],
        ["finetune2.start=pretrain"],
        ["finetune1.batches=segments", "finetune1.augment=false"],
        ["finetune2.learning_rate_factors.vision=0.1", "finetune2.learning_rate_factors.translation=2"],
        ["vision.kind=convnet"],
        ["denoise.epochs=2"],
        ["denoise.epochs=2", "denoise.noise=words"],
    ],
    ids=lambda each: ",".join(each) or "paper",
)
def test_values_that_fit_each_other_are_no_problem(overrides: list[str]) -> None:
    assert problems(*overrides) == []


def test_cached_features_ask_nothing_of_a_stage_that_reads_sentences() -> None:
    overrides = ["vision.features=cached", "vision.train=none", "denoise.epochs=2"]
    overrides += [f"{stage}.augment=false" for stage in ("pretrain", "finetune1", "finetune2")]
    assert problems(*overrides) == []


def test_all_contradictions_are_reported_at_once() -> None:
    listed = problems("vision.hidden_size=385", "temporal.window_size=4", "pretrain.batch_size=1")
    assert [problem.partition(" ")[0] for problem in listed] == [
        *("vision.hidden_size", "temporal.window_size", "pretrain.batch_size")
    ]


def test_a_prefix_token_cannot_be_combined_with_translation() -> None:
    objective = "finetune2.objectives.contrastive"
    with pytest.raises(RecipeError, match="its token in front"):
        load_recipe("hfa-phoenix14t", [f"{objective}.weight=1"])
    assert load_recipe("hfa-phoenix14t", [f"{objective}.token=false"]).stage("finetune2").compares_clips


@pytest.mark.parametrize("number", ["0", "1e-30", "1e30"])
@pytest.mark.parametrize(
    "key",
    [
        "pretrain.objectives.contrastive.logit_scale",
        "pretrain.objectives.contrastive.identity_sharpness",
        "pretrain.objectives.token_alignment.inner_temperature",
        "pretrain.objectives.token_alignment.logit_scale",
        "pretrain.objectives.token_alignment.identity_sharpness",
        "pretrain.objectives.pseudo_gloss.prototype_temperature",
        "pretrain.objectives.pseudo_gloss.time_temperature",
    ],
)
def test_absurd_temperatures_are_refused(key: str, number: str) -> None:
    with pytest.raises(RecipeError, match=f"{key}: Input should be (greater|less) than"):
        load_recipe(PAPER, [f"{key}={number}"])
