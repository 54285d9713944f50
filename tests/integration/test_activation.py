"""Going back to versions that were active before."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from loaders import writeback
from loaders.catalogue import Query
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc.errors import ActivationError, GateError, NotFoundError
from recsvc.refresh import learning
from recsvc.refresh.run_manifest import RunManifest
from recsvc.snapshot.activation import activate, roll_back
from tests.conftest import Service, own_client, running_service
from tests.forked_refresh import served_arrays
from tests.integration.conftest import MOMENTS, Links, active
from tests.integration.test_refused_versions import one_direction, spoilt
from tests.waiting import until

pytestmark = pytest.mark.neo4j

SLOTS = Query(
    "tests/slots", "", "read", {}, {},
    "MATCH (v:EmbeddingVersion {model: 'fastrp'}) WHERE v.slot IS NOT NULL "
    "RETURN v.status AS status, v.slot AS slot, v.version AS version ORDER BY version",
)  # fmt: skip
SET_BACK = Query(
    "tests/set_back", "As if the clock had been set back since.", "write", {}, {},
    "MATCH (v:EmbeddingVersion) SET v.activated_at = v.activated_at + duration({hours: 9}), "
    "v.retired_at = v.retired_at + duration({hours: 9})",
)  # fmt: skip
AGAIN = Query(
    "tests/again", "", "write", {}, {},
    "MATCH (v:EmbeddingVersion {model: 'fastrp'}) WHERE v.version > 2 DETACH DELETE v "
    "WITH count(*) AS gone MATCH (v:EmbeddingVersion) WHERE v.version <= 2 "
    "SET v.slot = CASE v.model WHEN 'fastrp' THEN CASE v.version WHEN 1 THEN 'a' ELSE 'b' END END, "
    "v.status = CASE v.version WHEN 1 THEN 'retired' ELSE 'active' END, v.retired_at = datetime()",
)  # fmt: skip


def answered(client: httpx.Client, **options: int) -> dict[str, Any]:
    answer = client.get("/v1/users/u007/recommendations", params={"k": 30, **options}).json()
    assert answer["degraded"] == []
    scores = {item["item_id"]: item["score"] for item in answer["items"]}
    return {"versions": answer["versions"], "scores": scores}


def everywhere(service: Service, expected: dict[str, Any]) -> None:
    """Wait until every process of the service gives an answer: over new connections, to each."""

    def given() -> bool:
        with own_client(service) as other:
            return answered(other) == expected

    until(lambda: all(given() for _ in range(12)))
    assert answered(service.client) == expected


def alike(links: Links, others: Links) -> bool:
    """Whether the same items are near; a service may round cosines as another processor does."""
    scores = [{pair: link["score"] for pair, link in each.items()} for each in (links, others)]
    return scores[0] == pytest.approx(scores[1], abs=1e-5)


def similar(client: httpx.Client) -> dict[str, Any]:
    return client.get("/v1/users/u007/similar", params={"k": 3}).json()


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("--workers", "2"), id="two", marks=pytest.mark.long)]
)
@pytest.mark.usefixtures("first")
def test_services_go_back_and_forth_with_all_that_one_refresh_made(
    gateway: Neo4jGateway,
    refreshed: Callable[..., RunManifest],
    command: Callable[..., tuple[int, str, str]],
    environment: dict[str, str],
    relationships: Callable[[str], Links],
    tmp_path: Path,
    workers: tuple[str, ...],
) -> None:
    log = tmp_path / "serve.log"
    with running_service(environment, log, *workers) as service:
        client = service.client
        first, near, links = answered(client), similar(client), relationships("SIMILAR")
        refreshed(seed=5)
        until(lambda: answered(client)["versions"]["hybrid"] == 2)
        second, second_links = answered(client), relationships("SIMILAR")
        assert answered(client, version=1) == first
        assert answered(client, version=2) == second
        assert second["scores"] != pytest.approx(first["scores"])
        assert not alike(second_links, links)
        assert_back(command, service, first)
        assert answered(client, version=2) == second
        assert similar(client) == near
        assert relationships("SIMILAR") == links
        check_moments(gateway)
        check_http(service, first, second)
        kept = [path.name for path in (tmp_path / "home" / "snapshots").glob("hybrid-*")]
        assert sorted(name.split("-")[1] for name in kept) == ["1", "2"]
        # Of two activations at once the second counts.
        for version in (2, 1, 2):
            client.post("/v1/models/hybrid/activate", json={"version": version})
        until(lambda: alike(relationships("SIMILAR"), second_links))
        client.post("/v1/models/hybrid/rollback")
        until(lambda: alike(relationships("SIMILAR"), links))


def assert_back(
    command: Callable[..., tuple[int, str, str]], service: Service, first: dict[str, Any]
) -> None:
    """The command goes back, and every process of the service with it."""
    code, out, err = command("rollback", "fastrp", "--json")
    assert (code, orjson.loads(out)) == (0, {"versions": {"fastrp": 1, "hybrid": 1}}), err
    everywhere(service, first)


def check_moments(gateway: Neo4jGateway) -> None:
    """The version that is active again was never retired; both models say the same."""
    at = {row["name"]: row for row in gateway.run(MOMENTS)}
    assert at["hybrid 1"]["retired"] is None
    assert at["hybrid 1"]["activated"] == at["hybrid 2"]["retired"]
    for number in (1, 2):
        ours, blends = at[f"fastrp {number}"], at[f"hybrid {number}"]
        assert [ours["activated"], ours["retired"]] == [blends["activated"], blends["retired"]]


def check_http(service: Service, first: dict[str, Any], second: dict[str, Any]) -> None:
    client = service.client
    activated = client.post("/v1/models/fastrp/activate", json={"version": 2})
    assert activated.json() == {"versions": {"fastrp": 2, "hybrid": 2}}
    everywhere(service, second)
    back = client.post("/v1/models/hybrid/rollback")
    assert (back.status_code, back.json()) == (200, {"versions": {"fastrp": 1, "hybrid": 1}})
    everywhere(service, first)
    refused = client.post("/v1/models/hybrid/rollback")
    assert refused.status_code == 409
    assert (
        refused.json()["detail"] == "nothing to roll back to: hybrid 1 is active, and none before"
    )
    unknown = client.post("/v1/models/fastrp/activate", json={"version": 9})
    assert (unknown.status_code, "no version 9 of 'fastrp'" in unknown.text) == (404, True)
    unknown = client.post("/v1/models/nothing/rollback")
    assert (unknown.status_code, "no version of 'nothing'" in unknown.text) == (404, True)


@pytest.mark.usefixtures("first")
def test_after_going_back_the_next_refresh_keeps_what_was_gone_back_to(
    gateway: Neo4jGateway, refreshed: Callable[..., RunManifest]
) -> None:
    first = served_arrays(gateway)
    refreshed(seed=5)
    assert roll_back(gateway, "fastrp") == {"fastrp": 1, "hybrid": 1}
    refreshed(seed=6, force=True)
    assert active(gateway) == {"fastrp": 3, "hybrid": 3}
    with pytest.raises(ActivationError) as refused:
        activate(gateway, "hybrid", 2)
    assert str(refused.value) == (
        "hybrid 2 cannot be made active: a later refresh took the slot of fastrp 2; "
        "the arrays of hybrid 2 are no longer stored"
    )
    assert roll_back(gateway, "hybrid") == {"fastrp": 1, "hybrid": 1}
    assert served_arrays(gateway) == first
    assert activate(gateway, "fastrp", 3) == {"fastrp": 3, "hybrid": 3}
    assert activate(gateway, "fastrp", 3) == {"fastrp": 3, "hybrid": 3}
    assert active(gateway) == {"fastrp": 3, "hybrid": 3}


@pytest.mark.long
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
@pytest.mark.usefixtures("first")
def test_a_clock_that_is_set_back_does_not_change_which_version_was_before(
    gateway: Neo4jGateway, refreshed: Callable[..., RunManifest]
) -> None:
    refreshed(seed=5, force=True)
    gateway.run(SET_BACK)
    refreshed(seed=6, force=True)
    assert roll_back(gateway, "hybrid") == {"fastrp": 2, "hybrid": 2}


@pytest.mark.long
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
@pytest.mark.usefixtures("first")
def test_a_model_that_the_other_refresh_left_out_stays(
    gateway: Neo4jGateway, refreshed: Callable[..., RunManifest]
) -> None:
    refreshed(models=("svd", "walk3"), force=True)
    assert active(gateway) == {"svd": 1, "fastrp": 1, "hybrid": 2}
    assert roll_back(gateway, "svd") == {"fastrp": 1, "hybrid": 1}
    assert active(gateway) == {"svd": 1, "fastrp": 1, "hybrid": 1}


@pytest.mark.long
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_what_never_was_active_is_refused(
    graph: Neo4jGateway,
    refreshed: Callable[..., RunManifest],
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    with pytest.raises(NotFoundError, match="no version of 'fastrp'"):
        roll_back(graph, "fastrp")
    refreshed()
    monkeypatch.setattr(learning, "fit_model", spoilt(one_direction))
    with pytest.raises(GateError):
        refreshed()
    code, out, err = command("activate", "fastrp", "2")
    assert (code, out) == (1, "")
    assert "fastrp 2 is failed and never was active; hybrid 2 is failed" in err
    assert active(graph) == {"fastrp": 1, "hybrid": 1}


@pytest.mark.long
@pytest.mark.usefixtures("first")
def test_a_refresh_that_takes_a_slot_and_a_rollback_never_share_it(
    gateway: Neo4jGateway, neo4j_address: Neo4jAddress, refreshed: Callable[..., RunManifest]
) -> None:
    """Whichever comes first, the active version has a slot that nobody else writes into."""
    refreshed(seed=5)
    outcomes: set[bool] = set()
    with Neo4jGateway(neo4j_address) as other, ThreadPoolExecutor(2) as pool:
        for round_number in itertools.count():
            if round_number >= 12 and outcomes == {True, False}:
                break
            gateway.run(AGAIN)
            together = threading.Barrier(2)
            ahead = min(0.004 * 1.2**round_number, 1.0)  # further where the machine is busy

            def begin(at: threading.Barrier = together, number: int = round_number) -> None:
                at.wait()
                time.sleep(ahead * (number % 3))  # noqa: B023 - it ends within the round
                writeback.begin_version(gateway, "fastrp", run=f"r{number}", seed=0, options={})

            def back(at: threading.Barrier = together, number: int = round_number) -> bool:
                at.wait()
                time.sleep(ahead * (2 - number % 3))  # noqa: B023
                with suppress(ActivationError):
                    return bool(roll_back(other, "fastrp"))
                return False

            begun, gone = pool.submit(begin), pool.submit(back)
            begun.result()
            outcomes.add(gone.result())
            rows = gateway.run(SLOTS)
            assert [row["status"] for row in rows] == ["active", "building"]
            assert {row["slot"] for row in rows} == {"a", "b"}
            assert rows[0]["version"] == (1 if gone.result() else 2)
