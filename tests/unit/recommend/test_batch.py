"""Lists for everybody are the lists each of them would be served."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import Blend
from recsvc.blend.ranking import best_items
from recsvc.evidence import Evidence, EvidenceNode, item_evidence
from recsvc.recommend.batch import batch_evidence, recommend_all
from recsvc.recommend.batch_file import write_recommendations
from recsvc.settings import EventSettings
from recsvc.signals import EmbeddingSignal, RowSignal
from recsvc.snapshot.arrays import Snapshot

N_USERS, N_ITEMS = 300, 40
EVENTS = {
    "interaction": EventSettings(),
    "drop": EventSettings(weight=-0.5),
    "play": EventSettings(weight=1.0, exponent=0.5),
}
USERS = [f"u{n:03}" for n in range(N_USERS)]
ITEMS = [f"i{n:02}" for n in range(N_ITEMS)]
CATEGORIES = ["c0", "c1", "c2"]


def edges(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Edges:
    return Edges(source.astype(np.int64), target.astype(np.int64), weight.astype(np.float32))


def made_graph() -> HeteroGraph:
    """Users with events of two kinds, friends and preferences; the last user has nothing."""
    rng = np.random.default_rng(11)
    user, item = np.nonzero(rng.random((N_USERS - 1, N_ITEMS)) < 0.15)
    source, target = np.nonzero(rng.random((N_USERS - 1, N_USERS - 1)) < 0.01)
    fan, category = np.nonzero(rng.random((N_USERS - 1, 3)) < 0.3)
    n = len(user)
    return HeteroGraph(
        IdMap(USERS), IdMap(ITEMS), IdMap(CATEGORIES),
        Interactions(
            user, item, rng.integers(0, 2, n).astype(np.int8),
            rng.integers(1, 9, n).astype(np.float32), np.full(n, np.nan), ("drop", "play"),
        ),
        follows=edges(source, target, rng.integers(1, 9, len(source))),
        prefers=edges(fan, category, rng.integers(1, 4, len(fan))),
    )  # fmt: skip


def made_snapshot() -> Snapshot:
    """Knows other items and users than the graph does: some are new, some are gone."""
    rng = np.random.default_rng(12)
    items, users = IdMap([*ITEMS[3:], "j1", "j2"]), IdMap(USERS[50:])
    categories = IdMap(CATEGORIES[1:])
    n = len(items)
    source, target = rng.normal(size=(2, n, 6)).astype(np.float32)

    def rows(count: int) -> sp.csr_matrix:
        return sp.random(count, n, 0.3, "csr", np.float32, rng)

    signals = (
        EmbeddingSignal("lightgcn", items, source, target),
        RowSignal("item_user_item", "item", items, rows(n)),
        RowSignal("followed_user_item", "user", users, rows(len(users))),
        RowSignal("category_item", "category", categories, rows(len(categories))),
    )
    prior = rng.random(n).astype(np.float32)
    return Snapshot(
        {"hybrid": 1}, items, categories, users,
        np.zeros(len(users), np.int64), np.ones(n, np.int64), ("",) * n,
        rng.random(n) < 0.9, sp.csr_matrix((n, len(categories)), dtype=bool),
        Blend(signals, (1.0, 0.5, 0.25, 0.7), prior, 0.01),
    )  # fmt: skip


GRAPH, SNAPSHOT = made_graph(), made_snapshot()


def evidence_of(user: int) -> Evidence:
    """What a request would read for one user, straight from the relationships."""
    did = GRAPH.interactions
    mine = np.flatnonzero(did.user_index == user)
    rows = [
        (ITEMS[did.item_index[n]], did.events[did.event_index[n]], float(did.weight[n]), None)
        for n in mine
    ]
    follows, prefers = GRAPH.follows, GRAPH.prefers
    people = [EvidenceNode("user", USERS[n], 1.0) for n in follows.target[follows.source == user]]
    categories = [
        EvidenceNode("category", CATEGORIES[prefers.target[n]], float(prefers.weight[n]))
        for n in np.flatnonzero(prefers.source == user)
    ]
    nodes = (*item_evidence(rows, EVENTS, now=time.time()), *people, *categories)
    return Evidence(nodes, frozenset(row[0] for row in rows))


def test_everybody_gets_what_the_blend_gives_them_alone() -> None:
    lists = list(recommend_all(SNAPSHOT, batch_evidence(GRAPH, SNAPSHOT, EVENTS), USERS, 7))
    assert [best.user_id for best in lists] == USERS
    for user, best in enumerate(lists):
        evidence = evidence_of(user)
        scores = SNAPSHOT.blend.score(evidence).scores
        allowed = SNAPSHOT.available.copy()
        allowed[[row for i in evidence.seen if (row := SNAPSHOT.items.row(i)) >= 0]] = False
        assert best.items.tolist() == best_items(scores, allowed, 7).tolist()
        np.testing.assert_allclose(best.scores, scores[best.items], rtol=1e-4, atol=1e-5)


def test_order_and_choice_of_users_are_the_callers() -> None:
    evidence = batch_evidence(GRAPH, SNAPSHOT, EVENTS)
    chosen = ["u299", "u007", "u150"]
    lists = {best.user_id: best for best in recommend_all(SNAPSHOT, evidence, USERS, 5)}
    for user_id, best in zip(chosen, recommend_all(SNAPSHOT, evidence, chosen, 5), strict=True):
        assert best.user_id == user_id
        np.testing.assert_array_equal(best.items, lists[user_id].items)


def write(out: Path, k: int = 5, users: Sequence[str] | None = None):
    told: list[tuple[str, int, int]] = []
    report = write_recommendations(
        out, GRAPH, SNAPSHOT, (), EVENTS, k, users, lambda *step: told.append(step)
    )
    assert told[-1][1] == told[-1][2] == report.users
    return report


def test_both_forms_hold_the_same_rows(tmp_path: Path) -> None:
    report = write(tmp_path / "out.parquet")
    assert write(tmp_path / "out.jsonl").recommendations == report.recommendations
    table = pl.read_parquet(tmp_path / "out.parquet")
    lines = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert table.columns == ["user_id", "item_id", "rank", "score"]
    assert len(table) == len(lines) == report.recommendations == 5 * N_USERS == 5 * report.users
    for row, line in zip(table.iter_rows(named=True), lines, strict=True):
        assert row == {**line, "score": np.float32(line["score"])}
    expected = recommend_all(SNAPSHOT, batch_evidence(GRAPH, SNAPSHOT, EVENTS), USERS, 5)
    assert table["item_id"].to_list() == [
        SNAPSHOT.items[row] for best in expected for row in best.items
    ]
    assert table["rank"].to_list() == [1, 2, 3, 4, 5] * N_USERS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.parquet"]


def test_newcomers_come_where_nothing_speaks_for_others_either() -> None:
    newcomers = ITEMS[:3]  # the graph has them, and the snapshot does not
    had = GRAPH.interactions
    pairs = zip(had.user_index.tolist(), had.item_index.tolist(), strict=True)
    seen = {(USERS[user], ITEMS[item]) for user, item in pairs}
    assert any((user, item) in seen for user in USERS for item in newcomers)
    evidence = batch_evidence(GRAPH, SNAPSHOT, EVENTS, newcomers=newcomers)
    without = batch_evidence(GRAPH, SNAPSHOT, EVENTS)
    k, against = N_ITEMS * 2, 0
    for user in USERS:
        (best,) = recommend_all(SNAPSHOT, evidence, [user], k)
        (before,) = recommend_all(SNAPSHOT, without, [user], k)
        unseen = [item for item in newcomers if (user, item) not in seen]
        np.testing.assert_array_equal(best.items, before.items)
        assert (list(best.newcomers), before.newcomers) == (unseen, ())
        liked = int((before.scores >= 0.0).sum())
        against += liked < len(before.items)
        (shorter,) = recommend_all(SNAPSHOT, evidence, [user], liked + 1)
        assert list(shorter.newcomers) == unseen[:1]
        assert (shorter.scores >= 0.0).sum() == liked
        (full,) = recommend_all(SNAPSHOT, evidence, [user], max(liked, 1))
        assert full.newcomers == () or not liked
    assert against  # some have items that more speaks against than for


def test_newcomers_come_after_items_of_score_0() -> None:
    nothing = Blend((), (), np.zeros(len(SNAPSHOT.items), np.float32), 0.1)
    evidence = batch_evidence(GRAPH, SNAPSHOT, EVENTS, newcomers=ITEMS[:3])
    (best,) = recommend_all(replace(SNAPSHOT, blend=nothing), evidence, [USERS[-1]], 5)
    assert (len(best.items), best.newcomers) == (5, ())


def test_the_caller_chooses_users(tmp_path: Path) -> None:
    assert write(tmp_path / "out.jsonl", users=["u005", "u001"]).users == 2
    lines = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [line["user_id"] for line in lines] == ["u005"] * 5 + ["u001"] * 5


def test_a_user_who_was_deleted_meanwhile_has_no_list(tmp_path: Path) -> None:
    assert write(tmp_path / "out.jsonl", users=["u005", "nobody"]).users == 1
    rows = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert {row["user_id"] for row in rows} == {"u005"}


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_file_appears_whole_or_not_at_all(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / name
    write(out, k=3)
    before = out.read_bytes()
    seen: list[bytes] = []
    monkeypatch.setattr("recsvc.recommend.batch_file._USERS_PER_GROUP", 100)

    def full_disk(_what: str, done: int, _total: int) -> None:
        seen.append(out.read_bytes())
        if done == 200:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_recommendations(out, GRAPH, SNAPSHOT, (), EVENTS, 5, None, full_disk)
    assert seen == [before, before]
    assert out.read_bytes() == before


def test_fault_leaves_no_partial_file(tmp_path: Path) -> None:
    def full_disk(_what: str, _done: int, _total: int) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_recommendations(tmp_path / "o.jsonl", GRAPH, SNAPSHOT, (), EVENTS, 5, None, full_disk)
    assert list(tmp_path.iterdir()) == []
