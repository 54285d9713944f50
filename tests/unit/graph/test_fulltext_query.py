"""What people type, as Lucene reads it."""

import re
import unicodedata

import pytest

from recsvc.graph.fulltext_query import signs_query, words_query


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
    query = words_query(typed)
    assert re.findall(r'\+\("(.*?)" OR /.*?/\)', query) == words
    assert re.sub(r'\+\(".*?" OR /.*?/\)', "", query).strip() == ""


@pytest.mark.parametrize(
    ("typed", "held"),
    [
        ("Bjork", ["bjork", "björk", "bjo\u0308rk", "bjo\u0308rkestra"]),
        ("Björk", ["bjork", "bjo\u0308rk"]),
        ("Bjo\u0308rk", ["bjork", "bjo\u0308rk"]),
        ("Việt", ["viet", "vie\u0323\u0302t"]),
        ("x\u030cy", ["xy", "x\u030cy"]),  # there is no such letter in one character
        ("Røyksopp", ["royksopp"]), ("Großstadt", ["grossstadt"]), ("Ægir", ["aegir"]),
        ("ガール", ["ガール", "カ\u3099ール"]),
        ("방탄", ["방탄", unicodedata.normalize("NFD", "방탄")]),
        ("Мумий", ["мумий", "мумии\u0306"]),
        ("İzmir", ["izmir", "i\u0307zmir"]),
        ("ที่รัก", ["ที่รัก"]),
        ("R.E.M.", ["r.e.m"]),
        ("l\u2019amour", ["l'amour", "l\u2019amour"]),
        ("STRASSE", ["straße", "strasse", "straßen"]),
        ("\u0391\u0399", ["\u1fb3", "\u03b1\u03b9"]),  # a Greek iota below and beside
        ("ὈΔΥΣΣΕΎΣ", ["ὀδυσσεύς", "οδυσσευσ"]),
        ("8", ["8", "\uff18"]),
    ],
)  # fmt: skip
def test_the_beginning_of_a_word_fits_whatever_form_the_index_holds(
    typed: str, held: list[str]
) -> None:
    pattern = words_query(typed).partition("/")[2].removesuffix("/)")
    assert [word for word in held if not re.fullmatch(pattern, word)] == []
    for other in ("bork", "bjxork", "rxexm", "xbjork"):
        assert not re.fullmatch(pattern, other)


def test_signs_are_looked_for_as_they_are() -> None:
    assert words_query("!!! /♥") == ""
    assert signs_query(" !!!  /♥ ") == r"+/\!\!\!.*/ +/\/\♥.*/"
