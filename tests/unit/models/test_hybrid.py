"""The blend on tables: which parts count, how much, and that it is exact."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from pydantic import ValidationError

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import BASE, LEAST_APART, LEAST_WEIGHT
from recsvc.blend.cut_users import USUAL, USUAL_BASE
from recsvc.blend.hold_out import ValidationSplit, split_by
from recsvc.errors import TrainingError
from recsvc.evaluation.metrics import evaluate, mean_ndcg, top_k
from recsvc.evaluation.splits import hold_out
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.models import MODELS, FitRun, ModelSpec, TrainingData, Validation, ridge
from recsvc.models import hybrid as module
from recsvc.models.hybrid import (
    HybridModel,
    HybridOptions,
    RankFusionModel,
    fit,
    fit_without_each,
)

GROUPS, USERS, ITEMS = 6, 10, 12
ROWS = ["pagerank", "category_item", "followed_user_item", "item_category_item", "item_user_item"]
NOTHING_PREFERRED = {"category_item"}
"""Nobody prefers a category in these graphs."""


def data_of(
    evidence: np.ndarray, follows: np.ndarray | None = None, categories: np.ndarray | None = None
) -> TrainingData:
    users, items = evidence.shape
    row, column = np.nonzero(evidence)
    graph = HeteroGraph(
        IdMap([f"u{n:03}" for n in range(users)]),
        IdMap([f"i{n:03}" for n in range(items)]),
        IdMap([f"c{n}" for n in range(0 if categories is None else categories.shape[1])]),
        Interactions(
            row,
            column,
            np.zeros(len(row), np.int8),
            evidence[row, column].astype(np.float64),
            np.full(len(row), np.nan),
            ("interaction",),
        ),
        follows=edges(follows),
        in_category=edges(categories),
    )
    weight = evidence[row, column].astype(np.float32)
    return TrainingData(graph, sp.csr_matrix((weight, (row, column)), shape=evidence.shape))


def edges(links: np.ndarray | None) -> Edges:
    if links is None:
        return Edges.empty()
    source, target = np.nonzero(links)
    return Edges(source, target, np.ones(len(source), np.float32))


def grouped(seed: int = 0) -> np.ndarray:
    """Most of the items of one's group, and a few others."""
    rng = np.random.default_rng(seed)
    taste = np.kron(np.eye(GROUPS), np.ones((USERS, ITEMS)))
    own = taste * (rng.random(taste.shape) < 0.7)
    return np.maximum(own, rng.random(taste.shape) < 0.03).astype(np.float32)


def fitted(data: TrainingData, seed: int = 0, **values: object) -> HybridModel:
    model, _ = fit(data, HybridOptions.model_validate(values), FitRun(seed=seed))
    assert isinstance(model, HybridModel)
    return model


def evidence_of(data: TrainingData, user: int) -> Evidence:
    graph, own = data.graph, data.evidence[user]
    nodes = [
        EvidenceNode("item", graph.items[i], float(e))
        for i, e in zip(own.indices.tolist(), own.data.tolist(), strict=True)
    ]
    followed = graph.follows.target[graph.follows.source == user].tolist()
    nodes += [EvidenceNode("user", graph.users[v], 1.0) for v in followed]
    return Evidence(tuple(nodes))


def sides() -> TrainingData:
    """Groups that are also circles of followers, and categories that cross them."""
    users, items = GROUPS * USERS, GROUPS * ITEMS
    rng = np.random.default_rng(1)
    follows = np.kron(np.eye(GROUPS), np.ones((USERS, USERS))) * (rng.random((users, users)) < 0.4)
    np.fill_diagonal(follows, 0)
    return data_of(grouped(), follows, rng.random((items, 5)) < 0.3)


def test_terms_and_base_add_up_to_the_score_of_every_user() -> None:
    data = sides()
    model = fitted(data, models="walk3")
    assert [s.name for s in model.blend.signals] == ["walk3", *ROWS]
    batch = model.scores(np.arange(data.evidence.shape[0]), data.evidence)
    items = np.arange(data.evidence.shape[1])
    for user in (0, 17, 59):
        scored = model.blend.score(evidence_of(data, user))
        terms = model.blend.terms(scored, items)
        assert {term.signal for term in terms} == {"walk3", *ROWS} - NOTHING_PREFERRED
        total = model.blend.base(scored, items) + sum(term.values.sum(axis=0) for term in terms)
        np.testing.assert_allclose(total, scored.scores, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(batch[user], scored.scores, rtol=1e-4, atol=1e-6)


def test_a_signal_that_says_nothing_about_taste_is_given_next_to_no_weight() -> None:
    """Who follows whom, and the categories, are drawn by lot here."""
    rng = np.random.default_rng(5)
    users, items = GROUPS * USERS, GROUPS * ITEMS
    data = data_of(grouped(), rng.random((users, users)) < 0.1, rng.random((items, 6)) < 0.3)
    weights = fitted(data, models="walk3").weights
    assert max(weights, key=weights.__getitem__) in {"walk3", "item_user_item", "pagerank"}
    assert weights["followed_user_item"] <= 0.05
    assert weights["item_category_item"] <= 0.05


def test_the_path_that_knows_the_answer_is_given_the_weight() -> None:
    """Of each pair one has things of the other's, which are held out: only following leads there.

    PageRank follows too.
    """
    pairs, each = 40, 8
    evidence = np.kron(np.eye(2 * pairs), np.ones(each)).astype(np.float32)
    follows = np.zeros((2 * pairs, 2 * pairs))
    first = np.arange(0, 2 * pairs, 2)
    follows[first, first + 1] = 1
    for user in first:
        evidence[user, each * (user + 1) : each * (user + 1) + 3] = 1.0
    data = data_of(evidence, follows)
    owner, item = data.evidence.nonzero()
    split = split_by(item // each != owner, data.graph, data.evidence)
    options = HybridOptions(models=("walk3",))
    weights = fit_without_each(data, options, FitRun(seed=0), split)[0].weights
    leading = {"followed_user_item", "pagerank"}
    assert max(weights, key=weights.__getitem__) in leading
    others = weights.keys() - leading - {BASE} - NOTHING_PREFERRED
    assert {weights[name] for name in others} <= {LEAST_WEIGHT, LEAST_APART}
    assert {weights[name] for name in NOTHING_PREFERRED} == {weights[BASE]}


def test_paths_that_the_graph_lacks_are_silent() -> None:
    plain = fitted(data_of(grouped()), models="walk3")
    silent = ("category_item", "item_category_item", "followed_user_item")
    base = plain.weights[BASE]
    assert base > LEAST_WEIGHT
    assert [plain.weights[n] for n in silent] == [base, LEAST_WEIGHT, base]


def test_kernels_are_cut_as_those_of_a_refresh() -> None:
    model = fitted(sides(), models="walk3", kernel_size=10, row_size=10)
    rows = {signal.name: np.diff(signal.rows.indptr) for signal in model.blend.signals}
    assert {name: int(lengths.max()) for name, lengths in rows.items() if lengths.any()} == (
        dict.fromkeys(rows.keys() - NOTHING_PREFERRED, 10) | {"category_item": 10}
    )


def held_out_part(data: TrainingData, seed: int) -> ValidationSplit:
    return split_by(hold_out(data.evidence, 0.2, seed=seed), data.graph, data.evidence)


def test_the_blend_is_no_worse_than_its_best_part() -> None:
    """By more than the standard error of the difference: it is learned on others than these."""
    split = held_out_part(sides(), 9)
    part = TrainingData(split.graph, split.kept)
    whole, _, alone = fit_without_each(part, HybridOptions(models=("walk3",)), FitRun(seed=0))

    def ndcg(model: HybridModel) -> np.ndarray:
        ranking = top_k(model.scores, part.evidence, k=20, user_index=split.users)
        return evaluate(ranking, split.held_out, part.evidence, cuts=(20,)).per_user["ndcg@20"]

    for each in alone.values():
        less = ndcg(each) - ndcg(whole)
        assert less.mean() <= less.std() / np.sqrt(len(less))


def test_without_a_signal_the_weights_are_learned_again() -> None:
    """Each blend is the one that a fit without the signal learns on the same candidates."""
    data = sides()
    options = HybridOptions(models=("walk3",))
    whole, without, alone = fit_without_each(data, options, FitRun(seed=0))
    assert whole.weights == fitted(data, models="walk3").weights
    names = ["walk3", *ROWS]
    assert list(without) == list(alone) == names
    for name in names:
        weights = without[name].weights
        assert weights[name] == 0.0
        assert max(weight for other, weight in weights.items() if other != name) == 1.0
        assert all(weights[other] >= LEAST_WEIGHT for other in names if other != name)
        assert alone[name].weights == {name: 1.0, BASE: LEAST_WEIGHT}
    with pytest.raises(ValueError, match="learns no weights: use fusion=learned"):
        fit_without_each(data, HybridOptions(models=("walk3",), fusion="rrf"), FitRun(seed=0))


def test_weights_are_learned_on_the_split_given() -> None:
    """In it the categories know the answers; in the data they know nothing."""
    data = sides()
    split = held_out_part(data, 1)
    group = np.arange(data.evidence.shape[1]) // ITEMS
    told = replace(
        split.graph,
        categories=IdMap([f"c{n}" for n in range(GROUPS)]),
        in_category=edges(np.eye(GROUPS)[group] > 0),
    )
    options = HybridOptions(models=("walk3",))
    given, _, _ = fit_without_each(data, options, FitRun(seed=0), replace(split, graph=told))
    own, _, _ = fit_without_each(data, options, FitRun(seed=0))
    assert given.weights["item_category_item"] > 0.2 > own.weights["item_category_item"]


def test_a_part_chooses_its_options_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the whole, for both fits: λ would be learned for another kernel else."""
    used: list[tuple[int, float | None]] = []
    ridge_fit = ridge.fit

    def watched(data: TrainingData, options: ridge.RidgeOptions, run: FitRun) -> object:
        used.append((data.evidence.nnz, options.l2))
        return ridge_fit(data, options, run)

    monkeypatch.setattr(ModelSpec, "fit", property(lambda _spec: watched))
    data = sides()
    fit(data, HybridOptions(models=("ridge",)), FitRun(seed=3))
    chosen = ridge.resolved(data, ridge.RidgeOptions(), 3).l2
    (part, first), (whole, second) = used
    assert part < whole
    assert first == second == chosen
    assert chosen is not None


def test_given_weights_are_kept() -> None:
    model = fitted(sides(), models="walk3", fusion="weighted", weights="walk3=1,pagerank=0.5")
    expected = {"walk3": 1.0, **dict.fromkeys(ROWS, 0.0), "pagerank": 0.5, BASE: LEAST_WEIGHT}
    assert model.weights == expected


def test_trained_parts_are_refitted_for_the_epochs_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fit sees less and is stopped by what it does not see; the second sees all."""
    runs: list[tuple[int, FitRun]] = []
    walk3_fit, walk3_options = MODELS["walk3"].fit, MODELS["walk3"].options()

    def watched(data: TrainingData, options: object, run: FitRun) -> object:
        model, report = walk3_fit(data, walk3_options, run)
        runs.append((data.evidence.nnz, run))
        return model, replace(report, epochs=7)

    monkeypatch.setattr(ModelSpec, "fit", property(lambda _spec: watched))
    data = sides()
    fit(
        data,
        HybridOptions(models=("walk3",)),
        FitRun(seed=3, validation=Validation(sp.csr_matrix(data.evidence.shape))),
    )
    (part, first), (whole, second) = runs
    assert part < whole == data.evidence.nnz
    assert first.validation is not None
    assert first.validation.held_out.nnz == whole - part
    assert (first.epochs, second.epochs, second.validation) == (None, 7, None)


def test_the_metric_is_of_the_validation_part_given() -> None:
    data = sides()
    split = held_out_part(data, 4)
    part = TrainingData(split.graph, split.kept)
    run = FitRun(seed=0, validation=Validation(split.held_out))
    model, report = fit(part, HybridOptions(models=("walk3",)), run)
    assert run.validation is not None
    expected = mean_ndcg(model.scores, part.evidence, run.validation.held_out)
    assert report.metric == pytest.approx(expected)
    without, _ = fit(part, HybridOptions(models=("walk3",)), FitRun(seed=0))
    assert isinstance(model, HybridModel)
    assert isinstance(without, HybridModel)
    assert without.weights == model.weights


def test_rank_fusion_takes_models_that_are_not_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelSpec, "linear", property(lambda spec: spec.name != "walk3"))
    data = sides()
    with pytest.raises(TrainingError, match=r"walk3 is not linear.*fusion=rrf"):
        fit(data, HybridOptions(models=("walk3",)), FitRun(seed=0))
    model, _ = fit(data, HybridOptions(models=("walk3",), fusion="rrf"), FitRun(seed=0))
    assert isinstance(model, RankFusionModel)
    assert model.signal(data.graph.items) is None


def test_rank_fusion_is_the_sum_of_reciprocal_ranks() -> None:
    data = sides()
    options = HybridOptions(models=("walk3",), fusion="rrf", rank_constant=10)
    model, _ = fit(data, options, FitRun(seed=0))
    assert isinstance(model, RankFusionModel)
    user = 21
    walk = model.parts[0].scores(np.array([user]), data.evidence[[user]])[0]
    given = {kind: known[[user]] for kind, known in model.besides.items()}
    given["item"] = data.evidence[[user]]
    rows = [signal.batch_scores(given[signal.kind])[0] for signal in model.side]
    lists = [(part, 1.0) for part in (walk, *rows)] + [(model.prior, LEAST_WEIGHT)]
    unseen = [i for i in range(len(walk)) if not data.evidence[user, i]]
    expected = [
        sum(
            weight / (10 + 1 + sum(part[other] > part[item] for other in unseen))
            for part, weight in lists
        )
        for item in unseen
    ]
    found = model.scores(np.array([user]), data.evidence[[user]])[0]
    np.testing.assert_allclose(found[unseen], expected, rtol=1e-5)
    assert not found[data.evidence[user].indices].any()


def test_the_memory_is_that_of_the_parts_and_more() -> None:
    data = sides()
    walk3 = MODELS["walk3"].memory_bytes(data, MODELS["walk3"].options())
    one = module.memory_bytes(data, HybridOptions(models=("walk3",), fusion="rrf"))
    assert one > walk3
    assert module.memory_bytes(data, HybridOptions(models=("walk3",))) > one


def test_with_nothing_to_hold_out_the_weights_are_the_usual_ones() -> None:
    data = data_of(np.eye(4, dtype=np.float32))
    usual = fitted(data, models="walk3")
    of_items = {usual.weights[name] for name in ("walk3", "pagerank", "item_user_item")}
    assert len(of_items) == 1
    assert usual.weights["followed_user_item"] == usual.weights["base"] == USUAL_BASE
    assert usual.blend.reliance == USUAL
    fitted(data, models="walk3", fusion="weighted", weights="walk3=1")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"models": "walk3,nonsense"}, "'nonsense' cannot take part"),
        ({"models": "hybrid"}, "'hybrid' cannot take part"),
        ({"models": "popularity"}, "'popularity' cannot take part"),
        ({"models": "walk3,walk3"}, "names a model twice"),
        ({"models": ""}, "at least 1 item"),
        ({"signals": "follows"}, "Extra inputs"),
        ({"weights": "walk3=1"}, "weights with fusion=learned"),
        ({"fusion": "weighted"}, "without weights"),
        ({"fusion": "weighted", "weights": "base=1"}, "without weights"),
        ({"fusion": "weighted", "weights": "walk3"}, "'walk3' is no weight: expected name=number"),
        ({"fusion": "weighted", "weights": "walk3=1,walk3=2"}, "twice"),
        ({"fusion": "weighted", "weights": "walk3=much"}, "valid number"),
        ({"fusion": "weighted", "weights": "walk3=-1"}, "expected 0 or more"),
        ({"fusion": "weighted", "weights": "walk3=nan"}, "expected 0 or more"),
        ({"fusion": "weighted", "weights": "mf=1"}, "'mf', which takes no part"),
        ({"walk3.alpha": "9"}, r"walk3\.alpha='9'"),
        ({"walk3.gamma": "1"}, r"walk3\.gamma='1'"),
        ({"node2vec.p": "1"}, "'node2vec', which takes no part"),
    ],
)
def test_what_cannot_be_asked_for(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HybridOptions.model_validate({"models": "walk3"} | values)


def test_options_of_a_part_reach_it() -> None:
    options = HybridOptions.model_validate({"models": "walk3", "walk3.alpha": "0.25"})
    assert options.of_part("walk3").model_dump()["alpha"] == 0.25
    assert HybridOptions.model_validate(options.model_dump(mode="json")) == options


# --- the order of time ------------------------------------------------------------------------


def walkers() -> TrainingData:
    """Everybody goes on from an item to the next one, at three places one after the other.

    What comes before a place is had together with it as often as what comes next.
    """
    rng = np.random.default_rng(3)
    users, items = 120, 60
    times = np.zeros((users, items))
    for own in times:
        starts = rng.permutation(np.arange(0, items, 6))[:3] + rng.integers(6)
        steps = np.concatenate([(start + np.arange(4)) % items for start in starts])
        own[steps] = 8e8 + np.arange(len(steps)) * 3600.0
    data = data_of((times > 0.0).astype(np.float32))
    did = replace(data.graph.interactions, last_at=times[np.nonzero(times)])
    return replace(data, graph=replace(data.graph, interactions=did))


def test_what_follows_what_leads_where_the_latest_items_are_held_out() -> None:
    data = walkers()
    model = fitted(data, models="walk3,transitions", hold_out="latest", held_out_share=0.1)
    assert model.weights["transitions"] == 1.0
    first = 0
    did = data.graph.interactions
    for user in range(20):
        own = np.zeros(60)
        own[did.item_index[did.user_index == user]] = did.last_at[did.user_index == user]
        last = int(own.argmax())
        earlier = np.where(own == own[last], 0.0, own)
        nodes = tuple(
            EvidenceNode("item", data.graph.items[i], 1.0, since=int((earlier > own[i]).sum()))
            for i in np.flatnonzero(earlier).tolist()
        )
        scores = np.where(earlier > 0.0, -np.inf, model.blend.score(Evidence(nodes)).scores)
        first += int(scores.argmax() == last)
    assert first >= 18


def test_without_times_it_vanishes_at_no_cost() -> None:
    data = sides()
    with_it, without = (fitted(data, models=m) for m in ("walk3,transitions", "walk3"))
    assert with_it.weights == without.weights
    users = np.arange(data.evidence.shape[0])
    np.testing.assert_array_equal(
        with_it.scores(users, data.evidence), without.scores(users, data.evidence)
    )
