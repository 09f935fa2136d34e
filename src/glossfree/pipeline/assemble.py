"""Recipe -> the model, its parts put together, with adapters and mapper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from glossfree.errors import RecipeError
from glossfree.models.adapters import Adapters, add_lora
from glossfree.models.choices import Backbone, Beams, Decoding, Language
from glossfree.models.hierarchy import PREFIXES, HierarchicalEncoder, Mapper, TranslationModel, VisualEncoder
from glossfree.models.weights import Undrawn, load
from glossfree.objectives.base import Inputs, JointLoss, Sizes
from glossfree.pipeline.stages import LEVELS, TrainingStage
from glossfree.recipe.schema import Recipe, StageConfig
from glossfree.training.device import best_device, frames_per_pass


def assemble(recipe: Recipe, vocabulary_size: int, *, to_be_loaded: bool = False) -> TranslationModel:
    """Recipe and V -> the model with random weights, the same for the same `recipe.seed`, still without adapters.

    `to_be_loaded`: leave weights uninitialised, which saves seconds at the paper's size.
    """
    if to_be_loaded:
        with Undrawn():
            return assemble(recipe, vocabulary_size)
    torch.manual_seed(recipe.seed)
    width = recipe.language.hidden_size
    visual = visual_encoder(recipe)
    temporal = recipe.temporal.build(width)
    language = recipe.language.build(vocabulary_size)
    decoder = recipe.decoder.build(language, width, vocabulary_size)
    keypoints = recipe.keypoints.build(recipe.temporal, width)  # last: other weights do not depend on it
    hierarchy = HierarchicalEncoder(visual, temporal, language, keypoints=keypoints)
    return TranslationModel(hierarchy, decoder, vocabulary_size)


def visual_encoder(recipe: Recipe) -> VisualEncoder:
    """Recipe -> the frame level alone, with random weights."""
    vision = recipe.vision
    passes = 0 if vision.sees_frames_together else vision.neighbours or frames_per_pass(best_device())
    sizes = vision.hidden_size, recipe.temporal.hidden_size
    return VisualEncoder(vision.build(), *sizes, frames_per_pass=passes, within_clips=vision.neighbours > 0)


def adapt(model: TranslationModel, recipe: Recipe) -> None:
    """Add adapters and freeze the weights beside them, as the recipe says for each part (section 4.2)."""
    model.train_only(PREFIXES)  # unfreeze what an earlier stage has frozen
    adapt_vision(model.hierarchy.visual, recipe)
    _adapt(model.hierarchy.language.adapted, recipe.language)
    _adapt(model.decoder.adapted, recipe.decoder)
    model.is_adapted = True
    model.note_trainable()


def adapt_vision(visual: VisualEncoder, recipe: Recipe) -> None:
    """`adapt` for the backbone alone."""
    _adapt(visual.backbone, recipe.vision, recipe.vision.adapter_layers_of())


def _adapt(module: nn.Module, options: Backbone | Language | Decoding, layers: Sequence[int] | None = None) -> None:
    if options.train == "adapters":
        assert isinstance(options, Adapters)
        add_lora(
            module,
            options.adapter_targets,
            options.adapter_rank,
            options.adapter_alpha,
            options.adapter_dropout,
            layers=layers,
        )
    elif options.train == "none":
        module.requires_grad_(False)


def put_mapper(model: TranslationModel, recipe: Recipe) -> None:
    """Put a fresh mapper before the language encoder, if there is none yet (section 3.3)."""
    if model.hierarchy.mapper is None:
        model.put_mapper(Mapper(recipe.language.hidden_size))


def prepare(model: TranslationModel, recipe: Recipe, stage: StageConfig) -> None:
    """Add a stage's adapters and mapper to the model unless it has them."""
    if stage.adapters and not model.is_adapted:
        adapt(model, recipe)
    if stage.mapper:
        put_mapper(model, recipe)


def restored(recipe: Recipe, vocabulary_size: int, last: str | None = None) -> TranslationModel:
    """Recipe and V -> the model with the modules of a stage (None: the last one), its weights still to be loaded."""
    model = assemble(recipe, vocabulary_size, to_be_loaded=True)
    for stage in recipe.lineage(last or recipe.planned[-1].name):
        prepare(model, recipe, stage)
    return model


def load_model(model: TranslationModel, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load what a stage saved into the parts of the model that it used; other parts stay. Raises ModelError."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith("objectives.")}
    unused = [prefix for prefix in PREFIXES.values() if not any(name.startswith(prefix) for name in own)]
    load(model, own, where=where, new=unused)


def beams_of(recipe: Recipe, num_hypotheses: int = 1) -> Beams:
    """The recipe's decoding settings -> Beams, for the n best sentences."""
    decode = recipe.decode
    num_beams = max(decode.num_beams, num_hypotheses)
    return Beams(num_beams, decode.max_new_tokens, decode.length_penalty, num_hypotheses)


def training_stage(model: TranslationModel, recipe: Recipe, stage: StageConfig, inputs: Inputs) -> TrainingStage:
    """A model prepared for a stage, and what its objectives need -> the stage."""
    sizes = Sizes(
        recipe.temporal.hidden_size,
        recipe.language.hidden_size,
        model.vocabulary_size,
        special_tokens=recipe.decoder.special_tokens,
    )
    used = stage.used_objectives
    losses = {name: objective.build(sizes, inputs) for name, objective in used.items()}
    for name, loss in losses.items():
        if isinstance(loss, JointLoss) != used[name].compares_clips:
            raise TypeError(
                f"objective {name}: compares_clips = {used[name].compares_clips}, and builds a {type(loss)}"
            )
    built = TrainingStage(
        stage.name,
        model,
        losses,
        {name: objective.weight for name, objective in used.items()},
        level=max((objective.level for objective in used.values()), key=LEVELS.index),
        trains=stage.train,
        reads=stage.batches,
        decodes=any(objective.decodes for objective in used.values()),
    )
    if not built.trained():
        problem = f"{stage.name}.train: nothing of {', '.join(stage.train)} can train"
        raise RecipeError(problem, remedy="name other parts, or change their own train")
    return built
