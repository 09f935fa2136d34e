"""Decoders that a recipe can name as `decoder.kind`: one file each."""

from glossfree.models.choices import Decoding
from glossfree.models.decoders.causal import CausalDecoding
from glossfree.models.decoders.gru import RecurrentDecoding
from glossfree.models.decoders.language_model import LanguageModelDecoding
from glossfree.models.decoders.mbart import MBartDecoding

DECODERS: dict[str, type[Decoding]] = {
    "mbart": MBartDecoding,
    "gru": RecurrentDecoding,
    "causal": CausalDecoding,
    "language_model": LanguageModelDecoding,
}
