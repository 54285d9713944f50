"""How far an item falls without what it cites, against every other evidence of the same size.

    python benchmarks/deletion.py [--users 200] [--k 10] [--seed 0]

It needs a Neo4j with a data set loaded and refreshed, and only reads. `explanations.py` deletes the
three pieces that are cited first and three at random, through HTTP. This tries the other sets of
three, and so tells what share of them any order of citing could be ahead of: that of the set
without which the item falls most.
"""

import argparse
import asyncio
from collections.abc import Sequence
from itertools import combinations, islice
from math import comb

import numpy as np
from _environment import describe
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks._service import users_with_interactions
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import make_engine, neo4j_address
from recsvc.evaluation.metrics import bootstrap
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing
from recsvc.settings import load_settings
from recsvc.snapshot.arrays import Snapshot

DELETED = 3
MOST_SETS = 20_000
"""Of more, that many are drawn."""
AT_ONCE = 2_000
FOLLOWED = 500
"""Half of the items whose scores are followed: an item may fall past them unseen."""
PATIENCE_SECONDS = 60.0


def main() -> None:
    """Print how the cited set and the best one compare with all sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(), flush=True)
    settings = load_settings()
    rng = np.random.default_rng(options.seed)
    with Neo4jGateway(neo4j_address(settings)) as gateway:
        chosen = rng.permutation(users_with_interactions(gateway))[: options.users].tolist()
    engine = make_engine(settings, timeout_seconds=PATIENCE_SECONDS)
    falls = asyncio.run(_all(engine, chosen, options.k, rng))
    print(f"{len(falls):,} items of as many users with {2 * DELETED} pieces of evidence and more, "
          f"{sum(map(len, falls)):,} sets of {DELETED}")  # fmt: skip
    columns: dict[str, NDArray[np.float64]] = {}
    for name, of in {
        "cited first": [f[0] for f in falls],
        "best": [f.max() for f in falls],
    }.items():
        for word, ahead in {"more": np.greater, "as much": np.equal, "less": np.less}.items():
            shares = [ahead(own, f[1:]).mean() for own, f in zip(of, falls, strict=True)]
            columns[f"without the {DELETED} {name} it falls {word} than without any others"] = (
                np.array(shares)
            )
    columns[f"no {DELETED} pieces make it fall"] = np.array([f.max() <= 0 for f in falls], float)
    for name, estimate in bootstrap(columns, 1000, 0).items():
        print(f"{name}: {estimate.mean:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]")


async def _all(
    engine: Engine, users: Sequence[str], k: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    await engine.start()
    try:
        asked = [(await engine.known(user))[0] for user in users]
        snapshot = engine.snapshot
    finally:
        await engine.stop()
    found = [
        _falls(snapshot, asker, k, rng) for asker in track(asked, console=Console(stderr=True))
    ]
    return [falls for falls in found if len(falls)]


def _falls(snapshot: Snapshot, asker: Asker, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ranks that one item of a list loses without the set cited first, and without each other one.

    Returns:
        Empty where too little is known about the user.
    """
    listing = Listing(snapshot, asker, RecommendationQuery(k=FOLLOWED))
    listing.assume()
    exact = listing.exact()
    column = int(rng.integers(min(k, len(exact.items))))
    strength = np.zeros(len(asker.nodes))
    for term in exact.terms:
        strength[term.position] += term.values[:, column]
    pool = np.flatnonzero(strength)
    if len(pool) < 2 * DELETED:
        return np.zeros(0, np.int64)
    order = pool[np.argsort(-strength[pool], kind="stable")]
    sets = np.concatenate([order[None, :DELETED], _sets(order, rng)])
    _, left_out = listing.left_out(exact.items)
    place = int(np.searchsorted(left_out.items, exact.items[column]))
    falls: list[NDArray[np.int64]] = []
    for begin in range(0, len(sets), AT_ONCE):
        scores, _ = left_out.without(sets[begin : begin + AT_ONCE])
        falls.append((scores > scores[:, [place]]).sum(axis=1) - column)
    return np.concatenate(falls)


def _sets(order: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """All sets of three of some pieces but that of the first three, or as many as are tried."""
    if comb(len(order), DELETED) <= MOST_SETS:
        return np.array(list(islice(combinations(order.tolist(), DELETED), 1, None)), np.int64)
    drawn = rng.random((MOST_SETS, len(order))).argpartition(DELETED, axis=1)[:, :DELETED]
    drawn = np.unique(np.sort(drawn, axis=1), axis=0)
    return order[drawn[(drawn >= DELETED).any(axis=1)]]


if __name__ == "__main__":
    main()
