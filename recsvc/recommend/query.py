"""Who asks, for what, and what is known about them when an answer is made."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from recsvc.answer import ExplainLevel, NodeRef, Source, VariantUsed
from recsvc.errors import TooMuchError
from recsvc.evidence import (
    Evidence,
    EvidenceKind,
    EvidenceNode,
    LiveRows,
    hidden_items,
    item_evidence,
)
from recsvc.graph.rows import UNKNOWN, State, StoredUser
from recsvc.outcomes.fatigue import Shown
from recsvc.scenarios.document import Scenario
from recsvc.settings import EventSettings

MOST_WORK: Final = 8_000_000
"""Most that a batch may ask for, and that one process takes on, see `RecommendationQuery.work`:
seconds."""
MOST_UNKNOWN: Final = 100
"""Most names of what the graph does not have in one answer."""
LARGE_WORK: Final = 20_000
"""What is less is done where it is asked for: to hand it to a thread would take longer."""
_WORK_OF_ANY = 100
_WORK_OF_ANY_LIST = 10
_WORK_OF_FULL = 8

STATED: Final = frozenset({"k", "diversity", "exclude_seen"})
"""What a request may say against a scenario, one that an experiment chose too."""

EvidenceKey = tuple[EvidenceKind, str]
"""Kind and outer id of a piece of evidence."""


@dataclass(frozen=True, slots=True)
class RecommendationQuery:
    """What a caller asks for.

    Attributes:
        k: how many items.
        categories: only items in one of these; all items where empty.
        exclude_seen: leave out what the user did something with.
        explain: how much of an explanation.
        diversity: how much an item loses by being like one above it, from 0 to 1.
        exclude: ids of items to leave out.
        without: evidence to answer without; an item among it is not recommended either.
        signal: the one signal that counts; all where it is None.
        version: the version of the blend; the active one where it is None.
        scenario: name of a stored scenario; its rules count, and its values where `stated` does not
            name them.
        stated: what the caller said and no scenario changes, of k, diversity and exclude_seen.
        in_experiments: whether experiments may have it answered by one of their variants, and its
            scenario may try something out.
        variant: of the experiment that it is answered under.
        recommendation_id: of an earlier answer: the places of exploration are drawn as for it.
        proof: whether the answer carries what its scores can be made again from.
    """

    k: int = 10
    categories: tuple[str, ...] = ()
    exclude_seen: bool = True
    explain: ExplainLevel = "summary"
    diversity: float = 0.0
    exclude: tuple[str, ...] = ()
    without: tuple[EvidenceKey, ...] = ()
    signal: str | None = None
    version: int | None = None
    scenario: str | None = None
    stated: frozenset[str] = frozenset()
    in_experiments: bool = True
    variant: VariantUsed | None = None
    recommendation_id: str | None = None
    proof: bool = False

    def under(self, scenario: Scenario) -> "RecommendationQuery":
        """The same with what a scenario says and the caller does not."""
        said = {"k": scenario.k, "diversity": scenario.diversity}
        said |= {"exclude_seen": scenario.exclude_seen}
        return replace(
            self, **{n: v for n, v in said.items() if v is not None and n not in self.stated}
        )

    def named(self) -> tuple[EvidenceKey, ...]:
        """What it names by id that is to be left out."""
        return (*(("item", each) for each in self.exclude), *self.without)

    def work(self, pieces: int) -> int:
        """How much an answer takes that is made from some pieces of evidence.

            (k + 10) · (pieces + 100) · level,    level: `full` 8, else 1

        A unit is about half a microsecond, and what takes 100 pieces is the same for all.
        """
        level = _WORK_OF_FULL if self.explain == "full" else 1
        return (self.k + _WORK_OF_ANY_LIST) * (pieces + _WORK_OF_ANY) * level


@dataclass(frozen=True, slots=True)
class StatedEvidence:
    """One piece of evidence that the caller states.

    Attributes:
        item_id: the item.
        event: kind of event.
        weight: counts as a stored weight does.
        at: when, in Unix seconds; None where that is not known.
    """

    item_id: str
    event: str = "interaction"
    weight: float = 1.0
    at: float | None = None


@dataclass(frozen=True)  # without slots, which leave no room for what is made once
class Asker:
    """Who asks, and what is known about them.

    Attributes:
        user_id: their id; None for someone the graph does not know.
        evidence: what is known about them.
        names: titles and names of the evidence, by kind and id.
        degraded: what could not be read.
        source: whose evidence it is; None where none was read.
        state: of the graph when the evidence had been read.
        shown: by item, how it was shown to them lately; empty where nothing fades.
        live: what was read in the place of stored rows; None where nothing was.
    """

    user_id: str | None
    evidence: Evidence
    names: Mapping[EvidenceKind, Mapping[str, str | None]] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    source: Source | None = None
    state: State = UNKNOWN
    shown: Mapping[str, Shown] = field(default_factory=dict[str, Shown])
    live: LiveRows | None = None

    @cached_property
    def nodes(self) -> tuple[NodeRef, ...]:
        """The evidence by title, in the order of `evidence.nodes`."""
        none: Mapping[str, str | None] = {}
        return tuple(
            NodeRef(node.kind, node.id, self.names.get(node.kind, none).get(node.id) or None)
            for node in self.evidence.nodes
        )

    def work(self, query: RecommendationQuery) -> int:
        """How much an answer to them takes, see `RecommendationQuery.work`."""
        return query.work(len(self.evidence.nodes))

    def is_large(self, query: RecommendationQuery) -> bool:
        """Whether an answer to them takes long enough to keep others waiting."""
        return self.work(query) > LARGE_WORK

    def without(self, keys: Sequence[EvidenceKey]) -> "Asker":
        """The same as if some evidence were not there; what was seen stays seen."""
        if not keys:
            return self
        gone = frozenset(keys)
        nodes = tuple(node for node in self.evidence.nodes if (node.kind, node.id) not in gone)
        return replace(self, evidence=replace(self.evidence, nodes=nodes))


def work_of(query: RecommendationQuery, pieces: Sequence[int], answers: int) -> int:
    """How much several answers take.

        (k + 10) · (100 · answers + pieces of evidence) · level

    Args:
        query: what is asked for.
        pieces: how much evidence there is of each who asks.
        answers: how many are given, those to somebody who is named again too.
    """
    return (answers - len(pieces)) * query.work(0) + sum(map(query.work, pieces))


def check_work(work: int, answers: int) -> None:
    """See that some answers together do not take too much; one alone may take any time.

    Args:
        work: see `work_of`.
        answers: how many are given.

    Raises:
        TooMuchError: they take more than `MOST_WORK`.
    """
    if answers > 1 and work > MOST_WORK:
        raise TooMuchError(
            f"these {answers} answers would take {work:,} of at most {MOST_WORK:,}, counted as "
            f"(k + {_WORK_OF_ANY_LIST}) x (pieces of evidence + {_WORK_OF_ANY}) of each, x "
            f"{_WORK_OF_FULL} for explain=full: ask for fewer users at a time, a smaller k or less "
            "of an explanation"
        )


def stated_asker(
    stated: Sequence[StatedEvidence],
    titles: Mapping[str, str | None],
    events: Mapping[str, EventSettings],
) -> Asker:
    """Someone of whom only what they state is known.

    Args:
        stated: what they state; without any time, what was done last comes first.
        titles: of the items, as they are now.
        events: settings by kind of event.
    """
    rows = [(each.item_id, each.event, each.weight, each.at) for each in stated]
    nodes = item_evidence(rows, events, now=time.time())
    if all(each.at is None for each in stated):
        order = {item_id: n for n, item_id in enumerate(dict.fromkeys(e.item_id for e in stated))}
        nodes = [replace(node, since=order[node.id]) for node in nodes]
    hidden = hidden_items([(each.item_id, each.event) for each in stated], events)
    evidence = Evidence(tuple(nodes), frozenset(each.item_id for each in stated), hidden)
    return Asker(None, evidence, {"item": titles})


def stored_asker(
    user_id: str,
    stored: StoredUser,
    events: Mapping[str, EventSettings],
    *,
    limit: int,
) -> Asker:
    """A user of the graph.

    Args:
        user_id: their id.
        stored: what the graph knows about them.
        events: settings by kind of event.
        limit: most items that count as evidence, the newest.
    """
    nodes = (
        *item_evidence(stored.interactions[:limit], events, now=time.time()),
        *(EvidenceNode("user", other, 1.0) for other, _, _ in stored.follows),
        *(
            EvidenceNode("category", category, weight, category_kind=kind)
            for category, weight, _, kind in stored.prefers
            if weight
        ),
    )
    seen = frozenset(row[0] for row in stored.interactions)
    hidden = hidden_items([(item_id, event) for item_id, event, *_ in stored.interactions], events)
    names: dict[EvidenceKind, Mapping[str, str | None]] = {
        "item": stored.titles,
        "user": {other: name for other, name, _ in stored.follows},
        "category": {category: name for category, _, name, _ in stored.prefers},
    }
    source = Source(frozenset([user_id, *(other for other, _, _ in stored.follows)]))
    return Asker(user_id, Evidence(nodes, seen, hidden), names, (), source, stored.state)
