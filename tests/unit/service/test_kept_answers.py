"""Answers that are served again, over a made engine that counts how often it is asked."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from recsvc.answer import Answer, Source, VariantUsed
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.outcomes.recommendation_id import Origin
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.write_counters import WriteCounters
from recsvc.service import kept_answers, observability
from recsvc.service.answer_cache import AnswerCache
from recsvc.service.app import create_app
from recsvc.service.refreshes import Refreshes
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.waiting import PATIENCE_SECONDS

PATH = "/v1/users/ann/recommendations"
ROUTE = "/v1/users/{user_id}/recommendations"


@dataclass
class SlowEngine(FakeEngine):
    """Reads the evidence, waits until it may go on, and answers."""

    served: object = field(default_factory=object)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    evidence: str = "old"

    def __post_init__(self) -> None:
        self.go_on.set()

    @property
    def made_from(self) -> object:
        if self.served is None:
            raise SnapshotError("none")
        return self.served

    async def recommend(self, user_id: str, query: RecommendationQuery) -> Answer:
        read = self.evidence
        self.reading.set()
        await self.go_on.wait()
        self.called("recommend", read)
        source = Source(frozenset({user_id, "friend"}))
        return replace(self.answer(read, query), source=source)

    @property
    def asked(self) -> int:
        return len([call for call in self.calls if call[0] == "recommend"])


@pytest.fixture
def fake() -> SlowEngine:
    return SlowEngine()


@pytest.fixture
async def client(
    fake: SlowEngine, write_counters: WriteCounters, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    cache = AnswerCache(write_counters, seconds=60.0, max_bytes=2**20)
    app = create_app(
        fake.engine,
        refreshes=Refreshes(tmp_path),
        keys=key_ring(tmp_path),
        answer_cache=cache,
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client
    structlog.reset_defaults()


async def test_kept_answers_are_counted_by_their_variant_too(
    client: httpx.AsyncClient, fake: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observability, "_MOST_VARIANTS", 2)
    for number, (experiment, variant) in enumerate(
        [("blend", "now"), ("blend", "before"), ("third", "now"), ("blend", "now")]
    ):
        fake.variant = VariantUsed(experiment, variant, 1)
        for _ in range(3):
            await client.get(PATH, params={"k": number + 1})
    fake.variant = None
    await client.get(PATH, params={"k": 9})
    metrics = (await client.get("/metrics")).text
    counts = re.findall(r'_variant_answers_total{experiment="(.*)",variant="(.*)"} (.*)', metrics)
    assert fake.asked == 5
    assert sorted(counts) == [
        ("blend", "before", "3.0"), ("blend", "now", "6.0"), ("other", "other", "3.0"),
    ]  # fmt: skip


async def test_the_same_question_is_answered_once(
    client: httpx.AsyncClient, fake: SlowEngine
) -> None:
    first = await client.get(PATH, headers={"X-Request-Id": "one"})
    again = await client.get(PATH, headers={"X-Request-Id": "two"})
    assert fake.asked == 1
    assert again.headers.keys() == first.headers.keys()
    assert (first.headers["X-Request-Id"], again.headers["X-Request-Id"]) == ("one", "two")
    one, two = first.json(), again.json()
    assert (one.pop("request_id"), two.pop("request_id")) == ("one", "two")
    own = [fake.ids.read(each.pop("recommendation_id")) for each in (one, two)]
    assert own[0].name != own[1].name
    assert own[0].origin == own[1].origin == Origin(3, "old")
    assert own[0].fingerprints == own[1].fingerprints
    assert list(first.json()) == list(again.json())
    assert one.pop("took_ms") == 6.1
    assert two.pop("took_ms") not in (None, 6.1)
    assert one == two


@pytest.mark.parametrize("other", ["?k=11", "?explain=none", "?exclude=a"])
async def test_another_question_is_another_answer(
    client: httpx.AsyncClient, fake: SlowEngine, other: str
) -> None:
    await client.get(PATH)
    await client.get(PATH + other)
    await client.get(PATH.replace("ann", "bob"))
    assert fake.asked == 3


async def test_spellings_of_a_path_share_an_answer(
    client: httpx.AsyncClient, fake: SlowEngine
) -> None:
    await client.get(PATH)
    await client.get(PATH.replace("ann", "%61nn"))
    assert fake.asked == 1


@pytest.mark.parametrize("query", ["?explain=full", "?explain=full&k=3"])
async def test_what_is_drawn_in_full_is_made_each_time(
    client: httpx.AsyncClient, fake: SlowEngine, query: str
) -> None:
    for _ in range(2):
        await client.get(PATH + query)
    assert fake.asked == 2


async def test_an_answer_that_lacks_something_is_made_again(
    client: httpx.AsyncClient, fake: SlowEngine
) -> None:
    fake.degraded = ("evidence",)
    assert (await client.get(PATH)).json()["degraded"] == ["evidence"]
    fake.degraded = ()
    assert (await client.get(PATH)).json()["degraded"] == []


@pytest.mark.parametrize("error", [NotFoundError("none"), ValueError("a fault")])
async def test_an_error_is_not_kept(
    client: httpx.AsyncClient, fake: SlowEngine, error: Exception
) -> None:
    fake.error = error
    assert (await client.get(PATH)).status_code in (404, 500)
    assert (await client.get(PATH + "?k=0")).status_code == 422
    fake.error = None
    assert (await client.get(PATH)).status_code == 200


@pytest.mark.parametrize("user", ["ann", "friend"])
async def test_a_write_about_somebody_it_depends_on_ends_it(
    client: httpx.AsyncClient, fake: SlowEngine, write_counters: WriteCounters, user: str
) -> None:
    await client.get(PATH)
    write_counters.note_write(["stranger"])
    await client.get(PATH)
    assert fake.asked == 1
    fake.evidence = "new"
    write_counters.note_write([user])
    assert (await client.get(PATH)).json()["user_id"] == "new"


async def written_meanwhile(
    client: httpx.AsyncClient, fake: SlowEngine, write_counters: WriteCounters, user: str
) -> "asyncio.Task[httpx.Response]":
    """A request that has read what was there before a write; it waits for `go_on`."""
    fake.go_on.clear()
    early = asyncio.create_task(client.get(PATH))
    await fake.reading.wait()
    fake.evidence = "new"
    write_counters.note_write([user])
    return early


async def test_an_answer_made_while_something_was_written_is_not_kept(
    client: httpx.AsyncClient, fake: SlowEngine, write_counters: WriteCounters
) -> None:
    early = await written_meanwhile(client, fake, write_counters, "friend")
    fake.go_on.set()
    assert (await early).json()["user_id"] == "old"
    assert (await client.get(PATH)).json()["user_id"] == "new"


async def test_who_asks_while_it_is_made_waits_for_it(
    client: httpx.AsyncClient, fake: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "_PATIENCE_SECONDS", 600.0)
    fake.go_on.clear()
    asking = [asyncio.create_task(client.get(PATH)) for _ in range(10)]
    await fake.reading.wait()
    fake.go_on.set()
    assert {(await each).status_code for each in asking} == {200}
    assert fake.asked == 1


async def test_who_asks_after_a_write_does_not_get_what_was_read_before_it(
    client: httpx.AsyncClient, fake: SlowEngine, write_counters: WriteCounters
) -> None:
    early = await written_meanwhile(client, fake, write_counters, "ann")
    late = asyncio.create_task(client.get(PATH))
    await asyncio.sleep(0.01)
    fake.go_on.set()
    assert (await early).json()["user_id"] == "old"
    assert (await late).json()["user_id"] == "new"


async def test_nobody_waits_long_for_another(client: httpx.AsyncClient, fake: SlowEngine) -> None:
    fake.go_on.clear()
    stuck = asyncio.create_task(client.get(PATH))
    await fake.reading.wait()
    fake.reading.clear()
    other = asyncio.create_task(client.get(PATH))
    await asyncio.wait_for(fake.reading.wait(), PATIENCE_SECONDS)
    fake.go_on.set()
    assert {(await each).status_code for each in (stuck, other)} == {200}


async def test_a_new_snapshot_has_new_answers(client: httpx.AsyncClient, fake: SlowEngine) -> None:
    await client.get(PATH)
    fake.served, fake.versions = object(), {"hybrid": 4}
    assert (await client.get(PATH)).json()["versions"] == {"hybrid": 4}


async def test_an_answer_across_a_swap_is_not_kept_and_drops_nothing(
    client: httpx.AsyncClient, fake: SlowEngine
) -> None:
    fake.go_on.clear()
    early = asyncio.create_task(client.get(PATH))
    await fake.reading.wait()
    held, fake.go_on = fake.go_on, asyncio.Event()
    fake.go_on.set()
    fake.served = object()
    await client.get(PATH + "?k=1")
    held.set()
    await early
    await client.get(PATH + "?k=1")
    assert fake.asked == 2
    await client.get(PATH)
    assert fake.asked == 3


async def test_without_a_snapshot_nothing_is_kept(
    client: httpx.AsyncClient, fake: SlowEngine
) -> None:
    fake.served, fake.error = None, SnapshotError("nothing has been refreshed")
    assert (await client.get(PATH)).status_code == 503


async def test_kept_answers_are_counted_and_logged_as_the_route(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        await client.get(PATH)
    log = capsys.readouterr().err.splitlines()
    assert len(log) == 3
    assert all(f'"route": "{ROUTE}"' in line for line in log)
    text = (await client.get("/metrics")).text
    assert f'recsvc_http_requests_total{{method="GET",route="{ROUTE}",status="200"}} 3.0' in text
    assert 'recsvc_kept_answers_total{kept="yes"} 2.0' in text
    assert 'recsvc_kept_answers_total{kept="no"} 1.0' in text


async def test_other_routes_are_left_alone(client: httpx.AsyncClient, fake: SlowEngine) -> None:
    evidence: dict[str, Any] = {"evidence": [{"item_id": "55"}]}
    for _ in range(2):
        assert (await client.post("/v1/recommendations", json=evidence)).status_code == 200
        assert (await client.get(PATH + "/289/explanation")).status_code == 200
        assert (await client.post(PATH)).status_code == 405
    assert len(fake.calls) == 4
