"""Shards over HTTP: those that are away, refuse, or answer something else."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from pydantic import SecretStr

from recsvc.blend.shard_messages import Message
from recsvc.errors import ShardAwayError
from recsvc.recommend import shard_client
from recsvc.recommend.shard_client import HttpShard, ItemShards

KEY = SecretStr("a key of sixteen characters")
MESSAGE = Message({"count": 3}, {"rows": np.arange(3)})


class FakeShard(ThreadingHTTPServer):
    """A server that answers all alike, and notes what it was asked."""

    status, body = 200, MESSAGE.packed()

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeShard

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, self.headers.get("X-API-Key")))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said."""


@pytest.fixture
def fake() -> Iterator[FakeShard]:
    with FakeShard() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def shard(address: str, key: SecretStr | None = KEY) -> HttpShard:
    return HttpShard(address, key, 120.0)


def test_a_question_goes_with_its_version_and_the_key(fake: FakeShard) -> None:
    answer = shard(fake.address).ask("hybrid-3-a", "ranked", MESSAGE)
    assert answer.facts == MESSAGE.facts
    assert answer.arrays["rows"].tolist() == [0, 1, 2]
    assert fake.asked == [("/items/hybrid-3-a/ranked", KEY.get_secret_value())]
    assert shard(fake.address, None).has("hybrid-3-a")
    assert fake.asked[-1] == ("/items/hybrid-3-a", None)


@pytest.mark.parametrize("status", [401, 404, 413, 422, 500, 503])
def test_a_shard_that_refuses_is_away_and_the_error_holds_no_key(
    fake: FakeShard, status: int
) -> None:
    fake.status = status
    with pytest.raises(ShardAwayError, match=f"answers {status}.*shard_key") as told:
        shard(fake.address).ask("v", "ranked", MESSAGE)
    assert KEY.get_secret_value() not in str(told.value)


def test_a_shard_that_answers_something_else_is_away(fake: FakeShard) -> None:
    fake.body = b"<html>"
    with pytest.raises(ShardAwayError, match="answers otherwise"):
        shard(fake.address).ask("v", "ranked", MESSAGE)


def test_a_shard_that_did_not_answer_is_left_alone_for_a_moment(
    fake: FakeShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_client, "_REST_SECONDS", 3600.0)
    asked = shard("http://127.0.0.1:9")
    with pytest.raises(ShardAwayError, match="does not answer"):
        asked.ask("v", "ranked", MESSAGE)
    asked._address = fake.address
    with pytest.raises(ShardAwayError, match="a moment ago"):
        asked.ask("v", "ranked", MESSAGE)
    assert not fake.asked
    assert asked.has("v")  # whether it is back is asked all the same
    asked.ask("v", "ranked", MESSAGE)


async def test_a_new_version_waits_for_who_loads_it_and_not_for_who_is_away(
    fake: FakeShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_client, "_ASK_SECONDS", 0.01)
    fake.status = 404
    shards = ItemShards([shard(fake.address), shard("http://127.0.0.1:9")])
    assert shards.trouble("v") == "2 of 2 shards do not answer or load: items are left out"
    states = iter([[False, None], [False, True], [True, None], [False, False]])
    monkeypatch.setattr(shards, "_states", lambda _version: next(states))
    await shards.wait_for("v")
    assert next(states) == [False, False]


def test_nothing_is_amiss_where_all_hold_the_version(fake: FakeShard) -> None:
    assert ItemShards([shard(fake.address)] * 2).trouble("v") is None
