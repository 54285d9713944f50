"""What people type, as a query of a full-text index of Neo4j."""

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['\u2019.][^\W_]+)*")
_MOST_WORDS = 10
_PLAIN = {
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ł": "l",
    "þ": "th",
    "\u2019": "'",
}
"""Characters that the index folds and Unicode does not take apart."""


_MARKS = "[\u0300-\u036f]"
"""Marks that stand above or below a letter: accents and the like."""


def words_query(text: str) -> str:
    """Nodes that have each word, or a word that begins like it, in Lucene's syntax.

    Words end where the index ends them: apostrophes and full stops inside one are part of it. All
    that means something to Lucene is no part of a word, so it is left out; small letters keep
    `AND` and `OR` from meaning something. Each word is looked for as it is: the index takes some,
    as those in Chinese, apart. Its beginning is looked for as a pattern: the index takes accents
    away that are part of a Latin letter (NFC), and keeps those that are characters of their own
    (NFD).

    Args:
        text: what was typed; the first ten words count.

    Returns:
        The query; nothing where there is no word.
    """
    # The index has i for İ, where Python has an i and a dot of its own.
    text = unicodedata.normalize("NFC", text).replace("İ", "I")
    # Marks, such as the vowels of Thai, are part of a word.
    letters = "".join("a" if unicodedata.category(each)[0] == "M" else each for each in text)
    found = list(_WORD.finditer(letters))[:_MOST_WORDS]
    return " ".join(_either(text[slice(*word.span())].lower()) for word in found)


def _either(word: str) -> str:
    beginning = "".join(_pattern(letter) for letter in word)
    return f'+("{word}" OR /{beginning}.*/)'


def _pattern(letter: str) -> str:
    """A letter however the index holds it, as a regular expression of Lucene."""
    apart = unicodedata.normalize("NFD", letter)
    if re.fullmatch(_MARKS, letter):
        return ""  # the letter before takes any
    plain = _PLAIN.get(letter) or apart[0]
    if plain.isascii():
        return "".join(f"{_escaped(each)}{_MARKS}*" for each in plain)
    either = f"({letter}|{apart})" if apart != letter else letter
    return f"{either}{_MARKS}*"


def _escaped(letter: str) -> str:
    return letter if letter.isalnum() else f"\\{letter}"
