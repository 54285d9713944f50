"""How long a refresh may take, told before anything is fitted.

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
    "transitions": lambda pairs, _nodes: 5e-6 * pairs,
}
"""Both fits of each; of other models nothing was measured."""


_FINE_TUNED: Mapping[str, float] = {
    "lightgcn": 0.1, "node2vec": 0.1, "ridge": 0.5, "transitions": 0.5,
}  # fmt: skip
"""What of both fits a fine-tuned refresh needs: a tenth of each, or one of them."""
_REMAINS = 0.6
"""Of the other steps: no check of meta-paths, no weights, PageRank once."""


def _of_models(
    models: Sequence[str], pairs: int, nodes: int, *, tuned: bool
) -> Mapping[str, float]:
    return {
        name: _OF_MODELS[name](pairs, nodes) * (_FINE_TUNED[name] if tuned else 1.0)
        for name in models
        if name in _OF_MODELS
    }


def _other_steps(pairs: int, nodes: int, *, tuned: bool) -> float:
    """Reading, PageRank, meta-paths, weights, the gate, writing and SIMILAR."""
    return (8.0 + 20e-6 * pairs + 0.9e-3 * nodes) * (_REMAINS if tuned else 1.0)


def expected_seconds(
    models: Sequence[str], pairs: int, nodes: int, *, tuned: bool = False
) -> float:
    """Seconds of a refresh, without those models that were not measured.

    Args:
        models: of the blend.
        pairs: of a user and an item that have to do with each other.
        nodes: users and items.
        tuned: whether it goes on from the active version.
    """
    of_models = _of_models(models, pairs, nodes, tuned=tuned)
    return _other_steps(pairs, nodes, tuned=tuned) + sum(of_models.values())


def in_words(models: Sequence[str], pairs: int, nodes: int, *, tuned: bool = False) -> str:
    """The same for people, with the model that takes most of it, and those it leaves out."""
    seconds = expected_seconds(models, pairs, nodes, tuned=tuned)
    minutes, tens = round(seconds / 60), max(1, round(seconds / 10))
    length = f"{minutes} min" if seconds >= 55 else f"{10 * tens} s"
    told = f"about {length} expected on two cores"
    of = _of_models(models, pairs, nodes, tuned=tuned)
    dearest = max(of, key=of.__getitem__, default="")
    if dearest and of[dearest] > seconds / 4:
        told += f", {round(100 * of[dearest] / seconds)}% of it for {dearest}"
    if unknown := [name for name in models if name not in of]:
        told += f"; {', '.join(unknown)} not counted"
    return told
