"""Cypher taken apart as far as renaming needs: tokens, clauses, patterns.

It reads the files under `cypher/`, whose keywords are in capitals.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<gap>(?:\s+|//[^\n]*|/\*.*?\*/)*)"
    r"(?P<text>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`|\$\w+|"
    r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[^\W\d]\w*|.|\Z)",
    re.DOTALL,
)
_CLAUSE = re.compile(
    "MATCH|OPTIONAL|WHERE|WITH|RETURN|UNWIND|CALL|YIELD|ORDER|SKIP|LIMIT|UNION|USING|SET|REMOVE|"
    "DELETE|DETACH|CREATE|MERGE|FOREACH"
)
_JOINED = {("OPTIONAL", "MATCH"), ("DETACH", "DELETE")}
_OPENING, _CLOSING = frozenset("([{") | {"CASE"}, frozenset(")]}") | {"END"}
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class Token(NamedTuple):
    """A token and the space and comments before it."""

    gap: str
    text: str

    @property
    def is_name(self) -> bool:
        """Whether it may be a variable."""
        return self.text[:1].isalpha() or self.text[:1] == "_"


def tokens_of(text: str) -> list[Token]:
    """All tokens; the last holds what comes after the last other one."""
    return [Token(match["gap"], match["text"]) for match in _TOKEN.finditer(text)]


def text_of(tokens: Sequence[Token]) -> str:
    """The text that tokens were taken from."""
    return "".join(token.gap + token.text for token in tokens)


def closing(tokens: Sequence[Token], at: int) -> int:
    """The place of the bracket that closes the one at a place."""
    depth = 0
    for place in range(at, len(tokens)):
        text = tokens[place].text
        depth += (text in _PAIRS) - (text in _PAIRS.values())
        if not depth:
            return place
    raise ValueError(f"a bracket is open: {text_of(tokens[at:])!r}")


def split(tokens: Sequence[Token], sign: str) -> list[list[Token]]:
    """Parts between signs that are in no bracket."""
    parts, depth = [list[Token]()], 0
    for token in tokens:
        depth += (token.text in _PAIRS) - (token.text in _PAIRS.values())
        if token.text == sign and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def clauses(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The clauses of a statement, each with its keyword; what is in brackets stays together."""
    clause, depth = list[Token](), 0
    for number, token in enumerate(tokens):
        before = tokens[number - 1].text if number else ""
        begins = (
            not depth
            and _CLAUSE.fullmatch(token.text)
            and before not in (".", ":", "STARTS", "ENDS")
            and (before, token.text) not in _JOINED
        )
        if begins and clause:
            yield clause
            clause = []
        clause.append(token)
        depth += (token.text in _PAIRS) - (token.text in _PAIRS.values())
    yield clause


def is_clause(token: Token) -> bool:
    """Whether a statement may begin with it."""
    return _CLAUSE.fullmatch(token.text) is not None


def conjuncts(tokens: Sequence[Token]) -> list[list[Token]]:
    """The parts of a condition that all have to hold; the whole of it where one is enough."""
    parts, depth = [list[Token]()], 0
    for token in tokens:
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if not depth and token.text in ("OR", "XOR"):
            return [list(tokens)]
        if not depth and token.text == "AND":
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def pattern_links(tokens: Sequence[Token]) -> int:
    """How many relationships in brackets there are in a pattern."""
    return sum(token.text == "[" for token in tokens)


def aliases(tokens: Sequence[Token]) -> set[str]:
    """The names that a list of projections gives; `*` stands for all there were."""
    names = set[str]()
    for part in split(tokens, ","):
        own = [token.text for token in part if token.text and token.text != "DISTINCT"]
        if own:
            names.add(own[-1])
    return names


@dataclass(slots=True)
class Node:
    """A node of a pattern.

    Attributes:
        gap: before it.
        variable: "" where it has none.
        label: likewise.
        properties: what its map holds, as it stands.
    """

    gap: str
    variable: str
    label: str
    properties: list[Token]


@dataclass(slots=True)
class Link:
    """A relationship of a pattern.

    Attributes:
        tokens: as it stands.
        variable: "" where it has none.
        type: likewise.
        forward: None where it has no direction.
        more: of its bracket after the type, such as `*1..2`.
    """

    tokens: list[Token]
    variable: str
    type: str
    forward: bool | None
    more: list[Token]


Element = Node | Link | list[Token]
"""What is neither a node nor a relationship stays as tokens."""


def elements(tokens: Sequence[Token]) -> list[Element]:
    """The nodes and relationships of a pattern, in order."""
    parts, at = list[Element](), 0
    while at < len(tokens):
        text, start = tokens[at].text, at
        if text == "(" and tokens[at + 1].text == "(" and at and tokens[at - 1].is_name:
            parts.append([tokens[at]])  # shortestPath(
            at += 1
        elif text == "(":
            at = closing(tokens, at) + 1
            parts.append(_node(tokens[start:at]))
        elif text in "<-" and text:
            while at < len(tokens) and tokens[at].text in ("<", "-", ">", "["):
                at = closing(tokens, at) + 1 if tokens[at].text == "[" else at + 1
            parts.append(_link(list(tokens[start:at])))
        else:
            parts.append([tokens[at]])
            at += 1
    return parts


def _node(tokens: Sequence[Token]) -> Element:
    inner = tokens[1:-1]
    texts = [token.text for token in inner]
    variable = texts.pop(0) if inner and inner[0].is_name else ""
    label = ""
    if texts[:1] == [":"]:
        label, texts = texts[1], texts[2:]
    rest = list(inner[len(inner) - len(texts) :])
    if texts and texts[0] != "{":
        return list(tokens)  # a part of a path in brackets, with a quantifier after it
    return Node(tokens[0].gap, variable, label, rest[1:-1])


def _link(tokens: list[Token]) -> Link:
    texts = [token.text for token in tokens]
    one_way = (texts[0] == "<") != (texts[-1] == ">")
    link = Link(tokens, "", "", (texts[-1] == ">") if one_way else None, [])
    if "[" in texts:
        start = texts.index("[")
        inner = tokens[start + 1 : closing(tokens, start)]
        if inner and inner[0].is_name:
            link.variable, inner = inner[0].text, inner[1:]
        if inner and inner[0].text == ":":
            link.type, inner = inner[1].text, inner[2:]
        link.more = inner
    return link
