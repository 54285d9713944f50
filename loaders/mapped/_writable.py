"""What of a mapping can be written: nodes of a label, and paths of one relationship."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loaders.errors import ForeignGraphError
from loaders.graph_map import Hop, NodeMap, PathMap, quoted, read_property, renamed, settable
from loaders.mapped._names import as_text, number_of

_SAMPLED = 1_000
_TIME_KIND = (
    "CASE WHEN {0} IS :: INTEGER NOT NULL OR {0} IS :: FLOAT NOT NULL "
    "THEN CASE WHEN abs({0}) < 1e11 THEN 'seconds' ELSE 'milliseconds' END "
    "WHEN {0} IS :: STRING NOT NULL THEN 'text' WHEN {0} IS :: DATE NOT NULL THEN 'date' "
    "WHEN {0} IS :: LOCAL DATETIME NOT NULL THEN 'local' ELSE 'zoned' END"
)
TIME_AS = (
    "CASE {kind} WHEN 'seconds' THEN {at}.epochSeconds WHEN 'milliseconds' THEN {at}.epochMillis "
    "WHEN 'text' THEN toString({at}) WHEN 'date' THEN date({at}) "
    "WHEN 'local' THEN localdatetime({at}) ELSE {at} END"
)
NUMBER_AS = (
    "CASE WHEN {whole} AND {value} = floor({value}) THEN toInteger({value}) "
    "ELSE toFloat({value}) END"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Nodes of a label of ours that one part of a mapping describes.

    Attributes:
        name: user, item or category.
        node: how they are mapped.
        before: what their ids begin with for us: the kind, where there are several of categories.
    """

    name: str
    node: NodeMap
    before: str = ""

    @property
    def label(self) -> str:
        """Quoted."""
        return quoted(self.node.label)

    @property
    def key(self) -> str:
        """The property with the id, quoted."""
        return quoted(self.node.id)

    def id_of(self, ours: str) -> str:
        """The id in the graph, as text."""
        return f"substring({ours}, {len(self.before)})" if self.before else ours

    def is_one(self, ours: str) -> str:
        """That an id of ours is one of these."""
        return f"{ours} STARTS WITH {as_text(self.before)}" if self.before else "true"

    def has(self, name: str, ours: str) -> str:
        """That a node has an id of ours, and counts."""
        own = self.id_of(ours)
        met = f" AND {self.met(name)}" if self.node.where else ""
        return f"{name}.{self.key} IN [{own}, {number_of(own)}]{met}"

    def met(self, name: str) -> str:
        """That a node counts."""
        return f"({renamed(self.node.where, {self.name: name})})" if self.node.where else "true"

    @property
    def settings(self) -> Mapping[str, str] | None:
        """What has to be set on a new one, so that it counts; None: that cannot be told."""
        return settable(self.node.where, self.name) if self.node.where else {}


@dataclass(frozen=True, slots=True)
class Step:
    """A path of one relationship that can be made.

    Attributes:
        hop: the relationship.
        settings: what it has to have, so that it counts.
        value: property with the value; None where there is none.
        time: likewise with the time.
        event: the kind; None where a property has it.
        event_property: likewise.
    """

    hop: Hop
    settings: Mapping[str, str]
    value: str | None
    time: str | None
    event: str | None
    event_property: str | None

    def pattern(self, start: str, end: str, inner: str = "") -> str:
        """As it is matched; what has no direction in the mapping has none."""
        back, on = ("<", "") if self.hop.forward is False else ("", ">" * bool(self.hop.forward))
        return f"({start}){back}-[{inner}:{self.hop.types}]-{on}({end})"

    def made(self, start: str, end: str, inner: str = "", properties: str = "") -> str:
        """As it is made: what has no direction leads from the start."""
        back, on = ("<", "") if self.hop.forward is False else ("", ">")
        more = f" {{{properties}}}" if properties else ""
        return f"({start}){back}-[{inner}:{self.hop.types}{more}]-{on}({end})"


def refusal(what: str, why: str) -> ForeignGraphError:
    """Why something is not written."""
    return ForeignGraphError(
        f"{what} cannot be written: the graph is somebody else's, and {why} (docs/attach.md)"
    )


def step_or_none(path: PathMap) -> Step | None:
    """A path as it can be made; None where the mapping does not say how."""
    try:
        return step_of(path)
    except ForeignGraphError:
        return None


def step_of(path: PathMap) -> Step:
    """A path as it can be made.

    Raises:
        ForeignGraphError: the mapping does not say how.
    """
    _, hops = path.hops
    what = f"what {path.path} stands for"
    if len(hops) != 1:
        raise refusal(what, f"the path has {len(hops)} relationships: write the nodes between as "
                       "its owner does, it counts at once")  # fmt: skip
    hop = hops[0]
    if "|" in hop.types:
        raise refusal(what, "its relationship has one of several types")
    name = hop.name or "link"
    settings = settable(path.where, name) if path.where else {}
    if settings is None:
        raise refusal(what, f"its condition {path.where!r} is more than properties of the "
                       "relationship that equal something")  # fmt: skip
    kind = read_property(path.event, name, shifted=False) if path.event_property else None
    if kind is None and path.event_property:
        raise refusal(what, f"its event {path.event!r} is no property of the relationship")
    return Step(
        hop,
        settings,
        _own(path, "value", name),
        _own(path, "timestamp", name),
        None if path.event_property else path.event,
        quoted(kind) if kind is not None else None,
    )


def _own(path: PathMap, field: Any, name: str) -> str | None:
    """The property of the relationship that a value or time is read off; None where it has none.

    Raises:
        ForeignGraphError: it is more than a property, to which a number is added or from which one
            is taken.
    """
    text = path.read(field)
    if text is None:
        return None
    property_name = read_property(text, name, shifted=field == "value")
    if property_name is None:
        raise refusal(
            f"what {path.path} stands for", f"its {field} {text!r} is no property of {name}"
        )
    return quoted(property_name)


def sampled_kind(pattern: str, value: str, kind: str) -> str:
    """Of what kind the first value is that the graph has of a property; null where it has none."""
    variable = value.partition(".")[0]
    return (
        f"head(COLLECT {{ MATCH {pattern} WITH {variable} LIMIT {_SAMPLED} "
        f"WHERE {value} IS NOT NULL RETURN {kind.format(value)} LIMIT 1 }})"
    )


def whole_sampled(step: Step) -> str:
    """Whether the owner's values are whole numbers."""
    return sampled_kind(step.pattern("", "", "r"), f"r.{step.value}", "{0} IS :: INTEGER NOT NULL")


def time_sampled(step: Step) -> str:
    """Of what kind the owner's times are: such as `seconds` or `text`."""
    return sampled_kind(step.pattern("", "", "r"), f"r.{step.time}", _TIME_KIND)
