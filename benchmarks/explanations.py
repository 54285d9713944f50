"""Whether explanations are true: paths, sums, counterfactuals, deletions, privacy; and how good.

    python benchmarks/explanations.py [--users 1000] [--k 10] [--seed 0]

It needs a Neo4j with a data set loaded and refreshed: `make demo` for Last.fm; for another one
`recsvc ingest ciao --from FOLDER` and `recsvc refresh --model ridge`. It only reads, and starts a
service of its own. Whatever an answer claims is checked through HTTP or in Neo4j, not by the code
that made it.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any, LiteralString

import numpy as np
from _environment import describe
from rich.console import Console
from rich.progress import track

from benchmarks._service import Service, service, users_with_interactions
from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import neo4j_address
from recsvc.evaluation.metrics import bootstrap
from recsvc.settings import load_settings

NODES = {"user": ("User", "user_id"), "item": ("Item", "item_id"),
         "category": ("Category", "category_id")}  # fmt: skip
FOLLOWS = Query(
    "benchmark/follows", "", "read", {"user_id": "str"}, {},
    "MATCH (:User {user_id: $user_id})-[:FOLLOWS]->(other:User) RETURN other.user_id AS id",
)  # fmt: skip
UNHURRIED = {"RECSVC_ANSWER_CACHE_SECONDS": "0", "RECSVC_REQUEST_TIMEOUT_SECONDS": "60"}
"""Whatever is beside it on the machine, a deadline is not what is checked."""
PAIRS_CHECKED = 100
LARGER_CHECKED = 20
"""Sets of three and more, for each of which every pair is tried: a thousand requests or so."""
DELETED = 3
DEPTH = 500


class Findings:
    """What is counted over all answers."""

    def __init__(self) -> None:
        self.users = self.items = 0
        self.worst_sum = 0.0
        self.paths: dict[tuple[Any, ...], list[list[str | None]]] = defaultdict(list)
        self.sizes: Counter[int] = Counter()
        self.held = self.pairs = self.pairs_minimal = self.larger = self.larger_minimal = 0
        self.strangers = 0
        self.drops: list[tuple[int, int]] = []


def main() -> None:
    """Print every share with what it is a share of."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(), flush=True)
    rng = np.random.default_rng(options.seed)
    found = Findings()
    settings = load_settings()
    with Neo4jGateway(neo4j_address(settings)) as gateway:
        everybody = users_with_interactions(gateway)
        chosen = rng.permutation(everybody)[: options.users].tolist()
        with service(UNHURRIED) as served:
            for user in track(chosen, console=Console(stderr=True)):
                _check(gateway, served, user, options.k, rng, found)
        _print(found, *_existing(gateway, found))


def _check(
    gateway: Neo4jGateway, served: Service, user: str, k: int, rng: np.random.Generator,
    found: Findings,
) -> None:  # fmt: skip
    answer = served.recommend(user, k=k, explain="full")
    assert not answer["degraded"], answer["degraded"]
    followed = {row["id"] for row in gateway.run(FOLLOWS, user_id=user)}
    listed = [item["item_id"] for item in answer["items"]]
    found.users += 1
    for item in answer["items"]:
        found.items += 1
        explanation = item["explanation"]
        parts = sum(part["value"] for part in explanation["contributions"])
        for total in (parts + explanation["remainder"], sum(item["signals"].values())):
            found.worst_sum = max(found.worst_sum, abs(total / item["score"] - 1.0))
        for path in explanation["paths"]:
            people = [n["id"] for n in path["nodes"] if n["kind"] == "user" and n["id"] is not None]
            found.strangers += len(set(people) - followed - {user})
            shape = (
                tuple((n["kind"], n["id"] is not None) for n in path["nodes"]),
                tuple((r["type"], r["from"], r["to"]) for r in path["relationships"]),
            )
            found.paths[shape].append([n["id"] for n in path["nodes"]])
        _try(served, user, k, item, listed, found)
    if answer["items"]:
        _delete(served, user, answer["items"][int(rng.integers(len(listed)))], rng, found)


def _try(
    served: Service, user: str, k: int, item: dict[str, Any], listed: Sequence[str],
    found: Findings,
) -> None:  # fmt: skip
    """Ask again without the evidence of a counterfactual; of a pair, without each other piece."""
    named = item["explanation"]["counterfactual"]
    found.sizes[len(named["without"]) if named else 0] += 1
    if named is None:
        return
    again = _without(served, user, k, _names(named["without"]))
    found.held += (
        item["item_id"] not in again
        and named["replaced_by"] in again
        and named["replaced_by"] not in listed
    )
    if len(named["without"]) == 2 and found.pairs < PAIRS_CHECKED:
        found.pairs += 1
        found.pairs_minimal += _none_smaller(served, user, k, item["item_id"], most=1)
    if len(named["without"]) > 2 and found.larger < LARGER_CHECKED:
        found.larger += 1
        found.larger_minimal += _none_smaller(served, user, k, item["item_id"], most=2)


def _none_smaller(served: Service, user: str, k: int, item_id: str, *, most: int) -> bool:
    """Whether an item stays in the list without any so many pieces of evidence: all are tried."""
    pieces = _evidence(served, user, item_id)
    sets = (chosen for size in range(1, most + 1) for chosen in combinations(pieces, size))
    return all(item_id in _without(served, user, k, chosen) for chosen in sets)


def _delete(
    served: Service, user: str, item: dict[str, Any], rng: np.random.Generator, found: Findings
) -> None:
    """Ranks that an item loses without its most cited evidence, and without as much at random."""
    strength: Counter[str] = Counter()
    for part in item["explanation"]["contributions"]:
        strength[_names([part["evidence"]])[0]] += part["value"]
    everything = _evidence(served, user, item["item_id"])
    if len(everything) < 2 * DELETED:
        return
    cited = [name for name, _ in strength.most_common(DELETED)]
    others = rng.permutation(everything)[: len(cited)].tolist()
    drops = [
        _rank(_without(served, user, DEPTH, names), item["item_id"]) - item["rank"]
        for names in (cited, others)
    ]
    found.drops.append((drops[0], drops[1]))


def _evidence(served: Service, user: str, item_id: str) -> list[str]:
    """All evidence that adds anything to an item, as far as 500 contributions name it."""
    answer = served.client.get(f"/v1/users/{user}/recommendations/{item_id}/explanation").json()
    parts = answer["explanation"]["contributions"]
    return list(dict.fromkeys(_names([part["evidence"] for part in parts])))


def _without(served: Service, user: str, k: int, names: Sequence[str]) -> list[str]:
    answer = served.recommend(user, k=k, explain="none", without=names)
    return [item["item_id"] for item in answer["items"]]


def _names(nodes: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{node['kind']}:{node['id']}" for node in nodes]


def _rank(listed: Sequence[str], item_id: str) -> int:
    return listed.index(item_id) + 1 if item_id in listed else len(listed) + 1


def _existing(gateway: Neo4jGateway, found: Findings) -> tuple[int, int]:
    """Paths that were shown, and how many of them Neo4j has."""
    shown = existing = 0
    for (nodes, steps), ids in found.paths.items():
        text: LiteralString = _text(nodes, steps)  # pyright: ignore[reportAssignmentType] (names of ours)
        query = Query("benchmark/paths", "", "read", {"rows": "list[any]"}, {}, text)
        for begin in range(0, len(ids), 1000):
            part = ids[begin : begin + 1000]
            shown += len(part)
            existing += gateway.run(query, rows=part)[0]["existing"]
    return shown, existing


def _text(nodes: Sequence[tuple[str, bool]], steps: Sequence[tuple[str, int, int]]) -> str:
    """A query that counts the rows of ids for which there are nodes linked like the path."""
    ends: list[str] = []
    for position, (kind, known) in enumerate(nodes):
        label, key = NODES[kind]
        ends.append(f"(n{position}:{label}" + (f" {{{key}: ids[{position}]}})" if known else ")"))
    links = [f"(n{begin})-[:{name}]->(n{end})" for name, begin, end in steps]
    pattern = ", ".join([*ends, *links])
    return (
        f"UNWIND $rows AS ids WITH ids WHERE EXISTS {{ MATCH {pattern} }} "
        "RETURN count(*) AS existing"
    )


def _print(found: Findings, shown: int, existing: int) -> None:
    made = found.items - found.sizes[0]
    print(f"{found.users:,} users, {found.items:,} items")
    print(f"paths that exist: {_share(existing, shown)}")
    print(f"sums: largest relative error {found.worst_sum:.1e}")
    for most in (1, 2, 3, 5):
        count = sum(n for size, n in found.sizes.items() if 0 < size <= most)
        print(f"a counterfactual of at most {most}: {_share(count, found.items)}")
    print(f"counterfactuals that hold when asked again: {_share(found.held, made)}")
    print(f"pairs where no single piece does it: {_share(found.pairs_minimal, found.pairs)}")
    larger = _share(found.larger_minimal, found.larger)
    print(f"sets of three and more where no single piece and no pair does it: {larger}")
    print(f"people named whom the asker does not follow: {found.strangers}")
    if not found.drops:
        print(f"nobody has {2 * DELETED} pieces of evidence for an item")
        return
    cited, other = np.array(found.drops).T
    shares = {"more": cited > other, "as much": cited == other, "less": cited < other}
    estimates = bootstrap({name: hits.astype(float) for name, hits in shares.items()}, 1000, 0)
    for name, estimate in estimates.items():
        print(f"without the {DELETED} most cited an item falls {name} than without {DELETED} at "
              f"random: {estimate.mean:.1%} [{estimate.low:.1%}, {estimate.high:.1%}] "
              f"of {len(cited):,}")  # fmt: skip
    print(f"mean fall {cited.mean():.1f} ranks against {other.mean():.1f}")


def _share(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.2%} ({part:,} of {whole:,})"


if __name__ == "__main__":
    main()
