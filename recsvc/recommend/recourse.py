"""What somebody would have to do for an item to come into their list."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from loaders.errors import Neo4jAwayError
from recsvc.answer import Answer, NodeRef
from recsvc.errors import NotFoundError
from recsvc.evidence import Evidence
from recsvc.explain.added_scores import AddedScores
from recsvc.explain.recourse import Recourse as Found
from recsvc.explain.recourse import find_recourse
from recsvc.graph.store import Store
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.query import LARGE_WORK, Asker
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.resolved_query import ResolvedQuery
from recsvc.recommend.workshop import WORKSHOP
from recsvc.snapshot.arrays import Snapshot

_WORK: Final = 50 * LARGE_WORK
"""Of a search, as `RecommendationQuery.work` counts it: half a second."""


@dataclass(frozen=True, slots=True)
class Recourse:
    """The smallest added evidence that brings an item into a list.

    Attributes:
        k: length of the list.
        rank: place of the item in the list now; None where it is in none.
        added: the items to add; None where no set was found.
        event: the kind of event that each is added by.
        rank_then: place of the item with them.
        certain: whether no smaller set does it; where none was found, whether none of one or two
            does.
        reason: why nothing can do it; None where something may.
        versions: by model, of what is served.
    """

    k: int
    event: str
    versions: dict[str, int]
    rank: int | None = None
    added: tuple[NodeRef, ...] | None = None
    rank_then: int | None = None
    certain: bool = True
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """Whose list, which item, and what may be done.

    Attributes:
        user_id: the user.
        item_id: the item.
        event: the kind of event.
        asked: what the list is asked for.
        snapshot: what it is made from.
    """

    user_id: str
    item_id: str
    event: str
    asked: ResolvedQuery
    snapshot: Snapshot


class RecourseFinder:
    """Finds recourse, and tries what was found.

    Args:
        store: the graph.
        askers: read who asks.
        answers: make answers of lists.
    """

    def __init__(self, store: Store, askers: AskerReader, answers: Answers) -> None:
        self._store = store
        self._askers = askers
        self._answers = answers

    async def find(
        self, user_id: str, item_id: str, event: str, asked: ResolvedQuery, snapshot: Snapshot
    ) -> Recourse:
        """The smallest added evidence that brings an item into a user's list.

        Args:
            user_id: the user.
            item_id: the item.
            event: the kind of event that is added.
            asked: what the list is asked for.
            snapshot: what it is made from.

        Raises:
            NotFoundError: there is no such user, or no such item at the last refresh.
            Neo4jError: the graph cannot be read in time.
            BusyError: as much as can be done is in hand.
        """
        question = _Question(user_id, item_id, event, asked, snapshot)
        nothing = Recourse(asked.query.k, event, dict(snapshot.versions))
        row = snapshot.items.row(item_id)
        if row < 0:
            raise NotFoundError(
                f"no item {item_id!r} at the last refresh: nothing speaks for an item that came "
                "since"
            )
        asker, answer, listing = await self._answered(question, ())
        if (rank := _rank(answer, item_id)) is not None:
            return replace(nothing, rank=rank, added=(), rank_then=rank)
        reason = await self._why_never(question, asker)
        if reason is not None:
            return replace(nothing, reason=reason)
        with WORKSHOP.room(_WORK):
            evidence, weight = await self._evidence_then(question)
            if not weight:
                return replace(nothing, reason=f"the event {event!r} counts nothing")
            recourse = await WORKSHOP.do(
                True, _search, question, asker, listing, evidence, weight, row
            )
        return await self._tried(question, nothing, recourse)

    async def _answered(
        self, question: _Question, added: Sequence[str]
    ) -> tuple[Asker, Answer, Listing]:
        """The list with some items added to the evidence.

        Raises:
            Neo4jAwayError: what is known of the user cannot be read.
        """
        asker, live = await self._askers.asker(
            question.user_id, question.snapshot, [(each, question.event) for each in added]
        )
        if asker.degraded:
            raise Neo4jAwayError("what is known of the user cannot be read")
        listing = await question.asked.listing(live, asker)
        return asker, await self._answers.of(listing, 0.0), listing

    async def _why_never(self, question: _Question, asker: Asker) -> str | None:
        live = await self._store.live_items([question.item_id])
        if question.item_id not in live:
            raise NotFoundError(f"no item {question.item_id!r} in the graph")
        if not live[question.item_id].available:
            return "the item is not available"
        if question.item_id in asker.evidence.seen:
            return "the user did something with the item"
        return None

    async def _evidence_then(self, question: _Question) -> tuple[Evidence, float]:
        """What is known as it counts once something is added now, and what that counts."""
        item_id = question.item_id
        asker, _ = await self._askers.asker(
            question.user_id, question.snapshot, [(item_id, question.event)]
        )
        nodes = asker.evidence.nodes
        weight = sum(node.weight for node in nodes if (node.kind, node.id) == ("item", item_id))
        others = tuple(node for node in nodes if (node.kind, node.id) != ("item", item_id))
        return replace(asker.evidence, nodes=others), weight

    async def _tried(self, question: _Question, nothing: Recourse, found: Found) -> Recourse:
        """What was found, once a list with it has the item."""
        snapshot = question.snapshot
        # What is added now is the latest, of which the search knows nothing.
        timeless = all(signal.half_life is None for signal in snapshot.blend.signals)
        certain = found.certain and timeless
        if found.added is None:
            return replace(nothing, certain=certain)
        ids = [snapshot.items[row] for row in found.added]
        _, answer, _ = await self._answered(question, ids)
        rank = _rank(answer, question.item_id)
        if rank is None:  # an item came, went or changed meanwhile
            return replace(nothing, certain=False)
        titles = [snapshot.titles[row] or None for row in found.added]
        added = tuple(NodeRef("item", *each) for each in zip(ids, titles, strict=True))
        return replace(nothing, added=added, rank_then=rank, certain=certain)


def _search(
    question: _Question,
    asker: Asker,
    listing: Listing,
    evidence: Evidence,
    weight: float,
    row: int,
) -> Found:
    stored, k = question.snapshot, question.asked.query.k
    scores = AddedScores(
        listing.snapshot.blend, stored.blend.signals, evidence, row, listing.eligible, weight, k,
        listing.faded,
    )  # fmt: skip
    may = np.array(stored.available)
    done = stored.items.rows([*asker.evidence.seen, question.item_id])
    may[done[done >= 0]] = False
    return find_recourse(scores, np.flatnonzero(may), k)


def _rank(answer: Answer, item_id: str) -> int | None:
    return next((item.rank for item in answer.items if item.item_id == item_id), None)


def recourse_document(recourse: Recourse) -> dict[str, Any]:
    """What was found, as JSON has it."""
    return asdict(recourse)
