"""All that is known of and derived from a user, as one JSON document that is sent in parts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import orjson

from recsvc.answer import as_document
from recsvc.errors import SnapshotError
from recsvc.graph.export_store import Section
from recsvc.graph.store import Store
from recsvc.recommend.query import RecommendationQuery

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

_QUERY: Final = RecommendationQuery(explain="full")


async def export(engine: "Engine", store: Store, user_id: str) -> AsyncIterator[bytes]:
    """All that is known of and derived from a user.

    What an answer takes is read before this returns, the rest while it is sent: a few thousand
    entries at a time are in memory, however many there are.

    Returns:
        The parts of one JSON document. An error between them leaves it cut off.

    Raises:
        NotFoundError: there is no such user.
        Neo4jError: the graph cannot be read in time.
        BusyError: a list for them is large, and as much as can be done is in hand.
    """
    node = await store.node("user", user_id)
    head: dict[str, Any] = {
        "user_id": user_id,
        "exported_at": datetime.now(UTC).isoformat(),
        "user": node.properties,
        "vectors": await store.vectors(user_id),
        "measured": await store.measured(user_id),
        "recommendations": await _recommendations(engine, user_id),
    }
    return _parts(store, user_id, head)


async def _recommendations(engine: "Engine", user_id: str) -> dict[str, Any] | None:
    try:
        return as_document(await engine.recommend(user_id, _QUERY))
    except SnapshotError:  # nothing has been refreshed yet
        return None


async def _parts(store: Store, user_id: str, head: dict[str, Any]) -> AsyncIterator[bytes]:
    yield orjson.dumps(head)[:-1]
    for section in get_args(Section):
        yield b',"%s":[' % section.encode()
        before = b""
        async for page in store.section(user_id, section):
            if page:
                yield before + orjson.dumps(page)[1:-1]
                before = b","
        yield b"]"
    yield b"}"
