"""The questions under `cypher/analyst/`, and values to begin with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from loaders.catalogue import Query, catalogue
from loaders.mapped import MappedGraph
from recsvc.event_kinds import EventSettings, kind_key

EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "user_id": "2",
        "other_id": "275",
        "item_id": "289",
        "other_item_id": "701",
        "model": "lightgcn",
        "other_model": "node2vec",
        "steps": ["view", "cart", "purchase"],
        "kind": "click",
        "days": 30,
        "sample": 100,
        "nearest": 10,
        "most_followed": 100,
        "most_people": 5,
        "least_people": 3,
        "least_items": 20,
        "least_shared": 3,
        "least_weight": 1000.0,
        "limit": 20,
    }
)
"""Values of all parameters of the questions but `events`, which the settings give: of Last.fm."""

_TOPICS = (("user_id", "One user"), ("item_id", "One item"), ("model", "Models"))
_OTHER_TOPIC = "The whole graph"
_EMPTY = re.compile(r"Empty (?:where|before) .*\.$")


@dataclass(frozen=True, slots=True)
class Question:
    """One question that analysts ask.

    Attributes:
        name: of its file, without the folder.
        title: the question itself.
        note: what there is to know about the answer; may be empty.
        empty: what it means when there is no answer; may be empty.
        topic: what it is about.
        query: answers it.
    """

    name: str
    title: str
    note: str
    empty: str
    topic: str
    query: Query


def questions(graph: MappedGraph | None = None) -> tuple[Question, ...]:
    """All of them, those about one user first, then by name.

    Args:
        graph: how the graph maps to ours, where it is the graph of somebody else.
    """
    queries = catalogue().folder("analyst")
    if graph is not None:
        queries = [replace(query, text=graph.statement(query)) for query in queries]
    all_questions = [_question(query) for query in queries]
    order = [topic for _, topic in _TOPICS] + [_OTHER_TOPIC]
    return tuple(
        sorted(all_questions, key=lambda question: (order.index(question.topic), question.name))
    )


def _question(query: Query) -> Question:
    title, _, note = query.title.partition("? ")
    reason = _EMPTY.search(note)
    topic = next((name for key, name in _TOPICS if key in query.params), _OTHER_TOPIC)
    return Question(
        query.name.removeprefix("analyst/"),
        f"{title.removesuffix('?')}?",
        note,
        "" if reason is None else reason[0],
        topic,
        query,
    )


def values(events: Mapping[str, EventSettings]) -> dict[str, Any]:
    """A value for every parameter: `EXAMPLES`, and the settings of the kinds of events."""
    by_key = {kind_key(name): event.model_dump(exclude={"hides"}) for name, event in events.items()}
    return {**EXAMPLES, "events": by_key}
