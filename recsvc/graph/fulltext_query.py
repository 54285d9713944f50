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
}
"""Letters that the index folds and Unicode does not take apart."""


def words_query(text: str) -> str:
    """Nodes that have each word, or a word that begins like it, in Lucene's syntax.

    Words end where the index ends them: apostrophes and full stops inside one are part of it. All
    that means something to Lucene is no part of a word, so it is left out; small letters keep
    `AND` and `OR` from meaning something. Each word is looked for as it is, too: the index takes
    some, as those in Chinese, apart. It takes accents away from what it holds, and not from the
    beginning of a word that is looked for; those that are characters of their own it keeps.

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
    apart = unicodedata.normalize("NFD", word)
    beginnings = dict.fromkeys((_folded(word), apart))
    return f'+("{word}" OR {" OR ".join(f"{each}*" for each in beginnings)})'


def _folded(word: str) -> str:
    """The word in Latin letters without accents; other letters as they are."""
    return "".join(_PLAIN.get(letter) or _base(letter) for letter in word)


def _base(letter: str) -> str:
    first = unicodedata.normalize("NFD", letter)[0]
    return first if first.isascii() else letter
