"""The stages of training: each a model, its named losses, and what of it trains.

denoise    mBART's own objective on the training sentences, where no pretrained mBART is at hand
pretrain   segments with pseudo-glosses, videos with sentences           (section 3.2, eqs 1-5)
finetune1  mapper and decoder learn to write the sentence                (sections 3.3 and 4.2)
finetune2  everything that is trainable                                  (section 4.2)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from transformers import MBartForConditionalGeneration

from glossfree.denoising import TextBatch
from glossfree.losses import (
    contrastive_divergence,
    contrastive_loss,
    pretraining_loss,
    pseudo_gloss_loss,
    sigmoid_pseudo_gloss_loss,
    translation_loss,
)
from glossfree.models.language import IGNORED, shift_right
from glossfree.models.pretraining import PretrainingModel
from glossfree.models.translator import TranslationModel
from glossfree.models.weights import state
from glossfree.recipe import PretrainConfig
from glossfree.video.batch import ClipBatch

STAGES = ("denoise", "pretrain", "finetune1", "finetune2")
PseudoGlossLoss = Callable[[Tensor, Tensor], Tensor]  # scores, targets
ContrastiveLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # pooled video and text features, 1 / tau


def objectives(pretrain: PretrainConfig) -> tuple[PseudoGlossLoss, ContrastiveLoss]:
    """What a recipe takes for L_PG and for L_VLA: the paper's (eqs 3 and 4), or what its released code computes."""
    gloss = {"cross_entropy": pseudo_gloss_loss, "sigmoid_cross_entropy": sigmoid_pseudo_gloss_loss}
    contrast: dict[str, ContrastiveLoss] = {
        "cross_entropy": contrastive_loss,
        "divergence": partial(contrastive_divergence, sharpness=pretrain.identity_sharpness),
    }
    return gloss[pretrain.pseudo_gloss_loss], contrast[pretrain.contrastive_loss]


class BaseStage(nn.Module):
    """What all stages share: one model, some of whose parts stay frozen as a whole."""

    def __init__(self, name: str, model: nn.Module, frozen: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.name = name
        self.model = model
        self.frozen_parts = tuple(frozen)  # a tuple, so that they are not registered twice
        for part in self.frozen_parts:
            part.requires_grad_(False)

    def set_training(self) -> None:
        """Training mode; frozen parts evaluate: their dropout is off and their running statistics stay."""
        self.train()
        for part in self.frozen_parts:
            part.eval()

    def weight(self, batch: ClipBatch | TextBatch) -> float:
        """How much a batch counts in a step of several: what its losses are means over, here its clips."""
        return float(len(batch))

    def trained(self) -> dict[str, nn.Parameter]:
        """Exactly the parameters that this stage changes."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def saved(self) -> dict[str, Tensor]:
        """Trained parameters and running statistics."""
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        statistics = {name: tensor for name, tensor in state(self.model).items() if name not in parameters}
        return {**self.trained(), **statistics}

    def left_behind(self) -> dict[str, Tensor]:
        """What a finished stage leaves: the whole model."""
        return state(self.model)


class DenoisingStage(BaseStage):
    """Noised sentence in, sentence out: gives encoder and decoder something to know before they see a video."""

    def __init__(self, mbart: MBartForConditionalGeneration, pad_id: int, label_smoothing: float) -> None:
        super().__init__("denoise", mbart)
        self.pad_id, self.label_smoothing = pad_id, label_smoothing

    def forward(self, batch: TextBatch) -> dict[str, Tensor]:
        logits = self.model(
            input_ids=batch.input_ids,
            attention_mask=(batch.input_ids != self.pad_id).long(),
            decoder_input_ids=shift_right(batch.labels, self.pad_id),
        ).logits
        return {"loss": translation_loss(logits, batch.labels, self.label_smoothing)}

    def weight(self, batch: ClipBatch | TextBatch) -> float:
        """The tokens of a batch (eq 6 is a mean over them)."""
        return float(tokens_in(batch))


class PretrainingStage(BaseStage):
    """Eqs 1-5: pseudo-glosses at the segment level, contrast with the sentence at the video level.

    `text_features` maps each sentence to its pooled features (E,): the text encoder is frozen, so that it runs once
    per distinct sentence, before this stage begins. Where the model has a text encoder, that reads each batch instead.
    `pseudo_gloss` and `contrastive` compute eqs 3 and 4, as `pseudo_gloss_loss` and `contrastive_loss` do.
    """

    model: PretrainingModel

    def __init__(
        self,
        model: PretrainingModel,
        text_features: dict[str, Tensor],
        pseudo_gloss_weight: float,
        contrastive_weight: float,
        pseudo_gloss: PseudoGlossLoss = pseudo_gloss_loss,
        contrastive: ContrastiveLoss = contrastive_loss,
    ) -> None:
        super().__init__("pretrain", model)
        self.text_features, self.pseudo_gloss, self.contrastive = text_features, pseudo_gloss, contrastive
        self.pseudo_gloss_weight, self.contrastive_weight = pseudo_gloss_weight, contrastive_weight

    def forward(self, batch: ClipBatch) -> dict[str, Tensor]:
        losses, compared = self.separable(batch)
        losses |= self.joint(*compared)
        return {"loss": self.total(losses), **losses}

    def separable(self, batch: ClipBatch) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """A batch -> L_PG, a mean over its clips, and pooled video and text features (B, E), which eq 4 compares."""
        assert batch.gloss_targets is not None
        output = self.model(batch.frames, batch.lengths, batch.labels, level=batch.level)
        text = output.text
        if text is None:
            text = torch.stack([self.text_features[sentence] for sentence in batch.texts]).to(output.video.device)
        return {"pseudo_gloss": self.pseudo_gloss(output.gloss.scores, batch.gloss_targets)}, (output.video, text)

    def joint(self, video: Tensor, text: Tensor) -> dict[str, Tensor]:
        """Pooled features of all clips of a step -> L_VLA: each clip against all others, in whatever batches."""
        return {"contrastive": self.contrastive(video, text, self.model.scale())}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """L_PG and L_VLA -> L_pre (eq 5)."""
        return pretraining_loss(
            losses["contrastive"],
            losses["pseudo_gloss"],
            contrastive_weight=self.contrastive_weight,
            pseudo_gloss_weight=self.pseudo_gloss_weight,
        )

    def left_behind(self) -> dict[str, Tensor]:
        """All but the text encoder: it is mBART's as it was, and nothing reads it again."""
        return {name: tensor for name, tensor in super().left_behind().items() if not name.startswith("text_encoder.")}


class TranslationStage(BaseStage):
    """Eq 6. With `only_mapper_and_decoder` (stage 1) everything below the mapper and the language encoder is frozen."""

    model: TranslationModel

    def __init__(
        self, name: str, model: TranslationModel, label_smoothing: float, only_mapper_and_decoder: bool
    ) -> None:
        levels = model.hierarchy
        frozen = (levels.visual, levels.temporal, levels.language) if only_mapper_and_decoder else ()
        super().__init__(name, model, frozen)
        self.label_smoothing = label_smoothing

    def forward(self, batch: ClipBatch) -> dict[str, Tensor]:
        assert batch.labels is not None
        logits = self.model(batch.frames, batch.lengths, batch.labels, level=batch.level)
        return {"loss": translation_loss(logits, batch.labels, self.label_smoothing)}

    def weight(self, batch: ClipBatch | TextBatch) -> float:
        """The tokens of a batch (eq 6 is a mean over them)."""
        return float(tokens_in(batch))


def tokens_in(batch: ClipBatch | TextBatch) -> int:
    """Tokens that a batch's sentences are learnt from."""
    return 0 if batch.labels is None else int((batch.labels != IGNORED).sum())
