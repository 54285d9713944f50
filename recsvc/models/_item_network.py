# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""A network over items whose last layer is linear in what neighbours send, and users as sums.

    t_i = x_i A_t + n_i B_t + c_t,    n_i = Σ_j α_ij m_j
    s_j = x_j A_s + n_j B_s + c_s
    score(u, i) = <Σ_j e_uj s_j, t_i / |t_i|>

x_i is an item's own state, m_j what item j sends, α_ij how near j is, Σ_j α_ij = 1. The vector of a
user is the sum of source vectors, so the model is a kernel K(j, i) over what users did, and it is
trained as that kernel. Since Σ_j α_ij (m_j B + c) = n_i B + c, an item that training did not know
has, of the same network without its own state, the mean of what its neighbours send: the arrays
`sent` keep m_j B + c, and no weight is needed to apply them.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from loaders.types import IdMap
from recsvc.models._factors import factor_memory_bytes, to_numpy
from recsvc.models._neighbours import Links
from recsvc.models._network import NetworkLearner, NetworkOptions, Shapes, row_sums
from recsvc.models._vectors import VectorModel
from recsvc.models.base import TrainingData
from recsvc.signals.inductive import InductiveSignal

_EVIDENCE = 100
"""Items of a user that make their vector in one step, at most."""

_ENDS = "source", "target"

Vectors = Float32[NDArray[np.float32], "items dim"]


@dataclass(frozen=True, slots=True, eq=False)
class ItemNetworkModel(VectorModel):
    """The vectors of items, and what items send to new ones.

    A source vector is s_j, that of an item t_i of length 1, that of a user Σ_j e_uj s_j; all of
    them are 0 without evidence.

    Attributes:
        sent_source: m_j B_s + c_s.
        sent_target: m_j B_t + c_t.
    """

    sent_source: Vectors
    sent_target: Vectors

    def signal(self, items: IdMap) -> InductiveSignal:
        """See `FittedModel.signal`."""
        return InductiveSignal(
            self.name, items, self.source_vectors, self.item_vectors,
            sent_source=self.sent_source, sent_target=self.sent_target,
        )  # fmt: skip


class ItemNetworkLearner(NetworkLearner):
    """Such a network in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self,
        name: str,
        evidence: sp.csr_matrix,
        options: NetworkOptions,
        device: torch.device,
        seed: int,
        hidden: Shapes,
    ) -> None:
        """See `NetworkLearner`.

        Args:
            name: of the model.
            evidence: weights of all users, [users, items].
            options: of the model.
            device: where it is trained.
            seed: decides all that is drawn.
            hidden: weights below the last layer.
        """
        square, wide = (options.dimensions,) * 2, (options.dimensions,)
        last: Shapes = {
            f"{part}_{end}": shape
            for end in _ENDS
            for part, shape in (("own", square), ("sent", square), ("bias", wide))
        }
        super().__init__(evidence, options, device, seed, {**hidden, **last})
        weights = self.weights()
        with torch.no_grad():  # so that at first what is sent to both ends agrees
            weights["sent_target"].copy_(weights["sent_source"])
        self._name = name
        self._evidence = evidence
        self._items_of = Links.of_rows(evidence)

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`."""
        array = nodes.cpu().numpy()
        users = array[array < self._users]
        items = array[len(users) :] - self._users
        has = self.drawn(self._items_of, users, _EVIDENCE, of_users=True)
        needed, place = np.unique(np.concatenate([has.other, items]), return_inverse=True)
        own, around = self.last_inputs(needed)
        source, target = self._ends(self.with_some_hidden(own), around)
        of_evidence, of_items = self.on_device(place).split([len(has.row), len(items)])
        weight = self.on_device(self._evidence.data[has.edge].astype(np.float32))
        said = source[of_evidence] * weight[:, None]
        made = row_sums(said, self.on_device(has.row), len(users))
        return torch.cat([made, target[of_items]]), functional.embedding(nodes, self.table)

    def _ends(
        self, own: Float32[Tensor, "n dim"], around: Float32[Tensor, "n dim"]
    ) -> tuple[Float32[Tensor, "n dim"], ...]:
        """S and t of items with these x_i and n_i."""
        weights = self.weights()
        return tuple(
            own @ weights[f"own_{end}"] + around @ weights[f"sent_{end}"] + weights[f"bias_{end}"]
            for end in _ENDS
        )

    @abstractmethod
    def last_inputs(
        self, items: Int64[NDArray[np.int64], " n"]
    ) -> tuple[Float32[Tensor, "n dim"], Float32[Tensor, "n dim"]]:
        """x_i and n_i of some different items, n_i of neighbours that are drawn."""

    @abstractmethod
    def last_states(self) -> tuple[Float32[Tensor, "items dim"], ...]:
        """x_i, m_i and n_i of all items, n_i of all neighbours."""

    @torch.no_grad()
    def model(self) -> ItemNetworkModel:
        """See `Learner.model`: every mean is over all neighbours."""
        own, messages, around = self.last_states()
        there = (~self._absent[self._users :])[:, None]
        source, target = (end * there for end in self._ends(own, around))
        sent = (end * there for end in self._ends(torch.zeros_like(own), messages))
        sources, targets = to_numpy(source), to_numpy(functional.normalize(target))
        users = np.asarray(self._evidence @ sources, np.float32)
        return ItemNetworkModel(self._name, users, targets, sources, *map(to_numpy, sent))


def item_network_bytes(data: TrainingData, options: NetworkOptions, layers: int) -> int:
    """Bytes of the tables, the graph, a step, and the vectors of the model.

    Args:
        data: what is learned from.
        options: of the model.
        layers: at which neighbours are drawn.
    """
    users, items = data.evidence.shape
    batch = options.batch_size * options.batches_per_step
    asked = min(items, batch * (1 + _EVIDENCE))
    drawn = min(users, batch) * _EVIDENCE + layers * (asked + min(users, asked)) * options.fan_out
    # A value drawn, its gradient, and the two on the way; five arrays of the model and its copies.
    step = 4 * 4 * options.dimensions * (drawn + layers * 4 * asked)
    return factor_memory_bytes(data, options, 2) + step + 4 * 10 * items * options.dimensions
