"""Kept answers against writers, over several processes of the real service."""

import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from loaders.catalogue import Query
from tests.conftest import QUICK, Served, Service, own_client, patient_service
from tests.waiting import until

pytestmark = pytest.mark.neo4j

ROUNDS = 6
READERS = 4
SIZES = range(50, 60)
USER = "u5"
REFRESH_OPTIONS = QUICK


@pytest.fixture(scope="module")
def several(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service as two processes, which keep answers for an hour and wait for a slow Neo4j."""
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with patient_service(served, log, "--workers", "2", keep_seconds=3600) as service:
        yield service


def ids(client: httpx.Client, user: str, k: int) -> list[str]:
    answer = client.get(
        f"/v1/users/{user}/recommendations", params={"k": k, "explain": "none"}
    ).json()
    assert answer["degraded"] == []
    return [item["item_id"] for item in answer["items"]]


def read(service: Service, seed: int, ended: Event, seen: list[tuple[float, list[str]]]) -> None:
    """Ask for one user's recommendations, over connections to any of the processes.

    Args:
        service: whom.
        seed: of which it asks for.
        ended: when to end.
        seen: gets (time the request was sent, ids) of each answer.
    """
    chance = random.Random(seed)
    while not ended.is_set():
        with own_client(service) as client:
            for _ in range(10):
                sent = time.monotonic()
                seen.append((sent, ids(client, USER, chance.choice(SIZES))))


def raced(
    service: Service, write: Callable[[str], None]
) -> tuple[list[tuple[float, str]], list[tuple[float, list[str]]]]:
    """Write for the user's best item, again and again, while others read and have seen it.

    Returns:
        (time the writer had its 200, item) of each write, and what the readers got.
    """
    ended, before = Event(), kept(service)
    writes: list[tuple[float, str]] = []
    seen: list[tuple[float, list[str]]] = []
    with ThreadPoolExecutor(READERS) as threads:
        readers = [threads.submit(read, service, seed, ended, seen) for seed in range(READERS)]
        try:
            for _ in range(ROUNDS):
                best = ids(service.client, USER, SIZES[-1])[0]
                until(lambda: any(found[0] == best for _, found in seen))  # noqa: B023 - at once
                write(best)
                writes.append((time.monotonic(), best))
            until(lambda: kept(service) > before)
        finally:
            ended.set()
        for reader in readers:
            reader.result()
    return writes, seen


def kept(service: Service) -> float:
    """How many answers were served again, by both processes."""
    text = service.client.get("/metrics").text
    found = re.search(r'recsvc_kept_answers_total{kept="yes"} ([\d.]+)', text)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("what", ["event", "item"])
def test_no_answer_is_older_than_a_write_that_was_answered(several: Service, what: str) -> None:
    def post_event(item: str) -> None:
        event = {"user_id": USER, "item_id": item, "event": "listen"}
        assert several.client.post("/v1/events", json=[event]).json()["new"] == 1

    def make_unavailable(item: str) -> None:
        several.client.put(f"/v1/items/{item}", json={"available": False}).raise_for_status()

    ids(several.client, USER, SIZES[0])
    writes, answers = raced(several, {"event": post_event, "item": make_unavailable}[what])
    stale = [
        (sent - written, item)
        for sent, found in answers
        for written, item in writes
        if sent > written and item in found
    ]
    assert not stale


def asked_twice(service: Service, user: str) -> list[dict[str, Any]]:
    """One answer of each of many connections, so of both processes."""

    def ask(_: int) -> dict[str, Any]:
        with own_client(service) as client:
            answer = client.get(f"/v1/users/{user}/recommendations").json()
        return {
            name: answer[name]
            for name in answer.keys() - {"request_id", "recommendation_id", "took_ms"}
        }

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(ask, range(32)))


def test_what_is_taken_back_is_so_in_every_process(several: Service) -> None:
    """Also for u9, who follows u3: what u3 did is read anew for them, with other roundings."""
    before = {user: asked_twice(several, user)[0] for user in ("u3", "u9")}
    item = before["u3"]["items"][0]["item_id"]
    event = {"user_id": "u3", "item_id": item, "event": "dislike"}
    several.client.post("/v1/events", json=[event]).raise_for_status()
    for answer in asked_twice(several, "u3"):
        assert item not in [each["item_id"] for each in answer["items"]]
    path = f"/v1/users/u3/interactions/{item}"
    assert several.client.delete(path, params={"event": "dislike"}).status_code == 204
    assert all(answer == before["u3"] for answer in asked_twice(several, "u3"))
    scores = [(item["item_id"], item["score"]) for item in before["u9"]["items"]]
    for answer in asked_twice(several, "u9"):
        assert [item["item_id"] for item in answer["items"]] == [item for item, _ in scores]
        for item, (_, score) in zip(answer["items"], scores, strict=True):
            assert item["score"] == pytest.approx(score, rel=1e-5)


def test_processes_give_the_same_answers(several: Service) -> None:
    before = kept(several)
    for user in ("u1", "u2"):
        first, *others = asked_twice(several, user)
        assert all(other == first for other in others)
    assert kept(several) > before


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_follow_is_seen_by_both_processes(several: Service, method: str) -> None:
    """It is evidence, so the explanations name it."""

    def names() -> set[str]:
        return {
            part["evidence"]["id"]
            for answer in asked_twice(several, "newcomer")
            for item in answer["items"]
            for part in item["explanation"]["contributions"]
        }

    assert ("u3" in names()) == (method == "DELETE")
    several.client.request(method, "/v1/users/newcomer/follows/u3").raise_for_status()
    assert ("u3" in names()) == (method == "PUT")


def test_the_name_of_somebody_followed_is_the_new_one(several: Service) -> None:
    several.client.put("/v1/users/fan/follows/u9").raise_for_status()

    def names() -> set[str | None]:
        return {
            part["evidence"]["title"]
            for answer in asked_twice(several, "fan")
            for item in answer["items"]
            for part in item["explanation"]["contributions"]
            if part["evidence"]["id"] == "u9"
        }

    assert names() == {None}
    several.client.put("/v1/users/u9", json={"name": "Nina"}).raise_for_status()
    assert names() == {"Nina"}


def test_what_somebody_followed_does_counts_at_once(several: Service) -> None:
    several.client.put("/v1/users/fan/follows/u12").raise_for_status()
    before = asked_twice(several, "fan")
    event = {"user_id": "u12", "item_id": "i100", "event": "listen"}
    assert several.client.post("/v1/events", json=[event]).json()["new"] == 1
    fresh = several.client.get("/v1/users/fan/recommendations?k=10&exclude_seen=1").json()
    after = asked_twice(several, "fan")
    assert all(answer["items"] == fresh["items"] for answer in after)
    assert before[0]["items"] != fresh["items"]


def test_a_deleted_item_is_in_no_answer(several: Service) -> None:
    deleted = asked_twice(several, "u20")[0]["items"][0]["item_id"]
    several.client.delete(f"/v1/items/{deleted}").raise_for_status()
    for answer in asked_twice(several, "u20"):
        assert deleted not in {item["item_id"] for item in answer["items"]}


def test_what_is_written_past_the_service_is_seen_after_its_time(
    served: Served, tmp_path: Path
) -> None:
    change = Query(
        "tests/hide", "", "write", {"item": ""}, {},
        "MATCH (i:Item {item_id: $item}) SET i.available = false",
    )  # fmt: skip
    with patient_service(served, tmp_path / "log", keep_seconds=1) as service:
        first = ids(service.client, "u30", 10)[0]
        served.gateway.run(change, item=first)
        time.sleep(1.1)
        assert first not in ids(service.client, "u30", 10)


def test_what_a_command_wrote_is_answered_when_it_is_done(
    served: Served, several: Service, tmp_path: Path
) -> None:
    before = ids(several.client, "u9", 5)
    assert ids(several.client, "u9", 5) == before
    table = tmp_path / "interactions.csv"
    table.write_text(f"user_id,item_id,event\nu9,{before[0]},listen\n")
    command = [sys.executable, "-m", "recsvc", "ingest", str(tmp_path)]
    subprocess.run(command, env=dict(served.environment), check=True, capture_output=True)
    for _ in range(4):
        assert before[0] not in ids(several.client, "u9", 5)


def test_a_rule_ends_at_its_moment_in_every_process(several: Service) -> None:
    item_id, pinned, after = ids(several.client, USER, 40)[-1], list[bool](), list[bool]()
    for seconds in (1.5, 15.0, 60.0):  # a busy machine is late for the first
        end = time.time() + seconds
        until_ = datetime.fromtimestamp(end, UTC).isoformat()
        pin = {"kind": "pin", "item_id": item_id, "place": 1, "until": until_}
        put = several.client.put("/v1/scenarios/ends", json={"rules": [pin]})
        assert put.is_success, put.text
        for_both_sides(several, pin, end, pinned, after)
        if any(pinned):
            break
    assert any(pinned)
    assert after
    assert not any(after)


def for_both_sides(
    several: Service, pin: dict[str, Any], end: float, pinned: list[bool], after: list[bool]
) -> None:
    """Note whether the pinned item is first, of answers asked for before and after the end."""
    while (sent := time.time()) < end + 0.5 or not after:
        with own_client(several) as client:
            asked = {"scenario": "ends", "k": "5", "explain": "none"}
            answer = client.get(f"/v1/users/{USER}/recommendations", params=asked)
        if answer.status_code == 404:
            continue  # the other process has not looked yet
        first = answer.json()["items"][0]["item_id"]
        (pinned if sent < end else after).append(first == pin["item_id"])
