"""Objectives that a recipe can use in a stage, as `[STAGE.objectives.NAME]`: one file each."""

from glossfree.objectives.base import Objective
from glossfree.objectives.contrastive import Contrastive
from glossfree.objectives.gloss_ctc import GlossCtc
from glossfree.objectives.gloss_to_text import GlossToText
from glossfree.objectives.gloss_translation import GlossTranslation
from glossfree.objectives.light_translation import LightTranslation
from glossfree.objectives.pseudo_gloss import PseudoGloss
from glossfree.objectives.sign_contrast import SignContrast
from glossfree.objectives.text_similarity import TextSimilarity
from glossfree.objectives.token_alignment import TokenAlignment
from glossfree.objectives.translation import Translation

OBJECTIVES: dict[str, type[Objective]] = {
    "pseudo_gloss": PseudoGloss,
    "contrastive": Contrastive,
    "translation": Translation,
    "sign_contrast": SignContrast,
    "light_translation": LightTranslation,
    "gloss_ctc": GlossCtc,
    "text_similarity": TextSimilarity,
    "token_alignment": TokenAlignment,
    "gloss_translation": GlossTranslation,
    "gloss_to_text": GlossToText,
}
