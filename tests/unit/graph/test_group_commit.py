"""The queue in front of a commit that tells when it may go on."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.errors import Neo4jTimeoutError, Neo4jUnavailableError, QueryError
from recsvc.graph.group_commit import GroupCommit
from recsvc.recommend.graph_writer import (
    DropFollow,
    PutFollow,
    PutNode,
    Retract,
    count_new,
    outcomes,
    steps,
)
from tests.waiting import jump_ahead


class Commits:
    """Answers each request with its tenfold; negative ones are refused."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None

    async def __call__(self, requests: Sequence[int]) -> list[int]:
        self.batches.append(list(requests))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        if any(request < 0 for request in requests):
            raise QueryError("negative")
        return [request * 10 for request in requests]


def queue(commits: Commits, **options: float) -> GroupCommit[int, int]:
    return GroupCommit(commits, **{"timeout_seconds": 600.0, **options})


async def test_what_gathers_while_one_commits_goes_together_and_in_order() -> None:
    commits = Commits()
    group = queue(commits)
    commits.go.clear()
    first = asyncio.create_task(group.submit(0))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(group.submit(n)) for n in range(1, 50)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in (first, *others))
    commits.go.set()
    assert await asyncio.gather(first, *others) == [n * 10 for n in range(50)]
    assert commits.batches == [[0], list(range(1, 50))]


async def test_a_transaction_has_so_many_rows_and_a_request_is_never_split() -> None:
    commits = Commits()
    group = queue(commits, rows_per_commit=10)
    sizes = [4, 4, 4, 25, 1, 9, 1]
    asks = [group.submit(n, rows=size) for n, size in enumerate(sizes)]
    assert await asyncio.gather(*asks) == [n * 10 for n in range(7)]
    assert commits.batches == [[0, 1], [2], [3], [4, 5], [6]]


async def test_a_refused_request_hears_of_it_alone() -> None:
    commits = Commits()
    group = queue(commits)
    answers = await asyncio.gather(*map(group.submit, [1, -2, 3]), return_exceptions=True)
    assert [answers[0], answers[2]] == [10, 30]
    assert isinstance(answers[1], QueryError)
    assert commits.batches == [[1, -2, 3], [1, -2], [1], [-2], [3]]
    assert await group.submit(4) == 40


@pytest.mark.parametrize("error", [Neo4jUnavailableError("away"), ValueError("a fault of ours")])
async def test_all_hear_of_what_no_request_is_to_blame_for(error: Exception) -> None:
    commits = Commits()
    commits.error = error
    group = queue(commits)
    answers = await asyncio.gather(*map(group.submit, [1, 2]), return_exceptions=True)
    assert answers == [error, error]
    assert len(commits.batches) == 1
    commits.error = None
    assert await group.submit(3) == 30


async def test_too_much_is_refused_at_once_and_room_comes_back() -> None:
    commits = Commits()
    commits.go.clear()
    group = queue(commits, rows_waiting=10)
    first = asyncio.create_task(group.submit(1, rows=10))
    await asyncio.sleep(0.01)  # taken: it waits no more
    second = asyncio.create_task(group.submit(2, rows=10))
    await asyncio.sleep(0.01)
    with pytest.raises(Neo4jTimeoutError, match="10 rows wait to be written, at most 10 may"):
        await group.submit(3)
    commits.go.set()
    assert await asyncio.gather(first, second) == [10, 20]
    assert await group.submit(3) == 30


async def test_a_deadline_and_a_caller_who_leaves_concern_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jump_ahead(monkeypatch)
    commits = Commits()
    commits.go.clear()
    group = queue(commits, timeout_seconds=0.2)
    late = asyncio.create_task(group.submit(1))
    await asyncio.sleep(0.01)
    leaver = asyncio.create_task(group.submit(2))
    with pytest.raises(Neo4jTimeoutError, match=r"within 0\.2 s"):
        await late
    leaver.cancel()
    stayer = asyncio.create_task(group.submit(3))
    await asyncio.sleep(0.01)
    commits.go.set()
    assert await stayer == 30
    assert commits.batches == [[1], [3]], "who left before the commit is left out of it"


async def test_close_commits_what_waits_and_takes_no_more() -> None:
    commits = Commits()
    commits.go.clear()
    group = queue(commits)
    asks = [asyncio.create_task(group.submit(n)) for n in range(5)]
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(group.close())
    await asyncio.sleep(0.01)
    with pytest.raises(Neo4jTimeoutError, match="stops"):
        await group.submit(9)
    commits.go.set()
    await closing
    assert [task.result() for task in asks] == [0, 10, 20, 30, 40]


async def test_an_idle_queue_can_be_closed() -> None:
    await queue(Commits()).close()


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4), max_size=6),
    st.sets(st.sampled_from("abcdef")),
)
def test_new_events_are_told_to_the_first_who_brought_them(
    requests: list[list[str]], known: set[str]
) -> None:
    seen, expected = set(known), list[int]()
    for ids in requests:
        expected.append(len(set(ids) - seen))
        seen |= set(ids)
    counted = {event_id for ids in requests for event_id in ids} - known
    rows = [[{"event_id": event_id} for event_id in ids] for ids in requests]
    assert count_new(rows, counted) == expected


def test_changes_name_each_node_once_and_in_order() -> None:
    changes = [
        PutNode("item", "i2", {}, (("c2", 1.0), ("c1", 2.0))),
        PutNode("item", "i1", {}),
        PutFollow("b", "a"),
        PutNode("user", "b", {"name": "B"}),
        DropFollow("b", "a"),
    ]
    (nodes, named), *_ = steps(changes)
    assert nodes == "write/nodes"
    assert named == {
        "users": [{"id": "a", "make": False}, {"id": "b", "make": True}],
        "items": [{"id": "i1", "make": True}, {"id": "i2", "make": True}],
        "categories": [{"id": "c1", "make": True}, {"id": "c2", "make": True}],
    }


def test_outcomes_follow_the_order_of_the_changes() -> None:
    changes = [
        PutFollow("a", "b"), DropFollow("a", "b"), DropFollow("a", "b"), PutFollow("a", "b"),
        PutFollow("a", "c"), PutNode("user", "a", {}), PutNode("user", "a", {}),
    ]  # fmt: skip
    nodes = [{"kind": "user", "id": "a", "made": True}, {"kind": "user", "id": "b", "made": False}]
    follows = [{"user_id": "a", "other_id": "b", "existed": True}]
    found = outcomes(changes, [nodes, [], follows])
    assert found == ["kept", "removed", "missing", "made", "missing", "made", "kept"]


def test_what_is_taken_back_is_taken_back_once() -> None:
    """All retractions of a batch meet what was there before it."""
    one, every, none = Retract("a", "i", "like"), Retract("a", "i"), Retract("b", "i")
    changes = [one, PutNode("user", "a", {}), one, every, every, none]
    name, given = steps(changes)[0]
    assert (name, len(given["rows"])) == ("write/retract", 5)
    taken = [
        {"user_id": "a", "item_id": "i", "kind": "like", "events": ["like"]},
        {"user_id": "a", "item_id": "i", "kind": None, "events": ["like", "view"]},
    ]
    nodes = [{"kind": "user", "id": "a", "made": True}]
    found = outcomes(changes, [taken, nodes, [], []])
    assert found == ["removed", "made", "missing", "removed", "missing", "missing"]
