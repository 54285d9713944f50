"""A simulated shop, 30 days long, through the real HTTP service.

    python benchmarks/simulated_shop.py [--days 30] [--users 600] [--seed 0]

Users and items belong to communities that only the simulation knows. A user who looks at place j of
a list (with a chance of 1/j^0.6) clicks by how good the item is, if it is of their community, and
hardly ever else. A tenth of the items came lately: nobody has them yet. What users found before is
ingested and refreshed twice: first with nine of ten items of each user replaced by popular ones,
then with their own. Which version is better, and by how much, the simulation knows: `true` is the
mean of what its lists earn.

The shop runs an experiment of the second version against the first through `PUT /v1/experiments`,
tells what was shown and clicked through `POST /v1/outcomes`, and looks at the results every
evening. The users in no variant see popular lists, random ones, or those of two scenarios that
explore a tenth of their places, by Thompson sampling and evenly. From the log of these
`recsvc experiments estimate` says what both versions would have earned without exploration. In the
end what was clicked is ingested too and refreshed once more, by a refresh that compares its version
with the active one on the log.

It starts a Neo4j and a service of its own and takes both away.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
from _environment import describe
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from benchmarks._service import service
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import scratch_server
from loaders.tables import FolderTables
from recsvc.refresh.log_comparison import LogComparison, OutcomeLog
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings

ITEMS, NEW, COMMUNITIES, K, FOUND = 400, 40, 8, 10, 12
VISITS, EXPLORED = 0.5, 0.1
"""Chance that a user comes on a day; share of places that are explored."""
SCENARIOS = {"curious": "thompson", "even": "uniform"}
_AT_ONCE, _OUTCOMES = 100, 900

Rows = Int64[NDArray[np.int64], " k"]


class Shop:
    """Who likes what, and who clicks."""

    def __init__(self, users: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        own = self.rng.integers(COMMUNITIES, size=users)
        kind = self.rng.integers(COMMUNITIES, size=ITEMS)
        self.quality = self.rng.beta(1.0, 2.0, size=ITEMS)
        self.liking = np.where(own[:, None] == kind, 0.1 + 0.5 * self.quality, 0.005)
        self.looks = np.arange(1, K + 1) ** -0.6
        self.known = ITEMS - NEW
        """Rows of items from here on are new."""

    def clicks(self, user: int, items: Rows) -> NDArray[np.bool_]:
        """Which places of a list are clicked."""
        return self.rng.random(len(items)) < self.expected(user, items)

    def expected(self, user: int, items: Rows) -> Float64[NDArray[np.float64], " k"]:
        """The chance of a click at each place."""
        return self.liking[user, items] * self.looks[: len(items)]

    def found_before(self, *, noise: float) -> Iterator[tuple[str, str]]:
        """What each user once found: by taste, a share of it by quality alone."""
        good = self.quality[: self.known] ** 2
        for user, liking in enumerate(self.liking[:, : self.known]):
            own = self.rng.choice(self.known, FOUND, replace=False, p=liking / liking.sum())
            other = self.rng.choice(self.known, FOUND, replace=False, p=good / good.sum())
            for item in set(np.where(self.rng.random(FOUND) < noise, other, own).tolist()):
                yield f"u{user}", f"i{item}"


class Tally:
    """Of each kind of list what was clicked, and what it was to earn."""

    def __init__(self) -> None:
        self.clicked: defaultdict[str, list[float]] = defaultdict(list)
        self.true: defaultdict[str, list[float]] = defaultdict(list)
        self.tried: defaultdict[tuple[str, int], list[float]] = defaultdict(list)

    def add(self, name: str, shop: Shop, user: int, items: Rows) -> NDArray[np.bool_]:
        """A list that a user looks at: what they click."""
        clicked = shop.clicks(user, items)
        self.clicked[name].append(float(clicked.sum()))
        self.true[name].append(float(shop.expected(user, items).sum()))
        return clicked

    def print(self) -> None:
        """A row for each kind of list."""
        print("list | lists | clicks of a list | true")
        for name, each in sorted(self.clicked.items()):
            print(f"{name} | {len(each):,} | {np.mean(each):.3f} | {np.mean(self.true[name]):.3f}")
        print("tried out by | part of the days | places | chance of a click at the first place")
        for (name, part), each in sorted(self.tried.items()):
            print(f"{name} | {part} of 3 | {len(each):,} | {np.mean(each):.3f}")


def main() -> None:
    """Run the shop and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(), flush=True)
    shop = Shop(options.users, options.seed)
    home = load_settings().home  # of the jars
    with tempfile.TemporaryDirectory() as folder, scratch_server(home) as server:
        address = server.address()
        assert address.auth is not None
        user, password = address.auth
        environment = {
            "RECSVC_HOME": folder, "RECSVC_NEO4J_URI": address.uri, "RECSVC_NEO4J_USER": user,
            "RECSVC_NEO4J_PASSWORD": password,
        }  # fmt: skip
        with Neo4jGateway(address) as gateway:
            for noise in (0.9, 0.0):
                _learn(gateway, Path(folder), shop.found_before(noise=noise))
            with service(environment) as running:
                clicked = _run(running.client, shop, options.days)
                _estimate(running.client, shop, environment)
                new = {item for _, item in clicked if int(item[1:]) >= shop.known}
                print(f"new items that somebody clicked: {len(new)} of {NEW}")
                log = OutcomeLog(address, load_settings().events, max_evidence=1000)
                _after(running.client, shop, lambda: _learn(gateway, Path(folder), clicked, log))


def _learn(
    gateway: Neo4jGateway,
    home: Path,
    found: Iterable[tuple[str, str]],
    log: OutcomeLog | None = None,
) -> Sequence[LogComparison]:
    """Ingest and refresh: what the log says of the new version."""
    with (
        tempfile.TemporaryDirectory() as folder,
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        tables = Path(folder)
        pairs = pl.DataFrame([*found], schema=["user_id", "item_id"], orient="row")
        pairs.write_csv(tables / "interactions.csv")
        items = [f"i{item}" for item in range(ITEMS)]
        pl.DataFrame({"item_id": items}).write_csv(tables / "items.csv")
        ingest(gateway, FolderTables(tables), rejects=tables / "rejects.csv")
        models = RefreshOptions(models=("ease",), validation_users=200)
        run = refresh(gateway, models, load_settings().events, home=home, force=True, log=log)
    return run.by_log or ()


def _run(client: httpx.Client, shop: Shop, days: int) -> list[tuple[str, str]]:
    """The days of the shop: what was clicked."""
    users = range(len(shop.liking))
    new = _version(client)
    for name, by in SCENARIOS.items():
        body = {"exploration": {"share": EXPLORED, "within": K, "by": by}}
        assert client.put(f"/v1/scenarios/{name}", json=body).status_code == 200
    body = {
        "variants": [
            {"name": "second", "share": 0.3},
            {"name": "first", "share": 0.3, "version": new - 1},
        ],
        "effect": 0.3,
    }
    assert client.put("/v1/experiments/shop", json=body).status_code == 200
    by_people = np.argsort(-shop.liking[:, : shop.known].sum(axis=0))[:K]
    tally, found_on, pairs = Tally(), 0, list[tuple[str, str]]()
    outside: set[int] = set()
    for day in range(1, days + 1):
        coming = [user for user in users if shop.rng.random() < VISITS]
        outcomes: list[dict[str, Any]] = []
        for user, answer in _answers(client, [each for each in coming if each not in outside]):
            if "variant" in answer:
                clicked = tally.add(answer["variant"]["name"], shop, user, _rows(answer))
                outcomes += _told(answer, clicked, pairs)
            else:
                outside.add(user)
        some = [user for user in coming if user in outside]
        part = (day - 1) * 3 // days + 1
        outcomes += _outside(client, shop, some, by_people, tally, pairs, part)
        for at in range(0, len(outcomes), _OUTCOMES):
            sent = client.post("/v1/outcomes", json={"outcomes": outcomes[at : at + _OUTCOMES]})
            assert sent.status_code == 200, sent.text
        result = client.get("/v1/experiments/shop/results").json()["results"][0]
        apart = result["variants"][1]["difference"]
        if apart and apart["high"] < 0 and not found_on:
            found_on = day
            print(f"day {day}: the second version is better: {apart}", flush=True)
    tally.print()
    print(f"the second version was found to be better on day {found_on or 'none'}", flush=True)
    return pairs


def _outside(
    client: httpx.Client,
    shop: Shop,
    users: Sequence[int],
    popular: Rows,
    tally: Tally,
    pairs: list[tuple[str, str]],
    part: int,
) -> Iterator[dict[str, Any]]:
    """The visits of those who are in no variant: the outcomes of lists that explore."""
    for user in users:
        if user % 4 == 0:
            tally.add("popular", shop, user, popular)
        if user % 4 == 1:
            tally.add("random", shop, user, shop.rng.choice(ITEMS, K, replace=False))
    for place, (name, by) in enumerate(SCENARIOS.items(), start=2):
        some = [user for user in users if user % 4 == place]
        for user, answer in _answers(client, some, scenario=name):
            rows = _rows(answer)
            yield from _told(answer, tally.add(f"second, {by}", shop, user, rows), pairs)
            tally.tried[by, part] += [
                shop.liking[user, row]
                for row, item in zip(rows.tolist(), answer["items"], strict=True)
                if "placed_by" in item
            ]


def _estimate(client: httpx.Client, shop: Shop, environment: Mapping[str, str]) -> None:
    """What both versions would have earned for those who saw explored lists, and the truth."""
    new = _version(client)
    print("log | version | true | as shown | SNIPS (95%) | DR (95%) | IPS (95%) | mean weight")
    for place, name in enumerate(SCENARIOS, start=2):
        users = [user for user in range(len(shop.liking)) if user % 4 == place]
        for version in (new, new - 1):
            command = [
                sys.executable, "-m", "recsvc", "experiments", "estimate", "--json",
                "--scenario", name, "--version", str(version),
            ]  # fmt: skip
            done = subprocess.run(
                command, env={**os.environ, **environment}, capture_output=True, check=True
            )
            found = json.loads(done.stdout)
            # Of the users of the log: those who are in no variant.
            inside = {u for u, answer in _answers(client, users) if "variant" in answer}
            true = np.mean([
                shop.expected(user, _rows(answer)).sum()
                for user, answer in _answers(client, users, version=version)
                if user not in inside
            ])  # fmt: skip
            said = " | ".join(
                "{mean:.3f} ({low:.3f} to {high:.3f})".format(**found[each])
                for each in ("self_normalized", "doubly_robust", "inverse_propensity")
            )
            which = "second" if version == new else "first"
            shown = found["logged"]["mean"]
            print(f"{name} | {which} | {true:.3f} | {shown:.3f} | {said} | {found['weight']:.2f}")


def _after(client: httpx.Client, shop: Shop, learn: Callable[[], Sequence[LogComparison]]) -> None:
    """What the lists of all users are worth once what was clicked is learned.

    What a user clicked is theirs from then on and in no list of theirs, by whichever version.
    """
    before = _version(client)
    print("log | third (SNIPS) | second (SNIPS) | difference | difference (DR) | not judged, since")
    for each in learn():
        values = (
            each.new.self_normalized, each.active.self_normalized, each.difference,
            each.robust_difference,
        )  # fmt: skip
        said = " | ".join(f"{v.mean:.3f} ({v.low:.3f} to {v.high:.3f})" for v in values)
        print(f"{each.scenario} | {said} | {each.undecided or each.worse or 'judged'}")
    while _version(client) == before:
        time.sleep(0.2)
    print("version | true | places of new items")
    for name, version in (("second", before), ("third, with what was clicked", before + 1)):
        lists = [(user, _rows(answer)) for user, answer in
                 _answers(client, range(len(shop.liking)), version=version)]  # fmt: skip
        true = np.mean([shop.expected(user, items).sum() for user, items in lists])
        new = np.mean([(items >= shop.known).mean() for _, items in lists])
        print(f"{name} | {true:.3f} | {new:.1%}", flush=True)


def _version(client: httpx.Client) -> int:
    return client.get("/v1/users/u0/recommendations").json()["versions"]["hybrid"]


def _answers(
    client: httpx.Client, users: Sequence[int], **more: Any
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lists of some users, who are all known."""
    for at in range(0, len(users), _AT_ONCE):
        some = users[at : at + _AT_ONCE]
        body = {"user_ids": [f"u{user}" for user in some], "k": K, "explain": "none", **more}
        answer = client.post("/v1/recommendations/batch", json=body)
        assert answer.status_code == 200, answer.text
        yield from zip(some, answer.json()["answers"], strict=True)


def _rows(answer: Mapping[str, Any]) -> Rows:
    return np.array([int(item["item_id"][1:]) for item in answer["items"]])


def _told(
    answer: Mapping[str, Any], clicked: NDArray[np.bool_], pairs: list[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """The outcomes of a list that was shown; what was clicked joins `pairs`."""
    for item, click in zip(answer["items"], clicked.tolist(), strict=True):
        of = {"recommendation_id": answer["recommendation_id"], "item_id": item["item_id"]}
        yield of | {"kind": "impression"}
        if click:
            pairs.append((answer["user_id"], item["item_id"]))
            yield of | {"kind": "click"}


if __name__ == "__main__":
    os.environ.setdefault("RECSVC_REQUEST_TIMEOUT_SECONDS", "20")
    main()
