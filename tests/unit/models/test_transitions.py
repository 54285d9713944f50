from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.errors import TrainingError
from recsvc.event_kinds import EventSettings
from recsvc.evidence import evidence_matrix, has_order, pair_times
from recsvc.models import MODELS, FitRun, TrainingData, transitions
from recsvc.models.transitions import TransitionsOptions, fit
from recsvc.training.fit import fit_whole

EVENTS = {"view": EventSettings(weight=0.5), "buy": EventSettings()}
ITEMS = 7


def data_of(*users: list[tuple[int, float | None, str]], items: int = ITEMS) -> TrainingData:
    """What each user did: item, time, kind."""
    kinds = ("buy", "view")
    did = sorted(
        (user, item, kinds.index(kind), 1.0, np.nan if at is None else at)
        for user, own in enumerate(users)
        for item, at, kind in own
    )
    types = (np.int64, np.int64, np.int8, np.float32, np.float64)
    columns = [np.array(c, t) for c, t in zip(zip(*did, strict=True), types, strict=True)]
    graph = HeteroGraph(
        IdMap([f"u{row:03}" for row in range(len(users))]),
        IdMap([f"i{row:03}" for row in range(items)]),
        IdMap([]),
        Interactions(*columns, kinds),
    )
    return TrainingData(graph, evidence_matrix(graph, EVENTS, now=9e8))


def views(*steps: tuple[int, float | None]) -> list[tuple[int, float | None, str]]:
    return [(item, at, "view") for item, at in steps]


SHOP = data_of(
    views((0, 8e8), (1, 8e8 + 1), (2, 8e8 + 2), (3, 8e8 + 3)),
    views((1, 8e8 + 9), (0, 8e8), (4, 8e8 + 9), (5, None)),
    [*views((0, 8e8), (3, 8e8 + 5)), (3, 8e8 - 5, "buy"), (6, 8e8 + 7, "buy")],
)


def written(data: TrainingData, options: TransitionsOptions) -> np.ndarray:
    """The formula, pair by pair."""
    counts = np.zeros((ITEMS, ITEMS))
    did = data.graph.interactions
    for user in range(len(data.graph.users)):
        newest: dict[int, float] = {}
        own = did.user_index == user
        for item, at in zip(did.item_index[own].tolist(), did.last_at[own].tolist(), strict=True):
            if not np.isnan(at):
                newest[item] = max(at, newest.get(item, at))
        weight = {item: float(data.evidence[user, item]) for item in newest}
        mean = np.mean(list(weight.values()))
        steps = sorted((at, item) for item, at in newest.items())
        moments = sorted(set(newest.values()))
        for at, target in steps:
            before = [step for step in steps if step[0] < at][-options.window :]
            for then, source in before:
                gap = moments.index(at) - moments.index(then)
                counts[source, target] += weight[target] / mean * options.decay ** (gap - 1)
    h = options.shrinkage
    leaving = counts.sum(axis=1, keepdims=True) + h
    arriving = (counts.sum(axis=0) + h) ** options.beta
    return np.divide(counts, leaving * arriving, where=leaving > 0, out=np.zeros_like(counts))


@pytest.mark.parametrize("window", [1, 2, 10])
@pytest.mark.parametrize(("decay", "shrinkage", "beta"), [(1.0, 0.0, 0.0), (0.5, 3.0, 0.7)])
def test_the_kernel_is_the_formula(
    window: int, decay: float, shrinkage: float, beta: float
) -> None:
    options = TransitionsOptions(window=window, decay=decay, shrinkage=shrinkage, beta=beta)
    model, _ = fit(SHOP, options, FitRun(seed=0))
    np.testing.assert_allclose(model.rows.toarray(), written(SHOP, options), rtol=1e-5)


def test_only_what_came_later_follows_and_nothing_does_at_the_same_time() -> None:
    model, _ = fit(SHOP, TransitionsOptions(), FitRun(seed=0))
    kernel = model.rows.toarray()
    assert kernel[0, 1] > 0.0 == kernel[1, 0]
    assert kernel[1, 4] == kernel[4, 1] == 0.0
    assert not kernel[5].any()  # its time is not known
    assert not kernel[:, 5].any()


def test_with_many_transitions_items_are_taken_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = fit(SHOP, TransitionsOptions(), FitRun(seed=0))[0].rows.toarray()
    monkeypatch.setattr(transitions, "_ENTRIES_AT_ONCE", 3)
    parts = fit(SHOP, TransitionsOptions(), FitRun(seed=0))[0].rows.toarray()
    np.testing.assert_array_equal(parts, whole)
    few, _ = fit(SHOP, TransitionsOptions(neighbours=1), FitRun(seed=0))
    assert np.diff(few.rows.indptr).max() == 1


def test_a_user_is_led_on_from_what_they_did_last() -> None:
    """Everybody turns from 0 to 1 and from 2 to 3; who had 0, then 2 is led to 3, and back to 1."""
    pair = [views((0, 8e8), (1, 8e8 + 1)), views((2, 8e8), (3, 8e8 + 1))]
    data = data_of(*pair, *pair, views((0, 8e8), (2, 8e8 + 1)), views((2, 8e8), (0, 8e8 + 1)))
    options = TransitionsOptions(window=1, half_life=1.0, shrinkage=0.0, beta=0.5, decay=1.0)
    model, _ = fit(data, options, FitRun(seed=0))
    two, zero = model.scores(np.array([4, 5]), data.evidence[[4, 5]])
    assert two[3] == pytest.approx(2.0 * two[1])
    assert zero[1] == pytest.approx(2.0 * zero[3])
    signal = model.signal(data.graph.items)
    assert signal.half_life == 1.0
    again = signal.from_arrays("t", "item", signal.ids, signal.arrays(), signal.settings())
    assert again.half_life == 1.0


def test_without_an_order_it_is_refused() -> None:
    data = data_of(views((0, None), (1, None)), views((0, 8e8), (1, 8e8)))
    assert not has_order(data.graph)
    assert not MODELS["transitions"].speaks(data)
    assert MODELS["walk3"].speaks(data)
    with pytest.raises(TrainingError, match="transitions learns from the order of time"):
        fit_whole("transitions", data, TransitionsOptions(), FitRun(seed=0))


def wanderers(going_on: float) -> TrainingData:
    """Users who go on to the next item with this chance, else to any."""
    rng = np.random.default_rng(0)
    users: list[list[tuple[int, float | None, str]]] = []
    for _ in range(80):
        at, steps = int(rng.integers(100)), dict[int, float]()
        for hour in range(25):
            steps.pop(at, None)
            steps[at] = 8e8 + 3600.0 * hour
            at = (at + 1) % 100 if rng.random() < going_on else int(rng.integers(100))
        users.append([(item, time, "view") for item, time in steps.items()])
    return data_of(*users, items=100)


def test_what_is_open_is_chosen_on_the_latest_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """One option after the other; what is given stays."""
    asked: list[sp.csr_matrix] = []

    def ndcg(score: Any, _kept: sp.csr_matrix, held_out: sp.csr_matrix) -> float:
        asked.append(held_out)
        return -abs(score.__self__.half_life - 30.0)

    monkeypatch.setattr(transitions, "mean_ndcg", ndcg)
    data = wanderers(0.9)
    chosen = transitions.resolved(data, TransitionsOptions(beta=0.3), 0)
    assert (chosen.half_life, chosen.decay, chosen.beta, chosen.shrinkage) == (30.0, 0.8, 0.3, 5.0)
    assert len(asked) == 1 + 2 + 2 + 1
    times = pair_times(data.graph)
    for user in range(5):
        lost = times[user, asked[0][user].indices].data
        left = np.setdiff1d(times[user].data, lost)
        assert len(lost) == round(0.2 * times[user].nnz)
        assert lost.min() > left.max()
    assert transitions.resolved(data, chosen, 0) == chosen
    assert len(asked) == 6


def test_a_fit_takes_what_was_chosen() -> None:
    data = wanderers(0.9)
    chosen = transitions.resolved(data, TransitionsOptions(), 3)
    models = (fit(data, options, FitRun(seed=3))[0] for options in (TransitionsOptions(), chosen))
    one, other = (model.rows.toarray() for model in models)
    np.testing.assert_array_equal(one, other)
