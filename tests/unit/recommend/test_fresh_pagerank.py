"""PageRank of an item that is newer than the rows, against PageRank of the graph as it is."""

from collections.abc import Sequence
from typing import Any, cast

import networkx as nx
import numpy as np
import scipy.sparse as sp

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import Blend
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.graph.store import Store
from recsvc.signals import RowSignal
from recsvc.signals.pagerank import pagerank_rows
from recsvc.snapshot.arrays import Snapshot
from tests.live_rows import with_live_rows
from tests.transitions import transition_matrix

USERS, ITEMS, DAMPING = 200, 80, 0.5


def linked(seen: sp.csr_matrix) -> HeteroGraph:
    user, item = (index.astype(np.int64) for index in seen.nonzero())
    n = len(user)
    did = Interactions(
        user, item, np.zeros(n, np.int8), np.ones(n, np.float32), np.full(n, np.nan), ("listen",)
    )
    ids = [
        IdMap([f"{kind}{row:03}" for row in range(size)])
        for kind, size in zip("ui", seen.shape, strict=True)
    ]
    return HeteroGraph(ids[0], ids[1], IdMap([]), did)


async def test_a_new_item_has_nearly_the_pagerank_of_the_graph_as_it_is() -> None:
    rng = np.random.default_rng(2)
    taste = np.arange(USERS)[:, None] % 4 == np.arange(ITEMS) % 4
    seen = sp.csr_matrix(
        (rng.random((USERS, ITEMS)) < np.where(taste, 0.3, 0.02)).astype(np.float32)
    )
    before, new = seen[:, : ITEMS - 1], f"i{ITEMS - 1:03}"
    stored = linked(before)
    rows, _, _ = pagerank_rows(stored, before, damping=DAMPING, epsilon=1e-4, size=ITEMS)
    signal = RowSignal("pagerank", "item", stored.items, rows, DAMPING)
    snapshot = Snapshot(
        {}, stored.items, IdMap([]), IdMap([]), np.zeros(0, np.int64),
        np.ones(ITEMS - 1, np.int64), ("",) * (ITEMS - 1), np.ones(ITEMS - 1, bool),
        sp.csr_matrix((ITEMS - 1, 0), dtype=bool),
        Blend((signal,), (1.0,), np.ones(ITEMS - 1, np.float32), 0.1),
    )  # fmt: skip
    degree = np.asarray(seen.sum(axis=1)).ravel()
    people = seen[:, ITEMS - 1].toarray().ravel() > 0
    steps = (people / np.maximum(degree, 1) / people.sum()) @ seen

    class Fake:
        async def two_steps(self, evidence_ids: Sequence[str], kinds: Sequence[str]) -> Any:
            assert (list(evidence_ids), kinds) == ([new], ())
            return {new: ([f"i{item:03}" for item in range(ITEMS)], steps.tolist())}

    evidence = Evidence((EvidenceNode("item", "i005", 1.0), EvidenceNode("item", new, 1.0)))
    live = await with_live_rows(cast(Store, Fake()), snapshot, {}, evidence)
    ranked = live.blend.signals[0]
    first, second = ranked.terms(evidence.rows("item", ranked.ids), np.arange(ITEMS - 1))
    np.testing.assert_allclose(first, rows[5].toarray().ravel())
    network = nx.from_scipy_sparse_array(transition_matrix(linked(seen), seen).astype(bool))
    ranks = nx.pagerank(network, DAMPING, personalization={USERS + ITEMS - 1: 1.0}, tol=1e-12)
    truth = np.array([ranks[node] for node in range(USERS, USERS + ITEMS - 1)])
    best = set(np.argsort(-truth)[:10].tolist())
    assert len(best & set(np.argsort(-second)[:10].tolist())) >= 9
    np.testing.assert_allclose(second, truth, rtol=0.35, atol=1e-4)
    assert abs(second.sum() / truth.sum() - 1.0) < 0.2
