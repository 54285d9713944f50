"""What is asked of one user, item or category, other than a list for them."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from loaders.gateway import Row
from recsvc.answer import SimilarAnswer
from recsvc.errors import NotFoundError
from recsvc.evidence import EvidenceKind
from recsvc.graph.rows import StoredNode, StoredUser
from recsvc.graph.store import Store
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.audience import Audience, audience
from recsvc.recommend.export import export
from recsvc.recommend.item_recourse import ItemRecourse, item_recourse
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.recourse import Recourse, RecourseFinder
from recsvc.recommend.resolved_query import QueryResolver
from recsvc.recommend.similar import embedding_model, similar_items, similar_users

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine


class Nodes:
    """Finds nodes, and says what is known of one and what is near to it.

    Args:
        engine: makes lists.
        store: the graph.
        askers: reads who asks.
        recourse: finds recourse.
        queries: resolves what is asked for.
    """

    def __init__(
        self,
        engine: "Engine",
        store: Store,
        askers: AskerReader,
        recourse: RecourseFinder,
        queries: QueryResolver,
    ) -> None:
        self._engine = engine
        self._store = store
        self._askers = askers
        self._recourse = recourse
        self._queries = queries

    async def find(self, kind: EvidenceKind, text: str, limit: int) -> list[Row]:
        """See `recsvc.graph.store.Store.find`."""
        return await self._store.find(kind, text, limit)

    async def users_at(self, share: float, limit: int) -> list[Row]:
        """See `recsvc.graph.sample_store.SampleStore.users_at`."""
        with self._store.one_request():
            return await self._store.users_at(share, limit)

    async def read(self, kind: EvidenceKind, node_id: str) -> StoredNode:
        """See `recsvc.graph.store.Store.node`."""
        return await self._store.node(kind, node_id)

    async def evidence(self, user_id: str) -> tuple[Asker, StoredUser]:
        """See `recsvc.recommend.asker_reader.AskerReader.evidence`."""
        return await self._askers.evidence(user_id)

    async def export(self, user_id: str) -> AsyncIterator[bytes]:
        """See `recsvc.recommend.export.export`."""
        return await export(self._engine, self._store, user_id)

    async def similar_items(self, item_id: str, k: int, model: str | None) -> SimilarAnswer:
        """See `recsvc.recommend.similar.similar_items`."""
        snapshot = self._engine.snapshot
        name = embedding_model(snapshot, model)
        with self._store.one_request():
            return await similar_items(self._store, snapshot, name, item_id, k)

    async def similar_users(self, user_id: str, k: int, model: str | None) -> SimilarAnswer:
        """See `recsvc.recommend.similar.similar_users`."""
        name = embedding_model(self._engine.snapshot, model)
        active = self._engine.active_versions.get(name)
        if active is None or active.slot is None:
            raise NotFoundError(f"no active version of {name}")
        with self._store.one_request():
            return await similar_users(self._store, active, user_id, k)

    async def audience(self, item_id: str, users: int, k: int, days: int) -> Audience:
        """See `recsvc.recommend.audience.audience`."""
        return await audience(self._engine, self._store, item_id, users, k, days)

    async def recourse(self, user_id: str, item_id: str, k: int, event: str) -> Recourse:
        """See `recsvc.recommend.recourse.RecourseFinder.find`."""
        query = RecommendationQuery(k=k, explain="none", in_experiments=False)
        snapshot, asked = await self._queries.resolve(query, query)
        return await self._recourse.find(user_id, item_id, event, asked, snapshot)

    async def item_recourse(self, item_id: str, users: int, k: int, event: str) -> ItemRecourse:
        """See `recsvc.recommend.item_recourse.item_recourse`."""
        return await item_recourse(self._engine, self._store, item_id, users, k, event)
