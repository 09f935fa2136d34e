"""The whole model: frames -> three levels of features -> sentences (Figure 1, sections 3.1 and 3.3).

B clips, S segments, E language width, L tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from glossfree.models.choices import Beams, Decoder, Translations
from glossfree.models.hierarchy import HierarchicalEncoder

# the parts that a stage can train or freeze, and where they are in the model
PREFIXES = {
    "vision": "hierarchy.visual.",
    "temporal": "hierarchy.temporal.",
    "language": "hierarchy.language.",
    "mapper": "hierarchy.mapper.",
    "decoder": "decoder.",
}


class TranslationModel(nn.Module):
    """The hierarchy and a decoder. A tensor that two parts share (mBART's token table) belongs to the first of them."""

    def __init__(self, hierarchy: HierarchicalEncoder, decoder: Decoder, vocabulary_size: int) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.hierarchy = hierarchy
        self.decoder = decoder
        self.is_adapted = False  # whether adapters are in
        self.note_trainable()

    def parts(self) -> dict[str, nn.Module]:
        """The parts by name; a mapper only if there is one."""
        levels = self.hierarchy
        parts = (levels.visual, levels.temporal, levels.language, levels.mapper, self.decoder)
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
        """From now on, what requires a gradient now is what may train; to be called when adapters are put in."""
        self._trainable = {id(parameter) for parameter in self.parameters() if parameter.requires_grad}

    def train_only(self, parts: Collection[str]) -> None:
        """Let train what may train of these parts, and freeze everything else."""
        for part, _, parameter in self.parameters_of():
            parameter.requires_grad_(part in parts and id(parameter) in self._trainable)

    def put_mapper(self, mapper: nn.Module) -> None:
        """Put a mapper before the language encoder."""
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
        language_id: int,
        suppressed: Sequence[int] | None = None,
    ) -> Translations:
        """Rows of all clips at `level` (see ClipBatch) -> Translations (see `Decoder.generate`)."""
        return self.decoder.generate(self.hierarchy.video(frames, lengths, level), beams, language_id, suppressed)
