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
    """What followed users did: K(v, i) = e_vi / (‖e_v‖ · d_i^0.25), d_i the evidence of the item.

    Who did much says more in all, and less about each thing. That a followed user has what
    everybody has says little.

    Args:
        graph: the users.
        evidence: weights of all users, [users, items].
    """
    length = np.sqrt(degrees(sp.csr_matrix(evidence.multiply(evidence)), 1))
    users, items = sp.diags(power(length, -1.0)), sp.diags(power(degrees(evidence, 0), -0.25))
    rows = sp.csr_matrix(users @ evidence @ items, dtype=np.float32)
    return RowSignal(FOLLOWS, "user", graph.users, rows)


def category_signal(graph: HeteroGraph) -> ProductSignal:
    """Item → category → item: K(j, i) = Σ_c w_jc · w_ic / (s_j^0.5 · n_c^0.7 · s_i^0.3).

    w is log(1 + weight) of a link, s the sum of w over the categories of an item, n_c the number
    of items in c. A large category says little. Of how many people a link comes from, as with
    tags, the logarithm counts, so that one tagging is neither nothing nor as good as fifty; where
    all links weigh the same, the weight changes no ranking. It is what the meta-path
    `item_category_item` says, without its bounds.

    Args:
        graph: items and categories; a weight below 0 counts as 0.
    """
    links = graph.in_category.matrix(len(graph.items), len(graph.categories))
    links.data = np.log1p(np.maximum(links.data, 0.0))
    said = degrees(links, 1)
    of_category = np.bincount(links.indices, minlength=links.shape[1]).astype(np.float64)
    left = sp.diags(power(said, -0.5)) @ links @ sp.diags(power(of_category, -0.7))
    right = sp.diags(power(said, -0.3)) @ links
    return ProductSignal(
        CATEGORIES,
        "item",
        graph.items,
        sp.csr_matrix(left, dtype=np.float32),
        sp.csr_matrix(right, dtype=np.float32),
    )
