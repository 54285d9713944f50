"""A simulated shop, 30 days long, through the real HTTP service.

    python benchmarks/simulated_shop.py [--days 30] [--users 600] [--seed 0]

Users and items have tastes that only the simulation knows. A user who looks at place j of a list
(with a chance of 1/j^0.6) clicks by how well the item fits. What users once found by themselves is
ingested and refreshed twice: first with nine of ten items of each user replaced by popular ones,
then with their own besides. Which version is better, and by how much, the simulation knows: it
prints the true means.

The shop runs an experiment of the second version against the first through `PUT /v1/experiments`,
tells what was shown and clicked through `POST /v1/outcomes`, and looks at the results every
evening. A third of the users are in no variant. Half of these see lists with exploration, half
popular or random lists. From the log of the explored lists it is estimated what they would have
earned without exploration, and what the first version would have earned.

It starts a Neo4j and a service of its own and takes both away.
"""

import argparse
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
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
from recsvc.experiments.exploration import draw
from recsvc.experiments.off_policy import LoggedPlaces, inverse_propensity, self_normalized
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings

ITEMS, DIM, K, CANDIDATES = 400, 6, 10, 50
VISITS, EXPLORED = 0.5, 0.1
"""Chance that a user comes on a day; share of places that are explored."""
_AT_ONCE, _OUTCOMES = 100, 900

Rows = Int64[NDArray[np.int64], " k"]


class Shop:
    """Who likes what, and who clicks."""

    def __init__(self, users: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.taste = self.rng.normal(size=(users, DIM))
        self.kind = self.rng.normal(size=(ITEMS, DIM))
        self.quality = self.rng.normal(size=ITEMS)
        fit = self.taste @ self.kind.T / np.sqrt(DIM) + 0.5 * self.quality
        self.liking = 0.6 / (1.0 + np.exp(-2.0 * (fit - 1.5)))
        self.looks = np.arange(1, K + 1) ** -0.6

    def clicks(self, user: int, items: Rows) -> NDArray[np.bool_]:
        """Which places of a list are clicked."""
        return self.rng.random(len(items)) < self.expected(user, items)

    def expected(self, user: int, items: Rows) -> Float64[NDArray[np.float64], " k"]:
        """The chance of a click at each place."""
        return self.liking[user, items] * self.looks[: len(items)]

    def found_before(self, *, noise: float) -> Iterator[tuple[str, str]]:
        """What each user once found: by taste, a share of it by quality alone."""
        by_quality = np.exp(self.quality)
        for user, liking in enumerate(self.liking):
            own = self.rng.choice(ITEMS, 12, replace=False, p=liking / liking.sum())
            other = self.rng.choice(ITEMS, 12, replace=False, p=by_quality / by_quality.sum())
            for item in set(np.where(self.rng.random(12) < noise, other, own).tolist()):
                yield f"u{user}", f"i{item}"


@dataclass
class Log:
    """What explored lists showed."""

    user: list[int] = field(default_factory=list)
    items: list[Rows] = field(default_factory=list)
    ranked: list[Rows] = field(default_factory=list)
    clicked: list[NDArray[np.bool_]] = field(default_factory=list)
    propensity: list[Float64[NDArray[np.float64], " k"]] = field(default_factory=list)

    def places(self, targets: Sequence[Rows]) -> LoggedPlaces:
        """The same for estimates of a policy that shows these lists."""
        items = np.concatenate(self.items)
        answer, place = np.divmod(np.arange(len(items)), K)
        return LoggedPlaces(
            user=np.array(self.user)[answer],
            answer=answer,
            place=place,
            reward=np.concatenate(self.clicked).astype(np.float64),
            propensity=np.concatenate(self.propensity),
            target=(items == np.concatenate(targets)).astype(np.float64),
        )


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
                _learn(gateway, shop, Path(folder), noise)
        with service(environment) as running:
            _run(running.client, shop, options.days)


def _learn(gateway: Neo4jGateway, shop: Shop, home: Path, noise: float) -> None:
    tables = home / f"tables-{noise}"
    tables.mkdir()
    found = list(shop.found_before(noise=noise))
    pl.DataFrame(found, schema=["user_id", "item_id"], orient="row").write_csv(
        tables / "interactions.csv"
    )
    items = [f"i{item}" for item in range(ITEMS)]
    pl.DataFrame({"item_id": items}).write_csv(tables / "items.csv")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        ingest(gateway, FolderTables(tables), rejects=tables / "rejects.csv")
        models = RefreshOptions(models=("ease",), validation_users=200)
        refresh(gateway, models, load_settings().events, home=home, force=True)


def _run(client: httpx.Client, shop: Shop, days: int) -> None:
    users = [f"u{user}" for user in range(len(shop.taste))]
    new = client.get(f"/v1/users/{users[0]}/recommendations").json()["versions"]["hybrid"]
    body = {
        "variants": [
            {"name": "second", "share": 0.34},
            {"name": "first", "share": 0.33, "version": new - 1},
        ],
        "effect": 0.3,
    }
    assert client.put("/v1/experiments/shop", json=body).status_code == 200
    clicks: dict[str, list[float]] = {}
    log, truth, found_on = Log(), dict[str, list[float]](), 0
    for day in range(1, days + 1):
        coming = np.flatnonzero(shop.rng.random(len(users)) < VISITS)
        outcomes: list[dict[str, Any]] = []
        for answer in _answers(client, [users[user] for user in coming]):
            user = int(answer["user_id"][1:])
            rows = np.array([int(item["item_id"][1:]) for item in answer["items"]])
            if "variant" in answer:
                name = answer["variant"]["name"]
                truth.setdefault(name, []).append(float(shop.expected(user, rows[:K]).sum()))
                clicked = shop.clicks(user, rows[:K])
                outcomes += _told(answer, clicked)
            else:
                name, clicked = _outside(shop, user, rows, day, log, truth)
            clicks.setdefault(name, []).append(float(clicked.sum()))
        for at in range(0, len(outcomes), _OUTCOMES):
            part = {"outcomes": outcomes[at : at + _OUTCOMES]}
            assert client.post("/v1/outcomes", json=part).status_code == 200
        result = client.get("/v1/experiments/shop/results").json()["results"][0]
        apart = result["variants"][1]["difference"]
        if apart and apart["high"] < 0 and not found_on:
            found_on = day
            print(f"day {day}: the second version is better: {apart}", flush=True)
    print("list | lists | clicks of a list")
    for name, each in sorted(clicks.items()):
        print(f"{name} | {len(each):,} | {np.mean(each):.3f}")
    print(
        f"the second version was found to be better on day {found_on or 'none'}; true means: "
        + ", ".join(f"{name} {np.mean(each):.3f}" for name, each in sorted(truth.items()))
    )
    result = client.get("/v1/experiments/shop/results").json()["results"][0]
    print(f"after {days} days: {result}")
    _estimate(client, shop, log, new)


def _outside(
    shop: Shop, user: int, rows: Rows, day: int, log: Log, truth: dict[str, list[float]]
) -> tuple[str, NDArray[np.bool_]]:
    """A visit of somebody who is in no variant."""
    if user % 4 == 0:
        return "popular", shop.clicks(user, np.argsort(-shop.quality)[:K])
    if user % 4 == 1:
        return "random", shop.clicks(user, shop.rng.choice(ITEMS, K, replace=False))
    if user % 4 == 2:
        truth.setdefault("second, all others", []).append(
            float(shop.expected(user, rows[:K]).sum())
        )
        return "second, unexplored", shop.clicks(user, rows[:K])
    seed = f"{user} {day}".encode()
    drawn = draw(
        np.ones(K, bool), len(rows) - K, EXPLORED, seed, lambda own: np.full(len(own), 1 / len(own))
    )
    shown = rows[:K].copy()
    for place, number in drawn.candidates.items():
        shown[place] = rows[K + number]
    clicked = shop.clicks(user, shown)
    log.user.append(user)
    log.items.append(shown)
    log.ranked.append(rows[:K])
    log.clicked.append(clicked)
    log.propensity.append(drawn.propensity)
    return "second, explored", clicked


def _estimate(client: httpx.Client, shop: Shop, log: Log, new: int) -> None:
    """What other lists would have earned for those who saw explored ones, and the truth."""
    users = sorted(set(log.user))
    before = {
        int(answer["user_id"][1:]): np.array([int(i["item_id"][1:]) for i in answer["items"]])[:K]
        for answer in _answers(client, [f"u{user}" for user in users], version=new - 1)
    }
    policies = {"second": log.ranked, "first": [before[user] for user in log.user]}
    print("policy | clicks of a list | SNIPS (95%) | IPS (95%) | places that count")
    for name, lists in policies.items():
        places = log.places(lists)
        truth = np.mean(
            [shop.expected(user, items).sum() for user, items in zip(log.user, lists, strict=True)]
        )
        normalized, plain = self_normalized(places), inverse_propensity(places)
        print(
            f"{name} | {truth:.3f} | {normalized.mean:.3f} ({normalized.low:.3f} to "
            f"{normalized.high:.3f}) | {plain.mean:.3f} ({plain.low:.3f} to {plain.high:.3f}) | "
            f"{plain.effective_places:,.0f} of {len(places.user):,}"
        )


def _answers(
    client: httpx.Client, users: Sequence[str], version: int | None = None
) -> Iterator[dict[str, Any]]:
    for at in range(0, len(users), _AT_ONCE):
        body: dict[str, Any] = {
            "user_ids": list(users[at : at + _AT_ONCE]), "k": K + CANDIDATES, "explain": "none",
        }  # fmt: skip
        if version is not None:
            body["version"] = version
        answer = client.post("/v1/recommendations/batch", json=body)
        assert answer.status_code == 200, answer.text
        yield from answer.json()["answers"]


def _told(answer: dict[str, Any], clicked: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    """The outcomes of a list that was shown."""
    for item, click in zip(answer["items"][:K], clicked.tolist(), strict=True):
        of = {"recommendation_id": answer["recommendation_id"], "item_id": item["item_id"]}
        yield of | {"kind": "impression"}
        if click:
            yield of | {"kind": "click"}


if __name__ == "__main__":
    os.environ.setdefault("RECSVC_REQUEST_TIMEOUT_SECONDS", "20")
    main()
