"""What a node says of itself, as one plain text. Pure."""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from loaders.limits import MAX_READ_CHARACTERS, MAX_TEXT_CHARACTERS, NO_IDS

_UNSEEN_HTML: Final = re.compile(r"<(script|style)\b.*?(</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(r"<[a-zA-Z/!?][^<>]*>")
_CONTROL: Final = ("Cc", "Cs", "Co", "Cn")


def plain_text(values: Iterable[Sequence[str]]) -> str:
    """The values of some properties as one text, without markup, on one line, and bounded.

    Args:
        values: of each property, its values: several of a list.
    """
    parts = (", ".join(filter(None, map(_plain, texts))) for texts in values)
    return ". ".join(filter(None, parts))[:MAX_TEXT_CHARACTERS].strip()


def _plain(value: str) -> str:
    text = value[:MAX_READ_CHARACTERS]
    if "<" in text:
        text = _TAG.sub(" ", _UNSEEN_HTML.sub(" ", text))
    if "&" in text:
        text = html.unescape(text)
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c) in _CONTROL else c for c in text)
    text = " ".join(text.split())
    return "" if text in NO_IDS else text
