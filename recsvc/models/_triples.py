# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""What models of a knowledge graph share: all relationships as facts, and their training.

The nodes are users, items and categories. A fact (h, r, t) asks two questions: which t, given h
and r, and which h, given t and r. A model turns what is given into a vector q, and the answer is
the node e whose vector is nearest in direction:

    score(h, r, t) = <q(h, r), e_t>,  |e| = 1

Training compares the cosine of q and the right answer with those of other nodes, by the losses of
`recsvc.models._losses`; what is a fact is never a negative. Ruffinelli, Broscheit & Gemulla 2020,
"You CAN teach an old dog new tricks! On training knowledge graph embeddings", found such losses
to be better than the margins of the papers.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from recsvc.evaluation.links import Links, links_of
from recsvc.models._factors import FactorLearner, FactorModel, FactorOptions, fold_in, to_numpy
from recsvc.models._loop import fit_by_epochs
from recsvc.models.base import FitReport, FitRun, Tables, TrainingData


class TripleOptions(FactorOptions):
    """Options of a model of a knowledge graph."""

    batch_size: int = Field(default=1024, ge=1)
    """Questions that are compared with the same negatives."""


@dataclass(frozen=True, slots=True, eq=False)
class TripleModel(FactorModel, ABC):
    """Vectors of nodes and relations.

    Attributes:
        node_vectors: e, of length 1; zero for a node without a relationship.
        relation_vectors: r.
        relations: their names.
    """

    node_vectors: Float32[NDArray[np.float32], "nodes dim"]
    relation_vectors: Float32[NDArray[np.float32], "relations dim"]
    relations: tuple[str, ...]

    neutral: ClassVar[tuple[float, float]] = (0.0, 0.0)
    """What the first and the second half of r are before training: nearly nothing is changed."""

    @staticmethod
    @abstractmethod
    def query(
        node: Float32[Tensor, "n dim"],
        relation: Float32[Tensor, "n dim"],
        sign: Float32[Tensor, "n 1"],
    ) -> Float32[Tensor, "n dim"]:
        """Vectors q.

        Args:
            node: e of what is given.
            relation: r.
            sign: 1 where the tail is asked for, -1 where the head is.
        """

    def link_scores(
        self, other_end: Int64[NDArray[np.int64], " n"], relation: int, *, tails: bool
    ) -> Float32[NDArray[np.float32], "n nodes"]:
        """See `recsvc.evaluation.links.LinkScores`."""
        node, own = (
            torch.from_numpy(array)
            for array in (self.node_vectors[other_end], self.relation_vectors[[relation]])
        )
        sign = torch.full((len(other_end), 1), 1.0 if tails else -1.0)
        return self.query(node, own.expand_as(node), sign).numpy() @ self.node_vectors.T


class TripleLearner(FactorLearner):
    """A model of a knowledge graph in training. See `recsvc.models._loop.Learner`.

    To the losses, a question is what a user is, and a node that may be its answer is an item.
    Question (2 r + side) · nodes + node gives a node and asks for the tail (side 0) or the head.
    """

    def __init__(
        self,
        kind: type[TripleModel],
        name: str,
        data: TrainingData,
        options: TripleOptions,
        device: torch.device,
        seed: int,
    ) -> None:
        """Draw the first vectors; nodes without a relationship start at 0."""
        links = _links(data)
        absent = np.append(links.degrees() == 0, np.zeros(len(links.relations), np.bool_))
        super().__init__(_questions(links), options, device, seed, absent)
        self._kind, self._name, self._evidence = kind, name, data.evidence
        self._weights = _kind_weights(data)
        self._nodes, self._relations = links.nodes, links.relations
        half = options.dimensions // 2
        with torch.no_grad():
            self.table[links.nodes :, :half] += kind.neutral[0]
            self.table[links.nodes :, half:] += kind.neutral[1]

    def start_from(self, tables: Tables) -> None:
        """See `Learner.start_from`. Where kinds of events came or went, relations begin anew."""
        (given,) = tables
        if len(given) != len(self.table):
            anew = np.full((len(self._relations), given.shape[1]), np.nan, np.float32)
            given = np.concatenate([given[: self._nodes], anew])
        super().start_from((given,))

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`: q of questions, e of nodes."""
        asked = nodes[nodes < self._users]
        answers = nodes[len(asked) :] - self._users
        given, way = asked % self._nodes, torch.div(asked, self._nodes, rounding_mode="floor")
        rows = functional.embedding(torch.cat([given, answers]), self.table)
        unit = functional.normalize(rows)
        relation = functional.embedding(self._nodes + way // 2, self.table)
        sign = (1 - 2 * (way % 2)).to(unit.dtype)[:, None]
        query = self._kind.query(unit[: len(asked)], relation, sign)
        return torch.cat([query, unit[len(asked) :]]), rows

    @torch.no_grad()
    def model(self) -> TripleModel:
        """See `Learner.model`."""
        unit = functional.normalize(self.table[: self._nodes])
        relations = self.table[self._nodes :]
        users, items = self._evidence.shape
        of_users = to_numpy(self._user_vectors(unit[:users], relations))
        nodes = to_numpy(unit)
        of_items = nodes[users : users + items]
        source = fold_in(self._evidence, of_users, of_items)
        return self._kind(
            self._name, of_users, of_items, source, nodes, to_numpy(relations), self._relations
        )

    def _user_vectors(
        self, users: Float32[Tensor, "users dim"], relations: Float32[Tensor, "relations dim"]
    ) -> Float32[Tensor, "users dim"]:
        """Σ_k w_k q(u, k) over the kinds of events, as training compares them."""
        total, sign = torch.zeros_like(users), users.new_ones(len(users), 1)
        for name, weight in self._weights.items():
            row = self._relations.index(f"INTERACTED {name}")
            query = self._kind.query(users, relations[[row]].expand_as(users), sign)
            total += weight * (functional.normalize(query) if self._softmax else query)
        return total * users.any(dim=1, keepdim=True)

    @property
    def _softmax(self) -> bool:
        return self._options.loss != "bpr"


def triple_memory_bytes(data: TrainingData, options: TripleOptions) -> int:
    """Bytes of the table, its gradient and moments, the questions, and a batch."""
    graph = data.graph
    nodes = len(graph.users) + len(graph.items) + len(graph.categories)
    relations = 5 + len(graph.interactions.events)
    edges = (graph.follows, graph.prefers, graph.in_category, graph.subcategory_of)
    facts = len(graph.interactions) + len(graph.related_to) + sum(map(len, edges))
    compared = options.batch_size if options.negatives == "in_batch" else options.negative_count
    batch = 4 * options.batch_size * (2 * compared + 16 * options.dimensions)
    table = 4 * (nodes + relations) * options.dimensions
    return table * 10 + 2 * facts * 64 + 2 * relations * nodes * 16 + batch


def fit_triples(
    kind: type[TripleModel], name: str, data: TrainingData, options: TripleOptions, run: FitRun
) -> tuple[Any, FitReport]:
    """Fit a model of a knowledge graph. See `Fit`.

    A user's vector is Σ_k w_k q(u, k) over the kinds k of events that speak for an item, with w_k
    the mean evidence of the pairs that have such an event, brought to a sum of 1. The source
    vectors are those of the items times the matrix of `fold_in`: what is given for a user is then
    told by their items.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_by_epochs(
        lambda device: TripleLearner(kind, name, data, options, device, run.seed),
        data,
        options,
        run,
        memory_bytes=triple_memory_bytes(data, options),
    )


def _links(data: TrainingData) -> Links:
    return links_of(data.graph, _kinds(data))


def _kinds(data: TrainingData) -> tuple[str, ...]:
    events = data.graph.interactions.events
    return events if data.kinds is None else tuple(kind for kind in events if kind in data.kinds)


def _kind_weights(data: TrainingData) -> dict[str, float]:
    """w_k by kind of event."""
    did = data.graph.interactions
    weights: dict[str, float] = {}
    for kind in _kinds(data):
        own = did.event_index == did.events.index(kind)
        evidence = np.asarray(data.evidence[did.user_index[own], did.item_index[own]]).ravel()
        weights[kind] = float(evidence.mean()) if len(evidence) else 0.0
    total = sum(weights.values()) or 1.0
    return {kind: weight / total for kind, weight in weights.items()}


def _questions(links: Links) -> sp.csr_matrix:
    """1 where a node is an answer, [questions, nodes]."""
    row = 2 * links.relation * links.nodes
    asked = np.concatenate([row + links.head, row + links.nodes + links.tail])
    answer = np.concatenate([links.tail, links.head])
    shape = (2 * len(links.relations) * links.nodes, links.nodes)
    return sp.csr_matrix((np.ones(len(asked), np.float32), (asked, answer)), shape=shape)
