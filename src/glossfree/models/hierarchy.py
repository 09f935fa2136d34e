"""The complete model, Figure 1 from top to bottom: frames -> three levels of features -> sentences (section 3).

f_t = BatchNorm(W_f ViT_cls(x_t)) for each frame. The temporal module turns frames into segments, the language encoder
turns segments into video features, and the decoder writes sentences. In translation, a mapper comes before the
language encoder.

B clips, N packed frames, T frames, S segments, W backbone width, D temporal width, E language width, L tokens,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from glossfree.models.adapters import merge_lora
from glossfree.models.choices import Beams, Decoder, KeypointStream, LanguageEncoder, TemporalModule, Translations
from glossfree.models.norm import FrameNorm
from glossfree.padded import Padded

# mean and standard deviation of ImageNet's red, green and blue on 0-1, as DINOv2 was trained
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LEVELS = ("frames", "backbone_features", "frame_features", "segment_features")
# the parts that a stage can train or freeze, and the prefixes of their parameters
PREFIXES = {
    "vision": "hierarchy.visual.",
    "temporal": "hierarchy.temporal.",
    "language": "hierarchy.language.",
    "mapper": "hierarchy.mapper.",
    "decoder": "decoder.",
    "keypoints": "hierarchy.keypoints.",
}


class VisualEncoder(nn.Module):
    """Frames (N, 3, H, W) uint8 RGB -> frame features (N, D). It gets packed frames, never padding.

    `frames_per_pass`: frames that go through the backbone at once, 0 = all. For a ViT, whose frames are independent, it
    changes speed and memory only. A backbone with BatchNorm needs all frames at once, as the BatchNorm after it does.
    `within_clips`: of one clip only, for a backbone that compares them.
    """

    def __init__(
        self,
        backbone: nn.Module,
        backbone_size: int,
        hidden_size: int,
        *,
        frames_per_pass: int = 0,
        within_clips: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.frames_per_pass, self.within_clips = frames_per_pass, within_clips
        self.projection = nn.Linear(backbone_size, hidden_size)
        self.norm = FrameNorm(hidden_size)
        scale = torch.tensor([1 / (255 * std) for std in IMAGENET_STD]).view(1, 3, 1, 1)
        shift = torch.tensor([-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)])
        self.scale = nn.Buffer(scale, persistent=False)
        self.shift = nn.Buffer(shift.view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen backbone stays in evaluation mode, so that its BatchNorm keeps its statistics."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        return self

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, 3, H, W) uint8 -> (N, D)."""
        return self.project(self.look(frames, lengths))

    def look(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, 3, H, W) uint8, and how many of them each clip has (None: all are of one) -> backbone features (N, W)."""
        parts: Sequence[Tensor] = (frames,)
        if self.within_clips and lengths is not None:
            parts = torch.split(frames, lengths.tolist())
        if self.frames_per_pass:
            parts = [part for clip in parts for part in torch.split(clip, self.frames_per_pass)]
        rows = [self.backbone(torch.addcmul(self.shift, part.to(self.scale.dtype), self.scale)) for part in parts]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def project(self, rows: Tensor) -> Tensor:
        """Backbone features (N, W) -> frame features (N, D), with BatchNorm over all N."""
        features: Tensor = self.norm(self.projection(rows))
        return features


class Mapper(nn.Module):
    """(B, S, E) -> (B, S, E): linear layer, LayerNorm, GELU.

    The paper mentions a linear layer only, but Table 3 also counts LayerNorm's 2E, and the released code has both.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.activation = nn.GELU()

    def forward(self, features: Tensor) -> Tensor:
        """(B, S, E) -> (B, S, E)."""
        mapped: Tensor = self.activation(self.norm(self.linear(features)))
        return mapped


@dataclass(frozen=True)
class Levels:
    """The features that a forward pass computed, for objectives.

    `frame` (B, T, D), None if the input is above that level; `segment` (B, S, E); `video` (B, S, E), one step longer
    with a prefix; `logits` (B, L, V). None: not computed, as no objective uses it. `decoder`: video features and labels
    -> logits, for objectives that decode; `reader`: token ids (B, L) -> Padded (B, L, E), for those that read text.
    `streams`: segments of the video and of the keypoints, which `segment` joins; None without keypoints.
    """

    frame: Padded | None = None
    segment: Padded | None = None
    video: Padded | None = None
    logits: Tensor | None = None
    decoder: Callable[[Padded, Tensor], Tensor] | None = None
    reader: Callable[[Tensor], Padded] | None = None
    streams: tuple[Padded, Padded] | None = None


class HierarchicalEncoder(nn.Module):
    """Visual, temporal and language encoder in sequence; in translation with a mapper before the last.

    `keypoints`: a second stream, joined with the segments of the temporal module. Inputs below "segment_features" then
    need the keypoints (N, J, 3) of their rows.
    """

    def __init__(
        self,
        visual: VisualEncoder,
        temporal: TemporalModule,
        language: LanguageEncoder,
        mapper: nn.Module | None = None,
        keypoints: KeypointStream | None = None,
    ) -> None:
        super().__init__()
        self.visual = visual
        self.temporal = temporal
        self.language = language
        self.mapper = mapper
        self.keypoints = keypoints

    def segments(
        self, frames: Tensor, lengths: Tensor, level: str = "frames", keypoints: Tensor | None = None
    ) -> Padded:
        """Rows of all clips at `level` (see ClipBatch) -> segment features Padded (B, S, E).

        "frames": (N, 3, H, W) uint8; "backbone_features": (N, W); "frame_features": (N, D);
        "segment_features": (N, E), N = sum of lengths.
        """
        segment = self._below(frames, lengths, level, keypoints).segment
        assert segment is not None
        return segment

    def forward(
        self,
        frames: Tensor,
        lengths: Tensor,
        level: str = "frames",
        prefix: Tensor | None = None,
        up_to: str = "video",
        keypoints: Tensor | None = None,
    ) -> Levels:
        """Rows of all clips at `level` -> Levels. `prefix` (1, E) is put in front of every clip's segments.

        `up_to`: "segment" skips the language encoder.
        """
        levels = self._below(frames, lengths, level, keypoints)
        if up_to == "segment":
            return levels
        segment = levels.segment
        assert segment is not None
        mapped = segment if self.mapper is None else segment.with_values(self.mapper(segment.values))
        if prefix is not None:
            mapped = put_in_front(prefix, mapped)
        return replace(levels, video=self.language(mapped))

    def video(self, frames: Tensor, lengths: Tensor, level: str = "frames", keypoints: Tensor | None = None) -> Padded:
        """Rows of all clips at `level` -> video features Padded (B, S, E), the input of a decoder."""
        video = self(frames, lengths, level, keypoints=keypoints).video
        assert isinstance(video, Padded)
        return video

    def _below(self, frames: Tensor, lengths: Tensor, level: str, keypoints: Tensor | None) -> Levels:
        """Frame features (None if the input is above them), segment features, and those of each stream."""
        if level == "segment_features":
            return Levels(None, Padded.unpack(frames, lengths))
        if level == "frame_features":
            frame = Padded.unpack(frames, lengths)
        elif level == "backbone_features":
            frame = Padded.unpack(self.visual.project(frames), lengths)
        elif level == "frames":
            frame = Padded.unpack(self.visual(frames, lengths), lengths)
        else:
            raise ValueError(f"level {level!r} is none of {', '.join(LEVELS)}")
        segment = self.temporal(frame)
        if self.keypoints is None:
            return Levels(frame, segment)
        if keypoints is None:
            raise ValueError("this model reads keypoints, and the batch has none")
        streams = (segment, self.keypoints(keypoints, lengths))
        return Levels(frame, self.keypoints.join(*streams), streams=streams)


def put_in_front(prefix: Tensor, sequence: Padded) -> Padded:
    """A vector (1, E) in front of every sequence: Padded (B, S, E) -> Padded (B, S + 1, E)."""
    first = prefix.to(sequence.values.dtype).expand(len(sequence.lengths), 1, -1)
    return Padded(torch.cat((first, sequence.values), dim=1), sequence.lengths + 1)


class TranslationModel(nn.Module):
    """The hierarchy and a decoder. A tensor that parts share (mBART's token table) belongs to the first of them."""

    def __init__(self, hierarchy: HierarchicalEncoder, decoder: Decoder, vocabulary_size: int) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.hierarchy = hierarchy
        self.decoder = decoder
        self.is_adapted = False  # whether it has adapters
        self.note_trainable()

    def parts(self) -> dict[str, nn.Module]:
        """The parts by name, without a mapper or keypoints if there are none."""
        levels = self.hierarchy
        parts = (levels.visual, levels.temporal, levels.language, levels.mapper, self.decoder, levels.keypoints)
        return {name: part for name, part in zip(PREFIXES, parts, strict=True) if part is not None}

    def parameters_of(self) -> Iterator[tuple[str, str, nn.Parameter]]:
        """(part, name in the model, parameter) of every parameter, each once, in the order of the model."""
        owner = {id(p): name for name, part in reversed(self.parts().items()) for p in part.parameters()}
        for name, parameter in self.named_parameters():
            yield owner[id(parameter)], name, parameter

    def modules_of(self) -> Iterator[tuple[str, nn.Module]]:
        """(part, module) of every module of the parts, each once."""
        owner = {id(m): (name, m) for name, part in reversed(self.parts().items()) for m in part.modules()}
        yield from owner.values()

    def note_trainable(self) -> None:
        """Record which parameters require a gradient now, as those that may train. Call it after adding adapters."""
        self._trainable = {id(parameter) for parameter in self.parameters() if parameter.requires_grad}

    def train_only(self, parts: Collection[str]) -> None:
        """Unfreeze the parameters of these parts that may train, and freeze all others."""
        for part, _, parameter in self.parameters_of():
            parameter.requires_grad_(part in parts and id(parameter) in self._trainable)

    def merge_adapters(self) -> None:
        """Merge adapters into the weights beside them, in place, for translating only."""
        merge_lora(self.hierarchy)
        self.decoder.merge_adapters()

    def put_mapper(self, mapper: nn.Module) -> None:
        """Add a mapper before the language encoder."""
        self.hierarchy.mapper = mapper
        self._trainable |= {id(parameter) for parameter in mapper.parameters()}

    @torch.no_grad()
    def translate(
        self,
        frames: Tensor,
        lengths: Tensor,
        level: str = "frames",
        *,
        beams: Beams,
        start_id: int,
        suppressed: Sequence[int] | None = None,
        keypoints: Tensor | None = None,
    ) -> Translations:
        """Rows of all clips at `level` (see ClipBatch) -> Translations (see `Decoder.generate`)."""
        video = self.hierarchy.video(frames, lengths, level, keypoints)
        return self.decoder.generate(video, beams, start_id, suppressed)
