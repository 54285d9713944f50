# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Nodes of several types, the relationships that lead to each, and blocks drawn from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from recsvc.models._features import Features, interaction_features, row_numbers, standardised
from recsvc.models._neighbours import Links
from recsvc.models._network import Drawn
from recsvc.models.base import TrainingData

EdgeType = tuple[str, str, str]
"""Type of the node that sends, name of the relationship, type of the node that receives."""

Nodes = Mapping[str, Int64[NDArray[np.int64], " n"]]
"""Different nodes of each type."""

DID: EdgeType = ("user", "did", "item")
DONE_BY: EdgeType = ("item", "done_by", "user")


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """The relationships of one type, by the node that receives.

    Attributes:
        links: of each node of the receiving type.
        features: of each relationship, in the order of `links`.
    """

    links: Links
    features: Features

    @classmethod
    def to(
        cls,
        target: Int64[NDArray[np.int64], " edges"],
        source: Int64[NDArray[np.int64], " edges"],
        targets: int,
        features: Features,
    ) -> "Relation":
        """Relationships from `source` to `target`, in any order."""
        order = np.argsort(target, kind="stable")
        begin = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=targets))])
        links = Links(begin.astype(np.int64), source[order].astype(np.int32))
        return cls(links, np.ascontiguousarray(features[order], np.float32))


class Received(NamedTuple):
    """What one type of relationship brings to the receiving nodes of a block.

    Attributes:
        sender: places among the sending nodes.
        receiver: places among the receiving nodes, ascending.
        features: of each relationship.
    """

    sender: Int64[NDArray[np.int64], " drawn"]
    receiver: Int64[NDArray[np.int64], " drawn"]
    features: Float32[NDArray[np.float32], "drawn features"]


class Block(NamedTuple):
    """One layer over some nodes.

    Attributes:
        senders: the nodes whose states it takes; first of them those that receive.
        receivers: how many of each type receive.
        received: by type of relationship.
    """

    senders: Nodes
    receivers: Mapping[str, int]
    received: Mapping[EdgeType, Received]


def relations_of(data: TrainingData, properties: tuple[str, ...]) -> dict[EdgeType, Relation]:
    """The relationships between users, items and categories, and between items, both ways.

    Args:
        data: what is learned from.
        properties: of interactions, that are features besides their weight and time.

    Raises:
        TrainingError: no interaction has such a property.
    """
    graph, evidence = data.graph, data.evidence
    users, items = evidence.shape
    user, item = row_numbers(evidence), evidence.indices.astype(np.int64)
    did = interaction_features(data, properties)
    in_category, related = graph.in_category, graph.related_to
    weight = standardised(in_category.weight.astype(np.float32)[:, None])
    strength = standardised(related.weight.astype(np.float32)[:, None])
    return {
        DID: Relation.to(item, user, items, did),
        DONE_BY: Relation.to(user, item, users, did),
        ("category", "holds", "item"): Relation.to(
            in_category.source, in_category.target, items, weight
        ),
        ("item", "in", "category"): Relation.to(
            in_category.target, in_category.source, len(graph.categories), weight
        ),
        ("item", "leads_to", "item"): Relation.to(related.target, related.source, items, strength),
        ("item", "comes_from", "item"): Relation.to(
            related.source, related.target, items, strength
        ),
    }


Draw = Callable[[EdgeType, Int64[NDArray[np.int64], " n"]], Drawn]
"""Some relationships of a type that lead to some nodes."""


def block_around(receivers: Nodes, edge_types: Mapping[EdgeType, Relation], draw: Draw) -> Block:
    """What the receiving nodes need for one layer."""
    drawn_of_type: dict[EdgeType, Drawn] = {}
    for edge_type in edge_types:
        drawn = draw(edge_type, receivers[edge_type[2]])
        if len(drawn.row):
            drawn_of_type[edge_type] = drawn
    senders: dict[str, NDArray[np.int64]] = {}
    for node_type, own in receivers.items():
        others = [
            drawn.other for (sender, _, _), drawn in drawn_of_type.items() if sender == node_type
        ]
        new = np.setdiff1d(np.concatenate([own[:0], *others]), own)
        senders[node_type] = np.concatenate([own, new])
    places = {node_type: _Places(nodes) for node_type, nodes in senders.items()}
    received = {
        edge_type: Received(
            places[edge_type[0]].of(drawn.other), drawn.row,
            edge_types[edge_type].features[drawn.edge],
        )
        for edge_type, drawn in drawn_of_type.items()
    }  # fmt: skip
    return Block(senders, {node_type: len(own) for node_type, own in receivers.items()}, received)


class _Places:
    """Where each of some different nodes is."""

    def __init__(self, nodes: Int64[NDArray[np.int64], " n"]) -> None:
        self._order = np.argsort(nodes)
        self._sorted = nodes[self._order]

    def of(self, nodes: Int64[NDArray[np.int64], " n"]) -> Int64[NDArray[np.int64], " n"]:
        return self._order[np.searchsorted(self._sorted, nodes)]
