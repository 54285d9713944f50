import json
import sys
import time
import tracemalloc
from dataclasses import replace

import pytest

from recsvc.answer import Answer, RankedItem, Source, as_document
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds
from recsvc.recommend.write_counters import WriteCounters
from recsvc.service.answer_cache import AnswerCache, Served, answer_json

SNAPSHOT = object()
KEY = ("/v1/users/ann/recommendations", b"k=5")
SERVED = Served(b',"k":5,"took_ms":', b',"items":[]}', b"")
IDS = RecommendationIds()
NAMED = IDS.issue(IDS.contents(Origin(3, "ann"), ["289"]))


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("recsvc.service.answer_cache.time.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def cache(write_counters: WriteCounters, clock: Clock) -> AnswerCache:
    return AnswerCache(write_counters, seconds=5.0, max_bytes=100_000)


def keep(
    cache: AnswerCache,
    key: tuple[str, bytes] = KEY,
    users: tuple[str, ...] | None = ("ann",),
    served: Served = SERVED,
) -> None:
    source = None if users is None else Source(frozenset(users))
    cache.keep(key, SNAPSHOT, served, source, cache.begin(), 100.0)


def test_what_was_kept_is_found(cache: AnswerCache) -> None:
    assert cache.find(KEY, SNAPSHOT) is None
    keep(cache)
    assert cache.find(KEY, SNAPSHOT) is SERVED
    assert cache.find((KEY[0], b"k=6"), SNAPSHOT) is None


@pytest.mark.parametrize(
    ("users", "anybody"), [(["ann"], False), (["friend"], False), ([], True), (["x", "ann"], False)]
)
def test_a_write_ends_it(
    cache: AnswerCache, write_counters: WriteCounters, users: list[str], anybody: bool
) -> None:
    keep(cache, users=("ann", "friend"))
    write_counters.note_write(users, anybody=anybody)
    assert cache.find(KEY, SNAPSHOT) is None
    assert (len(cache), cache.size) == (0, 0)


def test_a_write_about_others_does_not(cache: AnswerCache, write_counters: WriteCounters) -> None:
    keep(cache, users=("ann", "friend"))
    write_counters.note_write(["stranger"])
    assert cache.find(KEY, SNAPSHOT) is SERVED


def test_a_write_while_it_is_made_ends_it(
    cache: AnswerCache, write_counters: WriteCounters
) -> None:
    """Whom an answer depends on is known after the reading only; the write may be before that."""
    number = cache.begin()
    write_counters.note_write(["friend"])
    source = Source(frozenset({"ann", "friend"}))
    cache.keep(KEY, SNAPSHOT, SERVED, source, number, 100.0)
    assert cache.find(KEY, SNAPSHOT) is None


def test_an_answer_from_unknown_evidence_is_not_kept(cache: AnswerCache) -> None:
    keep(cache, users=None)
    assert cache.find(KEY, SNAPSHOT) is None
    assert len(cache) == 0


def test_its_time_counts_from_the_reading(cache: AnswerCache, clock: Clock) -> None:
    clock.now = 103.0
    keep(cache)
    clock.now = 104.9
    assert cache.find(KEY, SNAPSHOT) is SERVED
    clock.now = 105.1
    assert cache.find(KEY, SNAPSHOT) is None


def test_what_is_over_takes_no_room(cache: AnswerCache, clock: Clock) -> None:
    source = Source(frozenset({"ann"}))
    for second in range(20):
        clock.now = 100.0 + second
        cache.keep((KEY[0], b"%d" % second), SNAPSHOT, SERVED, source, cache.begin(), clock.now)
    assert len(cache) == 6
    assert cache.find((KEY[0], b"19"), SNAPSHOT) is SERVED


@pytest.mark.parametrize(("seconds", "kept"), [(-0.5, False), (60.0, True)])
def test_it_ends_where_a_rule_begins_or_ends(
    cache: AnswerCache, seconds: float, kept: bool
) -> None:
    source = Source(frozenset({"ann"}), until=time.time() + seconds)
    cache.keep(KEY, SNAPSHOT, SERVED, source, cache.begin(), 100.0)
    assert (cache.find(KEY, SNAPSHOT) is not None) is kept


def test_another_snapshot_drops_all(cache: AnswerCache) -> None:
    keep(cache)
    assert cache.find(KEY, object()) is None
    assert cache.find(KEY, SNAPSHOT) is None
    assert (len(cache), cache.size) == (0, 0)


def test_the_least_recently_used_goes_first(write_counters: WriteCounters, clock: Clock) -> None:
    cache = AnswerCache(write_counters, seconds=5.0, max_bytes=3_000)
    keys = [(f"/v1/users/{n}/recommendations", b"") for n in range(4)]
    for key in keys[:3]:
        keep(cache, key)
    assert len(cache) == 3
    assert cache.find(keys[0], SNAPSHOT) is SERVED
    keep(cache, keys[3], served=Served(b"x" * 1_000, b"", b""))
    assert [cache.find(key, SNAPSHOT) is not None for key in keys] == [True, False, False, True]
    assert cache.size <= 3_000


def test_an_answer_larger_than_all_is_not_kept(cache: AnswerCache) -> None:
    keep(cache)
    keep(cache, ("/other", b""), served=Served(b"x" * 100_000, b"", b""))
    assert cache.find(("/other", b""), SNAPSHOT) is None
    assert cache.find(KEY, SNAPSHOT) is SERVED


def test_an_answer_kept_again_counts_once(cache: AnswerCache) -> None:
    keep(cache)
    size = cache.size
    keep(cache)
    assert (len(cache), cache.size) == (1, size)


def test_the_bound_is_what_it_takes(write_counters: WriteCounters, clock: Clock) -> None:
    """The sizes counted are not below what CPython takes, texts, places and all."""
    cache = AnswerCache(write_counters, seconds=5.0, max_bytes=2**30)
    tracemalloc.start()
    try:
        for n in range(2_000):
            texts = Served(b"m" * (50 + n % 7), b"e" * (900 + n % 11), b"c" * (40 + n % 5))
            users = tuple(f"user {n} {m}" for m in range(n % 30))
            keep(cache, (f"/v1/users/{n}/recommendations", b"k=%d" % n), users, texts)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sys.implementation.name == "cpython"
    assert 0.6 * cache.size < taken <= cache.size


ANSWER = Answer(
    "a\"b,\"took_ms\":", "ann", 5, {"took_ms": 3, "hybrid": 2}, (), 6.1,
    (RankedItem("289", "Britney", 1, 1.5, {"base": 1.5}),), recommendation_id=NAMED,
)  # fmt: skip


@pytest.mark.parametrize("request_id", ["abc", 'x","took_ms":1', "~ \\"])
def test_a_body_is_the_answer_with_its_own_id_and_time(request_id: str) -> None:
    served = Served.of(ANSWER)
    another = IDS.issue(served.contents)
    body = json.loads(served.body(request_id, another, 0.25))
    own = replace(ANSWER, request_id=request_id, recommendation_id=another, took_ms=0.25)
    assert body == json.loads(answer_json(own)) == as_document(own)
    assert IDS.read(another).origin == IDS.read(NAMED).origin
    assert list(body) == [
        "request_id", "recommendation_id", "user_id", "k", "versions", "degraded", "took_ms",
        "unknown", "items",
    ]  # fmt: skip
    assert (body["request_id"], body["took_ms"], body["user_id"]) == (request_id, 0.25, "ann")
    assert body["items"][0]["item_id"] == "289"
    assert body["versions"] == {"took_ms": 3, "hybrid": 2}


def test_the_json_of_a_long_answer_is_that_of_all_its_parts() -> None:
    items = tuple(RankedItem(f"i{n}", None, n, 1.0 / n, {"base": 1.0 / n}) for n in range(1, 112))
    answer = Answer("r", "ann", 111, {"hybrid": 3}, (), 1.5, items, ("item:x",), None, NAMED)
    assert json.loads(answer_json(answer)) == as_document(answer)
    empty = replace(answer, items=())
    assert json.loads(answer_json(empty)) == as_document(empty)


def test_what_is_nowhere_may_come_from_anybody() -> None:
    answer = replace(ANSWER, source=Source(frozenset({"ann"})))
    assert answer.with_unknown(()).source == Source(frozenset({"ann"}))
    assert answer.with_unknown(("item:x",)).source == Source(frozenset({"ann"}), anybody=True)


def test_an_answer_that_depends_on_everybody_ends_with_any_write(
    cache: AnswerCache, write_counters: WriteCounters
) -> None:
    source = Source(frozenset({"ann"}), anybody=True)
    cache.keep(KEY, SNAPSHOT, SERVED, source, cache.begin(), 100.0)
    assert cache.find(KEY, SNAPSHOT) is not None
    write_counters.note_write(["somebody else"])
    assert cache.find(KEY, SNAPSHOT) is None
