"""The analysts' questions about the models and the whole graph of the odd shop.

Each answer is counted again from the tables in plain Python.
"""

import math
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from recsvc.settings import load_settings
from tests.odd_shop import Event
from tests.odd_shop_asked import (
    KIND,
    MODEL,
    OTHER_MODEL,
    Asked,
    best,
    cosines,
    kinds,
    pairs,
)

pytestmark = pytest.mark.neo4j


# --- models -----------------------------------------------------------------------------------


def test_cold_items(asked: Asked) -> None:
    rows = asked.ask("cold_items", most_people=3, limit=100)
    listed = {row["other"] for row in asked.near if row["model"] == MODEL}
    expected = {item for item, people in asked.people.items() if people <= 3}
    assert {row["item_id"] for row in rows} == expected
    for row in rows:
        item, reasons = row["item_id"], row["reasons"]
        assert row["people"] == asked.people[item]
        assert ("nobody has it" in reasons) == (asked.people[item] == 0)
        assert ("in no category" in reasons) == (item not in asked.shop.categories)
        assert ("not available" in reasons) == (item in asked.shop.hidden)
        assert ("near no other item" in reasons) == (item not in listed)


def test_an_item_may_be_cold_for_every_reason(asked: Asked) -> None:
    planted = (
        f"MATCH (v:EmbeddingVersion {{model: '{MODEL}', status: 'active'}}) "
        "CREATE (:Item {item_id: 'x', available: false, "
        "created_at: v.started_at + duration('P1D')})"
    )
    (row,) = asked.ask_planted("cold_items", planted, limit=1)
    assert row["reasons"] == [
        "nobody has it", "in no category", "no vector", "near no other item", "not available",
        "newer than the last refresh",
    ]  # fmt: skip


def test_exposure_by_category(asked: Asked) -> None:
    lift, shown = {}, asked.exposure
    for category in asked.shop.parents:
        items = asked.shop.members[category]
        seen, had = (sum(c[i] for i in items) / sum(c.values()) for c in (shown, asked.people))
        if len(items) >= 3 and had:
            lift[category] = seen / had
    rows = asked.ask("exposure_by_category", least_items=3)
    assert best(lift) == pairs(rows, "category_id", "lift")
    assert all(row["items"] == len(asked.shop.members[row["category_id"]]) for row in rows)
    assert kinds(rows)


def test_models_agree(asked: Asked) -> None:
    lists = {(row["model"], row["item"], row["other"]): row["rank"] for row in asked.near}
    expected = {
        (item, other): [rank, lists[OTHER_MODEL, item, other]]
        for (model, item, other), rank in lists.items()
        if model == MODEL and (OTHER_MODEL, item, other) in lists and asked.people[item] >= 12
    }
    order = sorted(expected, key=lambda pair: (sum(expected[pair]), pair))[:20]
    rows = asked.ask("models_agree", least_people=12)
    assert [(row["item_id"], row["other_id"]) for row in rows] == order
    assert [row["ranks"] for row in rows] == [expected[pair] for pair in order]
    assert order
    assert asked.ask("models_agree", other_model="node2vec") == []


def test_newer_than_refresh(asked: Asked) -> None:
    rows = asked.ask("newer_than_refresh")
    without = asked.shop.titles.keys() - asked.vectors["Item"].keys()
    assert without
    assert [row["item_id"] for row in rows] == sorted(without, key=lambda i: (-asked.people[i], i))
    assert [row["people"] for row in rows] == [asked.people[row["item_id"]] for row in rows]
    assert asked.ask("newer_than_refresh", model="node2vec") == []


def test_popularity_deciles(asked: Asked) -> None:
    people, shown = asked.people, asked.exposure
    order = sorted(people, key=lambda item: (-people[item], item))
    rows = asked.ask("popularity_deciles")
    assert [row["decile"] for row in rows] == list(range(1, 11))
    for row in rows:
        members = [i for n, i in enumerate(order) if 1 + n * 10 // len(order) == row["decile"]]
        assert (row["items"], row["most_people"]) == (len(members), people[members[0]])
        share = [sum(c[i] for i in members) / sum(c.values()) for c in (people, shown)]
        assert [row["attention"], row["exposure"]] == pytest.approx(share)


def test_version_drift(asked: Asked) -> None:
    a, b, people = asked.vectors["Item"], asked.other_vectors, asked.people
    both = sorted(a.keys() & b.keys(), key=lambda item: (-people[item], item))
    for size, count in ((20, 10), (5, 10)):  # fewer items than neighbours, too
        sample = both[:size]
        rows = asked.ask("version_drift", sample=size, limit=size)
        assert {row["item_id"] for row in rows} == set(sample)
        for row in rows:
            one, two = (cosines({i: v[i] for i in sample}, row["item_id"]) for v in (a, b))
            gap = np.mean([abs(one[item] - two[item]) for item in one])
            assert row["cosine_gap"] == pytest.approx(float(gap), abs=1e-4)
            top = [{item for item, _ in best(c, count)} for c in (one, two)]
            assert row["same"] == pytest.approx(len(top[0] & top[1]) / len(top[0]), abs=0.11)
    assert {row["same"] for row in rows} == {1.0}
    assert asked.ask("version_drift", model=OTHER_MODEL) == []


# --- the whole graph --------------------------------------------------------------------------


def test_category_pairs(asked: Asked) -> None:
    members = {c: asked.shop.members[c] for c in asked.shop.parents}
    expected = {
        (one, two): (len(members[one] & members[two]),
                     len(members[one] & members[two]) / len(members[one] | members[two]))
        for one, two in combinations(sorted(members), 2) if members[one] & members[two]
    }  # fmt: skip
    rows = asked.ask("category_pairs", least_items=1)
    found = {(r["category_id"], r["other_id"]): (r["items"], r["jaccard"]) for r in rows}
    assert found.keys() == expected.keys()
    assert all(found[pair] == pytest.approx(expected[pair]) for pair in found)
    assert kinds(rows)
    assert kinds(rows, "other_id", "other_kind")


def test_communities(asked: Asked) -> None:
    follows = asked.shop.follows
    degree = {
        user: len(asked.shop.followed(user) | asked.shop.followers(user))
        for pair in follows for user in pair
    }  # fmt: skip
    order = sorted(degree, key=lambda user: (-degree[user], user))
    around = {u: asked.shop.followed(u) | asked.shop.followers(u) for u in degree}
    label = {u: next(other for other in order if other in around[u] | {u}) for u in degree}
    for _ in range(4):
        votes = {u: Counter(label[other] for other in around[u]) for u in degree}
        label = {u: min(v, key=lambda name: (-v[name], name)) for u, v in votes.items()}
    members: defaultdict[str, set[str]] = defaultdict(set)
    for user, name in label.items():
        members[name].add(user)
    rows = asked.ask("communities", limit=100)
    assert [(row["community"], row["people"]) for row in rows] == sorted(
        ((name, len(those)) for name, those in members.items()), key=lambda row: (-row[1], row[0])
    )
    for row in rows:
        those = members[row["community"]]
        out = [pair for pair in follows if pair[0] in those]
        stay = sum(pair[1] in those for pair in out) / len(out) if out else None
        assert row["inside"] == (stay if stay is None else pytest.approx(stay))
        count = Counter(item for user in those for item in asked.shop.items[user])
        titles = [asked.shop.titles[item] or item for item, _ in best(count, 3)]
        assert row["items"] == titles


def test_coverage(asked: Asked) -> None:
    rows = asked.ask("coverage")
    assert [row["model"] for row in rows] == sorted({row["model"] for row in asked.near})
    for row in rows:
        lists = [each for each in asked.near if each["model"] == row["model"]]
        shown = Counter(each["other"] for each in lists)
        assert row["lists"] == len({each["item"] for each in lists})
        assert row["reached"] == len(shown)
        assert row["share"] == pytest.approx(len(shown) / len(asked.shop.titles))
        assert row["top_share"] == pytest.approx(max(shown.values()) / len(lists))


def test_data_quality(asked: Asked) -> None:
    shop = asked.shop
    titles = Counter(title for title in shop.titles.values() if title)
    expected = {
        "item without a title": sum(not title for title in shop.titles.values()),
        "item in no category": sum(item not in shop.categories for item in shop.titles),
        "item that nobody has": sum(not people for people in shop.people.values()),
        "title of several items": sum(n > 1 for n in titles.values()),
        "user without an interaction": sum(not items for items in shop.items.values()),
        "category without an item": sum(not shop.under(c) for c in shop.parents),
    }
    rows = {row["fault"]: row for row in asked.ask("data_quality")}
    assert {fault: row["count"] for fault, row in rows.items()} == dict.fromkeys(rows, 0) | expected
    assert rows["category without an item"]["example"] == "none"
    assert rows["item without a title"]["example"] == "i1"


def test_faults_that_were_planted_are_counted(asked: Asked) -> None:
    before = {row["fault"]: row["count"] for row in asked.ask("data_quality")}
    faults = (
        "CREATE (u:User {user_id: 'u'})-[:FOLLOWS]->(u), (:Category {category_id: '!'}), "
        "(v:User {user_id: 'v'})-[:INTERACTED {weight: -1.0, "
        "last_at: datetime() + duration('P1D')}]->(:Item {item_id: '!'})"
    )
    rows = asked.ask_planted("data_quality", faults)
    after = {row["fault"]: row["count"] for row in rows}
    more = {fault: count - before.get(fault, 0) for fault, count in after.items()}
    assert {fault: count for fault, count in more.items() if count} == dict.fromkeys(
        ("item without a title", "item in no category", "user without an interaction",
         "user who follows themselves", "category without an item", "interaction in the future",
         "interaction of negative weight"), 1,
    )  # fmt: skip
    assert [row["count"] for row in rows] == sorted(after.values(), reverse=True)


def test_filter_bubbles(asked: Asked) -> None:
    bits: dict[tuple[str, str], float] = {}
    shares: dict[tuple[str, str], tuple[int, float]] = {}
    for kind in ("room", "tag"):
        of = {
            item: min(c for c in categories if KIND[c] == kind)
            for item, categories in asked.shop.categories.items()
            if any(KIND[c] == kind for c in categories)
        }
        for user, items in asked.shop.items.items():
            counts = Counter(of[item] for item in items if item in of)
            if (n := counts.total()) >= 5:
                bits[user, kind] = -sum(c / n * math.log2(c / n) for c in counts.values())
                shares[user, kind] = n, max(counts.values()) / n
    rows = asked.ask("filter_bubbles", least_items=5, limit=500)
    found = {(row["user_id"], row["kind"]): row for row in rows}
    assert len(rows) == len(found)
    assert {key: row["bits"] for key, row in found.items()} == pytest.approx(bits, abs=1e-9)
    for key, row in found.items():
        assert (row["items"], row["share"]) == (shares[key][0], pytest.approx(shares[key][1]))


def test_funnel(asked: Asked) -> None:
    steps = ["View", "cart", "PURCHASE", "return", "re_fund"]
    did: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for user, item, kind in asked.shop.interactions:
        did[user, item].add(kind)
    rows = asked.ask("funnel", steps=steps)
    before = None
    for number, (row, step) in enumerate(zip(rows, steps, strict=True), start=1):
        those = {
            pair
            for pair, events in did.items()
            if {each.lower() for each in steps[:number]} <= events
        }
        assert (row["step"], row["event"], row["pairs"]) == (number, step, len(those))
        assert row["users"] == len({user for user, _ in those})
        assert row["kept"] == pytest.approx(1.0 if before is None else len(those) / (before or 1))
        before = len(those)
    assert before == 0


def test_hidden_gems(asked: Asked) -> None:
    settings = load_settings().events
    positive = {kind: max(0.0, s.weight) for kind, s in settings.items()}
    whole: Counter[str] = Counter()
    own: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (user, item, kind), weight in asked.weights.items():
        whole[user] += positive.get(kind, 0.0) * weight
        own[item][user] += positive.get(kind, 0.0) * weight
    love = {
        item: sum(of[u] / whole[u] if whole[u] else 0.0 for u in of) / len(of)
        for item, of in own.items() if 3 <= len(of) <= 10
    }  # fmt: skip
    rows = asked.ask("hidden_gems", least_people=3, most_people=10)
    assert love
    assert best(love) == pairs(rows, "item_id", "love")
    assert [row["people"] for row in rows] == [asked.people[row["item_id"]] for row in rows]


def test_influence(asked: Asked) -> None:
    shared = {}
    for user in asked.shop.users:
        followers, own = asked.shop.followers(user), asked.shop.items[user]
        if followers and own:
            both = sum(len(own & asked.shop.items[person]) for person in followers)
            shared[user] = both / len(followers) / len(own)
    rows = asked.ask("influence")
    assert best(shared) == pairs(rows, "user_id", "shared")
    for row in rows:
        assert row["followers"] == len(asked.shop.followers(row["user_id"]))
        assert row["items"] == len(asked.shop.items[row["user_id"]])


def test_odd_accounts(asked: Asked) -> None:
    share = {}
    for user in asked.shop.users:
        weight = asked.weight(user)
        if sum(weight.values()) >= 20 and len(weight) > 1:
            share[user] = max(weight.values()) / sum(weight.values())
    rows = asked.ask("odd_accounts", least_weight=20.0)
    assert best(share) == pairs(rows, "user_id", "share")
    for row in rows:
        weight = asked.weight(row["user_id"])
        assert (row["item_id"], row["items"]) == (best(weight, 1)[0][0], len(weight))
    assert {row["user_id"] for row in asked.ask("odd_accounts", least_weight=10_000.0)} == {"bot"}


def newest(events: list[Event] | tuple[Event, ...]) -> Any:
    return max(event.at for event in events)


def test_silent_users(asked: Asked) -> None:
    end = newest(asked.shop.events)
    last = {
        user: newest([event for event in asked.shop.events if event.user_id == user])
        for user, items in asked.shop.items.items() if len(items) >= 3
    }  # fmt: skip
    silent = {u: len(asked.shop.items[u]) for u, at in last.items() if at <= end - timedelta(90)}
    rows = asked.ask("silent_users", days=90, least_items=3, limit=100)
    assert best(silent, 100) == pairs(rows, "user_id", "items")
    assert all(row["last_at"].to_native() == last[row["user_id"]] for row in rows)


def test_trending(asked: Asked) -> None:
    end = newest(asked.shop.events)
    last: dict[tuple[str, str], Any] = {}
    for event in asked.shop.events:
        key = event.item_id, event.user_id
        last[key] = max(event.at, last.get(key, event.at))
    now, before = Counter[str](), Counter[str]()
    for (item, _), at in last.items():
        now[item] += at > end - timedelta(60)
        before[item] += end - timedelta(120) < at <= end - timedelta(60)
    rise = {i: (now[i] + 1) / (before[i] + 1) for i in now if now[i] + before[i]}
    order = sorted(rise, key=lambda item: (-rise[item], -now[item], item))[:20]
    rows = asked.ask("trending", days=60)
    assert [(row["item_id"], row["now"], row["before"]) for row in rows] == [
        (item, now[item], before[item]) for item in order
    ]


def test_twin_accounts(asked: Asked) -> None:
    rare: Counter[tuple[str, str]] = Counter()
    for people in asked.shop.people.values():
        if 2 <= len(people) <= 8:
            rare.update(combinations(sorted(people), 2))
    items = asked.shop.items
    jaccard = {
        (one, two): len(items[one] & items[two]) / len(items[one] | items[two])
        for (one, two), n in rare.items() if n >= 2
    }  # fmt: skip
    rows = asked.ask("twin_accounts", most_people=8, least_shared=2)
    assert jaccard
    order = sorted(jaccard, key=lambda pair: (-jaccard[pair], pair))[:20]
    assert [(row["user_id"], row["other_id"]) for row in rows] == order
    assert all(rare[row["user_id"], row["other_id"]] == row["rare"] for row in rows)


def test_versions(asked: Asked) -> None:
    rows = asked.ask("versions")
    assert {(row["model"], row["status"]) for row in rows} == {
        (model, "active") for model in ("hybrid", MODEL, OTHER_MODEL)
    }
