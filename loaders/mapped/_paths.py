"""Relationships of ours as paths of a mapping: what is written in their place."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loaders.graph_map import PREFIX, GraphMap, Hop, PathMap, renamed
from loaders.mapped._names import as_text
from loaders.mapped._tokens import Link, text_of

LINKED = ("INTERACTED", "FOLLOWS", "IN_CATEGORY", "PREFERS", "SUBCATEGORY_OF", "RELATED_TO")
"""Types of ours that a mapping may have paths for, or none."""
COUNTED = "counted"
"""The variable of a relationship that only counts."""
_MERGED = {
    "event": "{0}", "weight": "sum({0})", "value": "head(collect({0}))", "count": "sum({0})",
    "first_at": "min({0})", "last_at": "max({0})", "since": "min({0})", "inside": "min({0})",
}  # fmt: skip
"""Of several paths that are one relationship in our form, by property."""
_TIME = (
    "head([at IN [{0}] | CASE WHEN at IS :: ZONED DATETIME NOT NULL THEN at "
    "WHEN at IS :: LOCAL DATETIME NOT NULL THEN datetime({{datetime: at}}) "
    "WHEN at IS :: DATE NOT NULL THEN datetime({{date: at}}) "
    "WHEN -1e15 < at < 1e15 "
    "THEN datetime({{epochMillis: toInteger(CASE WHEN abs(at) < 1e11 THEN 1000 * at ELSE at END)}})"
    " "
    "WHEN at =~ '[0-9]{{4}}-(0[1-9]|1[0-2])-[0-3][0-9].*' "
    "THEN datetime({{year: toInteger(left(at, 4)), month: toInteger(substring(at, 5, 2))}})"
    " + duration({{days: toInteger(substring(at, 8, 2)) - 1, "
    "hours: coalesce(toIntegerOrNull(substring(at, 11, 2)), 0), "
    "minutes: coalesce(toIntegerOrNull(substring(at, 14, 2)), 0), "
    "seconds: coalesce(toIntegerOrNull(substring(at, 17, 2)), 0)}}) END])"
)
"""A time of whatever kind; no text makes it fail, as `datetime` would."""


@dataclass(frozen=True, slots=True)
class Way:
    """One of the paths that a relationship stands for, and in which direction it is followed."""

    path: PathMap
    forward: bool

    @property
    def is_long(self) -> bool:
        """Whether it has several relationships."""
        return len(self.path.hops[1]) > 1


@dataclass(frozen=True, slots=True)
class Map:
    """What stands for a relationship that a statement asks something of.

    Attributes:
        values: what is asked, by property, for each path.
        merged: the same for all paths between two nodes and of one kind of event, which are one
            relationship in our form; None where each path counts.
        number: of it in the statement.
    """

    values: Mapping[str, str]
    merged: Mapping[str, str] | None
    number: int

    @property
    def columns(self) -> list[str]:
        """The projections that merge paths."""
        named = (self.merged or {}).items()
        return [f"{value} AS {key}_{self.number}" for key, value in named]

    @property
    def text(self) -> str:
        """The map."""
        if self.merged is None:
            entries = [f"{key}: {value}" for key, value in self.values.items()]
        else:
            entries = [f"{key}: {key}_{self.number}" for key in self.values]
        return "{" + ", ".join(entries) + "}"


@dataclass(frozen=True, slots=True)
class Branch:
    """A pattern written out for one choice of ways.

    Attributes:
        pattern: the text.
        conditions: that it has to meet.
        maps: what stands for its relationships, by variable.
        paths: the parts of a path that is matched part by part, by its variable.
    """

    pattern: str
    conditions: Sequence[str]
    maps: Mapping[str, Map]
    paths: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    def read(self, keyword: str, where: Sequence[str], carried: Sequence[str]) -> str:
        """The clauses that read it, up to the last of its conditions, all of which have to hold.

        What a condition says of nodes alone comes before the maps: an index may serve it.

        Args:
            keyword: `MATCH`, or nothing where a pattern stands alone.
            where: the conditions.
            carried: variables that are there after it, besides the maps.
        """
        late = [condition for condition in where if self._of_maps(condition)]
        text = f"{keyword} {self.pattern}".lstrip()
        text += where_of(
            [*self.conditions, *(condition for condition in where if condition not in late)]
        )
        if columns := [column for map_ in self.maps.values() for column in map_.columns]:
            text += f" WITH {', '.join([*carried, *columns])}"
        return text + (f" WITH *, {self.mapped}" + where_of(late) if self.mapped else "")

    def _of_maps(self, condition: str) -> bool:
        return any(re.search(rf"\b{name}\b", condition) for name in (*self.maps, *self.paths))

    @property
    def mapped(self) -> str:
        """The maps, as projections."""
        maps = [f"{map_.text} AS {name}" for name, map_ in self.maps.items()]
        paths = [f"[{', '.join(parts)}] AS {name}" for name, parts in self.paths.items()]
        return ", ".join(maps + paths)


def where_of(conditions: Sequence[str]) -> str:
    """A `WHERE` of conditions that all have to hold; nothing where there is none."""
    joined = conditions if len(conditions) < 2 else [f"({condition})" for condition in conditions]
    return f" WHERE {' AND '.join(joined)}" if joined else ""


def _last(path: PathMap) -> tuple[object, ...]:
    last = path.hops[1][-1]
    return last.types, last.forward, path.where, path.value, path.event


def ways(graph: GraphMap, link: Link) -> list[Way]:
    """The paths that a relationship stands for; none where it is over several steps."""
    paths = {
        "INTERACTED": graph.interactions,
        "FOLLOWS": graph.follows,
        "IN_CATEGORY": graph.item_categories,
    }.get(link.type, ())
    if link.more:
        return []
    # Paths that differ in the label of their end alone lead over the same relationships.
    over = {(path.hops[0], path.hops[1][:-1], *_last(path)): path for path in reversed(paths)}
    paths = tuple(path for path in paths if path in over.values())
    if link.forward is None:
        return [Way(path, forward) for path in paths for forward in (True, False)]
    return [Way(path, link.forward) for path in paths]


def other_link(graph: GraphMap, link: Link) -> str:
    """A relationship that nothing is mapped to, or over several steps of a single type."""
    text = text_of(link.tokens)
    if link.type not in LINKED:
        return text
    name, arrow = PREFIX + link.type, ("<-", "->")
    paths = graph.follows if link.type == "FOLLOWS" else ()
    if len(paths) == 1 and len(paths[0].hops[1]) == 1:
        hop = paths[0].hops[1][0]
        name = hop.types
        if hop.forward is not True and link.forward is not None:
            arrow = ("-", "-") if hop.forward is None else ("->", "<-")
    if arrow != ("<-", "->") and link.forward is not None:
        text = text.replace("->", "-").replace("<-", "-")
        text = text if arrow == ("-", "-") else f"{text}>" if not link.forward else f"<{text}"
    return text.replace(f":{link.type}", f":{name}")


def names_ends(graph: GraphMap) -> bool:
    """Whether some path says something of the nodes at its ends."""
    return any(
        re.search(rf"\b({path.hops[0]}|{path.hops[1][-1].node})\.", text)
        for path in (*graph.interactions, *graph.follows, *graph.item_categories)
        for text in (path.event, path.value, path.timestamp, path.where)
        if text
    )


@dataclass(frozen=True, slots=True)
class Written:
    """A path in the place of a relationship.

    Attributes:
        pattern: without the nodes at its ends.
        condition: that it has to meet; "" where there is none.
        map: what stands for the relationship, where it has a variable.
    """

    pattern: str
    condition: str
    map: Map | None


def written(
    way: Way, ends: tuple[str, str], asked: set[str] | None, number: int, *, merged: bool
) -> Written:
    """A path in the place of a relationship.

    Args:
        way: the path, and its direction.
        ends: the variables of the nodes left and right of it.
        asked: which properties the statement asks of it; None where it has no variable.
        number: of it in the statement.
        merged: whether all such paths between two nodes count as one.
    """
    start, hops = way.path.hops
    names = {name: f"{name}_{number}" for hop in hops for name in (hop.name, hop.node) if name}
    first, second = ends if way.forward else ends[::-1]
    names |= {start: first, hops[-1].node: second}
    last = hops[-1].name or "link"
    names.setdefault(last, f"{last}_{number}")
    condition = renamed(way.path.where, names) if way.path.where else ""
    values = _values(asked or set(), way.path, names, names[last])
    used = " ".join([*values.values(), condition])

    def name_of(inner: str) -> str:
        name = names.get(inner, "")
        return name if name and re.search(rf"\b{name}\b", used) else ""

    steps = [_hop(name_of(hop.name), hop, forward=way.forward) for hop in hops[:-1]]
    steps.append(_hop(name_of(last), hops[-1], forward=way.forward))
    nodes = [f"({name_of(hop.node)}{':' * bool(hop.labels)}{hop.labels})" for hop in hops[:-1]]
    if not way.forward:
        steps.reverse()
        nodes.reverse()
    pairs = itertools.zip_longest(steps, nodes, fillvalue="")
    one = {key: _MERGED[key].format(value) for key, value in values.items()} if merged else None
    return Written(
        "".join(part for pair in pairs for part in pair),
        condition,
        Map(values, one, number) if asked is not None else None,
    )


def _values(asked: set[str], path: PathMap, names: Mapping[str, str], last: str) -> dict[str, str]:
    """What the statement asks of a relationship, read off a path."""
    event = as_text(path.event)
    if path.event_property:
        event = f"toStringOrNull({renamed(path.event, names)})"
    value, weight = "null", "1.0"
    if told := path.read("value"):
        value = renamed(told, names)
        weight = (
            f"coalesce(toFloatOrNull({value}), "
            f"CASE WHEN {value} IS NULL THEN 1.0 ELSE 0.0 / 0.0 END)"
        )
    at = path.read("timestamp")
    time = _TIME.format(renamed(at, names)) if at else "null"
    entries = {
        "event": event, "weight": weight, "value": value, "count": "1",
        "first_at": time, "last_at": time, "since": time, "inside": f"elementId({last})",
    }  # fmt: skip
    return {key: entries[key] for key in sorted(asked & entries.keys())}


def _hop(name: str, hop: Hop, *, forward: bool) -> str:
    """A relationship as text."""
    inner = f"-[{name}:{hop.types}]-"
    if hop.forward is None:
        return inner
    return f"{inner}>" if hop.forward == forward else f"<{inner}"
