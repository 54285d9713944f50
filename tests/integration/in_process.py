"""The service in this process, and what tests ask of it on the made graph."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsvc.graph.store import Store
from recsvc.person_links import PersonLinks
from recsvc.recommend.engine import Engine
from recsvc.refresh.places import forget_here
from recsvc.service.app import create_app
from recsvc.service.refreshes import Refreshes
from recsvc.settings import OutcomeSettings, load_settings
from tests.conftest import Served, key_ring

CLEAN = "MATCH (n:Outcome|Scenario|Experiment) DETACH DELETE n"


@asynccontextmanager
async def client_of(
    engine: Engine, folder: Path, links: PersonLinks | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service with an engine, whose keys and runs are in a folder."""
    app = create_app(engine, refreshes=Refreshes(folder), keys=key_ring(folder), links=links)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client,
    ):
        yield client


class CountingStore(Store):
    """Counts how often what was shown is read."""

    looked = 0

    async def shown(self, *arguments: Any, **more: Any) -> Any:
        self.looked += 1
        return await super().shown(*arguments, **more)


@asynccontextmanager
async def serving(
    served: Served,
    folder: Path,
    fatigue: float = 0.0,
    *,
    uri: str | None = None,
    seconds: float = 120.0,
    links: PersonLinks | None = None,
) -> AsyncIterator[tuple[httpx.AsyncClient, CountingStore, Engine]]:
    """The service; `uri` leads to its Neo4j another way, which is given some seconds."""
    address = served.address if uri is None else replace(served.address, uri=uri)
    store = CountingStore(address, timeout_seconds=seconds)
    engine = Engine(
        store, snapshot_folder=folder / "snapshots", events=load_settings().events,
        max_evidence=1000, outcomes=OutcomeSettings(fatigue=fatigue),
        forget_elsewhere=partial(forget_here, folder),
    )  # fmt: skip
    async with client_of(engine, folder, links) as client:
        yield client, store, engine


async def ask(client: httpx.AsyncClient, user: str = "u1", **parameters: Any) -> dict[str, Any]:
    answer = await client.get(f"/v1/users/{user}/recommendations", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


async def show(
    client: httpx.AsyncClient, answer: dict[str, Any], times: dict[str, int], kind: str, **more: Any
) -> None:
    outcomes = [
        {"outcome_id": f"{kind} {item} {n} {answer['recommendation_id'][:20]}", "item_id": item,
         "kind": kind, "recommendation_id": answer["recommendation_id"]} | more
        for item, count in times.items()
        for n in range(count)
    ]  # fmt: skip
    told = await client.post("/v1/outcomes", json={"outcomes": outcomes})
    assert (told.status_code, told.json()["new"]) == (200, len(outcomes)), told.text


def check_sums(answer: dict[str, Any]) -> None:
    for item in answer["items"]:
        assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4, abs=1e-6)
        explanation = item["explanation"]
        listed = sum(each["value"] for each in explanation["contributions"])
        assert listed + explanation["remainder"] == pytest.approx(item["score"], rel=1e-4, abs=1e-6)
