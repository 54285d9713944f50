# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""HeteroGNN: attention over users, items, categories and related items, and what is known of them.

e_ij = aᵀ LeakyReLU(W_r h_i + V_r h_j + U_r f_ij),    α_ij = softmax over the j of relation r
h'_i = Σ_r Σ_j α_ij V_r h_j
E*   = (h^(0) + h^(1) + … + h^(L)) / (L + 1)
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from loaders.types import PropertyNames
from recsvc.blend.options import split_commas
from recsvc.models._factors import (
    FACTOR_SEARCH,
    FactorModel,
    factor_memory_bytes,
    fold_in,
    to_numpy,
)
from recsvc.models._features import count_features, item_features
from recsvc.models._loop import fit_by_epochs
from recsvc.models._neighbours import sample_neighbours
from recsvc.models._network import Drawn, NetworkLearner, NetworkOptions
from recsvc.models._relations import (
    DID,
    DONE_BY,
    Block,
    EdgeType,
    Nodes,
    block_around,
    relations_of,
)
from recsvc.models.base import FitReport, FitRun, Range, TrainingData

with warnings.catch_warnings():
    # Importing torch_geometric calls what torch has deprecated.
    warnings.simplefilter("ignore")
    from torch_geometric.nn import GATv2Conv, HeteroConv

_NODES_AT_ONCE = 2048
_ALL = 2**40

Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
States = dict[str, Float32[Tensor, "n dim"]]


class HeteroGNNOptions(NetworkOptions):
    """Options of HeteroGNN."""

    layers: int = Field(default=2, ge=1, le=3)
    """Layers of attention, L."""
    heads: int = Field(default=2, ge=1, le=16)
    """Attention heads, which share the dimensions."""
    edge_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the drawn relationships that a step leaves out."""
    interaction_properties: Names = Field(default=(), max_length=16)
    """Properties of interactions that are features besides their weight and time; as text, with
    commas between. Numbers, or true and false."""
    item_properties: Names = Field(default=(), max_length=16)
    """Properties of items that are features; numbers, true and false, or lists of numbers."""

    @model_validator(mode="after")
    def _heads_share_dimensions(self) -> "HeteroGNNOptions":
        if self.dimensions % self.heads:
            raise ValueError(
                f"dimensions={self.dimensions} and heads={self.heads}: expected a multiple of heads"
            )
        return self

    @property
    def property_names(self) -> PropertyNames:
        """See `ModelOptions.property_names`."""
        return PropertyNames(self.interaction_properties, self.item_properties)


SEARCH = {
    **FACTOR_SEARCH,
    "layers": Range(1, 2),
    "own_dropout": Range(0.0, 0.5),
    "edge_dropout": Range(0.0, 0.4),
}


def memory_bytes(data: TrainingData, options: HeteroGNNOptions) -> int:
    """Bytes of the tables, the relationships with their features, and of a step or the model."""
    graph = data.graph
    nodes = sum(data.evidence.shape) + len(graph.categories)
    names = options.property_names
    links = len(graph.in_category) + len(graph.related_to)
    features = 4 * (2 * data.evidence.nnz * 2 * (2 + len(names.interactions)) + 2 * links * 2)
    features += 4 * sum(values.size + len(values) for values in graph.item_properties.values())
    batch = 3 * options.batch_size * options.batches_per_step
    drawn, asked = 0, min(nodes, batch)
    for _ in range(options.layers):
        edges = min(3 * asked * options.fan_out, 2 * (data.evidence.nnz + links))
        drawn, asked = drawn + edges, min(nodes, asked + edges)
    # Of each relationship drawn: both ends, their sum, its features, messages, and the gradients.
    step = 4 * 10 * options.dimensions * drawn
    states = 4 * nodes * options.dimensions * (options.layers + 4)
    return factor_memory_bytes(data, options, 2) + features + step + states


def fit(
    data: TrainingData, options: HeteroGNNOptions, run: FitRun
) -> tuple[FactorModel, FitReport]:
    """Fit HeteroGNN. See `Fit`.

    Attention is that of Brody, Alon & Yahav 2022, "How attentive are graph attention networks?",
    eq. 7, with features of relationships f_ij; each type of relationship has its own, and what they
    bring is added up (Schlichtkrull et al. 2018, "Modeling relational data with graph convolutional
    networks"). Relationships are interactions, categories and related items, both ways. f_ij of an
    interaction is its weight, its time and the properties that are named; of others, their weight.
    h^(0) of a user or item is a vector that is learned, and of every node a learned map of how many
    relationships it has and, of an item, of the properties that are named. Layers are averaged as
    in LightGCN.

    A step draws `fan_out` neighbours of each node and type, and leaves out `edge_dropout` of them
    and those it is asked for. Users are not linear in what they did: as in `lightgcn`, the source
    vectors are those for which the sum over a user's items points where the user does.

    Raises:
        TrainingError: there is no evidence, no node has a property that is named, or the loss is
            no longer finite.
    """
    return fit_by_epochs(
        lambda device: HeteroGNNLearner(data, options, device, run.seed),
        data,
        options,
        run,
        memory_bytes=memory_bytes(data, options),
    )


class HeteroGNNLearner(NetworkLearner):
    """HeteroGNN in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, data: TrainingData, options: HeteroGNNOptions, device: torch.device, seed: int
    ) -> None:
        """Gather features, and draw the first vectors and weights."""
        self._relations = relations_of(data, options.interaction_properties)
        widths = {name: relation.features.shape[1] for name, relation in self._relations.items()}
        self._convolution = _convolution(widths, options)
        features = _node_features(data, options.item_properties)
        shapes: dict[str, tuple[int, ...]] = {
            f"features_{node_type}": (values.shape[1], options.dimensions)
            for node_type, values in features.items()
        }
        for layer in range(options.layers):
            for name, weight in self._convolution.named_parameters():
                shapes[f"{layer} {name}"] = tuple(weight.shape)
        super().__init__(data.evidence, options, device, seed, shapes)
        self._evidence, self._options = data.evidence, options
        self._features = {name: self.on_device(values) for name, values in features.items()}
        self._counts = {name: len(values) for name, values in features.items()}
        self._cosine = options.loss != "bpr"

    def _drawn_weights(self, name: str) -> Tensor:
        """See `NetworkLearner`: at first a message is the state of its sender, and counts alike.

        What is known of nodes and relationships gets a say by training.
        """
        shape, device = self._shapes[name], self.table.device
        if name.endswith("lin_l.weight"):
            return torch.eye(*shape, device=device)
        if name.startswith("features_") or name.endswith("lin_edge.weight"):
            return torch.zeros(shape, device=device)
        return super()._drawn_weights(name)

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`."""
        array = nodes.cpu().numpy()
        users = array[array < self._users]
        asked = {**_NOBODY, "user": users, "item": array[len(users) :] - self._users}
        blocks = list[Block]()
        receivers: Nodes = asked
        for _ in range(self._options.layers):
            blocks.insert(0, block_around(receivers, self._relations, self._draw))
            receivers = blocks[0].senders
        weights = self.weights()
        states = self._first(receivers, weights, training=True)
        total = {name: states[name][: len(own)] for name, own in asked.items()}
        for layer, block in enumerate(blocks):
            states = self._layer(layer, block, states, weights)
            total = {name: total[name] + states[name][: len(own)] for name, own in asked.items()}
        final = torch.cat([total["user"], total["item"]]) / (len(blocks) + 1)
        return final, functional.embedding(nodes, self.table)

    @torch.no_grad()
    def model(self) -> FactorModel:
        """See `Learner.model`: of all relationships."""
        every = {name: np.arange(count) for name, count in self._counts.items()}
        weights = self.weights()
        states = self._first(every, weights, training=False)
        total = dict(states)
        for layer in range(self._options.layers):
            states = {name: self._whole(layer, name, states, weights) for name in states}
            total = {name: total[name] + states[name] for name in total}
        scale = 1.0 / (self._options.layers + 1)
        users, items = (
            to_numpy(functional.normalize(total[name]) if self._cosine else total[name] * scale)
            for name in ("user", "item")
        )
        return FactorModel("heterognn", users, items, fold_in(self._evidence, users, items))

    def _first(self, nodes: Nodes, weights: Mapping[str, Tensor], *, training: bool) -> States:
        """h^(0) of some nodes of each type."""
        places = {name: self.on_device(own) for name, own in nodes.items()}
        of_features = {
            name: self._features[name][own] @ weights[f"features_{name}"]
            for name, own in places.items()
        }
        own = functional.embedding(places["item"] + self._users, self.table)
        return {
            "user": functional.embedding(places["user"], self.table) + of_features["user"],
            "item": (self.with_some_hidden(own) if training else own) + of_features["item"],
            "category": of_features["category"],
        }

    def _layer(
        self, layer: int, block: Block, states: States, weights: Mapping[str, Tensor]
    ) -> States:
        """The states of the receiving nodes of a block after a layer."""
        named = {
            name: weights[f"{layer} {name}"] for name, _ in self._convolution.named_parameters()
        }
        ends, places, features = {}, {}, {}
        for edge_type, received in block.received.items():
            sender, _, receiver = edge_type
            ends[edge_type] = states[sender], states[receiver][: block.receivers[receiver]]
            places[edge_type] = self.on_device(np.stack([received.sender, received.receiver]))
            features[edge_type] = self.on_device(received.features)
        states_after = functional_call(
            self._convolution, named, (ends, places), {"edge_attr_dict": features}
        )
        width = self._options.dimensions
        last = layer == self._options.layers - 1
        return {
            name: (states_after[name] if last else functional.elu(states_after[name]))
            if name in states_after
            else self.table.new_zeros(count, width)
            for name, count in block.receivers.items()
        }

    def _whole(
        self, layer: int, node_type: str, states: States, weights: Mapping[str, Tensor]
    ) -> Float32[Tensor, "n dim"]:
        """The states of all nodes of a type after a layer, some nodes at a time."""
        parts = [self.table.new_zeros(0, self._options.dimensions)]
        for some in _in_parts(self._counts[node_type]):
            block = block_around({**_NOBODY, node_type: some}, self._relations, self._all)
            needed = {
                name: states[name][self.on_device(own)] for name, own in block.senders.items()
            }
            parts.append(self._layer(layer, block, needed, weights)[node_type])
        return torch.cat(parts)

    def _draw(self, edge_type: EdgeType, nodes: Int64[NDArray[np.int64], " n"]) -> Drawn:
        """Some of the relationships that lead to some nodes, as a step may see them."""
        sample = self._sampled(edge_type, nodes, self._fan_out)
        stays = (
            np.random.default_rng(self.seed()).random(len(sample.row)) >= self._options.edge_dropout
        )
        receiver = nodes[sample.row]
        if edge_type == DID:
            stays &= self.shown(sample.other, receiver)
        elif edge_type == DONE_BY:
            stays &= self.shown(receiver, sample.other)
        return Drawn(sample.row[stays], sample.other[stays], sample.edge[stays])

    def _all(self, edge_type: EdgeType, nodes: Int64[NDArray[np.int64], " n"]) -> Drawn:
        """All relationships that lead to some nodes."""
        return self._sampled(edge_type, nodes, _ALL)

    def _sampled(
        self, edge_type: EdgeType, nodes: Int64[NDArray[np.int64], " n"], most: int
    ) -> Drawn:
        links = self._relations[edge_type].links
        row, edge = sample_neighbours(links, nodes, most, self.seed() if most < _ALL else 0)
        return Drawn(row, links.neighbour[edge].astype(np.int64), edge)


_NOBODY: Nodes = {name: np.empty(0, np.int64) for name in ("user", "item", "category")}


def _convolution(widths: Mapping[EdgeType, int], options: HeteroGNNOptions) -> HeteroConv:
    """One layer; its weights are given when it is called, so none are made here."""
    share = options.dimensions // options.heads
    size = (options.dimensions, options.dimensions)
    with torch.device("meta"):
        return HeteroConv(
            {
                edge_type: GATv2Conv(
                    size, share, options.heads, edge_dim=width, add_self_loops=False, bias=False
                )
                for edge_type, width in widths.items()
            }
        )


def _node_features(
    data: TrainingData, properties: tuple[str, ...]
) -> dict[str, Float32[NDArray[np.float32], "n features"]]:
    """What is known of the nodes of each type, besides what they are linked with."""
    evidence, graph = data.evidence, data.graph
    in_category = np.bincount(graph.in_category.target, minlength=len(graph.categories))
    of_items = [count_features(evidence.getnnz(axis=0)), item_features(data, properties)]
    return {
        "user": count_features(np.diff(evidence.indptr)),
        "item": np.concatenate(of_items, axis=1),
        "category": count_features(in_category),
    }


def _in_parts(count: int) -> Iterator[Int64[NDArray[np.int64], " n"]]:
    for first in range(0, count, _NODES_AT_ONCE):
        yield np.arange(first, min(count, first + _NODES_AT_ONCE))
