"""The lists of a sample of users by two versions: who is in it, and what may stand on a list."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import Blend
from recsvc.evaluation.splits import id_numbers
from recsvc.refresh.list_diff import changed_lists, sampled_users
from recsvc.settings import load_settings
from recsvc.signals import RowSignal
from recsvc.snapshot.arrays import Snapshot

EVENTS = load_settings().events
ITEMS = tuple(f"i{number:02}" for number in range(20))


def snapshot(items: tuple[str, ...], prior: list[float], *signals: RowSignal) -> Snapshot:
    """Items by their prior where no signal speaks."""
    blend = Blend(signals, (5.0,) * len(signals), np.array(prior, np.float32), 1.0)
    return Snapshot(
        {"hybrid": 1}, IdMap(items), IdMap(()), IdMap(()), np.zeros(0, np.int64),
        np.ones(len(items), np.int64), tuple(f"Title {each}" for each in items),
        np.ones(len(items), bool), sp.csr_matrix((len(items), 0)), blend,
    )  # fmt: skip


def graph(did: list[tuple[int, int]], users: int, follows: Edges | None = None) -> HeteroGraph:
    user, item = (np.array(column, np.int64) for column in zip(*did, strict=True))
    edges = len(did)
    interactions = Interactions(
        user, item, np.zeros(edges, np.int8), np.ones(edges, np.float32),
        np.full(edges, np.nan), ("interaction",),
    )  # fmt: skip
    ids = IdMap(tuple(f"u{number:02}" for number in range(users)))
    return HeteroGraph(ids, IdMap(ITEMS), IdMap(()), interactions, follows or Edges.empty())


def test_lists_hold_what_is_unseen_there_and_available() -> None:
    """Before, the last item was the best; now the first is. One is gone, one not available."""
    before = snapshot(("gone", *ITEMS[:19]), [float(place) for place in range(20, 40)])
    before = replace(before, blend=replace(before.blend, prior=before.blend.prior[::-1].copy()))
    now = snapshot(ITEMS, [float(place) for place in range(20)])
    now.available[17] = False
    did = [(0, 0), (0, 19), (1, 3)]
    changes = changed_lists(4, before, now, graph(did, 3), EVENTS, 0.0)
    assert changes.version == 4
    of = {each.user: each for each in changes.users}
    numbers = id_numbers(["u00", "u01"]).tolist()
    assert of.keys() == set(numbers)  # the third did nothing
    first = of[numbers[0]]
    assert first.items == 2
    assert [item.item_id for item in first.before] == [f"i{n:02}" for n in range(1, 11)]
    wanted = [18, 16, 15, 14, 13, 12, 11, 10, 9, 8]
    assert [item.item_id for item in first.now] == [f"i{n:02}" for n in wanted]
    assert first.now[0].title == "Title i18"
    second = of[numbers[1]]
    assert [item.item_id for item in second.before] == [f"i{n:02}" for n in range(11) if n != 3]
    assert first.overlap == 0.3
    assert changes.overlap[0] == np.mean([each.overlap for each in changes.users])
    assert changes.overlap[1] <= changes.overlap[0] <= changes.overlap[2]


def test_evidence_of_every_kind_counts_and_in_the_rows_of_each_version() -> None:
    """The earlier version knows other users, in other rows."""
    people = {"before": IdMap(("another", "u01", "u02")), "now": IdMap(("u00", "u01", "u02"))}
    lists = {}
    for name, users in people.items():
        rows = np.zeros((3, 20), np.float32)
        rows[users.row("u02"), 7 if name == "before" else 9] = 1.0
        signal = RowSignal("followed", "user", users, sp.csr_matrix(rows))
        made = snapshot(ITEMS, [0.0] * 20, signal)
        lists[name] = replace(made, users=users, user_counts=np.ones(3, np.int64))
    follows = Edges(np.array([0]), np.array([2]), np.ones(1, np.float32))
    found = changed_lists(
        1, lists["before"], lists["now"], graph([(0, 0), (1, 0)], 3, follows), EVENTS, 0.0
    )
    of = {each.user: each for each in found.users}
    follower, other = (of[number] for number in id_numbers(["u00", "u01"]).tolist())
    assert (follower.before[0].item_id, follower.now[0].item_id) == ("i07", "i09")
    assert other.before == other.now


def test_the_sample_is_mostly_the_same_when_the_graph_has_grown() -> None:
    small, large = (graph([(user, 0) for user in range(n)], n) for n in (60, 66))
    one, two = (
        {found.users[row] for row in sampled_users(found).tolist()} for found in (small, large)
    )
    assert len(one) == len(two) == 20
    assert len(one & two) >= 14
    hashes = id_numbers(list(small.users)).view(np.uint64)
    assert one == {small.users[row] for row in np.argsort(hashes)[:20].tolist()}
