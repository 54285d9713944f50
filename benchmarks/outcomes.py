"""Outcomes a second through the HTTP service, against events a second in the same run.

    python benchmarks/outcomes.py [--seconds 8] [--rounds 3] [--callers 4] [--batch 500]

It starts a Neo4j and a service of its own, with made users and items and nothing refreshed, and
takes both away. Nine of ten outcomes are impressions. Rounds of outcomes and of events take turns,
so that other work on the machine meets both. Neo4j, the service and the callers share the machine.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from typing import Any

import httpx
from _environment import describe

from benchmarks._service import processor_seconds, service
from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import scratch_server
from loaders.schema import apply_schema
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds
from recsvc.settings import load_settings

USERS, ITEMS, LISTED = 20_000, 5_000, 10
SECRET = "a secret of this benchmark alone"
MADE = Query(
    "benchmark/made", "", "write", {"users": "int", "items": "int"}, {},
    "UNWIND range(0, $users - 1) AS n CREATE (:User {user_id: 'u' + n}) WITH count(*) AS made "
    "UNWIND range(0, $items - 1) AS n CREATE (:Item {item_id: 'i' + n})",
)  # fmt: skip

_number = count()
Body = Callable[[Random, int], dict[str, Any]]


def outcomes(random: Random, batch: int) -> dict[str, Any]:
    """A body of outcomes: impressions of whole lists, and a click on some."""
    ids = RecommendationIds(SECRET.encode())
    rows: list[dict[str, Any]] = []
    while len(rows) < batch:
        items = [f"i{n}" for n in random.sample(range(ITEMS), LISTED)]
        origin = Origin(1, f"u{random.randrange(USERS)}")
        told = {"recommendation_id": ids.issue(ids.contents(origin, items))}
        rows += [told | {"item_id": item, "kind": "impression"} for item in items[:9]]
        rows.append(told | {"item_id": random.choice(items), "kind": "click"})
    return {"outcomes": rows[:batch]}


def events(random: Random, batch: int) -> dict[str, Any]:
    """A body of new events."""
    rows = [
        {"event_id": f"e{next(_number)}", "user_id": f"u{random.randrange(USERS)}",
         "item_id": f"i{random.randrange(ITEMS)}", "event": "view"}
        for _ in range(batch)
    ]  # fmt: skip
    return {"events": rows}


def measure(url: str, path: str, body: Body, options: argparse.Namespace, seed: int) -> float:
    """Rows a second that are committed, with so many callers; the bodies are made before."""
    bodies = [
        [json.dumps(body(Random(f"{path} {seed} {caller} {n}"), options.batch)).encode()
         for n in range(options.bodies)]
        for caller in range(options.callers)
    ]  # fmt: skip
    end = time.perf_counter() + options.seconds

    def post(mine: list[bytes]) -> int:
        done = 0
        with httpx.Client(base_url=url, timeout=60) as client:
            for content in mine:
                if time.perf_counter() > end:
                    break
                answer = client.post(
                    path, content=content, headers={"Content-Type": "application/json"}
                )
                assert answer.status_code == 200, answer.text
                assert answer.json()["new"] == options.batch
                done += options.batch
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(options.callers) as callers:
        done = sum(callers.map(post, bodies))
    return done / (time.perf_counter() - started)


def main() -> None:
    """Print the rates of all rounds, and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=500)
    options = parser.parse_args()
    options.bodies = int(options.seconds * 20_000 / options.batch / options.callers)
    print(describe(), flush=True)
    home = load_settings().home  # of the jars
    with tempfile.TemporaryDirectory() as folder, scratch_server(home) as server:
        address = server.address()
        assert address.auth is not None
        with Neo4jGateway(address) as gateway:
            apply_schema(gateway)
            gateway.run(MADE, users=USERS, items=ITEMS)
        user, password = address.auth
        environment = {
            "RECSVC_HOME": folder, "RECSVC_NEO4J_URI": address.uri, "RECSVC_NEO4J_USER": user,
            "RECSVC_NEO4J_PASSWORD": password, "RECSVC_OUTCOMES__SECRET": SECRET,
            "RECSVC_WRITE_TIMEOUT_SECONDS": "60",
        }  # fmt: skip
        with service(environment, until="/health/live") as running:
            url = str(running.client.base_url)
            rates: dict[str, list[float]] = {"outcomes": [], "events": []}
            used = dict.fromkeys(rates, 0.0)
            for number in range(-1, options.rounds):
                for name, body in (("outcomes", outcomes), ("events", events)):
                    before = processor_seconds(running.pid)
                    rate = measure(url, f"/v1/{name}", body, options, number)
                    spent = processor_seconds(running.pid) - before
                    if number >= 0:  # in the first round Neo4j plans
                        rates[name].append(rate)
                        used[name] += spent / options.seconds / rate / options.rounds * 1e6
                    print(f"{name}: {rate:,.0f} a second", flush=True)
    median = {name: statistics.median(each) for name, each in rates.items()}
    for name, rate in median.items():
        print(f"{name}: {rate:,.0f} a second, {used[name]:.0f} µs of the service's processor each")
    print(f"outcomes over events: {median['outcomes'] / median['events']:.2f}")


if __name__ == "__main__":
    main()
