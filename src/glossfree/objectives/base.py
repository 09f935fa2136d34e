"""The interface of objectives: options in a recipe, and a module that turns features into a loss.

An objective is one file with a subclass of `Objective` (its options) and the module that the options build. A separable
loss is a mean over clips. A joint loss compares the clips of a step with each other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from glossfree.models.hierarchy import Levels
from glossfree.models.tokens import SPECIAL_TOKENS
from glossfree.padded import Padded
from glossfree.settings import Section, value

Level = Literal["frame", "segment", "video", "logits"]
Need = Literal[
    "pseudo_glosses",
    "document_frequencies",
    "text_features",
    "text_tokens",
    "text_encoder",
    "sentence_vectors",
    "glosses",
    "gloss_labels",
]

# these need a language encoder that reads sentences
TEXT_NEEDS: frozenset[Need] = frozenset(("text_features", "text_tokens", "text_encoder"))
# annotations by people, which only recipes with supervision = "glosses" may need
GLOSS_NEEDS: frozenset[Need] = frozenset(("glosses", "gloss_labels"))


@dataclass(frozen=True)
class Sizes:
    """Widths of frame features (D) and of segment and video features (E), and the vocabulary (V).

    `special_tokens`: tokens at the end of labels that are no pieces.
    """

    frame: int
    segment: int
    vocabulary: int
    special_tokens: int = SPECIAL_TOKENS


@dataclass(frozen=True)
class Inputs:
    """What objectives may need of a corpus besides its clips. A field is None unless an objective `needs` it.

    pseudo_glosses        `vectors` (P, 300)
    document_frequencies  (P,) the share of training sentences with each pseudo-gloss
    text_features         the frozen text encoder's average over the tokens of each sentence, (E,)
    text_tokens           the same without the average, (L, E)
    text_encoder          the frozen encoder itself: labels (B, L) -> Padded (B, L, E)
    sentence_vectors      of each sentence, a vector that the user names
    glosses               the annotated glosses of the training split, G of them; their ids are 1 to G
    """

    vectors: Tensor | None = None
    document_frequencies: Tensor | None = None
    text_features: Mapping[str, Tensor] | None = None
    text_tokens: Mapping[str, Tensor] | None = None
    text_encoder: Callable[[Tensor], Padded] | None = None
    sentence_vectors: Mapping[str, Tensor] | None = None
    glosses: Sequence[str] | None = None


def in_main_memory(batch: Any) -> Any:
    """A batch -> the one that it was moved from, if it is on an accelerator: reading values there waits for it."""
    return getattr(batch, "origin", None) or batch


class SeparableLoss(nn.Module):
    """A loss that is a mean over a batch's clips, or over parts of them.

    `forward(levels, batch)`: the features of a batch, and the batch -> the loss, a scalar.
    """

    def units(self, batch: Any) -> float:
        """The number of values that the loss of this batch, in main memory, averages: its clips, by default."""
        return float(len(batch))


class JointLoss(nn.Module):
    """A loss that compares all clips of a step with each other, across batches and processes.

    `forward(*features)`: the features of all clips of the step -> the loss, a scalar.
    """

    prefix: nn.Parameter | None  # (1, E), put in front of every clip's segments; None: no prefix

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("prefix", None)

    def features(self, levels: Levels, batch: Any) -> tuple[Tensor | Padded, ...]:
        """The features to compare of each clip of a batch: tensors (B, ...), or ragged Padded (B, L, any)."""
        raise NotImplementedError

    def similarity(self, video: Tensor | Padded, text: Tensor | Padded) -> Tensor:
        """The first two of `features`, of A and of B clips -> how similar each video is to each sentence, (A, B)."""
        raise NotImplementedError


class Objective(Section):
    """Options of an objective, and its weight in the loss of a stage. At weight 0 nothing is built or required."""

    weight: float = value(1.0, "assumed", "factor of this loss in the sum that the stage minimises", ge=0)

    # what depends on options is a property in a subclass
    level: ClassVar[Level] = "video"  # the highest level that it uses; levels above it need not be computed
    compares_clips: ClassVar[bool] = False  # whether it builds a JointLoss
    decodes: ClassVar[bool] = False  # whether it has the decoder write something else than the sentence
    reads_text: ClassVar[bool] = False  # whether it has the language encoder read text
    continues: ClassVar[bool] = False  # whether its parameters start as an earlier stage with this objective left them
    compares_sentences: ClassVar[bool] = False  # whether that loss has `similarity`: a space of videos and sentences

    @property
    def compares_streams(self) -> bool:
        """Whether it looks at the segments of the video and of the keypoints by themselves."""
        return False

    @property
    def has_prefix(self) -> bool:
        """Whether the loss puts a learned token in front of the segments."""
        return False

    @property
    def needs(self) -> tuple[Need, ...]:
        """The fields of `Inputs` that it needs.

        Three of them are in every batch's `targets`: "pseudo_glosses" (B, P), multi-hot; "glosses" (B, U), ids;
        "gloss_labels" (B, L), the glosses as tokens of a sentence. The last two have -100 behind a clip's end, and
        nothing else for a clip without annotation.
        """
        return ()

    @abstractmethod
    def build(self, sizes: Sizes, inputs: Inputs) -> SeparableLoss | JointLoss:
        """The loss module. Its own parameters (a head, a temperature) train with the stage."""
