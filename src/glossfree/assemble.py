"""Recipe -> modules: the one place that knows both the recipe's words and the models' plain numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import MBartForConditionalGeneration
from transformers.initialization import no_init_weights

from glossfree.device import best_device, frames_per_pass
from glossfree.errors import RecipeError
from glossfree.models.adapters import add_lora
from glossfree.models.hierarchy import HierarchicalEncoder
from glossfree.models.language import LanguageEncoder, TextEncoder, mbart
from glossfree.models.mapper import Mapper
from glossfree.models.pretraining import PretrainingModel
from glossfree.models.prototypes import PseudoGlossHead
from glossfree.models.temporal import TemporalEncoder
from glossfree.models.translator import TranslationModel
from glossfree.models.vision import VISION, VisualEncoder
from glossfree.recipe import Recipe

VISION_TARGETS = ("qkv", "proj", "fc1", "fc2")  # released: LoRA on these of the ViT's blocks
LANGUAGE_TARGETS = ("q_proj", "v_proj")  # stated: query and value, in the decoder of self- and cross-attention


@dataclass
class Parts:
    """The modules that the stages share. `adapt` comes after the text stage: it puts in LoRA and freezes the rest."""

    recipe: Recipe
    visual: VisualEncoder
    temporal: TemporalEncoder
    mbart: MBartForConditionalGeneration
    trainable: tuple[nn.Parameter, ...] = ()
    text_encoder: TextEncoder | None = None

    def text_features(
        self,
        sentences: Iterable[str],
        ids: Iterable[Tensor],
        batch_size: int = 64,
        on_progress: Callable[[int], object] | None = None,
    ) -> dict[str, Tensor]:
        """Sentences and their token ids -> {sentence: pooled features (E,)} of the frozen text encoder (section 3.2).

        Must run before `adapt`: the text encoder is mBART's encoder as it is before any video was seen.
        `on_progress` is told the number of sentences of each batch.
        """
        encoder = TextEncoder(self.mbart.model.encoder)
        device = next(encoder.parameters()).device
        features: dict[str, Tensor] = {}
        given = list(zip(sentences, ids, strict=True))
        by_length = sorted(given, key=lambda pair: len(pair[1]))  # so that there is little padding
        for first in range(0, len(by_length), batch_size):
            chunk = by_length[first : first + batch_size]
            padded = nn.utils.rnn.pad_sequence([row for _, row in chunk], batch_first=True, padding_value=-100)
            features |= zip((text for text, _ in chunk), encoder(padded.to(device)).cpu(), strict=True)
            if on_progress is not None:
                on_progress(len(chunk))
        encoder.encoder.requires_grad_(True)
        return {text: features[text] for text, _ in given}

    def keep_text_encoder(self) -> None:
        """Copy mBART's encoder for `pretraining`, which then reads the sentences of each batch.

        Must run before `adapt`. Needed only where features depend on the batch (`pretrain.average_padding`).
        """
        copied = copy.deepcopy(self.mbart.model.encoder)
        self.text_encoder = TextEncoder(copied, self.recipe.pretrain.average_padding)

    def adapt(self) -> None:
        """Put in the adapters and mark what trains, as the recipe says for vision and language (section 4.2)."""
        language = self.recipe.language
        adapt_vision(self.visual, self.recipe)
        if language.train == "adapters":
            rank, alpha = language.adapter_rank, language.adapter_alpha
            add_lora(self.mbart.model.encoder, LANGUAGE_TARGETS, rank, alpha, language.adapter_dropout)
            add_lora(self.mbart.model.decoder, LANGUAGE_TARGETS, rank, alpha, language.adapter_dropout)
        elif language.train == "none":
            self.mbart.requires_grad_(False)
        modules = (self.visual, self.temporal, self.mbart)
        self.trainable = tuple(p for module in modules for p in module.parameters() if p.requires_grad)

    def thaw(self) -> None:
        """Mark again what the recipe lets train, after a stage that froze some of it."""
        for parameter in self.trainable:
            parameter.requires_grad_(True)

    def hierarchy(self, mapper: Mapper | None = None) -> HierarchicalEncoder:
        """Visual, temporal and language encoder around the shared modules."""
        return HierarchicalEncoder(self.visual, self.temporal, LanguageEncoder(self.mbart.model.encoder), mapper)

    def pretraining(self, vectors: Tensor) -> PretrainingModel:
        """Pseudo-gloss vectors (P, 300) -> the model of section 3.2, around the text encoder if one was kept.

        The encoder is handed over, so that it leaves memory with the model.
        """
        settings = self.recipe.pretrain
        text_encoder, self.text_encoder = self.text_encoder, None
        return PretrainingModel(
            self.hierarchy(), self.head(vectors), text_encoder, settings.logit_scale, settings.average_padding
        )

    def head(self, vectors: Tensor) -> PseudoGlossHead:
        """Pseudo-gloss vectors (P, 300) -> the head of eqs 1-3."""
        glosses = self.recipe.pseudo_glosses
        return PseudoGlossHead(
            self.recipe.language.hidden_size,
            vectors,
            dropout=glosses.dropout,
            prototype_temperature=glosses.prototype_temperature,
            time_temperature=glosses.time_temperature,
            learn_temperatures=glosses.learn_temperatures,
            train_prototypes=glosses.train_prototypes,
        )

    def translation(self) -> TranslationModel:
        """The model of section 3.3, with a fresh mapper."""
        return TranslationModel(self.hierarchy(Mapper(self.recipe.language.hidden_size)), self.mbart)


def assemble(recipe: Recipe, vocabulary_size: int, *, to_be_loaded: bool = False) -> Parts:
    """Recipe and V -> modules with random weights, the same for the same `recipe.seed`. Raises RecipeError.

    `to_be_loaded`: all weights come from a file next, so that none is drawn: at the paper's size this saves seconds.
    """
    if to_be_loaded:
        with no_init_weights():
            return assemble(recipe, vocabulary_size)
    torch.manual_seed(recipe.seed)
    temporal, language = recipe.temporal, recipe.language
    return Parts(
        recipe=recipe,
        visual=visual_encoder(recipe),
        temporal=TemporalEncoder(
            hidden_size=temporal.hidden_size,
            output_size=language.hidden_size,
            num_layers=temporal.num_layers,
            num_heads=temporal.num_heads,
            mlp_size=temporal.mlp_size,
            window_size=temporal.window_size,
            downsample_after=temporal.downsample_after,
            dropout=temporal.dropout,
            drop_path=temporal.drop_path,
            layer_scale=temporal.layer_scale,
        ),
        mbart=mbart(
            vocabulary_size=vocabulary_size,
            hidden_size=language.hidden_size,
            num_layers=language.num_layers,
            num_heads=language.num_heads,
            mlp_size=language.mlp_size,
            max_positions=language.max_positions,
            dropout=language.dropout,
        ),
    )


def visual_encoder(recipe: Recipe) -> VisualEncoder:
    """Recipe -> the frame level alone, with random weights. Raises RecipeError."""
    vision = recipe.vision
    if vision.backbone not in VISION:
        choices = ", ".join(sorted(VISION))
        raise RecipeError(f"no backbone {vision.backbone!r}", where="vision.backbone", remedy=f"one of {choices}")
    if vision.train == "adapters" and vision.backbone != "dinov2":
        raise RecipeError(
            f"the adapters are made for dinov2, not for {vision.backbone}",
            where="vision.train",
            remedy='set it to "all" or "none"',
        )
    backbone = VISION[vision.backbone](
        hidden_size=vision.hidden_size,
        num_layers=vision.num_layers,
        num_heads=vision.num_heads,
        mlp_ratio=vision.mlp_ratio,
        patch_size=vision.patch_size,
        image_size=vision.image_size,
    )
    return VisualEncoder(
        backbone,
        vision.hidden_size,
        recipe.temporal.hidden_size,
        # the small net's BatchNorm takes its statistics over all frames
        frames_per_pass=frames_per_pass(best_device()) if vision.backbone == "dinov2" else 0,
    )


def adapt_vision(visual: VisualEncoder, recipe: Recipe) -> None:
    """Put adapters into the backbone, or freeze it, as the recipe says (section 4.2)."""
    vision = recipe.vision
    if vision.train == "adapters":
        top = range(vision.num_layers - vision.adapter_layers, vision.num_layers)
        rank, alpha = vision.adapter_rank, vision.adapter_alpha
        add_lora(visual.backbone, VISION_TARGETS, rank, alpha, vision.adapter_dropout, layers=list(top))
    elif vision.train == "none":
        visual.backbone.requires_grad_(False)
