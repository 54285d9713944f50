"""Links of a graph as facts (head, relation, tail), some of them held out and ranked again.

Users, items and categories are nodes alike, in this order: a node is its row among all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import Edges, HeteroGraph
from recsvc.evaluation.metrics import Estimate, bootstrap

TYPES = ("FOLLOWS", "PREFERS", "IN_CATEGORY", "SUBCATEGORY_OF", "RELATED_TO")
"""Types of relationships that are a relation each; one more is each kind of event."""
MOST_HELD_OUT = 2000
"""Links of one relation that are held out at most: a mean of so many ranks is known to a hundredth
or two, and each rank takes a pass over all nodes."""
_SCORES_AT_ONCE = 8_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Facts, each once, those of one relation after those of another.

    Attributes:
        head: node that a relationship starts from.
        relation: row in `relations`.
        tail: node that it leads to.
        nodes: number of nodes.
        relations: names: the `TYPES`, then `INTERACTED <kind>` for kinds of events.
    """

    head: Int64[NDArray[np.int64], " links"]
    relation: Int64[NDArray[np.int64], " links"]
    tail: Int64[NDArray[np.int64], " links"]
    nodes: int
    relations: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.head)

    def take(self, mask: Bool[NDArray[np.bool_], " links"]) -> "Links":
        """Those where `mask` is true, in the same order."""
        return replace(
            self, head=self.head[mask], relation=self.relation[mask], tail=self.tail[mask]
        )

    def degrees(self) -> Int64[NDArray[np.int64], " nodes"]:
        """Number of links of each node."""
        return np.bincount(self.head, minlength=self.nodes) + np.bincount(
            self.tail, minlength=self.nodes
        )


@runtime_checkable
class LinkScores(Protocol):
    """How plausible each node is at the open end of some links, higher is better."""

    def __call__(
        self, other_end: Int64[NDArray[np.int64], " n"], relation: int, *, tails: bool
    ) -> Float32[NDArray[np.float32], "n nodes"]:
        """Score all nodes.

        Args:
            other_end: the nodes at the other end.
            relation: row of the relation.
            tails: whether the open end is the tail; else it is the head.
        """
        ...


@dataclass(frozen=True, slots=True)
class LinkMetrics:
    """How well the held-out links of one relation, or of all, are found.

    Attributes:
        links: how many were held out.
        values: mean and interval over links by `mrr`, `hits@1`, `hits@3` and `hits@10`, each the
            mean of both ends; `mrr of heads` and `mrr of tails` are of one end.
    """

    links: int
    values: Mapping[str, Estimate]


def links_of(graph: HeteroGraph, kinds: Sequence[str]) -> Links:
    """All relationships of a graph as facts.

    Args:
        graph: nodes and relationships.
        kinds: of events, those that are facts; others count nothing.
    """
    users, items = len(graph.users), len(graph.users) + len(graph.items)
    did = graph.interactions
    ends = [
        (graph.follows.source, graph.follows.target),
        (graph.prefers.source, graph.prefers.target + items),
        (graph.in_category.source + users, graph.in_category.target + items),
        (graph.subcategory_of.source + items, graph.subcategory_of.target + items),
        (graph.related_to.source + users, graph.related_to.target + users),
    ]
    names: list[str] = [*TYPES]
    for row, kind in enumerate(did.events):
        if kind in kinds:
            own = did.event_index == row
            ends.append((did.user_index[own], did.item_index[own] + users))
            names.append(f"INTERACTED {kind}")
    counts = [len(head) for head, _ in ends]
    return Links(
        np.concatenate([head for head, _ in ends]).astype(np.int64),
        np.repeat(np.arange(len(ends)), counts),
        np.concatenate([tail for _, tail in ends]).astype(np.int64),
        items + len(graph.categories),
        tuple(names),
    )


def hold_out_links(
    links: Links, seed: int, share: float = 0.1
) -> Bool[NDArray[np.bool_], " links"]:
    """Hold out a random part of the links of each relation.

    All links of two nodes go the same way, whatever their relations and directions, so that
    nothing held out can be read off what is left, as a friendship off its other direction
    (Toutanova & Chen 2015, "Observed versus latent features for knowledge base and text
    inference"). Each node keeps one link at least.

    Args:
        links: all of them.
        seed: decides which.
        share: of the links of a relation; `MOST_HELD_OUT` of them at most.

    Returns:
        True where held out.
    """
    count = np.bincount(links.relation, minlength=len(links.relations))
    chance = np.minimum(share, MOST_HELD_OUT / np.maximum(count, 1))
    _, first, pair = np.unique(
        _pairs(links.head, links.tail, links.nodes), return_index=True, return_inverse=True
    )
    chosen = np.random.default_rng(seed).random(len(first)) < chance[links.relation[first]]
    held_out = chosen[pair]
    left = links.take(~held_out).degrees()
    lost = held_out & ((left[links.head] == 0) | (left[links.tail] == 0))
    chosen[pair[lost]] = False
    return chosen[pair]


def without_links(graph: HeteroGraph, links: Links) -> HeteroGraph:
    """A graph in which no two nodes of these links are linked any more, in whatever way."""
    users, items = len(graph.users), len(graph.users) + len(graph.items)
    gone = _pairs(links.head, links.tail, links.nodes)

    def left(edges: Edges, source: int, target: int) -> Edges:
        stays = ~np.isin(_pairs(edges.source + source, edges.target + target, links.nodes), gone)
        return Edges(edges.source[stays], edges.target[stays], edges.weight[stays])

    did = graph.interactions
    lost = np.isin(_pairs(did.user_index, did.item_index + users, links.nodes), gone)
    return replace(
        graph,
        interactions=did.take(~lost),
        follows=left(graph.follows, 0, 0),
        prefers=left(graph.prefers, 0, items),
        in_category=left(graph.in_category, users, items),
        subcategory_of=left(graph.subcategory_of, items, items),
        related_to=left(graph.related_to, users, users),
    )


def filtered_ranks(
    score: LinkScores, links: Links, held_out: Bool[NDArray[np.bool_], " links"]
) -> Float64[NDArray[np.float64], "held_out 2"]:
    """The rank of each held-out link's head, then of its tail, among all nodes in that place.

    Other nodes that make a known fact, held out or not, are left out: the filtered setting of
    Bordes et al. 2013, "Translating embeddings for modeling multi-relational data", §4.1. Of
    equal scores each takes the mean of their ranks, so that a model that scores all alike is not
    taken for a perfect one. What is no number ranks last.

    Args:
        score: what is measured.
        links: all facts.
        held_out: those to be found.
    """
    ranks = np.empty((int(held_out.sum()), 2))
    asked = links.take(held_out)
    for relation in np.unique(asked.relation).tolist():
        own, of_relation = asked.relation == relation, links.take(links.relation == relation)
        for column, (ends, given, at_ends, at_given) in enumerate((
            (of_relation.head, of_relation.tail, asked.head[own], asked.tail[own]),
            (of_relation.tail, of_relation.head, asked.tail[own], asked.head[own]),
        )):  # fmt: skip
            facts = sp.csr_matrix(
                (np.ones(len(ends), np.bool_), (given, ends)), shape=(links.nodes, links.nodes)
            )
            of_end = np.empty(len(at_ends))
            step = max(1, _SCORES_AT_ONCE // max(1, links.nodes))
            for begin in range(0, len(of_end), step):
                part = slice(begin, begin + step)
                scores = score(at_given[part], relation, tails=bool(column))
                of_end[part] = _ranks(scores, at_ends[part], facts[at_given[part]])
            ranks[own, column] = of_end
    return ranks


def link_metrics(
    ranks: Float64[NDArray[np.float64], "links 2"],
    relation: Int64[NDArray[np.int64], " links"],
    relations: Sequence[str],
) -> dict[str, LinkMetrics]:
    """MRR and Hits@k of each relation that has ranks, and of all together as `all`.

    MRR is the mean of 1 / rank, Hits@k the share of ranks up to k, both over both ends.

    Args:
        ranks: of head and tail.
        relation: rows of the relations.
        relations: their names.
    """
    by_relation: dict[str, LinkMetrics] = {
        relations[int(row)]: _metrics(ranks[relation == row]) for row in np.unique(relation)
    }
    return by_relation | {"all": _metrics(ranks)}


def frequency_scores(links: Links) -> LinkScores:
    """How often each node is at that end of the relation: what takes no learning to say."""

    def score(
        other_end: Int64[NDArray[np.int64], " n"], relation: int, *, tails: bool
    ) -> Float32[NDArray[np.float32], "n nodes"]:
        own = links.relation == relation
        ends = links.tail[own] if tails else links.head[own]
        count = np.bincount(ends, minlength=links.nodes).astype(np.float32)
        return np.broadcast_to(count, (len(other_end), links.nodes))

    return score


def _pairs(
    head: Int64[NDArray[np.int64], " links"], tail: Int64[NDArray[np.int64], " links"], nodes: int
) -> Int64[NDArray[np.int64], " links"]:
    """A number for the two ends of each link, whatever their order."""
    return np.minimum(head, tail).astype(np.int64) * nodes + np.maximum(head, tail)


def _ranks(
    scores: Float32[NDArray[np.float32], "n nodes"],
    answers: Int64[NDArray[np.int64], " n"],
    facts: sp.csr_matrix,
) -> Float64[NDArray[np.float64], " n"]:
    """1 + those above + half of the equal ones, without other facts."""
    own = scores[np.arange(len(answers)), answers]
    above = scores.shape[1] - (scores <= own[:, None]).sum(axis=1)
    equal = (scores == own[:, None]).sum(axis=1)
    row = np.repeat(np.arange(len(answers)), np.diff(facts.indptr))
    others = facts.indices != answers[row]
    row, value = row[others], scores[row[others], facts.indices[others]]
    above = above - np.bincount(row[~(value <= own[row])], minlength=len(answers))
    equal = equal - np.bincount(row[value == own[row]], minlength=len(answers))
    return 1.0 + above + np.maximum(equal - 1, 0) / 2.0


def _metrics(ranks: Float64[NDArray[np.float64], "links 2"]) -> LinkMetrics:
    reciprocal = 1.0 / ranks
    values = {"mrr": reciprocal.mean(axis=1)}
    values |= {f"hits@{k}": (ranks <= k).mean(axis=1) for k in (1, 3, 10)}
    values |= {"mrr of heads": reciprocal[:, 0], "mrr of tails": reciprocal[:, 1]}
    return LinkMetrics(len(ranks), bootstrap(values, 1000, 0))
