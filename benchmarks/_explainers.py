"""Ways of explaining one item of a list by the user's evidence, for explanations_compared.py.

Each orders the pieces of evidence by how much the item owes to them, or names a set of them. All
are given the same scorer. What asks it as a black box asks the fastest form of it there is.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shap
import torch
from lime.lime_base import LimeBase
from numpy.typing import NDArray
from torch import Tensor, nn

with warnings.catch_warnings():
    # PyG compiles with torch.jit.script as it is imported, which this torch calls deprecated.
    warnings.filterwarnings("ignore", message=".*torch.jit")
    from torch_geometric.explain import Explainer, GNNExplainer, PGExplainer
    from torch_geometric.nn import MessagePassing

from benchmarks._explained_scorer import LIST, Case, Scorer
from recsvc.blend.ranking import best_items
from recsvc.evidence import Evidence
from recsvc.explain.contributions import contributions, take_apart
from recsvc.explain.counterfactual import LARGEST_SET, find_removals
from recsvc.explain.leave_out_scores import LeaveOneOutScores, Listed

_LIME_SAMPLES, _LIME_FEATURES, _LIME_WIDTH = 5000, 10, 25.0
"""As the package lime explains a text by its words."""
_REPLACEMENTS = 10
"""Items after the list that may take an item's place, of ACCENT."""
_GREASE_STEPS, _GREASE_RATE, _GREASE_SIZE, _GREASE_MARGIN = 100, 0.1, 0.05, 0.05
_COMPETITORS = 100
_GNN = {"lr": 0.1, "edge_size": 0.05, "edge_ent": 0.1}
"""Of GNNExplainer, the best of three on 20 users of ml-100k who are not explained here: by its
defaults the three edges with the largest masks carry no more of a score than any three."""
_PG_EPOCHS, _PG_RATE = 30, 0.01
"""Of PGExplainer, the best of three in the same way; the others are its defaults."""


@dataclass(frozen=True, slots=True)
class Found:
    """An explanation.

    Attributes:
        order: positions of evidence, what the item owes most to first.
        chosen: the set without which the item is said to leave the list, of a method that names
            one; else the shortest beginning of `order` that does it is taken.
        items: how many items were explained in the same time.
    """

    order: tuple[int, ...]
    chosen: tuple[int, ...] | None = None
    items: int = 1


Method = Callable[[Case], Found]


def by_project(scorer: Scorer) -> Method:
    """What the service answers: exact contributions and counterfactuals, of a whole list."""
    blend = scorer.blend

    def explain(case: Case) -> Found:
        known = np.ones(len(case.allowed), bool)
        listed = Listed(case.listed, case.allowed, known, case.own)

        def rank_again(positions: NDArray[np.int64]) -> NDArray[np.int64]:
            nodes = case.evidence.nodes
            kept = tuple(nodes[at] for at in range(len(nodes)) if at not in set(positions.tolist()))
            return best_items(blend.score(Evidence(kept)).scores, case.allowed, LIST)

        exact = take_apart(blend, case.scored, case.listed).with_terms(blend, case.scored)
        for place in range(len(case.listed)):
            contributions(exact, place, case.evidence.nodes, limit=50)
        leave_one_out = LeaveOneOutScores(blend, case.evidence, case.scored, listed)
        removals = find_removals(leave_one_out, listed, rank_again, plain=True)
        adds = np.zeros(case.pieces)
        for term in exact.terms:
            adds[term.position] += term.values[:, case.place]
        removal = removals[case.place]
        chosen = () if removal is None else removal.positions
        return Found(_largest_first(adds).order, chosen, len(case.listed))

    return explain


def by_chance(seed: int) -> Method:
    """Evidence in any order: what an order is worth by itself."""
    rng = np.random.default_rng(seed)
    return lambda case: Found(tuple(rng.permutation(case.pieces).tolist()))


def by_shap(scorer: Scorer) -> Method:
    """KernelSHAP (Lundberg & Lee 2017): a piece of evidence is there or not."""

    def explain(case: Case) -> Found:
        nothing, everything = np.zeros((1, case.pieces)), np.ones((1, case.pieces))
        explainer = shap.KernelExplainer(scorer.black_box(case), nothing)
        values = explainer.shap_values(everything, silent=True)[0]
        return _largest_first(values)

    return explain


def by_lime(scorer: Scorer, seed: int) -> Method:
    """LIME over evidence: a weighted linear model of what is left when some pieces are taken away.

    Ribeiro, Singh & Guestrin 2016, as their package does it with the words of a text: any number of
    pieces is taken away, and a sample counts by its cosine with the whole. Nóbrega & Marinho 2019,
    "Towards explaining recommendations through local surrogate models", do so for recommendations.
    """
    rng = np.random.default_rng(seed)

    def kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(np.exp(-np.square(distance) / _LIME_WIDTH**2))

    base = LimeBase(kernel, random_state=np.random.RandomState(seed))

    def explain(case: Case) -> Found:
        n = case.pieces
        removed = rng.integers(1, n + 1, _LIME_SAMPLES - 1)
        place = rng.random((_LIME_SAMPLES - 1, n)).argsort(axis=1).argsort(axis=1)
        masks = np.vstack([np.ones(n), place >= removed[:, None]])
        distance = 100.0 * (1.0 - np.sqrt(masks.mean(axis=1)))  # the cosine with all ones
        scores = scorer.black_box(case)(masks)
        _, weights, *_ = base.explain_instance_with_data(
            masks, scores[:, None], distance, 0, _LIME_FEATURES
        )
        values = np.zeros(n)
        for position, weight in weights:
            values[position] = weight
        return _largest_first(values)

    return explain


def by_accent(scorer: Scorer) -> Method:
    """Like ACCENT: by influence on the gap to an item that would take the place.

    Tran, Ghazimatin & Saha Roy 2021, "Counterfactual explanations for neural recommenders",
    algorithm 1. For each of the next items, evidence is taken away in the order of its influence on
    the gap to it, until the item is estimated to have left the list; the smallest set is named.
    Influences on the scores of a linear scorer are exact but for n(u), which is taken to stay.
    """

    def explain(case: Case) -> Found:
        near = scorer.near(case, _COMPETITORS)
        terms, scores = scorer.terms(case, near), case.scored.scores[near].astype(np.float64)
        gap = terms[:, case.place, None] - terms[:, len(case.listed) :][:, :_REPLACEMENTS]
        best: tuple[int, ...] = ()
        for influence in gap.T:
            order = np.argsort(-influence, kind="stable")[:LARGEST_SET]
            left = scores - np.cumsum(terms[order], axis=0)
            above = (left > left[:, case.place, None]).sum(axis=1) >= LIST
            size = int(np.argmax(above)) + 1
            if above.any() and (not best or size < len(best)):
                best = tuple(order[:size].tolist())
        rest = np.argsort(-gap[:, 0], kind="stable").tolist()
        return Found(best + tuple(position for position in rest if position not in best), best)

    return explain


def by_grease(scorer: Scorer) -> Method:
    """Like the counterfactuals of GREASE: gradient steps on the user's edges.

    Chen, Silvestri, Wang, Zhang, Huang, Ahn & Tolomei 2022, "GREASE: generate factual and
    counterfactual explanations for GNN-based recommendations". Each edge has a weight in (0, 1);
    steps bring the item's score below that of the item at the end of the list, with as little taken
    away as that needs. The original takes steps on a surrogate; here they are on the scorer itself.
    """

    def explain(case: Case) -> Found:
        near = scorer.near(case, _COMPETITORS)
        others = near[near != case.item]
        terms, score = (
            torch.from_numpy(scorer.terms(case, items)) for items in (others, case.listed)
        )
        own = score[:, case.place]
        logits = torch.full((case.pieces,), 2.0, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=_GREASE_RATE)
        scale = float(own.sum().abs()) + 1e-12
        for _ in range(_GREASE_STEPS):
            mask = logits.sigmoid()
            last = (mask @ terms).topk(LIST).values[-1]
            over = torch.relu((mask @ own - last) / scale + _GREASE_MARGIN)
            loss = over + _GREASE_SIZE * (1.0 - mask).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return _largest_first(-logits.detach().numpy())

    return explain


class _Step(MessagePassing):
    """x + A x: a step over the graph with weighted edges, and what the node had."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """One step."""
        return x + self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        """What a node gets from a neighbour."""
        return edge_weight[:, None] * x_j


class _Network(nn.Module):
    """LightGCN's last step into a user, and from the user to an item, whose score is read there.

    Nodes are the user's items with their source vectors s_j, the user with 0, and the item with its
    target vector t_i. Edges are j → user with the weight e_j, and user → item. Scores are on the
    scale on which the item's is 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.into_user, self.into_item = _Step(), _Step()

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """<what comes in over the second step, x> of each node."""
        user = self.into_user(x, edge_index, edge_weight)
        return ((self.into_item(user, edge_index, edge_weight) - user) * x).sum(dim=1)


@dataclass(frozen=True, slots=True)
class _Graph:
    x: Tensor
    edges: Tensor
    weights: Tensor
    item: int


def _graph(scorer: Scorer, case: Case) -> _Graph:
    """The user's part of the graph, and one item."""
    assert scorer.signal is not None
    n = case.pieces
    rows = case.evidence.rows("item", scorer.signal.ids)
    source = scorer.signal.source[rows.row]
    target = scorer.signal.target[case.item]
    weights = rows.weight.astype(np.float32)
    score = float(weights @ (source @ target))
    x = np.vstack([source, np.zeros_like(target), target])
    edges = np.array([[*range(n), n], [n] * n + [n + 1]])
    weight = np.append(weights, np.float32(1.0 / score))
    return _Graph(*(torch.from_numpy(part) for part in (x, edges, weight)), item=n + 1)


_CONFIG = {
    "node_mask_type": None,
    "edge_mask_type": "object",
    "model_config": {"mode": "regression", "task_level": "node", "return_type": "raw"},
}


def by_gnnexplainer(scorer: Scorer, seed: int) -> Method:
    """GNNExplainer (Ying et al. 2019) of PyG: a mask of as few edges as keep the score."""
    torch.manual_seed(seed)
    algorithm = GNNExplainer(**_GNN)
    explainer = Explainer(_Network(), algorithm, explanation_type="model", **_CONFIG)

    def explain(case: Case) -> Found:
        graph = _graph(scorer, case)
        found = explainer(graph.x, graph.edges, index=graph.item, edge_weight=graph.weights)
        return _largest_first(found.edge_mask[: case.pieces].numpy())

    return explain


def by_pgexplainer(scorer: Scorer, seed: int, trained_on: list[Case]) -> Method:
    """PGExplainer (Luo et al. 2020) of PyG: a network that gives each edge a mask.

    It learns on cases of other users, which takes its time once.
    """
    torch.manual_seed(seed)
    network = _Network()
    algorithm = PGExplainer(_PG_EPOCHS, _PG_RATE)
    explainer = Explainer(network, algorithm, explanation_type="phenomenon", **_CONFIG)
    for epoch in range(_PG_EPOCHS):
        for case in trained_on:
            graph = _graph(scorer, case)
            algorithm.train(
                epoch, network, graph.x, graph.edges, target=torch.ones(len(graph.x)),
                index=graph.item, edge_weight=graph.weights,
            )  # fmt: skip

    def explain(case: Case) -> Found:
        graph = _graph(scorer, case)
        found = explainer(
            graph.x, graph.edges, target=torch.ones(len(graph.x)), index=graph.item,
            edge_weight=graph.weights,
        )  # fmt: skip
        return _largest_first(found.edge_mask[: case.pieces].detach().numpy())

    return explain


def _largest_first(values: NDArray[np.floating]) -> Found:
    return Found(tuple(np.argsort(-values, kind="stable").tolist()))
