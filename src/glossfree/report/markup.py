"""Nested calls -> HTML in which every text is escaped: only what `tag` built itself passes as markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"br", "img", "col", "input", "rect", "line", "polyline", "circle", "path"})


class Html(str):
    """A piece of finished markup; any other string is a text of somebody's and is escaped."""

    __slots__ = ()


Child = str | Iterable[str]


def tag(name: str, *children: Child, **attributes: object) -> Html:
    """An element. A trailing underscore of an attribute is dropped, others become hyphens: `class_`, `aria_label`.

    An attribute that is True stands alone, one that is None or False is left out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID and not children:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Texts, elements and lists of them, one after another."""
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(child) if isinstance(child, str) else join(child)
            for child in children
        )
    )


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def hidden(text: str) -> Html:
    """A text for screen readers only."""
    return tag("span", text, class_="hidden")
