"""What people type, as a query of a full-text index of Neo4j."""

import re

_WORD = re.compile(r"[^\W_]+(?:['\u2019.][^\W_]+)*")
_MOST_WORDS = 10


def words_query(text: str) -> str:
    """Nodes that have each word, or a word that begins like it, in Lucene's syntax.

    Words end where the index ends them: apostrophes and full stops inside one are part of it. All
    that means something to Lucene is no part of a word, so it is left out; small letters keep
    `AND` and `OR` from meaning something. Each word is looked for as it is, too: the index takes
    some, as those in Chinese, apart.

    Args:
        text: what was typed; the first ten words count.

    Returns:
        The query; nothing where there is no word.
    """
    words = [word.lower() for word in _WORD.findall(text)[:_MOST_WORDS]]
    return " ".join(f'+("{word}" OR {word}*)' for word in words)
