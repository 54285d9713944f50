"""What a blend learns: the figures of the validation users."""

import numpy as np
import scipy.sparse as sp

from recsvc.blend.blend import BASE, candidates_in_parts
from recsvc.blend.fit import validation_accuracy
from recsvc.evaluation.metrics import evaluate, top_k

USERS, ITEMS = 30, 400


def test_metrics_are_those_of_ranking_all_items() -> None:
    """Also of a signal that knows few items, and of some users nothing."""
    rng = np.random.default_rng(7)
    seen = sp.csr_matrix(rng.random((USERS, ITEMS)) < 0.05, dtype=np.float32)
    wanted = (rng.random((USERS, ITEMS)) < 0.03) & ~seen.toarray().astype(bool)
    wanted[:, 0] |= ~wanted.any(axis=1)
    held_out = sp.csr_matrix(wanted, dtype=np.float32)
    dense = rng.normal(size=(USERS, ITEMS)).astype(np.float32) + 2 * wanted
    few = (rng.random((USERS, ITEMS)) < 0.02 + 0.3 * wanted) * (rng.random((USERS, ITEMS)) + 1)
    few[::3] = 0.0
    prior = np.broadcast_to(rng.random(ITEMS, np.float32), (USERS, ITEMS))
    signals = {"dense": dense, "few": few.astype(np.float32), BASE: prior}
    weights = {"dense": 0.5, "few": 1.0, BASE: 0.1}
    candidates = candidates_in_parts(
        lambda some: [scores[some] for scores in signals.values()], len(signals), seen, held_out
    )
    found = validation_accuracy(candidates, weights)
    blend = sum(weights[name] * scores for name, scores in signals.items())
    for name, scores in {**signals, "hybrid": blend}.items():
        ranking = top_k(lambda users, _own, s=scores: s[users], seen, k=20)
        assert found[name].keys() == {"recall@20", "ndcg@20"}
        items = np.where(np.take_along_axis(scores, ranking.items, 1) == 0.0, -1, ranking.items)
        ranking = type(ranking)(ranking.user_index, items, ranking.scores)
        expected = evaluate(ranking, held_out, seen, cuts=(20,)).per_user
        for metric, values in found[name].items():
            np.testing.assert_allclose(values, expected[metric])
