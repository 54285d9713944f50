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
    beginning of a word that is looked for.

    Args:
        text: what was typed; the first ten words count.

    Returns:
        The query; nothing where there is no word.
    """
    words = [word.lower() for word in _WORD.findall(text)[:_MOST_WORDS]]
    return " ".join(f'+("{word}" OR {_folded(word)}*)' for word in words)


def _folded(word: str) -> str:
    """The word in Latin letters without accents; other letters as they are."""
    return "".join(_PLAIN.get(letter) or _base(letter) for letter in word)


def _base(letter: str) -> str:
    first = unicodedata.normalize("NFD", letter)[0]
    return first if first.isascii() else letter
