# pyright: basic
# gensim and torch are typed in part: what they return is often unknown.
"""Skip-gram with negative sampling over walks.

Mikolov et al. 2013, "Distributed representations of words and phrases and their compositionality",
§2.2: for a node c and a node o within the window around it, make
log σ(<v_c, w_o>) + Σ_n log σ(-<v_c, w_n>) large, with n drawn in proportion to count^ns_exponent.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Walks = Int32[NDArray[np.int32], "walks length"]
Vectors = Float32[NDArray[np.float32], "nodes dim"]

_WALKS_AT_ONCE = 4096


class WalkCorpus:
    """Walks as the sentences gensim reads, as often as it asks."""

    def __init__(self, walks: Walks) -> None:
        self._walks = walks

    def __iter__(self) -> Iterator[list[int]]:
        for begin in range(0, len(self._walks), _WALKS_AT_ONCE):
            part = self._walks[begin : begin + _WALKS_AT_ONCE]
            if part.min() >= 0:
                yield from part.tolist()
            else:
                yield from ([node for node in walk if node >= 0] for walk in part.tolist())


def node_counts(walks: Walks, nodes: int) -> Int64[NDArray[np.int64], " nodes"]:
    """How often each node is in the walks."""
    return np.bincount(walks[walks >= 0], minlength=nodes)
