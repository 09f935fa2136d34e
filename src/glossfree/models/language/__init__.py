"""Language encoders that a recipe can name as `language.kind`: one file each."""

from glossfree.models.choices import Language
from glossfree.models.language.mbart import MBart
from glossfree.models.language.none import NoEncoder

LANGUAGE: dict[str, type[Language]] = {
    "mbart": MBart,
    "none": NoEncoder,
}
