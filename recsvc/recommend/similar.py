"""The items and users nearest to one of them."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from loaders.embedding_models import EMBEDDING_MODELS
from loaders.errors import Neo4jAwayError
from recsvc.answer import SimilarAnswer, SimilarNode
from recsvc.blend.ranking import best_items
from recsvc.errors import NotFoundError
from recsvc.graph.rows import ActiveVersion, LiveItem
from recsvc.graph.store import Store
from recsvc.recommend.fresh_rows import item_vector
from recsvc.signals.embedding import cosines
from recsvc.snapshot.arrays import Snapshot

_SPARE = 5

NO_ITEM_VECTOR: Final = (
    "this item has no vector: nobody had it at the last refresh, and nobody who has it now has "
    "another item that has one"
)
NO_OTHER_ITEM: Final = "no other item that is available has a vector"
NO_USER_VECTOR: Final = (
    "this user, or everybody else, has no vector: liked nothing at the last refresh"
)


def embedding_model(snapshot: Snapshot, model: str | None) -> str:
    """The name of a model with vectors that is active: the one that is asked for, or the first.

    Raises:
        NotFoundError: there is none, or no such.
    """
    names = [name for name in snapshot.versions if name != "hybrid"]
    if not names:
        raise NotFoundError(
            "no model with vectors is active, which tell what is near: refresh with one of "
            f"{', '.join(EMBEDDING_MODELS)}"
        )
    if model is None:
        return names[0]
    if model not in names:
        raise NotFoundError(f"no embedding model {model!r} is active: expected one of {names}")
    return model


async def similar_items(
    store: Store, snapshot: Snapshot, model: str, item_id: str, k: int
) -> SimilarAnswer:
    """The k nearest available items to an item by the cosine of their embeddings.

    One that nobody had at the refresh has the vector of its neighbourhood, or none.

    Raises:
        NotFoundError: no such item, or the version has no vectors of the model.
        Neo4jError: the neighbourhood of a new item cannot be read in time.
    """
    signal = next((each for each in snapshot.blend.signals if each.name == model), None)
    vectors = signal and signal.item_vectors
    if signal is None or vectors is None:
        raise NotFoundError(f"no vectors of {model} in the active version")
    row = snapshot.items.row(item_id)
    vector = await item_vector(store, snapshot, signal, item_id)
    version = snapshot.versions[model]
    if not vector.any():
        if item_id not in await store.live_items([item_id]):
            raise NotFoundError(f"no item {item_id!r} in the graph")
        return SimilarAnswer(item_id, model, version, (), NO_ITEM_VECTOR)
    cosine = cosines(vector, vectors)[0]
    allowed = np.asarray(vectors.any(axis=1))
    if row >= 0:
        allowed[row] = False
    try:
        live = await _best_live(store, snapshot, cosine, allowed, k, item_id)
        degraded: tuple[str, ...] = ()
    except Neo4jAwayError:
        best = best_items(cosine, allowed & snapshot.available, k)
        live = {i: LiveItem(snapshot.titles[i] or None, available=True) for i in best.tolist()}
        degraded = ("availability",)
    items = tuple(
        SimilarNode(snapshot.items[i], item.title, float(cosine[i]), rank)
        for rank, (i, item) in enumerate(live.items(), start=1)
    )
    reason = None if items else NO_OTHER_ITEM
    return SimilarAnswer(item_id, model, version, items, reason, degraded=degraded)


async def _best_live(
    store: Store,
    snapshot: Snapshot,
    scores: Float32[NDArray[np.float32], " items"],
    allowed: Bool[NDArray[np.bool_], " items"],
    k: int,
    item_id: str,
) -> dict[int, LiveItem]:
    """The k best items that are available now, best first, by row.

    Raises:
        NotFoundError: the item they are near to is not in the graph any more.
        Neo4jError: the graph cannot be read in time.
    """
    best: dict[int, LiveItem] = {}
    asked = k + _SPARE
    while len(best) < k:
        rows = best_items(scores, allowed, asked).tolist()
        if not rows:
            break
        allowed[rows] = False
        live = await store.live_items([item_id, *(snapshot.items[row] for row in rows)])
        if item_id not in live:
            raise NotFoundError(f"no item {item_id!r} in the graph")
        items = {row: live.get(snapshot.items[row]) for row in rows}
        best |= {row: item for row, item in items.items() if item and item.available}
        asked *= 2
    return dict(list(best.items())[:k])


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
    reason = None if items else NO_USER_VECTOR
    return SimilarAnswer(user_id, active.model, active.version, items, reason)
