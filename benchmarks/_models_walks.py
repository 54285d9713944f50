"""Walks and skip-gram beside the package `node2vec`, on MovieLens 100K.

A fifth of the ratings are held out, whatever the stars; the rest is a graph of users and films.
Both embed it with the same settings and are asked which of a held-out pair and a random pair
without a rating is the real one. A pair scores the inner product of the user's input vector and
the film's output vector plus the other way round, for both: what skip-gram makes large.
"""

import io
import tarfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
import scipy.sparse as sp
from _environment import describe

from loaders.shared_files import checkout_root
from recsvc.models._skipgram import NodeVectors, SkipGram, fit_in_turn
from recsvc.models._walks import WalkGraph, random_walks
from recsvc.models.base import silent

P, Q, ALPHA, NEGATIVES, SEED = 0.5, 2.0, 0.025, 5, 0
_USERS, _FILMS = 943, 1682
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Settings:
    """What both are given.

    Attributes:
        name: where the numbers come from.
        dimensions: length of a vector.
        length: nodes in a walk.
        window: farthest distance of a pair.
        epochs: passes over the walks.
        walks_per_node: walks that start at each node.
    """

    name: str
    dimensions: int
    length: int
    window: int
    epochs: int
    walks_per_node: int = 10


SETTINGS = (
    Settings("the defaults of recsvc", dimensions=64, length=20, window=3, epochs=4),
    Settings("those of Grover & Leskovec", dimensions=128, length=80, window=10, epochs=1),
)


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Vectors, and seconds of processor time for the walks and for skip-gram."""

    vectors: NodeVectors
    walking: float
    fitting: float


def run() -> None:
    """Print times, AUC and the ratio for each of the settings."""
    print(describe(), flush=True)
    edges, held_out, absent = _split()
    for settings in SETTINGS:
        print(f"walks: {settings}, p={P}, q={Q}", flush=True)
        seconds, samples = [], []
        for name, embed in (("recsvc", _recsvc), ("node2vec", _package)):
            made = embed(edges, settings)
            auc, drawn = _auc(_scores(made, held_out), _scores(made, absent))
            low, high = np.quantile(drawn, [0.025, 0.975])
            print(
                f"  {name:8s} walks {made.walking:.2f} s, skip-gram {made.fitting:.2f} s of "
                f"processor time, AUC {auc:.4f} [{low:.4f}, {high:.4f}]",
                flush=True,
            )
            seconds.append(made.walking + made.fitting)
            samples.append(drawn)
        low, high = np.quantile(samples[0] - samples[1], [0.025, 0.975])
        print(f"  AUC recsvc - node2vec: [{low:+.4f}, {high:+.4f}] on the same resamples")
        print(f"  ratio of processor time {seconds[1] / seconds[0]:.1f}", flush=True)


def _split() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of nodes, [n, 2]: to learn from, held out, and as many without a rating."""
    generator = np.random.default_rng(SEED)
    folder = (checkout_root() or Path.cwd()).parent / "shared" / "data" / "ml-100k"
    with tarfile.open(folder / "ml-100k.tar.xz") as archive:
        file = archive.extractfile("ml-100k/u.data")
        assert file is not None
        pairs = np.loadtxt(io.BytesIO(file.read()), np.int64, usecols=(0, 1)) - 1
    rated = np.zeros((_USERS, _FILMS), bool)
    rated[pairs[:, 0], pairs[:, 1]] = True
    held = generator.random(len(pairs)) < 0.2
    absent = np.argwhere(~rated)
    absent = absent[generator.choice(len(absent), held.sum(), replace=False)]
    nodes = np.array([0, _USERS])
    return pairs[~held] + nodes, pairs[held] + nodes, absent + nodes


def _recsvc(edges: np.ndarray, settings: Settings) -> Embedded:
    nodes = _USERS + _FILMS
    half = sp.csr_matrix((np.ones(len(edges)), tuple(edges.T)), shape=(nodes, nodes))
    _compile()
    began = time.process_time()
    graph = WalkGraph.from_matrix(sp.csr_matrix(half + half.T))
    linked = np.flatnonzero(np.diff(graph.begin))
    starts = np.tile(linked, settings.walks_per_node)
    walks = random_walks(graph, starts, settings.length, p=P, q=Q, seed=SEED)
    walked = time.process_time()
    task = SkipGram(
        walks, nodes, settings.dimensions, settings.window, NEGATIVES, ns_exponent=0.75, seed=SEED
    )
    vectors, _, _ = fit_in_turn(task, ALPHA, settings.epochs, silent)
    return Embedded(vectors, walked - began, time.process_time() - walked)


def _compile() -> None:
    """Compile on two nodes, so that it is not counted."""
    graph = WalkGraph.from_matrix(sp.csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]])))
    walks = random_walks(graph, np.array([0]), 3, p=P, q=Q, seed=SEED)
    fit_in_turn(SkipGram(walks, 2, 2, 1, 1, 0.75, SEED), ALPHA, 1, silent)


def _package(edges: np.ndarray, settings: Settings) -> Embedded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that it imports
        from node2vec import Node2Vec
    graph = nx.Graph(edges.tolist())
    began = time.process_time()
    walker = Node2Vec(
        graph, dimensions=settings.dimensions, walk_length=settings.length,
        num_walks=settings.walks_per_node, p=P, q=Q, quiet=True, seed=SEED,
    )  # fmt: skip
    walked = time.process_time()
    model = walker.fit(
        window=settings.window, epochs=settings.epochs, negative=NEGATIVES, ns_exponent=0.75,
        alpha=ALPHA, min_alpha=ALPHA * 0.004, sample=0.0, min_count=1, seed=SEED,
    )  # fmt: skip
    fitted = time.process_time()
    rows = np.array([int(str(word)) for word in model.wv.index_to_key])
    centre = np.zeros((_USERS + _FILMS, settings.dimensions), np.float32)
    context = np.zeros_like(centre)
    centre[rows], context[rows] = model.wv.vectors, model.syn1neg
    return Embedded(NodeVectors(centre, context), walked - began, fitted - walked)


def _scores(made: Embedded, pairs: np.ndarray) -> np.ndarray:
    left, right = pairs.T
    centre, context = made.vectors
    return (centre[left] * context[right] + context[left] * centre[right]).sum(axis=1)


def _auc(real: np.ndarray, absent: np.ndarray) -> tuple[float, np.ndarray]:
    """Chance that a real pair scores above an absent one (ties half), and its resamples.

    It is the mean over real pairs of the share of absent ones below; both are drawn anew.
    """
    generator = np.random.default_rng(SEED)

    def once(some: np.ndarray, others: np.ndarray) -> float:
        others = np.sort(others)
        below = np.searchsorted(others, some, "left") + np.searchsorted(others, some, "right")
        return float(below.mean() / (2 * len(others)))

    samples = [
        once(generator.choice(real, len(real)), generator.choice(absent, len(absent)))
        for _ in range(_RESAMPLES)
    ]
    return once(real, absent), np.array(samples)


if __name__ == "__main__":
    run()
