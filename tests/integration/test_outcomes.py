"""What followed answers: over HTTP, in a real Neo4j, through the service in this process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.schema import apply_schema
from recsvc.graph import outcome_store
from recsvc.graph.outcome_store import prune_outcomes
from recsvc.graph.store import Store
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds
from recsvc.recommend.engine import Engine
from recsvc.settings import OutcomeSettings, load_settings
from tests.faults.tcp_proxy import tcp_proxy
from tests.integration.in_process import client_of
from tests.statement import statement
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.neo4j

ITEMS = [f"i{n}" for n in range(12)]
IDS = RecommendationIds(b"a secret of all services here")
GRAPH = """
UNWIND $users AS user CREATE (:User {user_id: user})
WITH count(*) AS users UNWIND $items AS item CREATE (:Item {item_id: item})
"""
OUTCOMES = "MATCH (o:Outcome) RETURN properties(o) AS o ORDER BY o.outcome_id"


def answered(user: str | None = "ann", items: list[str] = ITEMS, **more: Any) -> str:
    return IDS.issue(IDS.contents(Origin(3, user, **more), items))


@pytest.fixture
def shop(gateway: Neo4jGateway) -> Neo4jGateway:
    apply_schema(gateway)
    statement(gateway, GRAPH, users=["ann", "bob"], items=ITEMS)
    return gateway


@asynccontextmanager
async def serving(
    gateway: Neo4jGateway,
    folder: Path,
    *,
    address: Neo4jAddress | None = None,
    seconds: float = 120.0,
    **settings: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    engine = Engine(
        Store(address or gateway.address, timeout_seconds=seconds),
        snapshot_folder=folder,
        events=load_settings().events,
        max_evidence=100,
        ids=IDS,
        outcomes=OutcomeSettings(**settings),
    )
    async with client_of(engine, folder) as client:
        yield client


@pytest.fixture
async def client(shop: Neo4jGateway, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(shop, tmp_path) as client:
        yield client


async def tell(
    client: httpx.AsyncClient, *outcomes: Mapping[str, Any], status: int = 200
) -> dict[str, Any]:
    answer = await client.post("/v1/outcomes", json={"outcomes": list(outcomes)})
    assert answer.status_code == status, answer.text
    return answer.json()


def kept(gateway: Neo4jGateway) -> list[dict[str, Any]]:
    return [row["o"] for row in statement(gateway, OUTCOMES)]


async def test_an_outcome_is_kept_beside_what_made_the_answer(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    named = answered(
        scenario="home", revision=4, experiment="e", experiment_revision=7, variant="b",
        propensities={2: 0.25},
    )  # fmt: skip
    at = datetime.now(UTC).replace(microsecond=0)
    told = {"recommendation_id": named, "item_id": "i1", "kind": "click", "at": at.isoformat()}
    assert await tell(client, told) == {"received": 1, "new": 1, "dropped": 0}
    (outcome,) = kept(shop)
    assert outcome.pop("at").to_native() == at
    assert abs(outcome.pop("answered_at").to_native() - at) < timedelta(minutes=1)
    name = IDS.read(named).name
    assert outcome == {
        "outcome_id": f"{name}:click:i1", "recommendation": name, "user_id": "ann",
        "item_id": "i1", "kind": "click", "position": 2, "version": 3, "scenario": "home",
        "revision": 4, "experiment": "e", "experiment_revision": 7, "variant": "b",
        "propensity": 0.25,
    }  # fmt: skip


async def test_a_place_whose_chance_nobody_knows_has_no_propensity(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    named = answered(scenario="home", revision=4, propensities={1: 0.9, 2: 0.0})
    shown = [{"recommendation_id": named, "item_id": i, "kind": "impression"} for i in ("i0", "i1")]
    await tell(client, *shown)
    assert {each["item_id"]: each.get("propensity") for each in kept(shop)} == {
        "i0": 0.9, "i1": None,
    }  # fmt: skip


async def test_the_same_outcome_counts_once(client: httpx.AsyncClient, shop: Neo4jGateway) -> None:
    one = {"recommendation_id": answered(), "item_id": "i0", "kind": "impression"}
    other = one | {"item_id": "i1"}
    assert (await tell(client, one, one, other))["new"] == 2
    assert (await tell(client, one, other | {"position": 2}))["new"] == 0
    assert (await tell(client, one | {"kind": "click"}))["new"] == 1
    own = one | {"outcome_id": "mine"}
    assert (await tell(client, own, other | {"outcome_id": "mine"}))["new"] == 1
    assert len(kept(shop)) == 4
    again = await asyncio.gather(*(tell(client, one | {"kind": "buy"}) for _ in range(8)))
    assert sorted(each["new"] for each in again) == [0] * 7 + [1]


async def test_a_thousand_outcomes_of_one_pair_and_no_more(client: httpx.AsyncClient) -> None:
    one = {"recommendation_id": answered(), "item_id": "i0", "kind": "impression"}
    assert (await tell(client, *[one] * 1000))["new"] == 1
    own = [one | {"outcome_id": f"o{n}"} for n in range(1000)]
    assert (await tell(client, *own))["new"] == 1000
    assert (await tell(client, *own))["new"] == 0
    await tell(client, *own, one, status=422)


async def test_two_services_at_once_count_each_once(shop: Neo4jGateway, tmp_path: Path) -> None:
    """As two workers do, and as one does that is started again in between."""
    rows = [
        {"recommendation_id": answered(), "item_id": item, "kind": kind}
        for item in ITEMS
        for kind in ("impression", "click")
    ]
    async with serving(shop, tmp_path / "a") as one, serving(shop, tmp_path / "b") as two:
        told = await asyncio.gather(*(tell(each, *rows) for each in (one, two) * 4))
    assert sum(each["new"] for each in told) == len(rows) == len(kept(shop))
    async with serving(shop, tmp_path / "c") as again:
        assert (await tell(again, *rows))["new"] == 0


LATER = (datetime.now(UTC) + timedelta(days=3)).isoformat()
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"recommendation_id": "AAAA"}, "recommendation_id"),
    ({"recommendation_id": "not one!"}, "recommendation_id"),
    ({"recommendation_id": "A" * 9000}, "recommendation_id"),
    ({"recommendation_id": None}, "recommendation_id"),
    ({"item_id": "i99"}, "item_id"),
    ({"item_id": ""}, "item_id"),
    ({"position": 2}, "position"),
    ({"position": 0}, "position"),
    ({"position": 101}, "position"),
    ({"kind": ""}, "kind"),
    ({"kind": "  "}, "kind"),
    ({"kind": "k" * 101}, "kind"),
    ({"at": "2020-01-01T00:00:00Z"}, "at"),
    ({"at": LATER}, "at"),
    ({"at": "soon"}, "at"),
    ({"user_id": "bob"}, "user_id"),
]


async def test_what_cannot_be_is_refused_with_its_place_and_nothing_is_kept(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    right = {"recommendation_id": answered(), "item_id": "i0", "kind": "click"}
    for change, field in WRONG:
        refused = await tell(client, right, right | change, status=422)
        places = [each["location"] for each in refused["errors"]]
        assert places == [["body", "outcomes", 1, field]], change
        assert kept(shop) == []
    assert (await tell(client, right))["new"] == 1


async def test_an_id_of_another_instance_or_of_an_old_answer_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"item_id": "i0", "kind": "click"}
    foreign = RecommendationIds()
    other = foreign.issue(foreign.contents(Origin(3, "ann"), ITEMS))
    refused = await tell(client, told | {"recommendation_id": other}, status=422)
    assert "another service made it" in refused["errors"][0]["detail"]
    now = datetime.now(UTC).timestamp()
    monkeypatch.setattr("recsvc.outcomes.recommendation_id.time.time", lambda: now - 91 * 86400)
    old = answered()
    monkeypatch.undo()
    refused = await tell(client, told | {"recommendation_id": old}, status=422)
    assert "of the last 90 days" in refused["errors"][0]["detail"]
    assert (await tell(client, told | {"recommendation_id": answered()}))["new"] == 1


async def test_a_session_has_outcomes_of_nobody(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    told = {"recommendation_id": answered(None), "item_id": "i0", "kind": "click"}
    assert await tell(client, told) == {"received": 1, "new": 1, "dropped": 0}
    assert "user_id" not in kept(shop)[0]


async def test_of_who_and_what_was_deleted_nothing_stays_and_nothing_comes(
    client: httpx.AsyncClient, shop: Neo4jGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_store, "_PER_TRANSACTION", 5)
    told = [
        {"recommendation_id": answered(user), "item_id": item, "kind": "click"}
        for user in ("ann", "bob", None)
        for item in ITEMS
    ]
    assert (await tell(client, *told))["new"] == 36
    assert (await client.delete("/v1/users/ann")).status_code == 204
    assert (await client.delete("/v1/items/i3")).status_code == 204
    left = kept(shop)
    assert len(left) == 22
    assert {each.get("user_id") for each in left} == {"bob", None}
    assert "i3" not in {each["item_id"] for each in left}
    assert await tell(client, *told) == {"received": 36, "new": 0, "dropped": 14}
    assert statement(shop, "MATCH (n:User|Item) WHERE n.user_id = 'ann' OR n.item_id = 'i3' "
                     "RETURN n") == []  # fmt: skip


async def test_a_deletion_and_outcomes_at_once_leave_none(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    told = [
        {"recommendation_id": answered(), "item_id": item, "kind": f"k{n}"}
        for item in ITEMS
        for n in range(5)
    ]
    deleting, *_ = await asyncio.gather(
        client.delete("/v1/users/ann"), *(tell(client, *told) for _ in range(10))
    )
    assert deleting.status_code == 204
    assert kept(shop) == []


async def test_an_event_of_an_answer_is_an_outcome_too(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    named = answered()
    event = {"event_id": "e1", "user_id": "ann", "item_id": "i1", "event": "purchase"}
    for new in (1, 0):
        posted = await client.post("/v1/events", json=[event | {"recommendation_id": named}])
        assert posted.json()["new"] == new
    (outcome,) = kept(shop)
    told = [outcome[name] for name in ("user_id", "item_id", "kind", "position")]
    assert told == ["ann", "i1", "purchase", 2]
    (row,) = statement(shop, "MATCH ()-[r:INTERACTED]->() RETURN r.event AS event, r.count AS n")
    assert row == {"event": "purchase", "n": 1}
    again = {"recommendation_id": named, "item_id": "i1", "kind": "purchase"}
    assert (await tell(client, again))["new"] == 0


async def test_of_events_under_one_id_the_first_is_the_outcome_too(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    """As it is the one that is counted: what another one is would stay when that is taken back."""
    ann = {"event_id": "e1", "user_id": "ann", "item_id": "i1", "event": "view"}
    named = {"recommendation_id": answered()}
    session = {"recommendation_id": answered(None)}
    for others, item in (
        ([ann | named | {"item_id": "i2"}, ann | named | {"event": "buy"}], []),
        ([ann | session | {"user_id": "bob", "item_id": "i3"}], []),
        ([ann | named | {"value": 2}], ["i1"]),
    ):
        events = [ann, *others]
        assert (await client.post("/v1/events", json=events)).json()["new"] == 1
        assert [(each["item_id"], each["kind"]) for each in kept(shop)] == [
            (i, "view") for i in item
        ]
        assert (await client.delete("/v1/users/ann/interactions/i1")).status_code == 204
        assert kept(shop) == []
        statement(shop, "MATCH (e:Event) DELETE e")


async def test_what_somebody_edited_is_taken_back_with_the_rest(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    event = {"user_id": "ann", "item_id": "i1", "recommendation_id": answered()}
    kinds = ("view", "buy", "like")
    assert (await client.post("/v1/events", json=[event | {"event": k} for k in kinds])).is_success
    edit = "MATCH ()-[r:INTERACTED {event: 'buy'}]->(), (o:Outcome {kind: 'buy'}) "
    statement(shop, f"{edit} SET r.event = ['buy'], o.kind = 7")
    taken = await client.delete("/v1/users/ann/interactions/i1", params={"event": "like"})
    assert taken.status_code == 204
    assert sorted(str(each["kind"]) for each in kept(shop)) == ["7", "view"]
    assert (await client.delete("/v1/users/ann/interactions/i1")).status_code == 204
    assert statement(shop, "MATCH (o:Outcome) RETURN o UNION MATCH ()-[o:INTERACTED]->() "
                     "RETURN o") == []  # fmt: skip


async def test_an_event_that_was_not_of_the_answer_is_refused_as_a_whole(
    client: httpx.AsyncClient, shop: Neo4jGateway
) -> None:
    event = {"user_id": "ann", "item_id": "i1", "recommendation_id": answered()}
    for change, field in (
        ({"user_id": "bob"}, "user_id"),
        ({"item_id": "i99"}, "item_id"),
        ({"timestamp": "2020-01-01"}, "timestamp"),
        ({"recommendation_id": "AAAA"}, "recommendation_id"),
    ):
        refused = await client.post("/v1/events", json=[event, event | change])
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["location"] == ["body", "events", 1, field]
        assert statement(shop, "MATCH (n:Outcome|Event) RETURN n") == []
    assert (await client.post("/v1/events", json=[event])).json()["new"] == 1


async def test_old_outcomes_are_pruned_part_by_part(
    client: httpx.AsyncClient, shop: Neo4jGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tell(client, *({"recommendation_id": answered(), "item_id": item, "kind": "click"}
                         for item in ITEMS))  # fmt: skip
    statement(shop, "MATCH (o:Outcome) WHERE o.position > 2 SET o.at = o.at - duration('P91D')")
    monkeypatch.setattr(outcome_store, "_PER_TRANSACTION", 3)
    assert prune_outcomes(shop, datetime.now(UTC) - timedelta(days=90)) == 10
    assert prune_outcomes(shop, datetime.now(UTC) - timedelta(days=90)) == 0
    assert sorted(each["position"] for each in kept(shop)) == [1, 2]


@pytest.mark.long
async def test_nothing_is_lost_while_neo4j_is_away(shop: Neo4jGateway, tmp_path: Path) -> None:
    rows = [
        {"recommendation_id": answered(), "item_id": item, "kind": "impression"} for item in ITEMS
    ]
    where = urlsplit(shop.address.uri)
    with tcp_proxy(where.hostname or "", where.port or 0) as proxy:
        address = replace(shop.address, uri=f"bolt://127.0.0.1:{proxy.port}")
        async with serving(shop, tmp_path, address=address, seconds=20.0) as client:
            await tell(client, rows[0])
            proxy.refuses()
            proxy.cut()
            refused = await client.post("/v1/outcomes", json={"outcomes": rows})
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            proxy.passes()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (again := await client.post("/v1/outcomes", json={"outcomes": rows})).is_error:
                assert time.monotonic() < deadline, again.text
                await asyncio.sleep(0.05)
    assert again.json() == {"received": 12, "new": 11, "dropped": 0}
    assert len(kept(shop)) == 12


async def test_the_commands_count_and_prune(
    client: httpx.AsyncClient,
    shop: Neo4jGateway,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    assert command("outcomes", "stats")[0] == 0
    assert "no outcome was told yet" in command("outcomes", "stats")[2]
    named = answered(scenario="home", revision=2)
    shown = [{"recommendation_id": named, "item_id": each, "kind": "impression"} for each in ITEMS]
    await tell(client, *shown, shown[1] | {"kind": "click"})
    found = json.loads(command("outcomes", "stats", "--json")[1])
    assert [(each["kind"], each["outcomes"]) for each in found["kinds"]] == [
        ("impression", 12), ("click", 1),
    ]  # fmt: skip
    assert [each["rate"] for each in found["by_position"]] == [0.0, 1.0] + [0.0] * 10
    (made,) = found["by_version"]
    assert (made["version"], made["scenario"], made["shown"], made["acted"]) == (3, "home", 12, 1)
    code, table, _ = command("outcomes", "stats", "--kind", "purchase", "--days", "7")
    assert (code, "purchase" in table) == (0, True)
    statement(shop, "MATCH (o:Outcome {kind: 'impression'}) SET o.at = o.at - duration('P91D')")
    assert json.loads(command("outcomes", "prune", "--json")[1]) == {"pruned": 12}
    assert [each["kind"] for each in kept(shop)] == ["click"]
    # A refresh does it before it begins, here with nothing to learn from.
    statement(shop, "MATCH (o:Outcome) SET o.at = o.at - duration('P91D')")
    statement(shop, "MATCH (n:User|Item) DELETE n")
    assert command("refresh", "--model", "popularity")[0] == 1
    assert kept(shop) == []


async def test_metrics_count_kinds_and_no_text_of_callers(client: httpx.AsyncClient) -> None:
    named = answered()
    await tell(client, *({"recommendation_id": named, "item_id": "i0", "kind": kind}
                         for kind in ("click", "impression", "my own")))  # fmt: skip
    metrics = (await client.get("/metrics")).text
    for kind in ("click", "impression", "other"):
        assert f'recsvc_outcomes_total{{kind="{kind}"}} 1.0' in metrics
    assert "my own" not in metrics
