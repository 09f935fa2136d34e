"""Translation by a small decoder of the stage's own: FLa-LLM's Light-T (Chen et al. 2024), C2RL's ECL (2025).

An MLP takes segment or video features to the width of a small mBART with random weights, which writes the sentence:

    L = mean over tokens t of CE(y_t, decoder(y_<t, encoder(MLP(features)))), with label smoothing

The features learn to be translated before the model's own decoder sees them. The MLP and the small mBART belong to the
objective, so later stages and the exported model are without them. The token table is the small mBART's own. As in
mBART, the table is also the output layer, and layers are pre-norm with learned positions; the paper names only sizes.

B clips, S segments, E width of the features, L tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from glossfree.models.decoders.mbart import MBartDecoder
from glossfree.models.hierarchy import Levels
from glossfree.models.language.mbart import MBart
from glossfree.models.tokens import IGNORED
from glossfree.objectives.base import Inputs, Level, Objective, SeparableLoss, Sizes
from glossfree.objectives.translation import translation_loss
from glossfree.padded import Padded
from glossfree.settings import DEEPEST, WIDEST, value


class LightTranslation(Objective):
    """Sizes of the small decoder, and its loss. "Stated" refers to FLa-LLM here."""

    weight: float = value(1.0, "stated", "weight, alone in its stage (C2RL: 1 beside the contrast)", ge=0)
    reads: Literal["segment", "video"] = value(
        "segment", "derived", "features that are translated: below or above the language encoder"
    )
    hidden_size: int = value(512, "stated", "width", ge=2, le=WIDEST)
    encoder_layers: int = value(3, "stated", "encoder layers; 0: positions and LayerNorm alone", ge=0, le=DEEPEST)
    num_layers: int = value(3, "stated", "decoder layers", ge=1, le=DEEPEST)
    num_heads: int = value(8, "stated", "attention heads", ge=1, le=WIDEST)
    mlp_size: int = value(2048, "stated", "width of the MLPs in its layers", ge=1, le=WIDEST)
    max_positions: int = value(1024, "assumed", "positions: segments or tokens at most", ge=8, le=WIDEST)
    dropout: float = value(0.1, "assumed", "dropout", ge=0, lt=1)
    label_smoothing: float = value(0.2, "stated", "of the cross-entropy", ge=0, lt=1)

    @property
    def level(self) -> Level:  # type: ignore[override]  # of other objectives, every instance has the same
        """The features that are translated."""
        return self.reads

    def build(self, sizes: Sizes, inputs: Inputs) -> LightTranslationLoss:
        """The loss, with the MLP and the small mBART, both random."""
        return LightTranslationLoss(self, sizes)


class LightTranslationLoss(SeparableLoss):
    """Segments or video -> L of the module's docstring, a mean over tokens."""

    def __init__(self, options: LightTranslation, sizes: Sizes) -> None:
        super().__init__()
        self.reads, self.label_smoothing = options.reads, options.label_smoothing
        width = options.hidden_size
        self.projection = nn.Sequential(nn.Linear(sizes.segment, width), nn.GELU(), nn.Linear(width, width))
        mbart = MBart(
            hidden_size=width,
            num_layers=max(options.encoder_layers, options.num_layers),
            num_heads=options.num_heads,
            mlp_size=options.mlp_size,
            max_positions=options.max_positions,
            dropout=options.dropout,
        )
        self.encoder = mbart.build(sizes.vocabulary)
        self.decoder = MBartDecoder(self.encoder.mbart)
        del self.encoder.encoder.layers[options.encoder_layers :]
        del self.decoder.mbart.model.decoder.layers[options.num_layers :]

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch. Raises ValueError if its segments exceed the positions."""
        features = levels.segment if self.reads == "segment" else levels.video
        assert features is not None
        return translation_loss(self.logits(features, batch.labels), batch.labels, self.label_smoothing)

    def logits(self, features: Padded, labels: Tensor) -> Tensor:
        """Features Padded (B, S, E) and labels (B, L), -100 = ignored -> logits (B, L, V)."""
        encoded: Padded = self.encoder(features.with_values(self.projection(features.values)))
        logits: Tensor = self.decoder(encoded, labels)
        return logits

    def units(self, batch: Any) -> float:
        """The number of its tokens."""
        return float((batch.labels != IGNORED).sum())
