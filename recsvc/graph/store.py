"""Everything a request reads from and writes to Neo4j. Every call has a deadline."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from loaders.catalogue import catalogue
from loaders.embedding_models import EMBEDDING_MODELS
from loaders.errors import (
    QueryError,
)
from loaders.gateway import Gateway, Row, taken
from loaders.limits import MAX_AMOUNT, MAX_LINKS
from loaders.schema import missing
from recsvc.errors import NotFoundError
from recsvc.evidence import EVIDENCE_KINDS, EvidenceKind
from recsvc.graph.change_store import ChangeStore, event_changes
from recsvc.graph.experiment_store import ExperimentStore
from recsvc.graph.export_store import ExportStore
from recsvc.graph.fulltext_query import signs_query, words_query
from recsvc.graph.json_values import json_value
from recsvc.graph.known_items import KnownItems
from recsvc.graph.outcome_store import OutcomeStore, outcomes_step
from recsvc.graph.pasteable_cypher import path_parameters
from recsvc.graph.read_coalescing import CoalescedReads
from recsvc.graph.refused_writes import refuse_beyond, refuse_cycles
from recsvc.graph.rows import (
    UNKNOWN,
    ActiveVersion,
    CategoryScope,
    FoundPath,
    LiveItem,
    PendingDeletions,
    State,
    StoredNode,
    StoredUser,
    event_row,
    found_path,
    live_items,
    pending_of,
    stored_user,
)
from recsvc.graph.sample_store import SampleStore
from recsvc.graph.scenario_store import ScenarioStore
from recsvc.graph.version_store import VersionStore

SEEN_LIMIT = 50_000
Step = tuple[str, Mapping[str, Any]]
"""Name of a query and its parameters."""

_NAMED: Mapping[EvidenceKind, str] = {"user": "name", "item": "title", "category": "name"}


class Store(
    OutcomeStore,
    ScenarioStore,
    ExperimentStore,
    VersionStore,
    ExportStore,
    SampleStore,
    ChangeStore,
):
    """What is read and written, query by query.

    Attributes:
        schema_trouble: which constraints and indexes are not there, as far as was looked.
    """

    schema_trouble: str | None = None

    @cached_property
    def _users(self) -> CoalescedReads[tuple[str, int], StoredUser | None]:
        return CoalescedReads(self._read_users)

    @cached_property
    def _live_items(self) -> CoalescedReads[tuple[frozenset[str], State], dict[str, LiveItem]]:
        return CoalescedReads(self._read_live_items_of_all)

    @cached_property
    def _known_items(self) -> KnownItems:
        return KnownItems()

    async def open(self) -> None:
        """See `Transport.open`. It may be another graph: nothing of the one before is known."""
        self._known_items = KnownItems()
        await super().open()

    async def user(self, user_id: str, *, limit: int) -> StoredUser:
        """What the graph knows about a user.

        Raises:
            NotFoundError: there is no such user.
            Neo4jError: the graph cannot be read in time.
        """
        stored = await self._shared("serve/user_evidence", self._users, (user_id, limit))
        if stored is None:
            raise NotFoundError(f"no user {user_id!r} in the graph")
        return stored

    async def _read_users(self, asked: Sequence[tuple[str, int]]) -> list[StoredUser | None]:
        parameters = {
            "user_ids": list({user_id for user_id, _ in asked}),
            "limit": max(limit for _, limit in asked),
            "seen_limit": SEEN_LIMIT,
        }
        rows, state = await self._run_after(
            catalogue()["serve/user_evidence"], parameters, UNKNOWN, self.timeout_seconds
        )
        row_of = {row["user_id"]: row for row in rows}
        if len(row_of) < len(rows):
            first = {row["user_id"]: row["inside"] for row in reversed(rows)}
            repeated = [row["inside"] for row in rows if row["inside"] not in first.values()]
            self.unread.note([("User.user_id of another", inside) for inside in repeated])
            row_of = {row["user_id"]: row for row in reversed(rows)}
        users = [
            stored_user(row_of[u], limit, state) if u in row_of else None for u, limit in asked
        ]
        self.unread.note([each for user in users if user is not None for each in user.unread])
        return users

    async def done_again(self, user_id: str, moment: datetime) -> dict[tuple[str, str], float]:
        """See `cypher/serve/done_again.cypher`: the first time by (item_id, event).

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(catalogue()["serve/done_again"], user_id=user_id, moment=moment)
        return {(row["item_id"], row["event"]): row["first_at"] for row in rows}

    async def known(self, named: Sequence[tuple[EvidenceKind, str]]) -> set[tuple[str, str]]:
        """Those of some users, items and categories that there are."""
        ids = {kind: [each for k, each in named if k == kind] for kind in EVIDENCE_KINDS}
        query = catalogue()["serve/known"]
        (row,) = await self._run(
            query, user_ids=ids["user"], item_ids=ids["item"], category_ids=ids["category"]
        )
        return {(kind, each) for kind in EVIDENCE_KINDS for each in row[f"{kind}_ids"]}

    async def user_exists(self, user_id: str) -> bool:
        """Whether a user is in the graph."""
        return (await self._run(catalogue()["serve/user_exists"], user_id=user_id))[0]["found"]

    async def live_items(
        self, item_ids: Collection[str], categories: Sequence[str] = (), state: State = UNKNOWN
    ) -> dict[str, LiveItem]:
        """Those of the items that exist, as they are now: what every answer is made from.

        What was read in the same state of the graph is not read again.

        Args:
            item_ids: which items.
            categories: ids of categories; `LiveItem.inside` says whether an item is in one of them.
            state: of the graph now, where that was read for the same answer.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        if categories and item_ids:
            return (await self._read_live_items(item_ids, categories, UNKNOWN))[0]
        earlier = self._known_items.of(state)
        missing = frozenset(item_id for item_id in item_ids if item_id not in earlier)
        live: Mapping[str, LiveItem] = {}
        if missing:
            asked = (missing, state)
            live = await self._shared("serve/live_items", self._live_items, asked)
        return {i: item for i in item_ids if (item := live.get(i) or earlier.get(i)) is not None}

    async def _read_live_items_of_all(
        self, asked: Sequence[tuple[frozenset[str], State]]
    ) -> list[dict[str, LiveItem]]:
        item_ids = frozenset[str]().union(*(wanted for wanted, _ in asked))
        states = {state for _, state in asked}
        live, state = await self._read_live_items(item_ids, (), UNKNOWN.union(*states))
        if state and state in states:
            self._known_items.keep(state, item_ids, live)
        return [live] * len(asked)

    async def _read_live_items(
        self, item_ids: Collection[str], categories: Sequence[str], after: State
    ) -> tuple[dict[str, LiveItem], State]:
        parameters = {"item_ids": list(item_ids), "category_ids": list(categories)}
        (row,), state = await self._run_after(
            catalogue()["serve/live_items"], parameters, after, self.timeout_seconds
        )
        self.unread.note(row["unread"])
        # What cannot be read is counted whenever it is met: so it is not kept.
        return live_items(row["items"]), UNKNOWN if row["unread"] else state

    async def category_scope(self, categories: Sequence[str], limit: int) -> CategoryScope:
        """What a filter by some categories means now, with its items where they are so few.

        Raises:
            NotFoundError: there is no category of a name.
            Neo4jError: the graph cannot be read in time.
        """
        (row,) = await self._run(
            catalogue()["serve/category_items"], category_ids=list(categories), limit=limit + 1
        )
        for category in categories:
            if category not in row["known"]:
                raise NotFoundError(f"no category {category!r} in the graph")
        items = frozenset(row["item_ids"])
        return CategoryScope(tuple(row["category_ids"]), items if len(items) <= limit else None)

    async def other_items(
        self, others: Sequence[str], categories: Sequence[str], limit: int
    ) -> list[tuple[str, str | None]]:
        """(id, title) of items that may be recommended now and are not among the others."""
        rows = await self._run(
            catalogue()["serve/other_items"], others=list(others), category_ids=list(categories),
            limit=limit,
        )  # fmt: skip
        return [(row["item_id"], row["title"]) for row in rows]

    async def item_count(self) -> int:
        """How many items there are.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        return (await self._run(catalogue()["serve/item_count"]))[0]["items"]

    async def items_left(
        self, categories: Sequence[str], seen: Sequence[str], excluded: Sequence[str]
    ) -> Row:
        """How many items there are now: see `cypher/serve/items_left.cypher`."""
        (row,) = await self._run(
            catalogue()["serve/items_left"], category_ids=list(categories), seen=list(seen),
            excluded=list(excluded),
        )  # fmt: skip
        return row

    def has_metapath(self, name: str) -> bool:
        """Whether there still is a file of a meta-path, and Neo4j takes it."""
        return self._has(f"metapaths/{name}")

    def has_paths(self, metapath: str) -> bool:
        """Whether there is a file that finds the paths of a meta-path, and Neo4j takes it."""
        return self._has(f"explain/{metapath}")

    async def metapath(
        self, name: str, evidence_ids: Sequence[str], kinds: Sequence[str]
    ) -> dict[str, tuple[list[str], list[float]]]:
        """Items and strengths of one meta-path, by evidence node."""
        query = catalogue()[f"extract/metapath_rows[{name}]"]
        given = taken(query, {"evidence_ids": list(evidence_ids), "kinds": list(kinds)})
        rows = await self._run(query, **given)
        return {row["evidence_id"]: (row["item_ids"], row["strengths"]) for row in rows}

    async def two_steps(
        self, evidence_ids: Sequence[str], kinds: Sequence[str]
    ) -> dict[str, tuple[list[str], list[float]]]:
        """Where a random walk is after two steps, by the item it starts from."""
        rows = await self._run(
            catalogue()["serve/two_steps"], evidence_ids=list(evidence_ids), kinds=list(kinds)
        )
        return {row["evidence_id"]: (row["item_ids"], row["shares"]) for row in rows}

    async def paths(
        self,
        metapath: str,
        pairs: Sequence[tuple[str, str]],
        user_id: str | None,
        kinds: Sequence[str],
        *,
        limit: int,
    ) -> list[FoundPath]:
        """The strongest paths between pairs of (evidence id, item id) along one meta-path.

        Raises:
            Neo4jError: the graph cannot be read in time, or was away and plans this first.
        """
        self._refuse_paths_while_planned()
        query = catalogue()[f"serve/paths[{metapath}]"]
        parameters = path_parameters(pairs, user_id, kinds, limit=limit)
        rows = await self._run(query, **taken(query, parameters))
        return [found_path(*path) for path in rows[0]["paths"]]

    async def similar_users(self, user_id: str, k: int, model: ActiveVersion) -> list[Row]:
        """The k nearest users under a model: id, name, score (cosine).

        Raises:
            NotFoundError: the vector index of the model is not there.
            Neo4jError: the graph cannot be read in time.
        """
        name, slot = model.model, model.slot
        query = catalogue()[f"serve/similar_users[{name},{slot}]"]
        try:
            return await self._run(query, user_id=user_id, k=k)
        except QueryError as error:
            index = f"user_embedding_{name}_{slot}"
            if index not in str(error):
                raise
            index_query = catalogue()[f"writeback/user_vector_index[{name},{slot}]"]
            makes = " ".join(self.address.statement(index_query).split())
            raise NotFoundError(
                f"no vector index {index} in the graph: somebody dropped it, and {makes} makes it"
            ) from error

    async def node(self, kind: EvidenceKind, node_id: str) -> StoredNode:
        """What its owner knows about a node.

        Raises:
            NotFoundError: there is no such node.
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(catalogue()[f"serve/{kind}"], id=node_id, limit=MAX_LINKS)
        if not rows:
            raise NotFoundError(f"no {kind} {node_id!r} in the graph")
        properties = {name: json_value(value) for name, value in sorted(rows[0]["properties"])}
        if self.address.graph is not None and rows[0]["named"] is not None:
            properties = {_NAMED[kind]: json_value(rows[0]["named"])} | properties
        return StoredNode(properties, [(link, weight) for link, weight in rows[0]["links"]])

    def check_takes_events(self) -> None:
        """See that events can be stored here, before any are read.

        Raises:
            ForeignGraphError: the graph is somebody else's, in which none are stored.
        """
        self.address.statement(catalogue()["ingest/events"])

    async def add_events(
        self, rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Mapping[str, Any]] = ()
    ) -> list[str]:
        """Write events, and the outcomes that some of them are, in one transaction.

        They are committed when this returns. Returns the ids of the new events.

        Raises:
            SumBeyondError: they would take a sum beyond its limit; none of them is written.
            Neo4jError: the graph cannot be written in time.
        """
        counted = {row["event_id"]: row for row in reversed(rows)}
        own = [each for each in outcomes if _is_of(each, counted[each["event_id"]])]
        first = {each["event_id"]: each for each in reversed(own)}
        told = {event_id: {"outcome_id": each["outcome_id"]} for event_id, each in first.items()}
        events = [event_row(row) | told.get(row["event_id"], {}) for row in rows]
        steps = [(catalogue()["ingest/events"], {"rows": events, "limit": MAX_AMOUNT})]
        if self.address.graph is not None:
            # Somebody else's graph tells what is missing, and whether it can be made.
            ids = {name: [{"id": each, "make": True} for each in sorted({r[key] for r in rows})]
                   for name, key in (("users", "user_id"), ("items", "item_id"))}  # fmt: skip
            steps.insert(0, (catalogue()["write/nodes"], {**ids, "categories": []}))
        if first:  # before the events, which tell whether they are new
            steps.insert(0, outcomes_step([*first.values()]))
        feeding = self._feeding(lambda answers: event_changes(rows, answers[-1]))
        *_, answer = await self._write(steps, refuse_beyond, feeding)
        return answer[0]["event_ids"] if answer else []

    async def write(
        self, steps: Sequence[Step], told: Callable[[list[list[Row]]], list[Row]]
    ) -> list[list[Row]]:
        """Run queries in one transaction, which is committed when this returns.

        Args:
            steps: the queries.
            told: makes the changes for the feed from the rows of the queries.

        Raises:
            CategoryCycleError: one of them finds a category that is its own ancestor; nothing is
                written.
            Neo4jError: the graph cannot be written in time.
        """
        queries = [(catalogue()[name], parameters) for name, parameters in steps]
        return await self._write(queries, refuse_cycles, self._feeding(told))

    async def pending_deletions(self) -> PendingDeletions:
        """The deletions that have not been finished in all stored snapshots."""
        (row,) = await self._run(catalogue()["delete/deletions"])
        self.unread.note(row["unread"])
        return pending_of(row["notes"])

    async def look_at_schema(self, active: Iterable[ActiveVersion]) -> None:
        """Take in which constraints and indexes are not there, for `schema_trouble`.

        Args:
            active: the active versions, whose vector indexes are expected.

        Raises:
            Neo4jError: nothing is known of that: it does not answer.
        """
        if self.address.graph is not None:
            return  # its constraints and indexes are its owner's: `recsvc attach --check`
        rows = await self._run(catalogue()["ingest/indexes"])
        vectors = [
            catalogue()[f"writeback/{label}_vector_index[{version.model},{version.slot}]"]
            for version in active
            if version.model in EMBEDDING_MODELS and version.slot in ("a", "b")
            for label in ("user", "item")
        ]
        self.schema_trouble = "; ".join(missing(rows, vectors)) or None

    async def refresh_holder(self) -> str | None:
        """Who works on a refresh of this graph, as its lease says; None where nobody does."""
        rows = await self._run(catalogue()["lease/holder"])
        return rows[0]["holder"] if rows else None

    async def find(self, kind: EvidenceKind, text: str, limit: int) -> list[Row]:
        """Nodes by the beginning of their id, or by words of their title or name.

        Returns:
            id, title, and a count: of a user's items, an item's interactions, a category's items.
        """
        words, of = words_query(text), _NAMED[kind]
        if not words:
            words, of = signs_query(text), "signs"
        index = (await self._full_text_names())[f"recsvc_{kind}_{of}"]
        query = catalogue()[f"serve/find_{kind}"]
        return await self._run(query, prefix=text, words=words, index=index, limit=limit)


def _is_of(outcome: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether an outcome is an event, and not another one that came under the same id."""
    same = outcome["item_id"], outcome["properties"]["kind"]
    return same == (event["item_id"], event["event"]) and outcome["user_id"] in (
        None, event["user_id"],
    )  # fmt: skip


def unknown_users(gateway: Gateway, user_ids: Sequence[str]) -> list[str]:
    """Those of some users that are not in the graph, in their order, for a command.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    query = catalogue()["serve/known"]
    (row,) = gateway.run(query, user_ids=list(user_ids), item_ids=[], category_ids=[])
    user_ids_there = set(row["user_ids"])
    return [user_id for user_id in user_ids if user_id not in user_ids_there]
