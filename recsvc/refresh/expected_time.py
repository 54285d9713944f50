"""How long a refresh from scratch may take, told before anything is fitted.

The rates are those of docs/performance.md: two processor cores, Neo4j beside, default options. Of
Last.fm and of made graphs of half a million and 5 million interactions they give 0.8, 1.1 and 1.1
times what was measured. Another machine may take half or twice as long.
"""

from collections.abc import Callable, Mapping, Sequence

_Seconds = Callable[[int, int], float]
"""Of so many pairs of a user and an item, and so many users and items."""

_OF_MODELS: Mapping[str, _Seconds] = {
    "lightgcn": lambda pairs, _nodes: 12.0 + 58e-6 * pairs,
    "node2vec": lambda _pairs, nodes: 5.6 * (nodes / 15_000) ** 1.6,
    "ridge": lambda pairs, _nodes: 5e-6 * pairs,
}
"""Both fits of each; of other models nothing was measured."""


def _other_steps(pairs: int, nodes: int) -> float:
    """Reading, PageRank, meta-paths, weights, the gate, writing and SIMILAR."""
    return 8.0 + 20e-6 * pairs + 0.9e-3 * nodes


def expected_seconds(models: Sequence[str], pairs: int, nodes: int) -> float:
    """Seconds of a refresh from scratch, without those models that were not measured.

    Args:
        models: of the blend.
        pairs: of a user and an item that have to do with each other.
        nodes: users and items.
    """
    known = (_OF_MODELS[name] for name in models if name in _OF_MODELS)
    return _other_steps(pairs, nodes) + sum(seconds(pairs, nodes) for seconds in known)


def in_words(models: Sequence[str], pairs: int, nodes: int) -> str:
    """The same for people, with the model that takes most of it, and those it leaves out."""
    seconds = expected_seconds(models, pairs, nodes)
    told = f"about {max(1, round(seconds / 60))} min expected on two cores"
    of = {name: _OF_MODELS[name](pairs, nodes) for name in models if name in _OF_MODELS}
    dearest = max(of, key=of.__getitem__, default="")
    if dearest and of[dearest] > seconds / 4:
        told += f", {round(100 * of[dearest] / seconds)}% of it for {dearest}"
    if unknown := [name for name in models if name not in of]:
        told += f"; {', '.join(unknown)} not counted"
    return told
