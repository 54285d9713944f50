"""What people type, as Lucene reads it."""

import unicodedata

import pytest

from recsvc.graph.fulltext_query import words_query


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("kylie", ["kylie"]),
        ("Kylie Min", ["kylie", "min"]),
        ("AC/DC", ["ac", "dc"]),
        ("Guns N' Roses", ["guns", "n", "roses"]),
        ("R.E.M.", ["r.e.m"]),
        ("l\u2019amour", ["l\u2019amour"]),
        ("宇多田", ["宇多田"]),
        ("one AND two OR NOT three", ["one", "and", "two", "or", "not", "three"]),
        ('title:"x" +y -z* (a~2)', ["title", "x", "y", "z", "a", "2"]),
        ("[b TO c] \\d ^e {f} g&&h!", ["b", "to", "c", "d", "e", "f", "g", "h"]),
        ("a b c d e f g h i j k", [*"abcdefghij"]),
        ("a_b", ["a", "b"]),
        ("!!! \u202e 😀", []),
        ("", []),
    ],
)
def test_words(typed: str, words: list[str]) -> None:
    assert words_query(typed) == " ".join(f'+("{word}" OR {word}*)' for word in words)


@pytest.mark.parametrize(
    ("typed", "beginning"),
    [
        ("Björk", "bjork"), ("Røyksopp", "royksopp"), ("Großstadt", "grossstadt"),
        ("Ægir", "aegir"), ("ガール", "ガール"), ("방탄", "방탄"), ("Мумий", "мумий"),
        ("été", "ete"), ("e\u0301te\u0301", "ete"), ("İzmir", "izmir"), ("ที่รัก", "ที่รัก"),
    ],
)  # fmt: skip
def test_the_beginning_of_a_word_has_no_accents(typed: str, beginning: str) -> None:
    whole = unicodedata.normalize("NFC", typed).replace("İ", "I").lower()
    apart = unicodedata.normalize("NFD", whole)
    beginnings = dict.fromkeys((beginning, apart))  # a title may be written either way
    looked_for = " OR ".join(f"{each}*" for each in beginnings)
    assert words_query(typed) == f'+("{whole}" OR {looked_for})'
