"""Recipes as files: overrides, every problem at once, and a dump that is itself a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.recipe_files import PAPER, recipe_file

from glossfree.errors import RecipeError
from glossfree.objectives import OBJECTIVES
from glossfree.objectives.translation import Translation
from glossfree.recipe.files import load_recipe, parse_recipe, shipped_recipes
from glossfree.recipe.values import differences, flat


def test_a_shipped_recipe_is_loaded_by_name_and_by_path() -> None:
    names = [path.stem for path in shipped_recipes()]
    assert PAPER in names and "small" not in names  # a base only
    for path in shipped_recipes():
        assert load_recipe(path.stem) == load_recipe(path)
        assert load_recipe(path).name == path.stem


def test_a_table_without_kind_is_the_paper_s_part() -> None:
    recipe = parse_recipe({})
    kinds = [part.kind for part in (recipe.vision, recipe.temporal, recipe.language, recipe.decoder)]
    assert kinds == ["dinov2", "local_attention", "mbart", "mbart"]
    assert recipe.stages == ()


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("seed=3", "seed", 3),
        ("pretrain.batch_size=8", "pretrain.batch_size", 8),
        ("pretrain.learning_rate=3e-4", "pretrain.learning_rate", 3e-4),
        ("finetune1.augment=false", "finetune1.augment", False),
        ("text.tokenizer=some/folder", "text.tokenizer", "some/folder"),
        ('text.tokenizer="with = sign"', "text.tokenizer", "with = sign"),
        ("text.tokenizer=a=b", "text.tokenizer", "a=b"),
        ("text.tokenizer=", "text.tokenizer", ""),
        (" vision.train =none", "vision.train", "none"),
        ("scores.append= .", "scores.append", " ."),
        ('finetune1.train=["decoder"]', "finetune1.train", ("decoder",)),
        ("pretrain.objectives.contrastive.loss=divergence", "pretrain.objectives.contrastive.loss", "divergence"),
        *(
            (f"pretrain.objectives.pseudo_gloss.splits={given}", "pretrain.objectives.pseudo_gloss.splits", expected)
            for given, expected in {
                '["train","dev"]': ("train", "dev"),
                '["test", "train", "dev", "test"]': ("train", "dev", "test"),
            }.items()
        ),
    ],
)
def test_an_override_sets_its_key_and_nothing_else(override: str, key: str, expected: object) -> None:
    paper, recipe = load_recipe(PAPER), load_recipe(PAPER, [override])
    value = flat(recipe)[key]
    assert value == expected and type(value) is type(expected)
    assert [*differences(paper, recipe)] in ([key], [])


def test_an_override_adds_an_objective_to_a_stage() -> None:
    paper, recipe = load_recipe(PAPER), load_recipe(PAPER, ["finetune2.objectives.sign_contrast.weight=0.001"])
    assert [*recipe.stage("finetune2").objectives] == ["translation", "sign_contrast"]
    changes = differences(paper, recipe)
    assert changes.pop("finetune2.objectives.sign_contrast.weight") == (None, 0.001)
    fields = [*OBJECTIVES["sign_contrast"].model_fields][1:]
    assert [*changes] == [f"finetune2.objectives.sign_contrast.{name}" for name in fields]


def test_an_override_adds_a_stage() -> None:
    overrides = ['stages=["pretrain","more"]', "more.objectives.translation.label_smoothing=0.3", "more.mapper=true"]
    recipe = load_recipe(PAPER, overrides)
    assert [stage.name for stage in recipe.planned] == ["pretrain", "more"]
    assert recipe.stage("more").objectives == {"translation": Translation(label_smoothing=0.3)}


def test_the_last_override_wins_and_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "seed = 3\n[data]\nstride = 2\nmax_frames = 77\n")
    recipe = load_recipe(path, ["data.stride=5", "data.stride=7"])
    assert (recipe.seed, recipe.data.stride, recipe.data.max_frames) == (3, 7, 77)


def test_a_setting_of_a_stage_leaves_the_other_stages_alone() -> None:
    plain = load_recipe(PAPER)
    for stage in ("denoise", "pretrain", "finetune1", "finetune2"):
        changed = load_recipe(PAPER, [f"{stage}.batch_size=9"])
        assert differences(plain, changed) == {f"{stage}.batch_size": (16, 9)}


@pytest.mark.parametrize(
    ("override", "pieces"),
    [
        ("seed", ["--set seed", "no '='", "table.key=value"]),
        ("seed.deep=3", ["seed", "integer"]),
        ("pretrain.epochs.deep=3", ["pretrain.epochs", "integer"]),
        ("pretrain.batch_size=many", ["pretrain.batch_size", "integer"]),
        ("pretrain.batch_size=0", ["pretrain.batch_size", "greater than or equal to 1"]),
        ("pretrain.learning_rate=nan", ["pretrain.learning_rate"]),
        ("vision.train=some", ["vision.train", "'adapters'"]),
        ("pretrain.train=[]", ["pretrain.train", "at least 1"]),
        ('pretrain.train=["visoin"]', ["pretrain.train", "'vision'"]),
        ("pretrain.objectives.contrastive.loss=kl", ["pretrain.objectives.contrastive.loss", "'divergence'"]),
        ("pretrain.objectives.pseudo_gloss.splits=[]", ["pretrain.objectives.pseudo_gloss.splits", "at least 1"]),
        ('pretrain.objectives.pseudo_gloss.splits=["tset"]', ["pretrain.objectives.pseudo_gloss.splits", "'test'"]),
        ("pretrain.objectives.pseudo_gloss.splits=train,dev", ["pretrain.objectives.pseudo_gloss.splits", "tuple"]),
        ("pretrain.objectives.pseudo_gloss=3", ["pretrain.objectives.pseudo_gloss: a table expected"]),
        ("pretrain.objectives=3", ["pretrain.objectives: a table expected"]),
        ("pretrain=3", ["pretrain: a table expected"]),
        ("vision=convnet", ["vision: a table expected"]),
        ("data=3", ["data: a table expected"]),
        ("pretrain.name=other", ["unknown key 'pretrain.name'"]),
        ("base=demo", ["unknown key 'base'"]),
        ("qwxzvy=1", ["unknown key 'qwxzvy'"]),
        ("stages=pretrain", ["stages", "list of names"]),
        ("stages=[3]", ["stages", "list of names"]),
        ('stages=["pretrain","pretrain"]', ["stages: 'pretrain' is listed twice"]),
        ('stages=["data"]', ["stages: 'data' is already the name of a table"]),
        ('stages=["a.b"]', ["stages: 'a.b'"]),
        ('stages=["a/b"]', ["stages: 'a/b'"]),
        ('stages=[""]', ["stages: ''"]),
    ],
)
def test_a_bad_override_is_named_with_what_to_do(override: str, pieces: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(PAPER, [override])
    assert [piece for piece in pieces if piece not in str(caught.value)] == []
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("key", "plain"),
    [("seed.deep", "seed"), ("data.stride.deep", "stride"), ("data.stride.deep.deeper", "stride")],
)
def test_a_key_below_a_plain_value_of_the_file_is_named(tmp_path: Path, key: str, plain: str) -> None:
    path = recipe_file(tmp_path, "seed = 3\n[data]\nstride = 2\n")
    with pytest.raises(RecipeError, match=f"'{plain}' is not a table"):
        load_recipe(path, [f"{key}=3"])


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (f"seed={2**63}", "seed: a whole number of more than 64 bits"),
        (f"pretrain.epochs={10**400}", "pretrain.epochs: a whole number of more than 64 bits"),
        ("seed=3\ndata.stride=2", "seed: "),
        ("pretrain.objectives={}", "pretrain.objectives: an empty table removes nothing"),
        ("pretrain={objectives={}}", "pretrain.objectives: an empty table removes nothing"),
        ('name=["x"]', "name: "),
        ("pretrain.learning_rate_factors.vision=-1", "pretrain.learning_rate_factors.vision: "),
        ("seed=" + "[" * 10_000 + "]" * 10_000, "nested too deeply"),
        ("data" + ".deep" * 10_000 + "=3", "nested too deeply"),
    ],
    ids=lambda text: text[:30],
)
def test_an_impossible_override_is_refused(override: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(PAPER, [override])
    assert problem in caught.value.problem


def test_a_bad_value_is_blamed_on_the_command_line_if_it_was_given_there(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, 'seed = "x"\n')
    for source, overrides, where in (
        ("demo", ["data.fps=abc", "seed=3"], r"demo\.toml with data\.fps=abc, seed=3: data\.fps: "),
        (path, [], r"\.toml: seed: "),
    ):
        with pytest.raises(RecipeError, match=where):
            load_recipe(source, overrides)


def test_an_override_may_hold_a_line_break(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "seed = 3\n")
    assert load_recipe(path, ["scores.append= .\n"]).scores.append == " .\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('name = ["x"]\n', "name: "),
        ("seed = " + "[" * 10_000 + "]" * 10_000, "nested too deeply"),
        ("deep" + ".deep" * 10_000 + " = 3\n", "nested too deeply"),
        (f'base = "{PAPER}"\n[pretrain]\nobjectives = {{}}\n', "an empty table removes nothing"),
    ],
    ids=["name", "list", "tables", "empty"],
)
def test_an_impossible_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file(tmp_path, text))
    assert problem in caught.value.problem


def test_a_table_without_values_adds_an_objective_or_nothing(tmp_path: Path) -> None:
    text = f'base = "{PAPER}"\n[data]\n[finetune2.objectives.sign_contrast]\n[finetune2.objectives.translation]\n'
    changes = differences(
        load_recipe(PAPER), load_recipe(recipe_file(tmp_path, text)), apart_from=("name", "summary", "paper")
    )
    assert changes and all(key.startswith("finetune2.objectives.sign_contrast.") for key in changes)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a/" * 2000, "no\0thing"])
def test_an_impossible_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(name)
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(recipe_file(tmp_path, f'base = "{"x" * 300}"\n'))


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("sed", "seed"),
        ("visoin.train", "vision"),
        ("pretian.epochs", "pretrain"),
        ("data.max_frame", "data.max_frames"),
        ("vision.num_layer", "vision.num_layers"),
        ("decoder.adapter_rnk", "decoder.adapter_rank"),
        ("pretrain.batchsize", "pretrain.batch_size"),
        ("pretrain.objectivs.contrastive.weight", "pretrain.objectives"),
        ("pretrain.objectives.contrastve.weight", "pretrain.objectives.contrastive"),
        ("pretrain.objectives.contrastive.wieght", "pretrain.objectives.contrastive.weight"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one_at_its_depth(key: str, nearest: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(PAPER, [f"{key}=0.5"])
    unknown = ".".join(key.split(".")[: nearest.count(".") + 1])
    assert caught.value.problem.startswith(f"unknown key '{unknown}', did you mean '{nearest}'?")


def test_a_key_of_another_kind_is_unknown() -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'vision\.adapter_rank'"):
        parse_recipe({"vision": {"kind": "convnet", "adapter_rank": 3}})


@pytest.mark.parametrize("section", ["vision", "temporal", "language", "decoder"])
@pytest.mark.parametrize("kind", ["nobody", 3, ["mbart"]])
def test_an_unknown_kind_is_named_with_the_known_ones(section: str, kind: object) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({section: {"kind": kind}})
    known = {"vision": "dinov2, convnet", "temporal": "local_attention, linear", "language": "mbart, none"}
    assert f"{section}.kind: no {kind!r}, one of {known.get(section, 'mbart, gru')}" in caught.value.problem


def test_a_kind_that_is_nearly_right_comes_with_the_right_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'dinov2'"):
        parse_recipe({"vision": {"kind": "dino_v2"}})


def test_all_problems_are_reported_at_once_with_the_file(tmp_path: Path) -> None:
    text = """stages = ["translate", "translate"]
    colour = 3
    [temporal]
    hiden_size = 9
    num_layers = 0
    [decoder]
    kind = "gpt"
    [decode]
    num_beams = 'four'
    [translate]
    epochs = -1
    [translate.objectives.translation]
    label_smoothing = 2
    [translate.objectives.translate]
    """
    path = recipe_file(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.where == str(path)
    for piece in (
        "stages: 'translate' is listed twice",
        "unknown key 'colour'",
        "unknown key 'temporal.hiden_size', did you mean 'temporal.hidden_size'?",
        "temporal.num_layers: ",
        "decoder.kind: no 'gpt'",
        "decode.num_beams: ",
        "translate.epochs: ",
        "translate.objectives.translation.label_smoothing: ",
        "unknown key 'translate.objectives.translate', did you mean 'translate.objectives.translation'?",
    ):
        assert piece in caught.value.problem
    assert caught.value.problem.count("; ") == 8


def test_contradictions_are_reported_together() -> None:
    with pytest.raises(RecipeError, match=r"vision\.hidden_size 385.*temporal\.window_size.*translate\.keep"):
        tables: dict[str, Any] = {"stages": ["translate"], "translate": {"keep": "bleu4", "objectives": {}}}
        parse_recipe({"vision": {"hidden_size": 385}, "temporal": {"window_size": 4}, **tables})


@pytest.mark.parametrize("text", ["seed = ", "seed 3", "[data\n"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    path = recipe_file(tmp_path, text)
    with pytest.raises(RecipeError, match="not TOML") as caught:
        load_recipe(path)
    assert caught.value.where == str(path)
    child = recipe_file(tmp_path, 'base = "mine.toml"\n', "child.toml")
    with pytest.raises(RecipeError, match="not TOML") as caught:
        load_recipe(child)
    assert caught.value.where == str(path)


def test_an_empty_file_is_no_recipe(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "\n# nothing\n")
    with pytest.raises(RecipeError, match="empty -> restore it") as caught:
        load_recipe(path)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'name = "\xff\xfe"\n')
    with pytest.raises(RecipeError, match="not TOML"):
        load_recipe(path)


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match=rf"no-such-recipe: no such recipe -> .*{PAPER}"):
        load_recipe("no-such-recipe")


@pytest.mark.parametrize(
    "text",
    [
        "[pretrain]\npseudo_gloss_weight = 3.0\n",
        '[pseudo_glosses]\nsplits = ["train"]\n',
        '[vision]\nbackbone = "convnet"\n',
        "[finetune1]\nlabel_smoothing = 0.1\n",
    ],
)
def test_a_recipe_of_an_earlier_version_is_called_that(tmp_path: Path, text: str) -> None:
    path = recipe_file(tmp_path, text)
    with pytest.raises(RecipeError, match="earlier version") as caught:
        load_recipe(path)
    assert caught.value.where == str(path) and caught.value.remedy


@pytest.mark.parametrize(
    "key",
    [
        *("language.num_layers", "vision.adapter_rank", "temporal.mlp_size", "vision.image_size", "text.num_pieces"),
        "pretrain.objectives.pseudo_gloss.vector_size",
    ],
)
def test_a_number_far_beyond_any_model_is_refused_before_it_is_built(key: str) -> None:
    with pytest.raises(RecipeError, match=key):
        load_recipe(PAPER, [f"{key}={2**31}"])
