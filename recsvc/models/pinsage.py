# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""PinSage: an item's vector from the items that random walks from it visit most."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from recsvc.models._factors import FACTOR_SEARCH, to_numpy
from recsvc.models._item_network import ItemNetworkLearner, ItemNetworkModel, item_network_bytes
from recsvc.models._loop import fit_by_epochs
from recsvc.models._neighbours import Links, sample_neighbours
from recsvc.models._network import NetworkOptions, row_sums
from recsvc.models._rows import largest_entries
from recsvc.models._sampling import Positives, Shared
from recsvc.models._walks import WalkGraph, random_walks
from recsvc.models.base import FitReport, FitRun, Range, TrainingData
from recsvc.signals.rows import truncate_rows

_STEPS = 4
"""Of a walk: to two items after the one where it begins."""
_WALKS_AT_ONCE = 1_000_000


class PinSageOptions(NetworkOptions):
    """Options of PinSage."""

    neighbours: int = Field(default=20, ge=1, le=1000)
    """Items that count as near an item, T: those that its walks visit most."""
    walks_per_item: int = Field(default=200, ge=1, le=10_000)
    """Walks that begin at each item."""
    hard_negatives: int = Field(default=1, ge=0, le=100)
    """Negatives for each example that are like its item: next in visits after its neighbours."""

    @model_validator(mode="after")
    def _hard_negatives_are_shared(self) -> "PinSageOptions":
        if self.hard_negatives and self.loss == "bpr":
            raise ValueError(
                f"hard_negatives={self.hard_negatives} with loss=bpr: use hard_negatives=0, or "
                "another loss, whose negatives are those of a whole batch"
            )
        return self


SEARCH = {**FACTOR_SEARCH, "own_dropout": Range(0.0, 0.5), "neighbours": Range(5, 50)}


def memory_bytes(data: TrainingData, options: PinSageOptions) -> int:
    """See `item_network_bytes`; and the walks, and twice as many visits as are kept."""
    items = data.evidence.shape[1]
    walks = min(items * options.walks_per_item, _WALKS_AT_ONCE) * (_STEPS + 1) * 4
    near = 16 * 3 * items * 2 * options.neighbours
    return item_network_bytes(data, options, 2) + 8 * walks + near


def fit(
    data: TrainingData, options: PinSageOptions, run: FitRun
) -> tuple[ItemNetworkModel, FitReport]:
    """Fit PinSage (Ying et al. 2018) on items. See `Fit`.

    The paper is "Graph convolutional neural networks for web-scale recommender systems"; this is
    its algorithm 1. The neighbours of an item are the T items that random walks over users visit
    most, and α_ij is the share of visits that j has among them (§3.2, importance pooling). With x_i
    a vector of the item that is learned, two convolutions are

        h_i = ReLU(x_i W + Σ_j α_ij ReLU(x_j Q + q) V + w),  brought to length 1
        t_i = h_i A_t + Σ_j α_ij ReLU(h_j Q' + q') B_t + c_t,  s_i likewise

    The negatives of a batch are those of every model of vectors, and hard ones: items that are
    next after the T in visits from the item of an example, so that they are like it but less so
    (§3.3). Other than in the paper, there are as many in every epoch; the second convolution is
    linear, in place of two layers after it; and what is trained is not a pair of items but the sum
    over what a user did. See `recsvc.models._item_network` for how users are scored.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_by_epochs(
        lambda device: PinSageLearner(data.evidence, options, device, run.seed),
        data,
        options,
        run,
        memory_bytes=memory_bytes(data, options),
    )


class PinSageLearner(ItemNetworkLearner):
    """PinSage in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: PinSageOptions, device: torch.device, seed: int
    ) -> None:
        """Walk, and draw the first vectors.

        Walks are the same whatever the seed, so that tables alone say what the model is.
        """
        square, wide = (options.dimensions,) * 2, (options.dimensions,)
        hidden = {
            "own_first": square, "sent_first": square, "bias_first": wide,
            "message_first": square, "message_bias_first": wide,
            "message": square, "message_bias": wide,
        }  # fmt: skip
        super().__init__("pinsage", evidence, options, device, seed, hidden)
        self._near, hard = nearest_by_walks(evidence, options)
        self._near_links, self._hard_links = Links.of_rows(self._near), Links.of_rows(hard)
        self._hard = options.hard_negatives

    def last_inputs(
        self, items: Int64[NDArray[np.int64], " n"]
    ) -> tuple[Float32[Tensor, "n dim"], Float32[Tensor, "n dim"]]:
        """See `ItemNetworkLearner.last_inputs`."""
        row, other, share = self._importance(items)
        needed, place = np.unique(np.concatenate([items, other]), return_inverse=True)
        below, below_other, below_share = self._importance(needed)
        senders, sender_place = np.unique(below_other, return_inverse=True)
        sent = self._messages(self._own(senders), "_first")[self.on_device(sender_place)]
        around = row_sums(sent * below_share, self.on_device(below), len(needed))
        state = self._first(self._own(needed), around)
        places = self.on_device(place)
        sent = self._messages(state, "")[places[len(items) :]]
        return state[places[: len(items)]], row_sums(sent * share, self.on_device(row), len(items))

    def last_states(self) -> tuple[Float32[Tensor, "items dim"], ...]:
        """See `ItemNetworkLearner.last_states`."""
        own = self.table[self._users :]
        state = self._first(own, self._pooled(self._messages(own, "_first")))
        messages = self._messages(state, "")
        return state, messages, self._pooled(messages)

    def _pooled(self, messages: Float32[Tensor, "items dim"]) -> Float32[Tensor, "items dim"]:
        return self.on_device(np.asarray(self._near @ to_numpy(messages), np.float32))

    def _importance(
        self, items: Int64[NDArray[np.int64], " n"]
    ) -> tuple[
        Int64[NDArray[np.int64], " drawn"], Int64[NDArray[np.int64], " drawn"],
        Float32[Tensor, "drawn 1"],
    ]:  # fmt: skip
        """Some of the neighbours of each item, and their shares, which sum to 1 again."""
        row, edge = sample_neighbours(self._near_links, items, self._fan_out, self.seed())
        share = self._near.data[edge]
        total = np.bincount(row, share, len(items))[row]
        other = self._near_links.neighbour[edge].astype(np.int64)
        return row, other, self.on_device((share / total).astype(np.float32))[:, None]

    def _first(
        self, own: Float32[Tensor, "n dim"], around: Float32[Tensor, "n dim"]
    ) -> Float32[Tensor, "n dim"]:
        weights = self.weights()
        both = own @ weights["own_first"] + around @ weights["sent_first"] + weights["bias_first"]
        return functional.normalize(functional.relu(both))

    def _messages(self, own: Float32[Tensor, "n dim"], layer: str) -> Float32[Tensor, "n dim"]:
        weights = self.weights()
        return functional.relu(own @ weights[f"message{layer}"] + weights[f"message_bias{layer}"])

    def _own(self, items: Int64[NDArray[np.int64], " n"]) -> Float32[Tensor, "n dim"]:
        return functional.embedding(self.on_device(items + self._users), self.table)

    def _others(self, positives: Positives) -> Shared:
        """See `FactorLearner`: and hard negatives, each of which counts 1."""
        usual = super()._others(positives)
        if not self._hard:
            return usual
        liked = positives.item.cpu().numpy()
        drawn = sample_neighbours(self._hard_links, liked, self._hard, self.seed())
        hard = self.on_device(self._hard_links.neighbour[drawn.edge].astype(np.int64))
        item, place = torch.unique(torch.cat([usual.item, hard]), return_inverse=True)
        weight = torch.cat([usual.weight, usual.weight.new_ones(len(hard))])
        return Shared(item, weight.new_zeros(len(item)).index_add_(0, place, weight))


def nearest_by_walks(
    evidence: sp.csr_matrix, options: PinSageOptions
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """The items that walks from each item visit most, their shares, and those that come next.

    Args:
        evidence: weights of all users, [users, items]; a walk follows them all alike.
        options: of the walks.

    Returns:
        α, [items, items], each row of `neighbours` entries and of sum 1; and the entries of the
        next as many, the share of a visit as their value.
    """
    both = largest_entries(_visits(evidence, options), 2 * options.neighbours)
    near, _ = truncate_rows(both, options.neighbours)
    hard = sp.csr_matrix(both - near)
    hard.eliminate_zeros()
    total = np.asarray(near.sum(axis=1)).ravel()
    scale = sp.diags(1.0 / np.where(total > 0, total, 1.0))
    return sp.csr_matrix(scale @ near, dtype=np.float32), hard


def _visits(evidence: sp.csr_matrix, options: PinSageOptions) -> Iterator[sp.csr_matrix]:
    """How often the walks of some items after others visit each item; not where they began."""
    users, items = evidence.shape
    links = sp.csr_matrix(evidence, dtype=bool).astype(np.float32)
    graph = WalkGraph.from_matrix(
        sp.csr_matrix(sp.block_array([[None, links], [links.T, None]]), dtype=np.float32)
    )
    some = max(1, _WALKS_AT_ONCE // options.walks_per_item)
    for first in range(0, items, some):
        starts = np.repeat(np.arange(first, min(items, first + some)), options.walks_per_item)
        walks = random_walks(graph, starts + users, _STEPS + 1, p=1.0, q=1.0, seed=first)
        ends = walks[:, 2::2].astype(np.int64) - users
        row = np.repeat(starts - first, ends.shape[1])
        end = ends.ravel()
        visits = (end >= 0) & (end != row + first)
        count = np.ones(visits.sum(), np.float32)
        shape = (min(items, first + some) - first, items)
        yield sp.csr_matrix((count, (row[visits], end[visits])), shape=shape)
