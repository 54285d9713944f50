"""A mapping proposed for a graph that nobody has described: what `recsvc attach` writes.

Which nodes are users and which are items is told by what is between them: many of the one have
many of the other, over one relationship, or over nodes that belong to one user each, as orders do.
Among several such pairs the names decide, then whether times and values are there, then how many.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loaders.errors import ForeignGraphError
from loaders.graph_map import GraphMap, quoted
from loaders.graph_survey import Link, Property, Survey
from recsvc.event_kinds import default_events, named_as

_USERS = re.compile(
    "user|customer|client|person|people|member|account|reader|viewer|listener|visitor|student|"
    "patient|subscriber|buyer|shopper|reviewer|profile",
    re.IGNORECASE,
)
_ITEMS = re.compile(
    "item|product|movie|film|book|song|track|album|artist|article|video|game|recipe|restaurant|"
    "business|course|listing|hotel|app|post|paper|job|show|title|podcast|place|event|drug|question|"
    "document|photo|image|page",
    re.IGNORECASE,
)
_EVENTS = (
    ("rat(ed|ing|es)", "rating"), ("review", "review"),
    ("purchas|bought|buys?|order", "purchase"),
    ("view|seen|visit|click", "view"), ("listen|play|stream", "listen"), ("watch", "watch"),
    ("dislike", "dislike"), ("like|love|favou?r", "like"), ("read", "read"),
    ("save|bookmark|wish", "save"),
    ("cart|basket", "cart"), ("download", "download"), ("return|refund", "return"),
)  # fmt: skip
_RATING = re.compile("rating|stars?|score|grade|points", re.IGNORECASE)
_VALUE = re.compile(
    "(.*_)?(quantity|qty|amount|count|plays?|weight|units|minutes)|.*[a-z](Count|Quantity|Amount)"
)
_TIME = re.compile("time|date|when|_at$|[a-z]At$|^on$|^at$|since|created", re.IGNORECASE)
_TITLE = re.compile("title|name|label|headline", re.IGNORECASE)
_MOST_CATEGORIES_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mapping, and why it is this one.

    Attributes:
        graph: the mapping.
        reasons: a line for each part, with counts.
        others: what else might be meant, a line each.
    """

    graph: GraphMap
    reasons: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """From users to items over the schema.

    Attributes:
        user: label of the users.
        item: label of the items.
        links: relationships, each with whether it is followed along its direction.
        count: how many such paths there are, about.
    """

    user: str
    item: str
    links: tuple[tuple[Link, bool], ...]
    count: float

    @property
    def middle(self) -> tuple[str, ...]:
        """The labels between."""
        return tuple(link.target if on else link.source for link, on in self.links[:-1])

    @property
    def types(self) -> str:
        """The types that it leads over, in words."""
        return ", ".join(link.type for link, _ in self.links)


def propose(survey: Survey) -> Proposal:
    """A mapping of a graph.

    Raises:
        ForeignGraphError: nothing in it looks like users who did something with items.
        Neo4jError: it cannot be read.
    """
    ways = sorted(_ways(survey), key=lambda way: _score(survey, way), reverse=True)
    if not ways:
        raise ForeignGraphError(
            "no users and items were found: expected nodes of which many are linked with many of "
            "another label: write [graph] into recsvc.toml by hand (docs/attach.md)"
        )
    best = ways[0]
    same = [way for way in ways if (way.user, way.item) == (best.user, best.item)]
    reasons = [
        f"users are :{best.user} ({survey.labels[best.user]:,}), "
        f"items are :{best.item} ({survey.labels[best.item]:,})"
    ]
    table: dict[str, Any] = {
        "user": _node(survey, best.user, reasons),
        "item": _node(survey, best.item, reasons) | _available(survey, best.item, reasons),
    }
    table["interactions"] = list(_interactions(survey, same, reasons))
    middle = {label for way in same for label in way.middle}
    table |= _categories(survey, best, middle, reasons)
    if follows := _follows(survey, best.user, reasons):
        table["follows"] = follows
    others = [
        f":{way.user} and :{way.item} over {way.types}, about {way.count:,.0f} times"
        for way in ways
        if (way.user, way.item) != (best.user, best.item)
    ]
    return Proposal(GraphMap.model_validate(table), tuple(reasons), tuple(others[:5]))


def _ways(survey: Survey) -> Iterator[_Way]:
    """All ways of one relationship, and those over nodes that belong to one user each."""
    steps = [(link, on) for link in survey.links for on in (True, False)]
    for first, on in steps:
        user, end = (first.source, first.target) if on else (first.target, first.source)
        if user == end or user not in survey.labels or end not in survey.labels:
            continue
        if _many(survey, first.count, user, end):
            yield _Way(user, end, ((first, on),), first.count)
        owners = first.count / survey.labels[end]
        if not (0.3 < owners <= 1.05 and survey.labels[end] > survey.labels[user]):
            continue
        for second, along in steps:
            middle, item = (second.source, second.target)[:: 1 if along else -1]
            if middle != end or item in (user, end) or item not in survey.labels:
                continue
            if _many(survey, second.count * owners, user, item):
                yield _Way(user, item, ((first, on), (second, along)), second.count * owners)


def _many(survey: Survey, count: float, user: str, item: str) -> bool:
    """Whether many of one label are with many of the other."""
    return count > 1.2 * survey.labels[user] and count > 1.05 * survey.labels[item]


def _score(survey: Survey, way: _Way) -> float:
    """How much a way looks like what users do with items."""
    named = 4.0 * bool(_USERS.search(way.user)) + 3.0 * bool(_ITEMS.search(way.item))
    against = 4.0 * bool(_ITEMS.search(way.user)) + 4.0 * bool(_USERS.search(way.item))
    has_event = 2.0 * bool(_event_of(way))
    said = _said(survey, way)
    told = 2.0 * ("timestamp" in said) + 1.0 * ("value" in said)
    return named - against + has_event + told + math.log10(way.count) - 0.5 * len(way.links)


def _event_of(way: _Way) -> str:
    """The kind of event that types and labels on the way speak of; "" where they speak of none."""
    for name in (*(link.type for link, _ in way.links), *way.middle):
        for form, event in _EVENTS:
            if re.search(form, name, re.IGNORECASE):
                return event
    return ""


def _said(survey: Survey, way: _Way) -> dict[str, Any]:
    """Value and time of a way, by the variables that its path has."""
    places = list(_places(survey, way))
    said: dict[str, Any] = {}
    for variable, named in places:
        own = f"{variable}.{quoted(named.name)}"
        if named.is_number and _RATING.search(named.name) and named.mean is not None:
            # Measured: subtracting a mean, of all or of the user, loses a quarter (docs/attach.md).
            said.setdefault("rating", (own, round(2 * named.mean) / 2))
        elif named.is_time or (_TIME.search(named.name) and _may_be_time(named)):
            said.setdefault("timestamp", own)
        elif named.is_number and _VALUE.fullmatch(named.name):
            said.setdefault("value", own)
    if "rating" in said:
        said["value"] = said["rating"][0]
    return said


def _may_be_time(found: Property) -> bool:
    if found.is_text:
        return re.match(r"\d{4}-\d\d-\d\d", str(found.example)) is not None
    return found.is_number and isinstance(found.example, int | float) and found.example > 1e8


def _places(survey: Survey, way: _Way) -> Iterator[tuple[str, Property]]:
    for number, (link, _) in enumerate(way.links):
        for named in survey.link_properties(link.type):
            yield _variable(link.type, number), named
    for label in way.middle:
        for named in survey.properties(label):
            yield _variable(label), named


def _variable(name: str, number: int = 0) -> str:
    plain = re.sub(r"\W", "_", name).lower()
    plain = plain if re.match(r"[a-z]", plain) else f"x{plain}"
    plain = f"{plain}{number + 1}" if number else plain
    return f"{plain}_" if _TAKEN.fullmatch(plain) else plain


_TAKEN = re.compile(
    "user|item|other|category|and|or|xor|not|in|is|null|true|false|starts|ends|with|contains|case|"
    "when|then|else|end"
)
"""Names that a variable of a path cannot have: of its ends, and what means something else."""


def _node(survey: Survey, label: str, reasons: list[str]) -> dict[str, Any]:
    """Label, id and title of some nodes."""
    properties = survey.properties(label)
    key = _key(survey, label, properties)
    texts = [each for each in properties if each.is_text and each.name != key.name]
    titles = [each for each in texts if _TITLE.search(each.name) and each.share > 0.5]
    titles.sort(key=lambda each: (
        not re.search(rf"^({label})?_?(name|title)$", each.name, re.IGNORECASE),
        not each.name.lower().endswith(("name", "title")),
    ))  # fmt: skip
    why = "a constraint keeps it unique" if key.name in survey.keys.get(label, ()) else (
        "no two nodes of a sample have the same")  # fmt: skip
    reasons.append(f":{label} has its id in {key.name} ({'/'.join(key.types).lower()}; {why})")
    return {"label": label, "id": key.name} | ({"title": titles[0].name} if titles else {})


def _key(survey: Survey, label: str, properties: Sequence[Property]) -> Property:
    keys = survey.keys.get(label, frozenset())
    able = [
        each for each in properties
        if each.share > 0.99 and each.unique and each.types in (("STRING",), ("INTEGER",))
    ]  # fmt: skip
    if not able:
        raise ForeignGraphError(
            f"no property of :{label} tells its nodes apart: give each an id of its own, and a "
            "constraint that keeps it unique"
        )
    return min(able, key=lambda each: (
        each.name not in keys,
        each.name.startswith("_"),
        not re.search(rf"^({label})?_?(id|key|uuid|code|number)$", each.name, re.IGNORECASE),
        not each.name.lower().endswith("id"),
        each.name,
    ))  # fmt: skip


def _available(survey: Survey, label: str, reasons: list[str]) -> dict[str, Any]:
    """What says that an item may be recommended."""
    for named in survey.properties(label):
        gone = re.search("discontinued|deleted|archived|hidden|removed", named.name, re.IGNORECASE)
        there = re.fullmatch("(is_?)?(available|active|in_?stock|published|enabled)", named.name,
                             re.IGNORECASE)  # fmt: skip
        value = {"BOOLEAN": "false", "INTEGER": "0"}.get(named.types[0], "'0'")
        if gone and (value != "'0'" or named.example in ("0", "1")):
            said = f"item.{quoted(named.name)} = {value}"
        elif there and named.types == ("BOOLEAN",):
            said = f"item.{quoted(named.name)} = true"
        else:
            continue
        reasons.append(f":{label} may be recommended where {said}")
        return {"available": said}
    return {}


def _interactions(
    survey: Survey, ways: Sequence[_Way], reasons: list[str]
) -> Iterator[dict[str, Any]]:
    """A path for each way from users to items, each with an event of its own."""
    event_kinds, taken = default_events(), set[str]()
    for way in ways:
        event = _event_of(way) or named_as(way.links[-1][0].type, event_kinds) or "interaction"
        if event in taken:
            event = way.links[-1][0].type.lower()
        taken.add(event)
        said = _said(survey, way)
        rating = said.pop("rating", None)
        path = _path(way, ("user", "item"))
        told = [f"{name} {value}" for name, value in said.items()]
        reasons.append(
            f"{path} is {event}, about {way.count:,.0f}" + (f": {', '.join(told)}" if told else "")
        )
        if rating is not None:
            reasons.append(
                f"{rating[0]} is taken as it is, so a low one counts a little; value = "
                f'"{rating[0]} - {rating[1]:g}", about its mean, has what is below count against '
                "an item, and was measured to be worse"
            )
        yield {"path": path, "event": event, **said}


def _path(way: _Way, ends: tuple[str, str]) -> str:
    text = f"({ends[0]})"
    for number, (link, on) in enumerate(way.links):
        inner = f"-[{_variable(link.type, number)}:{quoted(link.type)}]-"
        text += f"{inner}>" if on else f"<{inner}"
        if number < len(way.links) - 1:
            label = way.middle[number]
            text += f"({_variable(label)}:{quoted(label)})"
    return f"{text}({ends[1]})"


def _categories(survey: Survey, best: _Way, middle: set[str], reasons: list[str]) -> dict[str, Any]:
    """What groups items."""
    kinds: dict[str, Any] = {}
    paths: list[dict[str, str]] = []
    for link in survey.links:
        on = link.source == best.item
        other = link.target if on else link.source
        if best.item not in (link.source, link.target) or other in (best.item, best.user, *middle):
            continue
        there = survey.labels.get(other, 0)
        few = 0 < there <= _MOST_CATEGORIES_SHARE * survey.labels[best.item]
        if not few or link.count < 1.5 * there:
            continue
        try:
            kinds.setdefault(other.lower(), _node(survey, other, reasons))
        except ForeignGraphError:
            continue
        arrow = f"-[:{quoted(link.type)}]->" if on else f"<-[:{quoted(link.type)}]-"
        paths.append({"path": f"(item){arrow}(category:{quoted(other)})"})
        reasons.append(f":{other} ({there:,}) groups items over {link.type} ({link.counted})")
    return {"category": kinds, "item_categories": paths} if kinds else {}


def _follows(survey: Survey, user: str, reasons: list[str]) -> list[dict[str, str]]:
    links = [link for link in survey.links if link.source == link.target == user]
    reasons += [f":{user} follow each other over {each.type} ({each.counted})" for each in links]
    return [{"path": f"(user)-[:{quoted(link.type)}]->(other)"} for link in links]
