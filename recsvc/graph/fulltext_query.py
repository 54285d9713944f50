"""What people type, as a query of a full-text index of Neo4j."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain

_WORD = re.compile(r"[^\W_]+(?:['\u2019.\u00ad\u200c\u200d][^\W_]+)*")
_MOST_WORDS = 10
_LETTERS = (
    range(0x0030, 0x2E80), range(0xA640, 0xAC00), range(0xF900, 0x10000), range(0x10400, 0x10450),
    range(0x1D400, 0x1D800),
)  # fmt: skip
"""Where Unicode has letters and numbers with several forms, but for those of Han and Hangul."""
_APART = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "\u0131": "i"}
"""Letters that Unicode does not take apart, and people type as others."""
_MOST_FOLDED = 4
"""Letters that one letter is folded to, at most: `Ⅷ` to `viii`."""

_BETWEEN = "[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u00ad\u200c\u200d]"
"""What may follow a letter and is none: accents, the points of Hebrew and Arabic, a place where a
word may be broken, joiners."""
_IGNORED = re.compile(_BETWEEN)


@dataclass(frozen=True, slots=True)
class _Forms:
    """What is folded to some letters.

    Attributes:
        single: the small letters that are folded to one letter, itself among them.
        several: those that are folded to two letters or more.
    """

    single: dict[str, str]
    several: dict[str, str]


@cache
def _forms() -> _Forms:
    forms_of: defaultdict[str, str] = defaultdict(str)
    forms_of["\u03b9"] = "\u0345"  # written below a Greek letter, and beside it in capitals
    for letter in map(chr, chain(*_LETTERS)):
        if letter.isalnum() and letter == letter.lower():
            for folded in {_folded(each) for each in (letter, letter.upper(), letter.casefold())}:
                forms_of[folded] += letter
    return _Forms(
        {
            folded: "".join(sorted({folded, *forms}))
            for folded, forms in forms_of.items()
            if len(folded) == 1 and forms != folded
        },
        {folded: forms for folded, forms in forms_of.items() if 1 < len(folded) <= _MOST_FOLDED},
    )


def words_query(text: str) -> str:
    """Nodes that have each word, or a word that begins like it, in Lucene's syntax.

    The index is to hold words in small letters, as the analyzer `standard-no-stop-words` makes
    them. Words end where it ends them: apostrophes and full stops inside one are part of it. All
    that means something to Lucene is no part of a word, so it is left out; small letters keep
    `AND` and `OR` from meaning something. Each word is looked for as it is: the index takes some,
    as those in Chinese, apart. Its beginning is looked for as a pattern that fits every form of
    each letter: large or small, with or without accents, in one character or in several.

    Args:
        text: what was typed; the first ten words count.

    Returns:
        The query; nothing where there is no word.
    """
    # Marks, such as the vowels of Thai, are part of a word.
    letters = "".join("a" if unicodedata.category(each)[0] == "M" else each for each in text)
    words = list(_WORD.finditer(letters))[:_MOST_WORDS]
    return " ".join(_either(text[slice(*word.span())]) for word in words)


def signs_query(text: str) -> str:
    """Nodes that have each of some signs, as `!!!`, or what begins like them.

    The index is to hold what stands between blanks, as the analyzer `unicode_whitespace` does.

    Args:
        text: what was typed and has no word in it; the first ten pieces count.
    """
    pieces = text.split()[:_MOST_WORDS]
    escaped = ("".join("\\" + sign for sign in piece) for piece in pieces)
    return " ".join(f"+/{piece}.*/" for piece in escaped)


def _either(word: str) -> str:
    return f'+("{word.lower()}" OR /{_pattern(_folded(word))}.*/)'


def _folded(text: str) -> str:
    """Small letters without accents, each in its plainest form, in as few characters as can be."""
    bare = _IGNORED.sub("", unicodedata.normalize("NFKD", text)).casefold()
    bare = _IGNORED.sub("", unicodedata.normalize("NFKD", bare))
    return unicodedata.normalize("NFC", "".join(_APART.get(each, each) for each in bare))


def _pattern(folded: str) -> str:
    """Whatever is folded to these letters, as a regular expression of Lucene."""
    return "".join(_parts(folded))


def _parts(folded: str) -> Iterator[str]:
    forms = _forms()
    begin = 0
    while begin < len(folded):
        size = next(
            size for size in range(_MOST_FOLDED, 0, -1)
            if size == 1 or folded[begin : begin + size] in forms.several
        )  # fmt: skip
        letters = folded[begin : begin + size]
        begin += size
        single = "".join(f"{_one(each)}{_BETWEEN}*" for each in letters)
        yield single if size == 1 else f"({single}|[{forms.several[letters]}]{_BETWEEN}*)"


def _one(letter: str) -> str:
    if letter in "'\u2019":
        return "['\u2019]"
    forms, apart = _forms().single.get(letter), unicodedata.normalize("NFD", letter)
    plain = letter.isalnum() or unicodedata.category(letter)[0] == "M"
    one = f"[{forms}]" if forms else letter if plain else f"\\{letter}"
    return one if apart == letter else f"({one}|{apart})"
