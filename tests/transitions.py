"""Steps of a random walk over users and items, as PageRank takes them."""

import numpy as np
import scipy.sparse as sp

from loaders.types import HeteroGraph


def transition_matrix(graph: HeteroGraph, evidence: sp.csr_matrix) -> sp.csr_matrix:
    """Row-stochastic steps over users and items: interactions both ways, follows both ways.

    Returns:
        float64 [users + items, users + items]; users first. A node without neighbours has an
        empty row.
    """
    users = len(graph.users)
    seen = evidence != 0
    follows = graph.follows.matrix(users, users, weighted=False) != 0
    links = sp.bmat([[(follows + follows.T) != 0, seen], [seen.T, None]]).tocsr().astype(float)
    degree = np.asarray(links.sum(axis=1)).ravel()
    scale = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    return (sp.diags(scale) @ links).tocsr()
