"""Annotated glosses -> the sentence, by the language encoder and the decoder: SLTUNET's third task (Zhang et al. 2023).

    L = mean over tokens t of CE(y_t, decoder(y_<t, encoder(g))), with label smoothing

g are the tokens of a clip's glosses as a sentence in lower case, y those of its sentence. The texts of a step are those
of its clips, so that one loader serves all tasks. In SLTUNET a step mixes clips with texts of other clips, and with
pairs of a machine translation corpus, which we do not have.

Supervision by glosses: recipes must say `supervision = "glosses"`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import IGNORED
from glossfree.objectives.base import Inputs, Need, Objective, SeparableLoss, Sizes
from glossfree.objectives.gloss_translation import GLOSS_LABELS, mean_cross_entropy, tokens_of_glosses
from glossfree.settings import value


class GlossToText(Objective):
    """Options of the cross-entropy."""

    weight: float = value(1.0, "released", "weight beside translation's loss", ge=0)
    label_smoothing: float = value(0.1, "released", "of the cross-entropy", ge=0, lt=1)

    decodes: ClassVar[bool] = True
    reads_text: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Need, ...]:
        """The glosses of each clip as token ids."""
        return (GLOSS_LABELS,)

    def build(self, sizes: Sizes, inputs: Inputs) -> GlossToTextLoss:
        """The loss; it has no parameters."""
        return GlossToTextLoss(self.label_smoothing)


class GlossToTextLoss(SeparableLoss):
    """Glosses and sentences of a batch -> L of the module's docstring, a mean over the sentences' tokens.

    Clips without glosses do not count.
    """

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, levels: Levels, batch: Any) -> Tensor:
        """The loss of a batch; 0 if none of its clips has glosses."""
        assert levels.reader is not None and levels.decoder is not None
        logits = levels.decoder(levels.reader(tokens_of_glosses(batch)), batch.labels)
        return mean_cross_entropy(logits, self._labels(batch), self.label_smoothing)

    def units(self, batch: Any) -> float:
        """The number of tokens of sentences whose clips have glosses."""
        return float((self._labels(batch) != IGNORED).sum())

    def _labels(self, batch: Any) -> Tensor:
        has_glosses = (batch.targets[GLOSS_LABELS] != IGNORED).any(dim=1, keepdim=True)
        labels: Tensor = batch.labels.masked_fill(~has_glosses, IGNORED)
        return labels
