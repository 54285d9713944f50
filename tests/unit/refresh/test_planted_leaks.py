"""Held-out pairs that nothing but a leak can find: no signal finds them, each break is seen.

Everybody has two items of a few that are planted, and exactly these are held out. Nobody is left
who has a planted item, no category and no preference leads to one.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.blend import fit as blend_fit
from recsvc.blend import learn as blend_learn
from recsvc.blend.blend import BASE
from recsvc.blend.hold_out import all_evidence, held_out_mask, split_by
from recsvc.blend.parts import Fitted, Learned, Validated, Vectors
from recsvc.evaluation.metrics import Estimate
from recsvc.evaluation.splits import _mixed, id_numbers
from recsvc.evidence import evidence_matrix
from recsvc.models import MODELS, TrainingData
from recsvc.refresh import learning
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.parts import Run
from recsvc.refresh.run_journal import new_name, opened_run
from recsvc.refresh.run_manifest import RunIdentity
from recsvc.settings import load_settings

USERS = IdMap([f"u{n:03}" for n in range(120)])
PLANTED, LEFT = 10, 200
ITEMS = IdMap([f"i{n:03}" for n in range(LEFT)] + [f"p{n:03}" for n in range(PLANTED)])
CATEGORIES = IdMap([*(f"c{n:02}" for n in range(20)), "planted"])
MODEL_NAMES = ("fastrp", "ridge")
OPTIONS = RefreshOptions(models=MODEL_NAMES, validation_users=200)
EVENTS = load_settings().events
CHANCE = 0.1
KEPT = (Fitted, Vectors, Learned, Estimate, Validated)


def planted_graph() -> HeteroGraph:
    rng = np.random.default_rng(0)
    items, users = id_numbers(ITEMS).view(np.uint64), id_numbers(USERS).view(np.uint64)
    user_hash = _mixed(users, np.zeros(1, np.uint64))
    pairs: list[tuple[int, int]] = []
    for user in range(len(USERS)):
        place = _mixed(items, user_hash[[user]])  # the lowest of a user are held out
        planted = LEFT + np.argsort(place[LEFT:])[:2]
        able = np.flatnonzero(place[:LEFT] > place[planted].max())
        pairs += [(user, item) for item in (*planted, *rng.choice(able, 8, replace=False))]
    user, item = np.array(sorted(pairs)).T
    n = len(user)
    did = Interactions(
        user, item, np.zeros(n, np.int8), np.ones(n), np.full(n, np.nan), ("interaction",)
    )
    every = np.arange(len(ITEMS))
    follows = np.unique(rng.integers(0, len(USERS), (400, 2)), axis=0)
    return HeteroGraph(
        USERS, ITEMS, CATEGORIES, did,
        follows=Edges(*follows.T.copy(), np.ones(len(follows))),
        prefers=Edges(np.arange(len(USERS)), np.arange(len(USERS)) % 20, np.ones(len(USERS))),
        in_category=Edges(every, np.where(every < LEFT, every % 20, 20), np.ones(len(ITEMS))),
    )  # fmt: skip


GRAPH = planted_graph()
EVIDENCE = evidence_matrix(GRAPH, EVENTS, now=0.0)


def ndcg(home: Path) -> dict[str, float]:
    """NDCG@20 of each signal, and of the blend."""
    with opened_run(home, RunIdentity(), (), KEPT, new_name()) as record:
        lease = SimpleNamespace(require=lambda: None)
        run = Run(None, OPTIONS, EVENTS, lambda *_: None, lease, record)
        options = {name: MODELS[name].options() for name in MODEL_NAMES}
        split = split_by(held_out_mask(GRAPH, EVIDENCE, OPTIONS, OPTIONS.seed), GRAPH, EVIDENCE)
        metrics = blend_learn.learn(learning.parts_of(run, GRAPH, options), split).metrics
    return {name: found["ndcg@20"].mean for name, found in metrics.items()}


def test_the_planted_pairs_are_what_is_held_out() -> None:
    split = split_by(held_out_mask(GRAPH, EVIDENCE, OPTIONS, OPTIONS.seed), GRAPH, EVIDENCE)
    assert len(split.users) == len(USERS)
    assert split.held_out.nnz == 2 * len(USERS)
    assert (split.held_out.indices >= LEFT).all()
    assert not (split.kept.indices >= LEFT).any()
    assert not (split.graph.interactions.item_index >= LEFT).any()


def test_no_signal_finds_what_is_held_out(tmp_path: Path) -> None:
    found = ndcg(tmp_path)
    assert len(found) == len(MODEL_NAMES) + 4 + 3  # paths; PageRank, the prior, the blend
    assert {name: value for name, value in found.items() if value > CHANCE} == {}


def models(patch: pytest.MonkeyPatch) -> None:
    fit = learning.fit_model

    def leaky(run: Any, name: str, _data: Any, *more: Any, **named: Any) -> Fitted:
        return fit(run, name, TrainingData(GRAPH, EVIDENCE), *more, **named)

    patch.setattr(learning, "fit_model", leaky)


def pagerank(patch: pytest.MonkeyPatch) -> None:
    rows = blend_fit.pagerank_rows
    patch.setattr(
        blend_fit, "pagerank_rows", lambda _graph, _kept, **named: rows(GRAPH, EVIDENCE, **named)
    )


def prior(patch: pytest.MonkeyPatch) -> None:
    counted = blend_fit.popularity_prior
    patch.setattr(blend_fit, "popularity_prior", lambda _kept: counted(EVIDENCE))


def paths(patch: pytest.MonkeyPatch) -> None:
    rows = blend_fit.held_out_rows
    patch.setattr(
        blend_fit, "held_out_rows", lambda queries, _graph, *more, **named: rows(
            queries, GRAPH, *more, **named
        ),
    )  # fmt: skip


def categories(patch: pytest.MonkeyPatch) -> None:
    """Preferences counted from all that users did."""
    links = GRAPH.in_category.matrix(len(ITEMS), len(CATEGORIES))

    def leaky(graph: HeteroGraph, items: sp.csr_matrix, *more: Any) -> Any:
        return all_evidence(graph, items, *more) | {"category": sp.csr_matrix(EVIDENCE @ links)}

    patch.setattr(blend_fit, "all_evidence", leaky)


@pytest.mark.parametrize(
    ("leak", "signals"),
    [
        (models, set(MODEL_NAMES)),
        (pagerank, {"pagerank"}),
        (prior, {BASE}),
        (paths, {"item_user_item", "followed_user_item"}),
        (categories, {"category_item"}),
    ],
)
def test_a_leak_into_one_of_them_is_seen_in_that_one(
    leak: Callable[[pytest.MonkeyPatch], None],
    signals: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leak(monkeypatch)
    found = ndcg(tmp_path)
    assert {name for name, value in found.items() if value > CHANCE} == signals | {"hybrid"}, found
