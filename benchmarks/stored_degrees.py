"""What it saves to take Neo4j's own degrees where all interactions speak.

    python benchmarks/stored_degrees.py [--rounds 15]

It needs a Neo4j with a data set in which all kinds of events speak, such as Last.fm of `make demo`,
and only reads. The queries of item_user_item run as they are, and with every interaction looked at
for its kind, in turn. It checks that both ways give the same, and prints medians and their ratio.
"""

import argparse
from collections.abc import Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from _environment import describe

from loaders.catalogue import Query, catalogue
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import neo4j_address
from recsvc.event_kinds import speaking_kinds
from recsvc.graph.pasteable_cypher import path_parameters
from recsvc.settings import load_settings

CHOICE = "WITH CASE WHEN NOT all_speak THEN speaking END AS kinds"
POPULARITY = Query(
    "benchmark/popularity", "", "read", {}, {},
    "MATCH (i:Item) WITH i, COUNT { (i)<-[:INTERACTED]-() } AS people WHERE people > 0"
    " RETURN i.item_id AS id, people ORDER BY people DESC, id",
)  # fmt: skip
WARM_UP = 4


def main() -> None:
    """Print a line for each query and each sort of item."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(describe(), flush=True)
    settings = load_settings()
    kinds = list(speaking_kinds([], settings.events))
    metapath, explain = (catalogue()[f"{of}/item_user_item"] for of in ("metapaths", "explain"))
    with Neo4jGateway(neo4j_address(settings)) as gateway:
        items = [(row["id"], row["people"]) for row in gateway.run(POPULARITY)]
        for at in (0, 300, 1000, len(items) // 2):
            item, people = items[at]
            name = f"item_user_item from an item of {people} people"
            _compare(gateway, name, metapath, {"evidence_ids": [item], "kinds": kinds}, rounds)
        rng = np.random.default_rng(0)
        for what, begin, end in (("popular", 0, 100), ("middling", 100, 1500)):
            chosen = [items[at][0] for at in rng.permutation(np.arange(begin, end))[:100].tolist()]
            pairs = list(zip(chosen[:50], chosen[50:], strict=True))
            parameters = path_parameters(pairs, None, kinds, limit=2)
            _compare(gateway, f"paths of 50 pairs of {what} items", explain, parameters, rounds)


def _compare(
    gateway: Neo4jGateway, name: str, query: Query, parameters: Mapping[str, Any], rounds: int
) -> None:
    assert CHOICE in query.text
    counted = query.text.replace(CHOICE, "WITH speaking AS kinds")
    ways = [query, Query(query.name, "", "read", query.params, {}, counted)]
    times: list[list[float]] = [[], []]
    for number in range(WARM_UP + rounds):
        answers: dict[int, Sequence[Any]] = {}
        for way in (0, 1) if number % 2 else (1, 0):
            began = perf_counter()
            answers[way] = gateway.run(ways[way], **parameters)
            if number >= WARM_UP:
                times[way].append((perf_counter() - began) * 1000)
        assert _strengths(answers[0]) == _strengths(answers[1]), name
    stored, filtered = map(median, times)
    print(f"{name}: {stored:.1f} ms, counted {filtered:.1f}, ratio {stored / filtered:.2f}",
          flush=True)  # fmt: skip


def _strengths(rows: Sequence[Any]) -> list[tuple[str, str, float]]:
    return sorted((row["evidence_id"], row["item_id"], round(row["strength"], 9)) for row in rows)


if __name__ == "__main__":
    main()
