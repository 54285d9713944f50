"""Kernels over what is known besides interactions: who follows whom, and categories."""

import numpy as np
import scipy.sparse as sp

from loaders.types import HeteroGraph
from recsvc.signals.degrees import degrees, power
from recsvc.signals.product import ProductSignal
from recsvc.signals.rows import RowSignal

FOLLOWS = "follows"
CATEGORIES = "categories"


def follows_signal(graph: HeteroGraph, evidence: sp.csr_matrix) -> RowSignal:
    """What followed users did: K(v, i) = e_vi / Σ_i' e_vi'.

    Everybody who is followed says the same in all, whether they did much or little.

    Args:
        graph: the users.
        evidence: weights of all users, [users, items].
    """
    scale = power(degrees(evidence, 1), -1.0)
    rows = sp.csr_matrix(sp.diags(scale) @ evidence, dtype=np.float32)
    return RowSignal(FOLLOWS, "user", graph.users, rows)


def category_signal(graph: HeteroGraph) -> ProductSignal:
    """Item → category → item: K(j, i) = Σ_c 1 / (n_j · √n_c · √n_i) over the categories of both.

    n_j is the number of categories of item j, n_c of the items in c. A large category says little.
    How popular an item is does not count: the prior of a blend says that already, and other models
    know it better.

    Args:
        graph: items and categories; the stored weights of `IN_CATEGORY` do not count, since their
            scale differs from data set to data set.
    """
    links = graph.in_category.matrix(len(graph.items), len(graph.categories), weighted=False)
    of_item = np.diff(links.indptr).astype(np.float64)
    of_category = np.bincount(links.indices, minlength=links.shape[1]).astype(np.float64)
    left = sp.diags(power(of_item, -1.0)) @ links @ sp.diags(power(of_category, -0.5))
    right = sp.diags(power(of_item, -0.5)) @ links
    return ProductSignal(
        CATEGORIES,
        "item",
        graph.items,
        sp.csr_matrix(left, dtype=np.float32),
        sp.csr_matrix(right, dtype=np.float32),
    )
