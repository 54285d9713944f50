"""How the graph of somebody else maps to ours: the `[graph]` table of recsvc.toml, checked.

Labels, types and properties are names, which are quoted wherever they stand in Cypher. Conditions,
values and paths are small pieces of Cypher of a closed grammar, so that no mapping can do anything
but read: no call of a procedure, no clause, no subquery, no comment and no parameter.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PREFIX = "recsvc_"
"""What begins all names of what we write into the graph of somebody else."""

_TOKEN = re.compile(
    r"\s+|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")|(?P<quoted>`[^`]+`)"
    r"|(?P<number>(?:\d+(?:\.\d+)?|(?<![\w`)\]])\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[^\W\d]\w*)|(?P<sign><>|<=|>=|[-+*/%^=<>().,\[\]])"
)
_WORD = re.compile(
    "and|or|xor|not|in|is|null|true|false|starts|ends|with|contains|case|when|then|else|end",
    re.IGNORECASE,
)
_FUNCTION = re.compile(
    "abs|ceil|coalesce|date|datetime|duration|exp|floor|left|localdatetime|log|log10|nullif|right|"
    "round|sign|size|split|sqrt|substring|to(integer|float|string)(ornull)?|tolower|toupper|trim",
    re.IGNORECASE,
)
_TRUTH = ("true", "false")
_CLOSED_BY = {"(": ")", "[": "]"}
_NAME = r"(?:[^\W\d]\w*|`[^`]+`)"
_NAMES = rf"{_NAME}(?:\s*\|\s*:?{_NAME})*"
_NODE = re.compile(rf"\(\s*(?P<name>[^\W\d]\w*)?\s*(?::\s*(?P<of>{_NAMES}))?\s*\)")
_HOP = re.compile(
    rf"(?P<back><)?-\s*\[\s*(?P<name>[^\W\d]\w*)?\s*:\s*(?P<of>{_NAMES})\s*\]\s*-(?P<on>>)?"
)


def quoted(name: str) -> str:
    """A label, type or property as Cypher takes it, whatever characters it has."""
    return (
        name
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
        else "`" + name.replace("`", "``") + "`"
    )


def is_name(text: str) -> bool:
    """Whether a label, type or property can stand in a statement, quoted."""
    # Neo4j reads \\u0060 as a back-tick before it looks for where a name ends.
    return bool(text.strip()) and "\\" not in text and "\0" not in text and len(text) <= 512


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text!r} is no name of a label or property")
    return text


Name = Annotated[str, AfterValidator(_name)]


def expression_parts(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a condition or value: (variable, string, …, text), in order.

    Raises:
        ValueError: it has something that is not of the grammar.
    """
    if match := re.search(r"\\|//|/\*|--", text):
        raise ValueError(f"{text!r}: {match[0]!r} may not stand there")
    at, before = 0, ""
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text!r}: {text[at : at + 10]!r} may not stand there: expected "
                             "properties, numbers, texts, comparisons, AND, OR, NOT")  # fmt: skip
        kind, at = match.lastgroup or "space", match.end()
        if kind == "word" and before != ".":
            kind = _kind_of_word(text, match[0], at)
        yield kind, match[0]
        before = before if kind == "space" else match[0]


def _kind_of_word(text: str, word: str, end: int) -> str:
    if _WORD.fullmatch(word):
        return "keyword"
    if text[end:].lstrip().startswith("("):
        if _FUNCTION.fullmatch(word) is None:
            raise ValueError(f"{text!r}: the function {word} is not among those that are allowed")
        return "function"
    return "variable"


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A checked condition or value, its variables named otherwise."""
    return "".join(
        names.get(part, part) if kind == "variable" else part
        for kind, part in expression_parts(text)
    )


def settable(text: str, variable: str) -> dict[str, str] | None:
    """What makes a condition true: literals by property, both as Cypher writes them.

    Returns:
        None: it is more than properties of the variable that equal something, joined by AND.
    """
    literals: dict[str, str] = {}
    parts = [token for token in expression_parts(text) if token[0] != "space"]
    while parts:
        name, parts = _property(parts, variable)
        signed = parts[1:2] == [("sign", "-")]
        value = parts[1 + signed : 2 + signed]
        literal = value and (
            value[0][0] == "number"
            or (not signed and (value[0][0] == "string" or value[0][1].lower() in _TRUTH))
        )
        if name is None or parts[:1] != [("sign", "=")] or not literal:
            return None
        word = value[0][1]
        literals[quoted(name)] = "-" * signed + (word if value[0][0] == "string" else word.lower())
        parts = parts[2 + signed :]
        if parts and (parts[0][1].upper() != "AND" or len(parts) == 1):
            return None
        parts = parts[1:]
    return literals


def read_property(text: str, variable: str, *, shifted: bool) -> str | None:
    """The property of a variable that an expression is.

    Args:
        text: the expression.
        variable: the variable.
        shifted: a number may be added to it, or taken from it.

    Returns:
        None: it is something else.
    """
    parts = [token for token in expression_parts(text) if token[0] != "space"]
    name, rest = _property(parts, variable)
    moved = len(rest) == 2 and rest[0][1] in ("+", "-") and rest[1][0] == "number"
    return name if not rest or (shifted and moved) else None


def _property(
    parts: list[tuple[str, str]], variable: str
) -> tuple[str | None, list[tuple[str, str]]]:
    """The property of a variable that an expression begins with, and what comes after it."""
    begins = parts[:2] == [("variable", variable), ("sign", ".")]
    if not begins or len(parts) < 3 or parts[2][0] not in ("word", "quoted"):
        return None, parts
    return parts[2][1].strip("`"), parts[3:]


def _check_expression(text: str, variables: Sequence[str], field: str) -> None:
    parts = list(expression_parts(text))
    for kind, part in parts:
        if kind == "variable" and part not in variables:
            raise ValueError(
                f"{field} {text!r}: nothing is called {part!r}: expected {', '.join(variables)}"
            )
    open_brackets, before = list[str](), ("", "")
    whole = bool(text.strip())
    for kind, part in (token for token in parts if token[0] != "space"):
        if part in _CLOSED_BY:
            open_brackets.append(_CLOSED_BY[part])
        elif part in _CLOSED_BY.values():
            whole = whole and bool(open_brackets) and open_brackets.pop() == part
        # A dot stands between what has properties and the name of one.
        if part == ".":
            whole = whole and (
                before[0] in ("variable", "word", "quoted") or before[1] in (")", "]")
            )
        if before[1] == ".":
            whole = whole and kind in ("word", "quoted")
        before = kind, part
    if open_brackets or before[1] == "." or not whole:
        raise ValueError(f"{field} {text!r} is not a whole expression")


class NodeMap(BaseModel):
    """Which nodes of a graph count as users, items or categories of a kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Name
    """Their label."""
    id: Name
    """The property with their id: text or whole numbers."""
    title: Name | None = None
    """The property with their title or name."""
    where: str | None = None
    """A condition: only nodes that meet it count."""


class ItemMap(NodeMap):
    """Which nodes count as items."""

    available: str | None = None
    """A condition: only items that meet it are recommended."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One relationship of a path.

    Attributes:
        name: its variable.
        types: of it, quoted, with `|` between.
        forward: None where both directions count.
        node: the variable of the node that it leads to.
        labels: of that node, quoted, with `|` between; "" where any will do.
    """

    name: str
    types: str
    forward: bool | None
    node: str
    labels: str


class PathMap(BaseModel):
    """A pattern that counts as one of our relationships."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """The pattern, from `(user)` to `(item)`, from `(user)` to `(other)`, or from `(item)` to
    `(category)`, over one relationship or several."""
    event: str = "interaction"
    """The kind of event: a name, or a property of the pattern, such as `did.kind`."""
    value: str | None = None
    """The weight: a property of the pattern, or what is reckoned from some. A name alone is a
    property of the last relationship. Unset: 1."""
    timestamp: str | None = None
    """The time: a date or time, text as ISO 8601 has it, or Unix seconds or milliseconds."""
    where: str | None = None
    """A condition: only where it is met the pattern counts."""

    @property
    def hops(self) -> tuple[str, tuple[Hop, ...]]:
        """The variable that the path begins with, and its hops."""
        return parse_path(self.path)

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables of the path; the last relationship is `link` where it has no other name."""
        start, hops = self.hops
        named = (name for hop in hops for name in (hop.name, hop.node) if name)
        return (start, *named, *(() if hops[-1].name else ("link",)))

    def read(self, field: Literal["value", "timestamp"]) -> str | None:
        """What gives the value or the time, with the variable that it is a property of."""
        text: str | None = getattr(self, field)
        if text is None or text in self.variables or not re.fullmatch(_NAME, text.strip()):
            return text
        return f"{self.hops[1][-1].name or 'link'}.{text.strip()}"

    @property
    def event_property(self) -> bool:
        """Whether the kind of event is a property of the pattern, and not a name."""
        start, dot, _ = self.event.partition(".")
        return bool(dot) and start in self.variables

    @model_validator(mode="after")
    def _whole(self) -> "PathMap":
        variables = self.variables
        if len(set(variables)) < len(variables):
            raise ValueError(f"path {self.path!r}: a variable stands in it twice")
        texts = (self.read("value"), self.read("timestamp"), self.where)
        for field, text in zip(("value", "timestamp", "where"), texts, strict=True):
            if text is not None:
                _check_expression(text, variables, field)
        if self.event_property:
            _check_expression(self.event, variables, "event")
        return self


def parse_path(text: str) -> tuple[str, tuple[Hop, ...]]:
    """The variable that a path begins with, and its hops.

    Raises:
        ValueError: it is no path; the message says from where.
    """
    text = text.strip()
    node = None if "\\" in text else _NODE.match(text)
    if node is None or node["name"] is None:
        raise ValueError(f"path {text!r} does not begin with a node such as (user)")
    start, at, hops = node["name"], node.end(), list[Hop]()
    while at < len(text):
        hop = _HOP.match(text, at)
        node = hop and _NODE.match(text, hop.end())
        if hop is None or node is None:
            raise ValueError(
                f"path {text!r}: expected a relationship such as -[:TYPE]-> and a node such as "
                f"(item) at {text[at : at + 20]!r}"
            )
        one_way = bool(hop["back"]) != bool(hop["on"])
        hops.append(Hop(hop["name"] or "", _quoted_all(hop["of"]), bool(hop["on"]) if one_way
                        else None, node["name"] or "", _quoted_all(node["of"] or "")))  # fmt: skip
        at = node.end()
    if not hops or len(hops) > 6:
        raise ValueError(f"path {text!r} has {len(hops)} relationships: expected 1 to 6")
    return start, tuple(hops)


def _quoted_all(names: str) -> str:
    return "|".join(quoted(name.strip("`")) for name in re.findall(_NAME, names))


class GraphMap(BaseModel):
    """The `[graph]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database: str | None = None
    """Name of the database; unset, `neo4j_database`."""
    writes: Literal["all", "own", "none"] = "own"
    """What a refresh writes there: under our usual names, under names that begin with `recsvc_`, or
    nothing."""
    user: NodeMap
    """Users."""
    item: ItemMap
    """Items."""
    category: dict[Name, NodeMap] = Field(default_factory=dict[str, NodeMap])
    """Categories, by kind. Of several kinds, the id of a category is `KIND:ID`."""
    interactions: tuple[PathMap, ...] = Field(min_length=1)
    """What users did with items."""
    follows: tuple[PathMap, ...] = ()
    """Which users follow which others."""
    item_categories: tuple[PathMap, ...] = ()
    """Which categories items are in."""

    @model_validator(mode="after")
    def _joined(self) -> "GraphMap":
        for name, node in (("user", self.user), ("item", self.item),
                           *(("category", kind) for kind in self.category.values())):  # fmt: skip
            for field in ("where", "available"):
                text: str | None = getattr(node, field, None)
                if text is not None:
                    _check_expression(text, (name,), field)
        for paths, start, end in (
            (self.interactions, "user", "item"),
            (self.follows, "user", "other"),
            (self.item_categories, "item", "category"),
        ):
            for path in paths:
                first, hops = path.hops
                if (first, hops[-1].node) != (start, end):
                    raise ValueError(f"path {path.path!r}: expected one from ({start}) to ({end})")
        events = [path.event for path in self.interactions]
        if len(set(events)) < len(events):
            raise ValueError("two interactions have the same event: give each a name of its own")
        if self.item_categories and not self.category:
            raise ValueError("item_categories needs a [graph.category.KIND] that they lead to")
        return self

    @property
    def labels(self) -> dict[str, str]:
        """The labels that stand for User, Item and Category, quoted, with `|` between."""
        kinds = [quoted(category.label) for category in self.category.values()]
        none = PREFIX + "Category"
        return {
            "User": quoted(self.user.label),
            "Item": quoted(self.item.label),
            "Category": "|".join(kinds) or none,
        }
