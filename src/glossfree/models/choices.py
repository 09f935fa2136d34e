"""Base classes of the choices in a model: backbone, temporal module, language encoder and decoder.

Each choice is a subclass in its own file: its values, `build`, which layers get adapters, and how foreign weights are
loaded. It is listed in the registry of its folder and needs nothing else.

B clips, N packed frames, T frames, S segments, W backbone width, D temporal width, E language width, V vocabulary.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor, nn

from glossfree.errors import RecipeError
from glossfree.models.adapters import merge_lora
from glossfree.models.tokens import SPECIAL_TOKENS
from glossfree.models.weights import Census
from glossfree.padded import Padded
from glossfree.settings import WIDEST, Section, Trained, value


class Backbone(Section):
    """A visual backbone: normalised images (N, 3, H, W) float -> (N, W), W = `hidden_size` (section 3.1)."""

    kind: str
    weights: str = value("", "stated", "folder or file of weights, hub:owner/name, or a run of ours; empty: random")
    features: Literal["video", "cached"] = value(
        "video", "assumed", "computed from video in every epoch, or once by `glossfree features`"
    )
    hidden_size: int = value(384, "stated", "width of the backbone's rows", ge=1, le=WIDEST)
    patch_size: int = value(14, "stated", "pixels of a patch", ge=1, le=4096)

    train: Trained = value("all", "assumed", "what of the backbone trains: LoRA, everything, nothing")

    sees_frames_together: ClassVar[bool] = False  # it has statistics over frames, so a batch must not be split

    @property
    def neighbours(self) -> int:
        """Frames of a clip that go through it together, since some of one is taken over for the others; 0: any."""
        return 0

    @property
    def frozen_in_bf16(self) -> bool:
        """Whether a part of it computes in bfloat16 whatever the precision of training is."""
        return False

    @property
    def variant(self) -> tuple[object, ...]:
        """What changes its rows beside weights and images, if anything does."""
        return ()

    @abstractmethod
    def build(self) -> nn.Module:
        """The module, with random weights."""

    def adapter_layers_of(self) -> Sequence[int]:
        """The blocks that get adapters, if any."""
        return ()

    def load(self, module: nn.Module, source: Path) -> Census:
        """Load foreign weights into the module, in place. Raises ModelError; RecipeError if it has no such weights."""
        remedy = 'name a run of ours, or vision.kind="dinov2"'
        raise RecipeError("this backbone has no foreign weights", where=source, remedy=remedy)

    def sizes(self) -> dict[str, object]:
        """The values that weights and their features depend on."""
        values = self.model_dump(exclude={"weights", "features", "train"})
        return {name: content for name, content in values.items() if not name.startswith("adapter_")}


class TemporalModule(nn.Module):
    """Frame features -> segment features. Padding never affects a real position."""

    frames_per_segment: int

    def out_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of each clip -> its segments: ceil(length / frames_per_segment)."""
        return (lengths + self.frames_per_segment - 1) // self.frames_per_segment

    def middles(self, num_frames: int) -> Sequence[int]:
        """The frame, of `num_frames`, in the middle of each segment."""
        return range(0, num_frames, self.frames_per_segment)


class Temporal(Section):
    """A temporal module: frame features Padded (B, T, D) -> segment features Padded (B, S, E)."""

    kind: str
    hidden_size: int = value(512, "stated", "width D of frame features", ge=2, le=WIDEST)

    @abstractmethod
    def build(self, output_size: int) -> TemporalModule:
        """The module with random weights; its segments have width `output_size` = E."""


class KeypointStream(nn.Module):
    """Keypoints (N, J, 3) -> segment features of their own, and both streams -> joint ones."""

    def forward(self, keypoints: Tensor, lengths: Tensor) -> Padded:
        """Keypoints (N, J, 3) of packed frames and lengths (B,) -> Padded (B, S, E), S as the video's."""
        raise NotImplementedError

    def join(self, video: Padded, keypoints: Padded) -> Padded:
        """Segments of video and keypoints, Padded (B, S, E) each -> joint ones."""
        raise NotImplementedError


class Keypoints(Section):
    """A second stream: keypoints of J joints, x and y in fractions of the crop and a confidence -> segments."""

    kind: str

    @property
    def joints_read(self) -> int:
        """J, 0 without keypoints."""
        return 0

    @abstractmethod
    def build(self, temporal: Temporal, width: int) -> KeypointStream | None:
        """The stream, with random weights and a `temporal` module of its own, for segments of width E."""


class LanguageEncoder(nn.Module):
    """Segment features Padded (B, S, E) -> video features Padded (B, S, E)."""

    @property
    def adapted(self) -> nn.Module:
        """The module that gets adapters; its other weights are then frozen."""
        return self

    def copied(self) -> LanguageEncoder:
        """An independent copy of the encoder."""
        return copy.deepcopy(self)

    def read(self, input_ids: Tensor) -> Padded:
        """Token ids (B, L), padded on the right with -100 or <pad> -> token features Padded (B, L, E).

        Only for encoders with `reads_text`."""
        raise NotImplementedError


class Language(Section):
    """A language encoder: it computes video features, and may also read sentences."""

    kind: str
    weights: str = value("", "stated", "folder with pretrained weights, or hub:owner/name; empty: random")
    hidden_size: int = value(1024, "stated", "width E of segment and video features", ge=2, le=WIDEST)

    train: Trained = value("all", "assumed", "what of the encoder trains: LoRA, everything, nothing")

    reads_text: ClassVar[bool] = False

    @abstractmethod
    def build(self, vocabulary_size: int) -> LanguageEncoder:
        """The module, with random weights."""

    def load(self, module: LanguageEncoder, source: Path, kept_ids: Sequence[int] | None) -> Census:
        """Load foreign weights in place; row i of a token table is their row kept_ids[i]. Raises ModelError."""
        raise RecipeError("this language encoder has no foreign weights", where=source, remedy='weights = ""')


class Decoding(Section):
    """A decoder: video features and a sentence -> logits, and sentences by beam search."""

    kind: str
    train: Trained = value("all", "assumed", "what of the decoder trains: LoRA, everything, nothing")

    brings_tokenizer: ClassVar[bool] = False  # whether its foreign weights come with the tokenizer of their own ids

    @property
    def special_tokens(self) -> int:
        """Tokens at the end of its labels that are no pieces."""
        return SPECIAL_TOKENS

    @abstractmethod
    def build(self, language: LanguageEncoder, width: int, vocabulary_size: int) -> Decoder:
        """The module, with random weights, for video features of width E. `language`: the encoder below it."""

    def source(self) -> str:
        """Where its own foreign weights are, a folder or hub:owner/name; "" for none, or for a decoder without any."""
        return ""

    def load(self, module: Decoder, source: Path, kept_ids: Sequence[int] | None) -> Census:
        """Load foreign weights in place; row i of a token table is their row kept_ids[i]. Raises ModelError."""
        raise RecipeError("this decoder has no foreign weights", where=source, remedy="leave decoder.weights out")

    def problems_with(self, language: Language) -> Iterator[str]:
        """Reasons why it does not fit this language encoder."""
        yield from ()


@dataclass(frozen=True)
class Beams:
    """Settings of beam search; `num_return_sequences` is the number n of sentences returned for each clip."""

    num_beams: int = 4
    max_new_tokens: int = 100
    length_penalty: float = 1.0
    num_return_sequences: int = 1


@dataclass(frozen=True)
class Translations:
    """`sequences` (B, n, L): token ids without the start code, with `</s>` and padding at the end, best first.

    `scores` (B, n): log-probability / length ** length_penalty.
    """

    sequences: Tensor
    scores: Tensor


class Decoder(nn.Module):
    """Video features -> sentences. Token ids are in mBART's layout (see `models.tokens`), or those of its weights."""

    @property
    def adapted(self) -> nn.Module:
        """The module that gets adapters; its other weights are then frozen."""
        return self

    def merge_adapters(self) -> None:
        """Merge adapters into the weights beside them, in place, for translating only."""
        merge_lora(self)

    def forward(self, video: Padded, labels: Tensor) -> Tensor:
        """Video features Padded (B, S, E), labels (B, L) "pieces </s> code", -100 = ignored -> logits (B, L, V)."""
        raise NotImplementedError

    def generate(
        self, video: Padded, beams: Beams, start_id: int, suppressed: Sequence[int] | None = None
    ) -> Translations:
        """Video features Padded (B, S, E) -> Translations. A clip's result does not depend on its batch.

        `start_id`: the start code of the decoder. `suppressed`: ids that are never produced, by default those of
        `models.tokens.never_written`. The caller must set the module to evaluation mode.
        """
        raise NotImplementedError
