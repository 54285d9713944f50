"""Everything a request reads from Neo4j, and the only Cypher at request time.

Every call has a deadline. One driver per event loop, opened by `open` and closed by `close`.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, cast

import neo4j
import orjson

from loaders.catalogue import Query, catalogue
from loaders.errors import Neo4jTimeoutError
from loaders.gateway import Neo4jAddress, Row, checked, translated_errors
from recsvc.errors import NotFoundError, SnapshotError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SEEN_LIMIT = 50_000
_VERSIONS_LIMIT = 200
_PLANNING_SECONDS = 30.0
_PARAMETER = re.compile(r"\$(\w+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StoredUser:
    """What the graph knows about one user.

    Attributes:
        interactions: (item_id, event, stored weight, Unix seconds or None), newest first.
        follows: (user_id, name or None).
        prefers: (category_id, weight, name or None).
    """

    interactions: list[tuple[str, str, float, float | None]]
    follows: list[tuple[str, str | None]]
    prefers: list[tuple[str, float, str | None]]


@dataclass(frozen=True, slots=True)
class ActiveVersion:
    """The active version of one model; `sha256` is that of the blend's arrays."""

    model: str
    version: int
    slot: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class FoundPath:
    """A path behind a meta-path's strength, from the evidence node to the item.

    Attributes:
        evidence_id: the evidence node.
        item_id: the item.
        strength: what this path adds to the kernel.
        start: the step from the user to the evidence; None for someone the graph does not know.
        path: from the evidence node to the item.
    """

    evidence_id: str
    item_id: str
    strength: float
    start: neo4j.graph.Path | None
    path: neo4j.graph.Path


class Store:
    """Asynchronous reads with a deadline each."""

    def __init__(self, address: Neo4jAddress, *, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._driver: neo4j.AsyncDriver | None = None

    async def open(self) -> None:
        """Make the driver; connections are opened when they are needed."""
        self._driver = neo4j.AsyncGraphDatabase.driver(
            self._address.uri,
            auth=self._address.auth,
            connection_timeout=self._timeout_seconds,
            connection_acquisition_timeout=self._timeout_seconds,
            # Below the deadline, so that a server that is away is told from one that is slow.
            max_transaction_retry_time=self._timeout_seconds / 4,
            notifications_min_severity="OFF",
            user_agent="recsvc",
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._driver is not None:
            await self._driver.close()

    async def warm_up(self) -> None:
        """Let Neo4j plan the queries of a request, which takes it a second the first time.

        Raises:
            Neo4jError: it does not answer.
        """
        nobody = ""
        wanted: dict[str, dict[str, Any]] = {
            "serve/user_evidence": {"user_id": nobody, "limit": 1, "seen_limit": 1},
            "serve/live_items": {"item_ids": [nobody]},
        }
        for query in catalogue().folder("explain"):
            wanted[query.name] = path_parameters([(nobody, nobody)], nobody, limit=1)
        for name, parameters in wanted.items():
            await self._run(catalogue()[name], timeout_seconds=_PLANNING_SECONDS, **parameters)

    async def user(self, user_id: str, *, limit: int) -> StoredUser:
        """What the graph knows about a user.

        Raises:
            NotFoundError: there is no such user.
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(
            catalogue()["serve/user_evidence"], user_id=user_id, limit=limit, seen_limit=SEEN_LIMIT
        )
        if not rows:
            raise NotFoundError(f"no user {user_id!r} in the graph")
        row = rows[0]
        return StoredUser(
            *(
                [tuple(entry) for entry in row[name]]
                for name in ("interactions", "follows", "prefers")
            )
        )

    async def user_exists(self, user_id: str) -> bool:
        """Whether a user is in the graph."""
        return (await self._run(catalogue()["serve/user_exists"], user_id=user_id))[0]["found"]

    async def live_items(self, item_ids: Sequence[str]) -> frozenset[str]:
        """Those of the items that exist and are available now."""
        rows = await self._run(catalogue()["serve/live_items"], item_ids=list(item_ids))
        return frozenset(rows[0]["item_ids"])

    async def paths(
        self, metapath: str, pairs: Sequence[tuple[str, str]], user_id: str | None, *, limit: int
    ) -> list[FoundPath]:
        """The strongest paths between pairs of (evidence id, item id) along one meta-path."""
        parameters = path_parameters(pairs, user_id, limit=limit)
        rows = await self._run(catalogue()[f"explain/{metapath}"], **parameters)
        return [FoundPath(**row) for row in rows]

    async def similar_users(self, user_id: str, k: int, model: ActiveVersion) -> list[Row]:
        """The k nearest users under a model: id, name, score (cosine)."""
        query = catalogue()[f"serve/similar_users[{model.model},{model.slot}]"]
        return await self._run(query, user_id=user_id, k=k)

    async def add_events(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write events; they are committed when this returns. Returns how many were new."""
        answer = await self._run(catalogue()["ingest/events"], rows=list(rows))
        return answer[0]["counted"] if answer else 0

    async def active_versions(self) -> dict[str, ActiveVersion]:
        """The active version of every model, by name."""
        rows = await self._run(catalogue()["serve/active_versions"])
        return {row["model"]: ActiveVersion(**row) for row in rows}

    async def versions(self) -> list[Row]:
        """The newest versions of all models, as JSON-ready values."""
        rows = await self._run(catalogue()["serve/versions"], limit=_VERSIONS_LIMIT)
        return [_plain(row["properties"]) for row in rows]

    async def snapshot_content(self, version: int) -> bytes:
        """The packed arrays of one version of the blend.

        Raises:
            SnapshotError: it has none.
        """
        parts: list[bytes] = []
        query = catalogue()["serve/snapshot_part"]
        while rows := await self._run(query, version=version, number=len(parts)):
            parts.append(rows[0]["content"])
        if not parts:
            raise SnapshotError(f"hybrid {version} has no stored arrays: run `recsvc refresh`")
        return b"".join(parts)

    async def _run(
        self, query: Query, *, timeout_seconds: float | None = None, **parameters: Any
    ) -> list[Row]:
        if self._driver is None:
            raise RuntimeError("Store.open() has not been called")
        seconds = timeout_seconds or self._timeout_seconds

        @neo4j.unit_of_work(timeout=seconds)
        async def work(transaction: neo4j.AsyncManagedTransaction) -> list[Row]:
            result = await transaction.run(query.text, checked(query, parameters))
            return [dict(record.items()) async for record in result]

        async with (
            self._deadline(query, seconds),
            self._driver.session(database=self._address.database) as session,
        ):
            if query.mode == "write":
                return await session.execute_write(work)
            return await session.execute_read(work)

    @asynccontextmanager
    async def _deadline(self, query: Query, seconds: float) -> "AsyncGenerator[None]":
        try:
            async with asyncio.timeout(seconds):
                with translated_errors(self._address.uri, query):
                    yield
        except TimeoutError:
            raise Neo4jTimeoutError(
                f"Neo4j at {self._address.uri} did not answer cypher/{query.name} within "
                f"{seconds:g} s"
            ) from None


def path_parameters(
    pairs: Sequence[tuple[str, str]], user_id: str | None, *, limit: int
) -> dict[str, Any]:
    """The parameters of every query under `cypher/explain/`."""
    return {
        "pairs": [{"evidence_id": evidence, "item_id": item} for evidence, item in pairs],
        "user_id": user_id,
        "limit": limit,
    }


def pasteable(metapath: str, parameters: Mapping[str, Any]) -> str:
    """The text of an explain query with its parameters written out, for Neo4j Browser.

    It is shown, never run by us: what we run takes its values as parameters.
    """
    query = catalogue()[f"explain/{metapath}"]
    values = checked(query, parameters)
    return _PARAMETER.sub(lambda match: _literal(values[match[1]]), query.text)


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        entries = cast(Mapping[str, Any], value).items()
        return "{" + ", ".join(f"{name}: {_literal(entry)}" for name, entry in entries) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, cast("list[Any]", value))) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return "'" + _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped) + "'"
    return "null" if value is None else str(value)


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Node properties as JSON-ready values; the texts that hold JSON are read."""
    plain: dict[str, Any] = {}
    for name, value in sorted(properties.items()):
        if isinstance(value, neo4j.time.DateTime):
            native = value.to_native()
            plain[name] = (native if native.tzinfo else native.replace(tzinfo=UTC)).isoformat()
        elif name in ("options", "metrics") and isinstance(value, str):
            plain[name] = orjson.loads(value)
        else:
            plain[name] = value
    return plain
