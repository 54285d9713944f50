# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""GraphSAGE: an item's vector from its own and from those two steps away, drawn at random."""

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recsvc.models._factors import FACTOR_SEARCH, to_numpy
from recsvc.models._item_network import ItemNetworkLearner, ItemNetworkModel, item_network_bytes
from recsvc.models._loop import fit_by_epochs
from recsvc.models._neighbours import Links
from recsvc.models._network import NetworkOptions, row_means
from recsvc.models.base import FitReport, FitRun, Range, TrainingData


class GraphSAGEOptions(NetworkOptions):
    """Options of GraphSAGE."""


SEARCH = {**FACTOR_SEARCH, "own_dropout": Range(0.0, 0.5)}


def memory_bytes(data: TrainingData, options: GraphSAGEOptions) -> int:
    """See `item_network_bytes`."""
    return item_network_bytes(data, options, 1)


def fit(
    data: TrainingData, options: GraphSAGEOptions, run: FitRun
) -> tuple[ItemNetworkModel, FitReport]:
    """Fit GraphSAGE (Hamilton, Ying & Leskovec 2017) on users and items. See `Fit`.

    The paper is "Inductive representation learning on large graphs"; this is its algorithm 1. Two
    steps of mean aggregation, from items to users and back:

        m_j = ReLU(x_j Q + q)
        h_u = mean of m_j over the items of u
        n_i = mean of h_u over the users of i
        t_i = x_i A_t + n_i B_t + c_t,    s_i = x_i A_s + n_i B_s + c_s

    x_i is a vector of the item that is learned; [x_i, n_i] is what the paper concatenates. Users
    have no vector of their own, so h_u needs no weights besides. A step draws `fan_out` neighbours
    for each mean (§3.1); the model takes all. See `recsvc.models._item_network` for what follows:
    how users are scored, and the vectors of new items.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_by_epochs(
        lambda device: GraphSAGELearner(data.evidence, options, device, run.seed),
        data,
        options,
        run,
        memory_bytes=memory_bytes(data, options),
    )


class GraphSAGELearner(ItemNetworkLearner):
    """GraphSAGE in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: GraphSAGEOptions, device: torch.device, seed: int
    ) -> None:
        """See `ItemNetworkLearner`."""
        hidden = {"message": (options.dimensions,) * 2, "message_bias": (options.dimensions,)}
        super().__init__("graphsage", evidence, options, device, seed, hidden)
        people = sp.csr_matrix(evidence.T)
        self._people_of = Links.of_rows(people)
        self._mean_of_items, self._mean_of_people = row_shares(evidence), row_shares(people)

    def last_inputs(
        self, items: Int64[NDArray[np.int64], " n"]
    ) -> tuple[Float32[Tensor, "n dim"], Float32[Tensor, "n dim"]]:
        """See `ItemNetworkLearner.last_inputs`."""
        of_item = self.drawn(self._people_of, items, self._fan_out, of_users=False)
        users, user_place = np.unique(of_item.other, return_inverse=True)
        of_user = self.drawn(self._items_of, users, self._fan_out, of_users=True)
        senders, place = np.unique(of_user.other, return_inverse=True)
        sent = self._messages(self._own(senders))[self.on_device(place)]
        of_users = row_means(sent, self.on_device(of_user.row), len(users))
        passed = of_users[self.on_device(user_place)]
        return self._own(items), row_means(passed, self.on_device(of_item.row), len(items))

    def last_states(self) -> tuple[Float32[Tensor, "items dim"], ...]:
        """See `ItemNetworkLearner.last_states`."""
        own = self.table[self._users :]
        messages = self._messages(own)
        of_users = self._mean_of_items @ to_numpy(messages)
        around = np.asarray(self._mean_of_people @ of_users, np.float32)
        return own, messages, self.on_device(around)

    def _own(self, items: Int64[NDArray[np.int64], " n"]) -> Float32[Tensor, "n dim"]:
        return functional.embedding(self.on_device(items + self._users), self.table)

    def _messages(self, own: Float32[Tensor, "n dim"]) -> Float32[Tensor, "n dim"]:
        weights = self.weights()
        return functional.relu(own @ weights["message"] + weights["message_bias"])


def row_shares(links: sp.csr_matrix) -> sp.csr_matrix:
    """What takes the mean over the stored entries of each row, all alike."""
    count = np.diff(links.indptr)
    share = np.repeat(1.0 / np.maximum(count, 1), count).astype(np.float32)
    return sp.csr_matrix((share, links.indices, links.indptr), shape=links.shape)
