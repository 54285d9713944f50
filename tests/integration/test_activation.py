"""What the gate refuses, and going back to versions that were active before."""

import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
import structlog

from loaders import writeback
from loaders.catalogue import Query
from loaders.errors import Neo4jUnavailableError
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc import cli, learning, refresh
from recsvc.activation import activate, roll_back
from recsvc.errors import ActivationError, GateError, NotFoundError
from recsvc.fusion import Candidates, candidates_in_parts
from recsvc.learning import Fitted, RefreshOptions, Vectors
from recsvc.refresh import RefreshReport
from recsvc.settings import load_settings
from tests.conftest import Service, running_service
from tests.forked_refresh import VERSIONS, make_graph, orphans, served_arrays
from tests.integration.conftest import Links

pytestmark = pytest.mark.neo4j

OPTIONS = RefreshOptions(models=("fastrp", "walk3"), validation_users=60)
EVENTS = load_settings().events
MOMENTS = Query(
    "tests/moments", "", "read", {}, {},
    "MATCH (v:EmbeddingVersion) RETURN v.model + ' ' + v.version AS name, "
    "v.activated_at AS activated, v.retired_at AS retired, v.overridden AS overridden",
)  # fmt: skip
SLOTS = Query(
    "tests/slots", "", "read", {}, {},
    "MATCH (v:EmbeddingVersion {model: 'fastrp'}) WHERE v.slot IS NOT NULL "
    "RETURN v.status AS status, v.slot AS slot, v.version AS version ORDER BY version",
)  # fmt: skip
AGAIN = Query(
    "tests/again", "", "write", {}, {},
    "MATCH (v:EmbeddingVersion {model: 'fastrp'}) WHERE v.version > 2 DETACH DELETE v "
    "WITH count(*) AS gone MATCH (v:EmbeddingVersion) WHERE v.version <= 2 "
    "SET v.slot = CASE v.model WHEN 'fastrp' THEN CASE v.version WHEN 1 THEN 'a' ELSE 'b' END END, "
    "v.status = CASE v.version WHEN 1 THEN 'retired' ELSE 'active' END, v.retired_at = datetime()",
)  # fmt: skip


@pytest.fixture
def graph(gateway: Neo4jGateway, tmp_path: Path) -> Neo4jGateway:
    make_graph(gateway, tmp_path / "tables", users=60)
    return gateway


@pytest.fixture
def refreshed(graph: Neo4jGateway, tmp_path: Path) -> Callable[..., RefreshReport]:
    """Refreshes the graph; options by name, and `force`."""

    def run(*, force: bool = False, **options: Any) -> RefreshReport:
        chosen = OPTIONS.model_copy(update=options)
        return refresh.refresh(graph, chosen, EVENTS, home=tmp_path / "home", force=force)

    return run


@pytest.fixture
def environment(neo4j_address: Neo4jAddress, tmp_path: Path) -> dict[str, str]:
    return {
        "RECSVC_HOME": str(tmp_path / "home"),
        "RECSVC_NEO4J_URI": neo4j_address.uri,
        "RECSVC_NEO4J_USER": neo4j_address.user,
        "RECSVC_NEO4J_PASSWORD": neo4j_address.password,
    }


@pytest.fixture
def command(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: its exit code, stdout and stderr."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recsvc", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        structlog.reset_defaults()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


REFRESH = ("refresh", "--model", "fastrp", "--model", "walk3", "--device", "cpu", "--json")


def for_the_wrong_users(*arguments: Any) -> Candidates:
    """The candidates, with what every signal says of one user said of another."""
    found = candidates_in_parts(*arguments)
    return replace(found, features=np.roll(found.features, 1, axis=1))


def spoilt(spoil: Callable[[Vectors], Vectors]) -> Callable[..., Fitted]:
    """`fit_model` with the vectors spoilt."""

    def fit(*arguments: Any, **more: Any) -> Fitted:
        fitted = learning.fit_model(*arguments, **more)
        vectors = fitted.kernel
        return replace(fitted, kernel=spoil(vectors)) if isinstance(vectors, Vectors) else fitted

    return fit


def statuses(gateway: Neo4jGateway) -> dict[str, str]:
    return {f"{v['model']} {v['version']}": v["status"] for v in gateway.run(VERSIONS)}


def active(gateway: Neo4jGateway) -> dict[str, int]:
    versions = gateway.run(VERSIONS)
    return {v["model"]: v["version"] for v in versions if v["status"] == "active"}


def newest_manifest(home: Path) -> dict[str, Any]:
    return orjson.loads(max(home.glob("refreshes/*/manifest.json")).read_bytes())


def test_a_worse_version_is_refused_and_what_was_active_stays(
    graph: Neo4jGateway,
    refreshed: Callable[..., RefreshReport],
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert refreshed().change is None  # nothing to compare with
    again = refreshed()
    assert again.change is not None
    assert (again.change.mean, again.overridden) == (0.0, ())  # the same graph, the same models
    before = served_arrays(graph)
    monkeypatch.setattr(learning, "candidates_in_parts", for_the_wrong_users)
    code, out, err = command(*REFRESH)
    assert (code, out) == (1, "")
    (line,) = [line for line in err.splitlines() if line.startswith("recsvc: ")]
    assert re.search(r"NDCG@20 is worse than the active version's by 0\.\d+ \(95% interval", line)
    assert "--force activates it all the same" in line
    found = {f"{v['model']} {v['version']}": v for v in graph.run(VERSIONS)}
    assert statuses(graph) == {
        "fastrp 1": "retired", "hybrid 1": "retired", "fastrp 2": "active", "hybrid 2": "active",
        "fastrp 3": "failed", "hybrid 3": "failed",
    }  # fmt: skip
    assert all("NDCG@20 is worse" in found[name]["reason"] for name in ("fastrp 3", "hybrid 3"))
    assert found["hybrid 3"]["parts"] > 0  # for inspection
    assert (found["fastrp 2"]["slot"], found["fastrp 3"]["slot"]) == ("b", "a")
    assert served_arrays(graph) == before
    manifest = newest_manifest(tmp_path / "home")
    assert manifest["state"] == "failed"
    (objection,) = manifest["objections"]
    assert objection in manifest["error"]
    assert objection in line
    monkeypatch.undo()
    assert refreshed().versions == {"hybrid": 4, "fastrp": 4}
    assert orphans(graph) == []


def test_force_activates_it_and_the_objections_are_recorded(
    graph: Neo4jGateway,
    refreshed: Callable[..., RefreshReport],
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    refreshed()
    with monkeypatch.context() as patched:
        patched.setattr(learning, "candidates_in_parts", for_the_wrong_users)
        code, out, err = command(*REFRESH, "--force")
    assert code == 0, err
    report = orjson.loads(out)
    (objection,) = report["overridden"]
    assert "NDCG@20 is worse" in objection
    assert report["change"]["high"] < 0.0
    assert active(graph) == {"fastrp": 2, "hybrid": 2}
    recorded = {row["name"]: row["overridden"] for row in graph.run(MOMENTS)}
    assert recorded == {
        "fastrp 1": None, "hybrid 1": None, "fastrp 2": [objection], "hybrid 2": [objection],
    }  # fmt: skip
    manifest = newest_manifest(tmp_path / "home")
    assert (manifest["state"], manifest["overridden"]) == ("activated", [objection])
    better = refreshed()
    assert better.change is not None
    assert better.change.low > 0.0
    assert better.overridden == ()


def nan(vectors: Vectors) -> Vectors:
    item = vectors.item.copy()
    item[3, 0] = np.nan
    return replace(vectors, item=item)


def one_direction(vectors: Vectors) -> Vectors:
    return replace(vectors, item=np.ones_like(vectors.item))


def few_items(vectors: Vectors) -> Vectors:
    item = vectors.item.copy()
    item[:9] = 0.0
    return replace(vectors, item=item)


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (nan, "fastrp: a target vector holds NaN or an infinity"),
        (one_direction, "fastrp: the target vectors have collapsed to one direction"),
        (few_items, "fastrp: covers 80.0% of the items"),
    ],
)
def test_what_cannot_be_served_well_is_refused(
    graph: Neo4jGateway,
    refreshed: Callable[..., RefreshReport],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Vectors], Vectors],
    says: str,
) -> None:
    refreshed()
    before = served_arrays(graph)
    monkeypatch.setattr(refresh, "fit_model", spoilt(spoil))
    with pytest.raises(GateError, match=says):
        refreshed()
    assert active(graph) == {"fastrp": 1, "hybrid": 1}
    assert statuses(graph)["hybrid 2"] == "failed"
    if spoil is nan:
        with pytest.raises(GateError, match="--force or not"):
            refreshed(force=True)
    else:
        (overridden,) = refreshed(force=True).overridden
        assert overridden.startswith(says)
    if spoil is few_items:
        assert refreshed(least_coverage=0.8).overridden == ()
    elif spoil is nan:
        assert served_arrays(graph) == before


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_the_first_version_is_looked_at_too(
    graph: Neo4jGateway,
    refreshed: Callable[..., RefreshReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refresh, "fit_model", spoilt(one_direction))
    with pytest.raises(GateError, match="collapsed"):
        refreshed()
    assert active(graph) == {}


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_versions_that_held_out_other_shares_are_not_compared(
    refreshed: Callable[..., RefreshReport],
) -> None:
    refreshed()
    assert refreshed(held_out_share=0.3).change is None


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_when_it_was_forced_and_ended_it_is_gone_on_with_without_force(
    graph: Neo4jGateway,
    refreshed: Callable[..., RefreshReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the flip there is nothing more to refuse."""

    def lost(*_arguments: Any) -> None:
        raise Neo4jUnavailableError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(refresh, "fit_model", spoilt(one_direction))
        patched.setattr(writeback, "write_similar", lost)
        with pytest.raises(Neo4jUnavailableError):
            refreshed(force=True)
    assert refreshed().versions == {"hybrid": 1, "fastrp": 1}
    (recorded,) = {tuple(row["overridden"]) for row in graph.run(MOMENTS)}
    assert "collapsed" in recorded[0]


def answered(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/v1/users/u007/recommendations", params={"k": 30}).json()
    assert answer["degraded"] == []
    scores = {item["item_id"]: item["score"] for item in answer["items"]}
    return {"versions": answer["versions"], "scores": scores}


def seconds_until(client: httpx.Client, version: int) -> float:
    """How long it takes until answers come from a version of the blend."""
    began = time.monotonic()
    while answered(client)["versions"]["hybrid"] != version:
        assert time.monotonic() < began + 20
        time.sleep(0.02)
    return time.monotonic() - began


def similar(client: httpx.Client) -> dict[str, Any]:
    return client.get("/v1/users/u007/similar", params={"k": 3}).json()


def test_services_go_back_and_forth_with_all_that_one_refresh_made(
    graph: Neo4jGateway,
    refreshed: Callable[..., RefreshReport],
    command: Callable[..., tuple[int, str, str]],
    environment: dict[str, str],
    relationships: Callable[[str], Links],
    tmp_path: Path,
) -> None:
    refreshed()
    log = tmp_path / "serve.log"
    with running_service(environment, log, "--workers", "2") as service:
        client = service.client
        first, near, links = answered(client), similar(client), relationships("SIMILAR")
        refreshed(seed=5)
        assert seconds_until(client, 2) < 20
        second, second_links = answered(client), relationships("SIMILAR")
        assert second["scores"] != pytest.approx(first["scores"])
        assert second_links != links
        assert_back(command, client, first)
        assert similar(client) == near
        assert relationships("SIMILAR") == links
        check_moments(graph)
        check_http(service, first, second)


def assert_back(
    command: Callable[..., tuple[int, str, str]], client: httpx.Client, first: dict[str, Any]
) -> None:
    """The command goes back, and every process of the service is there within 2 seconds."""
    done: list[float] = []

    def run() -> None:
        code, out, err = command("rollback", "fastrp", "--json")
        done.append(time.monotonic())
        assert (code, orjson.loads(out)) == (0, {"versions": {"fastrp": 1, "hybrid": 1}}), err

    run()
    time.sleep(max(0.0, done[0] + 2.0 - time.monotonic()))
    for _ in range(20):  # over new connections, to each of the processes
        with httpx.Client(base_url=client.base_url, timeout=30) as other:
            assert answered(other) == first


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
    assert seconds_until(client, 2) < 2.0
    time.sleep(2.0)
    assert answered(client) == second
    back = client.post("/v1/models/hybrid/rollback")
    assert (back.status_code, back.json()) == (200, {"versions": {"fastrp": 1, "hybrid": 1}})
    assert seconds_until(client, 1) < 2.0
    time.sleep(2.0)
    assert answered(client) == first
    refused = client.post("/v1/models/hybrid/rollback")
    assert refused.status_code == 409
    assert (
        refused.json()["detail"] == "nothing to roll back to: hybrid 1 is active, and none before"
    )
    unknown = client.post("/v1/models/fastrp/activate", json={"version": 9})
    assert (unknown.status_code, "no version 9 of 'fastrp'" in unknown.text) == (404, True)
    unknown = client.post("/v1/models/nothing/rollback")
    assert (unknown.status_code, "no version of 'nothing'" in unknown.text) == (404, True)


def test_after_going_back_the_next_refresh_keeps_what_was_gone_back_to(
    graph: Neo4jGateway, refreshed: Callable[..., RefreshReport]
) -> None:
    refreshed()
    first = served_arrays(graph)
    refreshed(seed=5)
    assert roll_back(graph, "fastrp") == {"fastrp": 1, "hybrid": 1}
    refreshed(seed=6, force=True)
    assert active(graph) == {"fastrp": 3, "hybrid": 3}
    with pytest.raises(ActivationError) as refused:
        activate(graph, "hybrid", 2)
    assert str(refused.value) == (
        "hybrid 2 cannot be made active: a later refresh took the slot of fastrp 2; "
        "the arrays of hybrid 2 are no longer stored"
    )
    assert roll_back(graph, "hybrid") == {"fastrp": 1, "hybrid": 1}
    assert served_arrays(graph) == first
    assert activate(graph, "fastrp", 3) == {"fastrp": 3, "hybrid": 3}
    assert activate(graph, "fastrp", 3) == {"fastrp": 3, "hybrid": 3}
    assert active(graph) == {"fastrp": 3, "hybrid": 3}


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_a_model_that_the_other_refresh_left_out_stays(
    graph: Neo4jGateway, refreshed: Callable[..., RefreshReport]
) -> None:
    refreshed()
    refreshed(models=("deepwalk", "walk3"), force=True)
    assert active(graph) == {"deepwalk": 1, "fastrp": 1, "hybrid": 2}
    assert roll_back(graph, "deepwalk") == {"fastrp": 1, "hybrid": 1}
    assert active(graph) == {"deepwalk": 1, "fastrp": 1, "hybrid": 1}


@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
def test_what_never_was_active_is_refused(
    graph: Neo4jGateway,
    refreshed: Callable[..., RefreshReport],
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    with pytest.raises(NotFoundError, match="no version of 'fastrp'"):
        roll_back(graph, "fastrp")
    refreshed()
    monkeypatch.setattr(refresh, "fit_model", spoilt(one_direction))
    with pytest.raises(GateError):
        refreshed()
    code, out, err = command("activate", "fastrp", "2")
    assert (code, out) == (1, "")
    assert "fastrp 2 is failed and never was active; hybrid 2 is failed" in err
    assert active(graph) == {"fastrp": 1, "hybrid": 1}


def test_a_refresh_that_takes_a_slot_and_a_rollback_never_share_it(
    graph: Neo4jGateway, neo4j_address: Neo4jAddress, refreshed: Callable[..., RefreshReport]
) -> None:
    """Whichever comes first, the active version has a slot that nobody else writes into."""
    refreshed()
    refreshed(seed=5)
    outcomes: set[bool] = set()
    with Neo4jGateway(neo4j_address) as other, ThreadPoolExecutor(2) as pool:
        for round_number in range(12):
            graph.run(AGAIN)
            together = threading.Barrier(2)

            def begin(at: threading.Barrier = together, number: int = round_number) -> None:
                at.wait()
                time.sleep(0.004 * (number % 3))
                writeback.begin_version(graph, "fastrp", run=f"r{number}", seed=0, options={})

            def back(at: threading.Barrier = together, number: int = round_number) -> bool:
                at.wait()
                time.sleep(0.004 * (2 - number % 3))
                with suppress(ActivationError):
                    return bool(roll_back(other, "fastrp"))
                return False

            begun, gone = pool.submit(begin), pool.submit(back)
            begun.result()
            outcomes.add(gone.result())
            rows = graph.run(SLOTS)
            assert [row["status"] for row in rows] == ["active", "building"]
            assert {row["slot"] for row in rows} == {"a", "b"}
            assert rows[0]["version"] == (1 if gone.result() else 2)
    assert outcomes == {True, False}
