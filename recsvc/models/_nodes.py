# pyright: basic
# scipy's sparse matrices are typed in part: what an operator returns is often unknown.
"""Users, items and categories as the nodes of one graph."""

from typing import Literal

import numpy as np
import scipy.sparse as sp

from recsvc.models.base import TrainingData

Relationship = Literal["interactions", "follows", "in_category"]


def homogeneous_graph(data: TrainingData, relationships: tuple[Relationship, ...]) -> sp.csr_matrix:
    """The symmetric weights of users, then items, then categories as nodes alike.

    A user and an item weigh their evidence; two users weigh 1, or 2 where they follow each
    other; an item and a category weigh 1, so that the scale of stored weights, which differs from
    data set to data set, does not decide where a walk goes.
    """
    graph = data.graph
    users, items, categories = len(graph.users), len(graph.items), len(graph.categories)
    edges = data.evidence.tocoo()
    parts = {
        "interactions": (edges.row, edges.col + users, edges.data),
        "follows": (graph.follows.source, graph.follows.target, np.ones(len(graph.follows))),
        "in_category": (
            graph.in_category.source + users,
            graph.in_category.target + users + items,
            np.ones(len(graph.in_category)),
        ),
    }
    taken = [parts[name] for name in relationships]
    source, target, weight = (np.concatenate(column) for column in zip(*taken, strict=True))
    nodes = users + items + categories
    half = sp.csr_matrix((weight, (source, target)), shape=(nodes, nodes))
    return sp.csr_matrix(half + half.T)
