"""Some of many: users drawn from all, and how given users and items fall into values."""

import random
from collections.abc import Mapping, Sequence

from loaders.catalogue import catalogue
from loaders.gateway import Row
from recsvc.graph.transport import Transport


class SampleStore(Transport):
    """Draws users, and sorts users and items that are given."""

    async def users_at(self, share: float, limit: int) -> list[Row]:
        """Users from a place among all, from 0 to 1; the same as `find` returns."""
        users = (await self._run(catalogue()["serve/user_count"]))[0]["users"]
        return await self._run(catalogue()["serve/users_at"], place=int(share * users), limit=limit)

    async def sample_users(self, count: int) -> list[str]:
        """Ids of some users, drawn by chance; all where they are no more."""
        users = (await self._run(catalogue()["serve/user_count"]))[0]["users"]
        # Twice as many and some more are drawn, so that they are hardly ever too few.
        share = min(1.0, (2.0 * count + 20.0) / max(1, users))
        limit = 4 * count + 40
        rows = await self._run(catalogue()["serve/sample_users"], share=share, limit=limit)
        ids = [row["user_id"] for row in rows]
        return random.sample(ids, min(count, len(ids)))

    async def likely_users(self, item_id: str, other_ids: Sequence[str], limit: int) -> list[str]:
        """See `cypher/serve/likely_users.cypher`."""
        query = catalogue()["serve/likely_users"]
        rows = await self._run(query, item_id=item_id, other_ids=list(other_ids), limit=limit)
        return [row["user_id"] for row in rows]

    async def categories_of_items(self, item_ids: Sequence[str]) -> list[Row]:
        """See `cypher/serve/categories_of_items.cypher`."""
        query = catalogue()["serve/categories_of_items"]
        return await self._run(query, item_ids=list(item_ids))

    async def users_by_value(self, user_property: str, user_ids: Sequence[str]) -> dict[str, str]:
        """See `cypher/serve/users_by_value.cypher`: the value by id of the user."""
        query = catalogue()["serve/users_by_value"]
        rows = await self._run(query, property=user_property, user_ids=list(user_ids))
        return {row["user_id"]: row["value"] for row in rows}

    async def places_by_value(
        self, item_property: str, places: Mapping[str, int], limit: int
    ) -> list[Row]:
        """See `cypher/serve/places_by_value.cypher`."""
        return await self._run(
            catalogue()["serve/places_by_value"], property=item_property, places=dict(places),
            limit=limit,
        )  # fmt: skip
