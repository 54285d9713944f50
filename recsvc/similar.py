"""The items and users nearest to one of them."""

import numpy as np

from recsvc.answer import SimilarAnswer, SimilarNode
from recsvc.errors import NotFoundError
from recsvc.live import item_vector
from recsvc.ranking import best_items
from recsvc.signals.embedding import cosines
from recsvc.snapshot import Snapshot
from recsvc.store import Store
from recsvc.stored import ActiveVersion


async def similar_items(
    store: Store, snapshot: Snapshot, model: str, item_id: str, k: int
) -> SimilarAnswer:
    """The k items nearest to an item by the cosine of their embeddings.

    One that came after the refresh has the vector of its neighbourhood.

    Raises:
        NotFoundError: no such item, or the version has no vectors of the model.
        Neo4jError: the neighbourhood of a new item cannot be read in time.
    """
    signal = snapshot.embedding(model)
    if signal is None:
        raise NotFoundError(f"no vectors of {model} in the active version")
    row = snapshot.items.row(item_id)
    vector = await item_vector(store, snapshot, signal, item_id)
    if row < 0 and not vector.any():
        raise NotFoundError(
            f"no item {item_id!r} in the active version of {model}: a new one has a vector when "
            "somebody who has it has another one too"
        )
    allowed = np.array(snapshot.available)
    if row >= 0:
        allowed[row] = False
    cosine = cosines(vector, signal.target)[0]
    found = best_items(cosine, allowed, k)
    items = tuple(
        SimilarNode(snapshot.items[i], snapshot.titles[i] or None, float(cosine[i]), rank)
        for rank, i in enumerate(found.tolist(), start=1)
    )
    return SimilarAnswer(item_id, model, snapshot.versions[model], items)


async def similar_users(store: Store, active: ActiveVersion, user_id: str, k: int) -> SimilarAnswer:
    """The k users nearest to a user, from the vector index of a version.

    Raises:
        NotFoundError: no such user.
        Neo4jError: the graph cannot be read in time.
    """
    rows = await store.similar_users(user_id, k, active)
    if not rows and not await store.user_exists(user_id):
        raise NotFoundError(f"no user {user_id!r} in the graph")
    items = tuple(
        SimilarNode(row["id"], row["name"], row["score"], rank)
        for rank, row in enumerate(rows, start=1)
    )
    return SimilarAnswer(user_id, active.model, active.version, items)
