"""What can be checked of the store without a server."""

import asyncio
import re
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import neo4j
import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import Neo4jError, Neo4jTimeoutError, Neo4jUnavailableError, QueryError
from loaders.gateway import Neo4jAddress
from recsvc.graph.pasteable_cypher import pasteable, path_parameters, written_out
from recsvc.graph.store import Store

HOSTILE_IDS = [
    "it's", '"quoted"', "`ticks`", "back\\slash", "ends in \\", "\\'", "\\u0027", "\\\\u0027",
    "C:\\users", "$limit", "$pairs", "'] AS pair //", "/* */ // --", "nul\0inside", "two\nlines",
    "\r\t\b\f", "\x7f\x85\xa0", "\u2028\u2029", "😀👩‍👩‍👧", "\u202eleft", "\\g<0>", "{x: 1}",
]  # fmt: skip
LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)


def read_literal(body: str) -> str:
    """What Cypher reads in a single-quoted literal (Cypher manual, Expressions, strings)."""
    simple = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
    pattern = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
    return pattern.sub(lambda m: chr(int(m[1], 16)) if m[1] else simple[m[2]], body)


@pytest.mark.parametrize("hostile", [*HOSTILE_IDS, "lone \ud83d surrogate"], ids=ascii)
def test_hostile_ids_are_literals_that_read_back_the_same(hostile: str) -> None:
    parameters = path_parameters([(hostile, "item"), ("e", hostile)], hostile, ["k"], limit=3)
    text = pasteable("item_user_item", parameters)
    parameters = path_parameters([("A", "item"), ("e", "A")], "A", ["k"], limit=3)
    plain = pasteable("item_user_item", parameters)
    literals = [read_literal(body) for body in LITERAL.findall(text)]
    assert [each for each in literals if each in (hostile, "item", "e")][:4] == [
        hostile, "item", "e", hostile,
    ]  # fmt: skip
    assert literals == [hostile if body == "A" else body for body in LITERAL.findall(plain)]
    # Outside of the literals nothing is other than with an id that needs no care.
    assert LITERAL.sub("'A'", text) == LITERAL.sub("'A'", plain)
    assert text.isprintable() or not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text)


def test_someone_the_graph_does_not_know_is_null_and_the_limit_a_number() -> None:
    text = pasteable("item_user_item", path_parameters([("a", "b")], None, ["view"], limit=12))
    assert "UNWIND [{evidence_id: 'a', item_id: 'b'}] AS pair" in text
    assert "{user_id: null}" in text
    assert "LIMIT 12" in text
    assert "$" not in text


def test_a_key_that_is_no_identifier_is_quoted() -> None:
    query = Query("tests/map", "", "read", {"map": "map"}, {}, "RETURN $map AS map")
    assert written_out(query, {"map": {"a": 1, "it`s a": 2}}) == (
        "RETURN {a: 1, `it``s a`: 2} AS map"
    )


def test_every_explain_query_can_be_pasted() -> None:
    for query in catalogue().folder("explain"):
        name = query.name.removeprefix("explain/")
        text = pasteable(name, path_parameters([("a", "b")], "u", ["view"], limit=1))
        assert "$" not in text
        assert "{user_id: 'u'}" in text


def test_pasteable_takes_exactly_the_parameters_of_the_query() -> None:
    with pytest.raises(QueryError, match="takes"):
        pasteable("item_user_item", {"pairs": []})


class _SlowDriver:
    """A driver whose only session never comes to an end."""

    def session(self, **_options: Any) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...  # fmt: skip

    async def run(self, _text: object, _parameters: object) -> None:
        await asyncio.sleep(60)


async def test_deadline_is_a_timeout_that_names_the_query() -> None:
    store = Store(Neo4jAddress("bolt://example:7687", "neo4j", ""), timeout_seconds=0.05)
    store._driver = _SlowDriver()
    with pytest.raises(Neo4jTimeoutError, match=r"cypher/serve/user_exists within 0\.05 s"):
        await store.user_exists("a")


class _FlakyDriver(_SlowDriver):
    """A driver whose reads outside of a transaction fail; inside they give a row."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, _text: object, _parameters: object) -> None:
        raise self.error

    async def execute_read(self, _work: object) -> Any:
        return [[{"found": True}]]


def _met_what_was_deleted() -> Exception:
    """What the driver makes of the server's answer."""
    code = "Neo.ClientError.Statement.EntityNotFound"
    return neo4j.exceptions.Neo4jError._basic_hydrate(neo4j_code=code, message="Node 4 was deleted")


@pytest.mark.parametrize(
    "error", [neo4j.exceptions.SessionExpired("gone"), _met_what_was_deleted()], ids=type
)
async def test_a_read_that_may_go_well_the_next_time_is_tried_again(error: Exception) -> None:
    """The connection was gone; or something was deleted while it was read."""
    store = Store(Neo4jAddress("bolt://example:7687", "neo4j", ""), timeout_seconds=600.0)
    store._driver = _FlakyDriver(error)
    assert await store.user_exists("a")


class _DeletingDriver(_FlakyDriver):
    """A driver whose every read meets something that is being deleted; counts the reads."""

    tries = 0

    async def run(self, _text: object, _parameters: object) -> None:
        self.tries += 1
        raise self.error

    async def execute_read(self, _work: object) -> Any:
        return await self.run("", {})


async def test_a_read_that_meets_what_is_deleted_is_tried_once_more_and_not_for_ever() -> None:
    store = Store(Neo4jAddress("bolt://example:7687", "neo4j", ""), timeout_seconds=600.0)
    store._driver = driver = _DeletingDriver(_met_what_was_deleted())
    with pytest.raises(QueryError, match="Node 4 was deleted"):
        await store.user_exists("a")
    assert driver.tries == 2


class _ResetDriver(_FlakyDriver):
    """A driver with some connections that the server reset, and good ones after them."""

    def __init__(self, reset: int) -> None:
        super().__init__(RuntimeError("unable to perform operation; the handler is closed"))
        self.reset = reset

    async def run(self, _text: object, _parameters: object) -> Any:
        if self.reset:
            raise self.error
        return _one_row()

    async def execute_read(self, _work: object) -> Any:
        raise self.error

    async def last_bookmarks(self) -> neo4j.Bookmarks:
        return neo4j.Bookmarks()

    def cancel(self) -> None:
        self.reset -= 1


async def _one_row() -> AsyncIterator[dict[str, Any]]:
    yield {"found": True}


async def test_connections_that_were_reset_are_dropped_until_one_is_good() -> None:
    store = Store(Neo4jAddress("bolt://example:7687", "neo4j", ""), timeout_seconds=600.0)
    store._driver = _ResetDriver(30)
    assert await store.user_exists("a")
    store._driver = _ResetDriver(10_000)
    with pytest.raises(Neo4jUnavailableError):
        await store.user_exists("a")
    await store._breaker.close()


async def test_a_read_that_is_wrong_is_not() -> None:
    store = Store(Neo4jAddress("bolt://example:7687", "neo4j", ""), timeout_seconds=600.0)
    store._driver = _FlakyDriver(neo4j.exceptions.CypherSyntaxError("wrong"))
    with pytest.raises(Neo4jError):
        await store.user_exists("a")


async def test_store_that_was_not_opened_says_so() -> None:
    store = Store(Neo4jAddress("bolt://example:7687", "neo4j", ""), timeout_seconds=600.0)
    with pytest.raises(RuntimeError, match="open"):
        await store.user_exists("a")
